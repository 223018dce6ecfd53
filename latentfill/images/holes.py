"""Holes by name: parse how a kind of hole is written, and draw it for a picture."""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path, PurePosixPath
from string import hexdigits
from types import MappingProxyType
from typing import final

import numpy as np
import torch

from ..errors import HoleError
from ..files.naming import fold
from ..options import ReadLimits
from ..seeds import Stream, philox
from ..types import Hole, Known, Pixels
from . import hole_shapes as shapes
from .archives import Source, is_picture
from .hole_pictures import WHITE, DrawnHole, check_size, interpret_alpha, inversion_note, read_hole, to_hole, to_missing
from .hole_shapes import Missing, Shape, brush, ellipses
from .photos import DEFAULT_LIMITS, Photo

KINDS = MappingProxyType(
    {
        "center": "center[:scale], a central rectangle; scale is the border kept, 0 to 0.5 of a side (0.25)",
        "left": "left, the left half",
        "half": "half, one of the four halves, drawn at random",
        "random": "random[:fraction missing], each pixel by itself, 0 to 1 (0.2)",
        "grid": "grid, all but every fourth pixel of every fourth row",
        "full": "full, nothing is missing",
        "lowres": "lowres, all is missing but the means of 8x8 blocks",
        "pattern": "pattern, random blobs that cover 20 to 30 %",
        "thin": "thin, LaMa's thin strokes",
        "medium": "medium, LaMa's strokes of middle width, or boxes",
        "thick": "thick, LaMa's wide strokes, or large boxes",
        "brush": "brush, one to four broken lines as people paint them on photos",
        "ellipses": "ellipses, one or two anywhere",
        "eyes": "eyes, a rectangle over the eyes of an aligned face",
        "nose": "nose, a rectangle over the nose of an aligned face",
        "mouth": "mouth, a rectangle over the mouth of an aligned face",
        "face": "face:eyes, face:nose, face:mouth, face:glasses, face:left or face:right, of each face that is found",
        "rectangle": f"{shapes.WRITTEN['rectangle']}, in pixels or as 10%; join several shapes with +",
        "ellipse": f"{shapes.WRITTEN['ellipse']}, in pixels or as 10%; one radius makes a circle",
        "alpha": "alpha, where the picture is transparent",
        "colour": "colour:#ff00ff[:tolerance], where the picture has this colour; tolerance 0 to 255 per channel (0)",
        "file": "a picture of the same size, white where a pixel is to be found",
        "folder": "a folder of such pictures, paired by file name",
    }
)
ALIASES = {"centre": "center", "color": "colour"}
PAINTED = ("alpha", "colour", "file", "folder")  # made by people, who use white in different ways
SHAPES = tuple(shapes.WRITTEN)
AT_PHOTO_SIZE = (*PAINTED, *SHAPES, "face")  # drawn at the photo's own size, the others at the model's
# Left, top, width and height in percent of an aligned face, where OpenFace's template puts these parts
# (faces/templates.py, with margin 1). For other pictures they are the same percentages.
FEATURES = {
    "eyes": shapes.parse("rectangle:10%,5%,79%,22%"),
    "nose": shapes.parse("rectangle:34%,20%,31%,32%"),
    "mouth": shapes.parse("rectangle:22%,53%,57%,29%"),
}
FACE_FEATURES = ("eyes", "nose", "mouth", "glasses", "left", "right")
Size = tuple[int, int]  # height and width in pixels
PARTNERS = ("_mask", "-mask", "_hole", "-hole")  # suffixes that the hole of a photo may have after the photo's name
NUMBERS = {"center": (0.25, 0.0, 0.5), "random": (0.2, 0.0, 1.0)}  # default, least, most


@final
@dataclass(frozen=True)
class HoleSpec:
    """A hole as the user requested it. `number` is a scale, a fraction missing or a tolerance, as the kind has it.

    Of several `shapes` the first one gives the kind; features of a face have theirs.
    """

    kind: str
    number: float = 0.0
    colour: tuple[int, int, int] = (0, 0, 0)
    path: Path = Path()
    shapes: tuple[Shape, ...] = ()
    invert: bool = False
    feature: str = ""
    threshold: int = WHITE


def parse(text: str, *, invert: bool = False, threshold: int = WHITE) -> HoleSpec:
    """Understand one of `KINDS`; a name that is none of them is a file or a folder.

    With `invert`, what the hole names is given and the rest is to be found. Of a picture what is at least as bright as
    the `threshold` is white. Raises HoleError, which lists the kinds.
    """
    head, *arguments = text.split(":")
    kind = ALIASES.get(head, head)
    if kind == "lowres" and invert:
        raise HoleError("lowres cannot be inverted", "Leave out --invert, or choose another hole.")
    if kind == "colour":
        return _parse_colour(text, arguments, invert)
    if kind == "face":
        if len(arguments) != 1 or arguments[0] not in FACE_FEATURES:
            raise HoleError(f"{text!r} is not a part of a face", f"Write {KINDS['face']}.")
        return HoleSpec(kind, feature=arguments[0], invert=invert)
    if kind in SHAPES:
        return HoleSpec(kind, shapes=shapes.parse(text), invert=invert)
    if kind in NUMBERS and len(arguments) <= 1:
        default, least, most = NUMBERS[kind]
        return HoleSpec(
            kind, shapes.parse_number(text, arguments[0], least, most) if arguments else default, invert=invert
        )
    if kind in KINDS and kind not in ("file", "folder"):
        if arguments:
            raise HoleError(f"{text!r}: {head} does not take {':'.join(arguments)!r}", f"Write {KINDS[kind]}.")
        return HoleSpec(kind, shapes=FEATURES.get(kind, ()), invert=invert)
    path = Path(text)
    if not text or not _exists(path):
        raise _unknown(text)
    if path.is_file() and not is_picture(path.name):
        raise HoleError(f"{path}: its name is not that of a picture", "Give a PNG of the picture's size.")
    return HoleSpec("folder" if path.is_dir() else "file", path=path, invert=invert, threshold=threshold)


def _parse_colour(text: str, arguments: list[str], invert: bool) -> HoleSpec:
    digits = arguments[0].removeprefix("#") if arguments else ""
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    if len(digits) != 6 or set(digits) - set(hexdigits) or len(arguments) > 2:
        raise HoleError(f"{text!r} is not a colour", f"Write {KINDS['colour']}.")
    red, green, blue = bytes.fromhex(digits)
    tolerance = shapes.parse_number(text, arguments[1], 0.0, 255.0) if len(arguments) == 2 else 0.0
    return HoleSpec("colour", tolerance, (red, green, blue), invert=invert)


def _unknown(text: str) -> HoleError:
    """The error for a text that is no kind of hole and no existing file."""
    path = Path(text)
    if path.suffix[1:2].isalpha() or len(path.parts) > 1:
        return HoleError(
            f"{text}: no such file", "See that its path is right. A hole may also be words, such as center."
        )
    parts = [f"face:{feature}" for feature in FACE_FEATURES]
    names = [*(kind for kind in KINDS if kind not in ("face", "file", "folder")), *parts]
    near = get_close_matches(text[:80], names, 1) or get_close_matches(text.split(":")[0][:80], names, 1)
    kinds = ", ".join(", ".join(parts) if kind == "face" else how.split(", ")[0] for kind, how in KINDS.items())
    cure = f"It is one of: {kinds}."
    if near:
        cure = f"Did you mean {near[0]}{f' (of a face in a photo: face:{near[0]})' if near[0] in FEATURES else ''}?"
    return HoleError(f"{text!r} is neither a kind of hole nor a file", cure)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # for example, the name is too long
        return False


def draw(
    spec: HoleSpec,
    size: Size,
    *,
    seed: int,
    photo: Photo | None = None,
    name: str = "",
    limits: ReadLimits = DEFAULT_LIMITS,
    draw_feature: Callable[[Pixels, str, str], Missing] | None = None,
) -> DrawnHole:
    """The hole of one picture, and notes of what looks wrong with it.

    It depends on the seed (0 to 2^64 - 1) and the arguments alone. `photo` is needed for its alpha or its colours,
    `name` (a path within the listing, as `Source.name`) to find its partner in a folder of holes, which is read within
    the limits. `draw_feature` is that of `photo.locate`, for parts of faces.

    Raises HoleError if the hole cannot be had or has another size than the picture, ImageError if it cannot be read.
    """
    if min(size) < 1:
        raise ValueError(f"a picture has at least one pixel, not {size[0]} x {size[1]}")
    if not 0 <= seed < 2**64:
        raise ValueError(f"a seed is from 0 to 2^64 - 1, not {seed}")
    if photo is not None and photo.pixels.shape[:2] != size:
        raise ValueError(f"size is {size} but the photo is {photo.pixels.shape[:2]}")
    if spec.kind in ("file", "folder", "alpha"):
        return _read_painted(spec, size, photo, name, limits)
    if spec.kind == "face":
        if photo is None or draw_feature is None:
            raise HoleError(f"{name or 'the picture'}: faces are not looked for here", "Choose another hole.")
        missing = draw_feature(photo.pixels, spec.feature, name) ^ spec.invert
    else:
        missing = _draw_missing(spec, size, photo, seed, name) ^ spec.invert
    note = _note(spec, missing)
    return DrawnHole(to_hole(missing), (note,) if note else (), spec.kind == "lowres")


def find_file(spec: HoleSpec, name: str = "") -> Path | None:
    """The file that holds the hole of a picture of this name; None for a kind of hole that is no file.

    Raises HoleError if a folder of holes has none for it.
    """
    if spec.kind == "folder":
        return _find_partner(spec.path, name)
    return spec.path if spec.kind == "file" else None


def to_known(hole: Hole) -> Known:
    """uint8 [H, W] -> float32 [1, 1, H, W]: 1 where a pixel is given, 0 where the hole is white (128 and above)."""
    return torch.from_numpy((~to_missing(hole)).astype(np.float32))[None, None]


def _note(spec: HoleSpec, missing: Missing) -> str | None:
    """A note if nothing or all of the picture lies in a hole of a colour or of shapes."""
    if spec.kind == "colour":
        if not missing.any():
            return "nothing is to be found: no pixel has that colour; a tolerance admits similar ones"
        return inversion_note(missing, invert=spec.invert)
    if spec.kind in SHAPES:
        covered = "nothing is to be found: the shape covers the picture"
        return {0.0: covered, 1.0: "all is to be found: nothing is known"}.get(float(missing.mean()))
    return None


def _draw_missing(spec: HoleSpec, size: Size, photo: Photo | None, seed: int, name: str) -> Missing:
    if spec.kind == "colour":
        if photo is None:
            raise ValueError("colour needs the photo")
        distance: np.ndarray = abs(photo.pixels.astype(np.int16) - np.array(spec.colour)).max(-1)
        return distance <= spec.number
    if spec.shapes:
        return shapes.draw_shapes(spec.shapes, *size, name)
    return _draw_at_random(spec, *size, philox(Stream.HOLES.key(number=seed)))


def _draw_at_random(spec: HoleSpec, height: int, width: int, rng: np.random.Generator) -> Missing:
    match spec.kind:
        case "center":
            return shapes.center(height, width, spec.number)
        case "left":
            return shapes.half(height, width, 0)
        case "half":
            return shapes.half(height, width, int(rng.integers(4)))
        case "random":
            return shapes.random_pixels(height, width, spec.number, rng)
        case "grid":
            return shapes.grid(height, width)
        case "full":
            return np.zeros((height, width), bool)
        case "lowres":
            return shapes.blocks(height, width)
        case "pattern":
            return shapes.pattern(height, width, rng)
        case "thin" | "medium" | "thick":
            return shapes.strokes(height, width, shapes.BRUSHES[spec.kind], rng)
        case "brush":
            return brush(height, width, rng)
        case "ellipses":
            return ellipses(height, width, rng)
    raise ValueError(f"a hole is one of {', '.join(KINDS)}, not {spec.kind!r}")


def _read_painted(spec: HoleSpec, size: Size, photo: Photo | None, name: str, limits: ReadLimits) -> DrawnHole:
    if spec.kind == "alpha":
        if photo is None:
            raise ValueError("alpha needs the photo")
        if photo.alpha is None:
            raise HoleError(
                f"{name or 'the picture'}: it has no transparency",
                "Erase what is to be filled, and save the picture as PNG.",
            )
        return interpret_alpha(photo.alpha, invert=spec.invert)
    path = find_file(spec, name) or spec.path
    found = _read_hole_once(path, path.stat().st_mtime_ns if path.exists() else 0, limits, spec.invert, spec.threshold)
    check_size(found.hole.shape, size, str(path), name or "the picture")
    return found


@lru_cache(maxsize=4)
def _read_hole_once(path: Path, changed: int, limits: ReadLimits, invert: bool, threshold: int) -> DrawnHole:
    """Read a hole from a file. Cached, since one file often serves for many pictures."""
    return read_hole(Source(str(path), path), limits, invert=invert, threshold=threshold)


def _find_partner(folder: Path, name: str) -> Path:
    """The hole with a picture's name, in its sub-folder or flat; another suffix will do if only one file has it."""
    if not name:
        raise HoleError(
            f"{folder}: the photo has no name by which to look up its hole", "Give the picture of the hole itself."
        )
    parts = PurePosixPath(name).parts  # the first part may be the archive that the picture is in
    for inner in dict.fromkeys((parts[:-1], parts[1:-1], ())):
        place = _descend(folder, inner)
        if place is None:
            continue
        wanted = place / parts[-1]
        if wanted.is_file():
            return wanted
        by_stem = _list_by_stem(place, place.stat().st_mtime_ns)
        stem = fold(wanted.stem)
        found = by_stem.get(stem) or [path for end in PARTNERS for path in by_stem.get(stem + end, [])]
        same = [path for path in found if fold(path.name) == fold(wanted.name)]
        found = same if len(same) == 1 else found
        if len(found) > 1:
            raise HoleError(f"{folder}: {name} could mean {' or '.join(p.name for p in found)}", "Keep one of them.")
        if found:
            return found[0]
    raise HoleError(f"{folder}: no hole for {name}", f"Put it at {(folder / name).with_suffix('.png')}.")


def _descend(folder: Path, names: tuple[str, ...]) -> Path | None:
    """The folder of these names below, or the one whose name is alike; None if there is none."""
    for name in names:
        if not (folder / name).is_dir():
            alike = [path for path in folder.iterdir() if fold(path.name) == fold(name) and path.is_dir()]
            if len(alike) != 1:
                return None
            name = alike[0].name
        folder /= name
    return folder


@lru_cache(maxsize=16)
def _list_by_stem(folder: Path, changed: int) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if is_picture(path.name) and not path.name.startswith("."):
            found.setdefault(fold(path.stem), []).append(path)
    return found
