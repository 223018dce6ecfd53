"""What `complete` writes for each input: which file it goes to, what was asked, and how the answer is told."""

import csv
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, final

from ..errors import ImageError, LatentfillError
from ..gan.gan import Gan
from ..images import holes, photos
from ..images.fitting import fit, fit_hole
from ..types import Hole, Pixels

if TYPE_CHECKING:
    from ..cli.complete import Options


@final
@dataclass(frozen=True)
class Question:
    """One input and where its answer goes: `stem`.png and `stem`.json."""

    source: photos.Source
    number: int
    stem: Path

    @property
    def answered(self) -> bool:
        return self.file(".png").exists() and self.file(".json").exists()

    def file(self, suffix: str) -> Path:
        return self.stem.with_name(self.stem.name + suffix)


def ask(places: Sequence[Path], out: Path) -> list[Question]:
    """Every picture in `places`, with a name of its own in `out`: its stem, or all of its path if stems are equal.

    What lies in `out` is an answer, not a question. Raises LatentfillError if an answer would replace its question.
    """
    here = out.resolve()
    sources = list(photos.find(places))
    if any(place.is_dir() and here != place.resolve() and here.is_relative_to(place.resolve()) for place in places):
        sources = [source for source in sources if not source.path.resolve().is_relative_to(here)]
    stems = Counter(PurePosixPath(source.name).stem for source in sources)
    paths = Counter(PurePosixPath(source.name).with_suffix("") for source in sources)

    def name(source: photos.Source) -> PurePosixPath:
        path = PurePosixPath(source.name)
        if stems[path.stem] == 1:
            return PurePosixPath(path.stem)
        return path.with_suffix("") if paths[path.with_suffix("")] == 1 else path

    questions = [Question(source, i + 1, out / name(source)) for i, source in enumerate(sources)]
    if any(q.source.path.resolve() == q.file(".png").resolve() for q in questions) or any(
        place.is_dir() and place.resolve() == here for place in places
    ):
        raise LatentfillError(
            f"{out} holds the pictures to complete", "Give another --out: originals are not replaced."
        )
    return questions


@final
class Reader:
    """Reads the pictures of a batch and draws their holes; remembers what cannot be used."""

    def __init__(self, options: "Options", gan: Gan) -> None:
        self.spec = holes.parse(options.hole, invert=options.invert)
        self.rejected: list[tuple[str, str]] = []
        self._described = False
        self._options, self._size = options, gan.network.size
        self._table = options.out / "_run" / "rejected.csv"
        self._table.unlink(missing_ok=True)

    @property
    def lowres(self) -> bool:
        return self.spec.kind == "lowres"

    def read(self, questions: Sequence[Question]) -> tuple[list[Question], list[Pixels], list[Hole]]:
        """Those questions that can be put, with their crops and holes."""
        good: list[tuple[Question, Pixels, Hole]] = []
        for question in questions:
            try:
                good.append((question, *self._read(question.source)))
            except LatentfillError as error:
                self.reject(question, error)
        return [q for q, _, _ in good], [c for _, c, _ in good], [h for _, _, h in good]

    def reject(self, question: Question, error: LatentfillError) -> None:
        """Note a picture that cannot be completed, in _run/rejected.csv too."""
        name = question.source.name
        self.rejected.append((name, f"{error.what.removeprefix(f'{name}: ')}. {error.cure}"))
        self._table.parent.mkdir(parents=True, exist_ok=True)
        with self._table.open("w", newline="") as file:
            csv.writer(file).writerows([("path", "reason"), *self.rejected])

    def _read(self, source: photos.Source) -> tuple[Pixels, Hole]:
        photo = photos.read(source, self._options.limits)
        size, (height, width) = self._size, photo.pixels.shape[:2]
        fits = (height, width) == (size, size)
        if not fits and not self._options.fit:
            raise ImageError(
                f"{source.name}: is {width}x{height} and the model makes {size}x{size}",
                "Align or crop it first, or give --fit to take its central square",
            )
        seed = hole_seed(self._options.search.seed, PurePosixPath(source.name).name)
        at = (height, width) if self.spec.kind in holes.PAINTED else (size, size)
        hole = holes.draw(self.spec, at, seed=seed, photo=photo if at == (height, width) else None, name=source.name)
        self._describe(source.name, hole)
        if fits:
            return photo.pixels, hole
        return fit(photo.pixels, size), hole if at == (size, size) else fit_hole(hole, size)

    def _describe(self, name: str, hole: Hole) -> None:
        """Say of the first picture how its hole was understood, and of any if that looks wrong."""
        told = holes.warning(self.spec, hole)
        if told is None and not self._described:
            told = holes.describe(hole)
        if told is not None:
            print(f"{name}: {told}", file=sys.stderr)
        self._described = True


def hole_seed(seed: int, name: str) -> int:
    """What an image's hole is drawn from: the name of its file alone, so that neighbours and order do not matter."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return int.from_bytes(digest[:8], "little")


def tell(question: Question, options: "Options", facts: dict[str, Any]) -> None:
    """Write the story of one completion. It comes last: with it, the question counts as answered."""
    story = {
        "image": question.source.name,
        "hole": options.hole + (" inverted" if options.invert else ""),
        "model": options.model,
        "preset": options.preset,
        "options": asdict(options.search),
        **facts,
    }
    path = question.file(".json")
    making = path.with_name(f".{path.name}.making")
    making.write_text(json.dumps(story, indent=1) + "\n")
    making.replace(path)
