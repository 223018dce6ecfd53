"""A run that trains a Laplacian pyramid."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch

from ...errors import LatentfillError
from ...gan import building
from ...gan.device import choose_precision
from ...options import NetworkOptions, RunOptions, TrainOptions
from ..dataset import Dataset, check_pictures
from ..folder import Subject, check_options, check_served
from ..record import Progress
from ..run import follow, in_images
from ..watching.learner import ALONE, Caller
from .trainer import PyramidTrainer

CURE = "Leave that out, or train the pyramid as one: --kind gan --networks pyramid."


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
    check_served(options, "a pyramid's levels are", CURE, besides={"generator_steps"})
    check_pictures(data, network.size, network.channels, options.batch_size, options.batch_size)

    def learner(device: torch.device, options: TrainOptions) -> PyramidTrainer:
        generator, discriminator = building.pyramid(network, options.seed)
        generator.precision = discriminator.precision = choose_precision(options.precision, device)
        return PyramidTrainer(generator.to(device), discriminator.to(device), options, network)

    options = in_images(options, len(data))
    yield from follow(learner, data, folder, Subject("lapgan", {"network": asdict(network)}), options, run, caller)
