"""What becomes of one photo: its faces found, brought to their places, and cut out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float

from ..errors import ImageError, LatentfillError, is_full, is_out_of_memory
from ..faces.detector import find
from ..faces.templates import place, shear
from ..files.records import ForeignFileError, digest, save
from ..images import photos
from ..images.fitting import fit
from ..options import Alignment, ReadLimits
from ..types import Pixels
from .duplicates import signature
from .ledger import Row, crop_names

NO_MEMORY = "there is not enough memory for it"
Points = Float[np.ndarray, "3 2"]
NO_FACE, SEVERAL, SHEARED, UNREADABLE, FAILED = "no face", "several faces", "sheared", "unreadable", "failed"


@final
@dataclass(frozen=True)
class Task:
    """A photo, and what is known of it: its stem above all."""

    source: photos.Source
    row: Row


@final
@dataclass(frozen=True)
class Cutter:
    """Cuts photos as one set of options says. It is pickled for every process."""

    out: Path
    suffix: str
    size: int
    alignment: Alignment | None
    """None takes the central square of each photo"""
    everyone: bool
    skip_multi: bool
    upsample: int
    threshold: float
    max_shear: float | None
    points: Mapping[str, Sequence[Points]] | None
    """landmarks that are given; None to look for them"""
    limits: ReadLimits
    duplicates: bool
    choices: str
    """a digest of the options by which photos are rejected, and faces chosen"""

    def __call__(self, task: Task) -> Row:
        """Write the crops of a photo; the first last, so that with it all are there.

        What is wrong with the photo is told in the row. Raises LatentfillError for what would stop all others too.
        """
        row, source = replace(task.row, choices=self.choices), task.source
        try:
            data = source.bytes(self.limits.max_bytes)
            row = replace(row, sha256=digest(data))
            photo = photos.read(replace(source, data=data, size=len(data)), self.limits).opaque()
        except ImageError as error:
            return replace(row, kind=UNREADABLE, reason=error.what.removeprefix(f"{source.name}: "))
        try:
            crops = self._crops(photo, source.name)
        except _Rejected as no:
            return replace(row, kind=no.kind, reason=no.reason)
        except LatentfillError:
            raise
        except Exception as error:  # of a library, about this photo
            reason = NO_MEMORY if is_out_of_memory(error) else f"{type(error).__name__}: {error}"
            return replace(row, kind=FAILED, reason=reason)
        names = crop_names(row.stem, len(crops))
        try:
            for name, crop in reversed(list(zip(names, crops, strict=True))):
                save(self.file(name), photos.encoder(self.file(name), crop), root=self.out)
        except (ForeignFileError, ImageError) as error:
            if is_full(error):
                raise
            return replace(row, kind=FAILED, reason=error.what)
        signatures = tuple(signature(crop).tobytes().hex() for crop in crops) if self.duplicates else ()
        return replace(row, crops=len(crops), signatures=signatures)

    def file(self, name: str) -> Path:
        """Where a crop lies."""
        return self.out / f"{name}{self.suffix}"

    def _crops(self, photo: Pixels, name: str) -> list[Pixels]:
        if self.alignment is None:
            return [fit(photo, self.size)]
        placements = [place(points, self.size, self.alignment) for points in self._faces(photo, name)]
        if self.max_shear is not None:
            straight = [placement for placement in placements if shear(placement) <= self.max_shear]
            if not straight:
                raise _Rejected(SHEARED, f"sheared {min(map(shear, placements)):.2f}")
            placements = straight
        return [placement.crop(photo) for placement in placements]

    def _faces(self, photo: Pixels, name: str) -> list[Points]:
        """The three points of each face to cut out."""
        alignment = self.alignment
        if alignment is None:
            raise ValueError("the central square has no landmarks")
        if self.points is not None:
            found = self._given(photo, name, self.points)
        else:
            everyone = self.everyone or self.skip_multi
            faces = find(
                photo, alignment.landmarks, upsample=self.upsample, threshold=self.threshold, everyone=everyone
            )
            found = [face.points for face in faces]
        if not found:
            raise _Rejected(NO_FACE, "no face found" if self.points is None else "no landmarks given")
        if self.skip_multi and len(found) > 1:
            raise _Rejected(SEVERAL, f"{len(found)} faces and --skip-multi")
        return found if self.everyone else found[:1]

    def _given(self, photo: Pixels, name: str, given: Mapping[str, Sequence[Points]]) -> list[Points]:
        try:
            faces = list(given.get(name, ()))
        except LatentfillError as error:  # it is not clear which of them are meant
            raise _Rejected(FAILED, error.what) from error
        height, width = photo.shape[:2]
        room = (width, height)  # a face may be cut by the border, but not lie a whole photo away
        if any((points < np.negative(room)).any() or (points > np.multiply(2, room)).any() for points in faces):
            raise _Rejected(FAILED, f"its landmarks lie outside its {width}x{height} pixels")
        return faces


@final
class _Rejected(Exception):
    """Nothing is cut out of a photo."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind, self.reason = kind, reason
