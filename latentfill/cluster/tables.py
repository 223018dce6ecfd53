"""Parquet files of pictures (columns `path`, `bytes`, `hole`), and the manifest of results, a row for each picture."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, final

import pyarrow
from pyarrow import ipc, parquet

from ..batch.outputs import Input, list_pictures, name_inputs, result_suffixes
from ..errors import DataError
from ..files.input_digests import digest_photo
from ..files.listing import Listing, Omissions, Roles
from ..files.naming import Result, Results, fold, inner_path
from ..files.writing import RUN
from ..images.photos import Source, write_file

SUFFIX = ".parquet"
LARGEST_GROUP = 2**31  # bytes of rows that are stored together and must be read together
CURE = "Write columns path (text) and bytes (binary), and if wanted hole (binary)."


def list_inputs(
    places: Sequence[Path], out: Path, results: Results, roles: Roles, *, anew: bool = False, form: str = "png"
) -> tuple[list[Input], tuple[str, ...]]:
    """Every picture in the places, which may include Parquet files or folders of them; and what was left out.

    Raises DataError for a table that cannot be read, and for paths that are there twice.
    """
    tables = [place for place in places if place.suffix.lower() == SUFFIX]
    inner = [path for place in places if place.is_dir() for path in _below(place, {**roles, out: ""})]
    others = [place for place in places if place not in tables]
    listed = list_pictures(others, out, roles, (SUFFIX,), result_suffixes(form)) if others else Listing(())
    sources = list(listed.sources)
    sources += [source for path in tables for source in _list_rows(path)]
    for path in inner:
        try:
            sources += _list_rows(path)
        except DataError as error:  # the other files continue, as with a broken archive
            sources.append(Source(path.name, path, problem=error.what.removeprefix(f"{path}: ")))
    seen: dict[Path, str] = {}
    for source in sources:
        path = Path(inner_path(source.name))
        if path in seen:
            raise DataError(f"{source.path}: the path {source.name!r} is there twice", "Give every picture its own.")
        seen[path] = source.name
    return name_inputs(sources, out, results, anew=anew, form=form, digest=_digest), listed.left_out


def fetch(asked: Iterable[Input]) -> list[Input]:
    """The inputs, with the bytes of those that lie in tables."""
    return [_fetch(one) if one.source.path.suffix.lower() == SUFFIX and one.source.member else one for one in asked]


def _digest(source: Source) -> str:
    """Digest a picture's file, also if it lies in a table."""
    return digest_photo(fetch([Input(source, 0, Path())])[0].source)


def _below(folder: Path, roles: Roles) -> list[Path]:
    """Tables in a folder, but not those that a verb has left in its results, or that have another part."""
    left_out = Omissions.of(roles).below(folder)
    tables = (path for path in sorted(folder.rglob(f"*{SUFFIX}")) if RUN not in path.relative_to(folder).parts)
    return [path for path in tables if left_out.role(path) is None]


def _list_rows(path: Path) -> list[Source]:
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


def _fetch(item: Input) -> Input:
    source = item.source
    group, row = map(int, source.member.split(":"))
    try:
        stat = source.path.stat()
        data, hole = _group(source.path, group, stat.st_mtime_ns)
    except (OSError, pyarrow.ArrowException) as error:
        return replace(item, source=replace(source, problem=str(error).splitlines()[0]))
    picture, its_hole = data[row].as_py(), None if hole is None else hole[row].as_py()
    if picture is None:
        return replace(item, source=replace(source, problem="the table has no bytes of it"))
    return replace(item, source=replace(source, size=len(picture), data=picture), hole=its_hole)


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


Row = dict[str, Any]
COLUMNS = pyarrow.schema(
    [
        ("path", pyarrow.string()),  # the name of the picture within the given folder or archive
        ("stem", pyarrow.string()),  # the name of its result, which no other result has
        ("hole", pyarrow.string()),  # the hole as it was requested; "given" if it came with the picture
        ("losses", pyarrow.list_(pyarrow.float64())),  # of the best candidate, one for each square that was searched
        ("held_out_error", pyarrow.float64()),  # grey levels; the worst of several squares
        ("predicted_error", pyarrow.float64()),
        ("seconds", pyarrow.float64()),
        ("model", pyarrow.string()),
        ("model_hash", pyarrow.string()),  # of all weights that the completion used
        ("output", pyarrow.string()),  # a file below OUT: the picture, or the shard that contains it
        ("member", pyarrow.string()),  # its name in the shard
        ("output_bytes", pyarrow.int64()),  # size of that file, so that a truncated file is noticed
        ("notes", pyarrow.list_(pyarrow.string())),
        ("place", pyarrow.string()),  # the folder or archive of the picture
        ("photo", pyarrow.string()),  # SHA-256 of its file
        ("hole_sha256", pyarrow.string()),  # of the hole's picture, if there is one
        ("landmarks", pyarrow.string()),  # digest of the landmarks that were given for it
        ("error", pyarrow.string()),  # why there is no result; null if there is one
    ]
)
EMPTY: Row = dict.fromkeys(COLUMNS.names)  # defaults for columns that manifests of earlier versions lack
AT_ONCE = 50_000  # rows in memory while the manifest is written, and in each of its row groups


def make_row(item: Input, metadata: Mapping[str, Any], stem: str, size: int) -> Row:
    """The row of a picture that was completed, from its metadata."""
    made_of = metadata["made_of"]
    trusts = [square["trust"] for square in metadata["squares"] if square["trust"]]
    return {
        "path": item.source.name,
        "stem": stem,
        "hole": "given" if item.hole is not None else metadata["hole"],
        "losses": [square["loss"] for square in metadata["squares"]],
        "held_out_error": _worst(trusts, "held_out"),
        "predicted_error": _worst(trusts, "predicted"),
        "seconds": metadata["seconds"],
        "model": metadata["model"],
        "model_hash": metadata["weights"],
        "output": f"{stem}{item.suffix}",
        "member": "",
        "output_bytes": size,
        "notes": [*map(to_text, metadata["notes"])],
        "place": made_of["place"],
        "photo": made_of["photo"],
        "hole_sha256": made_of["hole"],
        "landmarks": made_of["landmarks"],
    }


@final
class Manifest:
    """The rows of one output folder. Blocks add parts, each whole or not there; `merge` makes one file of all."""

    def __init__(self, out: Path) -> None:
        self.file = out / "_run" / "manifest.parquet"
        self.parts = out / "_run" / "parts"
        self._known: dict[str, Row] | None = None
        self._folded: set[str] = set()

    def add(self, name: str, rows: Iterable[Row]) -> None:
        """Keep the rows of a block: with this it is done. Raises ImageError if that cannot be written."""
        table = _table(rows)

        def fill(file: Any) -> None:
            with ipc.new_file(file, COLUMNS) as writer:
                writer.write_table(table)

        write_file(self.parts / f"{name}.arrow", fill)

    def rows(self, stands: Callable[[Row], bool] = lambda row: True) -> dict[str, Row]:
        """The row of each stem: a result, if it `stands`, rather than an error, and rather the newer one."""
        kept: dict[str, Row] = {}
        for row in self._all():
            stem = row["stem"] = row["stem"] or _stem_of(row)
            before = kept.get(stem)
            if before is None or before["error"] or not row["error"] or not stands(before):
                kept[stem] = row
        return kept

    def members(self) -> dict[str, set[str]]:
        """The results in each shard that rows name, including outdated ones."""
        found: dict[str, set[str]] = {}
        for row in self._all():
            if row["output"] and row["member"]:
                found.setdefault(row["output"], set()).add(row["member"])
        return found

    def merge(self, rows: Mapping[str, Row]) -> None:
        """Make these rows the manifest, in the order of their paths. Raises ImageError if it cannot be written."""
        order = sorted(rows, key=lambda stem: (rows[stem]["path"], stem))

        def fill(file: Any) -> None:
            with parquet.ParquetWriter(file, COLUMNS) as writer:
                for first in range(0, len(order), AT_ONCE):
                    writer.write_table(_table(rows[stem] for stem in order[first : first + AT_ONCE]))

        write_file(self.file, fill)
        self.clear()

    def clear(self) -> None:
        """Remove the parts: what they say is in the manifest, or is not to be kept."""
        for path in self.parts.glob("*.arrow"):
            path.unlink(missing_ok=True)

    def find(self, stem: str) -> Result | None:
        """The picture that the result of this stem was made of, as `FolderResults` finds it in a folder."""
        row = self._known_rows().get(stem)
        return None if row is None or row["error"] else Result(row["photo"] or "", row["path"], row["place"] or "")

    def is_free(self, stem: str) -> bool:
        """Tell whether there is no result of this stem, upper and lower case being the same."""
        self._known_rows()
        return fold(stem) not in self._folded

    def can_replace(self, stem: str) -> bool:
        """Answers in shards are replaced as a whole."""
        return True

    def _known_rows(self) -> dict[str, Row]:
        """The rows as they were at the first request for names."""
        if self._known is None:
            self._known = self.rows()
            self._folded = {fold(stem) for stem in self._known}
        return self._known

    def _all(self) -> Iterator[Row]:
        """Rows of the manifest, then of the parts from the oldest on; what is damaged tells nothing."""
        kept: list[Row] = []
        if self.file.exists():
            with suppress(OSError, pyarrow.ArrowInvalid):
                kept = [{**EMPTY, **row} for row in parquet.read_table(self.file).to_pylist()]
            yield from kept
        for path in sorted(self.parts.glob("*.arrow"), key=lambda path: path.stat().st_mtime_ns):
            try:
                rows = [{**EMPTY, **row} for row in ipc.open_file(path).read_all().to_pylist()]
            except (OSError, pyarrow.ArrowInvalid):
                continue
            yield from rows


def to_text(name: str) -> str:
    """A name as text, which those are not whose bytes are no UTF-8."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _table(rows: Iterable[Row]) -> Any:
    plain = [{key: to_text(value) if isinstance(value, str) else value for key, value in row.items()} for row in rows]
    return pyarrow.Table.from_pylist(plain, COLUMNS)


def _stem_of(row: Row) -> str:
    """The stem of a row of an earlier version."""
    name: str = row["member"] or row["output"] or inner_path(row["path"]).name
    return str(PurePosixPath(name).with_suffix(""))


def _worst(trusts: Iterable[Mapping[str, Any]], name: str) -> float | None:
    return max((trust[name] for trust in trusts if trust[name] is not None), default=None)
