"""Pictures per second of one process, of the plain loop that shares them among processes, and of actors on Ray, with as
many threads in all; and an actor's memory.

The pace is that between the first and the last fifth of the answers, so starting is left out; it is told besides.
Cores in use are of the same time, with all processes that were started, Ray's own too.
"""

import argparse
import os
import shutil
import time
from pathlib import Path
from typing import final

from generated import generate
from machine import heading, table
from rayjobs import start, workers

from latentfill.models import DEFAULT

EDGE = 0.2
LOOK_EVERY_SECONDS = 0.5
TICKS = os.sysconf("SC_CLK_TCK")


def megabytes(process: int) -> float:
    """Of its own in memory, without what it shares with files and other processes."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return 0.0


@final
class Tree:
    """A process and all below it: the processor's time they have had, whoever of them has ended since."""

    def __init__(self, root: int) -> None:
        self._known = {root: ""}  # processes, and when each began: numbers are given anew
        self._seconds: dict[tuple[int, str], float] = {}
        self._told: list[tuple[float, float]] = []

    def look(self) -> None:
        """Note what each has had until now. Of one that ends, the time since the last look is missing."""
        found: dict[int, tuple[int, str, float]] = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                words = path.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            found[int(path.parent.name)] = int(words[1]), words[19], (int(words[11]) + int(words[12])) / TICKS
        ours = {
            pid: found[pid][1] for pid, began in self._known.items() if pid in found and began in ("", found[pid][1])
        }
        grown = True
        while grown:  # those whose parent has ended stay known
            more = {pid: began for pid, (parent, began, _) in found.items() if parent in ours and pid not in ours}
            ours, grown = ours | more, bool(more)
        self._known = ours
        for pid, began in ours.items():
            self._seconds[pid, began] = found[pid][2]
        self._told.append((time.time(), sum(self._seconds.values())))

    def cores(self, first: float, last: float) -> float:
        """How many were in use between two moments."""
        some = [told for told in self._told if first <= told[0] <= last]
        return (some[-1][1] - some[0][1]) / (some[-1][0] - some[0][0]) if len(some) > 1 else float("nan")


def measure(
    words: list[object], out: Path, count: int, marks: list[int]
) -> tuple[float, float, float, dict[int, float]]:
    """Pictures per second; seconds to the first answer; cores in use; and at so many answers the memory of a worker."""
    shutil.rmtree(out, ignore_errors=True)
    began = time.time()
    driver = start([*words, "--out", out], out.with_suffix(".log"))
    tree, memory = Tree(driver.pid), dict[int, float]()
    while driver.poll() is None:
        time.sleep(LOOK_EVERY_SECONDS)
        tree.look()
        if marks and marks[0] <= count and answers(out) >= marks[0]:
            try:
                mark = marks.pop(0)
                memory[mark] = max(map(megabytes, workers() or [driver.pid]))
            except OSError:
                continue
            print(f"{mark:,} answers: {memory[mark]:.0f} MB", flush=True)
    if driver.returncode:
        raise SystemExit(f"left with {driver.returncode}: see {out.with_suffix('.log')}")
    moments = sorted(path.stat().st_mtime for path in out.rglob("*.json") if "_run" not in path.parts)
    first, last = moments[int(EDGE * count)], moments[int((1 - EDGE) * count) - 1]
    return (1 - 2 * EDGE) * count / (last - first), moments[0] - began, tree.cores(first, last), memory


def answers(out: Path) -> int:
    """How many there are."""
    return sum(1 for path in out.rglob("*.json") if "_run" not in path.parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=2_000, help="pictures for the pace")
    parser.add_argument("--memory", type=int, nargs="*", default=[1_000, 5_000, 10_000, 20_000, 50_000])
    parser.add_argument("--steps", type=int, help="of each search where memory is looked at; fewer are sooner done")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--presets", nargs="*", default=["fast", "best"], help="for the pace; none leaves it out")
    parser.add_argument("--model", default=DEFAULT)
    arguments = parser.parse_args()
    place = generate(arguments.out / "faces", arguments.count if arguments.presets else 0, arguments.model)
    rows = []
    for preset in arguments.presets:
        words = ["complete", place, "--preset", preset, "--model", arguments.model, "--threads", arguments.threads]
        words += ["--every", 0, "--max-images", arguments.count]
        ways = {
            "one process": ["--workers", 1],
            "plain": [],
            "ray": ["--engine", "ray", "--workers", arguments.threads],
        }
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
            against = middle / sorted(paces["one process"])[len(some) // 2]
            cores = f"{told[way][1]:.2f}"
            spread = f"{middle:.1f} ({some[0]:.1f} to {some[-1]:.1f})"
            rows.append((preset, way, spread, f"{against:.2f}", f"{told[way][0]:.1f}", cores))
    if rows:
        print(
            heading(f"{arguments.count:,} pictures, {arguments.threads} threads in all, of one process or of one each")
        )
        head = ("preset", "way", "pictures/s", "against one process", "s to the first answer", "cores in use")
        print(table(head, rows), "\n", flush=True)
    if arguments.memory:
        most = max(arguments.memory)
        place = generate(arguments.out / "many", most, arguments.model)
        words = ["complete", place, "--preset", "fast", "--model", arguments.model, "--engine", "ray"]
        words += ["--workers", arguments.threads, "--threads", arguments.threads]
        words += ["--steps", arguments.steps] if arguments.steps else []
        _, _, _, memory = measure(words, arguments.out / "memory", most, sorted(arguments.memory))
        print(heading("Memory of the larger worker while a folder is completed"))
        print(table(("answers", "MB of its own"), [(f"{n:,}", f"{mb:.0f}") for n, mb in memory.items()]))


if __name__ == "__main__":
    main()
