"""latentfill complete: fill the holes of pictures."""

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt
from tyro.conf import Positional, arg

from ..errors import LatentfillError, blame
from ..models import DEFAULT
from ..options import COMPLETE_PRESETS, CompleteOptions, EngineOptions, PhotoOptions, ReadLimits
from .output import name_process

if TYPE_CHECKING:
    from ..gan.gan import Gan


@dataclass(frozen=True)
class Options:
    """Fill the holes of photos by searching the latent space of a model.

    Photos may have any size: the faces that the hole touches are found, aligned, completed, and put back at the photo's
    own resolution. Pictures of the model's size are completed as they are. Outside the hole nothing changes, to the
    bit; what was 16 bits deep stays so, and alpha, colour profile and EXIF data are kept.

    With --observe, pictures are grey, small, noisy, quantised or JPEGs, and are coloured, enlarged or cleaned.

    Writes OUT/NAME.png and OUT/NAME.json for every photo, and into OUT/_run the grids of each batch (before, masked,
    hats, completed), the losses and latents of each, and the candidates. What is done already is skipped, if photo,
    hole, model and options are the same, so the same command goes on where it was stopped.

    With --engine ray actors share the work, on this machine or on a cluster. Pictures may then come as Parquet files
    too (columns path and bytes, and if wanted hole, a picture of it), no grids are drawn, and OUT/_run/manifest.parquet
    has one row for each picture: its losses and errors, where it went, or why it could not be completed.
    """

    images: Positional[tuple[Path, ...]]
    """pictures: files, folders of any depth, .zip or .tar archives"""
    out: Path
    """folder for the results"""
    hole: str | None = None
    """what to fill, if not given the center, or with --observe nothing: center[:scale], left, half,
    random[:fraction missing], grid, full, lowres, pattern, thin, medium, thick, brush, ellipses, of aligned faces eyes,
    nose, mouth, alpha, colour:#ff00ff[:tolerance], rectangle:LEFT,TOP,WIDTH,HEIGHT, ellipse:X,Y,RADIUS_X,RADIUS_Y
    (pixels or %), a picture (white = to be found), or a folder of such paired by file name"""
    invert: bool = False
    """fill what the hole leaves, and keep what it names: for hole pictures in which black is to be found"""
    observe: str | None = None
    """what the pictures are observations of, so that all of each is found anew and agrees with it: grey, lowres:FACTOR
    (so many times smaller), noise:SIGMA (in grey levels), levels:COUNT (per channel), jpeg:QUALITY, or some joined by +
    such as grey+lowres:4. In the hole, if there is one, nothing was seen"""
    degrade: str | None = None
    """make such observations out of whole pictures, and complete those: to try it out"""
    model: str = DEFAULT
    """name of a model in the package, a model file, or a run folder"""
    class_name: Annotated[str | None, arg(name="class")] = None
    """kind of picture to find, of a model that was trained with --labels; default: the one most of its pictures had"""
    preset: Literal["best", "fast", "seed", "paper"] = "best"
    """settings to start from: best, the encoder's guess and a tuning of the generator to each picture; fast, the guess
    alone, a fraction of the work; seed, the original repository's; paper, those of Yeh et al."""
    search: CompleteOptions = field(default_factory=CompleteOptions)
    photo: PhotoOptions = field(default_factory=PhotoOptions)
    landmarks: Path | None = None
    """landmarks of faces that are too hidden to be found: a CSV with a line path,x1,y1,x2,y2,x3,y3 for each face (for
    the model in the package inner corners of the eyes and bottom of the lower lip), CelebA's list, or JSON"""
    limits: ReadLimits = field(default_factory=ReadLimits)
    max_images: Annotated[int, Gt(0)] | None = None
    """complete only the first so many pictures"""
    fit: bool = False
    """crop photos to their central square and resize them to the model's size, instead of putting back what is found"""
    batch_size: Annotated[int, Gt(0)] = 64
    """pictures searched side by side"""
    every: Annotated[int, Ge(0)] = 50
    """write the grids every so many steps, and at the last; 0 for the last alone"""
    edits: Annotated[int, Ge(0)] = 0
    """draw so many ways to change what was found in the hole, a row for each (_run/edits/NAME.png)"""
    gif: bool = False
    """join the grids of each batch to an animation"""
    overwrite: bool = False
    """make anew what is there already"""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps, or auto for the first GPU if there is one"""
    threads: Annotated[int, Ge(0)] = 0
    """processor threads; 0 takes all cores"""
    where: EngineOptions = field(default_factory=EngineOptions)
    write: Literal["files", "tar"] = "files"
    """of ray: OUT/NAME.png and OUT/NAME.json for every photo, or tar shards of these (WebDataset) in OUT/shards"""

    @staticmethod
    def preset_defaults(name: str | None) -> dict[str, Any]:
        """The search of a preset. Raises LatentfillError for a name that is none."""
        name = name or "best"
        if name not in COMPLETE_PRESETS:
            raise LatentfillError(f"there is no preset {name!r}", f"It is one of: {', '.join(COMPLETE_PRESETS)}.")
        return {"search": COMPLETE_PRESETS[name]}


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

    if options.write == "tar" and (options.edits or options.search.candidates > 1):
        raise LatentfillError("--write tar holds one answer for each picture", "Leave --edits and --candidates out.")
    rows, count = complete(options, gan)
    bad = [row for row in rows.values() if row["error"]]
    for row in bad:
        print(f"{row['path']}: {row['error']}", file=sys.stderr)
    print(f"{len(rows) - len(bad):,} of {count:,} completed, {len(bad):,} rejected, in {options.out}", file=sys.stderr)
    return 1 if bad else 0


def _keep_pipes(options: Options) -> Options:
    """The options with files in the place of pipes: they are read by every process, and pipes can be read once."""
    from ..files.listing import keep_pipe
    from ..files.records import claim_run

    run, hole, landmarks = claim_run(options.out), options.hole, options.landmarks
    hole = hole and keep_pipe(hole, run, "hole")
    return replace(options, hole=hole, landmarks=landmarks and Path(keep_pipe(str(landmarks), run, "landmarks")))


def _answer(options: Options, gan: "Gan") -> int:
    from ..batch.inputs import Reader
    from ..batch.outputs import list_pictures, named, open_questions
    from ..files.contents import roles_of
    from ..files.listing import report
    from ..files.naming import FolderResults
    from .completing import answer_all

    reader = Reader(options, gan)
    roles = roles_of(reader.spec, options.images, options.out)
    listed = list_pictures(options.images, options.out, roles)
    report(listed)
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
