"""A connection to Ray: on this machine, or to the cluster that RAY_ADDRESS names; and how many actors it can hold."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any, final

from ..batch.workers import cores, is_alive
from ..errors import ExtraError, LatentfillError, cure, is_out_of_memory
from ..options import EngineOptions

ADDRESS = "RAY_ADDRESS"
STORE_BYTES = 150_000_000  # for waiting blocks and results, which are names and numbers; Ray writes the excess to disk
PATIENCE_SECONDS = 300.0  # for machines that are still starting
ASK_AGAIN_SECONDS = 10.0
DEEPEST = 39  # bytes of a folder's path that leave room for Ray's subfolders and a socket
CURES = {
    "af_unix": "Give a shorter TMPDIR.",
    "version mismatch": "Install the same versions of Ray and Python here and on the cluster.",
    "address already in use|port is already|ports are already": "End what uses that port, or let Ray choose one.",
    "/dev/shm|shared memory|object store": "Make room in /dev/shm; of a container, give a larger --shm-size.",
}
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # no telemetry
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_DATA_LOG_LEVEL": "ERROR",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # it prints everything twice
}


@final
@dataclass(frozen=True)
class Fleet:
    """The number of actors, and of each the threads, CPUs and GPUs."""

    workers: int
    threads: int
    cpus: float
    gpus: int


def check_installed() -> None:
    """Raise ExtraError, naming the extra, if Ray or one of its dependencies is missing."""
    for library in ("ray", "pyarrow"):
        if find_spec(library) is None:
            raise ExtraError(
                f"--engine ray needs {library}, which is not installed", "Install it: pip install 'latentfill[ray]'."
            )


def connect(options: EngineOptions, device: str = "cpu", threads: int = 0, most: int | None = None) -> Fleet:
    """Start Ray here, or join the cluster of RAY_ADDRESS. `most` actors have something to do.

    Of CPUs an actor books half of its threads: when a machine is lost, those that are left can take its actors in, and
    nothing waits for ever for a CPU that there is not. Raises LatentfillError where the cluster cannot be reached, or
    is still too small after a while.
    """
    check_installed()
    if device not in ("auto", "cpu", "cuda"):
        raise LatentfillError(f"--device {device}: Ray chooses which one", "Give cpu, cuda, or auto.")
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)  # must be set before the import
    import ray

    address = os.environ.get(ADDRESS)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "namespace": "latentfill"}
    try:
        if address:
            _run_silently(lambda: ray.init(address=address, **quiet))
        else:
            # Ray may be told of more CPUs than there are cores. Then more actors than cores start, and each is slow.
            room: dict[str, Any] = {"num_cpus": max(cores(), options.workers), "object_store_memory": STORE_BYTES}
            room["include_dashboard"] = options.dashboard
            if folder := short_folder(os.environ):
                room["_temp_dir"] = folder
            _run_silently(lambda: ray.init(address="local", **room, **quiet))
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = f"{ADDRESS}={address}" if address else "a Ray cluster on this machine"
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise LatentfillError(f"{where} cannot be reached: {first}", find_cure(error, joined=bool(address))) from error
    until = time.monotonic() + (PATIENCE_SECONDS if address else 0)
    while True:  # machines of a growing cluster may still be starting
        there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        try:
            return _fleet(options, there, device, threads, most, local=not address)
        except LatentfillError as error:
            if time.monotonic() >= until:
                ray.shutdown()
                raise
            print(f"waiting for machines: {error.what}", file=sys.stderr)
            time.sleep(ASK_AGAIN_SECONDS)


def short_folder(environment: Mapping[str, str]) -> str | None:
    """A folder for the files of Ray, should its usual one be too deep: paths of sockets are of 107 bytes at most."""
    usual = environment.get("RAY_TMPDIR") or environment.get("TMPDIR") or ""
    if os.name == "nt" or len(os.fsencode(usual)) <= DEEPEST:
        return None
    usable = (folder for folder in ("/tmp", "/var/tmp", "/dev/shm") if os.access(folder, os.W_OK | os.X_OK))
    return next((f"{folder}/ray-{os.getuid()}" for folder in usable), None)


def find_cure(error: BaseException, *, joined: bool) -> str:
    """A cure for Ray that does not start, or a cluster that is not `joined`, by the words of the error."""
    text = str(error).lower()
    for words, advice in CURES.items():
        if any(word in text for word in words.split("|")):
            return advice
    if joined:
        return f"See that the cluster is up (ray status), or unset {ADDRESS} to work on this machine."
    if is_out_of_memory(error):
        return "Free some memory."
    return cure(error) if isinstance(error, OSError) and error.errno else "See Ray's logs, in /tmp/ray/session_latest."


def disconnect() -> None:
    """Leave the cluster; one of this machine ends."""
    if "ray" in sys.modules:
        import ray

        ray.shutdown()


def clear_up(folder: Path) -> None:
    """Remove what killed workers of this machine have left, each in a folder that has its process' number."""
    for path in folder.glob("*") if folder.is_dir() else ():
        if path.name.isdigit() and (int(path.name) == os.getpid() or not is_alive(int(path.name))):
            shutil.rmtree(path, ignore_errors=True)


def _fleet(
    options: EngineOptions, there: dict[str, float], device: str, threads: int, most: int | None, *, local: bool
) -> Fleet:
    """Plan the actors. Threads are shared out among them on this machine, and are each actor's on a cluster."""
    gpus = int(there.get("GPU", 0))
    if device == "cuda" and not gpus:
        raise LatentfillError("--device cuda: the cluster has no GPU", "Give --device cpu, or add a machine with one.")
    if gpus and device != "cpu":
        workers = _at_most(options.workers or gpus, most)
        if workers > gpus:
            raise LatentfillError(f"--workers {workers}: the cluster has {gpus} GPUs", f"Give at most {gpus}.")
        return Fleet(workers, max(1, threads or (cores() // gpus if local else 4)), 0.5, 1)
    total = cores() if local else int(there.get("CPU", 1))
    each = 1 if local or not threads else threads
    default = max(1, (threads if local and threads else total) // each)
    workers = _at_most(options.workers or default, most)
    if not local and workers * _cpus(each) > total:
        what = f"--workers {workers} of {each} threads: the cluster has {total} CPUs"
        raise LatentfillError(what, "Give fewer, or add machines.")
    if local:
        each = max(1, (threads or total) // workers)
    return Fleet(workers, each, _cpus(each), 0)


def _at_most(workers: int, most: int | None) -> int:
    return workers if most is None else min(workers, most)


def _run_silently(do: Callable[[], object]) -> None:
    """Call without what Ray's own code prints while it begins; errors are raised all the same."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        with _defer_signals():
            do()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextmanager
def _defer_signals() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM count at the end: a Ray that is half begun cannot be ended. A second counts at once."""
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if len(came) > 1:
            raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        signal.signal(number, signal.SIG_IGN if handler == signal.SIG_IGN else note)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
    for number in map(signal.Signals, came):
        handler = before[number]
        if not callable(handler):
            raise KeyboardInterrupt
        handler(number, None)


def _cpus(threads: int) -> float:
    """CPUs that an actor asks for; Ray takes halves of one, but not one and a half."""
    return 0.5 if threads == 1 else threads // 2
