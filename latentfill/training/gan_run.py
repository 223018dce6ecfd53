"""The training of a GAN as a run: its networks, fresh or from a model, one batch after another, then a completer.

The same command trains the completer: RUN/model.safetensors has G and D, and in the end the completer too.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..device import choose_precision
from ..errors import LatentfillError, RunError, is_out_of_memory
from ..gan import model_file
from ..gan.completer import build_completer
from ..gan.gan import Gan
from ..gan.residual import ConstantDiscriminator
from ..options import TRAIN_KINDS, NetworkOptions, RunOptions, TrainOptions
from ..options.training import EncoderOptions
from ..options.validation import check_bounds
from ..runs import checkpoints
from ..runs.data import Dataset, check_pictures, label_by_folder, split
from ..runs.folder import Subject, count_held_out
from ..runs.interfaces import DEFAULT_CONTEXT, TrainingContext
from ..runs.logs import Progress
from ..runs.loop import epochs_to_images, run_training
from .augment import check_regularisers, resolve_augment
from .completer import train_completer
from .reconstruction import check_prior
from .trainer import GanTrainer

LONG, MOST_FASTER = 20_000, 4.0  # images: shorter trainings have a larger rate, at most this many times
KEPT = ("model.safetensors", "best.safetensors")  # files that the run's folder takes from the completer's


def split_options(options: TrainOptions, network: NetworkOptions) -> tuple[TrainOptions, int]:
    """The options of the game, and how many images are left for a completer: none where none can be made."""
    images = min(options.reconstruct_last, options.images_seen // 4)
    if not options.trains_completer or not images or network.networks != "residual" or network.classes:
        return replace(options, completer=False), 0
    return replace(options, images_seen=options.images_seen - images), images


def train_with_completer(
    game: Iterator[Progress],
    data: Dataset,
    folder: Path,
    network: NetworkOptions,
    options: TrainOptions,
    images: int,
    held_out: int,
    run: RunOptions,
    context: TrainingContext,
) -> Iterator[Progress]:
    """The steps of a game of these options, and then those of a completer for its networks, of so many `images`.

    It learns in a folder of its own, named by the length of the game: a game that goes on has another. `data` are all
    pictures, of which the last `held_out` are not learnt from.
    """
    yield from game
    seen, own = options.images_seen, folder / f"completer-{options.images_seen}"
    fresh = run.dry_run and not own.exists()
    gan = model_file.build(network, options.seed) if fresh else context.distributed.on_rank_zero(lambda: _read(folder))
    processes = context.distributed.group.size
    usual = TRAIN_KINDS["completer"]
    batch = min(options.batch_size, processes * max(1, usual.batch_size // processes))
    rate = usual.learning_rate * min(MOST_FASTER, max(1.0, LONG / images))
    usual = replace(usual, images_seen=images, batch_size=batch, learning_rate=rate)
    usual = replace(usual, seed=options.seed, flip=options.flip, precision=options.precision)
    lent = replace(context, scorer=context.completer_scorer)
    steps = train_completer(gan, data, own, usual, EncoderOptions(held_out=held_out), run, lent)
    try:
        for step in steps:
            if context.distributed.is_rank_zero:
                _copy(own, folder)
            warm_start_options = step.resumed_from + seen
            yield replace(
                step, images_seen=step.images_seen + seen, total=step.total + seen, resumed_from=warm_start_options
            )
    finally:
        steps.close()  # type: ignore[attr-defined]
        if context.distributed.is_rank_zero:
            _copy(own, folder)


def _read(folder: Path) -> Gan:
    """Read the finished game, with a completer to go on from: its own, or of the encoder that learnt before it.

    That encoder describes what G drew then, so it serves as a beginning alone.
    """
    gan, (state, _) = model_file.load(folder / KEPT[0]), checkpoints.read_newest(folder / "checkpoints")
    if gan.completer is not None or not state or "averaged_encoder" not in state:
        return gan
    encoder = model_file.build_residual_encoder(gan.network)
    encoder.load_state_dict(state["averaged_encoder"])
    return replace(gan, completer=build_completer(replace(gan, encoder=encoder)))


def _copy(own: Path, folder: Path) -> None:
    """Bring the model files of the run up to those of its completer, each all at once."""
    for name in KEPT:
        new, old = own / name, folder / name
        if new.exists() and not (old.exists() and old.stat().st_mtime_ns >= new.stat().st_mtime_ns):
            making = folder / f".{name}{checkpoints.MAKING}"
            shutil.copyfile(new, making)
            os.replace(making, old)


FEWEST = 16  # least pictures to hold out: fewer give no useful score
BEGUN_RATE = 1e-4  # of a training that begins with a GAN, if none is given


def train(
    data: Dataset,
    folder: Path,
    network: NetworkOptions,
    options: TrainOptions,
    run: RunOptions,
    begin: Gan | None = None,
    context: TrainingContext = DEFAULT_CONTEXT,
    held_out: int = 0,
) -> Iterator[Progress]:
    """Train a GAN until `options.images_seen`, as `follow` does; where it trains a completer, the last are its own.

    Raises ValueError for pictures of another size too.

    `begin` is a model of the same networks whose weights a new run begins with. The last `held_out` pictures, at most a
    tenth, are never learnt from: by them it is judged. With classes all are learnt from.
    """
    check_bounds(network, options, run)
    check_regularisers(options, network)
    if options.trains_encoder:
        check_prior(network)
    if network.classes and options.labels != "folders":
        raise LatentfillError("--classes needs labelled pictures", "Give --labels folders instead of --classes.")
    if options.labels == "folders":
        data, held_out = label_by_folder(data), 0  # the last pictures may be all pictures of a class
        network = replace(network, classes=len(data.classes))
    most = min(held_out, len(data) // 10)
    count = context.distributed.on_rank_zero(lambda: count_held_out(folder, most))
    learnt, kept = split(data, count if count >= FEWEST else 0)
    learnt = learnt or data
    needed = options.batch_size * options.discriminator_steps
    check_pictures(learnt, network.size, network.channels, options.batch_size, needed)

    def trainer(device: torch.device, options: TrainOptions) -> GanTrainer:
        generator, discriminator = model_file.build_networks(network, options.seed)
        encoder = model_file.build_residual_encoder(network, seed=options.seed) if options.trains_encoder else None
        for part in (generator, discriminator, *((encoder,) if encoder else ())):
            part.precision = choose_precision(options.precision, device)
            part.to(device)
        if begin:
            load_weights(begin, generator, discriminator, encoder)
        return GanTrainer(generator, discriminator, resolve_augment(options, len(learnt)), network, encoder)

    options, images = split_options(epochs_to_images(warm_start_options(options, begin), len(learnt)), network)
    samples, processes = (
        options.batch_size - round(options.redrawn_share * options.batch_size),
        context.distributed.group.size,
    )
    if options.reconstruct and 0 < samples < processes:
        what = f"only {samples} of {options.batch_size} fakes are samples: too few for {processes} processes"
        raise LatentfillError(what, "Give a smaller --redrawn-share or a larger --batch-size.")
    fixed: dict[str, dict[str, Any]] = {"network": asdict(network)}
    fixed["data"] = {"held_out": 0 if kept is None else len(kept)}
    if data.classes:
        fixed["labels"] = {"classes": list(data.classes)}
    game = run_training(trainer, learnt, folder, Subject("gan", fixed), options, run, context, kept)
    if not images:
        yield from game
        return
    yield from train_with_completer(
        game, data, folder, network, options, images, fixed["data"]["held_out"], run, context
    )


def warm_start_options(options: TrainOptions, begin: Gan | None) -> TrainOptions:
    """The options of a training that begins with a model: what a GAN has learnt is not to be lost at once.

    One that has played need not learn to redraw first, which blurs what it draws; and one that has played at this size
    bears no more than a small rate, as its D would see nothing.
    """
    if begin is None or isinstance(begin.discriminator, ConstantDiscriminator):
        return options
    rate = options.learning_rate or (BEGUN_RATE if "images_seen" in begin.about else 0.0)
    return replace(options, redraw_first=0, learning_rate=rate)


def load_weights(begin: Gan, *networks: nn.Module | None) -> None:
    """Give fresh networks, G, D and perhaps an encoder, the weights of a model; what it has not stays fresh.

    An encoder takes those of the completer's if there is no other. Raises RunError when its networks are others.
    """
    encoder = getattr(begin.completer, "encoder", None) if begin.encoder is None else begin.encoder
    for network, old in zip(networks, (begin.generator, begin.discriminator, encoder), strict=False):
        if network is networks[0] and type(network) is not type(old):
            raise RunError("the model to begin with has another kind of generator", "Give the same --networks.")
        if network is None or not isinstance(old, nn.Module) or type(network) is not type(old):
            continue
        try:
            network.load_state_dict(old.state_dict())
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            what = f"the model to begin with has other networks ({str(error).splitlines()[1].strip()})"
            raise RunError(what, "Give the options it was trained with, as `latentfill info` shows them.") from error
