"""The grain of a photo: measured around a hole, and synthesised for the generated pixels in it, which have none."""

from math import ceil
from typing import NamedTuple

import numpy as np
import scipy
from jaxtyping import Bool, Float, Float32
from PIL import Image

from ..seeds import philox
from .membrane import solve_laplace

Where = Bool[np.ndarray, "h w"]
Values = Float[np.ndarray, "h w 3"]
Grain = Float32[np.ndarray, "h w 3"]
Plane = Float32[np.ndarray, "_ _"]

BLOCK = 16  # pixels a side of a block with one amplitude
ENOUGH = 64  # least known pixels of a block
SMOOTH = np.array([1, 4, 6, 4, 1], np.float32) / 16  # a blur; it removes grain and edges
CALM = 0.35  # share of a block's pixels, the calmest, that are taken for grain
EXPECTED = 0.454  # standard deviations below which this share of normal noise stays
ROUNDED = 0.257  # standard deviation that rounding to whole grey levels leaves in the removed part
LOUD = 2.0  # times the lower third of the blocks' amplitudes: more is hair, cloth or leaves
WINDOW = 16  # pixels a side of a window with one spectrum: grain is correlated over fewer
WINDOWS = 1000  # most windows; the mean spectrum is then known to a few per cent
PLAIN = (0.1, 0.5)  # range of the windows, ordered by strength, that are taken for grain
COARSEST = 1 / 8  # cycles per pixel: slower changes are the picture, not its grain
PERIOD = 512  # pixels after which the noise repeats
GREY = np.full(3, 1 / np.sqrt(3), np.float32)  # the direction of grey colours, of length 1


class Spectrum(NamedTuple):
    """Power at the frequencies 0, 1/WINDOW, ... 1/2 and beyond, of three colours (in columns) that are independent."""

    power: Float[np.ndarray, "n 3"]
    colours: Float[np.ndarray, "3 3"]


def grain(values: Values, known: Where, scale: float, seed: int) -> Grain:
    """Noise like that in the known pixels of a picture, 0..255, for all of its pixels; in the same units, of mean 0.

    It is for content that was enlarged `scale` times, and has the frequencies that this lacks. The amplitude follows
    that around the hole: it is measured on the calmer pixels of each block, so that edges do not count, in what a small
    blur takes away. Spectrum and colours are the mean over plain windows and all directions. Exactly 0 where the
    picture has no grain.
    """
    values = np.asarray(values, np.float32)
    amplitude = _amplitude(values @ GREY, known)
    spectrum = _spectrum(values, known) if amplitude.any() else None
    if spectrum is None:
        return np.zeros(values.shape, np.float32)
    tile = _tile(spectrum, 0.5 / scale, philox(seed))
    rows, columns = (np.arange(side) % PERIOD for side in known.shape)
    return np.asarray(tile[np.ix_(rows, columns)] * amplitude[..., None])


def _amplitude(grey: Plane, known: Where) -> Plane:
    """The standard deviation of what a small blur takes away; where few pixels are known, carried on from around."""
    whole = [(0, -side % BLOCK) for side in grey.shape]
    smooth, sure = grey, known.astype(np.uint8)
    for axis in (0, 1):
        smooth = scipy.ndimage.correlate1d(smooth, SMOOTH, axis, mode="nearest")
        sure = scipy.ndimage.minimum_filter1d(sure, len(SMOOTH), axis, mode="nearest")
    residual = np.where(sure, np.abs(grey - smooth), np.float32(np.inf))
    blocks = _blocks(np.pad(residual, whole, constant_values=np.inf))
    count = _blocks(np.pad(sure, whole)).sum(-1, dtype=int)
    measured = count >= ENOUGH
    found = np.zeros(measured.shape, np.float32)
    ordered = np.sort(blocks[measured], -1)
    found[measured] = np.take_along_axis(ordered, (CALM * count[measured]).astype(int)[:, None], -1)[:, 0] / EXPECTED
    found = np.sqrt(np.maximum(found**2 - ROUNDED**2, 0))
    if not found.any():
        return np.zeros(grey.shape, np.float32)
    found = np.minimum(_calmer(found, measured), LOUD * np.quantile(found[found > 0], 1 / 3))
    found = solve_laplace(found[..., None], ~measured)[..., 0]
    side = BLOCK * found.shape[1], BLOCK * found.shape[0]
    large = np.asarray(Image.fromarray(found).resize(side, Image.Resampling.BILINEAR))
    return large[: grey.shape[0], : grey.shape[1]]


def _calmer(found: Plane, measured: Bool[np.ndarray, "_ _"]) -> Plane:
    """The grain of the calmer of a block and its neighbours: a single block may hold nothing but an edge."""
    rows, columns = found.shape
    padded = np.pad(np.where(measured, found, np.float32(np.inf)), 1, constant_values=np.inf)
    around = np.stack([padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3)], -1)
    count = np.isfinite(around).sum(-1)
    calm = np.take_along_axis(np.sort(around, -1), (CALM * count).astype(int)[..., None], -1)[..., 0]
    return np.where(measured, calm, np.float32(0))


def _blocks(pixels: np.ndarray) -> np.ndarray:
    """[rows, columns, pixels of a block]"""
    rows, columns = (side // BLOCK for side in pixels.shape)
    return pixels.reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2).reshape(rows, columns, -1)


def _spectrum(values: Values, known: Where) -> Spectrum | None:
    """The mean spectrum of plain windows; None if no window is known that has any grain."""
    half = WINDOW // 2
    height, width = (side // half for side in known.shape)
    small = np.asarray(known[: height * half, : width * half].reshape(height, half, width, half).all((1, 3)))
    corners = half * np.argwhere(small[:-1, :-1] & small[1:, :-1] & small[:-1, 1:] & small[1:, 1:])
    corners = corners[:: 1 + len(corners) // WINDOWS]
    within = np.arange(WINDOW)
    windows = values[corners[:, 0, None, None] + within[:, None], corners[:, 1, None, None] + within]
    hann = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    weights = np.outer(hann, hann)[..., None]
    waves = scipy.fft.fft2((windows - windows.mean((1, 2), keepdims=True)) * weights, axes=(1, 2))
    rounding = (weights**2).sum() / 12
    along = scipy.fft.fftfreq(WINDOW)
    frequency = np.hypot(along[:, None], along)
    fine = frequency >= COARSEST
    strength = (np.abs(waves[:, fine] @ GREY) ** 2).mean(1)
    order = np.argsort(strength)[(strength <= 2 * rounding).sum() :]
    plain = waves[order[int(PLAIN[0] * len(order)) : ceil(PLAIN[1] * len(order))]]
    if not len(plain):
        return None
    every = plain[:, fine].reshape(-1, 3)
    _, colours = np.linalg.eigh((every.conj().T @ every).real.astype(float))
    mean = np.maximum((np.abs(plain @ colours) ** 2).mean(0) - rounding, 0)
    steps = np.minimum(np.rint(frequency * WINDOW), half).astype(int)
    sums = [np.bincount(steps.ravel(), mean[..., i].ravel()) for i in range(3)]
    power = np.stack(sums, -1) / np.bincount(steps.ravel())[:, None]
    coarse = round(COARSEST * WINDOW)
    power[:coarse] = np.minimum(power[:coarse], power[coarse])
    return Spectrum(power, colours)


def _tile(spectrum: Spectrum, cut: float, rng: np.random.Generator) -> Float32[np.ndarray, "_ _ 3"]:
    """Periodic noise [PERIOD, PERIOD, 3] in RGB; with the frequencies below `cut` its grey residual would have sd 1."""
    down, across = scipy.fft.fftfreq(PERIOD)[:, None], scipy.fft.rfftfreq(PERIOD)
    frequency = np.hypot(down, across)
    at = np.arange(len(spectrum.power)) / WINDOW
    power = np.stack([np.interp(frequency, at, spectrum.power[:, i]) for i in range(3)], -1)
    taken = 1 - (np.cos(np.pi * down) * np.cos(np.pi * across)) ** 4  # the share that SMOOTH removes
    both = np.where((across == 0) | (across == 0.5), 1, 2)  # a real transform leaves out half of the frequencies
    unit = (both * (power @ (GREY @ spectrum.colours) ** 2) * taken**2).sum() / PERIOD**2
    missing = np.clip(2 * frequency / cut - 1, 0, 1)
    gain = np.sqrt(power / unit) * missing[..., None]
    gain[0, 0] = 0
    white = scipy.fft.rfft2(rng.standard_normal((PERIOD, PERIOD, 3), np.float32), axes=(0, 1))
    noise = scipy.fft.irfft2(white * gain.astype(np.float32), axes=(0, 1))
    return np.asarray(noise @ spectrum.colours.T, np.float32)
