"""latentfill train: from a folder of pictures to a model file."""

import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal, final

from tyro.conf import Positional

from ..errors import LatentfillError
from ..options import NetworkOptions, RunOptions, TrainOptions

if TYPE_CHECKING:
    from ..training.dataset import Dataset
    from ..training.record import Progress


@dataclass(frozen=True)
class Options:
    """Learn what a kind of picture looks like, from a folder of them.

    The run folder holds the options, losses, samples, checkpoints and the model file RUN/model.safetensors. Ctrl-C
    saves and leaves; the same command goes on.
    """

    data: Positional[tuple[Path, ...]]
    """pictures: folders of any depth, .zip or .tar archives, files"""
    run: Path
    """folder of this training; made, or continued"""
    preset: Literal["seed"] = "seed"
    """recipe to start from: seed has the original's rates and updates"""
    network: NetworkOptions = field(default_factory=NetworkOptions)
    train: TrainOptions = field(default_factory=TrainOptions)
    record: RunOptions = field(default_factory=RunOptions)

    @staticmethod
    def preset_defaults(name: str | None) -> dict[str, Any]:
        """Nothing to change: the defaults are the preset."""
        return {}


def run(options: Options) -> int:
    """Train until done or stopped. Returns 0, also when stopped: nothing is lost."""
    from setproctitle import setproctitle

    from ..training.run import train
    from .progress import Bar

    setproctitle(f"latentfill train {options.run.name}")
    if not options.data:
        raise LatentfillError("no pictures named", "Write latentfill train PICTURES... --run FOLDER.")
    data = _open(options)
    stop = _StopSignal()
    steps = train(data, options.run, options.network, options.train, options.record)
    first = None
    try:
        with Bar(f"train {options.run.name}", "images") as bar:
            for progress in steps:
                if first is None:
                    first = progress
                    print(_banner(first), file=sys.stderr)
                bar.update(progress.images_seen, progress.total, _losses(progress))
                if stop.came:
                    break
    finally:
        steps.close()  # type: ignore[attr-defined]
        stop.restore()
    if stop.came:
        print(f"Stopped and saved. The same command goes on: {options.run}", file=sys.stderr)
    if first is None:
        print("Nothing to do: it has seen as many images already. Give a larger --images-seen.", file=sys.stderr)
    print(options.run / "model.safetensors")
    return 0


@final
class _StopSignal:
    """Remembers Ctrl-C and SIGTERM, so that the batch at hand is finished before the run is saved."""

    def __init__(self) -> None:
        self.came = False
        self._before = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}

    def restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.came:  # the second time is meant
            raise KeyboardInterrupt
        self.came = True
        print("\nStopping after this batch; again to leave at once.", file=sys.stderr)


def _open(options: Options) -> "Dataset":
    from ..training.dataset import Dataset, build, write_rejected
    from .progress import Bar

    o = options.record
    cache = Path(o.cache) if o.cache else None
    network = options.network
    with Bar("reading pictures", "pictures") as bar:
        for step in build(options.data, network.size, network.channels, cache, o.max_images):
            if isinstance(step, Dataset):
                data = step
            else:
                bar.update(*step)
    if data.rejected:
        where = options.run / "rejected.csv"
        options.run.mkdir(parents=True, exist_ok=True)
        write_rejected(where, data.rejected)
        print(f"left out, because they cannot be read: {len(data.rejected)}, listed in {where}", file=sys.stderr)
    print(f"{len(data)} pictures", file=sys.stderr)
    return data


def _banner(first: "Progress") -> str:
    lines = [f"{path} cannot be read and is passed over" for path in first.broken]
    went_on = f"training continues at {first.resumed_from:,} images" if first.resumed_from else "a new model begins"
    return "\n".join([*lines, went_on])


def _losses(progress: "Progress") -> str:
    return f"D {progress.losses['discriminator']:.3f}  G {progress.losses['generator']:.3f}"
