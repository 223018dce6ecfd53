"""Photos aligned per second on one core, the share of them that yield a face, and where the time goes.

Processor time is counted, so that a machine that does other things too tells the same.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machine import heading, table

from latentfill.batch import align as cutting
from latentfill.batch.align import Cropper, Task
from latentfill.batch.align_records import new_row
from latentfill.batch.splits import Naming
from latentfill.batch.workers import cores
from latentfill.faces import detector
from latentfill.faces.placement import Placement
from latentfill.files import listing
from latentfill.images import photos
from latentfill.options import Alignment, LandmarkSet, ReadLimits

STAGES: tuple[tuple[str, Any, str], ...] = (
    ("decode", photos, "read"),
    ("detect", detector, "_look"),
    ("landmarks", detector, "_face"),
    ("warp", Placement, "crop"),
    ("write", photos, "write"),
    ("sign, for near-duplicates", cutting, "signature"),
)
WARM_UP = 10  # photos that are cut before the clock starts: models are loaded then


def count_time(seconds: dict[str, float]) -> None:
    """Let the functions of the stages add up the time they take."""

    def counting(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: Any, **options: Any) -> Any:
            start = time.process_time()
            try:
                return function(*words, **options)
            finally:
                seconds[stage] += time.process_time() - start

        return call

    for stage, where, name in STAGES:
        setattr(where, name, counting(stage, getattr(where, name)))


def cropper(out: Path, size: int, landmarks: LandmarkSet, everyone: bool, upsample: int) -> Cropper:
    return Cropper(
        out=out,
        suffix=".png",
        size=size,
        alignment=Alignment(landmarks),
        everyone=everyone,
        skip_multi=False,
        upsample=upsample,
        threshold=0.0,
        max_shear=None,
        points=None,
        limits=ReadLimits(),
        choices="",
        duplicates=True,
    )


def one_core(places: list[Path], cut: Cropper, seconds: dict[str, float]) -> None:
    rows = [(source, new_row(source)) for source in listing.find_pictures(places)]
    stems = Naming(flatten=True)
    tasks = [
        Task(source, type(row)(**{**vars(row), "stem": f"{i}-{stems.stem(row)}"}))
        for i, (source, row) in enumerate(rows)
    ]
    for task in tasks[:WARM_UP]:
        cut(task)
    seconds.clear()
    start, begun = time.process_time(), time.perf_counter()
    done = [cut(task) for task in tasks]
    taken, passed = time.process_time() - start, time.perf_counter() - begun
    kinds = Counter(row.kind for row in done)
    told = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common())
    crops = sum(row.crops for row in done)
    print(f"\n{len(done)} photos: {told}; {crops} crops, yield {kinds['aligned'] / len(done):.2%}. ", end="")
    print(f"**{len(done) / taken:.0f} photos/s on one core** ", end="")
    print(f"by processor time, {len(done) / passed:.0f} by the clock.\n")
    seconds["all else"] = taken - sum(seconds.values())
    print(table(("stage", "ms per photo"), [(stage, f"{s / len(done) * 1e3:.2f}") for stage, s in seconds.items()]))


def command(places: list[Path], size: int) -> tuple[float, float]:
    """Seconds of the whole command on all cores, from its start to its overviews; megabytes of its largest process."""
    with tempfile.TemporaryDirectory() as name:
        words = [sys.executable, "-m", "latentfill", "align", *map(str, places), name, "--size", str(size)]
        start = time.perf_counter()
        subprocess.run(words, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        taken = time.perf_counter() - start
    return taken, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--landmarks", default="inner-eyes-and-bottom-lip", choices=list(detector.MODELS))
    parser.add_argument("--everyone", action="store_true")
    parser.add_argument("--upsample", type=int, default=1)
    arguments = parser.parse_args()
    a = arguments
    print(heading(f"Alignment at {a.size} pixels, {a.landmarks}"))
    seconds: dict[str, float] = defaultdict(float)
    count_time(seconds)
    with tempfile.TemporaryDirectory() as name:
        one_core(a.photos, cropper(Path(name), a.size, a.landmarks, a.everyone, a.upsample), seconds)
    taken, megabytes = command(a.photos, a.size)
    count = sum(1 for _ in listing.find_pictures(a.photos))
    print(f"\n`latentfill align` on {cores()} cores: {taken:.1f} s, {count / taken:.0f} photos/s; ", end="")
    print(f"the largest process holds {megabytes:.0f} MB")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
