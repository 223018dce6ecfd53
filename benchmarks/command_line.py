"""How long `--help` takes, and the memory of `train` and `complete` on 10, 1,000 and 10,000 pictures."""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
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


def peak_megabytes(words: list[str]) -> float:
    """The largest resident set of one command, files it has mapped included."""
    process = subprocess.Popen([*COMMAND, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"latentfill {' '.join(words)} ended with {status}")
    return usage.ru_maxrss / 1024


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
    arguments = parser.parse_args()
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
