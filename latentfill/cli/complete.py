"""latentfill complete: fill the holes of pictures."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt
from tyro.conf import Positional

from ..errors import LatentfillError
from ..models import DEFAULT
from ..options import COMPLETE_PRESETS, CompleteOptions, ReadLimits

if TYPE_CHECKING:
    from ..gan.gan import Gan
    from ..jobs.answers import Question, Reader


@dataclass(frozen=True)
class Options:
    """Fill the holes of pictures by searching the latent space of a model.

    Writes OUT/NAME.png and OUT/NAME.json for every picture, and into OUT/_run the grids of each batch (before, masked,
    hats, completed) and the losses and latents of each picture. What is there already is skipped, so the same command
    goes on where it was stopped.
    """

    images: Positional[tuple[Path, ...]]
    """pictures: files, folders of any depth, .zip or .tar archives"""
    out: Path
    """folder for the results"""
    hole: str = "center"
    """what to fill: center[:scale], left, half, random[:fraction missing], grid, full, lowres, pattern, alpha,
    colour:#ff00ff[:tolerance], a picture (white = to be found), or a folder of such paired by file name"""
    invert: bool = False
    """fill what the hole leaves, and keep what it names: for hole pictures in which black is to be found"""
    model: str = DEFAULT
    """name of a model in the package, a model file, or a run folder"""
    preset: Literal["seed", "paper"] = "seed"
    """settings to start from: the original repository's, or those of Yeh et al."""
    search: CompleteOptions = field(default_factory=CompleteOptions)
    limits: ReadLimits = field(default_factory=ReadLimits)
    max_images: Annotated[int, Gt(0)] | None = None
    """complete only the first so many pictures"""
    fit: bool = False
    """crop pictures of another size to their central square and resize them to the model's"""
    batch_size: Annotated[int, Gt(0)] = 64
    """pictures searched side by side"""
    every: Annotated[int, Ge(0)] = 50
    """write the grids every so many steps, and at the last; 0 for the last alone"""
    gif: bool = False
    """join the grids of each batch to an animation"""
    overwrite: bool = False
    """make anew what is there already"""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps, or auto for the first GPU if there is one"""
    threads: Annotated[int, Ge(0)] = 0
    """processor threads; 0 takes all cores"""

    @staticmethod
    def preset_defaults(name: str | None) -> dict[str, Any]:
        """The search of a preset. Raises LatentfillError for a name that is none."""
        name = name or "seed"
        if name not in COMPLETE_PRESETS:
            raise LatentfillError(f"there is no preset {name!r}", f"It is one of: {', '.join(COMPLETE_PRESETS)}.")
        return {"search": COMPLETE_PRESETS[name]}


def run(options: Options) -> int:
    """Complete every picture. Returns 1 if some could not be, each named; 2 if none was given."""
    import torch
    from setproctitle import setproctitle

    from ..jobs.answers import Reader, ask
    from ..models import load

    setproctitle(f"latentfill complete {options.out.name}")
    if not options.images:
        raise LatentfillError("no pictures named", "Write latentfill complete PICTURES... --out FOLDER.")
    if options.threads:
        torch.set_num_threads(options.threads)
    gan = load(options.model, options.device)
    questions = ask(options.images, options.out)[: options.max_images]
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        return _answer(options, gan, Reader(options, gan), questions)
    except OSError as error:
        reason = error.strerror or error
        raise LatentfillError(
            f"{options.out} cannot be written to: {reason}", "Make room, or give another --out."
        ) from error


def _answer(options: Options, gan: "Gan", reader: "Reader", questions: "list[Question]") -> int:
    if not questions:
        raise LatentfillError(
            f"no pictures in {', '.join(map(str, options.images))}", "Give pictures, or folders of them."
        )
    open_ones = [q for q in questions if options.overwrite or not q.answered]
    if done := len(questions) - len(open_ones):
        print(f"{done} of {len(questions)} are done already (--overwrite makes them anew)", file=sys.stderr)
    completed = _complete_all(options, gan, reader, open_ones)
    for name, reason in reader.rejected:
        print(f"{name}: {reason}", file=sys.stderr)
    print(f"{completed} completed, {len(reader.rejected)} rejected, in {options.out}", file=sys.stderr)
    return 1 if reader.rejected else 0


def _complete_all(options: Options, gan: "Gan", reader: "Reader", questions: "list[Question]") -> int:
    from ..jobs.batch import Batch
    from ..pipeline import pose
    from .progress import Bar

    completed, steps = 0, options.search.steps
    with Bar("complete", "steps") as bar:
        for first in range(0, len(questions), options.batch_size):
            good, crops, holes = reader.read(questions[first : first + options.batch_size])
            if not good:
                continue
            batch = Batch(options, good, pose(gan, crops, holes, lowres=reader.lowres))
            for completion in batch.search(gan):
                done = first * steps + completion.number * len(good)
                note = f"pictures {first + 1}-{first + len(good)}  loss {completion.loss.mean().item():.1f}"
                bar.update(done, len(questions) * steps, note)
            for path in batch.finish():
                print(path, flush=True)
            completed += len(good)
    return completed
