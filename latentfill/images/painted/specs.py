"""Holes in words: the kinds there are, and how each is written."""

from dataclasses import dataclass
from pathlib import Path
from string import hexdigits
from types import MappingProxyType
from typing import final

from ...errors import HoleError
from .. import shapes
from ..archives import is_picture
from ..shapes import Shape

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
        "rectangle": f"{shapes.WRITTEN['rectangle']}, in pixels or as 10%; join several shapes with +",
        "ellipse": f"{shapes.WRITTEN['ellipse']}, in pixels or as 10%; one radius makes a circle",
        "alpha": "alpha, where the picture is transparent",
        "colour": "colour:#ff00ff[:tolerance], where the picture has this colour; tolerance 0 to 255 per channel (0)",
        "file": "a picture of the same size, white where a pixel is to be found",
        "folder": "a folder of such pictures, paired by file name",
    }
)
ALIASES = {"centre": "center", "color": "colour"}
PAINTED = ("alpha", "colour", "file", "folder")  # made by people, who disagree on what white means
SHAPES = tuple(shapes.WRITTEN)
AT_PHOTO_SIZE = PAINTED + SHAPES  # drawn at the photo's own size, the others at the model's
# Left, top, width and height in percent of an aligned face, which OpenFace's template puts there (faces/templates.py,
# with margin 1). Of another picture they are the same percent.
FEATURES = {
    "eyes": shapes.parse("rectangle:10%,5%,79%,22%"),
    "nose": shapes.parse("rectangle:34%,20%,31%,32%"),
    "mouth": shapes.parse("rectangle:22%,53%,57%,29%"),
}
NUMBERS = {"center": (0.25, 0.0, 0.5), "random": (0.2, 0.0, 1.0)}  # default, least, most


@final
@dataclass(frozen=True)
class HoleSpec:
    """A hole as the user asked for it. `number` is a scale, a fraction missing or a tolerance, as the kind has it.

    Of several `shapes` the first one gives the kind; features of a face have theirs.
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
        return HoleSpec(kind, shapes=FEATURES.get(kind, ()), invert=invert)
    path = Path(text)
    if not text or not _exists(path):
        kinds = ", ".join(how.split(", ")[0] for how in KINDS.values())
        raise HoleError(f"{text!r} is neither a kind of hole nor a file", f"It is one of: {kinds}.")
    if path.is_file() and not is_picture(path.name):
        raise HoleError(f"{path}: not a picture, going by its name", "Give a PNG of the picture's size.")
    return HoleSpec("folder" if path.is_dir() else "file", path=path, invert=invert)


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
