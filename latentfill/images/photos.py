"""Read, write and list picture files: single files, folders of any depth, `.zip` and `.tar` archives."""

import io
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import final

import numpy as np
from PIL import Image, ImageOps

from ..errors import DataError, ImageError
from ..types import Pixels

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"})


@final
@dataclass(frozen=True)
class Source:
    """Where one picture lies: a file, or a part of an archive. `name` is unique within a listing."""

    name: str
    path: Path
    member: str = ""
    offset: int = 0
    size: int = -1

    def bytes(self) -> bytes:
        """The encoded picture, as it is stored."""
        if self.member and zipfile.is_zipfile(self.path):
            return _zip(self.path).read(self.member)
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


def find(places: Iterable[Path]) -> Iterator[Source]:
    """Every picture in the given files, folders and archives, in the order of their names."""
    for place in places:
        if place.is_dir():
            for path in sorted(p for p in place.rglob("*") if p.is_file()):
                if path.suffix.lower() in SUFFIXES | {".tar", ".zip"}:
                    yield from _in_file(path, path.relative_to(place).as_posix())
        elif place.exists():
            yield from _in_file(place, place.name)
        else:
            raise DataError(f"{place}: no such file or folder", "Give pictures, a folder of them, a .zip or a .tar.")


def read(source: Source) -> Pixels:
    """Decode to RGB, upright."""
    try:
        image = Image.open(io.BytesIO(source.bytes()))
        image = ImageOps.exif_transpose(image)
        return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise ImageError(f"{source.name}: {error}", "Save the picture again as PNG or JPEG.") from error


def _in_file(path: Path, name: str) -> Iterator[Source]:
    if path.suffix.lower() == ".tar":
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if member.isfile() and Path(member.name).suffix.lower() in SUFFIXES:
                    yield Source(f"{name}/{member.name}", path, member.name, member.offset_data, member.size)
    elif path.suffix.lower() == ".zip":
        for info in _zip(path).infolist():
            if Path(info.filename).suffix.lower() in SUFFIXES:
                yield Source(f"{name}/{info.filename}", path, info.filename)
    else:
        yield Source(name, path)


@lru_cache(maxsize=4)
def _zip(path: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)
