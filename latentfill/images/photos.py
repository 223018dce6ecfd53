"""The only reader and writer of picture files: upright, to the bit, with the metadata beside their pixels."""

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, final

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image, ImageCms, UnidentifiedImageError, features

from ..errors import ExtraError, ImageError, LatentfillError, is_out_of_memory
from ..files.writing import remove_partial as remove_partial
from ..files.writing import write_csv as write_csv
from ..files.writing import write_file as write_file
from ..options import ReadLimits
from ..types import Pixels
from . import metadata, png
from .archives import SUFFIXES as SUFFIXES
from .archives import Source as Source

Alpha = UInt8[np.ndarray, "_ _"]  # 255 = opaque
Values = UInt8[np.ndarray, "_ _ _"] | UInt16[np.ndarray, "_ _ _"]
Plane = UInt8[np.ndarray, "_ _"] | UInt16[np.ndarray, "_ _"]
Decoded = tuple[Values, Plane | None]

HAS_AVIF = "avif" in features.modules and features.check_module("avif")  # Pillow may be older, or built without AVIF
# no other formats: some decoders start programs
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM", *(["AVIF"] if HAS_AVIF else []))
READ = "PNG, JPEG, WebP, AVIF, TIFF, GIF or BMP"  # for people
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
WRITTEN: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {"compress_level": 1}),  # takes a third of the time of the usual 6, with a twentieth more bytes
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".webp": ("WEBP", {"lossless": True, "exact": True}),  # exact: keeps the colours of transparent pixels too
}
AGAIN = "Save the picture again as PNG or JPEG."
DEFAULT_LIMITS = ReadLimits()
ORIENTATION, PLANES, BITS = 0x0112, 284, 258  # of EXIF and TIFF
OTHER_SPACES = ("CMYK", "LAB", "YCbCr")  # modes whose profile is used, or does not describe the resulting RGB


@final
@dataclass(frozen=True, eq=False)
class Photo:
    """A picture as RGB of 8 bits, upright. `alpha` is None if the file has no transparency."""

    pixels: Pixels
    alpha: Alpha | None = None

    def __post_init__(self) -> None:
        if self.alpha is not None and self.alpha.shape != self.pixels.shape[:2]:
            raise ValueError(f"pixels are {self.pixels.shape} but alpha is {self.alpha.shape}")

    def opaque(self) -> Pixels:
        """The picture on white: where it is transparent a file holds any colour, which nobody is meant to see."""
        if self.alpha is None:
            return self.pixels
        share = self.alpha[..., None].astype(np.uint16)
        return ((self.pixels * share + 255 * (255 - share) + 127) // 255).astype(np.uint8)


@final
@dataclass(frozen=True, eq=False)
class Original:
    """A picture file upright, as exactly as it can be had and written again.

    `values` are [H, W, 1] (grey) or [H, W, 3] (RGB), `alpha` is [H, W] of the same depth, its largest value opaque.
    `exif` starts at the byte order, has orientation 1 and no thumbnail. `chunks` are PNG's for resolution, texts and
    the meaning of colours. `notes` say for people what was converted or could not be kept.
    """

    values: Values
    alpha: Plane | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    chunks: tuple[png.Chunk, ...] = ()
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
        """The same as 8-bit RGB. Of 16-bit grey levels are rounded; of colour and alpha the upper 8 bits are taken."""
        values, alpha = self.values, self.alpha
        if self.bits == 16:
            rounded = alpha is None and values.shape[2] == 1  # Pillow has already read the others
            values = (values.astype(np.uint32) * 255 + 32767) // 65535 if rounded else values >> 8
            values, alpha = values.astype(np.uint8), None if alpha is None else (alpha >> 8).astype(np.uint8)
        return Photo(values if values.shape[2] == 3 else np.repeat(values, 3, 2), alpha)


def read(source: Source, limits: ReadLimits = DEFAULT_LIMITS) -> Photo:
    """Decode to RGB, 8 bits, upright; of an animation the first frame.

    Colours of transparent pixels stay as they are stored. The bytes are counted before decoding, the pixels after
    reading the header. Raises ImageError, which names the source, for whatever cannot be read, decoded or is over the
    limits.
    """
    return _decode(_bytes(source, limits), source.name, limits, exact=False).photo()


def read_original(source: Source, limits: ReadLimits = DEFAULT_LIMITS) -> Original:
    """Decode without loss, upright; of an animation the first frame.

    Palettes are looked up, CMYK becomes sRGB through its profile. Raises ImageError as `read` does; ExtraError if
    16-bit colour needs OpenCV, which is not installed.
    """
    return _decode(_bytes(source, limits), source.name, limits, exact=True)


def decode_original(data: bytes, limits: ReadLimits = DEFAULT_LIMITS, name: str = "the photo") -> Original:
    """The same of a picture file that is in memory; the errors call it by this name."""
    return _decode(data, name, limits, exact=True)


def formats(data: bytes) -> tuple[str, ...]:
    """The decoders to try on a file; that of HEIC is another package's, loaded for such files alone."""
    return (*FORMATS, "HEIF") if _brand(data) in HEIF_BRANDS and _register_heif() else FORMATS


def name_kind(data: bytes) -> tuple[str, str]:
    """The kind of a file that no decoder here takes, for people, and the cure."""
    brand = _brand(data)
    if brand in (b"avif", b"avis"):
        return "an AVIF picture, which this Pillow does not read", "Install a newer one: pip install -U pillow."
    if brand in HEIF_BRANDS and not _register_heif():
        return "a HEIC picture, which needs pillow-heif", "Install it: pip install 'latentfill[heif]'."
    return "not a picture, or of a kind that is not read", AGAIN


def _brand(data: bytes) -> bytes:
    """The first brand of ISO's container, in which phones keep their pictures; empty for other files."""
    return data[8:12] if data[4:8] == b"ftyp" else b""


@cache
def _register_heif() -> bool:
    """Add the decoder of pillow-heif to Pillow; False if it is not installed."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener(thumbnails=False)
    return True


def write(path: Path, pixels: Pixels, alpha: Alpha | None = None) -> None:
    """Save as the suffix says: `.png` and `.webp` without loss, `.jpg` at quality 95 with full colour.

    Folders are made as needed. The file is there whole or not at all. Raises ImageError if it cannot be written.
    """
    write_file(path, writer(path, pixels, alpha))


def writer(path: Path, pixels: Pixels, alpha: Alpha | None = None) -> Callable[[BinaryIO], object]:
    """The function that writes such a picture to an open file. Raises ImageError for a suffix that is not written."""
    if path.suffix.lower() not in WRITTEN:
        raise ImageError(f"{path}: pictures of this kind are not written", f"End the name in {', '.join(WRITTEN)}.")
    kind, settings = WRITTEN[path.suffix.lower()]
    if kind == "JPEG" and alpha is not None:
        raise ImageError(f"{path}: a JPEG holds no transparency", "End the name in .png or .webp.")
    photo = Photo(pixels, alpha)  # checks that they fit
    image = Image.fromarray(photo.pixels if alpha is None else np.dstack([photo.pixels, alpha]))
    return lambda file: image.save(file, kind, **settings)


def write_original(path: Path, original: Original) -> None:
    """Save as PNG; what `read_original` gives back is equal to `original`, but for its notes.

    Folders are made as needed. The file is there whole or not at all. Raises ImageError if it cannot be written.
    """
    if path.suffix.lower() != ".png":
        raise ImageError(f"{path}: pictures are kept to the bit as PNG alone", "End the name in .png.")
    data = encode(original)
    write_file(path, lambda file: file.write(data))


def encode(original: Original) -> bytes:
    """A PNG file of it, compressed for speed."""
    icc = [] if original.icc is None else [png.icc_chunk(original.icc)]
    exif = [] if original.exif is None else [(b"eXIf", original.exif)]
    return png.encode(original.values, original.alpha, [*icc, *original.chunks, *exif])


def turn_upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Row 0 to the top and column 0 to the left, after the table of EXIF 2.3."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _bytes(source: Source, limits: ReadLimits) -> bytes:
    try:
        return source.bytes(limits.max_bytes)
    except MemoryError as error:
        raise _memory_error(source.name) from error


def _decode(data: bytes, name: str, limits: ReadLimits, *, exact: bool) -> Original:
    """Decode a file, if need be without its metadata: what lies beside the pixels never costs them."""
    if not data:
        raise ImageError(f"{name}: the file is empty", "Make or fetch the file again.")
    try:
        try:
            return _convert(_load(data, name, limits), data, (), exact)
        except (LatentfillError, Image.DecompressionBombError):
            raise
        except Exception:
            bare, lost = metadata.repair(data)
            if not lost:
                raise
            return _convert(_load(bare, name, limits), bare, tuple(lost), exact)
    except LatentfillError:
        raise
    except UnidentifiedImageError as error:
        kind, cure = name_kind(data)
        raise ImageError(f"{name}: {kind}", cure) from error
    except Image.DecompressionBombError as error:
        what = f"{name}: more than 178 million pixels: such pictures are not read"
        raise ImageError(what, "Save the picture smaller.") from error
    except Exception as error:  # with damaged bytes a decoder may raise any error
        if is_out_of_memory(error):
            raise _memory_error(name) from error
        raise ImageError(f"{name}: {error or type(error).__name__}", AGAIN) from error


def _load(data: bytes, name: str, limits: ReadLimits) -> Image.Image:
    with warnings.catch_warnings():  # the size is checked here, before decoding
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image = Image.open(io.BytesIO(data), formats=formats(data))
    width, height = image.size
    if width * height > limits.max_pixels:
        raise ImageError(
            f"{name}: {width} x {height} = {width * height:,} pixels, more than the limit of {limits.max_pixels:,}",
            "Save the picture smaller, or allow more with --max-pixels.",
        )
    if not width * height:
        raise ValueError(f"{width} x {height} pixels are none at all")
    tags = getattr(image, "tag_v2", {})  # Pillow (at least 11 to 13) reads such bytes as 8 bits, without an error
    if tags.get(PLANES) == 2 and max(tags.get(BITS, (8,))) > 8 and image.info.get("compression") == "raw":
        raise ValueError("16 bits per channel in separate planes, which the decoder mixes up")
    image.load()  # Pillow rotates a TIFF here, and changes its orientation tag
    return image


def _convert(image: Image.Image, data: bytes, lost: tuple[str, ...], exact: bool) -> Original:
    """A loaded picture upright; without `exact`, 16-bit colours lose 8 bits and no metadata are read."""
    try:
        orientation = int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # unreadable EXIF data are no reason to lose the picture
        orientation = 1
    conversions: list[str] = []
    values, alpha = _decode_values(image, data, conversions, exact)
    upright = turn_upright(values, orientation), None if alpha is None else turn_upright(alpha, orientation)
    if not exact:
        return Original(*upright)
    exif, lost_exif = metadata.read_exif(image)
    chunks, lost_text = metadata.read_chunks(image, data)
    icc, lost_icc = (None, "") if image.mode in OTHER_SPACES else metadata.read_icc(image, values.shape[2])
    if orientation >= 5:  # height and width are exchanged
        chunks = tuple((k, d[4:8] + d[:4] + d[8:]) if k == b"pHYs" else (k, d) for k, d in chunks)
    notes = [f"not kept: {what}" for what in lost]
    if getattr(image, "is_animated", False):
        notes.append("the first of several pictures in the file")
    notes += [f"not kept: {what}" for what in (lost_exif, lost_text, lost_icc) if what]
    return Original(*upright, icc, exif, chunks, (*notes, *conversions))


def _decode_values(image: Image.Image, data: bytes, notes: list[str], exact: bool) -> Decoded:
    mode, transparent = image.mode, image.has_transparency_data
    if mode == "F":
        raise ValueError("floating-point pixels, whose range is not known")
    if mode.startswith("I"):  # converting to RGB would clip at 255
        return _decode_16_bit_grey(image)
    depth = _depth(image, data) if exact else 8
    if depth == 16 and (deep := _decode_16_bit_colour(image, data)) is not None:
        return deep
    if depth > 8:
        notes.append(f"{depth} bits per channel became 8")
    target = ("L" if mode in ("1", "L", "LA", "La") else "RGB") + ("A" if transparent else "")
    if mode in OTHER_SPACES:
        notes.append(f"{mode} was converted to RGB")
        image = _to_srgb(image)
    if mode in ("La", "RGBa"):
        notes.append("colours multiplied by the alpha were divided by it")
    values = np.array(image if image.mode == target else image.convert(target))
    values = values[..., None] if values.ndim == 2 else values
    return (values[..., :-1], values[..., -1]) if transparent else (values, None)


def _depth(image: Image.Image, data: bytes) -> int:
    """Bits per channel in the file; Pillow gives 8 of the 16 of colours."""
    if image.format == "PNG":
        return data[24]
    if image.format == "TIFF":
        bits: tuple[int, ...] = getattr(image, "tag_v2", {}).get(BITS, (8,))
        return max(bits)
    if image.format == "PPM" and data[:2] in (b"P3", b"P6"):
        largest = re.sub(rb"#[^\n]*\n", b" ", data[:4096]).split(None, 4)[3]
        return 16 if int(largest) > 255 else 8
    if image.format == "HEIF":
        return int(image.info.get("bit_depth", 8))
    if image.format == "AVIF":
        flags = data[data.find(b"av1C") + 6]  # of the AV1 configuration: high_bitdepth, twelve_bit
        return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10
    return 8


def _decode_16_bit_grey(image: Image.Image) -> Decoded:
    values, level = np.asarray(image), image.info.get("transparency")
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("32-bit pixels, whose range is not known")
    alpha = np.where(values == level, 0, 65535).astype(np.uint16) if isinstance(level, int) else None
    return values.astype(np.uint16)[..., None], alpha


def _decode_16_bit_colour(image: Image.Image, data: bytes) -> Decoded | None:
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
    grey = image.format == "PNG" and data[25] == png.COLOUR_TYPES[1, True]
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
            pass  # the profile is damaged, or for another colour space
    return image.convert("RGB")


def _memory_error(name: str) -> ImageError:
    what = f"{name}: there is not enough memory to read it"
    return ImageError(what, "Save the picture smaller, or take a machine with more memory.")


def open_photo(photo: object, limits: ReadLimits | None = None, name: str = "the photo") -> Original:
    """A photo from a file, its bytes, or an array: [H, W], [H, W, 3] (RGB) or [H, W, 4] (with alpha)."""
    limits = limits or ReadLimits()
    if isinstance(photo, Original):
        return photo
    if isinstance(photo, bytes):
        return decode_original(photo, limits, name)
    if isinstance(photo, str | Path):
        return read_original(Source(str(photo), Path(photo)), limits)
    if not isinstance(photo, np.ndarray) or photo.dtype not in (np.uint8, np.uint16):
        raise TypeError(f"a photo is a file or an array of uint8 or uint16, not {kind_of(photo)}")
    values = photo[..., None] if photo.ndim == 2 else photo
    if values.ndim != 3 or values.shape[2] not in (1, 3, 4):
        raise ValueError(f"a photo is [H, W], or [H, W, 3] (RGB) or [H, W, 4] (with alpha), not {list(photo.shape)}")
    if values.shape[2] == 4:
        return Original(np.ascontiguousarray(values[..., :3]), np.ascontiguousarray(values[..., 3]))
    return Original(values)


def kind_of(value: object) -> str:
    """The type of a value, in words for errors."""
    return f"an array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
