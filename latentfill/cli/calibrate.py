"""latentfill calibrate: measure how far a model's completions can be trusted, and write it into the model's file."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt
from tyro.conf import Positional

from ..errors import LatentfillError
from ..options import COMPLETE_PRESETS, ReadLimits
from ..options.bounds import DEFAULT_MODEL
from .output import name_process

if TYPE_CHECKING:
    from ..gan.gan import Gan
    from ..types import PixelBatch
    from ..uncertainty.calibration import Calibration

EACH = 4  # holes for each picture if there are hundreds of pictures: more pictures teach more than more holes


@dataclass(frozen=True)
class Options:
    """Measure how far completions can be trusted: cover parts of pictures, complete them, and compare.

    Writes a copy of the model that says with each completion what error to expect, and warns of pictures that are
    unlike all of these. Take pictures that neither the model nor its encoder has learnt from, cut as the model wants
    them; a few hundred will do.
    """

    data: Positional[tuple[Path, ...]]
    """pictures: files, folders of any depth, .zip or .tar archives; of each, the central square at the model's size"""
    out: Path
    """model file to write; it may be the model's own"""
    model: str = DEFAULT_MODEL
    """name of a model in the package, a model file, or a run folder"""
    presets: str = "best,fast"
    """presets of `complete` to calibrate, with commas between; the model keeps its calibration of others"""
    count: Annotated[int, Gt(0)] = 512
    """pictures to take, the first in a shuffled order that never changes"""
    each: Annotated[int, Gt(0)] | None = None
    """holes in each picture; default: 4, and more if there are few pictures"""
    part: Literal["all", "test", "choose"] = "all"
    """use all pictures, or one of two halves of them, as in evaluate: choose to calibrate by, test to report on"""
    batch_size: Annotated[int, Gt(0)] = 64
    """pictures completed side by side"""
    limits: ReadLimits = field(default_factory=ReadLimits)
    device: str = "auto"
    """cpu, cuda, cuda:1, mps, or auto for the first GPU if there is one"""
    threads: Annotated[int, Ge(0)] = 0
    """processor threads; 0 takes all cores"""


def run(options: Options) -> int:
    """Calibrate and write. Returns 1 if some pictures could not be read, each named."""
    import torch

    from ..evaluation.benchmark import read_pictures
    from ..files.listing import list_sources, print_omissions
    from ..gan.model_file import have_same_weights, rewrite_about
    from ..models import find, load
    from ..uncertainty import calibration

    names = list(dict.fromkeys(name.strip() for name in options.presets.split(",") if name.strip()))
    if not names:
        raise LatentfillError("--presets is empty", f"It is one of: {', '.join(COMPLETE_PRESETS)}.")
    if unknown := [name for name in names if name not in COMPLETE_PRESETS]:
        raise LatentfillError(f"there is no preset {unknown[0]!r}", f"It is one of: {', '.join(COMPLETE_PRESETS)}.")
    name_process("calibrate", options.out)
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.out.exists() and not have_same_weights(find(options.model), options.out):
        raise LatentfillError(f"{options.out} holds another model", "Give another --out: models are not replaced.")
    gan = load(options.model, options.device)
    listed = list_sources(options.data)
    print_omissions(listed)
    pictures, rejected = read_pictures(listed.sources, gan, options.count, options.part, options.limits)
    for name, reason in rejected:
        print(f"{name}: {reason}", file=sys.stderr)
    each = _holes(options, len(pictures.pixels))
    made = {}
    for name in names:
        made[name] = one = _calibrate(options, gan, pictures.pixels, each, name)
        print(f"{name}: {format_quality(one)}")
    about = calibration.write_calibrations(gan, {**calibration.read_calibrations(gan), **made})
    rewrite_about(find(options.model), about, options.out)
    print(options.out)
    return 1 if rejected else 0


def _holes(options: Options, pictures: int) -> int:
    """The number of holes in each picture. Raises LatentfillError for too few pictures, before any work is done."""
    from ..uncertainty.fitting import FEWEST, PARTS

    if pictures < PARTS:
        source = f"--count {PARTS} or more" if options.count < PARTS else "more pictures"
        source += ", or --part all" if options.part != "all" else ""
        raise LatentfillError(
            f"{pictures} pictures are too few to calibrate by", f"Give {source}: at least {PARTS}, better hundreds."
        )
    enough = -(-FEWEST // pictures)
    if options.each is not None and options.each < enough:
        raise LatentfillError(
            f"{options.each * pictures} completions of {pictures} pictures are too few to calibrate by",
            f"Give --each {enough} or more, or at least {-(-FEWEST // options.each)} pictures (--count).",
        )
    # A tenth more pictures if the number is not given: completions that lack a feature do not count.
    each = options.each or max(EACH, -(-11 * FEWEST // (10 * pictures)))
    if each > EACH:
        print(f"{pictures} pictures are few: what they tell is rough. A few hundred would be better", file=sys.stderr)
    return each


def _calibrate(options: Options, gan: "Gan", pictures: "PixelBatch", each: int, name: str) -> "Calibration":
    from ..batch.calibrate import draw_tasks, gather_evidence
    from ..uncertainty.fitting import calibrate, join_evidence
    from .progress import Bar

    preset = COMPLETE_PRESETS[name]
    questions = draw_tasks(len(pictures), each, gan.network.size)
    found = []
    with Bar(f"calibrate {name}", "completions") as bar:
        for done, evidence in gather_evidence(gan, pictures, questions, preset, options.batch_size):
            found.append(evidence)
            bar.update(done, len(questions))
    return calibrate(join_evidence(found), preset)


def format_quality(calibration: "Calibration") -> str:
    """Describe in a sentence how well a calibration does."""
    measured = calibration.measured
    return (
        f"predicted and true error rank alike to {measured.rank_correlation:.2f} (1 is always), and differ by "
        f"{100 * (measured.off_by - 1):.0f} % in the middle case; {measured.completions:,} completions of "
        f"{measured.pictures:,} pictures"
    )
