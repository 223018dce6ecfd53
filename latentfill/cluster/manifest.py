"""What became of every picture: a row each in OUT/_run/manifest.parquet, put together from the parts of blocks."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, final

import pyarrow
from pyarrow import ipc, parquet

from ..images.photos import put
from ..jobs.answers import Question

Row = dict[str, Any]
COLUMNS = pyarrow.schema(
    [
        ("path", pyarrow.string()),  # the name of the picture within the place that was given
        ("hole", pyarrow.string()),  # what was to be found, as it was asked for; "given" if it came with the picture
        ("losses", pyarrow.list_(pyarrow.float64())),  # of the best candidate, one for every square that was searched
        ("held_out_error", pyarrow.float64()),  # grey levels; of several squares the worst
        ("predicted_error", pyarrow.float64()),
        ("seconds", pyarrow.float64()),
        ("model", pyarrow.string()),
        ("model_hash", pyarrow.string()),  # of all weights that complete
        ("output", pyarrow.string()),  # a file below OUT: the picture, or the shard that it is in
        ("member", pyarrow.string()),  # its name in the shard
        ("output_bytes", pyarrow.int64()),  # of that file, so that one that was cut short is noticed
        ("notes", pyarrow.list_(pyarrow.string())),
        ("error", pyarrow.string()),  # why there is no answer; null if there is one
    ]
)
AT_ONCE = 50_000  # rows in memory while the manifest is written, and in a group of its rows


def told(question: Question, story: Mapping[str, Any], output: str, member: str, size: int) -> Row:
    """The row of a picture that was completed, from its story."""
    trusts = [square["trust"] for square in story["squares"] if square["trust"]]
    return {
        "path": question.source.name,
        "hole": "given" if question.hole is not None else story["hole"],
        "losses": [square["loss"] for square in story["squares"]],
        "held_out_error": _worst(trusts, "held_out"),
        "predicted_error": _worst(trusts, "predicted"),
        "seconds": story["seconds"],
        "model": story["model"],
        "model_hash": story["weights"],
        "output": output,
        "member": member,
        "output_bytes": size,
        "notes": list(story["notes"]),
    }


@final
class Manifest:
    """The rows of one output folder. Blocks add parts, each whole or not there; `merge` makes one file of all."""

    def __init__(self, out: Path) -> None:
        self.file = out / "_run" / "manifest.parquet"
        self.parts = out / "_run" / "parts"

    def add(self, name: str, rows: Iterable[Row]) -> None:
        """Keep the rows of a block: with this it is done. Raises ImageError if that cannot be written."""
        table = pyarrow.Table.from_pylist(list(rows), COLUMNS)

        def fill(file: Any) -> None:
            with ipc.new_file(file, COLUMNS) as writer:
                writer.write_table(table)

        put(self.parts / f"{name}.arrow", fill)

    def rows(self, stands: Callable[[Row], bool] = lambda row: True) -> dict[str, Row]:
        """What is known of each path: an answer, if it `stands`, rather than an error, and rather what is newer."""
        kept: dict[str, Row] = {}
        for row in self._all():
            before = kept.get(row["path"])
            if before is None or before["error"] or not row["error"] or not stands(before):
                kept[row["path"]] = row
        return kept

    def merge(self, rows: Mapping[str, Row]) -> None:
        """Make these rows the manifest, in the order of their paths. Raises ImageError if it cannot be written."""
        order = sorted(rows)

        def fill(file: Any) -> None:
            with parquet.ParquetWriter(file, COLUMNS) as writer:
                for first in range(0, len(order), AT_ONCE):
                    some = [rows[path] for path in order[first : first + AT_ONCE]]
                    writer.write_table(pyarrow.Table.from_pylist(some, COLUMNS))

        put(self.file, fill)
        self.clear()

    def clear(self) -> None:
        """Remove the parts: what they say is in the manifest, or is not to be kept."""
        for path in self.parts.glob("*.arrow"):
            path.unlink(missing_ok=True)

    def _all(self) -> Iterator[Row]:
        """Rows of the manifest, then of the parts from the oldest on; what is damaged tells nothing."""
        kept: list[Row] = []
        if self.file.exists():
            with suppress(OSError, pyarrow.ArrowInvalid):
                kept = parquet.read_table(self.file, schema=COLUMNS).to_pylist()
            yield from kept
        for path in sorted(self.parts.glob("*.arrow"), key=lambda path: path.stat().st_mtime_ns):
            try:
                rows = ipc.open_file(path).read_all().to_pylist()
            except (OSError, pyarrow.ArrowInvalid):
                continue
            yield from rows


def _worst(trusts: Iterable[Mapping[str, Any]], name: str) -> float | None:
    return max((trust[name] for trust in trusts if trust[name] is not None), default=None)
