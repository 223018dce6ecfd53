"""Moving pictures: frames of one size become a GIF that plays for ever."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, final

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from ..images.photos import write_file
from ..types import Pixels

COLOURS = 256  # the most that a GIF has
SAMPLES = 1 << 19  # most pixels that the palette is chosen from
SAMPLES_PER_FRAME = 1 << 13
COMMON = 0.01  # share of the pixels above which a colour is kept as it is


def write_gif(
    path: Path, frames: Iterable[Pixels], seconds_per_frame: float = 0.1, save: Callable[..., None] = write_file
) -> None:
    """Write frames, uint8 [H, W, 3] and all of one size, as an endless GIF; `path` never holds half of one.

    All frames share one palette: exact if they have at most 256 colours together, else chosen from samples of all of
    them (one palette per frame takes thirty times as long, and flickers). Frames may come from a generator: they wait
    in a temporary file. Equal frames in a row become one that is shown for as long.

    `save` writes the file, `files.records.save` for instance. Raises ValueError when there is no frame, when sizes
    differ, or for a time outside 0.01 to 655 seconds; ImageError when nothing can be written there.
    """
    hundredths = round(seconds_per_frame * 100)
    if not 1 <= hundredths <= 0xFFFF:
        raise ValueError(f"a frame of a GIF is shown for 0.01 to 655 seconds, not {seconds_per_frame}")
    with tempfile.TemporaryFile() as waiting:
        colours = _Colours()
        shape: tuple[int, ...] = ()
        for number, frame in enumerate(frames):
            if number and frame.shape != shape:
                raise ValueError(f"the frames of a GIF have one size: frame {number} is {frame.shape}, not {shape}")
            shape = frame.shape
            colours.add(frame)
            waiting.write(frame.tobytes())
        if not shape:
            raise ValueError("a GIF needs at least one frame")
        palette = colours.choose()

        def write(out: IO[bytes]) -> None:
            waiting.seek(0)
            painted = (palette.paint(frame) for frame in _read(waiting, shape))
            first = next(painted)
            # Interlacing would make frames larger; optimising would change their colours.
            options = {"palette": palette.table, "optimize": False, "interlace": 0}
            first.save(out, "GIF", save_all=True, append_images=painted, duration=10 * hundredths, loop=0, **options)

        save(path, write)


@final
class _Colours:
    """The colours of the frames so far: all of them while they are few, and samples."""

    def __init__(self) -> None:
        self._exact: Int[np.ndarray, " n"] | None = np.empty(0, np.int64)  # None if there are more than a palette holds
        self._samples: list[UInt8[np.ndarray, "n 3"]] = []
        self._keep_every = 1

    def add(self, frame: Pixels) -> None:
        if self._exact is not None:
            exact = np.union1d(self._exact, _pack(frame))
            self._exact = exact if len(exact) <= COLOURS else None
        pixels = frame.reshape(-1, 3)
        step = -(-len(pixels) // SAMPLES_PER_FRAME) | 1  # odd, so that it does not always hit the same columns
        self._samples.append(pixels[:: step * self._keep_every].copy())
        if sum(map(len, self._samples)) > SAMPLES:
            self._samples = [sample[::2].copy() for sample in self._samples]
            self._keep_every *= 2

    def choose(self) -> "_Palette":
        """All colours if they fit; else the commonest as they are, so that white stays white, and means of the rest."""
        if self._exact is not None:
            return _Palette(self._exact, b"")
        samples = np.concatenate(self._samples)
        packed, counts = np.unique(_pack(samples), return_counts=True)
        common = packed[counts >= COMMON * len(samples)]
        rest = samples[np.isin(_pack(samples), common, invert=True)]
        if not len(rest):
            return _Palette(common, b"")
        means = Image.fromarray(rest[None]).quantize(COLOURS - len(common), Image.Quantize.MEDIANCUT)
        return _Palette(common, bytes(means.getpalette() or []))


@final
@dataclass(frozen=True)
class _Palette:
    """The colours of a GIF: first those that frames keep to the bit, packed and sorted, then those that come near."""

    exact: Int[np.ndarray, " n"]
    near: bytes  # three bytes for each colour

    @property
    def table(self) -> bytes:
        exact = np.stack([self.exact >> 16, self.exact >> 8 & 255, self.exact & 255], axis=1)
        return exact.astype(np.uint8).tobytes() + self.near

    def paint(self, frame: Pixels) -> Image.Image:
        """The frame, each pixel the number of its colour."""
        packed = _pack(frame)
        numbers = np.searchsorted(self.exact, packed)
        if self.near:  # Pillow rounds colours a little when it looks for the nearest
            palette = Image.new("P", (1, 1))
            palette.putpalette(self.table)
            nearest = Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)  # dither would flicker
            kept = np.append(self.exact, -1)[numbers] == packed
            numbers = np.where(kept, numbers, np.asarray(nearest).reshape(-1))
        painted = Image.fromarray(numbers.astype(np.uint8).reshape(frame.shape[:2]))
        painted.putpalette(self.table)
        return painted


def _pack(frame: UInt8[np.ndarray, "*size 3"]) -> Int[np.ndarray, " n"]:
    """Each colour as one number."""
    packed: Int[np.ndarray, " n"] = frame.reshape(-1, 3).astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    return packed


def _read(frames: IO[bytes], shape: tuple[int, ...]) -> Iterator[Pixels]:
    while data := frames.read(prod(shape)):
        yield np.frombuffer(data, np.uint8).reshape(shape)
