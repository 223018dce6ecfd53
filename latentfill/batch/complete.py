"""What is told of a completed photo besides itself: its candidates, side by side, and its numbers.

One batch of completions: the search, and the grids and logs it leaves in OUT/_run.
"""

import csv
import shutil
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ..completion.complete import Completion, watch
from ..completion.objective import block_means
from ..errors import LatentfillError, is_full, is_out_of_memory
from ..faces.placement import Box
from ..figures.animation import write_gif
from ..figures.samples import edit_sheet
from ..gan.gan import Gan
from ..images import photos
from ..images.incomplete import BLOCK, Incomplete
from ..images.pixels import grid, to_pixels
from ..photo.crop import Cut
from ..photo.crops import blend, pose
from ..pipeline import Filled, put_back
from ..types import Hole, Images, Pixels
from ..uncertainty.features import Map
from ..uncertainty.predict import Uncertainty, predict_error
from .inputs import Reader, too_large
from .outputs import Question, model_of, write_answer

if TYPE_CHECKING:
    from ..options.commands import CompleteCommand

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
        photos.write_original(folder / f"{number}.png", candidate)
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


def story(
    cut: Cut, candidates: Sequence[Completion], seconds: float, trust: Uncertainty | None = None
) -> dict[str, Any]:
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


Watch = Callable[["Batch", Completion], None]


@final
class Batch:
    """Some questions put at once. `search` streams, `finish` writes what was found. Grids and logs are left out of
    those that are not `drawn`.
    """

    def __init__(
        self,
        options: "CompleteCommand",
        gan: Gan,
        cuts: Sequence[tuple[Question, Cut]],
        reader: Reader,
        *,
        drawn: bool = True,
        model: Mapping[str, str] | None = None,
    ) -> None:
        self.options, self.gan, self.cuts, self._reader, self._drawn = options, gan, cuts, reader, drawn
        numbers = [question.number for question, _ in cuts]
        self.folder = unused(options.out / "_run" / f"{numbers[0]:06}-{numbers[-1]:06}")
        crops = [crop for _, cut in cuts for crop in cut.crops]
        crop_holes = [hole for _, cut in cuts for hole in cut.crop_holes]
        sights = [sight for _, cut in cuts for sight in cut.sights]
        self.model = model or model_of(gan)
        self.incomplete = pose(gan, crops, crop_holes, lowres=reader.lowres, sights=sights) if crops else None
        self._last: Completion | None = None
        self._trust: Uncertainty | None = None
        self._seconds = 0.0

    def search(self) -> Iterator[Completion]:
        """Every step of the search, drawn and logged as often as the options say; none if no model is needed."""
        if self.incomplete is None:
            return
        every = self.options.every
        if self._drawn:
            self._draw_question(self.incomplete)
        start = time.perf_counter()
        try:
            for completion in watch(self.gan, self.incomplete, self.options.search):
                due = completion.number == completion.total or (every and completion.number % every == 0)
                if self._drawn and due:
                    self._draw(self.incomplete, completion)
                    for row, path in enumerate(self._logs()):
                        log_step(path, completion, row)
                self._last = completion
                yield completion
        finally:
            self._seconds = time.perf_counter() - start

    def judge(self) -> None:
        """How far what was found can be trusted: the last thing that takes memory for all of it at once."""
        if self.incomplete is not None and self._last is not None and self._trust is None:
            self._trust = predict_error(self.gan, self.incomplete, self._last, self.options.search)

    def finish(self) -> Iterator[tuple[Question, Path | LatentfillError]]:
        """Write each completed picture and its story. Yields its path, or why it could not be written.

        Raises LatentfillError where the disk is full, which is no matter of one picture.
        """
        last = self._last
        if self.incomplete is not None and (last is None or last.number < last.total):
            raise ValueError("the search has not come to its end")
        if self.incomplete is not None and last is not None:
            self.judge()
            maps = (("band", self._trust.band), ("spread", self._trust.spread)) if self._trust else ()
            for name, levels in maps:
                if self._drawn and levels is not None:
                    photos.write(self.folder / f"{name}.png", grid(picture(levels)))
        first = 0
        for question, cut in self.cuts:
            rows = slice(first, first + len(cut.placements))
            first = rows.stop
            try:
                yield question, self._finish(question, cut, rows)
            except LatentfillError as error:
                if is_full(error):
                    raise
                yield question, error
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                yield question, too_large(question.source.name)
        if self._drawn and self.options.gif:
            self._animate()

    def discard(self) -> None:
        """Remove what was drawn of a search that came to nothing."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _finish(self, question: Question, cut: Cut, rows: slice) -> Path:
        candidates = [c.select(rows) for c in self._last.candidates] if self._last and cut.placements else []
        trust = self._trust.select(rows) if self._trust and cut.placements else None
        filled = put_back(cut, candidates, self.options.search, self.options.photo, trust)
        for warning in filled.notes[len(cut.notes) :]:  # the others were told when it was read
            print(f"{question.source.name}: {warning}", file=sys.stderr)
        if len(filled.candidates) > 1:
            offer(self.options.out / "_run" / "candidates" / question.stem.relative_to(self.options.out), cut, filled)
        if candidates and self.options.edits:
            self._draw_edits(question, rows, candidates[0])
        facts = story(cut, candidates, self._seconds / len(self.cuts), trust) | {"notes": filled.notes, **self.model}
        contents, data = self._reader.contents(question), photos.encode(filled.candidates[0])
        return write_answer(question, self.options, contents, facts, data)

    def _animate(self) -> None:
        completed = sorted((self.folder / "completed").glob("*.png"), key=lambda path: int(path.stem))
        if completed:
            frames = (photos.read(photos.Source(path.name, path)).opaque() for path in completed)
            write_gif(self.folder / "completed.gif", frames)

    def _logs(self) -> list[Path]:
        """A file for each square: the first of a photo has its name, the others a number besides."""
        return [
            self.folder / "logs" / f"{q.number:06}-{q.stem.name}{f'-{i + 1}' if i else ''}.csv"
            for q, cut in self.cuts
            for i in range(len(cut.placements))
        ]

    def _draw_edits(self, question: Question, rows: slice, completion: Completion) -> None:
        options = self.options
        if self.incomplete is None:
            return
        asked = self.incomplete.select(rows)
        sheet = edit_sheet(self.gan, asked, completion, options.edits, options.search.blend)
        if sheet is not None:
            name = question.stem.relative_to(options.out)
            photos.write(options.out / "_run" / "edits" / name.with_name(f"{name.name}.png"), sheet)

    def _draw_question(self, incomplete: Incomplete) -> None:
        images = incomplete.images
        self._sheet("before.png", images)
        self._sheet("masked.png", incomplete.shown[0])
        if incomplete.lowres is not None:
            self._sheet("lowres.png", enlarge(block_means(images)))

    def _draw(self, incomplete: Incomplete, completion: Completion) -> None:
        name = f"{completion.number:04}"
        self._sheet(f"hats/{name}.png", completion.images)
        self._sheet(f"completed/{name}.png", blend(incomplete, completion, self.options.search.blend))
        if incomplete.lowres is not None:
            self._sheet(f"hats/{name}-lowres.png", enlarge(block_means(completion.images)))

    def _sheet(self, name: str, images: Images) -> None:
        photos.write(self.folder / name, grid(to_pixels(images)))


def drain(
    options: "CompleteCommand",
    gan: Gan,
    reader: Reader,
    questions: Iterable[Question],
    *,
    drawn: bool = True,
    model: Mapping[str, str] | None = None,
    watch: Watch = lambda batch, completion: None,
) -> Generator[tuple[Question, Path | LatentfillError]]:
    """All that can be answered of some questions; the others are with the reader. `watch` sees every step."""
    for cuts in reader.batches(questions):
        waiting = [cuts]
        while waiting:
            some = waiting.pop(0)
            batch = _search(options, gan, reader, some, watch, drawn=drawn, model=model)
            if batch is not None:
                yield from batch.finish()
            elif len(some) == 1:
                yield some[0][0], too_large(some[0][0].source.name)
            else:
                half = (len(some) + 1) // 2
                reader.most = max(1, sum(len(cut.placements) for _, cut in some) // 2)
                print(f"not enough memory for {len(some)} photos side by side: now {half}", file=sys.stderr)
                left = [*some, *chain.from_iterable(waiting)]
                waiting = [left[first : first + half] for first in range(0, len(left), half)]


def _search(
    options: "CompleteCommand",
    gan: Gan,
    reader: Reader,
    cuts: Sequence[tuple[Question, Cut]],
    watch: Watch,
    *,
    drawn: bool,
    model: Mapping[str, str] | None,
) -> Batch | None:
    """A batch that has been searched to the end; None if memory does not hold it."""
    batch = None
    try:
        batch = Batch(options, gan, cuts, reader, drawn=drawn, model=model)
        for completion in batch.search():
            watch(batch, completion)
        batch.judge()
    except Exception as error:
        if isinstance(error, LatentfillError) or not is_out_of_memory(error):
            raise
    else:
        return batch
    # Only here is nothing held any more by the error's traces.
    if batch is not None:
        batch.discard()
    if gan.device.type == "cuda":
        torch.cuda.empty_cache()
    return None
