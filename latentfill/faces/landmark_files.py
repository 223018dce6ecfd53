"""Landmarks given in a file, for photos in which none are found or other ones are wanted."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from posixpath import splitext
from typing import Any, final
from unicodedata import normalize

import numpy as np
from jaxtyping import Float

from ..errors import LatentfillError, cure
from ..options import LandmarkSet
from .templates import are_flat, are_mirrored, three_of_five

Points = Float[np.ndarray, "3 2"]
Row = tuple[str, str, list[float]]  # position in the file, the photo, its numbers

THREE = ["x1", "y1", "x2", "y2", "x3", "y3"]
CELEBA = [f"{part}_{axis}" for part in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for axis in "xy"]
FORMATS = (
    "Write CelebA's list, a CSV with the columns path,x1,y1,x2,y2,x3,y3, or JSON {path: [[x, y], [x, y], [x, y]]}."
)


def read_landmarks(path: Path, landmarks: LandmarkSet) -> "Landmarks":
    """The three points of `landmarks` for every face in a file, by photo. Several rows of a photo are several faces.

    The file is one of these, told apart by how they begin:

    - CelebA's list: a line with the count, one with the columns' names, then `name x y x y x y x y x y`: eyes, tip of
      the nose, corners of the mouth, what is left in the picture first. The three points follow from the five;
    - CSV with a header, with the columns `path,x1,y1,x2,y2,x3,y3`: the three points in the order of the set, the eye
      on the left of the picture first; or with the columns of CelebA's list, after one for the name;
    - JSON: an object from names to three (or five) points `[[x, y], …]`, or to a list of such faces.

    x, y are pixels of the photo upright, (0, 0) the middle of the first one. Raises LatentfillError, with the line,
    for what cannot be understood: points on one line, eyes in the wrong order, numbers missing.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig", errors="surrogateescape")  # names may be any bytes
    except OSError as error:
        raise LatentfillError(f"{path}: landmarks cannot be read ({error.strerror})", cure(error)) from error
    if "\0" in text:
        raise LatentfillError(f"{path}: landmarks cannot be read (not a text file, or not UTF-8)", FORMATS)
    start = text.lstrip()
    parse = _json if start.startswith("{") else _list if start.split("\n")[0].strip().isdigit() else _csv
    rows = list(parse(path, text))
    points = np.empty((len(rows), 3, 2))
    for count in (3, 5):
        which = [i for i, row in enumerate(rows) if len(row[2]) == 2 * count]
        given = np.array([rows[i][2] for i in which], float).reshape(-1, count, 2) + 0.5  # from indices to centres
        corners = given[:, :3] if count == 3 else np.stack([given[:, 0], given[:, 1], given[:, 3:].mean(1)], 1)
        _check([rows[i] for i in which], corners)
        points[which] = given if count == 3 else three_of_five(given, landmarks)
    return Landmarks(path, [row[1] for row in rows], points)


@final
class Landmarks(Mapping[str, list[Points]]):
    """The faces of each photo, by the photo's name.

    A row is a photo's if the path of one is the end of the other's: `a.jpg` is for `people/a.jpg`, as is
    `all/people/a.jpg`; the longest such path wins. Only if there is none, the suffix may differ. Raises
    LatentfillError if rows of different paths suit equally well.
    """

    def __init__(self, path: Path, names: Iterable[str], points: Float[np.ndarray, "n 3 2"]) -> None:
        self._path, self._points = path, points
        self._rows: dict[str, list[int]] = {}
        self._called: dict[str, list[str]] = {}
        for i, name in enumerate(names):
            self._rows.setdefault(_plain(name), []).append(i)
        for name in self._rows:
            self._called.setdefault(PurePosixPath(name).stem, []).append(name)

    def __getitem__(self, name: str) -> list[Points]:
        name = _plain(name)
        if name not in self._rows:
            name = self._best_match(name, lambda path: path) or self._best_match(name, _without_suffix) or name
        return [self._points[i] for i in self._rows[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def _best_match(self, name: str, form: Callable[[str], str]) -> str | None:
        """The row's path that suits a photo best."""
        wanted = f"/{form(name)}"
        called = [(row, f"/{form(row)}") for row in self._called.get(PurePosixPath(name).stem, ())]
        suiting = [(row, path) for row, path in called if wanted.endswith(path) or path.endswith(wanted)]
        inner = [(row, path) for row, path in suiting if len(path) <= len(wanted)]
        if inner:
            longest = max(len(path) for _, path in inner)
            suiting = [(row, path) for row, path in inner if len(path) == longest]
        if len(suiting) > 1:
            which = " and ".join(row for row, _ in suiting[:2])
            raise LatentfillError(
                f"{self._path}: the landmarks of both {which} suit {name}",
                "Write the paths in the file as they are below the folder of photos.",
            )
        return suiting[0][0] if suiting else None


def _list(path: Path, text: str) -> Iterator[Row]:
    """CelebA's list: a line with the count, a line with the columns' names, and the rows."""
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if line.strip())
    rows = [(i, line) for i, line in enumerate(lines[first + 2 :], first + 3) if line.strip()]
    if len(rows) != int(lines[first]):
        raise LatentfillError(
            f"{path}: {len(rows):,} rows, but the first line says {int(lines[first]):,}", "Fetch the file again."
        )
    for i, line in rows:
        name, *numbers = line.rsplit(maxsplit=10)
        yield _row(path, i, name, numbers, 10)


def _csv(path: Path, text: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    header = [name.strip() for name in next(reader, [])]
    wanted = next((columns for columns in (THREE, CELEBA) if set(columns) <= set(header)), None)
    if wanted is None:
        raise LatentfillError(f"{path}: landmarks in no known format, line 1", FORMATS)
    named = header.index("path") if "path" in header else 0
    columns = [header.index(name) for name in wanted]
    for fields in reader:
        if any(field.strip() for field in fields):
            numbers = [fields[i] for i in columns if i < len(fields)]
            yield _row(path, reader.line_num, fields[named], numbers, len(wanted))


def _json(path: Path, text: str) -> Iterator[Row]:
    try:
        faces: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise LatentfillError(f"{path}: not JSON ({error})", FORMATS) from error
    for name, value in faces.items():
        try:
            values = np.array(value, float)
            if values.shape[-2:] not in ((3, 2), (5, 2)) or values.ndim not in (2, 3):
                raise ValueError
        except (TypeError, ValueError):
            raise LatentfillError(f"{path}: {name} has no three points [x, y]", FORMATS) from None
        for face in values.reshape(-1, *values.shape[-2:]):
            yield _row(path, 0, name, face.ravel().tolist(), face.size)


def _row(path: Path, line: int, name: str, numbers: list[Any], count: int) -> Row:
    where = f"{path}, line {line}" if line else f"{path}, {name}"
    try:
        values = [float(number) for number in numbers]
    except ValueError:
        values = []
    if len(values) != count or not np.isfinite(values).all() or not name.strip():
        raise LatentfillError(f"{where}: expected a name and {count} numbers", FORMATS)
    return where, name.strip(), values


def _check(rows: list[Row], corners: Float[np.ndarray, "n 3 2"]) -> None:
    for i in np.flatnonzero(are_flat(corners) | are_mirrored(corners)):
        where, name, _ = rows[i]
        if are_flat(corners[i : i + 1])[0]:
            raise LatentfillError(f"{where}: the points of {name} are on one line", "Correct the row, or remove it.")
        raise LatentfillError(
            f"{where}: the points of {name} are mirrored", "The eye on the left of the picture comes first."
        )


def _plain(name: str) -> str:
    """A path with slashes, without `.` before it, and its letters composed: some systems take accents apart."""
    return PurePosixPath(normalize("NFC", name).replace("\\", "/")).as_posix().lstrip("/")


def _without_suffix(name: str) -> str:
    return splitext(name)[0]
