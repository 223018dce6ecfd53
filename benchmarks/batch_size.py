"""How far a completion depends on the number of pictures that are searched beside it: by rounding only, or more."""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
from faces import completed, holes_for, read_faces
from machine import heading, table

from latentfill import load
from latentfill.models import DEFAULT
from latentfill.options import COMPLETE_PRESETS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder or archive of aligned faces")
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--batches", type=int, nargs="+", default=[2, 8])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    arguments = parser.parse_args()
    gan = load(arguments.model)
    size = gan.network.size
    names, crops = read_faces(arguments.data, size, "choose", max(arguments.batches))
    where = holes_for("center", names, size)
    rows = []
    for precision in arguments.precisions:
        options = dataclasses.replace(COMPLETE_PRESETS["seed"], steps=arguments.steps, precision=precision)
        alone = completed(gan, crops[:1], where[:1], options)["overlay"][0]
        for count in arguments.batches:
            together = completed(gan, crops[:count], where[:count], options)["overlay"][0]
            difference = np.abs(together.astype(int) - alone)[where[0] > 0]
            rows.append((precision, count, int(difference.max()), f"{difference.mean():.3f}"))
    print(heading(f"One picture in a batch against the same alone, {arguments.steps} steps"))
    print(table(("precision", "pictures in the batch", "largest difference, grey levels", "mean in the hole"), rows))


if __name__ == "__main__":
    main()
