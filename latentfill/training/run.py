"""A run is a folder: its options, its losses, its samples, its checkpoints. The same command continues it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any, Protocol, final, runtime_checkable

import torch
from torch import Tensor, nn

from ..errors import LatentfillError, RunError
from ..gan import checkpoint
from ..gan.context import ContextEncoder
from ..gan.device import choose_device
from ..gan.gan import Gan
from ..options import RunOptions, TrainOptions
from ..types import Images
from . import checkpoints
from .dataset import Dataset, write_rejected
from .folder import Subject, check_same, claim, origin, write_options
from .record import Clock, Curves, Exhibit, Means, Progress, Record


@runtime_checkable
class Learner(Protocol):
    """What a run trains, one batch after another. It knows no files."""

    images_seen: int

    @property
    def curves(self) -> Curves:
        """The columns of its metrics.csv."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """How the names of its model files end."""

    @property
    def real_images(self) -> int:
        """How many real images a step takes."""

    @property
    def images_per_step(self) -> int:
        """By how much a step raises `images_seen`."""

    @property
    def precision(self) -> torch.dtype: ...

    @property
    def learning_rate(self) -> float: ...

    def step(self, real: Images) -> dict[str, Tensor]:
        """Learn from one batch, of no real images if it takes none; returns what was measured, for plain means."""

    def is_finite(self) -> bool:
        """Whether every weight still is a number."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...

    def graph(self) -> tuple[nn.Module, tuple[Tensor, ...]] | None: ...

    def exhibit(self, values: Mapping[str, Tensor]) -> Exhibit:
        """What people look at, given what the last step measured."""

    def models(self, about: Mapping[str, Any]) -> Mapping[str, Gan | ContextEncoder]:
        """What the model files should hold, by suffix."""


def follow(
    learner: Callable[[torch.device], Learner],
    data: Dataset | None,
    folder: Path,
    subject: Subject,
    options: TrainOptions,
    run: RunOptions,
) -> Iterator[Progress]:
    """Train until `options.images_seen`, yielding after every batch; go on from the newest checkpoint if there is one.

    Closing the iterator saves, once. So does an error, unless it tore a step apart: no uninterrupted run would have
    had such a state, and the last checkpoint stays the place to go on from. A run that has seen enough yields nothing.

    Raises RunError when the folder belongs to something else or to another process, when it cannot be written to, and
    when training breaks down: what is no longer a number is never saved.
    """
    device = choose_device(run.device)
    if run.threads:
        torch.set_num_threads(run.threads)
    lock = claim(folder)
    try:
        check_same(folder, subject, options)
        yield from _Run(learner(device), data, folder, subject, options, run, device).batches()
    except OSError as error:
        raise RunError(
            f"{folder} cannot be written to: {error.strerror or error}",
            "Make room on that disk, or give another --run.",
        ) from error
    finally:
        lock.close()


def in_images(options: TrainOptions, pictures: int) -> TrainOptions:
    """The same options with epochs turned into images seen, so many for all pictures once."""
    return replace(options, images_seen=max(1, round(options.epochs * pictures))) if options.epochs else options


@final
class _Run:
    """One process's share in a run."""

    def __init__(
        self,
        learner: Learner,
        data: Dataset | None,
        folder: Path,
        subject: Subject,
        options: TrainOptions,
        run: RunOptions,
        device: torch.device,
    ) -> None:
        self.learner, self.data, self.folder, self.subject = learner, data, folder, subject
        self.options, self.run, self.device = options, run, device
        state, self.broken = checkpoints.newest(folder / "checkpoints")
        if state:
            try:
                learner.load_state_dict(state)
            except (KeyError, ValueError, RuntimeError) as error:
                what = f"{folder}: its checkpoint is not of these networks ({str(error).splitlines()[0]})"
                raise RunError(what, "Give the options it was begun with, or another --run.") from error
        self.resumed_from = self.saved = learner.images_seen
        if state and self._models_are_stale():  # killed between the two, or deleted
            self._save_models(folder / "model")

    @property
    def done(self) -> bool:
        return self.learner.images_seen >= self.options.images_seen

    def batches(self) -> Iterator[Progress]:
        """Train to the end, and save whenever that is due."""
        if self.done:
            return
        pictures, learner = len(self.data or ()), self.learner
        facts = {"images_seen": self.saved, "pictures": pictures, "device": str(self.device)}
        facts["precision"] = str(learner.precision).removeprefix("torch.")
        write_options(self.folder, self.subject, self.options, self.run, facts)
        write_rejected(self.folder / "rejected.csv", self.data.rejected if self.data else ())
        self.record = Record(self.folder, self.saved, learner.curves)
        self.whole = True  # whether the learner is between two steps, with numbers that are numbers
        try:
            if not self.saved and (graph := learner.graph()):
                self.record.graph(*graph)
            clock, means = Clock(self.saved), Means()
            losses: dict[str, float] = {}
            scores: dict[str, float] = {}
            while not self.done:
                seen = learner.images_seen
                values = self._step(seen)
                now = learner.images_seen
                means.add(values)
                due = self._due(self.run.log_every, seen)
                if due or not losses:
                    losses = means.read()
                    self._check_numbers(all(map(isfinite, losses.values())))
                if self._due(self.run.sample_every, seen):
                    exhibit = learner.exhibit(values)
                    self.record.show(now, exhibit)
                    scores = dict(exhibit.scores)
                if due:
                    pace = {"images_per_second": clock.lap(now), "learning_rate": learner.learning_rate}
                    self.record.metrics(now, losses | pace | scores)
                    means, scores = Means(), {}
                if _due(self.run.checkpoint_every, seen, now):
                    self._save()
                if _due(self.run.snapshot_every, seen, now):
                    self._save_models(self.folder / "models" / f"{now:010}")
                yield Progress(now, self.options.images_seen, clock.rate(now), losses, self.resumed_from, self.broken)
        except LatentfillError:
            self.whole = False  # it could not be saved, or should not be
            raise
        finally:
            try:
                if self.whole and self.saved < learner.images_seen:
                    self._save()
            finally:
                self.record.close()

    def _step(self, seen: int) -> dict[str, Tensor]:
        o, count = self.options, self.learner.real_images
        real, labels = torch.empty(0, 0, 0, 0), None
        if self.data and count:
            first = seen // self.learner.images_per_step * count
            real = self.data.batch(first, count, seed=o.seed, flip=o.flip).to(self.device)
            labels = self.data.batch_labels(first, count, seed=o.seed)
        self.whole = False
        learner: Any = self.learner  # pictures have labels only for one that takes them
        values: dict[str, Tensor] = (
            learner.step(real) if labels is None else learner.step(real, torch.from_numpy(labels).to(self.device))
        )
        self.whole = True
        return values

    def _due(self, every: int, seen: int) -> bool:
        return self.done or _due(every, seen, self.learner.images_seen)

    def _save(self) -> None:
        self._check_numbers(self.learner.is_finite())
        now, state = self.learner.images_seen, self.learner.state_dict()
        try:
            self.record.flush()
        finally:  # curves are worth less than the model
            checkpoints.save(self.folder / "checkpoints", now, state, self.run.keep_checkpoints)
            self.saved = now
        self._save_models(self.folder / "model")

    def _save_models(self, stem: Path) -> None:
        about: dict[str, Any] = {"images_seen": self.learner.images_seen, "pictures": len(self.data or ()), **origin()}
        if self.data and self.data.alignment is not None:
            about |= {"alignment": dict(self.data.alignment)}
        if self.data and self.data.classes:
            about |= {"classes": dict(self.data.classes)}
        for kind, model in self.learner.models(about).items():
            checkpoint.save(model, stem.with_name(f"{stem.name}{kind}.safetensors"))

    def _models_are_stale(self) -> bool:
        last = checkpoints.listed(self.folder / "checkpoints")[0].stat().st_mtime_ns
        paths = [self.folder / f"model{kind}.safetensors" for kind in self.learner.suffixes]
        return not all(path.exists() and path.stat().st_mtime_ns >= last for path in paths)

    def _check_numbers(self, healthy: bool) -> None:
        if not healthy:
            last = f"the checkpoint at {self.saved:,} images is whole" if self.saved else "nothing was saved"
            raise RunError(
                f"training broke down near {self.learner.images_seen:,} images: its losses or weights are no longer "
                f"finite numbers; {last}",
                "Give the same command with half the --learning-rate, or with --precision fp32.",
            )


def _due(every: int, before: int, now: int) -> bool:
    return every > 0 and before // every < now // every
