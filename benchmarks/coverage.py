"""Posterior samples of completed faces: does the band hold as many hidden pixels as it says, and do chains agree?"""

import argparse
import time
from itertools import product
from pathlib import Path

import torch
from faces import holes_for, read_faces
from machine import heading, table
from scipy.stats import spearmanr
from torch import Tensor

from latentfill import load
from latentfill.completion.hmc import sample
from latentfill.completion.objective import CompletionLoss, Likelihood, likelihood_of
from latentfill.completion.readings import LEVEL
from latentfill.completion.restarts import around, starts
from latentfill.completion.samples import FIND_RATE, FIND_STEPS, Posterior, gather, unexplained
from latentfill.completion.search import adam, cosine, search
from latentfill.device import choose_precision
from latentfill.gan.fused import fused
from latentfill.gan.gan import Gan
from latentfill.images import photos
from latentfill.images.incomplete import Incomplete
from latentfill.images.pixels import grid, to_pixels
from latentfill.models import DEFAULT
from latentfill.options import CompleteOptions
from latentfill.photo.crops import pose
from latentfill.types import Images, Latents, PerImage

OWN_STREAM, BEGIN_STREAM = 10, 9  # of the latents of the model's own pictures, and of those where chains begin


def begun(gan: Gan, incomplete: Incomplete, options: CompleteOptions) -> tuple[Latents, Images]:
    """Where the chains begin, and what the search before them drew at its end: as `completion.samples` does it."""
    chains = options.starts
    loss = CompletionLoss(incomplete.repeat(chains), gan.discriminator, lam=0.0, balance="mean")
    z, rate = starts(gan, incomplete, options), adam(FIND_RATE)
    *_, end = search(gan.generator, loss, z, steps=FIND_STEPS, optimizer=rate, schedule=cosine)
    best = end.loss.view(-1, chains).argmin(1) + chains * torch.arange(len(incomplete))
    seeds = [(BEGIN_STREAM << 64) + i for i in range(chains)]
    parts = [around(gan.generator, incomplete.select([i]), end.z[row][None], seeds) for i, row in enumerate(best)]
    return torch.cat(parts), end.images


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
    shares = [f"{100 * share:.0f} %" for share in inside]
    return [*shares, f"{error.mean():.1f}", f"{foretold.mean():.1f}", f"{rank:.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder or archive of aligned, unseen faces")
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--holes", nargs="+", default=["center", "half", "random:0.8"])
    parser.add_argument("--part", default="test", help="which half of the pictures: test or choose")
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--warm-up", type=int, default=60)
    parser.add_argument("--draws", type=int, default=150)
    parser.add_argument("--leapfrog", type=int, default=8)
    parser.add_argument("--temperatures", nargs="+", type=float, default=[0.0], help="0: as estimated from residuals")
    parser.add_argument("--own", action="store_true", help="as many pictures of the model's own too: it can draw them")
    parser.add_argument("--only-own", action="store_true", help="those alone")
    parser.add_argument("--out", type=Path, help="sheets: original, mean, deviation (times 4), samples")
    arguments = parser.parse_args()

    gan = load(arguments.model)
    gan = fused(gan, choose_precision("auto", gan.device))
    size, chains = gan.network.size, arguments.chains
    options = CompleteOptions("posterior", start="auto", attempts=chains)
    names, crops = read_faces(arguments.data, size, arguments.part, arguments.count)
    pictures = {"real": crops}
    if arguments.own or arguments.only_own:
        with torch.no_grad():
            own = gan.generator(gan.generator.prior.sample([(OWN_STREAM << 64) + i for i in range(len(crops))]))
        pictures = {"own": to_pixels(own)} | (pictures if not arguments.only_own else {})
    rows = []
    for (kind, shown), spec in product(pictures.items(), arguments.holes):
        where = holes_for(spec, names, size)
        full, incomplete = pose(gan, shown, holes_for("full", names, size)).images, pose(gan, shown, where)
        hidden = (incomplete.known == 0).expand_as(full)
        z, images = begun(gan, incomplete, options)
        estimated = likelihood_of(incomplete.repeat(chains), images, chains)
        for temperature in arguments.temperatures:
            density = estimated
            if temperature:
                fixed = {name: torch.full_like(t, temperature) for name, t in estimated.temperature.items()}
                density = Likelihood(estimated.incomplete, estimated.sigma, fixed)
            start = time.process_time()
            settings = {"chains": chains, "warm_up": arguments.warm_up, "draws": arguments.draws}
            seeds, leapfrog = range(len(z)), arguments.leapfrog
            steps = sample(gan.generator, density, z, seeds=seeds, leapfrog_steps=leapfrog, **settings)
            found = gather(steps, chains=chains, warm_up=arguments.warm_up, where=1 - incomplete.known)
            seconds = (time.process_time() - start) / len(shown)
            noise = unexplained(gan.generator, incomplete, found.samples)
            told = density.temperature["contextual"].median().item()
            diagnosed = [found.accepted.mean(), found.picture_rhat.median(), found.picture_effective.median()]
            rows.append([kind, spec, f"{told:.0f}", *trusted(found, full, hidden, noise)])
            rows[-1] += [f"{noise.mean() / LEVEL:.1f}", *(f"{d:.3g}" for d in diagnosed), f"{seconds:.0f}"]
            print(rows[-1], flush=True)
            if arguments.out:
                first = slice(0, 8)
                with torch.no_grad():
                    drawn = [gan.generator(found.samples[first, k]) for k in range(0, found.samples.shape[1], 16)]
                tiles = [full[first], found.mean[first], 4 * found.deviation[first] - 1, *drawn]
                name = f"{kind}-{spec.replace(':', '-')}-{told:.0f}.png"
                sheet = [picture for tile in tiles for picture in to_pixels(tile.clamp(-1, 1))]
                photos.write(arguments.out / name, grid(sheet, len(full[first])))
    print(heading(f"Bands of {len(crops)} unseen faces, {chains} chains of {arguments.draws} draws, {arguments.model}"))
    head = ["pictures", "hole", "temperature", "in 90 % band of G(z)", "with what it misses", "in 50 % band", "error"]
    head += ["predicted", "rank", "misses", "accepted", "R-hat", "effective", "processor s per image"]
    print(table(head, rows))


if __name__ == "__main__":
    main()
