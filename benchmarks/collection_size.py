"""How many pictures a collection needs: the same training on 100, 500, 2,000 pictures and so on, judged on others.

    python benchmarks/collection_size.py COLLECTION... --unseen PICTURES --out FOLDER --counts 100,500,2000

Both are files or folders, as for `latentfill train`; the first pictures of COLLECTION are learnt from, so they should
lie in random order. Each training is `latentfill train FOLDER/N` with --size and
--images-seen, on one thread. What it then completes with one pass are unseen pictures, by the judge (AUC 0.5 is
chance; share of pairs fooled, 0.5 at best), and by PSNR in the hole; and, by PSNR alone, pictures it has learnt from:
what these are better by was learnt by heart. The linear model learns from the same pictures.

The same command goes on where it stopped; what is done is only read again.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

from machine import heading, table

from latentfill.files.listing import find_pictures

HOLES = ("center", "half")
UNSEEN = 256  # pictures that are completed and judged
LEARNT = 100  # of those learnt from, the first, for PSNR alone


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("collection", type=Path, nargs="+")
    parser.add_argument("--unseen", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--counts", default="100,500,2000,10000")
    parser.add_argument("--size", default="32")
    parser.add_argument("--images-seen", default="48000")
    arguments = parser.parse_args()
    rows = []
    for count in map(int, arguments.counts.split(",")):
        folder, run = arguments.out / str(count), arguments.out / f"run-{count}"
        copy_first(arguments.collection, count, folder)
        count = len(list(folder.iterdir()))
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        call("train", folder, "--run", run, "--size", arguments.size, "--images-seen", arguments.images_seen)
        minutes = (resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before) / 60
        judged = evaluate(
            arguments.unseen, run, arguments.out / f"unseen-{count}", UNSEEN, "fast,linear", "--train", folder
        )
        learnt = evaluate(folder, run, arguments.out / f"learnt-{count}", LEARNT, "fast")
        for hole in HOLES:
            cells = [
                find(judged, method, hole, metric) for metric in ("judge-auc", "p-ids") for method in ("fast", "linear")
            ]
            psnr = [find(report, "fast", hole, "psnr", "hole") for report in (judged, learnt)]
            rows.append([f"{count:,}", hole, *cells, *psnr, f"{minutes:.0f}"])
    print(heading(f"{arguments.images_seen} pictures seen at {arguments.size} pixels, from so many different ones"))
    head = ["pictures", "hole", "AUC", "linear's", "fooled", "linear's", "PSNR, unseen", "PSNR, learnt", "CPU minutes"]
    print(table(head, rows))


def copy_first(places: list[Path], count: int, folder: Path) -> None:
    """Copy the first pictures of the places into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, source in enumerate(islice(find_pictures(places), count)):
        file = folder / f"{number:05}{Path(source.name).suffix}"
        if not file.exists():
            file.write_bytes(source.bytes())


def evaluate(pictures: Path, run: Path, out: Path, count: int, methods: str, *more: str | Path) -> dict[str, Any]:
    """The report of some methods on so many pictures."""
    words: list[str | Path] = [
        "--model",
        run,
        "--out",
        out,
        "--count",
        str(count),
        "--methods",
        methods,
        "--holes",
        ",".join(HOLES),
    ]
    call("evaluate", pictures, *words, *more)
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    return report


def call(*words: str | Path) -> None:
    """Run `latentfill` on one thread, what it says on stderr."""
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, "-m", "latentfill", *map(str, words), "--threads", "1"]
    subprocess.run(command, stdout=sys.stderr, check=True, env=environment)


def find(report: dict[str, Any], method: str, hole: str, metric: str, region: str = "") -> str:
    """A value of a report, in the table's digits."""
    for row in report["rows"]:
        if (row["method"], row["hole"], row["metric"]) == (method, hole, metric) and region in ("", row["region"]):
            return f"{row['value']:.1f}" if metric == "psnr" else f"{row['value']:.2f}"
    return "-"


if __name__ == "__main__":
    main()
