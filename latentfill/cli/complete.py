"""latentfill complete: fill the holes of pictures."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import LatentfillError, blame
from ..options.commands import CompleteCommand as Options
from .output import name_process, say

if TYPE_CHECKING:
    from ..gan.gan import Gan


def run(options: Options) -> int:
    """Complete every picture. Returns 1 if some could not be, each named; 2 if none was given."""
    import torch

    from ..images.photos import sweep
    from ..models import load

    name_process("complete", options.out)
    if not options.images:
        raise LatentfillError("no pictures named", "Write latentfill complete PICTURES... --out FOLDER.")
    if options.landmarks is not None and (options.fit or options.photo.place == "center"):
        raise LatentfillError("--landmarks says where faces are, --fit and --place center where to look", "Give one.")
    if options.degrade is not None and options.observe not in (None, options.degrade):
        raise LatentfillError(f"--observe {options.observe} is not what --degrade makes", "Leave --observe out.")
    if options.edits and (options.observe or options.degrade or options.hole in ("lowres", "full")):
        raise LatentfillError(
            "--edits needs known pixels to keep and a hole to change", "Leave it out, or give --hole."
        )
    if options.where.engine == "ray":
        from ..cluster.fleet import check_installed

        check_installed()
    elif options.write == "tar":
        raise LatentfillError("--write tar is for --engine ray", "Leave it out, or give both.")
    if options.threads:
        torch.set_num_threads(options.threads)
    gan = load(options.model, options.device, options.class_name)
    if options.edits > (most := gan.generator.prior.dim):
        raise LatentfillError(f"--edits {options.edits}: there are not so many", f"This model has {most}.")
    with blame(options.out):
        options.out.mkdir(parents=True, exist_ok=True)
        sweep(options.out)
        if options.where.engine == "ray":
            return _spread(_keep_pipes(options), gan)
        return _answer(_keep_pipes(options), gan)


def _spread(options: Options, gan: "Gan") -> int:
    """The same on Ray: actors answer, and a manifest tells of each picture."""
    from ..cluster.drive import complete
    from .progress import Bar

    if options.write == "tar" and (options.edits or options.search.candidates > 1):
        raise LatentfillError("--write tar holds one answer for each picture", "Leave --edits and --candidates out.")
    results = sys.stdout  # Ray has it for its own while it runs
    with Bar("complete", "photos") as bar:

        def watch(outputs: Sequence[Path], done: int, total: int, note: str) -> None:
            for output in outputs:
                say(output, file=results)
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
    from ..files.records import claim_run

    run, hole, landmarks = claim_run(options.out), options.hole, options.landmarks
    hole = hole and save_pipe(hole, run, "hole")
    return replace(options, hole=hole, landmarks=landmarks and Path(save_pipe(str(landmarks), run, "landmarks")))


def _answer(options: Options, gan: "Gan") -> int:
    from ..batch.inputs import Reader
    from ..batch.outputs import list_pictures, named, open_questions
    from ..files.contents import hole_roles
    from ..files.listing import print_omissions
    from ..files.naming import FolderResults
    from .completing import answer_all

    reader = Reader(options, gan)
    roles = hole_roles(reader.spec, options.images, options.out)
    listed = list_pictures(options.images, options.out, roles)
    print_omissions(listed)
    questions = named(listed.sources, options.out, FolderResults(options.out), anew=options.overwrite)
    if not questions:
        raise LatentfillError(
            f"no pictures in {', '.join(map(str, options.images))}", "Give pictures, or folders of them."
        )
    open_ones, notes = open_questions(questions[: options.max_images], options, reader.spec, reader.landmarks, gan)
    count = len(questions[: options.max_images])
    if done := count - len(open_ones):
        print(f"{done} of {count} are done already (--overwrite makes them anew)", file=sys.stderr)
    moved = [
        f"{q.source.name}: goes to {q.file('.png')}, since there is another {q.moved}.png" for q in open_ones if q.moved
    ]
    print(*(f"{note}\n" for note in [*notes, *moved]), sep="", end="", file=sys.stderr)
    completed = answer_all(options, gan, reader, open_ones)
    for name, reason in reader.rejected:
        print(f"{name}: {reason}", file=sys.stderr)
    print(f"{completed} completed, {len(reader.rejected)} rejected, in {options.out}", file=sys.stderr)
    return 1 if reader.rejected else 0
