"""PSNR and SSIM of what is found from small, grey, noisy, quantised and JPEG pictures, against what needs no model."""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from faces import holes_for, read_faces
from machine import heading, table
from torch.nn import functional as F

from latentfill import load
from latentfill.completion.complete import complete
from latentfill.completion.operators import Operator, parse_operator, simulate, to_incomplete
from latentfill.evaluation.metrics import psnr, ssim
from latentfill.images import photos
from latentfill.images.holes import to_known
from latentfill.images.incomplete import Incomplete
from latentfill.images.pixels import grid, to_images, to_pixels
from latentfill.models import DEFAULT
from latentfill.options import COMPLETE_PRESETS
from latentfill.types import Images, PixelBatch

KINDS = ["lowres:2", "lowres:4", "lowres:8", "grey", "noise:10", "noise:25", "noise:50", "levels:4", "levels:8"]
KINDS += ["jpeg:5", "jpeg:10", "jpeg:20", "grey+lowres:4", "grey+noise:25", "lowres:2+noise:10"]


def as_it_is(sight: Operator, incomplete: Incomplete) -> Images:
    """What was observed, and if it is small, enlarged with cubic splines."""
    if sight.linear.factor == 1:
        return incomplete.images
    small = sight.noise.decode(incomplete.observations[0].seen)
    return F.interpolate(small, incomplete.images.shape[-2:], mode="bicubic").expand_as(incomplete.images)


def without_model(incomplete: Incomplete) -> Images:
    """What is imposed on an image of a single colour: the same filters, with nothing generated."""
    images, known = incomplete.shown
    share = known.sum((2, 3), keepdim=True).clamp_min(1)
    return incomplete.impose(((images * known).sum((2, 3), keepdim=True) / share).expand_as(images))


def non_local_means(sight: Operator, incomplete: Incomplete) -> Images:
    """The classical filter of noise, with scikit-image's advice on its settings."""
    from skimage.restoration import denoise_nl_means

    sigma = sight.sigma
    noisy = incomplete.observations[0].seen.permute(0, 2, 3, 1).numpy()
    settings = {"h": 0.8 * sigma, "sigma": sigma, "patch_size": 5, "patch_distance": 6, "fast_mode": False}
    clean = np.stack([denoise_nl_means(one, channel_axis=-1, **settings) for one in noisy]).reshape(noisy.shape)
    return torch.from_numpy(clean).float().permute(0, 3, 1, 2).expand_as(incomplete.images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder or archive of aligned, unseen faces")
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--kinds", nargs="+", default=KINDS)
    parser.add_argument("--hole", default="full", help="in which nothing is observed")
    parser.add_argument("--part", default="test", help="which half of the pictures: test or choose")
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--presets", nargs="+", choices=COMPLETE_PRESETS, default=["fast", "best"])
    parser.add_argument("--out", type=Path, help="write contact sheets here: original, observed, then the table's rows")
    arguments = parser.parse_args()

    gan = load(arguments.model)
    size = gan.network.size
    names, crops = read_faces(arguments.data, size, arguments.part, arguments.count)
    where = holes_for(arguments.hole, names, size)
    truth: PixelBatch = np.stack(crops)
    whole, known = (torch.cat([to(one) for one in ones]) for to, ones in ((to_images, crops), (to_known, where)))
    rows = []
    for kind in arguments.kinds:
        sight = parse_operator(kind)
        values = simulate(sight, whole, range(len(crops)))
        incomplete = to_incomplete(sight, values, known, gan.network.channels).to(gan.device)
        made = {"as it is": as_it_is(sight, incomplete), "without a model": without_model(incomplete)}
        if sight.sigma and sight.linear.factor == 1 and arguments.hole == "full":
            made["non-local means"] = non_local_means(sight, incomplete)
        seconds = {}
        for preset in arguments.presets:
            start = time.process_time()
            drawn = complete(gan, incomplete, COMPLETE_PRESETS[preset]).images
            made[f"{preset}, before it is made to agree"] = drawn
            made[preset] = incomplete.impose(drawn)
            seconds[preset] = f"{(time.process_time() - start) / len(crops):.3f}"
        for method, images in made.items():
            pictures = np.stack(to_pixels(images.clamp(-1, 1)))
            scores = [f"{psnr(pictures, truth).mean():.2f}", f"{ssim(pictures, truth).mean():.3f}"]
            rows.append([kind, method, *scores, seconds.get(method, "")])
        print(rows[-1], flush=True)
        if arguments.out:
            tiles = [*crops[:8], *to_pixels(incomplete.images[:8].clamp(-1, 1))]
            tiles += [tile for images in made.values() for tile in to_pixels(images[:8].clamp(-1, 1))]
            photos.write(arguments.out / f"{kind.replace(':', '-')}.png", grid(tiles, min(8, len(crops))))
    print(heading(f"What was observed, and what is made of it: {len(crops)} unseen faces, model {arguments.model}"))
    print(table(("observed", "method", "PSNR dB", "SSIM", "processor s per image"), rows))


if __name__ == "__main__":
    main()
