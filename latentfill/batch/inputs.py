"""How `complete` reads its inputs: photos, their holes and landmarks, and what was observed of them."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, final

import numpy as np

from ..completion.operators import Operator
from ..errors import ExtraError, ImageError, LatentfillError, is_out_of_memory
from ..faces import landmarks
from ..files.contents import Contents, check_apart
from ..files.records import digest
from ..gan.gan import Gan
from ..images import holes, photos
from ..images.hole_pictures import DrawnHole, check_size, decode_hole, describe
from ..images.pixels import fit, fit_hole
from ..options import Alignment
from ..photo.crop import INVENTED, Cut, alignment_of, cut, cut_observed
from ..photo.locate import draw_feature
from ..photo.observed import degrade
from ..types import Hole
from .outputs import Question, hole_of, hole_seed, made_of, sight_of

if TYPE_CHECKING:
    from ..options.commands import CompleteCommand

HELD_PIXELS = 50_000_000  # of photos waiting side by side for one search: 150 MB
Points = Sequence[Any] | np.ndarray


@final
class Reader:
    """Reads photos, draws their holes and cuts what the model is asked about; remembers what cannot be used."""

    def __init__(self, options: "CompleteCommand", gan: Gan, *, alone: bool = True) -> None:
        """One that is not `alone` at these pictures leaves the table of those that cannot be used to others."""
        self.spec = holes.parse(hole_of(options), invert=options.invert, threshold=options.hole_threshold)
        self.sight = sight_of(options)
        if self.sight is not None and self.lowres:
            raise LatentfillError("--hole lowres shows means of blocks itself", "Give --observe lowres:8 alone.")
        if self.sight is not None and options.fit and options.degrade is None and self.sight.noise.name:
            cure = "Leave --fit out, or give pictures of the model's size."
            raise LatentfillError(f"--fit would average away what {self.sight.noise.name} is about", cure)
        self.rejected: list[tuple[str, str]] = []
        self.most = options.batch_size
        """squares to search side by side; whoever finds that memory does not hold them makes it less"""
        self._described = False
        self._options, self._gan = options, gan
        self.landmarks = _read_landmarks(options, gan)
        self._table = options.out / "_run" / "rejected.csv"
        self._alone = alone
        if alone:
            self._table.unlink(missing_ok=True)

    @property
    def lowres(self) -> bool:
        return self.spec.kind == "lowres"

    def batches(self, questions: Iterable[Question]) -> Iterator[list[tuple[Question, Cut]]]:
        """Those questions that can be put, so many at a time as are searched side by side."""
        batch: list[tuple[Question, Cut]] = []
        squares = pixels = 0
        for question in questions:
            made = self._attempt(question)
            if batch and is_out_of_memory(made if isinstance(made, Exception) else None):
                yield batch  # when these are done there may be room
                batch, squares, pixels = [], 0, 0
                made = self._attempt(question)
            if isinstance(made, LatentfillError):
                self.reject(question, made)
                continue
            batch.append(made)
            squares, pixels = squares + len(made[1].placements), pixels + made[1].hole.size
            if squares >= self.most or pixels >= HELD_PIXELS:
                yield batch
                batch, squares, pixels = [], 0, 0
        if batch:
            yield batch

    def _attempt(self, question: Question) -> tuple[Question, Cut] | LatentfillError:
        """What is asked of the model, or why this photo cannot be used."""
        try:
            return self._read(question)
        except ExtraError:
            raise
        except LatentfillError as error:
            return error
        except Exception as error:  # of any library that decodes, looks for faces, or fills
            if not is_out_of_memory(error):
                raise
            return too_large(question.source.name)

    def reject(self, question: Question, error: LatentfillError) -> None:
        """Note a picture that cannot be completed, in _run/rejected.csv too."""
        self.note(question.source.name, reason(question.source.name, error))

    def note(self, name: str, why: str) -> None:
        """The same, in words."""
        self.rejected.append((name, why))
        if self._alone:
            write_rejected(self._table, self.rejected)

    def contents(self, question: Question) -> Contents:
        """What the answer is made of."""
        return made_of(question, self.spec, self.landmarks)

    def _read(self, question: Question) -> tuple[Question, Cut]:
        """The question with the digest of its photo, and the squares."""
        options, size, source = self._options, self._gan.network.size, question.source
        check_apart(self.spec, source)
        data = source.bytes(options.limits.max_bytes)
        question = replace(question, photo=digest(data))
        original = photos.decode_original(data, options.limits, source.name)
        shape = original.values.shape[:2]
        if self.sight is not None and options.fit:
            original = self._fitted(original, self.sight)
            shape = original.values.shape[:2]
            drawn = self._hole(question, original, shape)
        elif shape == (size, size) or not options.fit:
            if self.lowres and shape != (size, size):
                raise ImageError(f"{source.name}: lowres is for pictures of the model's size", "Give --fit as well.")
            drawn = self._hole(question, original, shape)
        else:
            whole = self.spec.kind in holes.AT_PHOTO_SIZE or question.hole is not None
            drawn = self._hole(question, original, shape if whole else (size, size))
            drawn = replace(drawn, hole=fit_hole(drawn.hole, size)) if whole else drawn
            original = photos.Original(fit(original.photo().opaque(), size))
        points = self.landmarks.get(source.name, ())
        if options.landmarks is not None and not len(points):
            print(f"{source.name}: {options.landmarks} has no landmarks for it", file=sys.stderr)
        made = self._cut(question, original, drawn.hole, points)
        made = replace(made, notes=(*drawn.notes, *made.notes))
        for note in made.notes:
            print(f"{source.name}: {note}", file=sys.stderr)
        return question, made

    def _cut(self, question: Question, original: photos.Original, hole: Hole, points: Points) -> Cut:
        """The squares; of a picture that is to be degraded first, what was seen is written down."""
        options, name = self._options, question.source.name
        if self.sight is None:
            made = cut(original, hole, self._gan, options.photo, points, name, most=options.limits.max_pixels)
            # Who says full wants to see how near the model comes to the picture.
            asked = self.lowres or self.spec.kind == "full"
            return _spared(made) if made.placements and not asked else made
        if options.degrade is not None:
            height, width = original.values.shape[:2]
            original = degrade(original, self.sight, hole_seed(options.search.seed, PurePosixPath(name).name), name)
            factor = self.sight.linear.factor
            hole = hole[: height // factor * factor, : width // factor * factor]
            points = [np.asarray(one, float) / factor for one in points]
            stem = question.stem.relative_to(options.out)
            photos.write_original(options.out / "_run" / "seen" / stem.with_name(f"{stem.name}.png"), original)
        most = options.limits.max_pixels
        return cut_observed(original, hole, self.sight, self._gan, options.photo, points, name, most=most)

    def _fitted(self, original: photos.Original, sight: Operator) -> photos.Original:
        """The central square of a picture, of the size at which it is to be seen."""
        size: int = self._gan.network.size
        if self._options.degrade is None:
            size = size // sight.linear.factor
        return photos.Original(fit(original.photo().opaque(), size))

    def _hole(self, question: Question, original: photos.Original, shape: tuple[int, int]) -> DrawnHole:
        """Drawn, or its own; and of the first picture it is said how its hole was understood."""
        source, limits = question.source, self._options.limits
        if question.hole is not None:
            drawn = decode_hole(
                question.hole,
                f"{source.name}: its hole",
                limits,
                invert=self.spec.invert,
                threshold=self.spec.threshold,
            )
            check_size(drawn.hole.shape, shape, f"{source.name}: its hole", "the picture")
        else:
            seed = hole_seed(self._options.search.seed, PurePosixPath(source.name).name)
            photo = original.photo() if original.values.shape[:2] == shape else None
            drawn = holes.draw(
                self.spec, shape, seed=seed, photo=photo, name=source.name, limits=limits, draw_feature=draw_feature
            )
        if self.sight is not None and not drawn.hole.any():
            agreed = f"all of it is found anew, to agree with {self.sight.name}"
            drawn = replace(drawn, notes=() if self._described else (agreed,))
        elif not drawn.notes and not self._described:
            print(f"{source.name}: {describe(drawn.hole)}", file=sys.stderr)
        self._described = True
        return drawn


def reason(name: str, error: LatentfillError) -> str:
    """Why a picture of this name cannot be completed, in one line."""
    return f"{error.what.removeprefix(f'{name}: ')}. {error.cure}"


def too_large(name: str) -> ImageError:
    """What to say of a photo that memory does not hold, alone either."""
    cure = "Save it smaller, give a smaller --attempts or --candidates, or take a machine with more memory."
    error = ImageError(f"{name}: there is not enough memory for it", cure)
    error.__cause__ = MemoryError()
    return error


def write_rejected(table: Path, rejected: Sequence[tuple[str, str]]) -> None:
    """A CSV of pictures that cannot be completed, and why."""
    photos.put_rows(table, [("path", "reason"), *rejected])


def _spared(made: Cut) -> Cut:
    """Without a square in which nothing is missing; and of one in which all is missing that is said."""
    if not made.hole.any():
        return replace(made, placements=(), crops=(), crop_holes=(), seen=0.0)
    if made.hole.all():
        return replace(made, notes=(*made.notes, INVENTED))
    return made


def _read_landmarks(options: "CompleteCommand", gan: Gan) -> Mapping[str, Sequence[Any]]:
    if options.landmarks is None:
        return {}
    alignment = alignment_of(gan) or Alignment()
    return landmarks.read_landmarks(options.landmarks, alignment.landmarks)
