"""A run is a folder: its options, its losses, its samples, its checkpoints. The same command continues it."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any, final

import torch
from pydantic import TypeAdapter

from ..errors import DataError, LatentfillError, RunError
from ..gan import checkpoint
from ..gan.device import choose_device, choose_precision
from ..gan.gan import Gan
from ..options import NetworkOptions, RunOptions, TrainOptions
from . import checkpoints
from .dataset import Dataset, write_rejected
from .folder import check_same, claim, origin, write_options
from .meters import Clock, Means
from .record import Record
from .trainer import Trainer

SAMPLES = 64


@final
@dataclass(frozen=True)
class Progress:
    """Where a run stands. `losses` are means over the batches before the last row of metrics.csv."""

    images_seen: int
    total: int
    images_per_second: float
    losses: Mapping[str, float]
    resumed_from: int = 0
    """images seen when training went on from a checkpoint; 0 when a new model began"""
    broken: tuple[Path, ...] = ()
    """newer checkpoints that could not be read and were passed over"""


def train(
    data: Dataset, folder: Path, network: NetworkOptions, options: TrainOptions, run: RunOptions
) -> Iterator[Progress]:
    """Train until `options.images_seen`, yielding after every batch; go on from the newest checkpoint if there is one.

    Closing the iterator saves, once. So does an error, unless it tore a step apart: no uninterrupted run would have
    had such a state, and the last checkpoint stays the place to go on from. A run that has seen enough yields nothing.

    Raises ValueError for options out of bounds or pictures of another size; DataError when there are fewer pictures
    than one batch holds; RunError when the folder belongs to other networks or to another process, when it cannot be
    written to, and when training breaks down: what is no longer a number is never saved.
    """
    options = _checked(data, network, options, run)
    device = choose_device(run.device)
    if run.threads:
        torch.set_num_threads(run.threads)
    lock = claim(folder)
    try:
        check_same(folder, network, options)
        yield from _Run(data, folder, network, options, run, device).batches()
    except OSError as error:
        raise RunError(
            f"{folder} cannot be written to: {error.strerror or error}",
            "Make room on that disk, or give another --run.",
        ) from error
    finally:
        lock.close()


@final
class _Run:
    """One process's share in a run."""

    def __init__(
        self,
        data: Dataset,
        folder: Path,
        network: NetworkOptions,
        options: TrainOptions,
        run: RunOptions,
        device: torch.device,
    ) -> None:
        self.data, self.folder, self.network, self.options, self.run = data, folder, network, options, run
        self.device = device
        self.trainer = _trainer(network, options, device)
        state, self.broken = checkpoints.newest(folder / "checkpoints")
        if state:
            try:
                self.trainer.load_state_dict(state)
            except (KeyError, ValueError, RuntimeError) as error:
                what = f"{folder}: its checkpoint is not of these networks ({str(error).splitlines()[0]})"
                raise RunError(what, "Give the options it was begun with, or another --run.") from error
        self.resumed_from = self.saved = self.trainer.images_seen
        if state and self._models_are_stale():  # killed between the two, or deleted
            self._save_models(folder / "model")

    @property
    def done(self) -> bool:
        return self.trainer.images_seen >= self.options.images_seen

    def batches(self) -> Iterator[Progress]:
        """Train to the end, and save whenever that is due."""
        if self.done:
            return
        facts = {"images_seen": self.saved, "pictures": len(self.data), "device": str(self.device)}
        facts["precision"] = str(self.trainer.generator.precision).removeprefix("torch.")
        write_options(self.folder, self.network, self.options, self.run, facts)
        write_rejected(self.folder / "rejected.csv", self.data.rejected)
        self.record = Record(self.folder, self.saved)
        self.whole = True  # whether the trainer is between two steps, with numbers that are numbers
        try:
            if not self.saved:
                self.record.graph(self.trainer.generator, self.trainer.discriminator)
            clock, means = Clock(self.saved), Means()
            losses: dict[str, float] = {}
            while not self.done:
                seen = self.trainer.images_seen
                values = self._step(seen)
                now = self.trainer.images_seen
                means.add(values)
                due = self._due(self.run.log_every, seen)
                if due or not losses:
                    losses = means.read()
                    self._check_numbers(all(map(isfinite, losses.values())))
                if due:
                    self._log(losses, clock.lap(now))
                    means = Means()
                if self._due(self.run.sample_every, seen):
                    self._sample(seen, values)
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
                if self.whole and self.saved < self.trainer.images_seen:
                    self._save()
            finally:
                self.record.close()

    def _step(self, seen: int) -> dict[str, torch.Tensor]:
        o = self.options
        real = self.data.batch(seen, o.batch_size, seed=o.seed, flip=o.flip).to(self.device)
        self.whole = False
        values = self.trainer.step(real)
        self.whole = True
        return values

    def _due(self, every: int, seen: int) -> bool:
        return self.done or _due(every, seen, self.trainer.images_seen)

    def _log(self, losses: Mapping[str, float], rate: float) -> None:
        rows = {
            "discriminator_loss": losses["discriminator"],
            "generator_loss": losses["generator"],
            "real_logit": losses["real"],
            "fake_logit": losses["fake"],
            "images_per_second": rate,
            "discriminator_loss_real": losses["discriminator_real"],
            "discriminator_loss_fake": losses["discriminator_fake"],
            "learning_rate": self.trainer.learning_rate,
        }
        self.record.metrics(self.trainer.images_seen, rows)

    def _sample(self, seen: int, values: Mapping[str, torch.Tensor]) -> None:
        now, z = self.trainer.images_seen, self.trainer.fixed_latents(SAMPLES).to(self.device)
        with torch.no_grad():
            self.record.samples(now, self.trainer.averaged_generator(1024)(z), self.trainer.raw_generator()(z))
        self.record.histograms(now, self.trainer.latents(seen, now - seen), values["real"], values["fake"])

    def _save(self) -> None:
        self._check_numbers(self.trainer.is_finite())
        now, state = self.trainer.images_seen, self.trainer.state_dict()
        try:
            self.record.flush()
        finally:  # curves are worth less than the model
            checkpoints.save(self.folder / "checkpoints", now, state, self.run.keep_checkpoints)
            self.saved = now
        self._save_models(self.folder / "model")

    def _save_models(self, stem: Path) -> None:
        about: dict[str, Any] = {"images_seen": self.trainer.images_seen, "pictures": len(self.data), **origin()}
        if self.data.alignment is not None:
            about |= {"alignment": dict(self.data.alignment)}
        averaged, raw = self.trainer.averaged_generator(), self.trainer.raw_generator()
        for kind, generator in (("", averaged), ("-raw", raw)):
            facts = about | {"averaged": not kind, "options": asdict(self.options)}
            gan = Gan(generator, self.trainer.discriminator, self.network, facts)
            checkpoint.save(gan, stem.with_name(f"{stem.name}{kind}.safetensors"))

    def _models_are_stale(self) -> bool:
        last = checkpoints.listed(self.folder / "checkpoints")[0].stat().st_mtime_ns
        paths = [self.folder / f"model{kind}.safetensors" for kind in ("", "-raw")]
        return not all(path.exists() and path.stat().st_mtime_ns >= last for path in paths)

    def _check_numbers(self, healthy: bool) -> None:
        if not healthy:
            last = f"the checkpoint at {self.saved:,} images is whole" if self.saved else "nothing was saved"
            raise RunError(
                f"training broke down near {self.trainer.images_seen:,} images: its losses or weights are no longer "
                f"finite numbers; {last}",
                "Give the same command with half the --learning-rate, or with --precision fp32.",
            )


def _checked(data: Dataset, network: NetworkOptions, options: TrainOptions, run: RunOptions) -> TrainOptions:
    """The same options with epochs turned into images, if all of them and the pictures fit together."""
    for part in (network, options, run):
        TypeAdapter(type(part)).validate_python(asdict(part))  # its ValidationError is a ValueError
    if data.pixels.shape[1:] != (network.size, network.size, network.channels):
        h, w, c = data.pixels.shape[1:]
        raise ValueError(f"pictures of {network.size}x{network.size}x{network.channels} expected, not {h}x{w}x{c}")
    if len(data) < options.batch_size:
        raise DataError(
            f"{len(data)} pictures are fewer than one batch of {options.batch_size}",
            f"Add pictures, or train with --batch-size {max(1, len(data))}.",
        )
    if options.epochs is None:
        return options
    return replace(options, images_seen=max(1, round(options.epochs * len(data))))


def _trainer(network: NetworkOptions, options: TrainOptions, device: torch.device) -> Trainer:
    generator, discriminator = checkpoint.networks(network, options.seed)
    generator.precision = discriminator.precision = choose_precision(options.precision, device)
    return Trainer(generator.to(device), discriminator.to(device), options)


def _due(every: int, before: int, now: int) -> bool:
    return every > 0 and before // every < now // every
