"""A run is a folder: its options, its losses, its samples, its checkpoints. The same command continues it."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import torch

from ..errors import DataError, RunError
from ..gan import checkpoint
from ..gan.device import choose_device, choose_precision
from ..gan.gan import Gan
from ..options import NetworkOptions, RunOptions, TrainOptions
from . import checkpoints
from .dataset import Dataset, write_rejected
from .record import Record
from .trainer import Trainer

SAMPLES = 64


@final
@dataclass(frozen=True)
class Progress:
    """Where a run stands: `losses` are means over one batch."""

    images_seen: int
    total: int
    images_per_second: float
    losses: dict[str, float]


def train(
    data: Dataset, folder: Path, network: NetworkOptions, options: TrainOptions, run: RunOptions
) -> Iterator[Progress]:
    """Train until `options.images_seen`, yielding after every batch; go on from the newest checkpoint if there is one.

    Closing the iterator, or any error, saves first. Raises DataError when there are fewer pictures than one batch
    holds and RunError when the folder belongs to a run of other networks.
    """
    if len(data) < options.batch_size:
        raise DataError(
            f"{len(data)} pictures are fewer than one batch of {options.batch_size}",
            f"Add pictures, or train with --batch-size {max(1, len(data))}.",
        )
    device = choose_device(run.device)
    if run.threads:
        torch.set_num_threads(run.threads)
    _check_same(folder, network, options)
    trainer = _trainer(network, options, device)
    state = checkpoints.newest(folder / "checkpoints")
    if state:
        trainer.load_state_dict(state)
    _write_options(folder, network, options, run)
    write_rejected(folder / "rejected.csv", data.rejected)
    record = Record(folder, trainer.images_seen)
    saved = trainer.images_seen if state else -1
    start, first = time.perf_counter(), trainer.images_seen
    try:
        while trainer.images_seen < options.images_seen:
            seen = trainer.images_seen
            real = data.batch(seen, options.batch_size, seed=options.seed, flip=options.flip)
            values = trainer.step(real.to(device))
            now = trainer.images_seen
            losses = {name: value.mean().item() for name, value in values.items()}
            rate = (now - first) / (time.perf_counter() - start)
            if _due(run.log_every, seen, now):
                record.losses(now, losses, rate, values)
            if _due(run.sample_every, seen, now):
                record.samples(now, *_samples(trainer, device))
            if _due(run.checkpoint_every, seen, now):
                _save(folder, trainer, network, run)
                saved = now
            if _due(run.snapshot_every, seen, now):
                _save_models(folder / "models" / f"{now:010}", trainer, network)
            yield Progress(now, options.images_seen, rate, losses)
    finally:
        if saved < trainer.images_seen:
            _save(folder, trainer, network, run)
        record.close()


def _trainer(network: NetworkOptions, options: TrainOptions, device: torch.device) -> Trainer:
    gan = checkpoint.build(network, options.seed)
    precision = choose_precision(options.precision, device)
    gan.generator.precision = gan.discriminator.precision = precision
    return Trainer(gan.generator.to(device), gan.discriminator.to(device), options)


def _samples(trainer: Trainer, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    z = trainer.fixed_latents(SAMPLES).to(device)
    with torch.no_grad():
        return trainer.averaged_generator(1024)(z), trainer.raw_generator()(z)


def _save(folder: Path, trainer: Trainer, network: NetworkOptions, run: RunOptions) -> None:
    checkpoints.save(folder / "checkpoints", trainer.images_seen, trainer.state_dict(), run.keep_checkpoints)
    _save_models(folder / "model", trainer, network)


def _save_models(stem: Path, trainer: Trainer, network: NetworkOptions) -> None:
    about = {"images_seen": trainer.images_seen, "options": asdict(trainer.options)}
    for kind, generator in (("", trainer.averaged_generator()), ("-raw", trainer.raw_generator())):
        gan = Gan(generator, trainer.discriminator, network, about | {"averaged": not kind})
        checkpoint.save(gan, stem.with_name(f"{stem.name}{kind}.safetensors"))


def _due(every: int, before: int, now: int) -> bool:
    return every > 0 and before // every < now // every


def _check_same(folder: Path, network: NetworkOptions, options: TrainOptions) -> None:
    path = folder / "options.json"
    if not path.exists():
        return
    was = json.loads(path.read_text())
    fixed: dict[str, Any] = asdict(network) | {"seed": options.seed, "batch_size": options.batch_size}
    before = was["network"] | {name: was["train"][name] for name in ("seed", "batch_size")}
    changed = [f"{name} {before.get(name)!r}, now {value!r}" for name, value in fixed.items() if before.get(name) != value]
    if changed:
        raise RunError(f"{folder} was begun with {'; '.join(changed)}", "Give the same options, or another --run.")


def _write_options(folder: Path, network: NetworkOptions, options: TrainOptions, run: RunOptions) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"network": asdict(network), "train": asdict(options), "run": asdict(run)}, indent=2)
    making = folder / "options.json.making"
    making.write_text(text + "\n")
    making.replace(folder / "options.json")
