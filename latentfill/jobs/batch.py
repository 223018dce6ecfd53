"""One batch of completions: the search, and the grids and logs it leaves in OUT/_run."""

import csv
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, final

from ..completion.completion import Completion, watch
from ..completion.objective import block_means
from ..figures.animation import write_gif
from ..gan.gan import Gan
from ..images import photos
from ..images.grids import grid
from ..images.incomplete import BLOCK, Incomplete
from ..images.pixels import to_pixels
from ..pipeline import blend
from ..types import Images
from .answers import Question, tell

if TYPE_CHECKING:
    from ..cli.complete import Options


@final
class Batch:
    """Some questions put at once. `search` streams, `finish` writes what was found."""

    def __init__(self, options: "Options", questions: Sequence[Question], incomplete: Incomplete) -> None:
        self.options, self.questions, self.incomplete = options, questions, incomplete
        self.folder = _unused(options.out / "_run" / f"{questions[0].number:06}-{questions[-1].number:06}")
        self._last: Completion | None = None
        self._seconds = 0.0

    def search(self, gan: Gan) -> Iterator[Completion]:
        """Every step of the search, drawn and logged as often as the options say."""
        every, steps = self.options.every, self.options.search.steps
        self._draw_question()
        logs = [self.folder / "logs" / f"{q.number:06}-{q.stem.name}.csv" for q in self.questions]
        start = time.perf_counter()
        try:
            for completion in watch(gan, self.incomplete, self.options.search):
                if completion.number == steps or (every and completion.number % every == 0):
                    self._draw(completion)
                    for row, path in enumerate(logs):
                        _log(path, completion, row)
                self._last = completion
                yield completion
        finally:
            self._seconds = time.perf_counter() - start

    def finish(self) -> list[Path]:
        """Write each completed picture and its story. Returns the pictures' paths."""
        last = self._last
        if last is None or last.number < self.options.search.steps:
            raise ValueError("the search has not come to its end")
        pixels = to_pixels(self._blended(last))
        for row, question in enumerate(self.questions):
            photos.write(question.file(".png"), pixels[row])
            facts = {
                "steps": last.number,
                "loss": last.loss[row].item(),
                "terms": {name: term[row].item() for name, term in last.terms.items()},
                "to_be_found": 1 - self.incomplete.known[row].mean().item(),
                "seconds": self._seconds / len(self.questions),
                "z": last.z[row].tolist(),
            }
            tell(question, self.options, facts)
        if self.options.gif:
            completed = sorted((self.folder / "completed").glob("*.png"), key=lambda path: int(path.stem))
            write_gif(
                self.folder / "completed.gif",
                (photos.read(photos.Source(path.name, path)).pixels for path in completed),
            )
        return [question.file(".png") for question in self.questions]

    def _blended(self, completion: Completion) -> Images:
        return blend(self.incomplete, completion, self.options.search.blend)

    def _draw_question(self) -> None:
        known, images = self.incomplete.known, self.incomplete.images
        self._sheet("before.png", images)
        self._sheet("masked.png", images * known)
        if self.incomplete.lowres is not None:
            self._sheet("lowres.png", _enlarged(block_means(images)))

    def _draw(self, completion: Completion) -> None:
        name = f"{completion.number:04}"
        self._sheet(f"hats/{name}.png", completion.images)
        self._sheet(f"completed/{name}.png", self._blended(completion))
        if self.incomplete.lowres is not None:
            self._sheet(f"hats/{name}-lowres.png", _enlarged(block_means(completion.images)))

    def _sheet(self, name: str, images: Images) -> None:
        photos.write(self.folder / name, grid(to_pixels(images)))


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


def _enlarged(means: Images) -> Images:
    return means.repeat_interleave(BLOCK, 2).repeat_interleave(BLOCK, 3)


def _unused(folder: Path) -> Path:
    """The folder, or its first namesake that does not exist: what an earlier batch drew is never drawn over."""
    names = (folder if i == 1 else folder.with_name(f"{folder.name}-{i}") for i in range(1, 10**6))
    return next(name for name in names if not name.exists())
