"""Picture files as they are, to the bit: 8 or 16 bits, grey or colour, alpha, ICC profile, EXIF, texts; and back."""

import io
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image, ImageCms

from ..errors import ExtraError, ImageError
from ..options import ReadLimits
from . import metadata
from .metadata import SIGNATURE, Chunk, packed
from .photos import (
    DEFAULT_LIMITS,
    Photo,
    Source,
    checked_16_bit,
    decode,
    decode_bytes,
    orientation,
    put,
    to_8_bit,
    turned,
)

Values = UInt8[np.ndarray, "_ _ _"] | UInt16[np.ndarray, "_ _ _"]
Alpha = UInt8[np.ndarray, "_ _"] | UInt16[np.ndarray, "_ _"]
Decoded = tuple[Values, Alpha | None]

COLOUR_TYPES = {(1, False): 0, (3, False): 2, (1, True): 4, (3, True): 6}  # of PNG: (channels, alpha)
SUB = 1  # PNG's filter "difference to the pixel on the left"; with RLE smaller than Pillow's level 1, and twice as fast
ROWS = 64  # filtered and compressed at once: what the processor's cache holds
OTHER_SPACES = ("CMYK", "LAB", "YCbCr")  # modes whose profile is used, or does not describe the RGB they become


@final
@dataclass(frozen=True, eq=False)
class Original:
    """What a picture file holds, upright, and as exactly as it can be had and written again.

    `values` are [H, W, 1] (grey) or [H, W, 3] (RGB), `alpha` is [H, W] of the same depth, its largest value opaque.
    `exif` starts at the byte order, has orientation 1 and no thumbnail. `chunks` are PNG's for resolution, texts and
    the meaning of colours. `notes` say for people what was converted or could not be kept.
    """

    values: Values
    alpha: Alpha | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    chunks: tuple[Chunk, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.values.shape[2] not in (1, 3) or not self.values.size:
            raise ValueError(f"values are [H, W, 1] or [H, W, 3], not {list(self.values.shape)}")
        alpha = self.alpha
        if alpha is not None and (alpha.shape != self.values.shape[:2] or alpha.dtype != self.values.dtype):
            raise ValueError(
                f"values are {self.values.dtype} {self.values.shape} but alpha is {alpha.dtype} {alpha.shape}"
            )

    @property
    def bits(self) -> int:
        """Per channel: 8 or 16."""
        return 8 * self.values.dtype.itemsize

    def photo(self) -> Photo:
        """The same as 8-bit RGB.

        As `photos.read` has it, but for CMYK with a profile, and for 16-bit grey of which one level is transparent:
        that may differ by one level.
        """
        values, alpha = self.values, self.alpha
        if self.bits == 16:
            upper = alpha is not None or values.shape[2] == 3  # as Pillow reads it
            values = (values >> 8).astype(np.uint8) if upper else to_8_bit(values)
            alpha = None if alpha is None else (alpha >> 8).astype(np.uint8)
        return Photo(values if values.shape[2] == 3 else np.repeat(values, 3, 2), alpha)


def read(source: Source, limits: ReadLimits = DEFAULT_LIMITS) -> Original:
    """Decode without loss, upright; of an animation the first frame.

    Palettes are looked up, CMYK becomes sRGB through its profile. Raises ImageError, which names the source, as
    `photos.read` does; ExtraError if 16-bit colour needs OpenCV, which is not installed.
    """
    return decode(source, limits, _original)


def from_bytes(data: bytes, limits: ReadLimits = DEFAULT_LIMITS, name: str = "the photo") -> Original:
    """The same of a picture file that is in memory; the errors call it by this name."""
    return decode_bytes(data, name, limits, _original)


def write(path: Path, original: Original) -> None:
    """Save as PNG; what `read` gives back is equal to `original`, but for its notes.

    Folders are made as needed. The file is there whole or not at all. Raises ImageError if it cannot be written.
    """
    if path.suffix.lower() != ".png":
        raise ImageError(f"{path}: pictures are kept to the bit as PNG alone", "End the name in .png.")
    data = encode(original)
    put(path, lambda file: file.write(data))


def encode(original: Original) -> bytes:
    """A PNG file of it, compressed for speed."""
    height, width, channels = original.values.shape
    header = np.array([width, height], ">u4").tobytes()
    kind = COLOUR_TYPES[channels, original.alpha is not None]
    chunks = [(b"IHDR", header + bytes([original.bits, kind, 0, 0, 0]))]
    if original.icc is not None:
        chunks.append(metadata.icc_chunk(original.icc))
    chunks += original.chunks
    if original.exif is not None:
        chunks.append((b"eXIf", original.exif))
    chunks += [(b"IDAT", _compressed(original)), (b"IEND", b"")]
    return b"".join([SIGNATURE, *map(packed, chunks)])


def _compressed(original: Original) -> bytes:
    """Rows after PNG's filter SUB, in runs and Huffman codes: photos have no longer repetitions worth the search."""
    coder = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    alpha, parts = original.alpha, []
    for top in range(0, len(original.values), ROWS):
        band = original.values[top : top + ROWS]
        if alpha is not None:
            band = np.dstack([band, alpha[top : top + ROWS]])
        step = band.shape[2] * band.dtype.itemsize  # bytes of a pixel
        big = np.ascontiguousarray(band.astype(band.dtype.newbyteorder(">"), copy=False))
        rows = big.view(np.uint8).reshape(len(band), -1)
        filtered = np.empty((len(rows), 1 + rows.shape[1]), np.uint8)
        filtered[:, 0] = SUB
        filtered[:, 1 : 1 + step] = rows[:, :step]
        np.subtract(rows[:, step:], rows[:, :-step], out=filtered[:, 1 + step :])
        parts.append(coder.compress(filtered.data))
    return b"".join([*parts, coder.flush()])


def _original(image: Image.Image, data: bytes, lost: tuple[str, ...]) -> Original:
    notes = [f"not kept: {what}" for what in lost]
    if getattr(image, "is_animated", False):
        notes.append("the first of several pictures in the file")
    decoding: list[str] = []
    how = orientation(image)
    values, alpha = _decode(image, data, decoding)
    icc, exif, chunks = _described(image, data, values.shape[2], notes)
    notes += decoding
    if how >= 5:  # height and width change places
        chunks = tuple((k, d[4:8] + d[:4] + d[8:]) if k == b"pHYs" else (k, d) for k, d in chunks)
    upright = None if alpha is None else turned(alpha, how)
    return Original(turned(values, how), upright, icc, exif, chunks, tuple(notes))


def _described(
    image: Image.Image, data: bytes, channels: int, notes: list[str]
) -> tuple[bytes | None, bytes | None, tuple[Chunk, ...]]:
    """The ICC profile, EXIF data and PNG chunks that fit what the picture becomes."""
    exif, lost = metadata.read_exif(image)
    chunks, lost_too = metadata.read_chunks(image, data)
    icc, lost_icc = (None, "") if image.mode in OTHER_SPACES else metadata.read_icc(image, channels)
    notes += [f"not kept: {what}" for what in (lost, lost_too, lost_icc) if what]
    return icc, exif, chunks


def _decode(image: Image.Image, data: bytes, notes: list[str]) -> Decoded:
    mode, transparent = image.mode, image.has_transparency_data
    if mode == "F":
        raise ValueError("floating-point pixels, whose range is not known")
    if mode.startswith("I"):
        return _decode_16_bit_grey(image)
    depth = _depth(image, data)
    if depth == 16 and (deep := _decode_16_bit(image, data)) is not None:
        return deep
    if depth > 8:
        notes.append(f"{depth} bits per channel became 8")
    wanted = ("L" if mode in ("1", "L", "LA", "La") else "RGB") + ("A" if transparent else "")
    if mode in OTHER_SPACES:
        notes.append(f"{mode} was converted to RGB")
        image = _to_srgb(image)
    if mode in ("La", "RGBa"):
        notes.append("colours multiplied by the alpha were divided by it")
    values = np.array(image if image.mode == wanted else image.convert(wanted))
    values = values[..., None] if values.ndim == 2 else values
    return (values[..., :-1], values[..., -1]) if transparent else (values, None)


def _depth(image: Image.Image, data: bytes) -> int:
    """Bits per channel in the file; Pillow gives 8 of the 16 of colours."""
    if image.format == "PNG":
        return data[24]
    if image.format == "TIFF":
        bits: tuple[int, ...] = getattr(image, "tag_v2", {}).get(258, (8,))
        return max(bits)
    if image.format == "PPM" and data[:2] in (b"P3", b"P6"):
        largest = re.sub(rb"#[^\n]*\n", b" ", data[:4096]).split(None, 4)[3]
        return 16 if int(largest) > 255 else 8
    if image.format == "AVIF":
        flags = data[data.find(b"av1C") + 6]  # of its configuration of AV1: high_bitdepth, twelve_bit
        return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10
    return 8


def _decode_16_bit_grey(image: Image.Image) -> Decoded:
    values, level = np.asarray(image), image.info.get("transparency")
    alpha = np.where(values == level, 0, 65535).astype(np.uint16) if isinstance(level, int) else None
    return checked_16_bit(values)[..., None], alpha


def _decode_16_bit(image: Image.Image, data: bytes) -> Decoded | None:
    """All 16 bits, by OpenCV; None if their upper 8 are not what Pillow has."""
    try:
        import cv2
    except ImportError as error:
        raise ExtraError(
            "16 bits per channel need OpenCV, which is not installed", "Install it: pip install 'latentfill[faces]'."
        ) from error
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None or found.dtype != np.uint16 or found.ndim != 3:
        return None
    values: np.ndarray = found[..., 2::-1]
    if image.mode not in ("RGB", "RGBA", "RGBX") or not np.array_equal(values >> 8, np.asarray(image.convert("RGB"))):
        return None
    grey = image.format == "PNG" and data[25] == COLOUR_TYPES[1, True]
    alpha = found[..., 3] if image.has_transparency_data and found.shape[2] == 4 else None
    return values[..., :1] if grey else values, alpha


def _to_srgb(image: Image.Image) -> Image.Image:
    """CMYK through its profile, if it has one that fits; else by the plain formulas."""
    profile = image.info.get("icc_profile")
    if image.mode == "CMYK" and profile:
        try:
            ours = ImageCms.createProfile("sRGB")
            theirs = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, theirs, ours, outputMode="RGB")
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a profile that is damaged, or of other colours
    return image.convert("RGB")
