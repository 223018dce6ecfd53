"""latentfill complete: fill the holes of pictures."""

import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import LatentfillError, name_place
from ..options.commands import CompleteCommand as Options
from .output import name_process, print_results

if TYPE_CHECKING:
    from ..batch.inputs import Plan
    from ..batch.outputs import Input
    from ..gan.gan import Gan
    from ..pipeline import Step

Rejected = tuple[str, str]  # the name of a picture, and why it cannot be completed


def run(options: Options) -> int:
    """Complete every picture. Returns 1 if some could not be, each named; 2 if none was given."""
    import torch

    from ..images.photos import remove_partial
    from ..models import load

    name_process("complete", options.out)
    if not options.images:
        raise LatentfillError("no pictures named", "Write latentfill complete PICTURES... --out FOLDER.")
    if options.landmarks is not None and (options.fit or options.photo.place == "center"):
        raise LatentfillError("--landmarks does not go with --fit or --place center", "Leave one of them out.")
    if options.degrade is not None and options.observe not in (None, options.degrade):
        raise LatentfillError(f"--observe {options.observe} is not what --degrade makes", "Leave --observe out.")
    if options.edits and (options.observe or options.degrade or options.hole in ("lowres", "full")):
        raise LatentfillError(
            "--edits needs known pixels to keep and a hole to change", "Leave it out, or give --hole."
        )
    if options.where.engine == "ray":
        from ..cluster.connection import check_installed

        check_installed()
    elif options.write == "tar":
        raise LatentfillError("--write tar is for --engine ray", "Leave it out, or give both.")
    if options.threads:
        torch.set_num_threads(options.threads)
    gan = load(options.model, options.device, options.class_name)
    if options.edits > (most := gan.generator.prior.dim):
        raise LatentfillError(f"--edits {options.edits} is too many", f"This model has {most} at most.")
    with name_place(options.out):
        options.out.mkdir(parents=True, exist_ok=True)
        remove_partial(options.out)
        if options.where.engine == "ray":
            return _on_ray(_keep_pipes(options), gan)
        return _complete(_keep_pipes(options), gan)


def _on_ray(options: Options, gan: "Gan") -> int:
    """The same on Ray: actors answer, and a manifest tells of each picture."""
    from ..cluster.driver import complete
    from .progress import Bar

    if options.write == "tar" and (options.edits or options.search.candidates > 1):
        raise LatentfillError("--write tar holds one answer for each picture", "Leave --edits and --candidates out.")
    results = sys.stdout  # Ray takes sys.stdout over while it runs
    with Bar("complete", "photos") as bar:

        def watch(outputs: Sequence[Path], done: int, total: int, note: str) -> None:
            for output in outputs:
                print_results(output, file=results)
            bar.update(done, total, note)

        rows, count = complete(options, gan, watch)
    bad = [row for row in rows.values() if row["error"]]
    for row in bad:
        print(f"{row['path']}: {row['error']}", file=sys.stderr)
    print(f"{len(rows) - len(bad):,} of {count:,} completed, {len(bad):,} rejected, in {options.out}", file=sys.stderr)
    return 1 if bad else 0


def _keep_pipes(options: Options) -> Options:
    """The options with files in the place of pipes: they are read by every process, and pipes can be read once."""
    from ..files.listing import save_pipe
    from ..files.provenance import claim_run

    run, hole, landmarks = claim_run(options.out), options.hole, options.landmarks
    hole = hole and save_pipe(hole, run, "hole")
    return replace(options, hole=hole, landmarks=landmarks and Path(save_pipe(str(landmarks), run, "landmarks")))


def _complete(options: Options, gan: "Gan") -> int:
    """The same in this process, or in several of this machine."""
    from ..batch.complete import worker_count
    from ..batch.inputs import Plan
    from ..batch.outputs import list_pictures, list_unfinished, name_inputs, result_suffixes
    from ..files.input_digests import hole_roles
    from ..files.listing import print_omissions
    from ..files.naming import FolderResults

    plan = Plan.of(options, gan)
    (options.out / "_run" / "rejected.csv").unlink(missing_ok=True)
    roles, written = hole_roles(plan.hole, options.images, options.out), result_suffixes(options.format)
    listed = list_pictures(options.images, options.out, roles, written=written)
    print_omissions(listed)
    results = FolderResults(options.out, written)
    inputs = name_inputs(listed.sources, options.out, results, anew=options.overwrite, form=options.format)
    if not inputs:
        raise LatentfillError(
            f"no pictures in {', '.join(map(str, options.images))}", "Give pictures, or folders of them."
        )
    inputs = inputs[: options.max_images]
    unfinished, notes = list_unfinished(inputs, options, plan.hole, plan.landmarks, gan)
    if done := len(inputs) - len(unfinished):
        print(f"{done} of {len(inputs)} are done already (--overwrite makes them anew)", file=sys.stderr)
    moved = [
        f"{one.source.name}: goes to {one.picture}, since there is another {one.moved}{one.suffix}"
        for one in unfinished
        if one.moved
    ]
    print(*(f"{note}\n" for note in [*notes, *moved]), sep="", end="", file=sys.stderr)
    workers = worker_count(options, gan, len(unfinished))
    rejected = _in_processes(options, unfinished, workers) if workers > 1 else _alone(plan, gan, unfinished)
    for name, why in rejected:
        print(f"{name}: {why}", file=sys.stderr)
    completed = len(unfinished) - len(rejected)
    print(f"{completed} completed, {len(rejected)} rejected, in {options.out}", file=sys.stderr)
    return 1 if rejected else 0


def _alone(plan: "Plan", gan: "Gan", inputs: "Sequence[Input]") -> list[Rejected]:
    from ..batch.complete import complete, reason, write_rejected
    from ..pipeline import Placed
    from .progress import Bar

    done, steps = 0, 1
    rejected: list[Rejected] = []
    with Bar("complete", "steps") as bar:

        def watch(event: "Placed | Step") -> None:
            nonlocal steps
            if isinstance(event, Placed):
                if len(inputs) > 1:
                    bar.update(done * steps, len(inputs) * steps, f"photo {event.key} is read")
                return
            completion, numbers = event.completion, event.keys
            steps, number = completion.total, completion.number
            if not steps:  # one pass without steps, and it is done
                steps = number = 1
            note = f"photos {numbers[0]}-{numbers[-1]}  loss {completion.loss.mean().item():.4g}"
            bar.update(done * steps + number * len(numbers), len(inputs) * steps, note)

        with closing(complete(plan, gan, inputs, watch=watch)) as results:
            for item, made in results:
                done += 1
                if isinstance(made, LatentfillError):
                    rejected.append((item.source.name, reason(item, made)))
                    write_rejected(plan.options.out, rejected)
                else:
                    print_results(made)
    return rejected


def _in_processes(options: Options, inputs: "Sequence[Input]", workers: int) -> list[Rejected]:
    from ..batch.complete import complete_in_processes, write_rejected
    from .progress import Bar

    rejected: list[Rejected] = []
    with Bar("complete", "photos") as bar, closing(complete_in_processes(options, inputs, workers)) as results:
        for done, (item, made) in enumerate(results, 1):
            if isinstance(made, str):
                rejected.append((item.source.name, made))
                write_rejected(options.out, rejected)
            else:
                print_results(made)
            bar.update(done, len(inputs))
    return rejected
