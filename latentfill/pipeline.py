"""The whole way of a photo: cut, pose the question, search, blend, put back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np

from .completion.complete import Completion, complete
from .completion.operators import Sight
from .completion.operators import parse as parse_sight
from .completion.samples import warnings
from .errors import HoleError
from .faces.placement import Placement
from .gan.gan import Gan
from .images import originals
from .images.archives import Source
from .images.hole_pictures import interpret_array
from .images.holes import DrawnHole, draw_with_notes, parse
from .images.incomplete import Incomplete
from .images.originals import Original
from .images.pixels import to_levels
from .models import load
from .options import COMPLETE_PRESETS, CompleteOptions, PhotoOptions, ReadLimits
from .photo import outside
from .photo.crop import INVENTED, Cut, cut, cut_observed, hidden_in
from .photo.crops import pose
from .photo.paste import Piece, paste
from .photo.restore import restore
from .photo.tint import GREY, Tint, find_tint
from .types import Hole, Pixels
from .uncertainty.predict import Trust, judge


@final
@dataclass(frozen=True, eq=False)
class Filled:
    """A completed photo and how it came about.

    `candidates` are the completions asked for, the best first; `losses` are the weighted terms of the best, for each
    placement; `notes` say what a user should know (a part that no face covers, what a file cannot keep); `trust` says
    how far what the model found may be off, at each placement; None if it was not asked.
    """

    candidates: tuple[Original, ...]
    placements: tuple[Placement, ...]
    losses: tuple[dict[str, float], ...]
    notes: tuple[str, ...] = ()
    trust: Trust | None = None

    @property
    def photo(self) -> Pixels:
        """The best candidate as uint8 [H, W, 3]."""
        return self.candidates[0].photo().pixels

    def save(self, path: Path | str) -> None:
        """Write the best candidate, as deep as the photo was, with its alpha, colour profile and EXIF data."""
        originals.write(Path(path), self.candidates[0])


def fill(
    photo: Pixels | np.ndarray | Original | Path | str,
    hole: Hole | np.ndarray | Path | str | None = None,
    gan: Gan | Path | str | None = None,
    options: CompleteOptions | None = None,
    *,
    observe: str | Sequence[str] | None = None,
    photo_options: PhotoOptions | None = None,
    landmarks: Sequence[Any] | np.ndarray = (),
    limits: ReadLimits | None = None,
) -> Filled:
    """Complete a photo of any size; outside the hole it stays as it is, to the bit, unless it was only observed.

    `photo` is a file, or uint8 or uint16 [H, W], [H, W, 3] (RGB) or [H, W, 4] (with alpha). `hole` is bool [H, W], True
    where a pixel is to be found, uint8 [H, W], white (128 and above) there, or what `latentfill complete --hole` takes.
    Without `gan`, which may be a name or a file too, it is the model in the package. `landmarks` [n, 3, 2] are three
    points (x, y) for each of n faces that cannot be found, in the order of the model's alignment; the centre of the
    first pixel is (0.5, 0.5). `limits` hold for files.

    With `observe`, such as "grey" or "lowres:4+noise:10", the photo is what was so seen of the one that is wanted, and
    the answer agrees with it; in a hole, which may then be left out, nothing was seen.

    Raises ImageError and HoleError for a photo or a hole that cannot be used, and for a photo without a face; TypeError
    and ValueError for arguments of another kind.
    """
    gan = gan if isinstance(gan, Gan) else load(gan) if gan is not None else load()
    options, photo_options = options or COMPLETE_PRESETS["best"], photo_options or PhotoOptions()
    original, name = _opened(photo, limits), Path(photo).name if isinstance(photo, str | Path) else "the photo"
    if hole is None and observe is None:
        raise ValueError("nothing is asked: give a hole, or say with observe what the photo is")
    size = gan.network.size
    drawn = draw_hole("full" if hole is None else hole, original, options.seed, name, size, limits)
    sight = None if observe is None else parse_sight(observe)
    question, incomplete = ask(original, drawn, gan, photo_options, landmarks, name, sight=sight)
    if incomplete is None:
        return put_back(question, (), options, photo_options)
    found = complete(gan, incomplete, options)
    trust = judge(gan, incomplete, found, options)
    return put_back(question, found.candidates, options, photo_options, trust)


def ask(
    original: Original,
    hole: Hole | DrawnHole,
    gan: Gan,
    options: PhotoOptions,
    landmarks: Sequence[Any] | np.ndarray = (),
    name: str = "the photo",
    *,
    sight: Sight | None = None,
    most: int | None = None,
) -> tuple[Cut, Incomplete | None]:
    """The squares of a photo, or of one that is only such an observation, and what a model is asked; None if nothing.

    What is wanted of an observed photo may have at most `most` pixels. Raises as `cut` does.
    """
    drawn = hole if isinstance(hole, DrawnHole) else DrawnHole(hole)
    if sight is None:
        question = cut(original, drawn.hole, gan, options, landmarks, name)
    else:
        question = cut_observed(original, drawn.hole, sight, gan, options, landmarks, name, most=most)
    invented = (INVENTED,) if sight is None and question.hole.all() and not drawn.lowres else ()
    question = replace(question, notes=(*drawn.notes, *question.notes, *invented))
    if not question.placements:
        return question, None
    return question, pose(gan, question.crops, question.crop_holes, lowres=drawn.lowres, sights=question.sights)


def draw_hole(
    hole: object, original: Original, seed: int, name: str, size: int, limits: ReadLimits | None = None
) -> DrawnHole:
    """The hole that an array is or a text describes; `size` is the model's, the limits are those of files."""
    if isinstance(hole, str | Path):
        spec = parse(str(hole))
        if spec.kind == "lowres" and original.values.shape[:2] != (size, size):
            raise HoleError(f"{name}: lowres is for pictures of the model's size", "Resize it, or choose another hole.")
        shape, photo = original.values.shape[:2], original.photo()
        return draw_with_notes(spec, shape, seed=seed, photo=photo, name=name, limits=limits or ReadLimits())
    if not isinstance(hole, np.ndarray) or hole.dtype not in (np.uint8, np.bool_):
        raise TypeError(
            f"a hole is a text, a file, or an array of bool or uint8 (255 = to be found), not {_told(hole)}"
        )
    if hole.ndim != 2:
        raise ValueError(f"a hole is [H, W], not {list(hole.shape)}")
    return DrawnHole.of(interpret_array(hole))


def put_back(
    question: Cut,
    candidates: Sequence[Completion],
    options: CompleteOptions,
    photo_options: PhotoOptions,
    trust: Trust | None = None,
) -> Filled:
    """The photo with each candidate in its hole, at the photo's own resolution.

    The rows of a candidate are the squares of the cut. Without a square there is one candidate, and no model in it.
    """
    made: list[Original] = []
    tint = _tint(question) if candidates else None
    for levels in [list(to_levels(candidate.images)) for candidate in candidates] or [[]]:
        pieces = [Piece(*pair) for pair in zip(question.placements, levels, strict=True)]
        made.append(_joined(question, pieces, options, photo_options, tint))
    losses = [
        {name: term[row].item() for name, term in candidate.terms.items()}
        for candidate in candidates[:1]
        for row in range(len(question.placements))
    ]
    alone = options.candidates > 1 and not question.placements and question.hole.any()
    notes = (*question.notes, "there is one candidate only: no model was asked") if alone else question.notes
    notes = (*notes, *(trust.warnings if trust else ()))
    for row in range(len(question.placements) if candidates else 0):
        notes = (*notes, *warnings(candidates[0].notes, row))
    return Filled(tuple(made), question.placements, tuple(losses), notes, trust)


def _tint(question: Cut) -> Tint | None:
    """The tint of a photo of one colour; of one that was only observed, and is to agree with that, grey alone."""
    values, observed = question.original.values, question.observed
    rgb = values if values.shape[2] == 3 else np.repeat(values, 3, 2)
    if observed is None:
        return find_tint(rgb, hidden_in(question.original, question.hole) == 0, question.hole > 0)
    grey = not observed.sight.view.grey and not np.ptp(rgb, axis=2).any()
    return GREY if grey else None


def _joined(
    question: Cut,
    pieces: Sequence[Piece],
    options: CompleteOptions,
    photo_options: PhotoOptions,
    tint: Tint | None,
) -> Original:
    original, hole = question.original, question.hole
    whole = len(pieces) == 1 and pieces[0].placement.exact
    how = ("overlay" if whole else "poisson") if options.blend == "auto" else options.blend
    values = original.values
    rgb = values if values.shape[2] == 3 else np.repeat(values, 3, 2)
    if question.observed is not None:
        rgb = restore(question.observed, hole, pieces)
    filled = paste(
        rgb,
        hole,
        pieces,
        beyond=lambda photo, hole: outside.fill(photo, hole, photo_options.outside),
        blend=how,
        grain=photo_options.grain,
        seed=options.seed,
        hidden=hidden_in(original, hole),
    )
    tint = GREY if values.shape[2] == 1 else tint
    found = hole > 0 if question.observed is None else np.ones_like(hole, bool)
    if tint is not None and tint.covers(filled[found]):
        filled[found] = tint.apply(filled[found])
    filled = filled[..., : values.shape[2]]
    alpha = original.alpha
    if alpha is not None:  # what was found can be seen
        alpha = np.where(hole > 0, np.iinfo(alpha.dtype).max, alpha).astype(alpha.dtype)
    return replace(original, values=filled, alpha=alpha)


def _opened(photo: object, limits: ReadLimits | None) -> Original:
    if isinstance(photo, Original):
        return photo
    if isinstance(photo, str | Path):
        return originals.read(Source(Path(photo).name, Path(photo)), limits or ReadLimits())
    if not isinstance(photo, np.ndarray) or photo.dtype not in (np.uint8, np.uint16):
        raise TypeError(f"a photo is a file or an array of uint8 or uint16, not {_told(photo)}")
    values = photo[..., None] if photo.ndim == 2 else photo
    if values.ndim != 3 or values.shape[2] not in (1, 3, 4):
        raise ValueError(f"a photo is [H, W], or [H, W, 3] (RGB) or [H, W, 4] (with alpha), not {list(photo.shape)}")
    if values.shape[2] == 4:
        return Original(np.ascontiguousarray(values[..., :3]), np.ascontiguousarray(values[..., 3]))
    return Original(values)


def _told(value: object) -> str:
    return f"an array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
