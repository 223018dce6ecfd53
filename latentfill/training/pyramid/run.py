"""A run that trains a Laplacian pyramid."""

from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path

import torch

from ...errors import LatentfillError
from ...gan import building
from ...gan.device import choose_precision
from ...options import NetworkOptions, RunOptions, TrainOptions
from ..dataset import Dataset, check_pictures
from ..folder import Subject, check_options
from ..record import Progress
from ..run import follow, in_images
from ..watching.learner import ALONE, Caller
from .trainer import PyramidTrainer

# What the game of a level listens to; anything else that people ask for is refused rather than passed over.
SERVED = {
    *("images_seen", "epochs", "batch_size", "learning_rate", "beta1", "beta2", "generator_steps"),
    *("annealed", "decay", "average_half_life", "flip", "precision", "seed"),
}


def train_pyramid(
    data: Dataset,
    folder: Path,
    network: NetworkOptions,
    options: TrainOptions,
    run: RunOptions,
    caller: Caller = ALONE,
) -> Iterator[Progress]:
    """Train a pyramid until `options.images_seen`, as `run.follow` does. Raises ValueError as `run.train` does.

    Raises LatentfillError for other networks, and for options that its levels have no use for.
    """
    check_options(network, options, run)
    if network.networks != "pyramid":
        what = f"{network.networks} networks have no levels to train one by one"
        raise LatentfillError(what, "Leave out --networks, or train them with --kind gan.")
    check_served(options)
    check_pictures(data, network.size, network.channels, options.batch_size, options.batch_size)

    def learner(device: torch.device, options: TrainOptions) -> PyramidTrainer:
        generator, discriminator = building.pyramid(network, options.seed)
        generator.precision = discriminator.precision = choose_precision(options.precision, device)
        return PyramidTrainer(generator.to(device), discriminator.to(device), options, network)

    options = in_images(options, len(data))
    yield from follow(learner, data, folder, Subject("lapgan", {"network": asdict(network)}), options, run, caller)


def check_served(options: TrainOptions) -> None:
    """Raise LatentfillError for options that would change nothing."""
    asked = [field.name for field in fields(options) if getattr(options, field.name) != field.default]
    if unserved := [f"--{name.replace('_', '-')}" for name in asked if name not in SERVED]:
        raise LatentfillError(
            f"a pyramid's levels are trained without {', '.join(unserved)}",
            "Leave that out, or train the pyramid as one: --kind gan --networks pyramid.",
        )
