"""Alignment of photos: find their faces, and cut them out at a standard position.

The results' folder also gets records of what was done, and contact sheets.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from itertools import zip_longest
from pathlib import Path
from typing import Any, BinaryIO, final

import numpy as np
from jaxtyping import Float

from ..errors import ImageError, LatentfillError, is_full, is_out_of_memory
from ..faces.detector import detect_faces
from ..faces.templates import place, shear
from ..files import listing
from ..files.input_digests import digest_photo
from ..files.provenance import ForeignFileError, check_free, digest, is_ours, remove, save, save_table
from ..images import photos
from ..images.photos import write_file
from ..images.pixels import fit, grid
from ..options import Alignment, ReadLimits
from ..types import Pixels
from ..version import __version__
from .align_records import ALIGNED, Records, Row, assign_stems, crop_names, new_row
from .near_duplicates import signature
from .workers import KilledTask, run_in_pool

NO_MEMORY = "there is not enough memory for it"
Points = Float[np.ndarray, "3 2"]
NO_FACE, SEVERAL, SHEARED, UNREADABLE, FAILED = "no face", "several faces", "sheared", "unreadable", "failed"


@final
@dataclass(frozen=True)
class Task:
    """A photo and its row in the records, which has its stem."""

    source: photos.Source
    row: Row


@final
@dataclass(frozen=True)
class Cropper:
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
        except _RejectionError as no:
            return replace(row, kind=no.kind, reason=no.reason)
        except LatentfillError:
            raise
        except Exception as error:  # any error of a library for this photo
            reason = NO_MEMORY if is_out_of_memory(error) else f"{type(error).__name__}: {error}"
            return replace(row, kind=FAILED, reason=reason)
        names = crop_names(row.stem, len(crops))
        try:
            for name, crop in reversed(list(zip(names, crops, strict=True))):
                save(self.file(name), photos.writer(self.file(name), crop), root=self.out)
        except (ForeignFileError, ImageError) as error:
            if is_full(error):
                raise
            return replace(row, kind=FAILED, reason=error.what)
        signatures = tuple(signature(crop).tobytes().hex() for crop in crops) if self.duplicates else ()
        return replace(row, crops=len(crops), signatures=signatures)

    def file(self, name: str) -> Path:
        """The path of a crop."""
        return self.out / f"{name}{self.suffix}"

    def _crops(self, photo: Pixels, name: str) -> list[Pixels]:
        if self.alignment is None:
            return [fit(photo, self.size)]
        placements = [place(points, self.size, self.alignment) for points in self._landmark_points(photo, name)]
        if self.max_shear is not None:
            straight = [placement for placement in placements if shear(placement) <= self.max_shear]
            if not straight:
                raise _RejectionError(SHEARED, f"sheared {min(map(shear, placements)):.2f}")
            placements = straight
        return [placement.crop(photo) for placement in placements]

    def _landmark_points(self, photo: Pixels, name: str) -> list[Points]:
        """The three points of each face to cut out."""
        alignment = self.alignment
        if alignment is None:
            raise ValueError("the central square has no landmarks")
        if self.points is not None:
            found = self._read_points(photo, name, self.points)
        else:
            everyone = self.everyone or self.skip_multi
            faces = detect_faces(
                photo, alignment.landmarks, upsample=self.upsample, threshold=self.threshold, everyone=everyone
            )
            found = [face.points for face in faces]
        if not found:
            raise _RejectionError(NO_FACE, "no face found" if self.points is None else "no landmarks given")
        if self.skip_multi and len(found) > 1:
            raise _RejectionError(SEVERAL, f"{len(found)} faces and --skip-multi")
        return found if self.everyone else found[:1]

    def _read_points(self, photo: Pixels, name: str, given: Mapping[str, Sequence[Points]]) -> list[Points]:
        try:
            faces = list(given.get(name, ()))
        except LatentfillError as error:  # it is not clear which files are meant
            raise _RejectionError(FAILED, error.what) from error
        height, width = photo.shape[:2]
        room = (width, height)  # the border may cut a face, but a face cannot lie a whole photo away
        if any((points < np.negative(room)).any() or (points > np.multiply(2, room)).any() for points in faces):
            raise _RejectionError(FAILED, f"its landmarks lie outside its {width}x{height} pixels")
        return faces


@final
class _RejectionError(Exception):
    """Nothing is cut out of a photo."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind, self.reason = kind, reason


Choices = Mapping[str, Any]
Share = Callable[[Cropper, Iterable[Task], int, str], Iterator[tuple[Task, Row | KilledTask]]]
TILES, COLUMNS, TILE = 200, 20, 64  # a contact sheet of 1280x640
MEAN_OF = 10_000  # crops: chance then moves the mean by half a grey level; reading them takes 3 s at 64 px
MEAN_PIXELS = MEAN_OF * 64**2  # fewer of larger crops, so that it takes no longer
MEAN_AT_LEAST = 500


def find_photos(places: Sequence[Path], out: Path) -> listing.Listing:
    """Every photo in `places`, and what was left out. Files in `out` are crops, not photos.

    Raises LatentfillError if there is none, or if crops would lie among the photos.
    """
    here = out.resolve()
    if here in {place.resolve() for place in places} or (out.exists() and not out.is_dir()):
        raise LatentfillError(f"{out} holds the photos", "Give another folder at the end, for the crops.")
    listed = listing.list_sources(places, {out: f"in {out}, the folder for the crops"})
    if not listed.sources:
        raise LatentfillError(f"no photos in {', '.join(map(str, places))}", "Give photos, or folders of them.")
    return listed


def check_same(
    out: Path, sources: Sequence[photos.Source], layout: Choices, choices: Choices, *, overwrite: bool
) -> bool:
    """True if photos rejected before would be rejected again: the choices are those of before.

    Raises LatentfillError if the crops that are there were cut in another way, unless all of them are made anew.
    """
    for name in ("rejected.csv", "alignment.json"):
        check_free(out / name)
    path = out / "_run" / "options.json"
    now = json.loads(json.dumps({"layout": layout, "choices": choices}))
    try:
        was = json.loads(path.read_text())
        changed = [name for name, value in now["layout"].items() if was["layout"][name] != value]
        same: bool = was["choices"] == now["choices"]
    except (OSError, ValueError, KeyError, TypeError):
        changed, same = [], False
    if changed and not overwrite:
        told = ", ".join(f"{name} {was['layout'][name]}, now {now['layout'][name]}" for name in changed)
        raise LatentfillError(f"{out} was made with {told}", "Give another OUT; --overwrite makes all anew.")
    if changed:
        _clear(out, was["layout"]["suffix"], sources)
    write_file(path, _json(now))
    return same and not changed


def plan_tasks(
    sources: Sequence[photos.Source],
    records: Records,
    cropper: Cropper,
    prefer_stem: Callable[[Row], str],
    *,
    again: bool,
    overwrite: bool,
) -> tuple[list[Task], list[Task]]:
    """All photos, and those of them that are to be cut now. With `again` also those that were rejected before."""
    every, todo = [], []
    rows = list(map(new_row, sources))
    places = {row.place: source for row, source in zip(rows, sources, strict=True)}
    given = assign_stems(
        rows,
        records,
        prefer_stem,
        numbered=cropper.everyone,
        digest=lambda row: digest_photo(places[row.place]),
        is_taken=lambda stem: (path := cropper.file(stem)).exists() and not is_ours(path),
    )
    for source, (row, known) in zip(sources, given, strict=True):
        task = Task(source, row)
        every.append(task)
        if os.path.realpath(cropper.file(prefer_stem(row))) == os.path.realpath(source.path):
            raise LatentfillError(f"{source.name} would be replaced by its crop", "Give another OUT.")
        if overwrite or known is None or not _is_done(known, cropper, again=again):
            todo.append(task)
    return every, todo


def run_tasks(
    todo: Iterable[Task], cropper: Cropper, records: Records, workers: int, share: Share = run_in_pool
) -> Iterator[Row]:
    """Cut the photos, and add a line to the records after each. `share` runs the tasks."""
    for task, answer in share(cropper, todo, workers, __name__):
        row = replace(task.row, kind=FAILED, reason=answer.reason) if isinstance(answer, KilledTask) else answer
        before = records.rows.get(row.place)
        for name in set(before.names if before else ()) - set(row.names):  # crops of a face that is no longer found
            remove(cropper.file(name))
        records.add(row)
        yield row


def write_alignment(folder: Path, cropper: Cropper, points: Path | None) -> None:
    """alignment.json: how the crops in a folder were cut, for the models that are trained on them."""
    path = folder / "alignment.json"
    if cropper.alignment is None:
        remove(path)
        return
    detector = f"landmarks from {points.name}" if points else f"dlib {_dlib_version()}"
    about = {**asdict(cropper.alignment), "size": cropper.size, "detector": detector, "latentfill": __version__}
    save(path, _json(about))


def write_rejected(path: Path, rows: Iterable[Row]) -> None:
    """A CSV of the photos without crops, and why; no file if there are no such photos."""
    rejected = sorted((row.path, row.reason) for row in rows if row.kind != ALIGNED)
    if rejected:
        save_table(path, [("path", "reason"), *rejected])
    else:
        remove(path)


def list_crops(records: Records, cropper: Cropper) -> dict[Path, str]:
    """Every crop that is there, with its signature if that is known, in the order of their names."""
    return {
        path: signature
        for row in sorted(records.rows.values(), key=lambda row: row.stem)
        for name, signature in zip_longest(row.names, row.signatures, fillvalue="")
        if (path := cropper.file(name)).exists()
    }


def draw_overviews(folder: Path, crops: Sequence[Path], size: int) -> None:
    """The mean of all crops, or of many of them, and a contact sheet of some, both drawn evenly from the list."""
    tiles = [tile if size <= TILE else fit(tile, TILE) for tile in read_crops(_choose_evenly(crops, TILES), size)]
    if tiles:
        photos.write(folder / "contact.png", grid(tiles, COLUMNS))
    total, count = np.zeros((size, size, 3)), 0
    for crop in read_crops(_choose_evenly(crops, max(MEAN_AT_LEAST, MEAN_PIXELS // size**2)), size):
        total += crop
        count += 1
    if count:
        photos.write(folder / "mean.png", np.round(total / count).astype(np.uint8))


def read_crops(paths: Iterable[Path], size: int) -> Iterator[Pixels]:
    """The crops, without those that were deleted or changed by hand."""
    for path in paths:
        try:
            crop = photos.read(photos.Source(path.name, path)).pixels
        except ImageError:
            continue
        if crop.shape[:2] == (size, size):
            yield crop


def summary(rows: Sequence[Row], *, faces: bool, everyone: bool) -> str:
    """The numbers of photos that were aligned, and of those that were not, by the reason."""
    kinds = Counter(row.kind for row in rows)
    cut = f"{kinds[ALIGNED]:,} {'aligned' if faces else 'cropped'}"
    cut += f" ({sum(row.crops for row in rows):,} faces)" if everyone else ""
    always = {NO_FACE: "without a face", UNREADABLE: "unreadable"} if faces else {UNREADABLE: "unreadable"}
    others = {SEVERAL: "with several faces", SHEARED: "sheared", FAILED: "failed"}
    told = [f"{kinds[kind]:,} {words}" for kind, words in always.items()]
    told += [f"{kinds[kind]:,} {words}" for kind, words in others.items() if kinds[kind]]
    return ", ".join([cut, *told])


def _is_done(row: Row, cropper: Cropper, *, again: bool) -> bool:
    if row.choices and row.choices != cropper.choices:
        return False
    if row.kind == ALIGNED:
        return all(cropper.file(name).exists() for name in row.names)
    return row.kind not in (UNREADABLE, FAILED) and not again  # the file may have been repaired


def _clear(out: Path, suffix: str, sources: Sequence[photos.Source]) -> None:
    """Remove the crops of these photos, which were cut in another way, and their records."""
    path = out / "_run" / "photos.jsonl"
    records = Records(path)
    records.close()
    here = {new_row(source).place for source in sources}
    if others := sum(row.crops for row in records.rows.values() if row.place not in here):
        what = f"{out} holds {others:,} crops of other photos, cut in another way"
        raise LatentfillError(what, "Give another OUT, or all the photos.")
    for row in records.rows.values():
        for name in row.names:
            remove(out / f"{name}{suffix}")
    path.unlink()
    for name in (".", "train", "test"):
        remove(out / name / "alignment.json")


def _choose_evenly(crops: Sequence[Path], count: int) -> list[Path]:
    places = np.linspace(0, len(crops) - 1, min(count, len(crops))).round().astype(int)
    return [crops[i] for i in places]


def _json(content: Choices) -> Callable[[BinaryIO], object]:
    return lambda file: file.write((json.dumps(content, indent=1) + "\n").encode())


def _dlib_version() -> str:
    for name in ("dlib-bin", "dlib"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "of unknown version"
