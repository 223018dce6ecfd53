"""After the game a completer learns, by the same command: RUN/model.safetensors has G, D and then the completer too."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ...gan import building, checkpoint
from ...gan.gan import Gan
from ...gan.options import EncoderOptions
from ...gan.residual.completer import completer_of
from ...options import TRAIN_KINDS, NetworkOptions, RunOptions, TrainOptions
from .. import checkpoints
from ..dataset import Dataset
from ..record import Progress
from ..watching.learner import Caller
from .run import train_completer

LONG, MOST_FASTER = 20_000, 4.0  # images: what learns from fewer learns faster, at most so many times
KEPT = ("model.safetensors", "best.safetensors")  # what the folder of the run has of that of the completer


def divide(options: TrainOptions, network: NetworkOptions) -> tuple[TrainOptions, int]:
    """The options of the game, and how many images are left for a completer: none where none can be made."""
    images = min(options.reconstruct_last, options.images_seen // 4)
    if not options.completes or not images or network.networks != "residual" or network.classes:
        return replace(options, completer=False), 0
    return replace(options, images_seen=options.images_seen - images), images


def train_after(
    game: Iterator[Progress],
    data: Dataset,
    folder: Path,
    network: NetworkOptions,
    options: TrainOptions,
    images: int,
    held_out: int,
    run: RunOptions,
    caller: Caller,
) -> Iterator[Progress]:
    """The steps of a game of these options, and then those of a completer for its networks, of so many `images`.

    It learns in a folder of its own, named by the length of the game: a game that goes on has another. `data` are all
    pictures, of which the last `held_out` are not learnt from.
    """
    yield from game
    seen, own = options.images_seen, folder / f"completer-{options.images_seen}"
    fresh = run.dry_run and not own.exists()
    gan = building.build(network, options.seed) if fresh else caller.team.led(lambda: _read(folder))
    processes = caller.team.crew.size
    usual = TRAIN_KINDS["completer"]
    batch = min(options.batch_size, processes * max(1, usual.batch_size // processes))
    rate = usual.learning_rate * min(MOST_FASTER, max(1.0, LONG / images))
    usual = replace(usual, images_seen=images, batch_size=batch, learning_rate=rate)
    usual = replace(usual, seed=options.seed, flip=options.flip, precision=options.precision)
    lent = replace(caller, scorer=caller.completer_scorer)
    steps = train_completer(gan, data, own, usual, EncoderOptions(held_out=held_out), run, lent)
    try:
        for step in steps:
            if caller.team.leads:
                _copy(own, folder)
            begun = step.resumed_from + seen
            yield replace(step, images_seen=step.images_seen + seen, total=step.total + seen, resumed_from=begun)
    finally:
        steps.close()  # type: ignore[attr-defined]
        if caller.team.leads:
            _copy(own, folder)


def _read(folder: Path) -> Gan:
    """What was learnt in the game, with a completer to go on from: its own, or of the encoder that learnt before it.

    That encoder describes what G drew then, so it serves as a beginning alone.
    """
    gan, (state, _) = checkpoint.load(folder / KEPT[0]), checkpoints.newest(folder / "checkpoints")
    if gan.completer is not None or not state or "averaged_encoder" not in state:
        return gan
    encoder = building.fresh_residual_encoder(gan.network)
    encoder.load_state_dict(state["averaged_encoder"])
    return replace(gan, completer=completer_of(replace(gan, encoder=encoder)))


def _copy(own: Path, folder: Path) -> None:
    """Bring the model files of the run up to those of its completer, each all at once."""
    for name in KEPT:
        new, old = own / name, folder / name
        if new.exists() and not (old.exists() and old.stat().st_mtime_ns >= new.stat().st_mtime_ns):
            making = folder / f".{name}{checkpoints.MAKING}"
            shutil.copyfile(new, making)
            os.replace(making, old)
