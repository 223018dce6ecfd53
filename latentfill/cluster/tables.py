"""Pictures in Parquet files: a row each, with columns `path` and `bytes`, and `hole` if each has its own."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from ..errors import DataError
from ..files.contents import digest_photo
from ..files.folders import LeftOut
from ..files.listing import Listing, Roles
from ..files.naming import Results, inside
from ..images.photos import Source
from ..jobs.answers import Question, list_pictures, named
from ..writing import RUN

SUFFIX = ".parquet"
LARGEST_GROUP = 2**31  # bytes of rows that are stored together, and have to be read together
CURE = "Write columns path (text) and bytes (binary), and if wanted hole (binary)."


def questions(
    places: Sequence[Path], out: Path, results: Results, roles: Roles, *, anew: bool = False
) -> tuple[list[Question], tuple[str, ...]]:
    """Every picture in the places, of which some may be Parquet files or folders of them; and what was left out.

    Raises DataError for a table that cannot be read, and for paths that are there twice.
    """
    tables = [place for place in places if place.suffix.lower() == SUFFIX]
    inner = [path for place in places if place.is_dir() for path in _below(place, {**roles, out: ""})]
    others = [place for place in places if place not in tables]
    listed = list_pictures(others, out, roles, (SUFFIX,)) if others else Listing(())
    sources = list(listed.sources)
    sources += [source for path in tables for source in _listed(path)]
    for path in inner:
        try:
            sources += _listed(path)
        except DataError as error:  # the others go on, as beside a broken archive
            sources.append(Source(path.name, path, problem=error.what.removeprefix(f"{path}: ")))
    seen: dict[Path, str] = {}
    for source in sources:
        path = Path(inside(source.name))
        if path in seen:
            raise DataError(f"{source.path}: the path {source.name!r} is there twice", "Give every picture its own.")
        seen[path] = source.name
    return named(sources, out, results, anew=anew, digest=_digest), listed.left_out


def fetch(asked: Iterable[Question]) -> list[Question]:
    """The questions, with the bytes of those that lie in tables."""
    return [_fetched(one) if one.source.path.suffix.lower() == SUFFIX and one.source.member else one for one in asked]


def _digest(source: Source) -> str:
    """Of a picture's file, also if it lies in a table."""
    return digest_photo(fetch([Question(source, 0, Path())])[0].source)


def _below(folder: Path, roles: Roles) -> list[Path]:
    """Tables in a folder, but not those that a verb has left in its results, or that have another part."""
    left_out = LeftOut.of(roles).below(folder)
    tables = (path for path in sorted(folder.rglob(f"*{SUFFIX}")) if RUN not in path.relative_to(folder).parts)
    return [path for path in tables if left_out.role(path) is None]


def _listed(path: Path) -> list[Source]:
    """A source for every row: `member` is the group of rows and the number in it."""
    try:
        file = parquet.ParquetFile(path)
        kinds = {field.name: field.type for field in file.schema_arrow}
        if not _is_text(kinds.get("path")) or not _is_binary(kinds.get("bytes")):
            raise DataError(f"{path}: no columns path and bytes of that kind", CURE)
        if "hole" in kinds and not _is_binary(kinds["hole"]):
            raise DataError(f"{path}: its column hole does not hold pictures", CURE)
        found = []
        for group in range(file.num_row_groups):
            if (size := file.metadata.row_group(group).total_byte_size) > LARGEST_GROUP:
                what = f"{path}: {size:,} bytes in one group of rows, which is read at once"
                raise DataError(what, "Write groups of some thousand rows (row_group_size).")
            names = file.read_row_group(group, columns=["path"])["path"].to_pylist()
            found += [Source(_name(name, path, group, i), path, f"{group}:{i}") for i, name in enumerate(names)]
        return found
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path}: {str(error).splitlines()[0]}", "Make or fetch the file again.") from error


def _name(name: str | None, path: Path, group: int, row: int) -> str:
    return name or f"{path.stem}-{group}-{row}"


def _fetched(question: Question) -> Question:
    source = question.source
    group, row = map(int, source.member.split(":"))
    try:
        stat = source.path.stat()
        data, hole = _group(source.path, group, stat.st_mtime_ns)
    except (OSError, pyarrow.ArrowException) as error:
        return replace(question, source=replace(source, problem=str(error).splitlines()[0]))
    picture, its_hole = data[row].as_py(), None if hole is None else hole[row].as_py()
    if picture is None:
        return replace(question, source=replace(source, problem="the table has no bytes of it"))
    return replace(question, source=replace(source, size=len(picture), data=picture), hole=its_hole)


@lru_cache(maxsize=1)
def _group(path: Path, group: int, changed: int) -> tuple[Any, Any]:
    """The pictures and the holes of rows that are stored together."""
    file = parquet.ParquetFile(path)
    has_hole = "hole" in file.schema_arrow.names
    table = file.read_row_group(group, columns=["bytes", *(["hole"] if has_hole else [])])
    return table["bytes"], table["hole"] if has_hole else None


def _is_text(kind: Any) -> bool:
    return kind is not None and (pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind))


def _is_binary(kind: Any) -> bool:
    return kind is not None and (pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))
