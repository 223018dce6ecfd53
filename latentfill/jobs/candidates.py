"""What is told of a completed photo besides itself: its candidates, side by side, and its numbers."""

import csv
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ..completion.completion import Completion
from ..cutting import Cut
from ..images import originals, photos
from ..images.grids import grid
from ..images.incomplete import BLOCK
from ..images.placement import Box
from ..pipeline import Filled
from ..trust.clues import Map
from ..trust.judge import Trust
from ..types import Hole, Pixels

CELL = 256  # pixels of a picture on the sheet
BRIGHTER = 4  # than the grey levels that a map is of
AROUND = 0.35  # how much of the photo is shown around the hole, in widths of the hole


def offer(folder: Path, cut: Cut, filled: Filled) -> None:
    """Write 1.png, 2.png, ... and sheet.png: the photo, its hole, and each candidate, around the hole.

    What an earlier search offered is removed.
    """
    for path in folder.glob("*.png"):
        path.unlink()
    for number, candidate in enumerate(filled.candidates, 1):
        originals.write(folder / f"{number}.png", candidate)
    before = cut.original.photo().opaque()
    asked = np.where(cut.hole[..., None] > 0, np.uint8(255), before)
    box = around(cut.hole)
    cells = [cell(p, box) for p in (before, asked, *(c.photo().opaque() for c in filled.candidates))]
    photos.write(folder / "sheet.png", grid(cells, min(len(cells), 6)))


def around(hole: Hole) -> Box:
    """The square part of a photo that shows a hole and what is next to it; all of the photo if there is no hole."""
    height, width = hole.shape
    rows, columns = (np.flatnonzero(hole.any(axis)) for axis in (1, 0))
    if not len(rows):
        return Box(0, 0, height, width)
    extent = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    side = min(height, width, max(64, round((1 + 2 * AROUND) * extent)))
    top = int(np.clip((rows[0] + rows[-1] - side) // 2, 0, height - side))
    left = int(np.clip((columns[0] + columns[-1] - side) // 2, 0, width - side))
    return Box(top, left, top + side, left + side)


def story(cut: Cut, candidates: Sequence[Completion], seconds: float, trust: Trust | None = None) -> dict[str, Any]:
    """The numbers of one photo, for its JSON file: of the best candidate for every square, and all losses."""
    best = candidates[0] if candidates else None
    squares = [
        {
            "placement": placement.matrix,
            "loss": best.loss[row].item(),
            "terms": {name: term[row].item() for name, term in best.terms.items()},
            "to_be_found": _share(cut, cut.crop_holes[row]),
            "attempt": int(best.attempt[row]),
            "z": best.z[row].tolist(),
            "trust": trust.told(row) if trust else None,
            "search": {name: _finite(note[row].item()) for name, note in best.notes.items()},
        }
        for row, placement in enumerate(cut.placements)
        if best is not None
    ]
    facts: dict[str, Any] = {
        "steps": best.number if best else 0,
        "drawn_by": None if best is None else "completer" if best.conditional else "generator",
        "to_be_found": _share(cut, cut.hole),
        "seen_by_model": cut.seen,
        "seconds": seconds,
        "notes": cut.notes,
        "squares": squares,
        "candidates": [{"loss": candidate.loss.tolist()} for candidate in candidates],
    }
    if len(squares) == 1:  # the usual case, where nobody wants to look further down
        facts |= {name: squares[0][name] for name in ("loss", "terms", "z", "trust")}
    return facts


def _share(cut: Cut, hole: Hole) -> float:
    """How much is to be found: of an observed photo all, for what was seen of it need not be what it is."""
    return float((hole > 0).mean()) if cut.observed is None else 1.0


def _finite(number: float) -> float | None:
    """JSON knows no other."""
    return number if isfinite(number) else None


def picture(levels: Map) -> list[Pixels]:
    """Grey levels at each pixel [n, 1, h, w] as pictures: black is 0, or where there is none, white 64 and above."""
    shown = (BRIGHTER * levels).nan_to_num(0.0).clamp(0, 255).byte()
    return list(shown.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).contiguous().cpu().numpy())


def cell(pixels: Pixels, box: Box) -> Pixels:
    part = Image.fromarray(np.ascontiguousarray(pixels[box.slices]))
    scale = CELL / max(part.size)
    size = max(1, round(part.width * scale)), max(1, round(part.height * scale))
    small = np.asarray(part.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC))
    return np.pad(small, ((0, CELL - size[1]), (0, CELL - size[0]), (0, 0)), constant_values=255)


def log_step(path: Path, completion: Completion, row: int) -> None:
    """Add a row for one image: step, loss, each term, what the search notes, z0, z1, ..."""
    z = completion.z[row].tolist()
    columns = {"loss": completion.loss, **completion.terms, **completion.notes}
    head = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="") as file:  # opened for each row: a batch may be larger than a process's files
        writer = csv.writer(file)
        if head:
            writer.writerow(["step", *columns, *(f"z{i}" for i in range(len(z)))])
        numbers = (f"{column[row].item():.6g}" for column in columns.values())
        writer.writerow([completion.number, *numbers, *(f"{v:.6f}" for v in z)])


def enlarge(means: Float[Tensor, "n c _ _"]) -> Float[Tensor, "n c _ _"]:
    """Means of blocks as pictures of these blocks."""
    return means.repeat_interleave(BLOCK, 2).repeat_interleave(BLOCK, 3)


def unused(folder: Path) -> Path:
    """The folder, or its first namesake that does not exist: what an earlier batch drew is never drawn over."""
    names = (folder if i == 1 else folder.with_name(f"{folder.name}-{i}") for i in range(1, 10**6))
    return next(name for name in names if not name.exists())
