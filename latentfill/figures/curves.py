"""The loss curves of trainings, ready to print: every value faintly, a rolling average over it."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from ..errors import RunError
from .style import BLUE, COLOURS, GREY, PRINT, RED, Format, save

Column = Float[np.ndarray, " n"]

LOSSES = {"discriminator_loss": "D", "generator_loss": "G"}
LOGITS = {"real_logit": "real", "fake_logit": "generated"}
DEFAULT_SHARE = 1 / 40  # of the training, that the rolling average takes in


@final
@dataclass(frozen=True)
class Metrics:
    """What a run recorded: columns of equal length over the images seen."""

    name: str
    images_seen: Column
    columns: dict[str, Column]


def read(run: Path, name: str = "") -> Metrics:
    """The metrics.csv of a run folder, also while it is being written: half a last line is left out.

    Raises RunError, naming the file, when it is not there, has no rows yet, or is not what a training writes.
    """
    path = run / "metrics.csv"
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = "there is none" if isinstance(error, FileNotFoundError) else str(error)
        raise RunError(f"{path}: {reason}", "Give the folder that `latentfill train --run` wrote.") from error
    rows = list(csv.reader(text[: text.rfind("\n") + 1].splitlines()))
    wanted = ["images_seen", *LOSSES, *LOGITS]
    missing = [column for column in wanted if column not in (rows[0] if rows else [])]
    if rows and missing:
        raise RunError(f"{path} has no column {', '.join(missing)}", "Give a run of `latentfill train`.")
    if len(rows) < 2:
        raise RunError(f"{path} has no rows yet", "Wait until the training has logged some (see --log-every).")
    places = [rows[0].index(column) for column in wanted]
    values = np.empty((len(rows) - 1, len(wanted)))
    for number, row in enumerate(rows[1:], 2):
        try:
            values[number - 2] = [float(row[place]) for place in places]
        except (ValueError, IndexError) as error:
            raise RunError(f"{path}: line {number} is damaged: {','.join(row)!r}", "Remove this line.") from error
    return Metrics(name or run.resolve().name, values[:, 0], dict(zip(wanted[1:], values.T[1:], strict=True)))


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
    """Losses and mean logits of one run in two panels; of several runs in four, one colour for each run."""
    if not runs:
        raise ValueError("a figure of losses needs at least one run")
    with matplotlib.rc_context(PRINT):
        return _one(runs[0], window) if len(runs) == 1 else _several(runs, window)


def write(
    runs: Sequence[Metrics], folder: Path, formats: Sequence[Format], window: int | None = None
) -> Iterator[Path]:
    """Write losses.pdf, losses.svg, losses.png, and yield each path."""
    yield from save(draw(runs, window), folder / "losses", formats)


def _one(run: Metrics, window: int | None) -> Figure:
    figure = Figure((6.3, 4.6), layout="constrained")
    top = figure.add_subplot(2, 1, 1)
    bottom = figure.add_subplot(2, 1, 2, sharex=top)
    for axes, columns, title in ((top, LOSSES, "Loss"), (bottom, LOGITS, "Mean logit of D")):
        for (column, label), colour in zip(columns.items(), (BLUE, RED), strict=True):
            _curve(axes, run, column, colour, label, window, faint=True)
        _finish(axes, title, [run.columns[column] for column in columns])
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2, ncols=2)
    bottom.axhline(0, color=GREY, linewidth=0.8, zorder=1)
    bottom.set_xlabel("images seen")
    top.tick_params(labelbottom=False)
    return figure


def _several(runs: Sequence[Metrics], window: int | None) -> Figure:
    titles = {"discriminator_loss": "Loss of D", "generator_loss": "Loss of G"}
    titles |= {"real_logit": "Mean logit of D, real", "fake_logit": "Mean logit of D, generated"}
    figure = Figure((7.2, 5.0), layout="constrained")
    first: Axes | None = None
    for place, (column, title) in enumerate(titles.items(), 1):
        axes = figure.add_subplot(2, 2, place, sharex=first)
        first = first or axes
        for number, run in enumerate(runs):
            _curve(axes, run, column, COLOURS[number % len(COLOURS)], run.name, window, faint=len(runs) < 4)
        _finish(axes, title, [run.columns[column] for run in runs])
        axes.tick_params(labelbottom=place > 2)
        if place > 2:
            axes.axhline(0, color=GREY, linewidth=0.8, zorder=1)
            axes.set_xlabel("images seen")
    if first is not None:
        figure.legend(*first.get_legend_handles_labels(), loc="outside upper left", ncols=min(len(runs), 4))
    return figure


def _curve(axes: Axes, run: Metrics, column: str, colour: str, label: str, window: int | None, faint: bool) -> None:
    x, y = run.images_seen, run.columns[column]
    span = float(x[-1] - x[0]) * DEFAULT_SHARE if window is None else float(window)
    if faint:
        axes.plot(x, y, color=colour, alpha=0.2, linewidth=0.6, zorder=1.5)
    axes.plot(x, rolling(x, y, span), color=colour, label=label, marker="o" if len(x) == 1 else None, markersize=4)


def _finish(axes: Axes, title: str, drawn: Sequence[Column]) -> None:
    """Limits that neither spikes nor the first moments set, numbers with thousands."""
    axes.set_title(title)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.margins(x=0.01)
    values = [finite for y in drawn if len(finite := y[np.isfinite(y)])]
    low = min((float(np.percentile(y, 2)) for y in values), default=0.0)
    high = max((float(np.percentile(y, 98)) for y in values), default=1.0)
    room = 0.25 * (high - low) or 0.5
    axes.set_ylim(low - room, high + room)
