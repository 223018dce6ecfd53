"""latentfill verify: count known pixels that a completion has changed."""

import json
import sys
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, final

from annotated_types import Ge, Le
from tyro.conf import Positional, arg

from ..errors import ImageError, LatentfillError
from ..options import CompleteOptions, PhotoOptions, ReadLimits
from ..options.bounds import Widening

if TYPE_CHECKING:
    import numpy as np

    from ..files.listing import Roles
    from ..images.archives import Source
    from ..images.holes import HoleSpec
    from ..images.photos import Original
    from ..types import Hole

NOTHING_LOST = "Complete it again, or give the file that `latentfill complete` wrote."


@dataclass(frozen=True)
class Options:
    """Count the known pixels that differ between photos and their completions, and say by how much at most.

    Compares all that lies outside the hole, in 8 or 16 bits, with its transparency, and the colour profile and EXIF
    data of the files (a rotation that EXIF asks for is applied, and its thumbnail is left out, before). A JPEG changes
    known pixels by some levels: if compression alone explains them all, this is counted, as "by JPEG alone", and is no
    error. Ends with 0 if nothing else has changed, with 1 if something has or a pair could not be read.
    """

    before: Annotated[Positional[Path], arg(metavar="BEFORE")]
    """the photo, or a folder or archive of them"""
    after: Annotated[Positional[Path], arg(metavar="AFTER")]
    """its completion, or the folder that `complete` wrote"""
    hole: Annotated[Positional[str], arg(metavar="HOLE")]
    """the hole, as it was given to `complete`"""
    invert: bool = False
    """the hole was given with --invert"""
    hole_threshold: Annotated[int, Ge(1), Le(255)] = 128
    """least brightness at which a grey pixel of the hole's picture is to be found"""
    grow: Widening = PhotoOptions.grow
    """--grow as it was given to `complete`"""
    extend: str = PhotoOptions.extend
    """--extend as it was given to `complete`"""
    seed: Annotated[int, Ge(0), Le(2**31 - 1)] = CompleteOptions.seed
    """the seed of `complete`, for holes that are drawn at random"""
    limits: ReadLimits = field(default_factory=ReadLimits)
    json: bool = False
    """print everything, as JSON"""


@final
@dataclass(frozen=True)
class Difference:
    """The number of known pixels that differ, by how many levels at most, and notes on what else does.

    `largest` counts levels of `bits` bits; it is None where sizes differ. `jpeg` says that the completion is a JPEG,
    `by_jpeg` that its compression alone makes the difference.
    """

    known: int
    changed: int
    notes: tuple[str, ...] = ()
    largest: int | None = 0
    bits: int = 8
    jpeg: bool = False
    by_jpeg: bool = False

    @property
    def is_error(self) -> bool:
        return bool(self.notes) or (self.changed > 0 and not self.by_jpeg)

    def __str__(self) -> str:
        from ..images.encoding import count_levels

        counted = f"{self.changed:,} of {self.known:,} known pixels differ"
        if self.changed and self.largest is not None:
            how = ", by JPEG alone" if self.by_jpeg else ", more than JPEG alone does" if self.jpeg else ""
            counted += f", by at most {count_levels(self.largest, self.bits)}{how}"
        return "; ".join((counted, *self.notes))


def _sum(differences: Collection[Difference]) -> Difference:
    """The same of all pairs."""
    bits = max((d.bits for d in differences), default=8)
    sizes = [d.largest * (257 if d.bits < bits else 1) for d in differences if d.largest is not None]
    largest = max(sizes, default=0) if len(sizes) == len(differences) else None
    known, changed = sum(d.known for d in differences), sum(d.changed for d in differences)
    jpeg, by_jpeg = (
        changed > 0 and all(getattr(d, name) for d in differences if d.changed) for name in ("jpeg", "by_jpeg")
    )
    return Difference(known, changed, (), largest, bits, jpeg, by_jpeg)


def run(options: Options) -> int:
    """Compare every pair. Returns 1 if one differs by more than its format makes, or could not be read, each named."""
    from ..files.input_digests import hole_roles
    from ..images import holes

    spec = holes.parse(options.hole, invert=options.invert, threshold=options.hole_threshold)
    roles = hole_roles(spec, [options.before], options.after)
    found: dict[str, Difference] = {}
    failed: dict[str, str] = {}
    for source, after in _pairs(options.before, options.after, roles):
        try:
            found[source.name] = _verify(source, after, spec, options)
        except LatentfillError as error:
            what = error.what if source.name in error.what else f"{source.name}: {error.what}"
            failed[source.name] = what
            print(f"{what}. {error.cure}", file=sys.stderr)
        else:
            if not options.json:
                print(f"{source.name}: {found[source.name]}", flush=True)
    total = _sum(found.values())
    if options.json:
        pairs = [{"path": name, **asdict(difference)} for name, difference in found.items()]
        report = {**asdict(total), "pairs": pairs, "failed": [{"path": n, "reason": r} for n, r in failed.items()]}
        del report["notes"]
        json.dump(report, sys.stdout, indent=2)
        print()
    else:
        alone = f", {len(failed)} could not be compared" if failed else ""
        print(f"{len(found)} pair{'s' * (len(found) != 1)}: {total}{alone}")
    return 1 if failed or any(difference.is_error for difference in found.values()) else 0


def compare(before: "Original", after: "Original", hole: "Hole", *, jpeg: bytes = b"") -> Difference:
    """Compare all outside the hole [H, W], and the files as a whole. `jpeg` is the completion's file, if it is one."""
    import numpy as np

    from ..images import metadata
    from ..images.encoding import is_jpeg_loss
    from ..images.hole_pictures import to_missing

    known = ~to_missing(hole)
    count = int(known.sum())
    (height, width, channels), (height_after, width_after, channels_after) = before.values.shape, after.values.shape
    if (height, width) != (height_after, width_after):
        return Difference(count, count, (f"{width} x {height} pixels became {width_after} x {height_after}",), None)
    notes = []
    if before.bits != after.bits:
        notes.append(f"{before.bits} bits per channel became {after.bits}")
        changed = np.ones_like(known)
    else:
        changed = (before.values != after.values).any(-1)
    if channels != channels_after:
        notes.append("grey became colour" if channels == 1 else "colour became grey")
    opaque, opaque_after = _is_opaque(before), _is_opaque(after)
    if opaque != opaque_after:
        notes.append("the transparency is gone" if opaque_after else "it has become transparent")
    if before.alpha is not None or after.alpha is not None:
        changed |= _opaque(before) != _opaque(after)
    for what, old, new in (("colour profile", before.icc, after.icc), ("EXIF", before.exif, after.exif)):
        if old != new and not (what == "EXIF" and metadata.same_exif(old, new)):
            notes.append(f"its {what} data {'are new' if old is None else 'are gone' if new is None else 'differ'}")
    off = np.abs(_deepen(before.values) - _deepen(after.values)).max(-1)
    if before.alpha is not None or after.alpha is not None:
        off = np.maximum(off, np.abs(_deepen(_opaque(before)) - _deepen(_opaque(after))))
    bits = max(before.bits, after.bits)
    largest = int(off[known].max(initial=0)) // (1 if bits == 16 else 257)
    number = int((changed & known).sum())
    by_jpeg = bool(jpeg) and number > 0 and not notes and is_jpeg_loss(before.values, after.values, hole, jpeg)
    return Difference(count, number, tuple(notes), largest, bits, bool(jpeg), by_jpeg)


def _deepen(values: "np.ndarray") -> "np.ndarray":
    """The values in levels of 16 bits."""
    return values.astype("int32") * (257 if values.dtype.itemsize == 1 else 1)


def _is_opaque(original: "Original") -> bool:
    """Whether nothing shows through: an alpha that is full everywhere says no more than none."""
    return original.alpha is None or bool((original.alpha == 2**original.bits - 1).all())


def _opaque(original: "Original") -> "Hole":
    """The alpha, or a full one; of other depths it is changed anyhow."""
    import numpy as np

    if original.alpha is not None:
        return original.alpha
    return np.full(original.values.shape[:2], 2**original.bits - 1, original.values.dtype)


def _verify(source: "Source", after: Path, spec: "HoleSpec", options: Options) -> Difference:
    from ..batch.outputs import hole_seed
    from ..files.input_digests import check_apart
    from ..images import holes, photos
    from ..images.archives import Source
    from ..images.hole_pictures import grow
    from ..images.metadata import JPEG
    from ..photo.crop import extend
    from ..photo.locate import draw_feature

    check_apart(spec, source)
    before = photos.read_original(source, options.limits)
    seed = hole_seed(options.seed, PurePosixPath(source.name).name)
    shape, photo = before.values.shape[:2], before.photo()
    drawn = holes.draw(
        spec, shape, seed=seed, photo=photo, name=source.name, limits=options.limits, draw_feature=draw_feature
    )
    for note in drawn.notes:
        print(f"{source.name}: {note}", file=sys.stderr)
    if not after.is_file():
        raise ImageError(f"{source.name}: its completion {after} is not there", NOTHING_LOST)
    hole = drawn.hole
    if options.extend:
        before, hole, _ = extend(before, hole, options.extend, source.name)
    hole = grow(hole, options.grow)
    data = after.read_bytes()
    completion = photos.read_original(Source(str(after), after), options.limits)
    return compare(before, completion, hole, jpeg=data if data.startswith(JPEG) else b"")


def _pairs(before: Path, after: Path, roles: "Roles") -> "Iterator[tuple[Source, Path]]":
    """Each photo and the file that must be its completion: by the record of `complete`, or named as it or the photo."""
    from ..batch.outputs import list_pictures, name_inputs
    from ..files.listing import find_pictures, print_omissions
    from ..files.naming import FolderResults
    from ..files.provenance import read_metadata, result_suffix
    from ..images.archives import RESULT_SUFFIXES

    if not after.exists():
        raise LatentfillError(f"{after}: no such file or folder", "Name the folder that `latentfill complete` wrote.")
    if after.is_dir():
        listed = list_pictures([before], after, roles)
        print_omissions(listed)
        questions = name_inputs(listed.sources, after, FolderResults(after))
        for question in questions:
            name, plain = after / question.source.name, question.moved or question.stem.relative_to(after).as_posix()
            recorded = result_suffix(read_metadata(question.file(".json")))
            ways = [question.file(recorded), after / f"{plain}.png", name.with_suffix(".png"), name]
            ways += [after / f"{plain}{end}" for end in RESULT_SUFFIXES]
            yield question.source, next((way for way in ways if way.is_file()), ways[0])
        count = len(questions)
    else:
        sources = list(find_pictures([before], roles))
        count = len(sources)
        if count > 1:
            raise LatentfillError(f"{before} holds {count} pictures and {after} is one", "Give a folder for AFTER.")
        yield from ((source, after) for source in sources)
    if not count:
        raise LatentfillError(f"no pictures in {before}", "Give a photo, or a folder of them.")
