"""Pictures and logs of a search in OUT/_run: grids of a batch, the candidates of a photo side by side."""

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ..completion.complete import Completion
from ..completion.objective import block_means
from ..faces.placement import Box
from ..figures.gif import write_gif
from ..images import photos
from ..images.incomplete import BLOCK
from ..images.pixels import grid, to_pixels
from ..photo.crop import Cut
from ..photo.model_sized import blend
from ..photo.put_back import Filled
from ..pipeline import SearchResult, Step
from ..types import Hole, Images, Pixels
from ..uncertainty.features import Map

CELL = 256  # pixels of a picture on the sheet
BRIGHTER = 4  # a map is drawn so many times brighter than its grey levels
AROUND = 0.35  # margin of the photo shown around the hole, in widths of the hole


@final
class BatchFolder:
    """The grids and logs of one batch, in OUT/_run/FIRST-LAST: made at its first step, `names` being its inputs'."""

    def __init__(self, run: Path, names: Sequence[str], step: Step, *, every: int, blend: str) -> None:
        self.batch, self._names, self._every, self._blend = step.batch, names, every, blend
        self.folder = unused_folder(run / f"{step.keys[0]:06}-{step.keys[-1]:06}")
        self._found: SearchResult | None = None
        images = step.incomplete.images
        self._write("before.png", images)
        self._write("masked.png", step.incomplete.shown[0])
        if step.incomplete.lowres is not None:
            self._write("lowres.png", enlarge(block_means(images)))

    def draw(self, step: Step) -> None:
        """Draw and log a step, if it is the last or one of those that are due."""
        completion, incomplete = step.completion, step.incomplete
        if completion.number != completion.total and not (self._every and completion.number % self._every == 0):
            return
        name = f"{completion.number:04}"
        self._write(f"hats/{name}.png", completion.images)
        self._write(f"completed/{name}.png", blend(incomplete, completion, self._blend))
        if incomplete.lowres is not None:
            self._write(f"hats/{name}-lowres.png", enlarge(block_means(completion.images)))
        for row, path in enumerate(self._logs()):
            log_step(path, completion, row)

    def draw_maps(self, found: SearchResult) -> None:
        """Draw the maps of expected errors, once."""
        if found is self._found or found.trust is None:
            return
        self._found = found
        for name, levels in (("band", found.trust.band), ("spread", found.trust.spread)):
            if levels is not None:
                photos.write(self.folder / f"{name}.png", grid(draw_map(levels)))

    def animate(self) -> None:
        """Join the completions of each step to completed.gif."""
        completed = sorted((self.folder / "completed").glob("*.png"), key=lambda path: int(path.stem))
        if completed:
            frames = (photos.read(photos.Source(path.name, path)).opaque() for path in completed)
            write_gif(self.folder / "completed.gif", frames)

    def discard(self) -> None:
        """Remove the drawings of a failed search."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _logs(self) -> list[Path]:
        """A file for each square: the first of a photo has its name, the others a number besides."""
        return [
            self.folder / "logs" / f"{placed.key:06}-{name}{f'-{i + 1}' if i else ''}.csv"
            for placed, name in zip(self.batch, self._names, strict=True)
            for i in range(len(placed.cut.placements))
        ]

    def _write(self, name: str, images: Images) -> None:
        photos.write(self.folder / name, grid(to_pixels(images)))


def write_candidates(folder: Path, cut: Cut, filled: Filled) -> None:
    """Write 1.png, 2.png, ... and sheet.png: the photo, its hole, and each candidate, around the hole.

    What an earlier search offered is removed.
    """
    for path in folder.glob("*.png"):
        path.unlink()
    for number, candidate in enumerate(filled.candidates, 1):
        photos.write_original(folder / f"{number}.png", candidate)
    before = cut.original.photo().opaque()
    asked = np.where(cut.hole[..., None] > 0, np.uint8(255), before)
    box = hole_square(cut.hole)
    cells = [cell(p, box) for p in (before, asked, *(c.photo().opaque() for c in filled.candidates))]
    photos.write(folder / "sheet.png", grid(cells, min(len(cells), 6)))


def hole_square(hole: Hole) -> Box:
    """The square part of a photo that shows a hole and its surroundings; the whole photo if there is no hole."""
    height, width = hole.shape
    rows, columns = (np.flatnonzero(hole.any(axis)) for axis in (1, 0))
    if not len(rows):
        return Box(0, 0, height, width)
    extent = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    side = min(height, width, max(64, round((1 + 2 * AROUND) * extent)))
    top = int(np.clip((rows[0] + rows[-1] - side) // 2, 0, height - side))
    left = int(np.clip((columns[0] + columns[-1] - side) // 2, 0, width - side))
    return Box(top, left, top + side, left + side)


def cell(pixels: Pixels, box: Box) -> Pixels:
    """A part of a photo as one cell of a sheet, [CELL, CELL, 3]."""
    part = Image.fromarray(np.ascontiguousarray(pixels[box.slices]))
    scale = CELL / max(part.size)
    size = max(1, round(part.width * scale)), max(1, round(part.height * scale))
    small = np.asarray(part.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC))
    return np.pad(small, ((0, CELL - size[1]), (0, CELL - size[0]), (0, 0)), constant_values=255)


def draw_map(levels: Map) -> list[Pixels]:
    """Grey levels at each pixel [n, 1, h, w] as pictures: black is 0, or where there is none, white 64 and above."""
    shown = (BRIGHTER * levels).nan_to_num(0.0).clamp(0, 255).byte()
    return list(shown.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).contiguous().cpu().numpy())


def log_step(path: Path, completion: Completion, row: int) -> None:
    """Add a row for one image: step, loss, each term, what the search notes, z0, z1, ..."""
    z = completion.z[row].tolist()
    columns = {"loss": completion.loss, **completion.terms, **completion.notes}
    head = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="") as file:  # for each row: a process may open fewer files than a batch has pictures
        writer = csv.writer(file)
        if head:
            writer.writerow(["step", *columns, *(f"z{i}" for i in range(len(z)))])
        numbers = (f"{column[row].item():.6g}" for column in columns.values())
        writer.writerow([completion.number, *numbers, *(f"{v:.6f}" for v in z)])


def enlarge(means: Float[Tensor, "n c _ _"]) -> Float[Tensor, "n c _ _"]:
    """Means of blocks as pictures of these blocks."""
    return means.repeat_interleave(BLOCK, 2).repeat_interleave(BLOCK, 3)


def unused_folder(folder: Path) -> Path:
    """The folder, or its first namesake that does not exist: what an earlier batch drew is never drawn over."""
    names = (folder if i == 1 else folder.with_name(f"{folder.name}-{i}") for i in range(1, 10**6))
    return next(name for name in names if not name.exists())
