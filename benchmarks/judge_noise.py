"""How far the judge's numbers move by chance: by its own seed, and by the noise of the completer.

One pass completes all pictures of a half with the same noise, so a noise that suits many of them flatters the model.
Rows are noises and columns the judge's seeds: AUC and share of pairs fooled, each on the same pictures.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from faces import completed, holes_for, read_faces
from machine import heading, table

from latentfill import load
from latentfill.evaluation.judge import classify
from latentfill.options import COMPLETE_PRESETS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder or archive of aligned, unseen faces")
    parser.add_argument("--model", default="faces-128")
    parser.add_argument("--holes", nargs="+", default=["center", "eyes", "mouth"])
    parser.add_argument("--part", choices=("test", "choose"), default="test")
    parser.add_argument("--count", type=int, default=512)
    parser.add_argument("--noises", type=int, default=3)
    parser.add_argument("--judges", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    gan, rows = load(arguments.model), []
    names, faces = read_faces(arguments.data, gan.network.size, arguments.part, arguments.count)
    originals = np.stack(faces)
    for spec in arguments.holes:
        where = holes_for(spec, names, gan.network.size)
        covered = np.stack(where)
        for noise in range(arguments.noises):
            made = np.stack(completed(gan, faces, where, replace(COMPLETE_PRESETS["fast"], seed=noise))["poisson"])
            row = [spec, str(noise)]
            for seed in range(arguments.judges):
                verdict = classify(originals, made, covered, seed)
                row.append(f"{verdict.auc(0).value:.3f} / {verdict.p_ids.mean():.3f}")
            rows.append(row)
            print(row, flush=True)
    print(heading(f"AUC / fooled of `fast`, {len(faces)} unseen faces"))
    print(table(("hole", "noise", *(f"judge {seed}" for seed in range(arguments.judges))), rows))


if __name__ == "__main__":
    main()
