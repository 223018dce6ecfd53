"""The loop of a run: learn from a batch, record, save, and go back when the watchdog says so.

A run is a folder: its options, its losses, its samples, its checkpoints and model files. The same command continues
it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from math import isfinite
from pathlib import Path
from typing import Any, TextIO, cast, final

import torch
from torch import Tensor

from ..device import choose_device
from ..errors import LatentfillError, RunError, explain, is_out_of_memory
from ..gan import model_file
from ..options import RunOptions, TrainOptions
from ..process_group import use_process_group
from ..types import Images
from . import checkpoints
from .data import Dataset, check_pictures, split, write_rejected
from .dry_run import dry_run
from .folder import Subject, check_same, claim, origin, write_options
from .interfaces import DEFAULT_CONTEXT, Make, TrainingContext
from .interfaces import Trainer as Learner
from .logs import Clock, Means, Progress, Record
from .validation import Validation, sample_by_class
from .watchdog import COMPARED, CURES, ROLLBACKS, Alarm, Symptom, Trouble, Watchdog, WatchdogState, alarm, not_finite


@final
class CheckpointManager:
    """Writes into one folder. The watchdog says which checkpoint must stay."""

    def __init__(self, folder: Path, data: Dataset | None, keep: int, watch: Watchdog) -> None:
        self.folder, self.data, self.keep, self.watch = folder, data, keep, watch
        self.checkpoints = folder / "checkpoints"

    def save(self, trainer: Learner) -> None:
        """Save a checkpoint, with the watchdog's state if it is on."""
        state = trainer.state_dict()
        if self.watch.run.watch:
            state["watchdog"] = self.watch.state_dict()
        good = self.watch.choose_checkpoint(self._images_seen(), trainer.images_per_step)
        checkpoints.save(self.checkpoints, trainer.images_seen, state, self.keep, good)

    def read_good(self, trainer: Learner, trouble: Trouble) -> dict[str, Any] | None:
        """The checkpoint to go back to after such trouble, or None: then from the beginning."""
        seen = self.watch.choose_checkpoint(self._images_seen(), trainer.images_per_step, trouble)
        return checkpoints.read_newest(self.checkpoints, lambda one: one == seen)[0]

    def save_models(self, trainer: Learner, name: str = "model") -> None:
        """The model files, by the name they begin with."""
        for kind, model in trainer.models(self.about(trainer)).items():
            model_file.save(model, self.folder / f"{name}{kind}.safetensors")

    def about(self, trainer: Learner) -> Mapping[str, Any]:
        """The description of how a model was made."""
        about: dict[str, Any] = {"images_seen": trainer.images_seen, "pictures": len(self.data or ()), **origin()}
        if self.data and self.data.alignment is not None:
            about |= {"alignment": dict(self.data.alignment)}
        if self.data and self.data.classes:
            about |= {"classes": dict(self.data.classes)}
        return about

    def models_are_stale(self, trainer: Learner) -> bool:
        """True if the model files are older than the newest checkpoint, or not there."""
        last = checkpoints.list_checkpoints(self.checkpoints)[0].stat().st_mtime_ns
        paths = [self.folder / f"model{kind}.safetensors" for kind in trainer.suffixes]
        return not all(path.exists() and path.stat().st_mtime_ns >= last for path in paths)

    def _images_seen(self) -> list[int]:
        return [int(path.stem) for path in checkpoints.list_checkpoints(self.checkpoints)]


DRAWS = ("gan", "vae", "lapgan")  # kinds whose sheets are samples of the model


@final
class Loop:
    """One process's share in a run."""

    def __init__(
        self,
        make: Make,
        data: Dataset | None,
        folder: Path,
        subject: Subject,
        options: TrainOptions,
        run: RunOptions,
        context: TrainingContext,
        held_out: Images | None,
        device: torch.device,
    ) -> None:
        self.make, self.data, self.folder, self.subject = make, data, folder, subject
        self.options, self.run, self.context, self.device = options, run, context, device
        self.distributed, self.stopped = context.distributed, False
        draws = subject.kind in DRAWS
        self.record: Record | None = None
        self.watch = Watchdog(options, run, sample_by_class(data, COMPARED) if draws and data else None)
        self.keeper = CheckpointManager(folder, data, run.keep_checkpoints, self.watch)
        self.quality = Validation(folder, data, held_out, context.scorer, draws, options.seed)
        state, self.broken = self.distributed.on_rank_zero(lambda: checkpoints.read_newest(folder / "checkpoints"))
        if state:
            self.watch.load_state_dict(state.get("watchdog"), state["images_seen"])
        self._take(state)
        self.resumed_from = self.trainer.images_seen
        if (
            self.distributed.is_rank_zero and self.saved and self.keeper.models_are_stale(self.trainer)
        ):  # the process was killed in between, or the models were deleted
            self.keeper.save_models(self.trainer)

    @property
    def done(self) -> bool:
        return self.trainer.images_seen >= self.options.images_seen

    def batches(self) -> Iterator[Progress]:
        """Train to the end, and save whenever that is due."""
        if self.done:
            return
        self.told: list[str] = []
        self.whole = True  # whether the trainer is between two steps and its numbers are finite
        try:
            self.distributed.on_rank_zero(self._open)
            self._count()
            while not self.done:
                try:
                    self._advance()
                except Alarm as alarm:
                    if not self.run.watch:
                        raise
                    self._go_back(alarm)
                    continue
                now, told, self.told = self.trainer.images_seen, tuple(self.told), []
                rate, begun = self.clock.rate(now), (self.resumed_from, self.broken)
                yield Progress(now, self.options.images_seen, rate, self.losses, *begun, told, self.stopped)
        except LatentfillError:
            self.whole = False  # the state could not or should not be saved
            raise
        finally:
            try:
                if self.distributed.is_rank_zero and self.whole and self.saved < self.trainer.images_seen:
                    self._save()
            finally:
                if self.record:
                    self.record.close()

    def _open(self) -> None:
        """Say what begins, or goes on."""
        facts = {"images_seen": self.saved, "pictures": len(self.data or ()), "device": str(self.device)}
        facts |= {"precision": str(self.trainer.precision).removeprefix("torch."), **self.context.facts()}
        self.told += write_options(self.folder, self.subject, self.options, self.run, facts, self.data)
        write_rejected(self.folder / "rejected.csv", self.data.rejected if self.data else ())
        if not self.saved:
            self.quality.reset()
        self._begin()
        if not self.saved and (graph := self.trainer.graph()):
            self._get_record().graph(*graph)

    def _begin(self) -> None:
        """Record what follows, from the trainer's place on."""
        self.record = Record(self.folder, self.saved, {**self.trainer.curves, **self.quality.curves})

    def _count(self) -> None:
        self.clock, self.means = Clock(self.saved), Means()
        self.losses, self.scores = dict[str, float](), dict[str, float]()

    def _advance(self) -> None:
        """One batch, and all that is due after it, which the leader does."""
        seen = self.trainer.images_seen
        values = self._step(seen)
        self.means.add(values)
        self.watch.add(values)
        r = self.run
        every = (r.log_every, r.sample_every, r.score_every, r.checkpoint_every, r.snapshot_every)
        if not self.losses or any(self._due(one, seen) for one in every):
            self.losses = self.distributed.on_rank_zero(lambda: self._process_step(values, seen))

    def _process_step(self, values: Mapping[str, Tensor], seen: int) -> dict[str, float]:
        """Record, check, score and save what is due; returns the losses to report."""
        trainer, run, record = self.trainer, self.run, self._get_record()
        now = trainer.images_seen
        due = self._due(run.log_every, seen)
        if due or not self.losses:
            self.losses = self.means.read()
            self._check_numbers(all(map(isfinite, self.losses.values())))
        if self.done or _due(run.checkpoint_every, seen, now):
            self._check_numbers(trainer.is_finite())
        measured: dict[str, float] = {}
        if self._due(run.sample_every, seen):
            exhibit = trainer.summary(values)
            if run.watch and _due(run.sample_every, seen, now) and (sign := self.watch.check(now, exhibit.sheets)):
                raise alarm(sign, now, self.saved)
            record.show(now, exhibit)
            measured = dict(exhibit.scores)
        if self.quality.is_due(run.score_every, seen, now, self.done):
            measured |= self._validate(measured)
        self.scores |= measured
        if due:
            pace = {"images_per_second": self.clock.lap(now), "learning_rate": trainer.learning_rate}
            record.metrics(now, self.losses | pace | self.scores)
            self.means, self.scores = Means(), {}
        if _due(run.checkpoint_every, seen, now):
            self._save()
        if _due(run.snapshot_every, seen, now):
            self.keeper.save_models(trainer, f"models/{now:010}")
        return self.losses

    def _step(self, seen: int) -> dict[str, Tensor]:
        o, count = self.options, self.trainer.real_images
        real, labels = torch.empty(0, 0, 0, 0), None
        if self.data and count:
            first, part = seen // self.trainer.images_per_step * count, self.distributed.rows
            real = self.data.batch(first, count, seed=o.seed, flip=o.flip, part=part).to(self.device)
            labels = self.data.batch_labels(first, count, seed=o.seed, part=part)
        self.whole = False
        trainer: Any = self.trainer  # pictures have labels only for a trainer that takes them
        given = (real,) if labels is None else (real, torch.from_numpy(labels).to(self.device))
        try:
            with use_process_group(self.distributed.group):
                own: dict[str, Tensor] = trainer.step(*given)
            values, self.stopped = self.distributed.gather_metrics(own, self.context.stop())
        except RuntimeError as error:
            raise self.distributed.explain_loss(error) from error
        self.whole = True
        return values

    def _due(self, every: int, seen: int) -> bool:
        return self.done or _due(every, seen, self.trainer.images_seen)

    def _validate(self, known: Mapping[str, float]) -> Mapping[str, float]:
        now, found = (
            self.trainer.images_seen,
            self.quality.validate(self.trainer, self.keeper.about(self.trainer), known),
        )
        for name, images in found.sheets.items():
            self._get_record().sheet(name, now, images)
        distances = found.distances
        if distances is not None and (sign := self.watch.check_copies(now, distances, self.quality.usual_distance())):
            self._report(sign, now, CURES["copies"])
        return found.scores

    def _take(self, state: dict[str, Any] | None) -> None:
        """A trainer with the settings in force, as it was in a checkpoint, or one that has learnt nothing."""
        self.trainer = self.make(self.device, self.watch.options_in_force)
        if state:
            try:
                self.trainer.load_state_dict(state)
            except (KeyError, ValueError, RuntimeError) as error:
                if is_out_of_memory(error):
                    raise
                what = f"{self.folder}: its checkpoint is not of these networks ({str(error).splitlines()[0]})"
                raise RunError(what, "Give the options it was begun with, or another --run.") from error
        self.saved = self.trainer.images_seen

    def _go_back(self, alarm: Alarm) -> None:
        """Go on from the last good checkpoint with a changed setting; if that was tried often enough, stop there."""
        self.whole = False
        now, tired = self.trainer.images_seen, self.watch.is_exhausted

        def decide() -> tuple[str, dict[str, Any] | None, WatchdogState]:
            exact = self.trainer.precision == torch.float32
            done = "nothing helps, and the training stops" if tired else self.watch.adjust(alarm.sign, exact)
            return done, self.keeper.read_good(self.trainer, alarm.sign.trouble), self.watch.memory

        def record_rollback() -> None:
            self._save()
            self._get_record().close()
            self._begin()
            self._report(alarm.sign, now, f"back to {self.saved:,} images, {done}")

        done, state, self.watch.memory = self.distributed.on_rank_zero(decide)
        self._take(state)
        self.watch.restart(self.saved)
        self.distributed.on_rank_zero(record_rollback)
        self._count()
        if tired:
            raise RunError(f"{alarm.what}; going back {ROLLBACKS} times did not help", alarm.cure)
        self.whole = True

    def _get_record(self) -> Record:
        return cast(Record, self.record)  # the leader has a record from its start

    def _report(self, sign: Symptom, now: int, done: str) -> None:
        self._get_record().warn(self.saved, {"images_seen": now, **asdict(sign), "done": done})
        self.told.append(f"at {now:,} images: {sign.saw} (limit {sign.limit:.3g}); {done}")

    def _save(self) -> None:
        self._check_numbers(self.trainer.is_finite())
        try:
            self._get_record().flush()
        finally:  # save the model even if drawing the curves fails
            self.keeper.save(self.trainer)
            self.saved = self.trainer.images_seen
        if self.saved:  # an untrained network is no model
            self.keeper.save_models(self.trainer)

    def _check_numbers(self, healthy: bool) -> None:
        if not healthy:
            now = self.trainer.images_seen
            raise alarm(not_finite(), now, self.saved)


def _due(every: int, before: int, now: int) -> bool:
    return every > 0 and before // every < now // every


def run_training(
    trainer: Make,
    data: Dataset | None,
    folder: Path,
    subject: Subject,
    options: TrainOptions,
    run: RunOptions,
    context: TrainingContext = DEFAULT_CONTEXT,
    held_out: Images | None = None,
) -> Iterator[Progress]:
    """Train until `options.images_seen`, yielding after every batch; go on from the newest checkpoint if there is one.

    Closing the iterator saves, once. So does an error, unless it tore a step apart: no uninterrupted run would have
    had such a state, and the last checkpoint stays the place to go on from. A run that has seen enough yields nothing.
    The watchdog may go back to an earlier checkpoint (see `watching`). A dry run yields once, and writes nothing.

    Raises RunError when the folder belongs to something else or to another process, when it cannot be written to, and
    when training breaks down and nothing helps: what is no longer a number is never saved.
    """
    distributed = context.distributed
    device = distributed.device or choose_device(run.device)
    distributed.check_batch(options.batch_size)
    distributed.check_same("options", subject, options, run.dry_run)
    distributed.check_same("pictures", data.names if data else ())
    if run.threads:
        torch.set_num_threads(run.threads)
    if run.dry_run:
        check_same(folder, subject, options)
        yield dry_run(trainer, data, folder, options, run, device, distributed)
        return
    locks: list[TextIO] = []

    def enter() -> None:
        locks.append(claim(folder))
        check_same(folder, subject, options)

    try:
        distributed.on_rank_zero(enter)
        yield from Loop(trainer, data, folder, subject, options, run, context, held_out, device).batches()
    except OSError as error:
        raise explain(error, folder, RunError) from error
    finally:
        for lock in locks:
            lock.close()


def epochs_to_images(options: TrainOptions, pictures: int) -> TrainOptions:
    """The same options with epochs converted to images seen, for a number of pictures."""
    return replace(options, images_seen=max(1, round(options.epochs * pictures))) if options.epochs else options


def prepare_pictures(
    data: Dataset, size: int, channels: int, options: TrainOptions, held_out: int = 0
) -> tuple[Dataset, Images | None, TrainOptions]:
    """The pictures to learn from, those that are held out, and the options in images seen.

    Raises ValueError for pictures of another shape, DataError if they are fewer than a batch.
    """
    pictures, kept = split(data, held_out)
    pictures = pictures or data
    check_pictures(pictures, size, channels, options.batch_size, options.batch_size)
    return pictures, kept, epochs_to_images(options, len(pictures))
