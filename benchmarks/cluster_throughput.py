"""Pictures per second of the plain loop and of actors on Ray with as many threads in all, and an actor's memory.

The pace is that between the first and the last fifth of the answers, so starting is left out; it is told besides.
"""

import argparse
import os
import shutil
import time
from pathlib import Path

from generated import generate
from machine import heading, table
from rayjobs import start, workers

from latentfill.models import DEFAULT

EDGE = 0.2


def megabytes(process: int) -> float:
    """Of its own in memory, without what it shares with files and other processes."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return 0.0


def measure(
    words: list[object], out: Path, count: int, marks: list[int]
) -> tuple[float, float, float, dict[int, float]]:
    """Pictures per second; seconds to the first answer; cores in use; and at so many answers the memory of a worker."""
    shutil.rmtree(out, ignore_errors=True)
    began, before = time.time(), os.times()
    driver = start([*words, "--out", out], out.with_suffix(".log"))
    memory: dict[int, float] = {}
    while driver.poll() is None:
        time.sleep(0.5)
        if marks and marks[0] <= count and sum(1 for _ in out.glob("*.json")) >= marks[0]:
            try:
                memory[marks.pop(0)] = max(map(megabytes, workers() or [driver.pid]))
            except OSError:
                continue
    if driver.returncode:
        raise SystemExit(f"left with {driver.returncode}: see {out.with_suffix('.log')}")
    wall, after = time.time() - began, os.times()
    busy = (after.children_user + after.children_system - before.children_user - before.children_system) / wall
    moments = sorted(path.stat().st_mtime for path in out.rglob("*.json") if "_run" not in path.parts)
    first, last = moments[int(EDGE * count)], moments[int((1 - EDGE) * count)]
    return (1 - 2 * EDGE) * count / (last - first), moments[0] - began, busy, memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=2_000, help="pictures for the pace")
    parser.add_argument("--memory", type=int, nargs="*", default=[1_000, 5_000, 10_000, 20_000, 50_000])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--presets", nargs="+", default=["fast", "best"])
    parser.add_argument("--model", default=DEFAULT)
    arguments = parser.parse_args()
    place = generate(arguments.out / "faces", arguments.count, arguments.model)
    rows = []
    for preset in arguments.presets:
        words = ["complete", place, "--preset", preset, "--model", arguments.model, "--threads", arguments.threads]
        words += ["--every", 0, "--max-images", arguments.count]
        ways = {"plain": [], "ray": ["--engine", "ray", "--workers", arguments.threads]}
        paces: dict[str, list[float]] = {way: [] for way in ways}
        told = {}
        for _ in range(arguments.rounds):
            for way, more in ways.items():
                pace, first, busy, _ = measure([*words, *more], arguments.out / way, arguments.count, [])
                paces[way].append(pace)
                told[way] = first, busy
        for way, some in paces.items():
            some.sort()
            middle = some[len(some) // 2]
            against = middle / sorted(paces["plain"])[len(some) // 2]
            cores = f"{told[way][1]:.2f}" if way == "plain" else "-"
            spread = f"{middle:.1f} ({some[0]:.1f} to {some[-1]:.1f})"
            rows.append((preset, way, spread, f"{against:.2f}", f"{told[way][0]:.1f}", cores))
    print(
        heading(f"{arguments.count:,} pictures: one process of {arguments.threads} threads, and as many actors of one")
    )
    head = ("preset", "way", "pictures/s", "against plain", "s to the first answer", "cores in use")
    print(table(head, rows), "\n", flush=True)
    if arguments.memory:
        most = max(arguments.memory)
        place = generate(arguments.out / "many", most, arguments.model)
        words = ["complete", place, "--preset", "fast", "--model", arguments.model, "--engine", "ray"]
        words += ["--workers", arguments.threads, "--threads", arguments.threads]
        _, _, _, memory = measure(words, arguments.out / "memory", most, sorted(arguments.memory))
        print(heading("Memory of the larger worker while a folder is completed"))
        print(table(("answers", "MB of its own"), [(f"{n:,}", f"{mb:.0f}") for n, mb in memory.items()]))


if __name__ == "__main__":
    main()
