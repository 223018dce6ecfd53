"""What becomes of one photo: its faces found, brought to their places, and cut out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float

from ..errors import ImageError, LatentfillError
from ..faces.detector import find
from ..faces.templates import place, shear
from ..images import photos
from ..images.fitting import fit
from ..options import Alignment, ReadLimits
from ..types import Pixels
from .duplicates import signature
from .ledger import Row, crop_names

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

    def __call__(self, task: Task) -> Row:
        """Write the crops of a photo; the first last, so that with it all are there.

        What is wrong with the photo is told in the row. Raises LatentfillError for what would stop all others too.
        """
        try:
            photo = photos.read(task.source, self.limits).opaque()
        except ImageError as error:
            return replace(task.row, kind=UNREADABLE, reason=error.what.removeprefix(f"{task.source.name}: "))
        try:
            crops = self._crops(photo, task.source.name)
        except _Rejected as no:
            return replace(task.row, kind=no.kind, reason=no.reason)
        except LatentfillError:
            raise
        except Exception as error:  # of a library, about this photo: MemoryError for instance
            return replace(task.row, kind=FAILED, reason=f"{type(error).__name__}: {error}")
        names = crop_names(task.row.stem, len(crops))
        for name, crop in reversed(list(zip(names, crops, strict=True))):
            photos.write(self.file(name), crop)
        signatures = tuple(signature(crop).tobytes().hex() for crop in crops) if self.duplicates else ()
        return replace(task.row, crops=len(crops), signatures=signatures)

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
