"""`complete` on Ray: blocks of pictures for actors, shards of results (WebDataset), and the manifest at the end."""

import hashlib
import json
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, final

from ..batch.complete import complete, reason
from ..batch.inputs import Plan
from ..batch.outputs import Input, check_same, choices, digest_model, list_unfinished
from ..errors import LatentfillError
from ..files import provenance
from ..files.input_digests import Contents, describe_changes, digest_hole
from ..images.photos import write_file
from ..models import load
from .blocks import Block
from .connection import clear_up
from .tables import Manifest, Row, fetch, make_row, to_text

if TYPE_CHECKING:
    from ..options.commands import CompleteCommand

NAMES = re.compile(r"\d{9}-[0-9a-f]{12}(-\d+)?")  # names of shards, without suffix


def pack(file: Any, folder: Path, pictures: Iterable[str]) -> None:
    """Write the pictures in a folder, and their metadata, into a tar."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in pictures:
            for path in (folder / name, folder / _beside(name)):
                part = tarfile.TarInfo(path.relative_to(folder).as_posix())
                part.size = path.stat().st_size
                with path.open("rb") as whole:
                    tar.addfile(part, whole)


def drop_stale(out: Path, known: Mapping[str, Set[str]], rows: Iterable[dict[str, Any]]) -> None:
    """Remove results from their shards if newer ones exist, so that nobody reads both.

    `known` names all that were ever in each shard, `rows` are those that count; they get the new sizes.
    """
    now: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        now.setdefault(row["output"] or "", []).append(row)
    for output, pictures in known.items():
        its_rows, path = now.get(output, []), out / output
        kept = {row["member"] for row in its_rows}
        if its_rows and pictures > kept and path.exists() and provenance.is_ours(path):
            _keep_only(path, kept)
            for row in its_rows:
                row["output_bytes"] = path.stat().st_size


def _keep_only(shard: Path, pictures: Set[str]) -> None:
    names = {*pictures, *map(_beside, pictures)}

    def fill(file: Any) -> None:
        with tarfile.open(shard) as old, tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as new:
            for part in old:
                if part.name in names:
                    new.addfile(part, old.extractfile(part))

    provenance.save(shard, fill)


def _beside(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(".json"))


BATCHES = 4  # batches of a search in a block: enough to fill batches well, few enough that a lost worker costs little
IN_A_SHARD = 1_024
ROUNDS = 2  # blocks for each worker at least, so that no worker waits long for the last one


@final
@dataclass(frozen=True)
class BlockResult:
    """The result of a block: files written, pictures completed, and (path, reason) of the others."""

    outputs: tuple[str, ...]
    answered: int
    bad: tuple[tuple[str, str], ...]


@final
class Completer:
    """The work of an actor: requests of a block go through the pipeline as those of one process do."""

    def __init__(self, options: "CompleteCommand", model: Mapping[str, str]) -> None:
        self._options, self._model = options, model
        self._gan = load(options.model, "auto" if options.device == "cuda" else options.device, options.class_name)
        if digest_model(self._gan) != model:
            raise LatentfillError(f"{options.model} is another model on this machine", "Copy the model's file there.")
        self._manifest = Manifest(options.out)
        self._scratch = Path(tempfile.gettempdir()) / "latentfill-shards" / str(os.getpid())
        clear_up(self._scratch.parent)
        here = replace(options, out=self._scratch) if options.write == "tar" else options
        self._plan = Plan.of(here, self._gan)

    def __call__(self, items: Sequence[Input]) -> list[Row]:
        """Complete the inputs that have no result yet. The rows of all, in their order."""
        plan, given = self._plan, {item.number: item for item in items}
        inputs = [replace(item, stem=plan.options.out / item.stem) for item in fetch(items)]
        unfinished, _ = list_unfinished(inputs, plan.options, plan.hole, plan.landmarks, self._gan)
        left = {item.number for item in unfinished}
        rows = {one.number: self._row(one, given[one.number].stem) for one in inputs if one.number not in left}
        for one, made in complete(plan, self._gan, unfinished, drawn=False, model=self._model):
            item = given[one.number]
            if isinstance(made, LatentfillError):
                rows[one.number] = self.make_failure(item, reason(item, made))
            else:
                rows[one.number] = self._row(one, item.stem)
        return [rows[item.number] for item in items]

    def make_failure(self, item: Input, reason: str) -> Row:
        """The row of a picture that cannot be completed."""
        asked = choices(self._options)
        return {
            "stem": item.stem.as_posix(),
            "path": item.source.name,
            "hole": asked["hole"],
            "model": asked["model"],
            "model_hash": self._model["weights"],
            "error": reason,
        }

    def commit(self, name: str, made: list[Row]) -> BlockResult:
        """Pack the shard, then add the part of the manifest: with that the block is done."""
        if self._options.write == "tar":
            made = self._pack(name, made)
        self._manifest.add(name, made)
        outputs = dict.fromkeys(row["output"] for row in made if not row.get("error"))
        bad = tuple((row["path"], row["error"]) for row in made if row.get("error"))
        return BlockResult(tuple(outputs), len(made) - len(bad), bad)

    def _row(self, item: Input, stem: Path) -> Row:
        metadata = json.loads(item.file(".json").read_text())
        return make_row(item, metadata, stem.as_posix(), item.picture.stat().st_size)

    def _pack(self, name: str, rows: list[Row]) -> list[Row]:
        """The rows, with their pictures and stories in a shard."""
        good = [row for row in rows if not row.get("error")]
        folder = self._options.out / "shards"
        names = (folder / f"{name}{f'-{number}' if number else ''}.tar" for number in count())
        shard = next(path for path in names if not path.exists() or provenance.is_ours(path))
        if good:
            provenance.save(shard, lambda file: pack(file, self._scratch, [row["output"] for row in good]))
        shutil.rmtree(self._scratch, ignore_errors=True)
        where = {"output": f"shards/{shard.name}", "output_bytes": shard.stat().st_size if good else None}
        return [row if row.get("error") else {**row, **where, "member": row["output"]} for row in rows]


@final
class Job:
    """One output folder, from the driver's side."""

    def __init__(
        self, options: "CompleteCommand", inputs: Sequence[Input], model: Mapping[str, str], plan: Plan
    ) -> None:
        self.options, self.inputs, self.model, self._plan = options, inputs, model, plan
        self.manifest = Manifest(options.out)
        self._sizes: dict[str, int] = {}
        self.notes: dict[str, str] = {}
        if options.overwrite:
            self.manifest.clear()
            self.manifest.file.unlink(missing_ok=True)
            self._file.unlink(missing_ok=True)
            self._sweep({})
        self._check_same()
        known = self.manifest.rows()
        self._stems = {to_text(q.stem.relative_to(options.out).as_posix()): q for q in inputs}
        if len(self._stems) < len(inputs):
            raise LatentfillError(
                "two pictures have names that are not valid text, and look the same", "Rename one of them."
            )
        self._untried = [q for stem, q in self._stems.items() if stem not in known]
        self._failed = [q for stem, q in self._stems.items() if stem in known and not self._is_valid(known[stem])]
        self.open = len(self._untried) + len(self._failed)

    def blocks(self, workers: int) -> list[Block]:
        """The blocks still to be done. Pictures that failed before are tried again, in blocks of their own.

        A block's name tells what is in it: whoever does it again writes the same files.
        """
        size = self._block_size(workers)
        groups = [some[i : i + size] for some in (self._untried, self._failed) for i in range(0, len(some), size)]
        return [self._block(group) for group in groups]

    def make(self) -> Any:
        """A picklable call that makes the work of an actor."""
        return partial(Completer, self.options, self.model)

    def finish(self) -> dict[str, Row]:
        """Put the manifest together. Returns the rows of the pictures that were asked for, as far as they are done.

        Of earlier calls for other pictures it keeps the answers, not the errors.
        """
        self._sizes.clear()
        again = {stem for stem, item in self._stems.items() if item in self._failed}
        rows = self.manifest.rows(lambda row: row["stem"] not in again or self._is_valid(row))
        kept = {stem: row for stem, row in rows.items() if stem in self._stems or not row["error"]}
        drop_stale(self.options.out, self.manifest.members(), kept.values())
        self.manifest.merge(kept)
        self._sweep(kept)
        return {stem: rows[stem] for stem in self._stems if stem in rows}

    def _block(self, group: Sequence[Input]) -> Block:
        out = self.options.out
        digest = hashlib.sha256("\0".join(q.source.name for q in group).encode(errors="surrogateescape")).hexdigest()
        items = tuple(replace(q, stem=q.stem.relative_to(out)) for q in group)
        return Block(f"{group[0].number:09}-{digest[:12]}", items)

    def _block_size(self, workers: int) -> int:
        """Pictures of a block; as it was, where the job goes on, so that blocks are cut as before."""
        kept = self._read_settings()
        if size := kept.get("block"):
            return int(size)
        most = IN_A_SHARD if self.options.write == "tar" else BATCHES * self.options.batch_size
        size = max(1, min(most, -(-len(self.inputs) // (ROUNDS * workers))))
        content = json.dumps({**self._settings(), **self.model, "block": size}, indent=1).encode()
        write_file(self._file, lambda file: file.write(content))
        return size

    def _is_valid(self, row: Row) -> bool:
        """Tell whether a result is still there, whole, and made of the same contents."""
        item = self._stems.get(row["stem"])
        if row["error"]:
            return False
        if item is not None and (changed := self._find_change(row, item)):
            self.notes[item.source.name] = f"{item.source.name}: made anew, since {changed} changed"
            return False
        output: str = row["output"]
        if output not in self._sizes or not row["member"]:
            try:
                path = self.options.out / output if row["member"] or item is None else item.picture
                self._sizes[output] = path.stat().st_size
            except OSError:
                self._sizes[output] = -1
        return bool(self._sizes[output] == row["output_bytes"])

    def _find_change(self, row: Row, item: Input) -> str:
        """Name the contents that have changed since a result was made; early rows did not record them."""
        was: Contents = {name: row[name] for name in ("photo", "hole_sha256", "landmarks")}
        if was["photo"] is None:
            return ""
        now = self._plan.digest_contents(fetch([item])[0])
        return describe_changes({**was, "hole": was["hole_sha256"]}, now)

    def _check_same(self) -> None:
        """Raise LatentfillError if the existing results are of other inputs."""
        if kept := self._read_settings():
            asked, out = self._settings(), str(self.options.out)
            check_same(kept, asked, kept.get("made_of", {}), asked["made_of"], self.model, out)

    def _sweep(self, kept: Mapping[str, Row]) -> None:
        """Remove shards that no row names: of workers that were killed before they had told of them."""
        referenced = {row["output"] for row in kept.values()}
        for path in (self.options.out / "shards").glob("*.tar"):
            if NAMES.fullmatch(path.stem) and f"shards/{path.name}" not in referenced:
                provenance.remove(path)

    def _settings(self) -> dict[str, Any]:
        spec = self._plan.hole
        made_of = {"hole": digest_hole(spec, "") if spec.kind == "file" else None}
        return dict(json.loads(json.dumps({**choices(self.options), "write": self.options.write, "made_of": made_of})))

    def _read_settings(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._file.read_text()))
        except (OSError, ValueError):
            return {}

    @property
    def _file(self) -> Path:
        return self.options.out / "_run" / "asked.json"
