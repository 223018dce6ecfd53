"""Which pixels are to be found: the kinds of hole, how each is written, and how it is drawn."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from string import hexdigits
from types import MappingProxyType
from typing import final
from unicodedata import normalize

import numpy as np
import torch

from ..errors import HoleError
from ..types import Hole, Known
from . import shapes
from .archives import Source, is_picture
from .photos import Photo, read
from .pixels import to_grey
from .shapes import Missing, Shape

Size = tuple[int, int]  # height, width in pixels

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
        "rectangle": f"{shapes.WRITTEN['rectangle']}, in pixels or as 10%; join several shapes with +",
        "ellipse": f"{shapes.WRITTEN['ellipse']}, in pixels or as 10%; one radius makes a circle",
        "alpha": "alpha, where the picture is transparent",
        "colour": "colour:#ff00ff[:tolerance], where the picture has this colour; tolerance 0 to 255 per channel (0)",
        "file": "a picture of the same size, white where a pixel is to be found",
        "folder": "a folder of such pictures, paired by file name",
    }
)
ALIASES = {"centre": "center", "color": "colour"}
NOTHING = {
    "alpha": "no pixel is transparent (alpha below 128)",
    "colour": "no pixel has that colour; a tolerance admits similar ones",
    "file": "no pixel of the hole is white (128 and above)",
    "folder": "no pixel of the hole is white (128 and above)",
}
PAINTED = tuple(NOTHING)  # made by people, who disagree on what white means
SHAPES = tuple(shapes.WRITTEN)
AT_PHOTO_SIZE = PAINTED + SHAPES  # drawn at the photo's own size, the others at the model's
NUMBERS = {"center": (0.25, 0.0, 0.5), "random": (0.2, 0.0, 1.0)}  # default, least, most
WHITE = 128  # this and above is white, and opaque
STREAM = 0x686F6C65 << 64  # "hole": keeps these draws apart from others with the same seed


@final
@dataclass(frozen=True)
class HoleSpec:
    """A hole as the user asked for it. `number` is a scale, a fraction missing or a tolerance, as the kind has it.

    Of several `shapes` the first one gives the kind.
    """

    kind: str
    number: float = 0.0
    colour: tuple[int, int, int] = (0, 0, 0)
    path: Path = Path()
    shapes: tuple[Shape, ...] = ()
    invert: bool = False


def parse(text: str, *, invert: bool = False) -> HoleSpec:
    """Understand one of `KINDS`; a name that is none of them is a file or a folder.

    With `invert`, what the hole names is given and the rest is to be found. Raises HoleError, which lists the kinds.
    """
    head, *arguments = text.split(":")
    kind = ALIASES.get(head, head)
    if kind == "lowres" and invert:
        raise HoleError("lowres cannot be inverted", "Leave one of the two out.")
    if kind == "colour":
        return _parse_colour(text, arguments, invert)
    if kind in SHAPES:
        return HoleSpec(kind, shapes=shapes.parse(text), invert=invert)
    if kind in NUMBERS and len(arguments) <= 1:
        default, least, most = NUMBERS[kind]
        return HoleSpec(kind, shapes.number(text, arguments[0], least, most) if arguments else default, invert=invert)
    if kind in KINDS and kind not in ("file", "folder"):
        if arguments:
            raise HoleError(f"{text!r}: {head} does not take {':'.join(arguments)!r}", f"Write {KINDS[kind]}.")
        return HoleSpec(kind, invert=invert)
    path = Path(text)
    if not text or not _exists(path):
        kinds = ", ".join(how.split(", ")[0] for how in KINDS.values())
        raise HoleError(f"{text!r} is neither a kind of hole nor a file", f"It is one of: {kinds}.")
    if path.is_file() and not is_picture(path.name):
        raise HoleError(f"{path}: not a picture, going by its name", "Give a PNG of the picture's size.")
    return HoleSpec("folder" if path.is_dir() else "file", path=path, invert=invert)


def draw(spec: HoleSpec, size: Size, *, seed: int, photo: Photo | None = None, name: str = "") -> Hole:
    """The hole of one picture: uint8 [H, W], 255 where a pixel is to be found, 0 where it is given.

    It depends on the seed (0 to 2^64 - 1) and the arguments alone. `photo` is needed for its alpha or its colours,
    `name` (a path within the listing, as `Source.name`) to find its partner in a folder of holes.

    Raises HoleError if the hole cannot be had or has another size than the picture.
    """
    if min(size) < 1:
        raise ValueError(f"a picture has at least one pixel, not {size[0]} x {size[1]}")
    if not 0 <= seed < 2**64:
        raise ValueError(f"a seed is from 0 to 2^64 - 1, not {seed}")
    if photo is not None and photo.pixels.shape[:2] != size:
        raise ValueError(f"size is {size} but the photo is {photo.pixels.shape[:2]}")
    if spec.kind in PAINTED:
        missing = _painted(spec, size, photo, name)
    elif spec.kind in SHAPES:
        missing = shapes.drawn(spec.shapes, *size, name)
    else:
        rng = np.random.Generator(np.random.Philox(key=STREAM + seed))
        missing = _drawn(spec, *size, rng)
    return np.where(missing ^ spec.invert, np.uint8(255), np.uint8(0))


def find_file(spec: HoleSpec, name: str = "") -> Path | None:
    """The file that holds the hole of a picture of this name; None for a kind of hole that is no file.

    Raises HoleError if a folder of holes has none for it.
    """
    if spec.kind == "folder":
        return _partner(spec.path, name)
    return spec.path if spec.kind == "file" else None


def to_known(hole: Hole) -> Known:
    """uint8 [H, W] -> float32 [1, 1, H, W]: 1 where a pixel is given, 0 where the hole is white (128 and above)."""
    return torch.from_numpy((hole < WHITE).astype(np.float32))[None, None]


def describe(hole: Hole) -> str:
    """How much of a picture is to be found, for people: "25 % to be found (white)"."""
    return f"{100 * float((hole >= WHITE).mean()):.3g} % to be found (white)"


def warning(spec: HoleSpec, hole: Hole) -> str | None:
    """What looks wrong with a hole that someone made: nothing or all to be found, or black and white exchanged."""
    if spec.kind not in AT_PHOTO_SIZE:
        return None
    white = hole >= WHITE
    share = float(white.mean())
    if spec.kind in SHAPES:
        covered = "nothing is to be found: the shape covers the picture."
        return {0.0: covered, 1.0: "all is to be found: nothing is known."}.get(share)
    if share == 0:
        return f"nothing is to be found: {NOTHING[spec.kind]}."
    round_about = all(edge.any() for edge in (white[0], white[-1], white[:, 0], white[:, -1]))
    if share > 0.9 or (share > 0.7 and round_about):
        opposite = "without --invert" if spec.invert else "with --invert"
        return f"{describe(hole)}: are white and black exchanged? If so, run again {opposite}."
    return None


def _drawn(spec: HoleSpec, height: int, width: int, rng: np.random.Generator) -> Missing:
    match spec.kind:
        case "center":
            return shapes.center(height, width, spec.number)
        case "left":
            return shapes.half(height, width, 0)
        case "half":
            return shapes.half(height, width, int(rng.integers(4)))
        case "random":
            return shapes.scattered(height, width, spec.number, rng)
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
    raise ValueError(f"a hole is one of {', '.join(KINDS)}, not {spec.kind!r}")


def _painted(spec: HoleSpec, size: Size, photo: Photo | None, name: str) -> Missing:
    if spec.kind in ("file", "folder"):
        path = find_file(spec, name) or spec.path
        white = _white(path, path.stat().st_mtime_ns if path.exists() else 0)
        if white.shape != size:
            found, wanted = (f"{s[1]} x {s[0]}" for s in (white.shape, size))
            raise HoleError(f"{path} is {found} pixels, but {name or 'the picture'} is {wanted}", "Make them equal.")
        return white
    if photo is None:
        raise ValueError(f"{spec.kind} needs the photo")
    if spec.kind == "colour":
        distance: np.ndarray = abs(photo.pixels.astype(np.int16) - np.array(spec.colour)).max(-1)
        return distance <= spec.number
    if photo.alpha is None:
        raise HoleError(f"{name or 'the picture'}: it has no alpha", "Erase what is to be found and save it as PNG.")
    return photo.alpha < WHITE


@lru_cache(maxsize=4)
def _white(path: Path, changed: int) -> Missing:
    """Of a file. Kept, since one file often serves for many pictures."""
    return white_in(read(Source(str(path), path)))


def white_in(photo: Photo) -> Missing:
    """Where a picture is white and opaque."""
    white = to_grey(photo.pixels)[..., 0] >= WHITE
    return white if photo.alpha is None else white & (photo.alpha >= WHITE)


def _partner(folder: Path, name: str) -> Path:
    """The hole with a picture's name, in its sub-folder or flat; another suffix will do if only one file has it."""
    if not name:
        raise HoleError(f"{folder}: no name to look for among its holes", "Name the hole itself.")
    parts = PurePosixPath(name).parts  # the first may be the archive that the picture lies in
    for wanted in dict.fromkeys(folder.joinpath(*some) for some in (parts, parts[1:], parts[-1:])):
        if wanted.is_file():
            return wanted
        listed = _by_stem(wanted.parent, wanted.parent.stat().st_mtime_ns) if wanted.parent.is_dir() else {}
        found = listed.get(_fold(wanted.stem), [])
        same = [path for path in found if _fold(path.name) == _fold(wanted.name)]
        found = same if len(same) == 1 else found
        if len(found) > 1:
            raise HoleError(f"{folder}: {name} could mean {' or '.join(p.name for p in found)}", "Keep one of them.")
        if found:
            return found[0]
    raise HoleError(f"{folder}: no hole for {name}", f"Put it at {(folder / name).with_suffix('.png')}.")


@lru_cache(maxsize=16)
def _by_stem(folder: Path, changed: int) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if is_picture(path.name) and not path.name.startswith("."):
            found.setdefault(_fold(path.stem), []).append(path)
    return found


def _fold(name: str) -> str:
    """Systems that made the names may have changed the case, or taken letters and their accents apart."""
    return normalize("NFC", normalize("NFC", name).casefold())


def _parse_colour(text: str, arguments: list[str], invert: bool) -> HoleSpec:
    digits = arguments[0].removeprefix("#") if arguments else ""
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    if len(digits) != 6 or set(digits) - set(hexdigits) or len(arguments) > 2:
        raise HoleError(f"{text!r} names no colour", f"Write {KINDS['colour']}.")
    red, green, blue = bytes.fromhex(digits)
    tolerance = shapes.number(text, arguments[1], 0.0, 255.0) if len(arguments) == 2 else 0.0
    return HoleSpec("colour", tolerance, (red, green, blue), invert=invert)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # too long a name, for one
        return False
