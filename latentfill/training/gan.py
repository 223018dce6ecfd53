"""The training of a GAN as a run: its networks, fresh or from a model, and then one batch after another."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import LatentfillError, RunError, is_out_of_memory
from ..gan import building
from ..gan.device import choose_precision
from ..gan.gan import Gan
from ..gan.residual.networks import Uncritical
from ..options import NetworkOptions, RunOptions, TrainOptions
from .adversarial.pieces import check_pieces, resolved
from .completing.after import divide, train_after
from .dataset import Dataset, check_pictures, labelled, split
from .folder import Subject, begun_with_held_out, check_options
from .reconstructing.reconstruction import check_prior
from .record import Progress
from .run import follow, in_images
from .trainer import Trainer
from .watching.learner import ALONE, Caller

FEWEST = 16  # pictures to hold out: fewer tell nothing
BEGUN_RATE = 1e-4  # of a training that begins with a GAN, if none is given


def train(
    data: Dataset,
    folder: Path,
    network: NetworkOptions,
    options: TrainOptions,
    run: RunOptions,
    begin: Gan | None = None,
    caller: Caller = ALONE,
    held_out: int = 0,
) -> Iterator[Progress]:
    """Train a GAN until `options.images_seen`, as `follow` does; with `options.completes` the last are a completer's.

    Raises ValueError for pictures of another size too.

    `begin` is a model of the same networks whose weights a new run begins with. The last `held_out` pictures, at most a
    tenth, are never learnt from: by them it is judged. With classes all are learnt from.
    """
    check_options(network, options, run)
    check_pieces(options, network)
    if options.encodes:
        check_prior(network)
    if network.classes and options.labels != "folders":
        raise LatentfillError(
            "classes without labels have nothing to learn", "Give --labels folders instead of --classes."
        )
    if options.labels == "folders":
        data, held_out = labelled(data), 0  # the last pictures may be all there are of a class
        network = replace(network, classes=len(data.classes))
    most = min(held_out, len(data) // 10)
    count = caller.team.led(lambda: begun_with_held_out(folder, most))
    learnt, kept = split(data, count if count >= FEWEST else 0)
    learnt = learnt or data
    needed = options.batch_size * options.discriminator_steps
    check_pictures(learnt, network.size, network.channels, options.batch_size, needed)

    def learner(device: torch.device, options: TrainOptions) -> Trainer:
        generator, discriminator = building.networks(network, options.seed)
        encoder = building.fresh_residual_encoder(network, seed=options.seed) if options.encodes else None
        for part in (generator, discriminator, *((encoder,) if encoder else ())):
            part.precision = choose_precision(options.precision, device)
            part.to(device)
        if begin:
            take_over(begin, generator, discriminator, encoder)
        return Trainer(generator, discriminator, resolved(options, len(learnt)), network, encoder)

    options, images = divide(in_images(begun(options, begin), len(learnt)), network)
    samples, processes = options.batch_size - round(options.redrawn_share * options.batch_size), caller.team.crew.size
    if options.reconstruct and 0 < samples < processes:
        what = f"of {options.batch_size} fakes {samples} are samples, fewer than the {processes} processes"
        raise LatentfillError(what, "Give a smaller --redrawn-share or a larger --batch-size.")
    fixed: dict[str, dict[str, Any]] = {"network": asdict(network)}
    fixed["data"] = {"held_out": 0 if kept is None else len(kept)}
    if data.classes:
        fixed["labels"] = {"classes": list(data.classes)}
    game = follow(learner, learnt, folder, Subject("gan", fixed), options, run, caller, kept)
    if not images:
        yield from game
        return
    yield from train_after(game, data, folder, network, options, images, fixed["data"]["held_out"], run, caller)


def begun(options: TrainOptions, begin: Gan | None) -> TrainOptions:
    """The options of a training that begins with a model: what a GAN has learnt is not to be lost at once.

    One that has played need not learn to redraw first, which blurs what it draws; and one that has played at this size
    bears no more than a small rate, as its D would see nothing.
    """
    if begin is None or isinstance(begin.discriminator, Uncritical):
        return options
    rate = options.learning_rate or (BEGUN_RATE if "images_seen" in begin.about else 0.0)
    return replace(options, redraw_first=0, learning_rate=rate)


def take_over(begin: Gan, *networks: nn.Module | None) -> None:
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
