"""What training in several processes survives: each fault at so many random moments, and how long until it goes on.

worker: kill -9 of a worker under torchrun, which starts the rest anew. launcher: kill -9 of torchrun; the workers save
and leave, and the same command goes on. cut: everything is killed and the newest checkpoint cut in half. disk: files
may grow no more (RLIMIT_FSIZE) until a checkpoint fails. shard: a tar is cut at a random byte before the start.
Time to recover is from the fault, or from the start of the same command where somebody has to give it, to the first
checkpoint beyond the newest before. At the end every row of metrics.csv should be there once, and the weights be to the
bit those of a training that nothing happened to. What is done is kept in OUT/faults.jsonl, so the same command goes on.
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from machine import heading, table
from PIL import Image

from latentfill.runs import checkpoints

PICTURES, SHARDS, SIZE, BATCH, EVERY = 96, 3, 8, 4, 40
NEVER = 10**9
PATIENCE = 300  # seconds
FLAGS = ["--preset", "seed", "--size", str(SIZE), "--base", "2", "--latent", "4", "--batch-size", str(BATCH)]
FLAGS += ["--precision", "fp32", "--device", "cpu", "--threads", "1"]
FLAGS += ["--score-every", "0", "--sample-every", str(NEVER)]
FLAGS += ["--checkpoint-every", str(EVERY), "--log-every", str(EVERY)]


@final
class Training:
    """One run under torchrun, and what can happen to it."""

    def __init__(self, home: Path, name: str, processes: int) -> None:
        self.home, self.folder, self.processes = home, home / name, processes
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, images: int = NEVER) -> None:
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--max-restarts", "100"]
        launch += [
            "--nproc-per-node",
            str(self.processes),
            "-m",
            "--",
            "latentfill",
            "train",
            str(self.home / "shards"),
        ]
        given = ["--run", str(self.folder), "--cache", str(self.home / "cache"), "--images-seen", str(images)]
        with (self.home / f"{self.folder.name}.txt").open("ab") as said:
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            self.process = subprocess.Popen([*launch, *given, *FLAGS], stdout=said, stderr=said, env=environment)

    @property
    def workers(self) -> list[int]:
        pid = self.running.pid
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    @property
    def running(self) -> "subprocess.Popen[bytes]":
        if self.process is None:
            raise RuntimeError("not started")
        return self.process

    def newest(self) -> int:
        return max((int(path.stem) for path in checkpoints.list_checkpoints(self.folder / "checkpoints")), default=0)

    def beyond(self, images: int) -> float:
        """Seconds until there is a checkpoint of more images."""
        begun = time.monotonic()
        while self.newest() <= images:
            if time.monotonic() - begun > PATIENCE or self.running.poll() is not None:
                raise SystemExit(f"did not go on beyond {images} images: see {self.home}/{self.folder.name}.txt")
            time.sleep(0.02)
        return time.monotonic() - begun

    def stop(self) -> None:
        """As the system does it that wants the machine: everything saves and leaves."""
        for worker in self.workers:
            os.kill(worker, signal.SIGTERM)
        self.running.wait(PATIENCE)

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        workers = self.workers
        for pid in (self.running.pid, *workers):
            os.kill(pid, signal.SIGKILL)
        self.running.wait()
        gone(workers)


def gone(workers: list[int]) -> None:
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        time.sleep(0.02)


def worker(training: Training, chance: random.Random) -> float:
    before = training.newest()
    os.kill(chance.choice(training.workers), signal.SIGKILL)
    return training.beyond(max(before, training.newest()))


def launcher(training: Training, chance: random.Random) -> float:
    workers = training.workers
    os.kill(training.running.pid, signal.SIGKILL)
    training.running.wait()
    gone(workers)
    before = training.newest()
    training.start()
    return training.beyond(before)


def cut(training: Training, chance: random.Random) -> float:
    training.kill()
    last = checkpoints.list_checkpoints(training.folder / "checkpoints")[0]
    os.truncate(last, last.stat().st_size // 2)
    training.start()
    return training.beyond(int(last.stem))


def disk(training: Training, chance: random.Random) -> float:
    before, begun = training.newest(), time.monotonic()
    for pid in training.workers:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
    training.beyond(before)  # the workers that come after those that failed may write again
    return time.monotonic() - begun


def shard(training: Training, chance: random.Random) -> float:
    """A folder with a damaged shard is learnt from as far as it is whole, in a run of its own."""
    path = sorted((training.home / "shards").glob("*.tar"))[chance.randrange(SHARDS)]
    whole = path.read_bytes()
    other = Training(training.home, "damaged", training.processes)
    shutil.rmtree(other.folder, ignore_errors=True)
    path.write_bytes(whole[: chance.randrange(1, len(whole) - 1100)])
    try:
        other.start()
        seconds = other.beyond(0)
        other.stop()
        if path.name not in (other.folder / "rejected.csv").read_text():
            raise SystemExit(f"{path.name} was cut, and nobody was told")
    finally:
        path.write_bytes(whole)
    return seconds


FAULTS: dict[str, Callable[[Training, random.Random], float]] = {
    "worker": worker,
    "launcher": launcher,
    "cut": cut,
    "disk": disk,
    "shard": shard,
}


def draw(home: Path) -> None:
    """Shards of generated pictures."""
    rng = np.random.Generator(np.random.Philox(key=1))
    (home / "shards").mkdir(parents=True)
    for number in range(SHARDS):
        with tarfile.open(home / "shards" / f"{number}.tar", "w") as tar:
            for i in range(number, PICTURES, SHARDS):
                picture = home / f"{i:03}.png"
                Image.fromarray(rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)).save(picture)
                tar.add(picture, picture.name)
                picture.unlink()


def compare(training: Training) -> str:
    """The run to its end, against one that nothing happened to."""
    end = (training.newest() // EVERY + 2) * EVERY
    shutil.rmtree(training.home / "undisturbed", ignore_errors=True)  # of a comparison before, to fewer images
    other = Training(training.home, "undisturbed", training.processes)
    for one in (training, other):
        one.start(end)
        if one.running.wait(PATIENCE):
            raise SystemExit(f"did not end well: see {one.home}/{one.folder.name}.txt")
    states = [checkpoints.read_newest(one.folder / "checkpoints")[0] for one in (training, other)]
    if states[0] is None or states[1] is None:
        raise SystemExit("a checkpoint is missing")
    same = all(torch.equal(states[0]["generator"][n], tensor) for n, tensor in states[1]["generator"].items())
    rows = [
        [row.split(",")[0] for row in (one.folder / "metrics.csv").read_text().split()] for one in (training, other)
    ]
    missing, twice = set(rows[1]) - set(rows[0]), len(rows[0]) - len(set(rows[0]))
    verdict = "equal to the bit" if same else "DIFFERENT"
    return f"After {end:,} images weights are {verdict}; rows of metrics.csv: {len(missing)} missing, {twice} doubled."


def kept(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        yield from map(json.loads, path.read_text().splitlines())


def trial(training: Training, fault: str, moment: int, longest: float) -> float:
    """Seconds to recover from a fault at a random moment."""
    chance = random.Random(f"{fault} {moment}")
    if fault == "shard":
        if training.runs:
            training.stop()
        return shard(training, chance)
    if not training.runs:
        training.start()
    training.beyond(training.newest())
    time.sleep(chance.uniform(0, longest))
    return FAULTS[fault](training, chance)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--moments", type=int, default=10, help="how often each happens")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--longest", type=float, default=1.0, help="seconds of training before a fault, at most")
    arguments = parser.parse_args()
    file = arguments.out / "faults.jsonl"
    if not (arguments.out / "shards").exists():
        draw(arguments.out)
    done = {(row["fault"], row["moment"]): row["seconds"] for row in kept(file)}
    training = Training(arguments.out.absolute(), "run", arguments.processes)
    for fault in arguments.faults:
        for moment in range(arguments.moments):
            if (fault, moment) in done:
                continue
            done[fault, moment] = trial(training, fault, moment, arguments.longest)
            row = {"fault": fault, "moment": moment, "seconds": done[fault, moment]}
            with file.open("a") as out:
                out.write(json.dumps(row) + "\n")
            print(row, flush=True)
    if training.runs:
        training.stop()
    verdict = compare(training)
    rows = []
    for fault in arguments.faults:
        some = [seconds for (name, _), seconds in done.items() if name == fault]
        rows.append((fault, len(some), f"{statistics.median(some):.1f} ({min(some):.1f} to {max(some):.1f})"))
    print(heading(f"Faults of training in {arguments.processes} processes, a checkpoint every {EVERY} images"))
    print(table(("fault", "moments", "seconds until it goes on: median (from, to)"), rows))
    print(f"\n{verdict}")


if __name__ == "__main__":
    main()
