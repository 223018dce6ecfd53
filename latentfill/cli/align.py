"""latentfill align: find faces in photos, and cut them out aligned."""

import json
import sys
from collections import Counter
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Interval, Lt
from tyro.conf import Positional, arg

from ..errors import LatentfillError, name_place
from ..options import Alignment, EngineOptions, Positive, ReadLimits
from .output import name_process, print_results

if TYPE_CHECKING:
    from ..batch.align import Cropper, Share, Task
    from ..batch.align_records import Records, Row
    from ..batch.splits import Naming

A_FEW = 8  # photos that one process cuts while another is still starting
MOST_NAMED = 10  # unreadable photos that are named on the screen; all are in rejected.csv


@dataclass(frozen=True)
class Options:
    """Find the faces in photos, and cut them out so that eyes and mouths lie where a model expects them.

    Writes OUT/NAME.png for every photo, in the sub-folders that it came from; OUT/rejected.csv says which photos have
    no crop, and why. OUT/alignment.json tells `train`, and so the model, how the pictures were cut. OUT/_run holds a
    contact sheet, the mean of the crops, and near-duplicates. What is there already is skipped, and what was rejected
    is not looked at again unless the options change, so the same command goes on where it was stopped. What cannot be
    read is tried again.

    Faces are found with dlib (extra `faces`). The landmarks inner-eyes-and-bottom-lip, OpenFace's usual ones, need its
    68-point model, which was trained on a set that excludes commercial use; the 5-point model, for
    outer-eyes-and-nose, is in the public domain.
    """

    paths: Annotated[Positional[tuple[Path, ...]], arg(metavar="PHOTOS... OUT")]
    """photos: files, folders of any depth, .zip or .tar archives; and at last the folder for the crops"""
    size: Annotated[int, Interval(ge=8, le=1024)] = 64
    """side of the crops, in pixels"""
    alignment: Alignment = field(default_factory=Alignment)
    faces: bool = True
    """look for faces; --no-faces resizes the central square of each photo, for other subjects"""
    everyone: bool = False
    """cut out every face of a photo, as NAME.png, NAME-2.png ...; without, the one with the highest score times area"""
    skip_multi: bool = False
    """use only photos that show exactly one face"""
    upsample: Annotated[int, Interval(ge=0, le=3)] = 1
    """how often to double a photo's size in the search for small faces. Where one face is enough, the photo is first
    looked at as it is, and enlarged only if no face is beyond doubt: faces of 80 pixels need no enlarging"""
    threshold: float = 0.0
    """score that a face must reach; lower finds more faces, and more that are none. Clear faces reach 1 and more"""
    points: Path | None = None
    """landmarks to use instead of looking for faces: CelebA's list, a CSV (path,x1,y1,x2,y2,x3,y3), or JSON"""
    max_shear: Annotated[float, Ge(1)] | None = None
    """leave out faces that are stretched by more than this along one side, such as profiles; 1.3 is strict"""
    format: Literal["png", "jpg"] = "png"
    """format of the crops: without loss, or JPEG of quality 95"""
    flatten: bool = False
    """no sub-folders: the crop of anna/1.jpg is OUT/anna--1.png"""
    split: Annotated[float, Ge(0), Lt(1)] = 0.0
    """share of the identities to put into OUT/test, the others into OUT/train; 0 does not divide"""
    identity: str = "folder"
    """what tells whose picture it is: the folder that it is in, or a regular expression, whose first group counts, for
    its name with its folders. All pictures of one identity go to the same side, those added later too"""
    duplicates: bool = True
    """look for near-duplicates among the crops"""
    where: EngineOptions = field(default_factory=EngineOptions)
    max_images: Positive | None = None
    """use only the first N photos"""
    overwrite: bool = False
    """make finished crops anew"""
    limits: ReadLimits = field(default_factory=ReadLimits)


def run(options: Options) -> int:
    """Align every photo. Returns 1 if some cannot be read or nothing could be aligned, 128 + the signal if stopped."""
    from ..batch import align as aligning
    from ..batch.align_records import Records
    from ..files.listing import print_omissions
    from ..files.locks import lock_folder
    from ..images.photos import remove_partial

    *places, out = _check(options).paths
    name_process("align", out)
    cropper, naming = _cropper(options), _naming(options)
    listed = aligning.find_photos(places, out)
    print_omissions(listed)
    sources = listed.sources[: options.max_images]
    with name_place(out), closing(lock_folder(out)):
        remove_partial(out)
        layout, choices, anew = _layout(options), _choices(options), options.overwrite
        same = aligning.check_same(out, sources, layout, choices, overwrite=anew)
        with closing(Records(out / "_run" / "photos.jsonl")) as records:
            try:
                every, todo = aligning.plan_tasks(
                    sources, records, cropper, naming.stem, again=not same, overwrite=anew
                )
                if stopped := _align_all(options, cropper, records, len(every), todo):
                    return stopped
                if todo:
                    _write_overviews(options, cropper, records)
                return _report(options, naming, [records.rows[task.row.place] for task in every])
            finally:
                aligning.write_rejected(out / "rejected.csv", records.rows.values())


def _check(options: Options) -> Options:
    if len(options.paths) < 2:
        what = "photos, or the folder for the crops, are missing"
        raise LatentfillError(what, "Write latentfill align PHOTOS... OUT.")
    if options.everyone and options.skip_multi:
        raise LatentfillError("--everyone and --skip-multi exclude each other", "Give one of them.")
    return options


def _cropper(options: Options) -> "Cropper":
    from ..batch.align import Cropper
    from ..faces.landmark_files import read_landmarks
    from ..files.provenance import digest

    o = options
    points = read_landmarks(o.points, o.alignment.landmarks) if o.points is not None and o.faces else None
    return Cropper(
        out=o.paths[-1],
        suffix=f".{o.format}",
        size=o.size,
        alignment=o.alignment if o.faces else None,
        everyone=o.everyone,
        skip_multi=o.skip_multi,
        upsample=o.upsample,
        threshold=o.threshold,
        max_shear=o.max_shear,
        points=points,
        limits=o.limits,
        duplicates=o.duplicates,
        choices=digest(json.dumps(_choices(o), sort_keys=True).encode()),
    )


def _naming(options: Options) -> "Naming":
    from ..batch.splits import Naming, Split
    from ..images.archives import is_picture

    *places, _ = options.paths
    alone = len(places) == 1 and places[0].is_file() and not is_picture(places[0].name)
    split = Split(options.split, options.identity) if options.split else None
    return Naming(options.flatten, split, f"{places[0].name}/" if alone else "")


def _layout(options: Options) -> dict[str, Any]:
    """The settings that all crops of a folder have in common."""
    o = options
    alignment = asdict(o.alignment) if o.faces else {"landmarks": "none, but the central square"}
    names = {"suffix": f".{o.format}", "everyone": o.everyone, "flatten": o.flatten}
    return {"size": o.size, **alignment, **names, "split": o.split, "identity": o.identity if o.split else "folder"}


def _choices(options: Options) -> dict[str, Any]:
    """The settings by which photos are rejected."""
    from ..files.provenance import digest_file

    o = options
    points = digest_file(o.points) if o.points else None
    looking = {"upsample": o.upsample, "threshold": o.threshold, "points": points}
    return {"skip_multi": o.skip_multi, "max_shear": o.max_shear, **looking}


def _align_all(options: Options, cropper: "Cropper", records: "Records", count: int, todo: "list[Task]") -> int:
    """Cut the remaining photos. Returns the exit code if it was stopped, else 0."""
    from ..batch.align import run_tasks, write_alignment
    from ..batch.workers import cores, run_in_pool
    from ..signals import StopSignal
    from .progress import Bar

    out = options.paths[-1]
    for part in ("", "train", "test") if options.split else ("",):
        write_alignment(out / part, cropper, options.points)
    if done := count - len(todo):
        print(f"{done:,} of {count:,} are done already (--overwrite makes them anew)", file=sys.stderr)
    counts = Counter[str]()
    workers = options.where.workers or max(1, min(cores(), len(todo) // A_FEW))
    share_on_ray = options.where.engine == "ray"
    share = _on_ray(options, len(todo)) if share_on_ray else run_in_pool
    stop = StopSignal()
    try:
        with Bar("align", "photos") as bar:
            for row in run_tasks(stop.until(todo), cropper, records, workers, share):
                counts[row.kind] += 1
                lost = ", ".join(f"{number:,} {kind}" for kind, number in counts.items() if kind != "aligned")
                bar.update(counts.total(), len(todo), lost)
                if share_on_ray and stop.came:
                    break
    finally:
        stop.restore()
    if counts.total() < len(todo):
        print(f"Stopped after {counts.total():,} of {len(todo):,}. The same command goes on.", file=sys.stderr)
        return 128 + stop.number
    return 0


def _on_ray(options: Options, count: int) -> "Share":
    from ..cluster.align import share_on_ray

    return share_on_ray(options.where, options.paths[-1] / "_run" / "tries", most=max(1, count // A_FEW))


def _write_overviews(options: Options, cropper: "Cropper", records: "Records") -> None:
    """The contact sheet, the mean, the near-duplicates."""
    from ..batch.align import draw_overviews, list_crops
    from ..batch.near_duplicates import write_duplicates

    out = options.paths[-1]
    crops = list_crops(records, cropper)
    draw_overviews(out / "_run", list(crops), options.size)
    if options.duplicates:
        signed = {path: signature for path, signature in crops.items() if signature}
        where = out / "_run" / "duplicates.csv"
        if groups := write_duplicates(where, signed, out):
            crossing = sum(len({name.split("/")[0] for name in group}) > 1 for group in groups) if options.split else 0
            across = f", {crossing:,} of them in both train and test" if crossing else ""
            print(f"near-duplicates: {len(groups):,} groups{across}: {where}", file=sys.stderr)


def _report(options: Options, naming: "Naming", rows: "list[Row]") -> int:
    """Report the results."""
    from ..batch.align import NO_FACE, summary
    from ..batch.splits import inner_name

    out = options.paths[-1]
    bad = [row for row in rows if row.kind in ("unreadable", "failed")]
    print(*(f"{row.path}: {row.reason}\n" for row in bad[:MOST_NAMED]), sep="", end="", file=sys.stderr)
    print(f"... and {len(bad) - MOST_NAMED:,} more\n" if len(bad) > MOST_NAMED else "", end="", file=sys.stderr)
    aligned = [row for row in rows if row.kind == "aligned"]
    if naming.split:
        print(naming.split.describe(map(inner_name, aligned)), file=sys.stderr)
    reasons = f"; the reasons: {out / 'rejected.csv'}" if len(aligned) < len(rows) else ""
    print(f"{summary(rows, faces=options.faces, everyone=options.everyone)}{reasons}", file=sys.stderr)
    if not aligned:
        cure = " Try --upsample 2, --threshold -0.5, --points FILE, or --no-faces."
        cure = cure if options.points is None else f" See that {options.points} names them."
        print(f"Nothing was aligned.{cure if any(r.kind == NO_FACE for r in rows) else ''}", file=sys.stderr)
        return 1
    print_results(out)
    return 1 if bad else 0
