"""One batch of completions: the search, and the grids and logs it leaves in OUT/_run."""

import csv
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, final

import torch
from jaxtyping import Float
from torch import Tensor

from ..completion.completion import Completion, watch
from ..completion.objective import block_means
from ..crops import blend, pose
from ..cutting import Cut
from ..errors import LatentfillError
from ..figures.animation import write_gif
from ..figures.directions import edit_sheet
from ..gan.gan import Gan
from ..images import originals, photos
from ..images.grids import grid
from ..images.incomplete import BLOCK, Incomplete
from ..images.pixels import to_pixels
from ..models import load
from ..pipeline import put_back
from ..trust.judge import Trust, judge
from ..types import Images
from .answers import Question, tell, weights_of
from .candidates import offer, picture, story
from .reader import Reader, reason

if TYPE_CHECKING:
    from ..cli.complete import Options

Told = tuple[Question, Path | str]  # where the answer is, or why there is none


@final
class Batch:
    """Some questions put at once. `search` streams, `finish` writes what was found. Grids and logs are left out of
    those that are not `drawn`.
    """

    def __init__(
        self,
        options: "Options",
        gan: Gan,
        cuts: Sequence[tuple[Question, Cut]],
        lowres: bool,
        *,
        drawn: bool = True,
        weights: str = "",
    ) -> None:
        self.options, self.gan, self.cuts, self._drawn = options, gan, cuts, drawn
        numbers = [question.number for question, _ in cuts]
        self.folder = _unused(options.out / "_run" / f"{numbers[0]:06}-{numbers[-1]:06}")
        crops = [crop for _, cut in cuts for crop in cut.crops]
        crop_holes = [hole for _, cut in cuts for hole in cut.crop_holes]
        sights = [sight for _, cut in cuts for sight in cut.sights]
        self.weights = weights or weights_of(gan)
        self.incomplete = pose(gan, crops, crop_holes, lowres=lowres, sights=sights) if crops else None
        self._last: Completion | None = None
        self._trust: Trust | None = None
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
                        _log(path, completion, row)
                self._last = completion
                yield completion
        finally:
            self._seconds = time.perf_counter() - start

    def finish(self) -> Iterator[tuple[Question, Path | LatentfillError]]:
        """Write each completed picture and its story. Yields its path, or why it could not be written."""
        last = self._last
        if self.incomplete is not None and (last is None or last.number < last.total):
            raise ValueError("the search has not come to its end")
        if self.incomplete is not None and last is not None:
            self._trust = judge(self.gan, self.incomplete, last, self.options.search)
            for name, levels in (("band", self._trust.band), ("spread", self._trust.spread)):
                if self._drawn and levels is not None:
                    photos.write(self.folder / f"{name}.png", grid(picture(levels)))
        first = 0
        for question, cut in self.cuts:
            rows = slice(first, first + len(cut.placements))
            first = rows.stop
            try:
                yield question, self._finish(question, cut, rows)
            except LatentfillError as error:
                yield question, error
        if self._drawn and self.options.gif:
            self._animate()

    def _finish(self, question: Question, cut: Cut, rows: slice) -> Path:
        candidates = [c.select(rows) for c in self._last.candidates] if self._last and cut.placements else []
        trust = self._trust.select(rows) if self._trust and cut.placements else None
        filled = put_back(cut, candidates, self.options.search, self.options.photo, trust)
        for warning in filled.notes[len(cut.notes) :]:  # the others were told when it was read
            print(f"{question.source.name}: {warning}", file=sys.stderr)
        if len(filled.candidates) > 1:
            offer(self.options.out / "_run" / "candidates" / question.stem.relative_to(self.options.out), cut, filled)
        originals.write(question.file(".png"), filled.candidates[0])
        if candidates and self.options.edits:
            self._draw_edits(question, rows, candidates[0])
        facts = story(cut, candidates, self._seconds / len(self.cuts), trust)
        tell(question, self.options, facts | {"notes": filled.notes, "weights": self.weights})
        return question.file(".png")

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
            self._sheet("lowres.png", _enlarged(block_means(images)))

    def _draw(self, incomplete: Incomplete, completion: Completion) -> None:
        name = f"{completion.number:04}"
        self._sheet(f"hats/{name}.png", completion.images)
        self._sheet(f"completed/{name}.png", blend(incomplete, completion, self.options.search.blend))
        if incomplete.lowres is not None:
            self._sheet(f"hats/{name}-lowres.png", _enlarged(block_means(completion.images)))

    def _sheet(self, name: str, images: Images) -> None:
        photos.write(self.folder / name, grid(to_pixels(images)))


def drain(
    options: "Options", gan: Gan, reader: Reader, questions: Iterable[Question], *, drawn: bool, weights: str = ""
) -> Iterator[tuple[Question, Path | LatentfillError]]:
    """All that can be answered of some questions, without a look at the search; the others are with the reader."""
    for cuts in reader.batches(questions):
        batch = Batch(options, gan, cuts, reader.lowres, drawn=drawn, weights=weights)
        for _ in batch.search():
            pass
        yield from batch.finish()


@final
class Answerer:
    """Completes a batch as the one process does. It is pickled for every process, and loads the model there."""

    def __init__(self, options: "Options", threads: int) -> None:
        self._options, self._threads = options, threads
        self._ready: tuple[Gan, Reader, str] | None = None

    def __call__(self, questions: Sequence[Question]) -> list[Told]:
        """What became of each; unusable ones first. Raises LatentfillError for what stops all others too."""
        gan, reader, weights = self._ready = self._ready or self._begin()
        reader.rejected.clear()
        made: list[Told] = []
        for question, answer in drain(self._options, gan, reader, questions, drawn=True, weights=weights):
            why = reason(question.source.name, answer) if isinstance(answer, LatentfillError) else answer
            made.append((question, why))
        done = {question.number for question, _ in made}
        lost = [question for question in questions if question.number not in done]
        return [*((question, why) for question, (_, why) in zip(lost, reader.rejected, strict=True)), *made]

    def _begin(self) -> tuple[Gan, Reader, str]:
        options = self._options
        torch.set_num_threads(self._threads)
        gan = load(options.model, options.device, options.class_name)
        return gan, Reader(options, gan, alone=False), weights_of(gan)


def _log(path: Path, completion: Completion, row: int) -> None:
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


def _enlarged(means: Float[Tensor, "n c _ _"]) -> Float[Tensor, "n c _ _"]:
    return means.repeat_interleave(BLOCK, 2).repeat_interleave(BLOCK, 3)


def _unused(folder: Path) -> Path:
    """The folder, or its first namesake that does not exist: what an earlier batch drew is never drawn over."""
    names = (folder if i == 1 else folder.with_name(f"{folder.name}-{i}") for i in range(1, 10**6))
    return next(name for name in names if not name.exists())
