"""The record of a run: means of its losses and its pace, metrics.csv, TensorBoard, and sample grids."""

import csv
import json
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, final

import torch
from PIL import Image
from torch import nn

from ..images.photos import write_file
from ..images.pixels import grid, to_pixels
from ..types import Images, Pixels
from .checkpoints import MAKING

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Curve(NamedTuple):
    """A column of metrics.csv: where its value comes from, and what the same curve is called in TensorBoard."""

    value: str
    board: str


Curves = Mapping[str, Curve]  # by column name, in order
PACE = {
    "images_per_second": Curve("images_per_second", "images_per_second"),
    "learning_rate": Curve("learning_rate", "learning_rate"),
}  # columns of any training


@final
@dataclass(frozen=True)
class Summary:
    """A summary for people: sheets of images by the ending of their file's name, histograms, scores."""

    sheets: Mapping[str, Images]
    histograms: Mapping[str, torch.Tensor] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)


@final
@dataclass(frozen=True)
class Progress:
    """The progress of a run. `losses` are means over the batches before the last row of metrics.csv."""

    images_seen: int
    total: int
    images_per_second: float
    losses: Mapping[str, float]
    resumed_from: int = 0
    """images seen when training went on from a checkpoint; 0 when a new model began"""
    broken: tuple[Path, ...] = ()
    """newer checkpoints that could not be read and were passed over"""
    messages: tuple[str, ...] = ()
    """what the watchdog says since the last"""
    stopped: bool = False
    """whether a process of the training wants to stop: all do, after the same batch"""


@final
class Record:
    """The growing files of one run. Rows after `images_seen` belong to a future that was lost, and are dropped."""

    def __init__(self, folder: Path, images_seen: int, curves: Curves) -> None:
        self.folder, self.curves = folder, curves
        (folder / "samples").mkdir(parents=True, exist_ok=True)
        path = folder / "metrics.csv"
        making = path.with_name(f"{path.name}{MAKING}")
        columns = ["images_seen", *curves]
        with making.open("w", newline="") as new:
            csv.writer(new).writerows([columns, *_rows(path, images_seen, columns)])
        making.replace(path)
        self._file = path.open("a", newline="")
        self._csv = csv.writer(self._file)
        self._board = _board(folder / "tensorboard", images_seen)

    def metrics(self, images_seen: int, values: Mapping[str, float]) -> None:
        """One row, and one point of each curve; a value that is not there leaves its column empty."""
        found = {name: values.get(curve.value) for name, curve in self.curves.items()}
        self._csv.writerow([images_seen, *("" if value is None else f"{value:.8g}" for value in found.values())])
        self._file.flush()
        for name, value in found.items():
            if value is not None:
                self._board.add_scalar(self.curves[name].board, value, images_seen)

    def show(self, images_seen: int, exhibit: Summary) -> None:
        """Write the sheets as grids (TensorBoard shows the first), and the histograms."""
        for number, (kind, images) in enumerate(exhibit.sheets.items()):
            sheet = grid(to_pixels(images))
            self._draw(f"{images_seen:010}{kind}", sheet)
            if not number:  # a grid takes half a megabyte, so only the first is shown there
                self._board.add_image("G", sheet, images_seen, dataformats="HWC")
        for name, values in exhibit.histograms.items():
            self._board.add_histogram(name, values.float().cpu(), images_seen)

    def sheet(self, name: str, images_seen: int, images: Images) -> None:
        """One more kind of sheet, whose file's name begins with its own."""
        sheet = grid(to_pixels(images))
        self._draw(f"{name}-{images_seen:010}", sheet)
        self._board.add_image(name, sheet, images_seen, dataformats="HWC")

    def _draw(self, name: str, sheet: Pixels) -> None:
        write_file(self.folder / "samples" / f"{name}.png", lambda file: Image.fromarray(sheet).save(file, "PNG"))

    def warn(self, images_seen: int, warning: Mapping[str, Any]) -> None:
        """One line of warnings.jsonl, which no later start drops, and a text in TensorBoard."""
        with (self.folder / "warnings.jsonl").open("a") as file:
            file.write(json.dumps(dict(warning)) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._board.add_text("warning", f"{warning['saw']}; {warning['done']}", images_seen)

    def graph(self, networks: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        """The networks as TensorBoard draws them."""
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # tracing is deprecated, but TensorBoard can draw nothing else
            try:
                self._board.add_graph(networks, inputs)
            except RuntimeError as error:
                warnings.simplefilter("default")
                warnings.warn(f"TensorBoard shows no graph of the networks: {error}", stacklevel=2)

    def flush(self) -> None:
        """Let nothing that was recorded depend on this process, nor on the machine's power."""
        os.fsync(self._file.fileno())
        self._board.flush()

    def close(self) -> None:
        self._file.close()
        self._board.close()


@final
class Means:
    """Means of the steps' values, summed on their device: only reading them waits for it."""

    def __init__(self) -> None:
        self.sums: dict[str, torch.Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, values: Mapping[str, torch.Tensor]) -> None:
        """Count one batch. Not every batch need measure everything."""
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value.mean()
            self.counts[name] = self.counts.get(name, 0) + 1

    def read(self) -> dict[str, float]:
        """The means over all batches that measured each."""
        if not self.sums:
            return {}
        means = torch.stack(list(self.sums.values())).tolist()
        return {name: mean / count for (name, count), mean in zip(self.counts.items(), means, strict=True)}


@final
class Clock:
    """Images per second, since the start and since the last lap."""

    def __init__(self, images_seen: int) -> None:
        self.start = self.last = (time.perf_counter(), images_seen)

    def rate(self, images_seen: int) -> float:
        """Since the start."""
        return (images_seen - self.start[1]) / (time.perf_counter() - self.start[0])

    def lap(self, images_seen: int) -> float:
        """Since the last lap, and a new one begins."""
        then, self.last = self.last, (time.perf_counter(), images_seen)
        return (images_seen - then[1]) / (self.last[0] - then[0])


def _rows(path: Path, images_seen: int, columns: list[str]) -> Iterator[list[str]]:
    """The rows to keep; those of an earlier version have fewer columns, and a power cut may have left half a line."""
    if not path.exists():
        return
    lines = (line.replace("\0", "") for line in path.read_text(errors="replace").splitlines())
    for row in csv.DictReader(lines):
        try:
            if int(row["images_seen"]) <= images_seen:
                yield [row.get(name) or "" for name in columns]
        except (KeyError, TypeError, ValueError):
            continue


@final
class _NoBoard:
    """Takes everything, and keeps nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *given, **named: None


def _board(folder: Path, images_seen: int) -> "SummaryWriter | _NoBoard":
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        text = f"{folder}: TensorBoard writes to no folder whose name is not UTF-8; metrics.csv has all but histograms"
        warnings.warn(text.encode(errors="backslashreplace").decode(), stacklevel=2)
        return _NoBoard()
    from torch.utils.tensorboard import SummaryWriter  # slow to import, and only training needs it

    # After a rollback, later points are not erased but marked as invalid; a fresh run has none.
    return SummaryWriter(str(folder), purge_step=images_seen + 1 if images_seen else None)
