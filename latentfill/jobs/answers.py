"""What `complete` writes for each input: which file it goes to, what was asked, and how the answer is told."""

import csv
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, final

from ..cutting import Cut, alignment_of, cut
from ..errors import ExtraError, ImageError, LatentfillError
from ..faces import landmarks
from ..gan.gan import Gan
from ..images import holes, originals, photos
from ..images.fitting import fit, fit_hole
from ..options import Alignment
from ..types import Hole

if TYPE_CHECKING:
    from ..cli.complete import Options

HELD_PIXELS = 50_000_000  # of photos waiting side by side for one search: 150 MB


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
    """Reads photos, draws their holes and cuts what the model is asked about; remembers what cannot be used."""

    def __init__(self, options: "Options", gan: Gan) -> None:
        self.spec = holes.parse(options.hole, invert=options.invert)
        self.rejected: list[tuple[str, str]] = []
        self._described = False
        self._options, self._gan = options, gan
        self._landmarks = _read_landmarks(options, gan)
        self._table = options.out / "_run" / "rejected.csv"
        self._table.unlink(missing_ok=True)

    @property
    def lowres(self) -> bool:
        return self.spec.kind == "lowres"

    def batches(self, questions: Iterable[Question]) -> Iterator[list[tuple[Question, Cut]]]:
        """Those questions that can be put, so many at a time as are searched side by side."""
        batch: list[tuple[Question, Cut]] = []
        squares = pixels = 0
        for question in questions:
            try:
                made = self._read(question.source)
            except ExtraError:
                raise
            except LatentfillError as error:
                self.reject(question, error)
                continue
            batch.append((question, made))
            squares, pixels = squares + len(made.placements), pixels + made.hole.size
            if squares >= self._options.batch_size or pixels >= HELD_PIXELS:
                yield batch
                batch, squares, pixels = [], 0, 0
        if batch:
            yield batch

    def reject(self, question: Question, error: LatentfillError) -> None:
        """Note a picture that cannot be completed, in _run/rejected.csv too."""
        name = question.source.name
        self.rejected.append((name, f"{error.what.removeprefix(f'{name}: ')}. {error.cure}"))
        self._table.parent.mkdir(parents=True, exist_ok=True)
        with self._table.open("w", newline="") as file:
            csv.writer(file).writerows([("path", "reason"), *self.rejected])

    def _read(self, source: photos.Source) -> Cut:
        options, size = self._options, self._gan.network.size
        original = originals.read(source, options.limits)
        shape = original.values.shape[:2]
        if shape == (size, size) or not options.fit:
            if self.lowres and shape != (size, size):
                raise ImageError(f"{source.name}: lowres is for pictures of the model's size", "Give --fit as well.")
            hole = self._hole(source, original, shape)
        else:
            drawn = shape if self.spec.kind in holes.AT_PHOTO_SIZE else (size, size)
            hole = self._hole(source, original, drawn)
            hole = hole if drawn == (size, size) else fit_hole(hole, size)
            original = originals.Original(fit(original.photo().pixels, size))
        points = self._landmarks.get(source.name, ())
        if options.landmarks is not None and not len(points):
            print(f"{source.name}: {options.landmarks} has no landmarks for it", file=sys.stderr)
        made = cut(original, hole, self._gan, options.photo, points, source.name)
        for note in made.notes:
            print(f"{source.name}: {note}", file=sys.stderr)
        return made

    def _hole(self, source: photos.Source, original: originals.Original, shape: tuple[int, int]) -> Hole:
        """Drawn; and of the first picture it is said how its hole was understood, of any if that looks wrong."""
        seed = hole_seed(self._options.search.seed, PurePosixPath(source.name).name)
        photo = original.photo() if original.values.shape[:2] == shape else None
        hole = holes.draw(self.spec, shape, seed=seed, photo=photo, name=source.name)
        told = holes.warning(self.spec, hole)
        if told is None and not self._described:
            told = holes.describe(hole)
        if told is not None:
            print(f"{source.name}: {told}", file=sys.stderr)
        self._described = True
        return hole


def hole_seed(seed: int, name: str) -> int:
    """What an image's hole is drawn from: the name of its file alone, so that neighbours and order do not matter."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return int.from_bytes(digest[:8], "little")


def asked_for(options: "Options") -> dict[str, Any]:
    """What decides how a photo is completed, as it stands in its story."""
    return {
        "hole": options.hole + (" inverted" if options.invert else ""),
        "model": options.model,
        "preset": options.preset,
        "fit": options.fit,
        "options": asdict(options.search),
        "photo": asdict(options.photo),
    }


def check_answers(questions: Iterable[Question], options: "Options") -> None:
    """Raise LatentfillError if what is there was made for other questions: skipping it would pass it off as theirs."""
    asked = asked_for(options)
    for question in questions:
        try:
            told = json.loads(question.file(".json").read_text())
        except (OSError, ValueError) as error:
            path = question.file(".json")
            raise LatentfillError(f"{path} cannot be read: {error}", "Remove it, or give --overwrite.") from error
        other = next((key for key in asked if key in told and told[key] != asked[key]), None)
        if other is not None:
            raise LatentfillError(
                f"{question.file('.png')} was made with another {other} than this command asks for",
                "Give another --out, or --overwrite to make it anew.",
            )


def tell(question: Question, options: "Options", facts: dict[str, Any]) -> None:
    """Write the story of one completion. It comes last: with it, the question counts as answered."""
    story = {"image": question.source.name, **asked_for(options), **facts}
    path = question.file(".json")
    making = path.with_name(f".{path.name}.making")
    making.write_text(json.dumps(story, indent=1) + "\n")
    making.replace(path)


def _read_landmarks(options: "Options", gan: Gan) -> Mapping[str, Sequence[Any]]:
    if options.landmarks is None:
        return {}
    alignment = alignment_of(gan) or Alignment()
    return landmarks.read(options.landmarks, alignment.landmarks)
