"""Loss curves of trainings, ready to print: each value in a faint line, with a rolling average over it.

This module also has the style of all figures, and alone imports matplotlib: no screen, no state, and the same bytes
for the same numbers.
"""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal, final

import numpy as np
from jaxtyping import Float
from PIL import Image

from ..errors import RunError
from ..files import provenance
from ..types import Pixels

# matplotlib cannot be imported if this names a backend that is not installed, such as a notebook's
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
Style = Any  # matplotlib's type for this dictionary names every key

# Okabe and Ito's colours: colour-blind readers can tell them apart, also in grey print
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
        no_date = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}[kind]
        provenance.save(target, partial(_write, render(figure, style, format=kind, metadata=no_date)))
        yield target


def render(figure: Figure, style: Style = PRINT, **options: Any) -> bytes:
    """The figure as a file of matplotlib's `savefig`."""
    file = io.BytesIO()
    with matplotlib.rc_context(style):
        figure.savefig(file, **options)
    return file.getvalue()


def to_pixels(figure: Figure) -> Pixels:
    """The figure as uint8 [H, W, 3], at its own resolution: a frame of an animation."""
    return np.asarray(Image.open(io.BytesIO(render(figure, format="png", dpi="figure"))).convert("RGB"))


def _write(data: bytes, out: IO[bytes]) -> None:
    out.write(data)


Column = Float[np.ndarray, " n"]

Panels = dict[str, dict[str, str]]  # by title, the columns drawn there and their labels

PSNR = {"psnr_center": "center", "psnr_half": "half", "psnr_random": "random", "psnr_pattern": "pattern"}
FRECHET = {"frechet_pixels": "pixels", "frechet_dlib_face": "faces"}
# Measured on held-out pictures and samples, only in some rows.
HELD_OUT: Panels = {"PSNR in the hole (dB)": PSNR, "Fréchet distance of samples": FRECHET}
SCORES = PSNR | FRECHET
# What each kind of training records. A run is of the first kind whose columns it has, ignoring the scores.
KINDS: tuple[Panels, ...] = (
    {
        "Loss": {"discriminator_loss": "D", "generator_loss": "G"},
        "Mean logit of D": {"real_logit": "real", "fake_logit": "generated"},
        **HELD_OUT,
    },
    {"Mean absolute error": {"image_l1": "image", "hole_l1": "hole"}, **HELD_OUT},
    {"Mean squared error": {"hole_mse": "hole"}, **HELD_OUT},
)
SIGNED = {"Mean logit of D"}  # panels with a line at 0
DEFAULT_SHARE = 1 / 40  # share of the training that the rolling average covers


@final
@dataclass(frozen=True)
class Metrics:
    """Records of a run: columns of equal length over the images seen."""

    name: str
    images_seen: Column
    columns: dict[str, Column]
    panels: Panels = field(default_factory=lambda: KINDS[0])


Panel = tuple[str, str, list[tuple[Metrics, str, str]]]  # title, heading, and the curves: run, column, label


def read(run: Path, name: str = "") -> Metrics:
    """The metrics.csv of a run folder, also while it is being written: half a last line is left out.

    Raises RunError, naming the file, when it is not there, has no rows yet, or is not what a training writes.
    """
    path = run / "metrics.csv"
    try:
        text = path.read_text()
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError) as error:
        reason = str(error) if isinstance(error, UnicodeDecodeError) else "there is none"
        raise RunError(f"{path}: {reason}", "Give the folder that `latentfill train --run` wrote.") from error
    rows = list(csv.reader(text[: text.rfind("\n") + 1].splitlines()))
    panels = _panels(path, rows[0]) if rows else KINDS[0]
    if len(rows) < 2:
        raise RunError(f"{path} has no rows yet", "Wait until the training has logged some (see --log-every).")
    names = ["images_seen", *(column for panel in panels.values() for column in panel)]
    places = [rows[0].index(column) for column in names]
    values = np.empty((len(rows) - 1, len(names)))
    for number, row in enumerate(rows[1:], 2):
        try:
            values[number - 2] = [float(row[place] or "nan") for place in places]
        except (ValueError, IndexError) as error:
            raise RunError(f"{path}: line {number} is damaged: {','.join(row)!r}", "Remove this line.") from error
    columns = {c: v for c, v in zip(names[1:], values.T[1:], strict=True) if c not in SCORES or not np.isnan(v).all()}
    panels = {title: {c: label for c, label in panel.items() if c in columns} for title, panel in panels.items()}
    panels = {title: panel for title, panel in panels.items() if panel}
    return Metrics(name or run.resolve().name, values[:, 0], columns, panels)


def read_all(runs: Sequence[Path]) -> list[Metrics]:
    """Several runs, each with a name of its own: as much of the path as tells them apart."""
    parts = [run.resolve().parts for run in runs]
    depth = 1
    while depth < max(map(len, parts)) and len({p[-depth:] for p in parts}) < len({*parts}):
        depth += 1
    return [read(run, "/".join(part[-depth:])) for run, part in zip(runs, parts, strict=True)]


def rolling(images_seen: Column, values: Column, window: float) -> Column:
    """The mean of the values within `window` images, half of them before and half after each place.

    At the ends, and where the window is shorter than the distance between rows, it is the mean of what there is.
    Values that are not finite are left out; where there is nothing else, the result is nan.
    """
    finite = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(finite, values, 0))])
    counts = np.concatenate([[0], np.cumsum(finite)])
    first = np.searchsorted(images_seen, images_seen - window / 2, "left")
    last = np.searchsorted(images_seen, images_seen + window / 2, "right")
    count = counts[last] - counts[first]
    return np.where(count > 0, (sums[last] - sums[first]) / np.maximum(count, 1), np.nan)


def draw(runs: Sequence[Metrics], window: int | None = None) -> Figure:
    """Draw the panels of one run, or for several a panel for each column and a colour for each run.

    Raises RunError for runs that have nothing in common.
    """
    if not runs:
        raise ValueError("a figure of losses needs at least one run")
    panels = _panels_of_one(runs[0]) if len(runs) == 1 else _panels_of_several(runs)
    width, height, columns = (6.3, max(4.6, 1.9 * len(panels)), 1) if len(runs) == 1 else (7.2, 5.0, 2)
    first: Axes | None = None
    with matplotlib.rc_context(PRINT):
        figure = Figure((width, height), layout="constrained")
        for place, (title, heading, curves) in enumerate(panels, 1):
            axes = figure.add_subplot(-(-len(panels) // columns), columns, place, sharex=first)
            first = first or axes
            for number, (run, column, label) in enumerate(curves):
                _curve(axes, run, column, COLOURS[number % len(COLOURS)], label, window, faint=len(runs) < 4)
            _finish(axes, heading, [run.columns[column] for run, column, _ in curves])
            if len(runs) == 1:
                axes.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2, ncols=len(curves))
            if title in SIGNED:
                axes.axhline(0, color=GREY, linewidth=0.8, zorder=1)
            lowest = place > len(panels) - columns
            axes.tick_params(labelbottom=lowest)
            if lowest:
                axes.set_xlabel("images seen")
        if first is not None and len(runs) > 1:
            figure.legend(*first.get_legend_handles_labels(), loc="outside upper left", ncols=min(len(runs), 4))
    return figure


def write(
    runs: Sequence[Metrics], folder: Path, formats: Sequence[Format], window: int | None = None
) -> Iterator[Path]:
    """Write losses.pdf, losses.svg, losses.png, and yield each path."""
    yield from save(draw(runs, window), folder / "losses", formats)


def _panels(path: Path, head: Sequence[str]) -> Panels:
    """The panels of a run with such columns. Raises RunError if no training has them."""
    for kind in KINDS:
        panels = {title: {c: label for c, label in panel.items() if c in head} for title, panel in kind.items()}
        losses = [column for title, panel in kind.items() if title not in HELD_OUT for column in panel]
        if {"images_seen", *losses} <= {*head}:
            return {title: panel for title, panel in panels.items() if panel}
    missing = [c for c in ("images_seen", *(c for panel in KINDS[0].values() for c in panel)) if c not in head]
    raise RunError(f"{path} has no column {', '.join(missing)}", "Give a run of `latentfill train`.")


def _panels_of_one(run: Metrics) -> list[Panel]:
    return [
        (title, title, [(run, column, label) for column, label in columns.items()])
        for title, columns in run.panels.items()
    ]


def _panels_of_several(runs: Sequence[Metrics]) -> list[Panel]:
    common = [column for column in runs[0].columns if all(column in run.columns for run in runs)]
    if not common:
        raise RunError(f"{runs[0].name} and the others are trainings of different kinds", "Plot them one by one.")
    return [
        (title, f"{title}: {label}", [(run, column, run.name) for run in runs])
        for title, columns in runs[0].panels.items()
        for column, label in columns.items()
        if column in common
    ]


def _curve(axes: Axes, run: Metrics, column: str, colour: str, label: str, window: int | None, faint: bool) -> None:
    there = ~np.isnan(run.columns[column]) if column in SCORES else np.full(len(run.images_seen), True)
    x, y = run.images_seen[there], run.columns[column][there]
    if not len(x):
        return
    span = float(x[-1] - x[0]) * DEFAULT_SHARE if window is None else float(window)
    if faint:
        axes.plot(x, y, color=colour, alpha=0.2, linewidth=0.6, zorder=1.5)
    marker = "o" if len(x) == 1 or column in SCORES else None
    axes.plot(x, rolling(x, y, span), color=colour, label=label, marker=marker, markersize=4)


def _finish(axes: Axes, title: str, curves: Sequence[Column]) -> None:
    """Limits that neither spikes nor the first moments set, numbers with thousands."""
    axes.set_title(title)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.margins(x=0.01)
    values = [finite for y in curves if len(finite := y[np.isfinite(y)])]
    low = min((float(np.percentile(y, 2)) for y in values), default=0.0)
    high = max((float(np.percentile(y, 98)) for y in values), default=1.0)
    room = 0.25 * (high - low) or 0.5
    axes.set_ylim(low - room, high + room)
