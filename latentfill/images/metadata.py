"""Metadata of a picture file beside its pixels: EXIF data, ICC profile, resolution, texts."""

import re
import struct
from math import isfinite
from typing import Any

from PIL import ExifTags, Image

from . import png
from .png import LARGEST_TEXT, SIGNATURE, Chunk

KEPT = (b"cHRM", b"gAMA", b"sRGB", b"cICP", b"pHYs", b"tEXt", b"zTXt", b"iTXt", b"tIME")  # also true of changed pixels
RAW = (b"Raw profile type", b"XML:com.adobe.xmp")  # ImageMagick's and Adobe's texts hold EXIF and XMP, with thumbnails
XMP = b"XML:com.adobe.xmp\0\0\0\0\0"  # the head of XMP's text chunk in a PNG
PICTURES = (b"Thumbnail", b"GImg", b"GImage", b"GDepth")  # in XMP: Adobe's, and Google's pictures of the original photo
ORIENTATION, INTEROP = 0x0112, 0xA005
WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}  # bytes of each EXIF type
DESCRIBES = {  # tags of a TIFF that describe the picture; the others say where its parts are stored
    *(0x010E, 0x010F, 0x0110, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x8298),
    *range(0x9C9B, 0x9CA0),
}
RESOLUTION = {0x011A, 0x011B, 0x0128}  # files store it elsewhere as well
JPEG = b"\xff\xd8"
JPEG_BESIDE = {*range(0xE0, 0xF0), 0xFE} - {0xE1, 0xEE}  # application data, comments; not EXIF and what YCCK needs
SPACES = {1: b"GRAY", 3: b"RGB "}  # colour spaces of profiles, by the channels of the picture
OTHERS = (b"CMYK", b"Lab ", *SPACES.values())
DIRECTORIES = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)


def read_exif(image: Image.Image) -> tuple[bytes | None, str]:
    """The EXIF data for an upright picture, and what could not be kept of them ("" if nothing).

    The orientation becomes 1. The embedded thumbnail is dropped: it would show what was there before.
    """
    try:
        raw = _raw_exif(image)
        return (make_upright(raw), "") if raw else (None, "")
    except Exception:  # the field may hold any bytes, which are no reason to lose the picture
        return None, "EXIF data that cannot be understood"


def read_chunks(image: Image.Image, data: bytes) -> tuple[tuple[Chunk, ...], str]:
    """Resolution, texts and, of a PNG, what its numbers mean as colours; and what could not be kept of them."""
    xmp, lost = _read_xmp(image)
    beside = [] if xmp is None else [(b"iTXt", XMP + xmp)]
    if image.format == "PNG":
        kept = [chunk for chunk in png.read_chunks(data) if chunk[0] in KEPT]
        return (*(chunk for chunk in kept if not chunk[1].startswith(RAW)), *beside), lost
    chunks: list[Chunk] = []
    dpi = image.info.get("dpi")
    if dpi and all(isfinite(float(v)) and 0 < float(v) < 10**6 for v in dpi):
        chunks.append((b"pHYs", struct.pack(">IIB", *(round(float(v) / 0.0254) for v in dpi), 1)))
    comment = image.info.get("comment")
    if isinstance(comment, bytes) and comment.strip(b"\0"):
        chunks.append((b"tEXt", b"Comment\0" + comment.replace(b"\0", b"")[:LARGEST_TEXT]))
    return (*chunks, *beside), lost


def xmp_of(chunk: Chunk) -> bytes:
    """The XMP data in a chunk; empty if it is another."""
    return chunk[1].removeprefix(XMP) if chunk[0] == b"iTXt" and chunk[1].startswith(XMP) else b""


def same_exif(one: bytes | None, other: bytes | None) -> bool:
    """Whether EXIF data, however they are stored, say the same of a picture, its resolution aside."""
    try:
        return _describe(one) == _describe(other)
    except Exception:  # the field may hold any bytes
        return False


def _describe(data: bytes | None) -> tuple[object, ...]:
    exif = Image.Exif()
    if data is not None:
        exif.load(b"Exif\0\0" + data)
    own = {tag: exif[tag] for tag in (DESCRIBES - RESOLUTION) & set(exif)}
    return own, *({k: v for k, v in exif.get_ifd(inner).items() if k != INTEROP} for inner in DIRECTORIES)


def _read_xmp(image: Image.Image) -> tuple[bytes | None, str]:
    """The XMP data for an upright picture, and why they could not be kept. Pictures in them show what was there."""
    found: Any = image.info.get("xmp") or b""
    xmp = found.encode() if isinstance(found, str) else bytes(found)
    xmp = xmp.strip(b"\0")
    if any(word in xmp for word in PICTURES):
        return None, "XMP data, which hold a picture"
    if len(xmp) > LARGEST_TEXT:
        return None, f"XMP data of more than {LARGEST_TEXT:,} bytes"
    return re.sub(rb"(tiff:Orientation(?:\s*=\s*[\"']|>)\s*)[1-8]", rb"\g<1>1", xmp) or None, ""


def repair(data: bytes) -> tuple[bytes, list[str]]:
    """A PNG or JPEG file without what stands beside its pixels and keeps readers from them; and what that was."""
    if data.startswith(SIGNATURE):
        return png.repair(data)
    return _repair_jpeg(data) if data.startswith(JPEG) else (data, [])


def read_icc(image: Image.Image, channels: int) -> tuple[bytes | None, str]:
    """The ICC profile for a picture with this number of channels, and why it could not be kept ("" if it could)."""
    icc: bytes | None = image.info.get("icc_profile")
    if icc and len(icc) > LARGEST_TEXT:
        return None, f"an ICC profile of {len(icc):,} bytes, which PNG readers refuse"
    if icc and not profile_fits(icc, channels):
        return None, f"an ICC profile of {icc[16:20].decode().strip()}, which this picture is not"
    return icc or None, ""


def profile_fits(icc: bytes, channels: int) -> bool:
    """True if a profile fits such a picture, as far as the profile says."""
    return icc[16:20] == SPACES[channels] or icc[16:20] not in OTHERS


def make_upright(exif: bytes) -> bytes:
    """The same EXIF data with orientation 1 and no thumbnail; all else stays where it is, to the byte.

    Raises ValueError or struct.error if they cannot be understood.
    """
    data = bytearray(exif)
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or struct.unpack_from(f"{order}H", data, 2) != (42,):
        raise ValueError("no EXIF data")
    first = struct.unpack_from(f"{order}I", data, 4)[0]
    entries, after = _directory(data, order, first)
    for tag, (kind, at) in entries.items():
        if tag == ORIENTATION and kind in (1, 3, 4):
            struct.pack_into(order + {1: "B", 3: "H", 4: "I"}[kind], data, at, 1)
    (thumbnails,) = struct.unpack_from(f"{order}I", data, after)
    struct.pack_into(f"{order}I", data, after, 0)
    if thumbnails:
        _blank(data, order, thumbnails)
    return bytes(data)


def _repair_jpeg(data: bytes) -> tuple[bytes, list[str]]:
    """The file without application data and comments in its header."""
    kept, at = [JPEG], 2
    while data[at : at + 1] == b"\xff" and at + 4 <= len(data) and data[at + 1] not in (0xDA, 0xD9):
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        short = data[at + 1] == 0xEE and end - at < 16  # Adobe's, which says how colours are coded, has 14
        if data[at + 1] not in JPEG_BESIDE and not short:
            kept.append(data[at:end])
        at = end
    bare = b"".join([*kept, data[at:]])
    return bare, ["application data of the JPEG, part of which is damaged"] if len(bare) < len(data) else []


def _raw_exif(image: Image.Image) -> bytes:
    """EXIF data as stored, from the byte order on; for a TIFF they are assembled from its tags."""
    if image.format == "TIFF":
        exif = image.getexif()
        kept = Image.Exif()
        for tag in DESCRIBES & set(exif):
            kept[tag] = exif[tag]
        for directory in DIRECTORIES:
            if inner := exif.get_ifd(directory):
                kept[directory] = dict(inner)
        return kept.tobytes().removeprefix(b"Exif\0\0") if len(kept) else b""
    raw: Any = image.info.get("exif", b"")
    if not raw and (text := image.info.get("Raw profile type exif")):
        raw = bytes.fromhex(re.sub(r"\s", "", "".join(str(text).split("\n")[3:])))
    while raw.startswith(b"Exif\0\0"):
        raw = raw[6:]
    return bytes(raw)


def _directory(data: bytearray, order: str, at: int) -> tuple[dict[int, tuple[int, int]], int]:
    """Tag -> (type, where its value is) of one directory, and where the address of the next one is."""
    (count,) = struct.unpack_from(f"{order}H", data, at)
    entries = {}
    for i in range(count):
        tag, kind, number, address = struct.unpack_from(f"{order}HHII", data, at + 2 + 12 * i)
        size = WIDTHS.get(kind, 1) * number
        entries[tag] = (kind, at + 2 + 12 * i + 8 if size <= 4 else address)
    return entries, at + 2 + 12 * count


def _blank(data: bytearray, order: str, at: int) -> None:
    """Zero the thumbnail, JPEG (tags 0x0201, 0x0202) or strips (0x0111, 0x0117), of a directory."""
    entries, _ = _directory(data, order, at)
    for start, length in ((0x0201, 0x0202), (0x0111, 0x0117)):
        if start in entries and length in entries:
            begin, size = (_unsigned(data, order, *entries[tag]) for tag in (start, length))
            stop = min(begin + size, len(data))
            data[begin:stop] = bytes(max(0, stop - begin))


def _unsigned(data: bytearray, order: str, kind: int, at: int) -> int:
    number: int = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, at)[0]
    return number
