"""Whether a model of several classes draws and completes the one that it is asked for.

It learns from equally many faces, flowers and digits, labelled. Its samples of each class are compared with unseen
pictures of all of them, in 16x16 grey pixels, and unseen pictures of each class are completed as each. Beside it, with
`--unlabelled`, a model of the same pictures that was told no classes. What was interrupted goes on.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from dependability import collection
from machine import heading, table
from verdicts import as_shares, drawn_by

from latentfill import complete, load
from latentfill.evaluation.feature_spaces import pixels
from latentfill.gan.gan import Gan
from latentfill.images import photos
from latentfill.images.incomplete import Incomplete
from latentfill.images.pixels import batch_to_images, grid, to_pixels
from latentfill.options import COMPLETE_PRESETS, GAN_PRESETS, RunOptions
from latentfill.runs.data import Dataset
from latentfill.runs.holes import draw_known, psnr
from latentfill.seeds import philox
from latentfill.training.gan_run import train
from latentfill.types import Images, PixelBatch

CLASSES = ("digits", "faces", "flowers")
SHOWN = 16


def mixed(arguments: argparse.Namespace) -> tuple[Dataset, dict[str, PixelBatch]]:
    """Pictures with labels, and as many more of each class that are never learnt from, if there are so many."""
    parts, kept = [], {}
    for number, name in enumerate(CLASSES):
        own = collection(name, arguments.size, arguments).pixels
        chosen = own[philox(number).permutation(len(own))[: 2 * arguments.pictures]]
        chosen = chosen if chosen.shape[3] == 3 else chosen.repeat(3, 3)
        if len(chosen) < 2 * arguments.pictures:
            raise SystemExit(f"{name}: there are {len(own)} pictures; give --pictures {len(own) // 2}")
        parts.append(chosen[: arguments.pictures])
        kept[name] = chosen[arguments.pictures :]
    labels = np.repeat(np.arange(len(CLASSES)), arguments.pictures)
    names = [f"{CLASSES[label]}/{i}" for i, label in enumerate(labels)]
    return Dataset(np.concatenate(parts), names, []), kept


def train_on(data: Dataset, folder: Path, arguments: argparse.Namespace, *, told: bool) -> None:
    network, options = GAN_PRESETS["modern"]
    network = replace(network, size=arguments.size)
    options = replace(options, images_seen=arguments.images, flip=False, seed=arguments.seed)
    options = replace(options, labels="folders" if told else "none")
    run = RunOptions(checkpoint_every=32_000, keep_checkpoints=1, device="cpu", threads=arguments.threads)
    for _ in train(data, folder, network, options, run):
        pass


def completed(gan: Gan, images: Images) -> tuple[float, float]:
    """PSNR in a hole in the middle, by preset `fast`: the mean, and its standard error."""
    known = draw_known(images.shape[-1], range(len(images)), 0, "center")
    done = complete(gan, Incomplete(images, known), COMPLETE_PRESETS["fast"])
    found = psnr(done.images, images, 1 - known)
    return float(found.mean()), float(found.std() / len(found) ** 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder of the runs, sheets and table.md")
    parser.add_argument("--faces", type=Path, nargs="+", required=True, help="folders or archives of aligned faces")
    parser.add_argument("--flowers", type=Path, nargs="+", required=True, help="folders or archives of flowers")
    parser.add_argument("--pictures", type=int, default=3000, help="of each class, and as many to compare with")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--images", type=int, default=120_000, help="seen in the training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=128, help="pictures of each class that are completed")
    parser.add_argument("--unlabelled", action="store_true", help="train a model without labels, too")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", type=Path, help="where decoded pictures are kept")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    data, kept = mixed(arguments)
    folder = arguments.out / "labelled"
    train_on(data, folder, arguments, told=True)
    asked = {name: load(folder, "cpu", name) for name in CLASSES}
    if arguments.unlabelled:
        folder = arguments.out / "unlabelled"
        train_on(data, folder, arguments, told=False)
        asked["(no labels)"] = load(folder, "cpu")
    rows = []
    for name, gan in asked.items():
        count = min(1000, arguments.pictures // 2)
        made, space = drawn_by(gan, count), pixels(gan)
        photos.write(arguments.out / f"{name.strip('()')}.png", grid(list(made[:64])))
        row = [name]
        for pictures in kept.values():
            parts = (made, pictures[:count], pictures[count : 2 * count])
            diversity, _, far, _ = as_shares(*(space.measure(part) for part in parts))
            row.append(f"{far:.2f} / {diversity:.2f}")
        for pictures in kept.values():
            mean, error = completed(gan, batch_to_images(pictures[-arguments.count :]))
            row.append(f"{mean:.2f} ± {error:.2f}")
        rows.append(row)
    head = ["asked for", *(f"samples against {c}" for c in CLASSES), *(f"{c} completed, dB" for c in CLASSES)]
    title = f"Classes: {arguments.images:,} images of {arguments.size} px, {arguments.pictures:,} pictures of each"
    told = f"{heading(title)}\n{table(head, rows)}\n\nFréchet distance in pixels (1: the mean picture) / diversity.\n"
    (arguments.out / "table.md").write_text(told)
    print(told)
    for name, gan in asked.items():
        for other, pictures in kept.items():
            images = batch_to_images(pictures[-SHOWN:])
            known = draw_known(arguments.size, range(SHOWN), 0, "center")
            done = complete(gan, Incomplete(images, known), COMPLETE_PRESETS["fast"])
            tiles = [*to_pixels(images * known), *to_pixels(torch.where(known > 0, images, done.images))]
            photos.write(arguments.out / f"{other}-as-{name.strip('()')}.png", grid(tiles, SHOWN))


if __name__ == "__main__":
    main()
