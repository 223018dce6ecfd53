"""Complete many pictures by many methods, and cache every result, so that nothing is computed twice."""

import hashlib
import json
import re
import sys
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, final
from unicodedata import normalize

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ..errors import HoleError
from ..images import holes as kinds
from ..images import photos
from ..images.holes import HoleSpec
from ..images.photos import DEFAULT_LIMITS
from ..images.pixels import fit_hole
from ..options import ReadLimits
from ..types import Hole, PixelBatch
from .methods import Method
from .metrics import Where

# The four holes of Yeh et al. 2017, and the three of Suvorov et al. 2021. Anything that `parse` accepts can be added.
HOLES = ("center", "pattern", "random:0.8", "half", "thin", "medium", "thick")
UNKNOWABLE = ("alpha", "colour", "lowres")  # the missing part is not in the picture, or more than pixels is given
GREY = 128  # grey that methods see in a hole
QUICK_SECONDS = 1.0  # a method that takes at most this time for one picture is warmed up with a whole batch
ARRAYS = {"keys", "pixels", "seconds", "processor"}  # arrays in a file of results
FORMAT = 1  # raise it when the same method would be given other inputs


@final
@dataclass(frozen=True, eq=False)
class Pictures:
    """Test pictures: uint8 [n, size, size, 3], the name of each, and the height and width it had before."""

    pixels: PixelBatch
    names: Sequence[str]
    shapes: Sequence[tuple[int, int]]

    def __len__(self) -> int:
        return len(self.pixels)


@final
@dataclass(frozen=True, eq=False)
class Task:
    """Pictures [n, size, size, 3] and their holes of one kind [n, size, size]."""

    hole: str
    original: PixelBatch
    holes: Where
    names: Sequence[str]

    @property
    def shown(self) -> PixelBatch:
        """The inputs of a method: grey in the hole, so that nothing behind it is seen."""
        return np.where(self.holes[..., None] > 0, np.uint8(GREY), self.original)


@final
@dataclass(frozen=True, eq=False)
class TimedBatch:
    """One completed batch, and how long all of it took."""

    pixels: PixelBatch
    seconds: float
    processor_seconds: float


@final
@dataclass(frozen=True, eq=False)
class Results:
    """The completed pictures, and the seconds that each took: as a clock counts, and of a processor's work."""

    pixels: PixelBatch
    seconds: Float[ndarray, " n"]
    processor_seconds: Float[ndarray, " n"]
    batch_sizes: tuple[int, ...]


def make_task(hole: str, pictures: Pictures, seed: int, limits: ReadLimits = DEFAULT_LIMITS) -> Task:
    """The pictures with a hole, without those where nothing is missing. A hole depends on seed and name alone.

    A picture of a hole, read within the limits, has the size of its picture, or the model's. Raises HoleError for a
    hole that cannot be had, or that hides what no picture tells.
    """
    spec = kinds.parse(hole)
    if spec.kind in UNKNOWABLE:
        raise HoleError(
            f"{hole}: the pictures do not show what is in this hole", "Choose a hole that hides pixels of the pictures."
        )
    size = pictures.pixels.shape[1]
    holes = [
        _draw_hole(spec, size, shape, hole_seed(seed, name), name, limits)
        for shape, name in zip(pictures.shapes, pictures.names, strict=True)
    ]
    rows = [i for i, one in enumerate(holes) if one.any()]
    if not rows:
        raise HoleError(f"{hole}: nothing is missing in any of the pictures", "Paint white what is to be filled.")
    names = [pictures.names[i] for i in rows]
    return Task(hole, pictures.pixels[rows], np.stack([holes[i] for i in rows]), names)


def hole_seed(seed: int, name: str) -> int:
    """The seed of a picture's hole, so that neither its neighbours nor their order matter."""
    text = normalize("NFC", f"{seed} {name}")  # some systems store letters and accents separately
    return int.from_bytes(hashlib.sha256(text.encode(errors="surrogateescape")).digest()[:8], "little")


@final
class ResultStore:
    """The results of one method for one kind of hole, in a folder of batches, by a digest of the inputs."""

    def __init__(self, folder: Path, name: str, method: Method, task: Task) -> None:
        self.folder = folder / name / _file_name(task.hole)
        self._method, self._task = method, task
        about = hashlib.sha256(json.dumps([FORMAT, method.about], sort_keys=True).encode()).digest()
        self._keys = [
            hashlib.sha256(about + picture.tobytes() + hole.tobytes()).hexdigest()[:24]
            for picture, hole in zip(task.original, task.holes, strict=True)
        ]
        self._kept: dict[str, tuple[Path, int]] = {}
        self._seen: set[Path] = set()

    def clear(self) -> None:
        """Remove all results, those of other options too."""
        for path in self.folder.glob("*.npz"):
            path.unlink()

    def fill(self, batch_size: int) -> Iterator[int]:
        """Complete what is missing; yields how many are done. The warm-up before the first batch is not timed."""
        batches = self.missing(batch_size)
        done = len(self._keys) - sum(map(len, batches))
        yield done
        for number, rows in enumerate(batches):
            shown, holes = self.inputs(rows)
            if not number:
                warm_up(self._method, shown, holes)
            self.save(rows, run_method(self._method, shown, holes))
            done += len(rows)
            yield done

    def missing(self, batch_size: int) -> list[list[int]]:
        """Rows of the task without a result, in batches."""
        self._scan()
        rows = [i for i, key in enumerate(self._keys) if key not in self._kept]
        return [rows[first : first + batch_size] for first in range(0, len(rows), batch_size)]

    def inputs(self, rows: Sequence[int]) -> tuple[PixelBatch, Where]:
        """A method's inputs of these rows: the pictures as they are shown, and the holes."""
        return self._task.shown[rows], self._task.holes[rows]

    def __len__(self) -> int:
        return len(self._keys)

    def results(self) -> Results:
        """All of them, in the order of the task; `fill` comes first. Outside the holes they are the originals."""
        self._scan()
        files = {path: _load(path) for path in {path for path, _ in self._kept.values()}}
        where = [self._kept[key] for key in self._keys]
        completed = np.stack([files[path]["pixels"][row] for path, row in where])
        pixels = np.where(self._task.holes[..., None] > 0, completed, self._task.original)
        wall, processor = (np.array([float(files[p][x][i]) for p, i in where]) for x in ("seconds", "processor"))
        sizes = {len(files[path]["keys"]) for path, _ in where}
        return Results(pixels, wall, processor, tuple(sorted(sizes)))

    def _scan(self) -> None:
        """Read the keys of new files: another process may have written them."""
        own = set(self._keys)
        for path in set(self.folder.glob("*.npz")) - self._seen:
            self._seen.add(path)
            self._kept |= {key: (path, row) for row, key in enumerate(_keys(path)) if key in own}

    def save(self, rows: Sequence[int], made: TimedBatch) -> None:
        """Keep a completed batch."""
        keys = [self._keys[i] for i in rows]
        path = self.folder / f"{keys[0]}.npz"
        arrays: dict[str, Any] = {"keys": np.array(keys), "pixels": made.pixels}
        times = (made.seconds, made.processor_seconds)
        arrays["seconds"], arrays["processor"] = (np.full(len(rows), time / len(rows)) for time in times)
        photos.write_file(path, lambda file: np.savez_compressed(file, **arrays))
        self._seen.add(path)
        self._kept |= {key: (path, row) for row, key in enumerate(keys)}


def run_method(method: Method, shown: PixelBatch, holes: Where) -> TimedBatch:
    """Complete pictures with holes, by the clock."""
    wall, processor = time.perf_counter(), time.process_time()
    made = method.complete(shown, holes)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    if made.shape != shown.shape or made.dtype != np.uint8:
        raise ValueError(f"expected uint8 {shown.shape} from a method, got {made.dtype} {made.shape}")
    return TimedBatch(made, wall, processor)


def _keys(path: Path) -> list[str]:
    """The keys of a file's results; none if it is damaged."""
    try:
        with np.load(path) as file:
            return [str(key) for key in file["keys"]] if set(file.files) >= ARRAYS else []
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError):
        return []


def _load(path: Path) -> dict[str, ndarray]:
    with np.load(path) as file:
        return dict(file)


def warm_up(method: Method, shown: PixelBatch, holes: Where) -> None:
    """Warm up a method. The inputs are mirrored, so that no result can be reused."""
    start = time.perf_counter()
    method.complete(shown[:1, :, ::-1], holes[:1, :, ::-1])
    if time.perf_counter() - start < QUICK_SECONDS:
        method.complete(shown[:, :, ::-1], holes[:, :, ::-1])


def _draw_hole(spec: HoleSpec, size: int, shape: tuple[int, int], seed: int, name: str, limits: ReadLimits) -> Hole:
    if spec.kind not in ("file", "folder"):
        return kinds.draw(spec, (size, size), seed=seed, name=name).hole
    try:
        drawn = kinds.draw(spec, shape, seed=seed, name=name, limits=limits)
        hole = fit_hole(drawn.hole, size)
    except HoleError:
        drawn = kinds.draw(spec, (size, size), seed=seed, name=name, limits=limits)
        hole = drawn.hole
    for note in drawn.notes:
        _warn_once(f"{spec.path}: {note}")
    return hole


@lru_cache(maxsize=256)
def _warn_once(note: str) -> None:
    """Warn once for a hole that is used for many pictures."""
    print(note, file=sys.stderr)


def _file_name(hole: str) -> str:
    """A hole's name without what a file's may not hold; long paths are told apart by a digest."""
    plain = re.sub(r"[^\w.+=-]+", "-", hole)
    if plain.replace("-", ":") == hole.replace("-", ":") and len(plain) < 60:
        return plain
    return f"{plain[-40:]}-{hashlib.sha256(hole.encode(errors='surrogateescape')).hexdigest()[:8]}"
