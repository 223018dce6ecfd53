"""`complete` on Ray: which pictures are still to be done, what an actor makes of a block of them, and the end of it."""

import hashlib
import io
import json
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from ..errors import LatentfillError
from ..images.photos import put
from ..jobs.answers import ANEW, Question, asked_for, check_answers, otherwise, weights_of
from ..jobs.batch import drain
from ..jobs.reader import Reader, reason
from ..jobs.workers import lives
from ..models import load
from .manifest import Manifest, Row, told
from .spreading import Block
from .tables import fetched

if TYPE_CHECKING:
    from ..cli.complete import Options

BATCHES = 4  # of a search in a block: packed well, and little is lost with a worker
IN_A_SHARD = 1_024
SHARD = re.compile(r"\d{9}-[0-9a-f]{12}")
ROUNDS = 2  # blocks for each worker at least, so that none waits long for the last


@final
@dataclass(frozen=True)
class Done:
    """What is told of a block: the files that were written, how many pictures are answered, and what is wrong with
    the others.
    """

    outputs: tuple[str, ...]
    answered: int
    bad: tuple[tuple[str, str], ...]


@final
class Completer:
    """What an actor does. The reader and the batch are those of the plain loop, so the answers are too."""

    def __init__(self, options: "Options", weights: str) -> None:
        self._options, self._weights = options, weights
        self._gan = load(options.model, "auto" if options.device == "cuda" else options.device, options.class_name)
        if weights_of(self._gan) != weights:
            raise LatentfillError(f"{options.model} is another model on this machine", "Copy the model's file there.")
        self._manifest = Manifest(options.out)
        self._scratch = Path(tempfile.gettempdir()) / "latentfill-shards" / str(os.getpid())
        clear_up(self._scratch.parent)
        self._reader = Reader(options, self._gan, alone=False)

    def __call__(self, items: Sequence[Question]) -> list[Row]:
        """Complete the questions that are not answered yet. The rows of all, in their order."""
        self._reader.rejected.clear()
        options = self._options
        if options.write == "tar":
            options = replace(options, out=self._scratch)
        questions = [replace(q, stem=options.out / q.stem) for q in fetched(items)]
        rows: dict[int, Row] = {}
        answered = [q for q in questions if not options.overwrite and options.write == "files" and q.answered]
        check_answers(answered, options)
        rows |= {q.number: self._row(q) for q in answered}
        open_ones = [q for q in questions if q.number not in rows]
        for question, made in drain(options, self._gan, self._reader, open_ones, drawn=False, weights=self._weights):
            if isinstance(made, LatentfillError):
                rows[question.number] = self.failed(question, reason(question.source.name, made))
            else:
                rows[question.number] = self._row(question)
        rejected = dict(self._reader.rejected)
        return [rows.get(q.number) or self.failed(q, rejected[q.source.name]) for q in questions]

    def failed(self, item: Question, reason: str) -> Row:
        """The row of a picture that cannot be completed."""
        asked = asked_for(self._options)
        return {
            "path": item.source.name,
            "hole": asked["hole"],
            "model": asked["model"],
            "model_hash": self._weights,
            "error": reason,
        }

    def commit(self, name: str, made: list[Row]) -> Done:
        """Pack the shard, then add the part of the manifest: with that the block is done."""
        if self._options.write == "tar":
            made = self._packed(name, made)
        self._manifest.add(name, made)
        outputs = dict.fromkeys(row["output"] for row in made if not row.get("error"))
        bad = tuple((row["path"], row["error"]) for row in made if row.get("error"))
        return Done(tuple(outputs), len(made) - len(bad), bad)

    def _row(self, question: Question) -> Row:
        picture = question.file(".png")
        out = self._scratch if self._options.write == "tar" else self._options.out
        story = json.loads(question.file(".json").read_text())
        return told(question, story, picture.relative_to(out).as_posix(), "", picture.stat().st_size)

    def _packed(self, name: str, rows: list[Row]) -> list[Row]:
        """The rows, with their pictures and stories in a shard."""
        good = [row for row in rows if not row.get("error")]
        shard = self._options.out / "shards" / f"{name}.tar"
        if good:
            put(shard, lambda file: self._pack(file, good))
        shutil.rmtree(self._scratch, ignore_errors=True)
        where = {"output": f"shards/{name}.tar", "output_bytes": shard.stat().st_size if good else None}
        return [row if row.get("error") else {**row, **where, "member": row["output"]} for row in rows]

    def _pack(self, file: Any, rows: Sequence[Row]) -> None:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for row in rows:
                picture = self._scratch / row["output"]
                for path in (picture, picture.with_name(picture.name.removesuffix(".png") + ".json")):
                    part = tarfile.TarInfo(path.relative_to(self._scratch).as_posix())
                    part.size = path.stat().st_size
                    tar.addfile(part, io.BytesIO(path.read_bytes()))


@final
class Job:
    """One output folder, from the driver's side."""

    def __init__(self, options: "Options", questions: Sequence[Question], weights: str) -> None:
        self.options, self.questions, self.weights = options, questions, weights
        self.manifest = Manifest(options.out)
        self._sizes: dict[str, int] = {}
        if options.overwrite:
            self.manifest.clear()
            self.manifest.file.unlink(missing_ok=True)
            self._file.unlink(missing_ok=True)
            self._sweep({})
        self._check_same()
        known = self.manifest.rows()
        self._fresh = [q for q in questions if q.source.name not in known]
        self._again = [q for q in questions if q.source.name in known and not self._stands(known[q.source.name])]
        self.open = len(self._fresh) + len(self._again)

    def blocks(self, workers: int) -> list[Block]:
        """What is still to be done. What went wrong before is tried again, apart from what was never tried.

        A block's name tells what is in it: whoever does it again writes the same files.
        """
        size = self._block_size(workers)
        groups = [some[i : i + size] for some in (self._fresh, self._again) for i in range(0, len(some), size)]
        return [self._block(group) for group in groups]

    def make(self) -> Any:
        """What makes the work of an actor."""
        return partial(Completer, self.options, self.weights)

    def finish(self) -> dict[str, Row]:
        """Put the manifest together. Returns the rows of the pictures that were asked for, as far as they are done.

        Of earlier calls for other pictures it keeps the answers, not the errors.
        """
        self._sizes.clear()
        again = {question.source.name for question in self._again}
        rows = self.manifest.rows(lambda row: row["path"] not in again or self._stands(row))
        asked = {question.source.name for question in self.questions}
        kept = {path: row for path, row in rows.items() if path in asked or not row["error"]}
        self.manifest.merge(kept)
        self._sweep(kept)
        return {path: rows[path] for path in asked if path in rows}

    def _block(self, group: Sequence[Question]) -> Block:
        out = self.options.out
        digest = hashlib.sha256("\0".join(q.source.name for q in group).encode(errors="surrogateescape")).hexdigest()
        items = tuple(replace(q, stem=q.stem.relative_to(out)) for q in group)
        return Block(f"{group[0].number:09}-{digest[:12]}", items)

    def _block_size(self, workers: int) -> int:
        """Pictures of a block; as it was, where the job goes on, so that blocks are cut as before."""
        kept = self._kept()
        if size := kept.get("block"):
            return int(size)
        most = IN_A_SHARD if self.options.write == "tar" else BATCHES * self.options.batch_size
        size = max(1, min(most, -(-len(self.questions) // (ROUNDS * workers))))
        content = json.dumps({**self._asked(), "block": size}, indent=1).encode()
        put(self._file, lambda file: file.write(content))
        return size

    def _stands(self, row: Row) -> bool:
        """Whether an answer is still there, whole."""
        if row["error"]:
            return False
        output: str = row["output"]
        if output not in self._sizes or not row["member"]:
            try:
                self._sizes[output] = (self.options.out / output).stat().st_size
            except OSError:
                self._sizes[output] = -1
        return bool(self._sizes[output] == row["output_bytes"])

    def _check_same(self) -> None:
        """Raise LatentfillError if what is there was made for other questions."""
        kept = self._kept()
        if not kept:
            return
        other = otherwise(kept, {**self._asked(), "weights": kept["weights"]})
        if other is None and kept["weights"] != self.weights:
            other = f"with {self.options.model} as it was then: its weights have changed since"
        if other is not None:
            raise LatentfillError(f"{self.options.out} was made {other}", ANEW)

    def _sweep(self, kept: Mapping[str, Row]) -> None:
        """Remove shards that no row names: of workers that were killed before they had told of them."""
        told = {row["output"] for row in kept.values()}
        for path in (self.options.out / "shards").glob("*.tar"):
            if SHARD.fullmatch(path.stem) and f"shards/{path.name}" not in told:
                path.unlink(missing_ok=True)

    def _asked(self) -> dict[str, Any]:
        asked = {**asked_for(self.options), "write": self.options.write, "weights": self.weights}
        return dict(json.loads(json.dumps(asked)))

    def _kept(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._file.read_text()))
        except (OSError, ValueError):
            return {}

    @property
    def _file(self) -> Path:
        return self.options.out / "_run" / "asked.json"


def clear_up(folder: Path) -> None:
    """Remove what killed workers of this machine have left, each in a folder that has its process' number."""
    for path in folder.glob("*") if folder.is_dir() else ():
        if path.name.isdigit() and (int(path.name) == os.getpid() or not lives(int(path.name))):
            shutil.rmtree(path, ignore_errors=True)
