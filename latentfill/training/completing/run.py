"""The training of a completer as a run: for a finished GAN, from its encoder and generator or from its completer on."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch

from ...gan.checkpoint import weights
from ...gan.device import choose_precision
from ...gan.gan import Gan
from ...gan.options import EncoderOptions
from ...gan.residual.completer import ResidualCompleter, completer_of
from ...options import RunOptions, TrainOptions
from ..completers import ALL, Draw, check_hole
from ..dataset import Dataset, check_pictures, split
from ..encoder import on
from ..folder import Subject, check_options, check_served
from ..record import Progress
from ..run import follow, in_images
from ..watching.learner import ALONE, Caller
from .drawing import draw_hole
from .trainer import CompleterTrainer

HEARD = {"r1", "r2", "penalty_every"}  # options that it listens to beside those of every training


def train_completer(
    gan: Gan,
    data: Dataset,
    folder: Path,
    options: TrainOptions,
    special: EncoderOptions | None = None,
    run: RunOptions | None = None,
    caller: Caller = ALONE,
) -> Iterator[Progress]:
    """Train a completer until `options.images_seen`, as `run.follow` does; the model files hold G, D and the completer.

    It goes on from the model's completer, or else from its encoder and G. Raises ModelError for networks that are not
    residual or were told classes, and ValueError as `run.train` does.
    """
    special, run = special or EncoderOptions(), run or RunOptions()
    check_options(options, special, run)
    check_served(options, "a completer is", "Leave that out, or give --kind gan.", besides=HEARD)
    network = gan.network
    check_hole(special.hole, network.size)
    started = completer_of(gan, options.seed) if gan.completer is None else gan.completer
    if not isinstance(started, ResidualCompleter):
        raise TypeError(f"expected a completer of residual networks, not {type(started)}")
    learnt, held_out = split(data, special.held_out)
    learnt = learnt or data
    check_pictures(learnt, network.size, network.channels, options.batch_size, options.batch_size)
    options = in_images(options, len(learnt))
    hole: str | Draw = special.hole
    if hole == ALL:
        margin = None if data.alignment is None else float(data.alignment.get("margin", 1.0))
        hole = partial(draw_hole, margin=margin)

    def learner(device: torch.device, options: TrainOptions) -> CompleterTrainer:
        completer = deepcopy(started)
        completer.precision = choose_precision(options.precision, device)
        return CompleterTrainer(on(gan, device), completer.to(device), options, hole, held_out)

    about = {
        "network": asdict(network),
        "completer": {"hole": special.hole, "held_out": special.held_out},
        "model": {"generator": weights(gan.generator)[:16]},
    }
    scored = held_out if run.score_every else None
    yield from follow(learner, learnt, folder, Subject("completer", about), options, run, caller, scored)
