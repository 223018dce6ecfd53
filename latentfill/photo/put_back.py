"""The completions of a photo's crops back into the photo, at its own resolution."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import chain
from pathlib import Path
from textwrap import shorten
from typing import final

import numpy as np
from PIL import Image

from ..completion.completion import Completion
from ..faces.placement import Placement
from ..gan.gan import Gan
from ..images import photos
from ..images.encoding import write_as
from ..images.hole_pictures import WHITE
from ..images.photos import Original
from ..options import CompleteOptions, PhotoOptions
from ..texture.content_aware import Filler
from ..types import Hole, Pixels
from ..uncertainty.predict import Uncertainty
from .crop import Cut, hidden_pixels
from .monochrome import GREY, Tint, find_tint
from .paste import Piece, paste
from .restoration import restore
from .upsample import draw_pieces

WORDS = 240  # letters of the text that is printed
PREVIEW = 320  # pixels a side of the picture in a notebook


@final
@dataclass(frozen=True, eq=False)
class Filled:
    """A completed photo and how it came about.

    `candidates` are the completions asked for: the first has the best of each face, the second the next best of each. A
    model with a completer has its critic order them, so a later one may have the smaller loss; other models go by the
    loss; if no model was asked, the second is that of the next seed. `filled.candidates[1].values` is the second as an
    array [H, W, 3], or [H, W, 1] if grey, uint8 or uint16 as the photo is. `losses` are the weighted terms of the best,
    for each placement; `notes` say what a user should know (a part that no face covers, what a file cannot keep);
    `trust` says how far what the model found may be off, at each placement, in the first candidate; None if no model
    was asked. `given` is a small picture of what was given, its hole white; `source` is the photo's file, if it has
    one. A notebook shows all of it.
    """

    candidates: tuple[Original, ...]
    placements: tuple[Placement, ...]
    losses: tuple[dict[str, float], ...]
    notes: tuple[str, ...] = ()
    trust: Uncertainty | None = None
    given: Pixels | None = None
    source: Path | None = None

    def __repr__(self) -> str:
        """The size, the number of crops and candidates, trust and notes in words, in two lines; no pixels."""
        height, width = self.candidates[0].values.shape[:2]
        counts = ((len(self.placements), "crop"), (len(self.candidates), "candidate"))
        parts = [f"{width}x{height} pixels", *(f"{count} {word}{'s' * (count != 1)}" for count, word in counts)]
        said = "; ".join([", ".join(parts), *self._sentences()])
        return f"<Filled: {shorten(said, WORDS, placeholder=' ...')}>"

    def _repr_html_(self) -> str:
        """The given photo, the candidates, and the notes."""
        pictures = [] if self.given is None else [("given", self.given)]
        names = ["completed", *(f"candidate {number}" for number in range(2, len(self.candidates) + 1))]
        pictures += [(name, _preview(made)) for name, made in zip(names, self.candidates, strict=True)]
        figures = "".join(
            f'<figure style="display:inline-block;margin:4px"><img src="data:image/png;base64,'
            f'{b64encode(photos.encode(Original(picture))).decode()}"><figcaption>{name}</figcaption></figure>'
            for name, picture in pictures
        )
        items = "".join(f"<li>{escape(sentence)}</li>" for sentence in self._sentences())
        return f"<div>{figures}<ul>{items}</ul></div>"

    def _sentences(self) -> list[str]:
        """Notes and trust in words, each once."""
        return list(dict.fromkeys(chain(self.notes, *(self.trust.words if self.trust else ()))))

    @property
    def photo(self) -> Pixels:
        """The best candidate as uint8 [H, W, 3]."""
        return self.candidates[0].photo().pixels

    def save(self, path: Path | str, candidate: int = 0) -> None:
        """Write a candidate, the best if none is named, with its colour profile and EXIF data.

        The end of the name says how: .png and .tif keep all, .webp 8 bits per channel. A .jpg is compressed anew: many
        known pixels change, and nothing is transparent. Its quality is that of the photo's file if that is a JPEG,
        else 95.
        Folders are made as needed, and a file of that name is replaced.
        """
        count = len(self.candidates)
        if candidate not in range(count):
            raise ValueError(f"candidate is from 0 to {count - 1}, not {candidate}")
        write_as(Path(path), self.candidates[candidate], self.source)


def put_back(
    question: Cut,
    candidates: Sequence[Completion],
    options: CompleteOptions,
    photo_options: PhotoOptions,
    gan: Gan,
    trust: Uncertainty | None = None,
) -> Filled:
    """The photo with each candidate of a model in its hole, at the photo's own resolution.

    The rows of a candidate are the squares of the cut. Without a square no model is in it, and as many are made as are
    asked for, by one seed after the other.
    """
    made: list[Original] = []
    tint = _tint(question) if candidates else None
    answers = [(draw_pieces(question, candidate, gan), options.seed) for candidate in candidates]
    alone = options.candidates if question.hole.any() else 1
    for pieces, seed in answers or [([], options.seed + number) for number in range(alone)]:
        made.append(_join(question, pieces, replace(options, seed=seed), photo_options, tint))
    losses = [
        {name: term[row].item() for name, term in candidate.terms.items()}
        for candidate in candidates[:1]
        for row in range(len(question.placements))
    ]
    notes = (*question.notes, *(trust.warnings if trust else ()))
    given = _preview(question.original, question.hole)
    return Filled(tuple(made), question.placements, tuple(losses), notes, trust, given)


def _preview(original: Original, hole: Hole | None = None) -> Pixels:
    """A photo of at most PREVIEW pixels a side, its hole white: uint8 [h, w, 3]."""
    pixels = original.photo().pixels
    if hole is not None:
        pixels = pixels.copy()
        pixels[hole >= WHITE] = 255
    image = Image.fromarray(pixels)
    image.thumbnail((PREVIEW, PREVIEW))
    return np.asarray(image)


def _tint(question: Cut) -> Tint | None:
    """The tint of a photo of one colour; of one that was only observed, and is to agree with that, grey alone."""
    values, observed = question.original.values, question.observed
    rgb = values if values.shape[2] == 3 else np.repeat(values, 3, 2)
    if observed is None:
        return find_tint(rgb, hidden_pixels(question.original, question.hole) == 0, question.hole > 0)
    grey = not observed.operator.linear.grey and not np.ptp(rgb, axis=2).any()
    return GREY if grey else None


def _join(
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
    hidden = hidden_pixels(original, hole)
    if question.observed is not None:
        rgb = restore(question.observed, hole, pieces)
    filled = paste(
        rgb,
        hole,
        pieces,
        beyond=Filler(rgb, hidden, question.faces, photo_options.outside, options.seed),
        blend=how,
        grain=photo_options.grain,
        seed=options.seed,
        hidden=hidden,
    )
    tint = GREY if values.shape[2] == 1 else tint
    found = hole > 0 if question.observed is None else np.ones_like(hole, bool)
    if tint is not None and tint.covers(filled[found]):
        filled[found] = tint.apply(filled[found])
    filled = filled[..., : values.shape[2]]
    alpha = original.alpha
    if alpha is not None:  # generated pixels are made opaque
        alpha = np.where(hole > 0, np.iinfo(alpha.dtype).max, alpha).astype(alpha.dtype)
    return replace(original, values=filled, alpha=alpha)
