"""`train` on Ray Train: the work of torchrun's processes, in workers that Ray starts, and restarts if one is lost."""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from ..errors import LatentfillError, RunError, explain
from ..options.commands import TrainCommand
from ..runs.checkpoints import list_checkpoints
from ..runs.distributed import DistributedContext, ProcessLostError, current_context
from ..runs.remote_pictures import is_remote
from .connection import Fleet, connect, disconnect

Work = Callable[[TrainCommand, DistributedContext, Callable[[], bool]], None]
IN_VAIN = 3  # restarts without a new checkpoint in between, after which we give up
STOP, LOG, ERROR = "stop", "told.txt", "error.json"  # files in RUN/_ray, through which driver and workers communicate
LOOK_EVERY_SECONDS = 0.3


def train(options: TrainCommand, work: Work) -> int:
    """Start or join Ray, train there until done or stopped, and show the output of the workers' leader.

    `work` is what each worker does until its last argument says that it is to stop; it is pickled.
    """
    if options.record.dry_run:
        raise LatentfillError("--dry-run works on one machine only", "Leave out --engine ray.")
    options = _make_absolute(options)
    notes = options.run / "_ray"
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    fleet = connect(options.where, options.record.device, options.record.threads, options.where.workers or None)
    options = replace(options, record=replace(options.record, threads=fleet.threads))
    try:
        notes.mkdir(parents=True, exist_ok=True)
        for name in (STOP, LOG, ERROR):
            (notes / name).unlink(missing_ok=True)

        def request_stop(number: int, frame: FrameType | None) -> None:
            if (notes / STOP).exists():  # the user has asked twice
                raise KeyboardInterrupt
            (notes / STOP).touch()
            print("\nStopping after this batch; again to leave at once.", file=sys.stderr)

        for number in before:
            signal.signal(number, request_stop)  # Ray's own handler exits at once
        with _show_log(notes / LOG):
            _fit(options, fleet, work)
    except OSError as error:
        raise explain(error, notes, RunError) from error
    finally:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        disconnect()
        for number, handler in before.items():
            signal.signal(number, handler)
    if (notes / ERROR).exists():
        said = json.loads((notes / ERROR).read_text())
        raise LatentfillError(said["what"], said["cure"])
    print(options.run / "model.safetensors")
    return 0


def _fit(options: TrainCommand, fleet: Fleet, work: Work) -> None:
    """Train, and restart as long as there is a new checkpoint each time."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    # Ray's own handler of Ctrl-C kills the workers; ours lets them save.
    kind: Any = type("Trainer", (TorchTrainer,), {"_register_sigint_handler": lambda trainer, controller: None})
    each = {"CPU": fleet.cpus, **({"GPU": 1.0} if fleet.gpus else {})}
    trainer = kind(
        _worker,
        train_loop_config={"options": options, "work": work},
        torch_config=TorchConfig(backend=None if fleet.gpus else "gloo"),
        scaling_config=ScalingConfig(num_workers=fleet.workers, use_gpu=bool(fleet.gpus), resources_per_worker=each),
        run_config=RunConfig(
            storage_path=str(options.run / "_ray"), name="train", failure_config=FailureConfig(max_failures=IN_VAIN)
        ),
    )
    while True:
        before = _newest(options.run)
        try:
            trainer.fit()
            return
        except KeyboardInterrupt:
            raise
        except Exception as error:  # Ray's own errors, which change between its versions
            if (options.run / "_ray" / ERROR).exists():
                return
            if _newest(options.run) == before:
                raise RunError(
                    f"the workers were lost {IN_VAIN + 1} times: {str(error).splitlines()[0]}",
                    "See their memory and Ray's logs; the same command goes on from the newest checkpoint.",
                ) from error


def _worker(config: dict[str, Any]) -> None:
    """Train as one worker. An error that the user can mend is noted, and no reason to start it anew."""
    import ray.train
    from ray.train.torch import get_device

    options, place = config["options"], ray.train.get_context()
    notes = options.run / "_ray"
    distributed = current_context(get_device(), place.get_local_rank())
    options = replace(options, record=replace(options.record, device=str(distributed.device or get_device())))
    file = (notes / LOG if distributed.is_rank_zero else Path(os.devnull)).open("a", buffering=1)
    try:
        with redirect_stderr(file), redirect_stdout(sys.stderr):
            should_stop = (notes / STOP).exists if distributed.is_rank_zero else lambda: False
            config["work"](options, distributed, should_stop)
    except ProcessLostError:
        raise
    except LatentfillError as error:
        making = notes / f"{ERROR}.{place.get_world_rank()}"
        making.write_text(json.dumps({"what": error.what, "cure": error.cure}))
        making.replace(notes / ERROR)
    finally:
        file.close()


def _make_absolute(options: TrainCommand) -> TrainCommand:
    """The same options with paths that mean the same wherever a worker is started."""

    def whole(place: str) -> str:
        return place if is_remote(place) else os.path.abspath(place)

    cache = options.record.cache
    named = {"model": options.model, "begin": options.begin}
    paths: Any = {name: os.path.abspath(value) for name, value in named.items() if value and Path(value).exists()}
    record = replace(options.record, cache=cache and os.path.abspath(cache))
    return replace(options, data=tuple(map(whole, options.data)), run=options.run.absolute(), record=record, **paths)


def _newest(run: Path) -> str:
    return " ".join(
        path.name for at in (run, *run.glob("completer-*")) for path in list_checkpoints(at / "checkpoints")[:1]
    )


@contextmanager
def _show_log(path: Path) -> Iterator[None]:
    """Within the block, show what is written to a file."""
    over = threading.Event()
    follower = threading.Thread(target=_follow, args=(path, over.wait), daemon=True)
    follower.start()
    try:
        yield
    finally:
        over.set()
        follower.join()


def _follow(path: Path, wait: Callable[[float], bool]) -> None:
    shown = 0
    while True:
        last = wait(LOOK_EVERY_SECONDS)
        with suppress(OSError), path.open(encoding="utf-8", errors="replace") as file:
            file.seek(shown)
            sys.stderr.write(file.read())
            sys.stderr.flush()
            shown = file.tell()
        if last:
            return
