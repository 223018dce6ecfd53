"""Kills and broken disks while a folder is completed on Ray: is each picture in the manifest once, and how soon is it
going again? What is done is kept in OUT/faults.jsonl, so the same command goes on.
"""

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from generated import generate
from machine import heading, table
from rayjobs import faulty, parts, start, workers

from latentfill.models import DEFAULT

PATIENCE_SECONDS = 1800.0
FAULTS = ("actor", "driver", "node", "full disk", "truncated input", "truncated output")


class Stage:
    """Where trials are made: some pictures, a cluster of two nodes, and the command."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        from ray.cluster_utils import Cluster

        self.arguments, self.folder = arguments, arguments.out
        self.cluster = Cluster(initialize_head=True, head_node_args={**self.node, "include_dashboard": False})
        self.cluster.add_node(**self.node)
        os.environ["RAY_ADDRESS"] = self.cluster.address
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

    @property
    def node(self) -> dict[str, Any]:
        return {"num_cpus": max(1, self.arguments.workers // 2), "object_store_memory": 100_000_000}

    def words(self, place: Path, out: Path, *more: object) -> list[object]:
        given = ["--model", self.arguments.model, "--preset", self.arguments.preset, "--threads", 1]
        ray = ["--engine", "ray", "--workers", self.arguments.workers]
        return ["complete", place, "--out", out, *given, *ray, *more]

    def run(self, words: list[object], expected: tuple[int, ...] = (0,)) -> float:
        began = time.monotonic()
        code = start(words, self.folder / "faults.log").wait(PATIENCE_SECONDS * 20)
        if code not in expected:
            raise SystemExit(f"{' '.join(map(str, words))} left with {code}: see {self.folder / 'faults.log'}")
        return time.monotonic() - began


def names(place: Path) -> set[str]:
    return {path.relative_to(place).as_posix() for path in place.rglob("*.png")}


def wait(what: Callable[[], object]) -> float:
    """Seconds until it is so."""
    began = time.monotonic()
    while not what():
        if time.monotonic() - began > PATIENCE_SECONDS:
            raise SystemExit("nothing happened for half an hour")
        time.sleep(0.05)
    return time.monotonic() - began


def kill(stage: Stage, fault: str, place: Path, out: Path, at: int, driver: "subprocess.Popen[bytes]") -> Any:
    """Do it once so many blocks are done. Returns the driver that goes on, and the seconds until a block is done."""
    wait(lambda: (parts(out) >= at and workers()) or driver.poll() is not None)
    if driver.poll() is not None:
        raise SystemExit("all was done before the moment had come: take more pictures")
    before = parts(out)
    began = time.monotonic()
    if fault == "actor":
        os.kill(random.choice(workers()), signal.SIGKILL)
    elif fault == "node":
        stage.cluster.remove_node(next(iter(stage.cluster.worker_nodes)))
        stage.cluster.add_node(**stage.node)
    else:
        driver.kill()
        driver.wait()
        driver = start(stage.words(place, out), stage.folder / "faults.log")
    wait(lambda: parts(out) > before or driver.poll() is not None)
    return driver, time.monotonic() - began


def through_three_kills(stage: Stage) -> dict[str, Any]:
    """The folder that the issue asks for."""
    place = generate(stage.folder / "faces", stage.arguments.count, stage.arguments.model)
    out = stage.folder / "completed"
    began, seconds = time.monotonic(), []
    driver = start(stage.words(place, out), stage.folder / "faults.log")
    wait(lambda: (out / "_run" / "asked.json").exists())
    blocks = -(-stage.arguments.count // json.loads((out / "_run" / "asked.json").read_text())["block"])
    for fault, share in (("actor", 0.2), ("driver", 0.45), ("actor", 0.7)):
        driver, recovered = kill(stage, fault, place, out, int(share * blocks), driver)
        seconds.append(f"{fault} {recovered:.1f} s")
    code = driver.wait(PATIENCE_SECONDS * 20)
    wrong = faulty(out, names(place)) or ("" if code == 0 else f"left with {code}")
    return {
        "fault": "three kills",
        "moment": 0,
        "wrong": wrong,
        "seconds": ", ".join(seconds),
        "wall": time.monotonic() - began,
    }


def trial(stage: Stage, fault: str, moment: int) -> dict[str, Any]:
    """One fault at one random moment, on a small folder, and the same command afterwards."""
    chance = random.Random(f"{fault} {moment}")
    place = generate(stage.folder / "few", stage.arguments.each, stage.arguments.model)
    out = stage.folder / "trial"
    shutil.rmtree(out, ignore_errors=True)
    seconds = 0.0
    if fault in ("actor", "driver", "node"):
        driver = start(stage.words(place, out, *small(stage)), stage.folder / "faults.log")
        wait(lambda: (out / "_run" / "asked.json").exists())
        time.sleep(chance.random())
        driver, seconds = kill(stage, fault, place, out, chance.randrange(BLOCKS - 1), driver)
        driver.wait(PATIENCE_SECONDS)
        stage.run(stage.words(place, out, *small(stage)))
        wrong = faulty(out, names(place))
    elif fault == "full disk":
        wrong, seconds = on_a_full_disk(stage, place, out, chance)
    elif fault == "truncated output":
        words = stage.words(place, out, *small(stage), "--write", "tar")
        stage.run(words)
        shard = chance.choice(sorted((out / "shards").glob("*.tar")))
        os.truncate(shard, chance.randrange(shard.stat().st_size))
        seconds = stage.run(words)
        wrong = faulty(out, names(place))
    else:
        wrong, seconds = with_a_truncated_input(stage, place, out, chance)
    return {"fault": fault, "moment": moment, "wrong": wrong, "seconds": seconds}


BLOCKS = 6  # of a small folder


def small(stage: Stage) -> list[object]:
    """Options that cut a small folder into enough blocks for a moment to be random."""
    return ["--batch-size", max(1, stage.arguments.each // BLOCKS // 4)]


def on_a_full_disk(stage: Stage, place: Path, out: Path, chance: random.Random) -> tuple[str, float]:
    """On a disk that has room for a part of the answers, and is enlarged."""
    out.mkdir()
    size = stage.arguments.each * 14_000  # bytes of all answers: each takes a page or two, and as much for its story
    mounted = ["mount", "-t", "tmpfs", "-o"]
    subprocess.run([*mounted, f"size={int(size * chance.uniform(0.1, 0.7))}", "latentfill", str(out)], check=True)
    try:
        words = stage.words(place, out, *small(stage))
        stage.run(words, (2,))
        subprocess.run([*mounted, f"remount,size={size * 4}", "latentfill", str(out)], check=True)
        seconds = stage.run(words)
        return faulty(out, names(place)), seconds
    finally:
        subprocess.run(["umount", str(out)], check=True)


def with_a_truncated_input(stage: Stage, place: Path, out: Path, chance: random.Random) -> tuple[str, float]:
    """A folder of two shards, of which one is cut short, and mended after the first call."""
    shards = stage.folder / "shards"
    shutil.rmtree(shards, ignore_errors=True)
    shards.mkdir()
    files = sorted(place.rglob("*.png"))
    for i in range(2):
        with tarfile.open(shards / f"{i}.tar", "w") as tar:
            for path in files[i::2]:
                tar.add(path, path.name)
    whole = (shards / "1.tar").read_bytes()
    os.truncate(shards / "1.tar", chance.randrange(512, len(whole) - 10_240))
    words = stage.words(shards, out, *small(stage))
    stage.run(words, (0, 1))
    (shards / "1.tar").write_bytes(whole)
    seconds = stage.run(words)
    return faulty(out, {f"{i}.tar/{path.name}" for i in range(2) for path in files[i::2]}), seconds


def kept(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        yield from map(json.loads, path.read_text().splitlines())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=20_000, help="pictures of the large folder; 0 leaves it out")
    parser.add_argument("--each", type=int, default=240, help="pictures of the small folder, for each moment")
    parser.add_argument("--moments", type=int, default=10, help="for each fault")
    parser.add_argument("--faults", nargs="*", choices=FAULTS, default=FAULTS)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--preset", default="fast")
    arguments = parser.parse_args()
    file = arguments.out / "faults.jsonl"
    arguments.out.mkdir(parents=True, exist_ok=True)
    done = {(row["fault"], row["moment"]): row for row in kept(file)}
    todo = [(fault, i) for fault in arguments.faults for i in range(arguments.moments) if (fault, i) not in done]
    large = arguments.count and ("three kills", 0) not in done
    if todo or large:
        stage = Stage(arguments)
        for fault, moment in [*([("three kills", 0)] if large else []), *todo]:
            row = through_three_kills(stage) if fault == "three kills" else trial(stage, fault, moment)
            done[fault, moment] = row
            with file.open("a") as out:
                out.write(json.dumps(row) + "\n")
            print(row, flush=True)
        stage.cluster.shutdown()  # type: ignore[no-untyped-call]
    print(heading("Faults while pictures are completed on Ray"))
    rows = []
    if three := done.get(("three kills", 0)):
        rows.append(
            (
                f"{arguments.count:,} faces, three kills in {three['wall']:.0f} s",
                1,
                three["wrong"] or "nothing",
                three["seconds"],
            )
        )
    for fault in arguments.faults:
        some = [row for (name, _), row in done.items() if name == fault]
        if some:
            seconds = [row["seconds"] for row in some]
            wrong = "; ".join(sorted({row["wrong"] for row in some if row["wrong"]})) or "nothing"
            told = f"{statistics.median(seconds):.1f} ({min(seconds):.1f} to {max(seconds):.1f})"
            rows.append((fault, len(some), wrong, told))
    print(table(("fault", "times", "lost or doubled", "seconds until it goes on, or is done by the next call"), rows))


if __name__ == "__main__":
    main()
