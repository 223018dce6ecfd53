"""PNG files as chunks: Pillow writes no 16-bit colour, and keeps no chunk that it does not know."""

import io
import struct
import zlib
from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image, ImageOps

from ..device import map_in_threads

Chunk = tuple[bytes, bytes]  # a kind of four letters, and its data

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {(1, False): 0, (3, False): 2, (1, True): 4, (3, True): 6}  # (channels, alpha)
LARGEST_TEXT = 2**20  # bytes; readers refuse larger compressed chunks, and so does Pillow, with the whole file
ALL_TEXTS = 2**25  # most bytes of all texts of a PNG; readers refuse more
SIZES = {b"pHYs": 9, b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4, b"tIME": 7}
TEXTS = {b"tEXt": "a text", b"zTXt": "a text", b"iTXt": "a text", b"iCCP": "an ICC profile"}
SUB = 1  # PNG's filter "difference to the pixel on the left"; with RLE smaller than Pillow's level 1, and twice as fast
ROWS = 64  # rows filtered and compressed at once: they fit into the processor's cache
ZLIB, END = b"\x78\x01", b"\x03\x00"  # the head of a quickly compressed stream, and an empty last block


def encode_image(image: Image.Image) -> bytes:
    """A PIL image as a file, upright and without loss. Raises TypeError for a mode that no PNG or TIFF holds."""
    upright, file = ImageOps.exif_transpose(image), io.BytesIO()
    try:
        upright.save(file, "TIFF" if image.mode == "CMYK" else "PNG", compress_level=1)
    except OSError as error:
        raise TypeError(f"a PIL image of mode {image.mode} is not read: give image.convert('RGB')") from error
    return file.getvalue()


def read_chunks(data: bytes) -> Iterator[Chunk]:
    """The complete chunks of a PNG file."""
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length


def encode(values: np.ndarray, alpha: np.ndarray | None, chunks: Iterable[Chunk]) -> bytes:
    """A PNG file of uint8 or uint16 [H, W, 1 or 3], with these chunks between its header and its pixels."""
    height, width, channels = values.shape
    sides = np.array([width, height], ">u4").tobytes()
    kind = COLOUR_TYPES[channels, alpha is not None]
    header = b"IHDR", sides + bytes([8 * values.dtype.itemsize, kind, 0, 0, 0])
    return b"".join([SIGNATURE, *map(_pack, [header, *chunks, (b"IDAT", _compress(values, alpha)), (b"IEND", b"")])])


def icc_chunk(profile: bytes) -> Chunk:
    """The chunk of an ICC profile, whatever it holds."""
    return b"iCCP", b"ICC profile\0\0" + zlib.compress(profile)


def repair(data: bytes) -> tuple[bytes, list[str]]:
    """The file without texts and profiles that are too large, damaged chunks and pictures of an animation.

    And what was left out, in words.
    """
    kept, lost, texts, at = [SIGNATURE], [], 0, len(SIGNATURE)
    for kind, body in read_chunks(data):
        stored = data[at : at + 12 + len(body)]
        at += len(stored)
        whole = stored[8 + len(body) :] == _pack((kind, body))[-4:] if kind[:1].islower() else True
        length = _unpacked_length(kind, body) if kind in TEXTS else 0
        if kind in (b"fcTL", b"fdAT"):
            lost.append("further pictures of an animation")
        elif not whole or len(body) != SIZES.get(kind, len(body)) or length is None:
            lost.append(f"a damaged part of the file ({kind.decode('latin-1')})")
        elif length > LARGEST_TEXT:
            lost.append(f"{TEXTS[kind]} of more than {LARGEST_TEXT:,} bytes")
        elif texts + length > ALL_TEXTS:
            lost.append(f"texts of more than {ALL_TEXTS:,} bytes in all")
        else:
            texts += length
            kept.append(stored)
    return b"".join(kept), list(dict.fromkeys(lost))


def _pack(chunk: Chunk) -> bytes:
    kind, data = chunk
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def _compress(values: np.ndarray, alpha: np.ndarray | None) -> bytes:
    """Rows after PNG's filter SUB, in runs and Huffman codes: photos have no longer repetitions worth the search."""

    def compress_band(top: int) -> tuple[np.ndarray, bytes]:
        band = values[top : top + ROWS]
        if alpha is not None:
            band = np.dstack([band, alpha[top : top + ROWS]])
        step = band.shape[2] * band.dtype.itemsize  # bytes of a pixel
        big = np.ascontiguousarray(band.astype(band.dtype.newbyteorder(">"), copy=False))
        rows = big.view(np.uint8).reshape(len(band), -1)
        filtered = np.empty((len(rows), 1 + rows.shape[1]), np.uint8)
        filtered[:, 0] = SUB
        filtered[:, 1 : 1 + step] = rows[:, :step]
        np.subtract(rows[:, step:], rows[:, :-step], out=filtered[:, 1 + step :])
        coder = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
        return filtered, coder.compress(filtered.data) + coder.flush(zlib.Z_SYNC_FLUSH)

    parts, check = [ZLIB], 1
    for filtered, packed in map_in_threads(compress_band, range(0, len(values), ROWS)):
        parts.append(packed)
        check = zlib.adler32(filtered.data, check)
    return b"".join([*parts, END, struct.pack(">I", check)])


def _unpacked_length(kind: bytes, body: bytes) -> int | None:
    """Bytes of a text or profile once it is unpacked, at most LARGEST_TEXT + 1; None if it cannot be."""
    name, found, rest = body.partition(b"\0")
    if not name or not found:
        return None
    if kind == b"tEXt" or (kind == b"iTXt" and rest[:1] == b"\0"):
        return len(rest)
    start = 2 if kind == b"iTXt" else 1
    if rest[start - 1 : start] != b"\0":
        return None
    if kind == b"iTXt":
        rest = b"\0" + rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    try:
        return len(zlib.decompressobj().decompress(rest[1:], LARGEST_TEXT + 1))
    except zlib.error:
        return None
