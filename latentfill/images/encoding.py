"""Completed pictures as JPEG, WebP and TIFF files, with their EXIF data, colour profile, XMP and resolution."""

import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any, final

import numpy as np
import scipy
from PIL import Image, JpegImagePlugin, TiffImagePlugin

from ..errors import ImageError
from ..files.writing import write_file
from ..types import Hole
from . import metadata
from .photos import Original, Values, encode

KINDS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WebP", ".tif": "TIFF", ".tiff": "TIFF"}
EXACT = ("PNG", "TIFF")  # kinds that keep 16 bits
SEGMENT = 65_533  # most bytes in a segment of a JPEG
LARGEST = {"JPEG": 65_500, "WebP": 16_383}  # pixels a side
QUALITY: dict[str, Any] = {"quality": 95, "subsampling": 0}
HEADER = b"II\x2a\0\0\0\0\0"  # of a TIFF, little-endian


@final
class _Beside:
    """The metadata written beside the pixels, and notes on what could not be written."""

    def __init__(self, original: Original) -> None:
        self.icc, self.exif, self.notes = original.icc or b"", original.exif or b"", list[str]()
        self.xmp = next((metadata.xmp_of(chunk) for chunk in original.chunks if metadata.xmp_of(chunk)), b"")
        scales = [struct.unpack(">IIB", data) for kind, data in original.chunks if kind == b"pHYs"]
        self.dpi = next(((x * 0.0254, y * 0.0254) for x, y, unit in scales if unit == 1), None)

    def limit_to_jpeg(self) -> None:
        for name, head in (("exif", b"Exif\0\0"), ("xmp", b"http://ns.adobe.com/xap/1.0/\0")):
            if len(getattr(self, name)) + len(head) > SEGMENT:
                setattr(self, name, b"")
                self.notes.append(f"not kept: {name.upper()} data of more than {SEGMENT:,} bytes, as JPEG holds")

    def settings(self) -> dict[str, Any]:
        found = {"icc_profile": self.icc, "xmp": self.xmp, "dpi": self.dpi}
        found["exif"] = b"Exif\0\0" + self.exif if self.exif else b""
        return {name: value for name, value in found.items() if value}


def encode_as(original: Original, suffix: str, source: bytes = b"") -> tuple[bytes, tuple[str, ...]]:
    """A file of the kind that `suffix` names, and notes on what it could not keep.

    A JPEG has the quantisation tables and subsampling of `source`, the input's file, if that is a JPEG too; else
    quality 95 in full colour. WebP and TIFF are written without loss. Raises ImageError for a picture too large.
    """
    kind = KINDS[suffix]
    if kind == "PNG":
        return encode(original), ()
    height, width = original.values.shape[:2]
    if max(height, width) > (most := LARGEST.get(kind, 2**32)):
        what = f"{width} x {height} pixels are too many for {kind}, which holds {most:,} a side"
        raise ImageError(what, "Make a PNG of it (--format png).")
    beside = _Beside(original)
    if kind == "TIFF":
        return _encode_tiff(original, beside), tuple(beside.notes)
    if original.bits == 16:
        beside.notes.append(f"{kind} holds 8 bits per channel: of 16 the upper 8 are kept")
    image = _to_image(original, kind, beside.notes)
    file = io.BytesIO()
    if kind == "WebP":
        image.save(file, "WEBP", lossless=True, exact=True, **beside.settings())
        return file.getvalue(), tuple(beside.notes)
    beside.limit_to_jpeg()
    image.save(file, "JPEG", **_jpeg_settings(source, image.mode), **beside.settings())
    off = np.abs(np.asarray(Image.open(file)).astype(np.int16) - np.asarray(image)).max()
    beside.notes.append(f"JPEG changes pixels outside the hole too: by at most {count_levels(int(off))}")
    return file.getvalue(), tuple(beside.notes)


def write_as(path: Path, original: Original, source: Path | None = None) -> None:
    """Save as the suffix says, a JPEG like that of the `source`, if that is one.

    Folders are made as needed. The file is there whole or not at all. Raises ImageError if it cannot be written.
    """
    if (suffix := path.suffix.lower()) not in KINDS:
        raise ImageError(f"{path}: pictures of this kind are not written", f"End the name in {', '.join(KINDS)}.")
    like = b""
    if source is not None and KINDS[suffix] == "JPEG":
        with suppress(OSError):  # the file may be gone
            like = source.read_bytes()
    data, _ = encode_as(original, suffix, like)
    write_file(path, lambda file: file.write(data))


def is_jpeg_loss(before: Values, after: Values, hole: Hole, file: bytes) -> bool:
    """True if compression alone makes the known pixels of a JPEG `file`, whose values are `after`, what they are.

    The photo [H, W, C] is compressed as the file is, with the file's own pixels in the hole. Away from the hole the
    result must be equal to the bit. In blocks of 16 pixels at the hole, and those beside them, what the file had in the
    hole before it was compressed matters too, and is gone: there the difference may be twice what compression makes.
    """
    missing = hole > 0
    wanted = np.where(missing[..., None], after, before)
    again, _ = encode_as(Original(wanted), ".jpg", file)
    expected = np.asarray(Image.open(io.BytesIO(again))).astype(np.int16).reshape(wanted.shape)
    (rows, columns), (height, width) = np.nonzero(missing), missing.shape
    near = np.zeros((-(-height // 16), -(-width // 16)), bool)
    near[rows // 16, columns // 16] = True
    near = scipy.ndimage.binary_dilation(near, np.ones((3, 3), bool))
    near = near.repeat(16, 0).repeat(16, 1)[:height, :width]
    off, most = np.abs(expected - after).max(-1), int(np.abs(expected - wanted).max())
    return bool(off[~near].max(initial=0) == 0 and off[near & ~missing].max(initial=0) <= 2 * most)


def count_levels(number: int, bits: int = 8) -> str:
    """A difference of values, in words."""
    return f"{number:,} level{'s' * (number != 1)}" + (" of 65,535" if bits == 16 else "")


def _to_image(original: Original, kind: str, notes: list[str]) -> Image.Image:
    """The picture in 8 bits, as that kind of file holds it."""
    values, alpha = (_to_8_bits(plane) for plane in (original.values, original.alpha))
    if alpha is not None and (alpha == 255).all():
        alpha = None
    if alpha is not None and kind == "JPEG":
        notes.append("JPEG holds no transparency: it is shown on white")
        share = alpha[..., None].astype(np.uint32)
        values, alpha = ((values * share + 255 * (255 - share) + 127) // 255).astype(np.uint8), None
    if values.shape[2] == 1 and kind == "WebP":
        notes.append("WebP holds no grey pictures: it is stored as equal colours")
        values = np.repeat(values, 3, 2)
    if alpha is not None:
        return Image.fromarray(np.dstack([values, alpha]))
    return Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)


def _to_8_bits(plane: Any) -> Any:
    return plane if plane is None or plane.dtype == np.uint8 else (plane >> 8).astype(np.uint8)


def _jpeg_settings(source: bytes, mode: str) -> dict[str, Any]:
    """How a JPEG was compressed: its tables for brightness and colours, and how coarse its colours are."""
    if not source.startswith(metadata.JPEG):
        return QUALITY
    try:
        with Image.open(io.BytesIO(source), formats=["JPEG"]) as image:
            if not isinstance(image, JpegImagePlugin.JpegImageFile):
                return QUALITY
            used = [image.quantization[layer[3]] for layer in image.layer[: 1 if mode == "L" else 2]]
            sampling = JpegImagePlugin.get_sampling(image) if len(image.layer) == 3 else 0
            progressive = bool(image.info.get("progressive"))
    except (OSError, KeyError, IndexError, ValueError):  # damaged metadata, although the picture could be read
        return QUALITY
    settings = {"qtables": used, "optimize": True, "progressive": progressive}
    return settings if mode == "L" else {**settings, "subsampling": max(sampling, 0)}


def _encode_tiff(original: Original, beside: _Beside) -> bytes:
    """A TIFF of one deflated strip: Pillow writes no 16-bit colour."""
    values, alpha = original.values, original.alpha
    if alpha is not None and original.bits == 16 and values.shape[2] == 1:
        beside.notes.append("grey of 16 bits with transparency is stored as equal colours")
        values = np.repeat(values, 3, 2)
    photometric = 1 if values.shape[2] == 1 else 2
    if alpha is not None:
        values = np.dstack([values, alpha])
    strip = _compress(values)
    height, width, channels = values.shape
    tags = TiffImagePlugin.ImageFileDirectory_v2(HEADER)
    if beside.exif:
        _add_exif(tags, beside)
    layout = {256: width, 257: height, 258: (original.bits,) * channels, 259: 8, 262: photometric, 277: channels}
    places = {273: 0, 278: height, 279: len(strip), 284: 1, 317: 2}
    for tag, value in {**layout, **places}.items():
        tags[tag] = value
    if alpha is not None:
        tags[338] = 2
    if beside.dpi is not None:
        tags[282], tags[283], tags[296] = *beside.dpi, 2
    for tag, kind, data in ((700, 1, beside.xmp), (34675, 7, beside.icc)):
        if data:
            tags.tagtype[tag] = kind
            tags[tag] = data
    file = io.BytesIO()
    tags.save(file)
    return file.getvalue() + strip


def _add_exif(tags: Any, beside: _Beside) -> None:
    """Add the tags that describe the picture; without what cannot be understood."""
    try:
        exif = Image.Exif()
        exif.load(b"Exif\0\0" + beside.exif)
        for tag in sorted(metadata.DESCRIBES & set(exif)):
            tags[tag] = exif[tag]
        for directory in metadata.DIRECTORIES:
            if inner := exif.get_ifd(directory):
                tags[directory] = dict(inner)
        tags.tobytes()
    except Exception:  # the field may hold any bytes
        beside.notes.append("not kept: EXIF data that cannot be written into a TIFF")
        for tag in [*tags]:
            del tags[tag]


def _compress(values: Values) -> bytes:
    """Rows as differences to the pixel on the left (predictor 2), deflated."""
    rows = values.astype(values.dtype.newbyteorder("<"), copy=True)
    rows[:, 1:] -= values[:, :-1]
    return zlib.compress(rows.tobytes(), 6)
