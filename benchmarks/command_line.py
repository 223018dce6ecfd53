"""How long `--help` takes, what a command costs before it works, and the memory of `train` and `complete`.

The cost is processor seconds of a fresh process, the least of several in turns, so that other work counts little; what
`import torch` alone takes is one of the rows. Memory is for 10, 1,000 and 10,000 pictures.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from math import inf
from pathlib import Path

import numpy as np
from machine import heading, table
from PIL import Image

COMMAND = [sys.executable, "-m", "latentfill"]
COUNTS = (10, 1_000, 10_000)


def seconds(words: list[str], rounds: int = 15) -> list[float]:
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run([*COMMAND, *words], check=True, stdout=subprocess.DEVNULL)
        taken.append(time.perf_counter() - start)
    return taken


def usage_of(command: list[str]) -> resource.struct_rusage:
    """What one command used."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} ended with {status}")
    return usage


def peak_megabytes(words: list[str]) -> float:
    """The largest resident set of one command, files it has mapped included."""
    return usage_of([*COMMAND, *words]).ru_maxrss / 1024


def cold_starts(root: Path, rounds: int) -> list[tuple[str, str]]:
    """Processor seconds of a fresh process for each of a few commands, the least of some rounds."""
    from skimage.data import astronaut

    photo, faces = str(root / "astronaut.png"), root / "faces"
    Image.fromarray(astronaut()).save(photo)  # type: ignore[no-untyped-call]
    usage_of([*COMMAND, "align", photo, str(faces), "--size", "128"])
    fast = ["--preset", "fast", "--threads", "1", "--overwrite", "--out"]
    commands = {
        "import torch": [sys.executable, "-c", "import torch"],
        "complete, an aligned face": [*COMMAND, "complete", str(faces / "astronaut.png"), "--hole", "center"],
        "complete, a photo": [*COMMAND, "complete", photo, "--hole", "ellipse:224,133,21,27"],
        "sample": [*COMMAND, "sample", "flowers-64", str(root / "samples"), "--count", "1"],
    }
    for name in ("complete, an aligned face", "complete, a photo"):
        commands[name] += [*fast, str(root / name)]
    least = dict.fromkeys(commands, inf)
    for _ in range(rounds):
        for name, command in commands.items():
            usage = usage_of(command)
            least[name] = min(least[name], usage.ru_utime + usage.ru_stime)
    return [(name, f"{seconds:.2f}") for name, seconds in least.items()]


def draw_pictures(folder: Path, count: int) -> None:
    """Discs of random colours, 16x16."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:16, :16]
    for i in range(count):
        middle, radius = rng.integers(5, 11, 2), rng.integers(3, 7)
        inside = ((y - middle[0]) ** 2 + (x - middle[1]) ** 2 < radius**2)[..., None]
        picture = np.where(inside, rng.integers(0, 256, 3), rng.integers(0, 256, 3)).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"{i:05}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="*", default=list(COUNTS))
    parser.add_argument("--rounds", type=int, default=5, help="of the cold starts")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        print(heading("Cold start"))
        print(table(("command", "processor seconds"), cold_starts(Path(name), arguments.rounds)) + "\n")
    print(heading("Help"))
    rows = []
    for words in (["--help"], ["train", "--help"], ["complete", "--help"]):
        taken = seconds(words)
        rows.append((f"latentfill {' '.join(words)}", f"{statistics.median(taken):.3f}", f"{max(taken):.3f}"))
    print(table(("command", "seconds (median of 15)", "longest"), rows))
    print("\n" + heading("Memory"))
    rows = []
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for count in arguments.counts:
            pictures, run = root / f"pictures-{count}", root / f"run-{count}"
            draw_pictures(pictures, count)
            shape = ["--size", "16", "--base", "16", "--batch-size", "8", "--cache", str(root / "cache")]
            train = ["train", str(pictures), "--run", str(run), *shape, "--images-seen", str(max(2_000, count))]
            complete = ["complete", str(pictures), "--out", str(root / f"out-{count}"), "--model", str(run)]
            trained = peak_megabytes(train)
            completed = peak_megabytes([*complete, "--steps", "2", "--every", "0"])
            rows.append((f"{count:,}", f"{trained:.0f}", f"{completed:.0f}"))
    print(table(("pictures", "train, peak MB", "complete, peak MB"), rows))


if __name__ == "__main__":
    main()
