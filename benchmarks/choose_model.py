"""Which model file of a run completes unseen faces best: raw or averaged, early or late.

Measured on pictures that `completion_quality.py` does not use, so that the choice does not flatter the report.
"""

import argparse
from pathlib import Path

from faces import completed, holes_for, read_faces, scores, with_steps
from machine import heading, table

from latentfill import load
from latentfill.options import COMPLETE_PRESETS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder or archive of aligned, unseen faces")
    parser.add_argument("models", type=Path, nargs="+", help="model files")
    parser.add_argument("--holes", nargs="+", default=["center", "random:0.8"])
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--steps", type=int, default=300)
    arguments = parser.parse_args()
    rows = []
    for path in arguments.models:
        gan = load(path)
        names, crops = read_faces(arguments.data, gan.network.size, "choose", arguments.count)
        options = with_steps(COMPLETE_PRESETS["seed"], arguments.steps)
        row = [path.stem]
        for spec in arguments.holes:
            where = holes_for(spec, names, gan.network.size)
            made = completed(gan, crops, where, options)
            row += [f"{scores(made[way], crops, where)[0]:.2f}" for way in ("overlay", "poisson")]
        rows.append(row)
        print(row, flush=True)
    print(heading(f"PSNR in the hole, {arguments.count} unseen faces, preset seed, {arguments.steps} steps"))
    columns = [f"{spec}, {way}" for spec in arguments.holes for way in ("overlay", "poisson")]
    print(table(("model", *columns), rows))


if __name__ == "__main__":
    main()
