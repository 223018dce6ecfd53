"""The whole way of a photo: cut, pose the question, search, blend, put back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np

from .completion.completion import Completion, complete
from .crops import pose
from .errors import HoleError, ImageError
from .filling import outside
from .filling.pasting import Piece, paste
from .filling.placing import find_faces, seen_by, upright
from .gan.gan import Gan
from .images import originals
from .images.archives import Source
from .images.fitting import central_square
from .images.holes import WHITE, draw, parse
from .images.originals import Original
from .images.pixels import to_levels
from .images.placement import Placement
from .models import load
from .options import Alignment, CompleteOptions, PhotoOptions
from .types import Hole, Pixels

GIVE = "Give its landmarks with --landmarks, or --place center to have the model complete the central square."


@final
@dataclass(frozen=True, eq=False)
class Cut:
    """A photo, its hole [H, W], and the squares of it that the model is asked about.

    `seen` is the share of the hole that they hold, 0 to 1; `notes` say what a user should know.
    """

    original: Original
    hole: Hole
    placements: tuple[Placement, ...]
    crops: tuple[Pixels, ...]
    crop_holes: tuple[Hole, ...]
    seen: float
    notes: tuple[str, ...] = ()


@final
@dataclass(frozen=True, eq=False)
class Filled:
    """A completed photo and how it came about.

    `candidates` are the completions asked for, the best first; `losses` are the weighted terms of the best, for each
    placement; `notes` say what a user should know (a part that no face covers, what a file cannot keep).
    """

    candidates: tuple[Original, ...]
    placements: tuple[Placement, ...]
    losses: tuple[dict[str, float], ...]
    notes: tuple[str, ...] = ()

    @property
    def photo(self) -> Pixels:
        """The best candidate as uint8 [H, W, 3]."""
        return self.candidates[0].photo().pixels

    def save(self, path: Path | str) -> None:
        """Write the best candidate, as deep as the photo was, with its alpha, colour profile and EXIF data."""
        originals.write(Path(path), self.candidates[0])


def fill(
    photo: Pixels | Original | Path | str,
    hole: Hole | str,
    gan: Gan | None = None,
    options: CompleteOptions | None = None,
    *,
    photo_options: PhotoOptions | None = None,
    landmarks: Sequence[Any] = (),
) -> Filled:
    """Complete a photo of any size; outside the hole it stays as it is, to the bit.

    `photo` is uint8 [H, W, 3] or a picture file; `hole` is uint8 [H, W], white (128 and above) where a pixel is to be
    found, or what `latentfill complete --hole` takes. Without `gan` it is the model in the package. `landmarks` are
    three points [3, 2] (x, y) for each face that cannot be found, in the order of the model's alignment.

    Raises ImageError and HoleError for a photo or a hole that cannot be used, and for a photo without a face.
    """
    gan, options, photo_options = gan or load(), options or CompleteOptions(), photo_options or PhotoOptions()
    original = _opened(photo)
    question = cut(original, _drawn(hole, original, options.seed), gan, photo_options, landmarks)
    if not question.placements:
        return put_back(question, (), options, photo_options)
    incomplete = pose(gan, question.crops, question.crop_holes)
    return put_back(question, complete(gan, incomplete, options).candidates, options, photo_options)


def cut(
    original: Original,
    hole: Hole,
    gan: Gan,
    options: PhotoOptions,
    landmarks: Sequence[Any] = (),
    name: str = "the photo",
) -> Cut:
    """The squares of a photo that a hole [H, W] touches, as the model wants them.

    Raises HoleError if nothing of it is known, ImageError if a model of faces finds none.
    """
    height, width = original.values.shape[:2]
    if hole.shape != (height, width):
        raise HoleError(
            f"{name} is {width} x {height} pixels, but its hole {hole.shape[1]} x {hole.shape[0]}", "Make them equal."
        )
    hole = np.where(hole >= WHITE, np.uint8(255), np.uint8(0))
    pixels = original.photo().pixels
    if (height, width) == (gan.network.size, gan.network.size):
        whole = Placement.square(0.0, 0.0, float(height), height)
        return Cut(original, hole, (whole,), (pixels,), (hole,), 1.0, original.notes)
    if hole.all():
        raise HoleError(f"{name}: the hole covers all of it", "Leave something from which the rest can be told.")
    placements, notes = _placed(pixels, hole, gan, options, landmarks, name) if hole.any() else ((), ())
    seen = seen_by(placements, hole)
    if hole.any() and seen < 1:
        notes = (*notes, f"{100 * (1 - seen):.3g} % of the hole is outside of what the model sees: {options.outside}")
    return Cut(
        original,
        hole,
        placements,
        tuple(placement.crop(pixels) for placement in placements),
        tuple(placement.crop_hole(hole) for placement in placements),
        seen,
        (*original.notes, *notes),
    )


def put_back(
    question: Cut, candidates: Sequence[Completion], options: CompleteOptions, photo_options: PhotoOptions
) -> Filled:
    """The photo with each candidate in its hole, at the photo's own resolution.

    The rows of a candidate are the squares of the cut. Without a square there is one candidate, and no model in it.
    """
    made: list[Original] = []
    for levels in [list(to_levels(candidate.images)) for candidate in candidates] or [[]]:
        pieces = [Piece(*pair) for pair in zip(question.placements, levels, strict=True)]
        made.append(_joined(question, pieces, options, photo_options))
    losses = [
        {name: term[row].item() for name, term in candidate.terms.items()}
        for candidate in candidates[:1]
        for row in range(len(question.placements))
    ]
    return Filled(tuple(made), question.placements, tuple(losses), question.notes)


def alignment_of(gan: Gan) -> Alignment | None:
    """How the model's pictures were aligned, if they are faces; else None."""
    about = gan.about.get("alignment")
    names = Alignment.__dataclass_fields__
    return Alignment(**{key: value for key, value in about.items() if key in names}) if about else None


def _placed(
    pixels: Pixels, hole: Hole, gan: Gan, options: PhotoOptions, landmarks: Sequence[Any], name: str
) -> tuple[tuple[Placement, ...], tuple[str, ...]]:
    size, alignment = gan.network.size, alignment_of(gan)
    if options.place == "center" or (options.place == "auto" and alignment is None and not landmarks):
        left, top, right, _ = central_square(*hole.shape)
        middle = Placement.square(float(left), float(top), float(right - left), size)
        return ((middle,) if seen_by([middle], hole) else ()), ()
    alignment = alignment or Alignment()
    if landmarks:
        return tuple(upright(points, size, alignment) for points in landmarks), ()
    found = find_faces(pixels, hole, size, alignment, upsample=options.upsample)
    if not found.faces and not found.elsewhere:
        raise ImageError(f"{name}: no face was found", GIVE)
    if not found.faces:
        return (), (f"the hole touches none of the {found.elsewhere} faces found. If it hides one: {GIVE}",)
    return found.placements, ()


def _joined(question: Cut, pieces: Sequence[Piece], options: CompleteOptions, photo_options: PhotoOptions) -> Original:
    original, hole = question.original, question.hole
    whole = len(pieces) == 1 and pieces[0].placement.exact
    how = ("overlay" if whole else "poisson") if options.blend == "auto" else options.blend
    values = original.values
    rgb = values if values.shape[2] == 3 else np.repeat(values, 3, 2)
    filled = paste(
        rgb,
        hole,
        pieces,
        beyond=lambda photo, hole: outside.fill(photo, hole, photo_options.outside),
        blend=how,
        grain=photo_options.grain,
        seed=options.seed,
    )
    if values.shape[2] == 1:
        filled = np.where(hole[..., None] > 0, _luma(filled), values)
    alpha = original.alpha
    if alpha is not None:  # what was found can be seen
        alpha = np.where(hole > 0, np.iinfo(alpha.dtype).max, alpha).astype(alpha.dtype)
    return replace(original, values=filled, alpha=alpha)


def _opened(photo: Pixels | Original | Path | str) -> Original:
    if isinstance(photo, Original):
        return photo
    if isinstance(photo, np.ndarray):
        return Original(photo)
    return originals.read(Source(Path(photo).name, Path(photo)))


def _drawn(hole: Hole | str, original: Original, seed: int) -> Hole:
    if isinstance(hole, str):
        return draw(parse(hole), original.values.shape[:2], seed=seed, photo=original.photo())
    return hole


def _luma(rgb: np.ndarray) -> np.ndarray:
    grey: np.ndarray = np.round(rgb @ np.array([0.299, 0.587, 0.114])).astype(rgb.dtype)[..., None]
    return grey
