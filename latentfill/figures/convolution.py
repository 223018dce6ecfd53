"""A convolution, and the fractionally-strided one that goes the other way, cell by cell."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float

from ..files import records
from ..types import Pixels
from .animation import write_gif
from .style import GREY, INK, ORANGE, RED, Axes, Figure, Format, Rectangle, save, to_pixels

Cells = Float[np.ndarray, "_ _"]

SECONDS_PER_FRAME = 0.8
PALE_BLUE, PALE_ORANGE = "#d6e8f5", "#fbe8c3"
TENT: Cells = np.array([[0.25, 0.5, 0.25], [0.5, 1, 0.5], [0.25, 0.5, 0.25]])  # what lies between is the mean
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

    def padded(self) -> Cells:
        """The image with zeros between its cells and around it."""
        step = self.zeros + 1
        rows, columns = (side * step - self.zeros + 2 * self.border for side in self.image.shape)
        cells = np.zeros((rows, columns))
        cells[self.border : rows - self.border : step, self.border : columns - self.border : step] = self.image
        return cells

    def is_image(self, row: int, column: int) -> bool:
        """Whether this cell of the padded image is one of the image's own, not a zero put there."""
        step = self.zeros + 1
        found = [divmod(at - self.border, step) for at in (row, column)]
        return all(0 <= at < side and not rest for (at, rest), side in zip(found, self.image.shape, strict=True))

    def output(self) -> Cells:
        """The kernel's sum at each place it comes to."""
        windows = np.lib.stride_tricks.sliding_window_view(self.padded(), self.kernel.shape)
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
    """Write both as an animation and as a still, and yield each path."""
    for name, example in {"convolution": CONVOLUTION, "fractionally-strided-convolution": FRACTIONAL}.items():
        path = folder / f"{name}.gif"
        write_gif(path, frames(example), SECONDS_PER_FRAME, records.save)
        yield path
        middle = example.output().size // 2 + 1
        yield from save(still(example, middle), folder / name, formats)


def frames(example: Example) -> Iterator[Pixels]:
    """One picture per output cell, each with one cell more than the last, then the whole for a while."""
    count = example.output().size
    for done in [*range(1, count + 1), count]:
        yield to_pixels(still(example, done))


def still(example: Example, done: int) -> Figure:
    """The moment at which output cell number `done`, counted from 1, has just been found."""
    padded, kernel, output = example.padded(), example.kernel, example.output()
    row, column = divmod(done - 1, output.shape[1])
    top, left = row * example.stride, column * example.stride
    window = padded[top : top + len(kernel), left : left + len(kernel)]
    height = float(len(padded))
    at_kernel = padded.shape[1] + 1.4
    at_output = at_kernel + len(kernel) + 1.4
    right = at_output + output.shape[1]

    figure, axes = _canvas(right, height)
    axes.text(0, -1.15, example.title, fontsize=12, fontweight="bold")
    source = _Board(axes, 0.0, 0.0, "input")
    for (i, j), value in np.ndenumerate(padded):
        inside = top <= i < top + len(kernel) and left <= j < left + len(kernel)
        own = example.is_image(i, j)
        source.cell(
            i, j, _number(value), PALE_ORANGE if inside else PALE_BLUE if own else "white", INK if own else GREY
        )
        if inside:
            source.note(i, j, f"\u00d7{_number(kernel[i - top, j - left])}")
    board = _Board(axes, at_kernel, (height - len(kernel)) / 2, "kernel")
    for (i, j), value in np.ndenumerate(kernel):
        board.cell(i, j, _number(value), PALE_ORANGE, INK)
    result = _Board(axes, at_output, (height - len(output)) / 2, "output")
    for number, ((i, j), value) in enumerate(np.ndenumerate(output), 1):
        found = number <= done
        result.cell(i, j, _number(value) if found else "", PALE_BLUE if found else "white", INK)
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
        self.axes.text(
            self.x + column + 0.95, self.y + row + 0.93, text, ha="right", va="bottom", fontsize=7.5, color=RED
        )

    def outline(self, row: int, column: int, size: int, colour: str) -> None:
        corner = self.x + column, self.y + row
        self.axes.add_patch(Rectangle(corner, size, size, facecolor="none", edgecolor=colour, linewidth=2.5, zorder=3))


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    left, right, above, below, inch = 0.3, 0.3, 1.9, 1.3, 0.42
    across, down = width + left + right, height + above + below
    figure = Figure((across * inch, down * inch), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-left, width + right), ylim=(height + below, -above))
    axes.set_axis_off()
    return figure, axes


def _sum(window: Cells, kernel: Cells, total: float) -> str:
    """The products that are not zero, and their sum."""
    pairs = [(w, k) for w, k in zip(window.flat, kernel.flat, strict=True) if w * k]
    products = " + ".join(f"{_number(w)}\u00b7{_number(k)}" for w, k in pairs)
    return f"{products} = {_number(total)}" if pairs else f"nothing but zeros = {_number(total)}"


def _number(value: float) -> str:
    return {0.25: "\u00bc", 0.5: "\u00bd"}.get(value, f"{value:g}")
