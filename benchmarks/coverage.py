"""Posterior samples of completed faces: does the band hold as many hidden pixels as it says, and do chains agree?"""

import argparse
import time
from pathlib import Path

import torch
from faces import holes_for, read_faces
from machine import heading, table
from scipy.stats import spearmanr
from torch import Tensor

from latentfill import load
from latentfill.completion.sampling.chains import Posterior, gather
from latentfill.completion.frequencies import LEVEL
from latentfill.completion.objective import CompletionLoss, Likelihood, likelihood_of, residuals
from latentfill.completion.sampling.posterior import sample
from latentfill.completion.search import adam, search
from latentfill.crops import pose
from latentfill.gan.device import choose_precision
from latentfill.gan.fused import fused
from latentfill.gan.gan import Gan
from latentfill.images import photos
from latentfill.images.grids import grid
from latentfill.images.incomplete import Incomplete
from latentfill.images.pixels import to_pixels
from latentfill.options import CompleteOptions
from latentfill.types import Images, Latents, PerImage

ADAM = CompleteOptions(steps=100, learning_rate=0.05)
INSIDE = 0.8  # of where the search ended, which is often on walls of the cube: no place to begin from


def starts(gan: Gan, incomplete: Incomplete, chains: int) -> tuple[Latents, Images]:
    """Where searches from as many random latents end, and what they draw."""
    loss = CompletionLoss(incomplete.repeat(chains), gan.discriminator, lam=0.0, balance="mean")
    z = gan.generator.prior.sample(range(chains)).repeat(len(incomplete), 1)
    *_, end = search(gan.generator, loss, z, steps=ADAM.steps, optimizer=adam(ADAM.learning_rate))
    return end.z, end.images


def left_over(gan: Gan, incomplete: Incomplete, found: Posterior) -> PerImage:
    """Root mean square of what known pixels are off in the samples: the noise that a hidden pixel has besides."""
    chosen = found.samples[:, ::8]
    asked = incomplete.repeat(chosen.shape[1])
    with torch.no_grad():
        missed = residuals(asked, gan.generator(chosen.flatten(0, 1)))["contextual"].square().sum((1, 2, 3))
    count = asked.known.sum((1, 2, 3)) * incomplete.images.shape[1]
    return (missed / count).view(len(incomplete), -1).mean(1).sqrt()


def trusted(found: Posterior, full: Images, hidden: Tensor, noise: PerImage) -> list[str]:
    """Shares of the hidden values in three bands; the error of the mean and what was foretold, in grey levels."""
    inside = []
    for share, besides in ((0.9, None), (0.9, noise), (0.5, noise)):
        low, high = found.band(share, besides)
        inside.append(((low <= full) & (full <= high))[hidden].float().mean().item())
    count = hidden.sum((1, 2, 3))
    error = (((found.mean - full).square() * hidden).sum((1, 2, 3)) / count).sqrt() / LEVEL
    foretold = ((found.deviation.square() * hidden).sum((1, 2, 3)) / count + noise.square()).sqrt() / LEVEL
    rank = spearmanr(foretold, error).statistic
    return [
        *(f"{100 * share:.0f} %" for share in inside),
        f"{error.mean():.1f}",
        f"{foretold.mean():.1f}",
        f"{rank:.2f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder or archive of aligned, unseen faces")
    parser.add_argument("--model", default="faces-64-dcgan")
    parser.add_argument("--holes", nargs="+", default=["center", "half", "random:0.8"])
    parser.add_argument("--part", default="test", help="which half of the pictures: test or choose")
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--warm-up", type=int, default=60)
    parser.add_argument("--draws", type=int, default=150)
    parser.add_argument("--leapfrog", type=int, default=8)
    parser.add_argument("--temperatures", nargs="+", type=float, default=[0.0], help="0: as estimated from residuals")
    parser.add_argument("--out", type=Path, help="sheets: original, mean, deviation (times 4), samples")
    arguments = parser.parse_args()

    gan = load(arguments.model)
    gan = fused(gan, choose_precision("auto", gan.device))
    size, chains = gan.network.size, arguments.chains
    names, crops = read_faces(arguments.data, size, arguments.part, arguments.count)
    full = pose(gan, crops, holes_for("full", names, size)).images
    rows = []
    for spec in arguments.holes:
        incomplete = pose(gan, crops, holes_for(spec, names, size))
        hidden = (incomplete.known == 0).expand_as(full)
        z, images = starts(gan, incomplete, chains)
        estimated = likelihood_of(incomplete.repeat(chains), images, chains)
        for temperature in arguments.temperatures:
            density = estimated
            if temperature:
                fixed = {name: torch.full_like(t, temperature) for name, t in estimated.temperature.items()}
                density = Likelihood(estimated.incomplete, estimated.sigma, fixed)
            begun = time.perf_counter()
            settings = {"chains": chains, "warm_up": arguments.warm_up, "draws": arguments.draws}
            steps = sample(
                gan.generator,
                density,
                INSIDE * z,
                seeds=range(len(z)),
                leapfrog_steps=arguments.leapfrog,
                **settings,
            )
            found = gather(steps, chains=chains, warm_up=arguments.warm_up)
            seconds = (time.perf_counter() - begun) / len(crops)
            noise = left_over(gan, incomplete, found)
            told = density.temperature["contextual"].median().item()
            diagnosed = [found.accepted.mean(), found.rhat.median(), found.effective.median()]
            rows.append([spec, f"{told:.0f}", *trusted(found, full, hidden, noise), *(f"{d:.3g}" for d in diagnosed)])
            rows[-1].append(f"{seconds:.0f}")
            print(rows[-1], flush=True)
            if arguments.out:
                shown = slice(0, 8)
                with torch.no_grad():
                    drawn = [gan.generator(found.samples[shown, k]) for k in range(0, found.samples.shape[1], 16)]
                tiles = [full[shown], found.mean[shown], 4 * found.deviation[shown] - 1, *drawn]
                name = f"{spec.replace(':', '-')}-{told:.0f}.png"
                pictures = [picture for tile in tiles for picture in to_pixels(tile.clamp(-1, 1))]
                photos.write(arguments.out / name, grid(pictures, len(full[shown])))
    print(heading(f"Bands of {len(crops)} unseen faces, {chains} chains of {arguments.draws} draws, {arguments.model}"))
    head = ["hole", "temperature", "in 90 % band of G(z)", "with noise", "in 50 % band", "error", "predicted"]
    print(table([*head, "rank", "accepted", "R-hat", "effective", "s per image"], rows))


if __name__ == "__main__":
    main()
