"""How every figure looks, and how one is saved: no screen, no state, the same bytes for the same numbers.

The one place that imports matplotlib.
"""

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from ..files import records
from ..types import Pixels

# matplotlib cannot even be imported where this names a backend that is not installed, such as a notebook's
_backend = os.environ.pop("MPLBACKEND", None)
try:
    import matplotlib as matplotlib
    from matplotlib.axes import Axes as Axes
    from matplotlib.figure import Figure as Figure
    from matplotlib.patches import Rectangle as Rectangle
    from matplotlib.style import library as library
    from matplotlib.ticker import MaxNLocator as MaxNLocator
    from matplotlib.ticker import StrMethodFormatter as StrMethodFormatter
finally:
    if _backend is not None:
        os.environ["MPLBACKEND"] = _backend

Format = Literal["pdf", "svg", "png"]
Style = Any  # matplotlib wants a dictionary whose type names every key

# Okabe and Ito's colours: told apart by the colour-blind, and in grey print
BLUE, ORANGE, GREEN, RED, SKY, PURPLE = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7"
COLOURS = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY)
GREY = "#8c8c8c"
INK = "#222222"

TEXT_STAYS_TEXT: Style = {
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "latentfill",
    "axes.unicode_minus": True,
}
PRINT: Style = TEXT_STAYS_TEXT | {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "savefig.dpi": 300,
}


def save(figure: Figure, path: Path, formats: Sequence[Format], style: Style = PRINT) -> Iterator[Path]:
    """Write the figure as path.pdf, path.svg, path.png and yield each: whole, and with text that stays text."""
    for kind in formats:
        target = path.with_name(f"{path.name}.{kind}")
        _write(figure, target, kind, style)
        yield target


def to_pixels(figure: Figure, style: Style = PRINT) -> Pixels:
    """The figure as uint8 [H, W, 3], at its own resolution: a frame of an animation."""
    file = io.BytesIO()
    with matplotlib.rc_context(style):
        figure.savefig(file, format="png", dpi="figure")
    return np.asarray(Image.open(file).convert("RGB"))


def _write(figure: Figure, target: Path, kind: Format, style: Style) -> None:
    date = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}[kind]
    drawn = io.BytesIO()
    with matplotlib.rc_context(style):
        figure.savefig(drawn, format=kind, metadata=date)
    records.save(target, lambda file: file.write(drawn.getvalue()))
