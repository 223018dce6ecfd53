"""What a training is given: pictures, on each machine decoded once, and perhaps a model to begin with."""

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from ...errors import LatentfillError, ModelError

if TYPE_CHECKING:
    from ...gan.gan import Gan
    from ...training.dataset import Dataset
    from ...training.distributed.team import Team
    from ..train import Options


def beginning(options: "Options", team: "Team") -> "Gan | None":
    """The model to begin with; in all processes the very same, since what differs in the last bit drifts apart."""
    import torch

    from ...gan.checkpoint import load
    from ...gan.residual.growing import STEPS as ENOUGH
    from ...models import find
    from .progress import Bar

    if not options.begin:
        return None
    begin, size, record = load(find(options.begin)), options.network.size, options.record
    if begin.network.size >= size:
        return begin
    if record.threads:
        torch.set_num_threads(record.threads)

    def grow() -> "Gan":
        with Bar(f"growing to {size} pixels", "steps") as bar:
            return grown_once(begin, size, options.train.seed, _cache(options), ENOUGH, bar.update)

    def rehearse() -> "Gan":
        began: list[float] = []
        gan = grown_once(begin, size, options.train.seed, _cache(options), 2, lambda *_: began.append(monotonic()))
        minutes = (began[-1] - began[-2]) * ENOUGH / 60
        print(f"growing     from {begin.network.size} pixels first: {ENOUGH:,} steps, {minutes:.1f} min")
        return gan

    return team.led(rehearse if record.dry_run else grow)


def grown_once(
    gan: "Gan",
    size: int,
    seed: int,
    cache: Path | None,
    steps: int,
    tell: Callable[[int, int], None],
) -> "Gan":
    """The GAN grown to `size`, kept in the cache as a model file: a training that goes on, or begins again, finds it.

    As it is if doubling does not bring it to that size. Raises ModelError as `grown` does, and when the file cannot be
    written; DataError when there is no place for it.
    """
    from ...gan.checkpoint import load, save, weights
    from ...gan.residual.growing import grown
    from ...training.decoded import place

    while gan.network.size < size and size % gan.network.size == 0:
        digest = weights(gan.generator, gan.discriminator, gan.encoder, gan.completer)[:32]
        path = place(f"grown-{digest}-{seed}-{steps}.safetensors", cache)
        try:
            gan = load(path)
        except ModelError:  # there is none, or no whole one
            gan = grown(gan, seed, steps, tell)
            save(gan, path)
    return gan


def opened(options: "Options", team: "Team") -> "Dataset":
    """The pictures: on each machine one process fetches and decodes what is not there yet, and all read that."""
    if not options.data:
        raise LatentfillError("no pictures named", "Write latentfill train PICTURES... --run FOLDER.")
    places = local(options, team)
    data = team.first_here(lambda: _decoded(options, places, team))
    if data.rejected and not options.record.dry_run and team.leads:
        from ...training.dataset import write_rejected

        where = options.run / "rejected.csv"
        options.run.mkdir(parents=True, exist_ok=True)
        write_rejected(where, data.rejected)
        print(f"left out, because they cannot be read: {len(data.rejected)}, listed in {where}", file=sys.stderr)
    if team.leads:
        print(*data.left_out, f"{len(data)} pictures", sep="\n", file=sys.stderr)
    return data


def local(options: "Options", team: "Team") -> list[Path]:
    """Where the pictures lie, on this machine once they have been fetched."""
    from ...training.distributed.store import fetched

    tell = (lambda line: print(line, file=sys.stderr)) if not team.local else (lambda line: None)
    return team.first_here(lambda: fetched(options.data, _cache(options), tell))


def _decoded(options: "Options", places: Sequence[Path], team: "Team") -> "Dataset":
    from ...training.dataset import Dataset, build
    from .progress import Bar

    network = options.network
    with Bar("reading pictures", "pictures") if team.leads else nullcontext() as bar:
        for step in build(places, network.size, network.channels, _cache(options), options.record.max_images):
            if isinstance(step, Dataset):
                data = step
            elif bar is not None:
                bar.update(*step)
    return data


def _cache(options: "Options") -> Path | None:
    return Path(options.record.cache) if options.record.cache else None
