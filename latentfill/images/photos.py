"""Read and write picture files. Where they lie is the matter of `archives`."""

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, final

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image, UnidentifiedImageError, features

from ..errors import ImageError, LatentfillError, is_out_of_memory
from ..files.writing import put, put_rows, sweep
from ..options import ReadLimits
from ..types import Pixels
from . import metadata
from .archives import SUFFIXES, Source

__all__ = ["SUFFIXES", "Alpha", "Photo", "Source", "put", "put_rows", "read", "sweep", "write"]

T = TypeVar("T")
Take = Callable[[Image.Image, bytes, tuple[str, ...]], T]
Alpha = UInt8[np.ndarray, "_ _"]  # 255 = opaque
HAS_AVIF = "avif" in features.modules and features.check_module("avif")  # Pillow may be older, or built without
# no others: some decoders start programs
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM", *(["AVIF"] if HAS_AVIF else []))
READ = "PNG, JPEG, WebP, AVIF, TIFF, GIF or BMP"  # for people
WRITTEN: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {"compress_level": 1}),  # a third of the time of the usual 6, for a twentieth more bytes
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".webp": ("WEBP", {"lossless": True, "exact": True}),  # exact: the colours of transparent pixels too
}
AGAIN = "Save the picture again as PNG or JPEG."
DEFAULT_LIMITS = ReadLimits()


@final
@dataclass(frozen=True, eq=False)
class Photo:
    """What a picture file holds, upright. `alpha` is None if the file has no transparency."""

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


def read(source: Source, limits: ReadLimits = DEFAULT_LIMITS) -> Photo:
    """Decode to RGB, 8 bits, upright; of an animation the first frame.

    16 bits of grey are scaled to 8 with rounding; of 16-bit colour the upper 8 are taken. Colours of transparent
    pixels stay as they are stored. The bytes are counted before decoding, the pixels after reading the header.

    Raises ImageError, which names the source, for whatever cannot be read, decoded or is over the limits.
    """
    return decode(source, limits, lambda image, *_: _photo(image))


def decode(source: Source, limits: ReadLimits, take: Take[T]) -> T:
    """What `take` makes of a picture, which is loaded but not yet upright, of its file's bytes, and of what was lost.

    What lies beside the pixels never costs them: if need be the file is read without it, and `take` is told.
    The bytes are counted before decoding, the pixels after reading the header. Raises ImageError, which names the
    source, for whatever goes wrong, in `take` too.
    """
    try:
        data = source.bytes(limits.max_bytes)
    except MemoryError as error:
        raise _too_much(source.name) from error
    return decode_bytes(data, source.name, limits, take)


def decode_bytes(data: bytes, name: str, limits: ReadLimits, take: Take[T]) -> T:
    """The same of a picture file that is in memory, and need not be a file."""
    if not data:
        raise ImageError(f"{name}: the file is empty", "Make or fetch the file again.")
    try:
        try:
            return take(_loaded(data, name, limits), data, ())
        except (LatentfillError, Image.DecompressionBombError):
            raise
        except Exception:
            bare, lost = metadata.mended(data)
            if not lost:
                raise
            return take(_loaded(bare, name, limits), bare, tuple(lost))
    except LatentfillError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(f"{name}: {name_unread(data)}", AGAIN) from error
    except Image.DecompressionBombError as error:
        what = f"{name}: more than 178 million pixels, which is not decoded at all"
        raise ImageError(what, "Save the picture smaller.") from error
    except Exception as error:  # decoders meet any bytes, and raise any error
        if is_out_of_memory(error):
            raise _too_much(name) from error
        raise ImageError(f"{name}: {error or type(error).__name__}", AGAIN) from error


def _loaded(data: bytes, name: str, limits: ReadLimits) -> Image.Image:
    with warnings.catch_warnings():  # the pixels are counted here, before they are decoded
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    width, height = image.size
    if width * height > limits.max_pixels:
        raise _too_large(name, f"{width} x {height} = {width * height:,} pixels", limits)
    if not width * height:
        raise ValueError(f"{width} x {height} pixels are none at all")
    if _scrambled(image):
        raise ValueError("16 bits per channel in separate planes, which the decoder mixes up")
    image.load()  # a TIFF is turned here, and then says so
    return image


def name_unread(data: bytes) -> str:
    """What a file is that no decoder here takes, for people."""
    brand = data[8:12] if data[4:8] == b"ftyp" else b""  # of ISO's container, in which phones keep their pictures
    if brand in (b"avif", b"avis"):
        return "an AVIF picture, which the Pillow that is installed does not read"
    if brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"):
        return "a HEIC picture, which is not read"
    return "not a picture, or of a kind that is not read"


def write(path: Path, pixels: Pixels, alpha: Alpha | None = None) -> None:
    """Save as the suffix says: `.png` and `.webp` without loss, `.jpg` at quality 95 with full colour.

    Folders are made as needed. The file is there whole or not at all. Raises ImageError if it cannot be written.
    """
    put(path, encoder(path, pixels, alpha))


def encoder(path: Path, pixels: Pixels, alpha: Alpha | None = None) -> Callable[[BinaryIO], object]:
    """What writes such a file to `put` or to a record. Raises ImageError for a suffix that is not written."""
    if path.suffix.lower() not in WRITTEN:
        raise ImageError(f"{path}: pictures of this kind are not written", f"End the name in {', '.join(WRITTEN)}.")
    kind, settings = WRITTEN[path.suffix.lower()]
    if kind == "JPEG" and alpha is not None:
        raise ImageError(f"{path}: a JPEG holds no transparency", "End the name in .png or .webp.")
    photo = Photo(pixels, alpha)  # checks that they fit
    image = Image.fromarray(photo.pixels if alpha is None else np.dstack([photo.pixels, alpha]))
    return lambda file: image.save(file, kind, **settings)


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8. EXIF data that cannot be parsed is no reason to lose the picture."""
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:
        return 1


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Row 0 to the top and column 0 to the left, after the table of EXIF 2.3."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def checked_16_bit(values: np.ndarray) -> UInt16[np.ndarray, "..."]:
    """The same levels of grey as uint16. Raises ValueError for those that are none."""
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("32-bit pixels, whose range is not known")
    return values.astype(np.uint16)


def to_8_bit(values: UInt16[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
    """0..65535 to 0..255, rounded."""
    return ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def _photo(image: Image.Image) -> Photo:
    how = orientation(image)
    pixels, alpha = _decode(image)
    return Photo(turned(pixels, how), None if alpha is None else turned(alpha, how))


def _too_much(name: str) -> ImageError:
    what = f"{name}: there is not enough memory to read it"
    return ImageError(what, "Save the picture smaller, or read it where there is more.")


def _too_large(name: str, what: str, limits: ReadLimits) -> ImageError:
    return ImageError(
        f"{name}: {what}, more than the limit of {limits.max_pixels:,}",
        "Save the picture smaller, or allow more with --max-pixels.",
    )


def _scrambled(image: Image.Image) -> bool:
    """Whether Pillow (11 to 13 at least) takes the bytes of such a TIFF for pixels of 8 bits, without an error."""
    tags = getattr(image, "tag_v2", {})
    return tags.get(284) == 2 and max(tags.get(258, (8,))) > 8 and image.info.get("compression") == "raw"


def _decode(image: Image.Image) -> tuple[Pixels, Alpha | None]:
    if image.mode == "F":
        raise ValueError("floating-point pixels, whose range is not known")
    if image.mode.startswith("I"):  # converting to RGB would clip at 255
        return _decode_16_bit(np.asarray(image), image.info.get("transparency"))
    if image.has_transparency_data:
        rgba = np.array(image.convert("RGBA"))
        return np.ascontiguousarray(rgba[..., :3]), np.ascontiguousarray(rgba[..., 3])
    return np.array(image.convert("RGB")), None


def _decode_16_bit(values: np.ndarray, transparent: object) -> tuple[Pixels, Alpha | None]:
    grey = to_8_bit(checked_16_bit(values))
    alpha = np.where(values == transparent, 0, 255).astype(np.uint8) if isinstance(transparent, int) else None
    return np.repeat(grey[..., None], 3, -1), alpha
