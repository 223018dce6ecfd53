"""The post's own figures: convolutions cell by cell, and the normal distribution in one and two dimensions."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float

from ..files import provenance
from ..seeds import Stream, philox
from ..types import Pixels
from .curves import (
    GREY,
    INK,
    ORANGE,
    RED,
    TEXT_STAYS_TEXT,
    Axes,
    Figure,
    Format,
    Rectangle,
    Style,
    library,
    matplotlib,
    save,
    to_pixels,
)
from .gif import write_gif

Cells = Float[np.ndarray, "_ _"]

SECONDS_PER_FRAME = 0.8
PALE_BLUE, PALE_ORANGE = "#d6e8f5", "#fbe8c3"
TENT: Cells = np.array([[0.25, 0.5, 0.25], [0.5, 1, 0.5], [0.25, 0.5, 0.25]])  # values in between are means
CROSS: Cells = np.array([[0.0, 1, 0], [1, 2, 1], [0, 1, 0]])


@final
@dataclass(frozen=True)
class Example:
    """A small image, the kernel, and how the two meet: `zeros` between the cells, a border, steps of `stride`."""

    title: str
    image: Cells
    kernel: Cells
    zeros: int
    border: int
    stride: int

    def pad(self) -> Cells:
        """The image with zeros between its cells and around it."""
        step = self.zeros + 1
        rows, columns = (side * step - self.zeros + 2 * self.border for side in self.image.shape)
        cells = np.zeros((rows, columns))
        cells[self.border : rows - self.border : step, self.border : columns - self.border : step] = self.image
        return cells

    def is_image(self, row: int, column: int) -> bool:
        """True for a cell of the padded image that is the image's own, no zero put there."""
        step = self.zeros + 1
        places = [divmod(at - self.border, step) for at in (row, column)]
        return all(0 <= at < side and not rest for (at, rest), side in zip(places, self.image.shape, strict=True))

    def output(self) -> Cells:
        """The kernel's sum at each place it comes to."""
        windows = np.lib.stride_tricks.sliding_window_view(self.pad(), self.kernel.shape)
        sums: Cells = np.einsum("ijkl,kl->ij", windows[:: self.stride, :: self.stride], self.kernel)
        return sums


CONVOLUTION = Example(
    "A convolution with stride 2 makes 5x5 into 3x3",
    np.array([[1.0, 2, 0, 1, 3], [0, 3, 1, 0, 2], [2, 0, 4, 1, 0], [1, 1, 0, 2, 3], [3, 0, 2, 1, 1]]),
    CROSS,
    zeros=0,
    border=1,
    stride=2,
)
FRACTIONAL = Example(
    "A fractionally-strided convolution makes 3x3 into 5x5: zeros in between",
    np.array([[4.0, 8, 0], [0, 4, 12], [8, 0, 4]]),
    TENT,
    zeros=1,
    border=1,
    stride=1,
)


def draw(folder: Path, formats: Sequence[Format] = ("png",)) -> Iterator[Path]:
    """Write all of them and yield each path."""
    yield from draw_distributions(folder, formats)
    yield from draw_convolutions(folder, formats)


def draw_convolutions(folder: Path, formats: Sequence[Format]) -> Iterator[Path]:
    """Write both as an animation and as a still, and yield each path."""
    for name, example in {"convolution": CONVOLUTION, "fractionally-strided-convolution": FRACTIONAL}.items():
        path = folder / f"{name}.gif"
        write_gif(path, frames(example), SECONDS_PER_FRAME, provenance.save)
        yield path
        middle = example.output().size // 2 + 1
        yield from save(draw_frame(example, middle), folder / name, formats)


def frames(example: Example) -> Iterator[Pixels]:
    """One picture per output cell, each with one cell more than the last, then the whole for a while."""
    count = example.output().size
    for done in [*range(1, count + 1), count]:
        yield to_pixels(draw_frame(example, done))


def draw_frame(example: Example, done: int) -> Figure:
    """The moment at which output cell number `done`, counted from 1, has just been found."""
    padded, kernel, output = example.pad(), example.kernel, example.output()
    row, column = divmod(done - 1, output.shape[1])
    top, left = row * example.stride, column * example.stride
    window = padded[top : top + len(kernel), left : left + len(kernel)]
    height = float(len(padded))
    at_kernel = padded.shape[1] + 1.4
    at_output = at_kernel + len(kernel) + 1.4
    right = at_output + output.shape[1]

    left_margin, right_margin, above, below, inch = 0.3, 0.3, 1.9, 1.3, 0.42
    figure = Figure(((right + left_margin + right_margin) * inch, (height + above + below) * inch), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-left_margin, right + right_margin), ylim=(height + below, -above))
    axes.set_axis_off()
    axes.text(0, -1.15, example.title, fontsize=12, fontweight="bold")
    source = _Board(axes, 0.0, 0.0, "input")
    for (i, j), value in np.ndenumerate(padded):
        inside = top <= i < top + len(kernel) and left <= j < left + len(kernel)
        own = example.is_image(i, j)
        fill = PALE_ORANGE if inside else PALE_BLUE if own else "white"
        source.cell(i, j, _number(value), fill, INK if own else GREY)
        if inside:
            source.note(i, j, f"\u00d7{_number(kernel[i - top, j - left])}")
    board = _Board(axes, at_kernel, (height - len(kernel)) / 2, "kernel")
    for (i, j), value in np.ndenumerate(kernel):
        board.cell(i, j, _number(value), PALE_ORANGE, INK)
    result = _Board(axes, at_output, (height - len(output)) / 2, "output")
    for number, ((i, j), value) in enumerate(np.ndenumerate(output), 1):
        known = number <= done
        result.cell(i, j, _number(value) if known else "", PALE_BLUE if known else "white", INK)
    source.outline(top, left, len(kernel), ORANGE)
    board.outline(0, 0, len(kernel), ORANGE)
    result.outline(row, column, 1, RED)
    for x, sign in ((at_kernel - 0.7, "\u2217"), (at_output - 0.7, "=")):
        axes.text(x, height / 2, sign, ha="center", va="center", fontsize=20)
    axes.text(0, height + 0.75, _sum(window, kernel, float(output[row, column])), fontsize=9.5, va="center")
    return figure


@final
@dataclass(frozen=True)
class _Board:
    """Cells of side 1 with their top left corner at x, y."""

    axes: Axes
    x: float
    y: float
    name: str

    def __post_init__(self) -> None:
        self.axes.text(self.x, self.y - 0.2, self.name, fontsize=9, color=GREY)

    def cell(self, row: int, column: int, text: str, fill: str, ink: str) -> None:
        corner = self.x + column, self.y + row
        self.axes.add_patch(Rectangle(corner, 1, 1, facecolor=fill, edgecolor="#bbbbbb", linewidth=0.8))
        self.axes.text(corner[0] + 0.5, corner[1] + 0.5, text, ha="center", va="center", fontsize=11, color=ink)

    def note(self, row: int, column: int, text: str) -> None:
        x, y = self.x + column + 0.95, self.y + row + 0.93
        self.axes.text(x, y, text, ha="right", va="bottom", fontsize=7.5, color=RED)

    def outline(self, row: int, column: int, size: int, colour: str) -> None:
        corner = self.x + column, self.y + row
        self.axes.add_patch(Rectangle(corner, size, size, facecolor="none", edgecolor=colour, linewidth=2.5, zorder=3))


def _sum(window: Cells, kernel: Cells, total: float) -> str:
    """The products that are not zero, and their sum."""
    pairs = [(w, k) for w, k in zip(window.flat, kernel.flat, strict=True) if w * k]
    products = " + ".join(f"{_number(w)}\u00b7{_number(k)}" for w, k in pairs)
    return f"{products} = {_number(total)}" if pairs else f"nothing but zeros = {_number(total)}"


def _number(value: float) -> str:
    return {0.25: "\u00bc", 0.5: "\u00bd"}.get(value, f"{value:g}")


SLICE = 1.0  # the given x
LIMIT = 3.0
Values = Float[np.ndarray, "..."]


def draw_distributions(folder: Path, formats: Sequence[Format]) -> Iterator[Path]:
    """Write the four figures and yield each path."""
    style: Style = dict(library["bmh"]) | TEXT_STAYS_TEXT | {"savefig.dpi": 150}
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
    """The most probable y, given x = 1: the contours with the slice, and the density along it.

    This is completion in two dimensions: x is the known pixel, y the missing one.
    """
    figure = Figure((9.5, 4.2), layout="constrained")
    plane, along = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2)
    _contours(plane)
    plane.axvline(SLICE, color="C1", linestyle="--")
    y = np.arange(-LIMIT, LIMIT + 0.01, 0.01)
    p = normal(np.array(SLICE)) * normal(y)
    best = float(y[p.argmax()])
    plane.plot(SLICE, best, "o", color="C1", markersize=9, zorder=3)
    limits, title = (-LIMIT, LIMIT), f"x = {SLICE:.0f} is known"
    plane.set(xlabel="x", ylabel="y", xlim=limits, ylim=limits, title=title, aspect="equal")
    along.plot(y, p, color="C1")
    along.plot(best, p.max(), "o", color="C1", markersize=9)
    note = f"most probable: y = {abs(best):.0f}"
    along.annotate(note, (best, p.max()), (0, 9), textcoords="offset points", ha="center")
    along.set(xlabel="y", ylabel=f"p(x = {SLICE:.0f}, y)", ylim=(0, 1.15 * p.max()))
    along.set_title("the density along the slice")
    return figure


def _contours(axes: Axes) -> None:
    side = np.arange(-LIMIT, LIMIT, 0.025)
    x, y = np.meshgrid(side, side)
    axes.clabel(axes.contour(x, y, normal(x) * normal(y)), fontsize=10)


def _figure(width: float = 6.4, height: float = 4.8) -> tuple[Figure, Axes]:
    figure = Figure((width, height), layout="constrained")
    return figure, figure.add_subplot()


def _random() -> np.random.Generator:
    return philox(Stream.FIGURES.key())
