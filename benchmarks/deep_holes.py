"""Whether a search beats one pass of the completer where the hole is deep: `latentfill evaluate` with more methods.

`paper-400` and `seed-400` are those presets with 400 steps, `steps` is `best` with its steps in every hole. All words
go to `latentfill evaluate`, such as FACES --out FOLDER --holes half --methods fast,paper-400.
"""

import sys
from dataclasses import replace
from math import inf

from latentfill.cli.main import run
from latentfill.completion import one_pass
from latentfill.evaluation.methods import METHODS, Method, Resources, search_method
from latentfill.evaluation.metrics import Where
from latentfill.options import COMPLETE_PRESETS
from latentfill.types import PixelBatch


def best_with_steps(resources: Resources) -> Method:
    """`best`, as if no hole were deep."""
    best = METHODS["best"](resources)

    def complete(pictures: PixelBatch, holes: Where) -> PixelBatch:
        usual, one_pass.SHALLOW = one_pass.SHALLOW, inf
        try:
            return best.complete(pictures, holes)
        finally:
            one_pass.SHALLOW = usual

    return Method(complete, {**best.about, "deep": "none"})


if __name__ == "__main__":
    METHODS["steps"] = best_with_steps
    for preset in ("paper", "seed"):
        METHODS[f"{preset}-400"] = search_method(replace(COMPLETE_PRESETS[preset], steps=400))
    sys.exit(run(["evaluate", *sys.argv[1:]]))
