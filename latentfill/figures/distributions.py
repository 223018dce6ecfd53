"""The post's figures of the normal distribution: its density, samples, two dimensions, and a slice through these."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from .style import TEXT_STAYS_TEXT, Axes, Figure, Format, Style, library, matplotlib, save

SEED = 0
SLICE = 1.0  # the x that is given
LIMIT = 3.0
Values = Float[np.ndarray, "..."]


def draw(folder: Path, formats: Sequence[Format] = ("png",)) -> Iterator[Path]:
    """Write the four figures and yield each path."""
    bmh: Style = dict(library["bmh"])
    style = bmh | TEXT_STAYS_TEXT | {"savefig.dpi": 150}
    figures: dict[str, Callable[[], Figure]] = {
        "normal-pdf": density,
        "normal-samples": samples,
        "normal-2d": two_dimensions,
        "normal-2d-slice": most_probable,
    }
    for name, figure in figures.items():
        with matplotlib.rc_context(style):
            drawn = figure()
        yield from save(drawn, folder / name, formats, style)


def normal(x: Values) -> Values:
    """The density of the standard normal distribution."""
    return np.asarray(np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi))


def density() -> Figure:
    """N(0, 1) from -3 to 3."""
    figure, axes = _figure()
    x = np.arange(-LIMIT, LIMIT, 0.001)
    axes.plot(x, normal(x))
    axes.set(xlabel="x", ylabel="p(x)")
    return figure


def samples() -> Figure:
    """35 samples of N(0, 1), as dots on a line."""
    figure, axes = _figure(7.0, 3.0)
    axes.plot(_random().standard_normal(35), np.zeros(35), "k.")
    axes.set(xlim=(-LIMIT, LIMIT), xlabel="x")
    axes.yaxis.set_visible(False)
    return figure


def two_dimensions() -> Figure:
    """Contours of the standard bivariate normal, and 200 samples of it."""
    figure, axes = _figure()
    _contours(axes)
    x, y = _random().standard_normal((2, 200))
    axes.plot(x, y, "k.", zorder=1)  # below the contours and their labels
    axes.set(xlabel="x", ylabel="y", xlim=(-LIMIT, LIMIT), ylim=(-LIMIT, LIMIT))
    return figure


def most_probable() -> Figure:
    """Which y is the most probable, given x = 1: the contours with the slice, and the density along it.

    This is completion in two dimensions: x is the known pixel, y the missing one.
    """
    figure, (plane, along) = _figures(9.5, 4.2)
    _contours(plane)
    plane.axvline(SLICE, color="C1", linestyle="--")
    y = np.arange(-LIMIT, LIMIT + 0.01, 0.01)
    p = normal(np.array(SLICE)) * normal(y)
    best = float(y[p.argmax()])
    plane.plot(SLICE, best, "o", color="C1", markersize=9, zorder=3)
    plane.set(
        xlabel="x",
        ylabel="y",
        xlim=(-LIMIT, LIMIT),
        ylim=(-LIMIT, LIMIT),
        title=f"x = {SLICE:.0f} is known",
        aspect="equal",
    )
    along.plot(y, p, color="C1")
    along.plot(best, p.max(), "o", color="C1", markersize=9)
    along.annotate(
        f"most probable: y = {abs(best):.0f}", (best, p.max()), (0, 9), textcoords="offset points", ha="center"
    )
    along.set(
        xlabel="y", ylabel=f"p(x = {SLICE:.0f}, y)", ylim=(0, 1.15 * p.max()), title="the density along the slice"
    )
    return figure


def _contours(axes: Axes) -> None:
    side = np.arange(-LIMIT, LIMIT, 0.025)
    x, y = np.meshgrid(side, side)
    axes.clabel(axes.contour(x, y, normal(x) * normal(y)), fontsize=10)


def _figure(width: float = 6.4, height: float = 4.8) -> tuple[Figure, Axes]:
    figure = Figure((width, height), layout="constrained")
    return figure, figure.add_subplot()


def _figures(width: float, height: float) -> tuple[Figure, tuple[Axes, Axes]]:
    figure = Figure((width, height), layout="constrained")
    return figure, (figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2))


def _random() -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=SEED))
