"""The interface of trainers, and the context that provides what training must not import itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, final, runtime_checkable

import torch
from torch import Tensor, nn

from ..gan.encoder import ContextEncoder
from ..gan.gan import Gan
from ..options import TrainOptions
from ..types import Images
from .distributed import SINGLE_PROCESS, DistributedContext
from .logs import Curves, Summary
from .watchdog import Others


@runtime_checkable
class Trainer(Protocol):
    """A trainer: learns from one batch after another, and knows no files."""

    images_seen: int

    @property
    def curves(self) -> Curves:
        """The columns of its metrics.csv."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The endings of the names of its model files."""

    @property
    def real_images(self) -> int:
        """The number of real images in a step."""

    @property
    def images_per_step(self) -> int:
        """The number that a step adds to `images_seen`."""

    @property
    def precision(self) -> torch.dtype: ...

    @property
    def learning_rate(self) -> float: ...

    def step(self, real: Images) -> dict[str, Tensor]:
        """Learn from one batch, of no real images if it takes none; returns what was measured, for plain means."""

    def is_finite(self) -> bool:
        """True if every weight still is a number."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...

    def graph(self) -> tuple[nn.Module, tuple[Tensor, ...]] | None: ...

    def summary(self, values: Mapping[str, Tensor]) -> Summary:
        """The summary for people, from the values of the last step."""

    def models(self, about: Mapping[str, Any]) -> Mapping[str, Gan | ContextEncoder]:
        """The contents of the model files, by suffix."""


Make = Callable[[torch.device, TrainOptions], Trainer]  # makes an untrained trainer; options may change in a run


@runtime_checkable
class Scorer(Protocol):
    """A score of models: a search for completions and distances of collections, which a training does not know."""

    @property
    def curves(self) -> Curves:
        """The columns it adds to metrics.csv."""

    def __call__(self, gan: Gan, samples: Images, held_out: Others, real: Others) -> Summary:
        """Scores by column and a sheet of completions, given samples, pictures never learnt from, and others.

        There are no samples of a model that is not to be judged by them. A `score`, the larger the better, says which
        model of a training is the best; without one it is the PSNR.
        """


@final
@dataclass(frozen=True)
class TrainingContext:
    """The command and machine that start a training, and what they lend it."""

    command: str = ""
    """as it was given, for the report"""
    machine: str = ""
    """what it runs on, in words"""
    scorer: Scorer | None = field(default=None, compare=False)
    completer_scorer: Scorer | None = field(default=None, compare=False)
    """of the completer that learns after a game"""
    distributed: DistributedContext = SINGLE_PROCESS
    """the processes that this one trains with"""
    stop: Callable[[], bool] = field(default=lambda: False, compare=False)
    """whether somebody wants the training to be saved and left"""

    def facts(self) -> dict[str, Any]:
        """The facts that a run notes."""
        return {"processes": self.distributed.group.size, "command": self.command, "machine": self.machine}


DEFAULT_CONTEXT = TrainingContext()
