"""latentfill plot: the loss curves of a training, or of several on one figure."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Gt
from tyro.conf import Positional

from ..errors import LatentfillError


@dataclass(frozen=True)
class Options:
    """Draw the curves of a training, ready to print; several runs share one figure.

    Works at any time, also while the training goes on.
    """

    runs: Positional[tuple[Path, ...]]
    """run folders"""
    out: Path | None = None
    """folder for losses.pdf, losses.svg and losses.png; default: the (first) run folder"""
    rolling: Annotated[int, Gt(0)] | None = None
    """images in the rolling average; default: a fortieth of the run"""
    formats: tuple[Literal["pdf", "svg", "png"], ...] = ("pdf", "svg", "png")
    """which files to write"""


def run(options: Options) -> int:
    """Draw, and print the path of each file."""
    if not options.runs:
        raise LatentfillError("there is no run to plot", "Give the folder that `latentfill train --run` wrote.")
    from ..figures import curves

    metrics = curves.read_all(options.runs)
    for path in curves.write(metrics, options.out or options.runs[0], options.formats, options.rolling):
        print(path)
    return 0
