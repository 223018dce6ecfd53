"""Complete many pictures: results and metadata written from the events of the pipeline, in one process or several."""

import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from ..errors import ExtraError, LatentfillError, is_full, is_out_of_memory, out_of_memory
from ..gan.gan import Gan
from ..images import photos
from ..images.encoding import encode_as
from ..images.hole_pictures import describe
from ..models import load
from ..photo.crop import NO_ESTIMATE, Cut
from ..pipeline import Done, Failed, Placed, Request, Split, Step, run
from ..types import Hole
from ..uncertainty.predict import UNLIKE, Uncertainty
from .inputs import Plan
from .outputs import Input, digest_model, is_same_kind, write_result
from .sheets import BatchFolder, write_candidates
from .workers import KilledTask, cores, run_in_pool

if TYPE_CHECKING:
    from ..options.commands import CompleteCommand

BATCHES_EACH = 4  # least number for each process; starting a process takes as long as some batches
Result = tuple[Input, Path | LatentfillError]


def complete(
    plan: Plan,
    gan: Gan,
    inputs: Iterable[Input],
    *,
    drawn: bool = True,
    model: Mapping[str, str] | None = None,
    watch: Callable[[Placed | Step], None] = lambda event: None,
) -> Generator[Result]:
    """Complete the inputs, and write each result. Yields where it is, or why there is none. `watch` sees every
    photo that was read, and every step.

    Grids and logs of the batches are written if `drawn`. `model` is the digest of the model, if it is known already.
    Raises LatentfillError for what stops all: a full disk, a library that is missing.
    """
    options, recorder = plan.options, _Recorder(plan, gan, model or digest_model(gan), drawn=drawn)
    refused: list[Result] = []

    def requests() -> Iterator[Request]:
        for item in inputs:
            try:
                item, request = plan.read(item)
            except ExtraError:
                raise
            except LatentfillError as error:
                refused.append((item, error))
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                refused.append((item, out_of_memory(item.source.name)))
            else:
                recorder.items[item.number] = item
                yield request

    events = run(requests(), gan, options.search, options.photo, options.limits, batch_size=options.batch_size)
    for event in events:
        yield from refused
        refused.clear()
        if isinstance(event, Placed):
            recorder.note(event)
            watch(event)
        elif isinstance(event, Step):
            recorder.draw(event)
            watch(event)
        elif isinstance(event, Split):
            print(f"not enough memory for {len(event.batch)} photos side by side: now {event.size}", file=sys.stderr)
            recorder.discard()
        else:
            yield recorder.finish(event)
    yield from refused


def worker_count(options: "CompleteCommand", gan: Gan, count: int) -> int:
    """Processes to share the work. What is not the search's own keeps one core busy, however many there are."""
    asked = options.where.workers
    if not asked and gan.device.type == "cpu":
        asked = min(options.threads or cores(), count // (BATCHES_EACH * options.batch_size))
    return max(1, min(asked, -(-count // options.batch_size)))


def complete_in_processes(
    options: "CompleteCommand", inputs: Sequence[Input], workers: int
) -> Generator[tuple[Input, Path | str]]:
    """Each input with its result, or the reason for none, from several processes that share the threads."""
    size, threads = options.batch_size, max(1, (options.threads or cores()) // workers)
    batches = [inputs[first : first + size] for first in range(0, len(inputs), size)]
    while batches:
        lost: list[Sequence[Input]] = []
        for batch, made in run_in_pool(BatchWorker(options, threads), batches, workers, "latentfill.batch.complete"):
            if not isinstance(made, KilledTask):
                yield from made
            elif len(batch) > 1:  # perhaps it ran out of memory; and smaller batches show which picture kills a worker
                lost += [batch[::2], batch[1::2]]
            else:
                yield batch[0], made.reason
        batches = lost


@final
class BatchWorker:
    """Completes a batch as one process does. It is pickled for every process, and loads the model there."""

    def __init__(self, options: "CompleteCommand", threads: int) -> None:
        self._options, self._threads = options, threads
        self._loaded: tuple[Plan, Gan, Mapping[str, str]] | None = None

    def __call__(self, inputs: Sequence[Input]) -> list[tuple[Input, Path | str]]:
        """Complete inputs and return the outcome of each. Raises LatentfillError for what stops all others too."""
        self._loaded = self._loaded or self._load()
        plan, gan, model = self._loaded
        results = complete(plan, gan, inputs, model=model)
        return [(item, reason(item, made) if isinstance(made, LatentfillError) else made) for item, made in results]

    def _load(self) -> tuple[Plan, Gan, Mapping[str, str]]:
        import torch

        options = self._options
        torch.set_num_threads(self._threads)
        gan = load(options.model, options.device, options.class_name)
        return Plan.of(options, gan), gan, digest_model(gan)


def reason(item: Input, error: LatentfillError) -> str:
    """The reason why an input cannot be completed, in one line."""
    return f"{error.what.removeprefix(f'{item.source.name}: ')}. {error.cure}"


def write_rejected(out: Path, rejected: Sequence[tuple[str, str]]) -> None:
    """A CSV of pictures that cannot be completed, and why."""
    photos.write_csv(out / "_run" / "rejected.csv", [("path", "reason"), *rejected])


def metadata(done: Done) -> dict[str, Any]:
    """The numbers of one photo, for its JSON file: of the best candidate for every square, and all losses."""
    cut, candidates, trust = done.placed.cut, done.candidates, done.trust
    best = candidates[0] if candidates else None
    squares = [
        {
            "trust": trust.to_json(row) if trust else None,
            "placement": placement.matrix,
            "loss": best.loss[row].item(),
            "terms": {name: term[row].item() for name, term in best.terms.items()},
            "to_be_found": _hidden_share(cut, cut.crop_holes[row]),
            "attempt": int(best.attempt[row]),
            "search": {name: to_json_number(note[row].item()) for name, note in best.notes.items()},
            "z": best.z[row].tolist(),
        }
        for row, placement in enumerate(cut.placements)
        if best is not None
    ]
    facts: dict[str, Any] = {
        "steps": best.number if best else 0,
        "drawn_by": None if best is None else "completer" if best.conditional else "generator",
        "to_be_found": _hidden_share(cut, cut.hole),
        "seen_by_model": cut.seen,
        "seconds": done.found.seconds / len(done.found.batch),
        "notes": done.filled.notes,
        "squares": squares,
        "candidates": [{"loss": candidate.loss.tolist()} for candidate in candidates],
    }
    if len(squares) == 1:  # the usual case: readers then find these at the top level
        facts |= {name: squares[0][name] for name in ("placement", "loss", "terms", "z")}
    if trust:
        facts["trust"] = _describe_trust(trust)
    elif cut.hole.any():
        facts["trust"] = NO_ESTIMATE
    return facts


def _describe_trust(trust: Uncertainty) -> dict[str, Any]:
    """The trust of a photo: that of its least certain square, which is named if there are more."""
    row, count = trust.least_certain, len(trust.words)
    worst = trust.to_json(row)
    if count == 1:
        return worst
    first, *more = worst["words"]
    return {**worst, "words": [f"square {row + 1} of {count}, the least certain: {first}", *more]}


def trust_line(facts: Mapping[str, Any]) -> str | None:
    """The error to expect of a photo's completion, in one sentence; None if nobody can tell."""
    trust = facts.get("trust")
    if not trust or not trust["predicted"]:
        return None
    return str(next(word for word in trust["words"] if UNLIKE not in word))  # a note warns of unlike pictures


def _hidden_share(cut: Cut, hole: Hole) -> float:
    """The share to be found: of an observed photo all, for what was seen of it need not be what it is."""
    return float((hole > 0).mean()) if cut.observed is None else 1.0


def to_json_number(number: float) -> float | None:
    """The number, if JSON knows it."""
    return number if isfinite(number) else None


@final
class _Recorder:
    """Writes the events of a command: notes to standard error, all else to OUT."""

    def __init__(self, plan: Plan, gan: Gan, model: Mapping[str, str], *, drawn: bool) -> None:
        self.items: dict[Any, Input] = {}
        """those that are in hand, by their keys"""
        self._plan, self._options, self._gan, self._model, self._drawn = plan, plan.options, gan, model, drawn
        self._folder: BatchFolder | None = None
        self._described = False

    def note(self, placed: Placed) -> None:
        """Say what a user should know; and of the first picture how its hole was understood."""
        options, notes = self._options, placed.cut.notes
        if not self._described:
            agreement = self._agreement(placed)
            described = () if agreement or placed.drawn.notes else (describe(placed.drawn.hole),)
            notes = (*agreement, *described, *notes)
        self._described = True
        if options.landmarks is not None and not len(placed.request.landmarks):
            notes = (f"{options.landmarks} has no landmarks for it", *notes)
        for note in notes:
            print(f"{placed.request.name}: {note}", file=sys.stderr)
        if options.degrade is not None:
            photos.write_original(self._run_file("seen", self.items[placed.key]), placed.original)

    def draw(self, step: Step) -> None:
        """Draw and log a step."""
        if not self._drawn:
            return
        if self._folder is None or self._folder.batch is not step.batch:
            names = [self.items[key].stem.name for key in step.keys]
            options = self._options
            self._folder = BatchFolder(
                options.out / "_run", names, step, every=options.every, blend=options.search.blend
            )
        self._folder.draw(step)

    def discard(self) -> None:
        """Remove the drawings of a batch that did not fit into memory."""
        if self._folder is not None:
            self._folder.discard()
        self._folder = None

    def finish(self, event: Done | Failed) -> Result:
        """Write a result. Returns where it is, or why there is none; raises LatentfillError for a full disk."""
        item, batch = self.items.pop(event.key), self._folder.batch if self._folder else ()
        try:
            if isinstance(event, Failed):
                if len(batch) == 1 and batch[0].key == event.key:
                    self.discard()
                return item, event.error
            if self._folder is not None and event.found.completion is not None:
                self._folder.draw_maps(event.found)
            return item, self._write(item, event)
        except LatentfillError as error:
            if is_full(error):
                raise
            return item, error
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return item, out_of_memory(item.source.name)
        finally:
            if self._folder is not None and batch and batch[-1].key == event.key:
                if self._options.gif:
                    self._folder.animate()
                self._folder = None

    def _write(self, item: Input, done: Done) -> Path:
        options, placed = self._options, done.placed
        for warning in done.filled.notes[len(placed.cut.notes) :]:  # the others were printed when it was read
            print(f"{item.source.name}: {warning}", file=sys.stderr)
        if len(done.filled.candidates) > 1:
            write_candidates(self._run_file("candidates", item, ""), placed.cut, done.filled)
        if done.candidates and options.edits and placed.incomplete is not None:
            from ..figures.samples import edit_sheet

            completion, how = done.candidates[0], options.search.blend
            sheet = edit_sheet(self._gan, placed.incomplete, completion, options.edits, how)
            if sheet is not None:
                photos.write(self._run_file("edits", item), sheet)
        data, lost = encode_as(done.filled.candidates[0], item.suffix, self._read_jpeg(item))
        if options.format == "same" and not is_same_kind(item):
            lost = (*lost, "files of its kind are not written: it is kept as PNG")
        for note in lost:
            print(f"{item.source.name}: {note}", file=sys.stderr)
        notes = (*self._agreement(placed), *done.filled.notes, *lost)
        facts = {**metadata(done), "notes": notes, **self._model}
        if line := trust_line(facts):
            print(f"{item.source.name}: {line}", file=sys.stderr)
        contents = self._plan.digest_contents(item)
        return write_result(item, options, contents, facts, data)

    def _read_jpeg(self, item: Input) -> bytes:
        """The file of an input whose result is a JPEG as well, to compress it alike; empty if it is gone."""
        if item.suffix not in (".jpg", ".jpeg"):
            return b""
        with suppress(LatentfillError):
            return item.source.bytes(self._options.limits.max_bytes)
        return b""

    def _agreement(self, placed: Placed) -> tuple[str, ...]:
        operator = self._plan.operator
        if operator is None or placed.drawn.hole.any():
            return ()
        return (f"the whole picture is drawn anew, to agree with {operator.name}",)

    def _run_file(self, folder: str, item: Input, suffix: str = ".png") -> Path:
        name = item.stem.relative_to(self._options.out)
        return self._options.out / "_run" / folder / name.with_name(f"{name.name}{suffix}")
