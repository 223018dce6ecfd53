"""Placements: where in a photo a crop was taken, and so where it is put back. All geometry is here.

Coordinates are continuous: the pixel in column 0 and row 0 covers the square from (0, 0) to (1, 1), its centre is
(0.5, 0.5). Points are x, y.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import final

import numpy as np
import scipy
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from ..types import Hole

Row = tuple[float, float, float]
Points = Float[np.ndarray, "_ 2"]
Values = Float[np.ndarray, "_ _ _"]
Channels = UInt8[np.ndarray, "_ _ c"]
Plane = Float[np.ndarray, "_ _"]
Covered = Bool[np.ndarray, "_ _"]

ROUNDING = 1e-6  # a scale above 1 by at most this is not shrinking
REACH = 8  # pixels around a part that a spline uses; pixels farther away have weights below 1e-4
SPARSE = 4  # from this many photo pixels per pixel of the crop, one sample for each photo pixel is enough
COARSE = 8  # from twice this many, whole blocks are averaged first: a crop of 1600 pixels takes 30 ms instead of 120
FINE = 1024  # pixels of an enlarged crop; linear interpolation between them errs by less than 0.2 grey levels
CALM = 2  # from this enlargement, a crop's finest pattern would show as a grid of its pixels, so it is removed
CALMING = np.array([1, -6, 15, 44, 15, -6, 1]) / 64  # 1 - sin^6: removes that pattern, keeps 7/8 of one twice as wide


@final
@dataclass(frozen=True)
class Box:
    """A rectangle of whole pixels; `bottom` and `right` are not in it."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.bottom - self.top, self.right - self.left

    @property
    def slices(self) -> tuple[slice, slice]:
        """The slices that cut it from an array [H, W, ...]."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def expand(self, by: int, height: int, width: int) -> "Box":
        """The box with a margin, within a photo of that size."""
        top, left = max(0, self.top - by), max(0, self.left - by)
        return Box(top, left, min(height, self.bottom + by), min(width, self.right + by))

    def union(self, other: "Box") -> "Box":
        """The smallest box that holds both."""
        top, left = min(self.top, other.top), min(self.left, other.left)
        return Box(top, left, max(self.bottom, other.bottom), max(self.right, other.right))


@final
@dataclass(frozen=True)
class Placement:
    """A square of `size` pixels; `matrix` takes its coordinates to those of the photo."""

    matrix: tuple[Row, Row]
    size: int

    @staticmethod
    def square(left: float | int, top: float | int, side: float | int, size: int) -> "Placement":
        """An upright square of the photo, `side` of its pixels wide, as `size` pixels."""
        return Placement(((side / size, 0.0, float(left)), (0.0, side / size, float(top))), size)

    def resize(self, size: int) -> "Placement":
        """The same square of the photo, as `size` pixels."""
        first, second = ((a * self.size / size, b * self.size / size, shift) for a, b, shift in self.matrix)
        return Placement((first, second), size)

    @property
    def scale(self) -> float:
        """Pixels of the photo per pixel of the crop, along a side of the mean size."""
        return float(np.sqrt(abs(np.linalg.det(self._linear))))

    @property
    def exact(self) -> bool:
        """True if each pixel of the crop is one pixel of the photo, so that nothing is resampled."""
        return np.array_equal(self._linear, np.eye(2)) and all(float(v).is_integer() for v in self._shift)

    def to_photo(self, points: Points) -> Points:
        return np.asarray(points @ self._linear.T + self._shift)

    def to_crop(self, points: Points) -> Points:
        return np.asarray((points - self._shift) @ np.linalg.inv(self._linear).T)

    def box(self, height: int, width: int) -> Box:
        """The pixels of a photo of that size that the square touches; empty if it touches none."""
        s = self.size
        corners = self.to_photo(np.array([[0.0, 0], [s, 0], [s, s], [0, s]]))
        left, top = np.clip(np.floor(corners.min(0)), 0, (width, height)).astype(int)
        right, bottom = np.clip(np.ceil(corners.max(0)), 0, (width, height)).astype(int)
        return Box(int(top), int(left), int(bottom), int(right))

    def crop(self, photo: Channels) -> Channels:
        """The square of a photo [H, W, c], black outside of it: averaged when shrinking, a cubic spline if enlarged."""
        if self._is_inside(*photo.shape[:2]):
            return np.ascontiguousarray(photo[self.box(*photo.shape[:2]).slices])
        box, blocks = self._source_box(*photo.shape[:2])
        if 0 in box.shape:
            return np.zeros((self.size, self.size, photo.shape[2]), np.uint8)
        part = _pad_to_blocks(photo[box.slices], blocks, 0)
        method = self._average if self._shrinks else self._interpolate
        channels = np.moveaxis(part, 2, 0).astype(np.float32)
        planes = [method(_block_means(channel, blocks), box, blocks) for channel in channels]
        return np.asarray(np.floor(np.stack(planes, -1).clip(0, 255) + 0.5), np.uint8)

    def crop_hole(self, hole: Hole) -> Hole:
        """The same square of a hole [H, W]: 255 where `crop` looks at any of its pixels, or outside of the photo."""
        if self._is_inside(*hole.shape):
            return np.where(hole[self.box(*hole.shape).slices] > 0, 255, 0).astype(np.uint8)
        box, blocks = self._source_box(*hole.shape)
        if 0 in box.shape:
            return np.full((self.size, self.size), 255, np.uint8)
        part = _pad_to_blocks(np.where(hole[box.slices] > 0, np.uint8(255), np.uint8(0)), blocks, 255)
        height, width = part.shape[0] // blocks, part.shape[1] // blocks
        part = part.reshape(height, blocks, -1).max(1).reshape(height, width, blocks).max(2)
        # a spline reaches farther, but with weights of a tenth and less, and an enlarged photo makes holes grow most
        part = scipy.ndimage.maximum_filter(part, 5 if self._shrinks else 3, mode="nearest")
        times = self._samples_per_side(blocks)
        data = self._data(box, blocks, times)
        image = Image.fromarray(part).transform((times * self.size,) * 2, Image.Transform.AFFINE, data, fillcolor=255)
        return np.asarray(np.asarray(image).reshape(self.size, times, self.size, times).max((1, 3)))

    def depth(self, box: Box) -> Plane:
        """The depth of each pixel's centre of a box inside the square, in pixels of the crop; outside negative."""
        columns, rows = np.arange(box.left, box.right) + 0.5, np.arange(box.top, box.bottom) + 0.5
        inverse, half = np.linalg.inv(self._linear), self.size / 2
        middle = inverse @ self._shift + half
        off = [np.add.outer(b * rows - m, a * columns) for (a, b), m in zip(inverse, middle, strict=True)]
        return np.asarray(half - np.maximum(np.abs(off[0]), np.abs(off[1])), np.float32)

    def covers(self, box: Box) -> Covered:
        """The pixels of the box that have their centres in the square."""
        return np.asarray(self.depth(box) >= 0)

    def uncrop(self, crop: Values, box: Box) -> Values:
        """The values of a crop [size, size, c] at the pixels of a box of the photo, float32 [h, w, c].

        They are those of the cubic spline through the crop's. Where the photo is coarser than the crop, it is averaged
        over each pixel, and so sharpened that a crop of a photo gives that photo. Beyond the crop's
        edge its values go on for a pixel; farther out they mean nothing.
        """
        if self.exact:
            left, top = (int(v) for v in self._shift)
            rows, columns = np.arange(box.top, box.bottom) - top, np.arange(box.left, box.right) - left
            near = np.ix_(rows.clip(0, self.size - 1), columns.clip(0, self.size - 1))
            return np.asarray(crop[near], np.float32)
        fine = max(4, FINE // self.size)
        pad = min(self.size - 1, max(2, ceil(4 / self.scale)))  # sharpening uses 4 pixels of the photo around each
        along = _spline_matrix(self.size, fine, pad, self.scale >= CALM)
        times, more = (ceil(2 / self.scale), 4) if self.scale < 1 - ROUNDING else (1, 0)
        height, width = box.shape
        inverse = np.linalg.inv(self._linear) * fine
        shift = inverse @ (np.array([box.left - more, box.top - more]) - self._shift) + pad * fine
        data = (*(inverse[0] / times), shift[0], *(inverse[1] / times), shift[1])
        side = (width + 2 * more) * times, (height + 2 * more) * times
        planes = []
        for i in range(crop.shape[2]):
            large = Image.fromarray(along @ np.asarray(crop[..., i], np.float32) @ along.T)
            warped = large.transform(side, Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)
            plane = _sharpen(_block_means(np.asarray(warped), times)) if times > 1 else np.asarray(warped)
            planes.append(plane[more : more + height, more : more + width])
        return np.stack(planes, -1)

    @property
    def _linear(self) -> Float[np.ndarray, "2 2"]:
        return np.array(self.matrix, float)[:, :2]

    @property
    def _shift(self) -> Float[np.ndarray, " 2"]:
        return np.array(self.matrix, float)[:, 2]

    @property
    def _steepest(self) -> float:
        """Pixels of the photo per pixel of the crop in the direction where they are most."""
        return float(np.linalg.svd(self._linear, compute_uv=False)[0])

    @property
    def _shrinks(self) -> bool:
        return self._steepest > 1 + ROUNDING

    def _is_inside(self, height: int, width: int) -> bool:
        return self.exact and self.box(height, width).shape == (self.size, self.size)

    def _source_box(self, height: int, width: int) -> tuple[Box, int]:
        """The box of the photo that is read, and the side of the blocks that are averaged first."""
        blocks = max(1, int(self._steepest / COARSE))
        box = self.box(height, width)
        return (box if 0 in box.shape else box.expand(REACH * blocks, height, width)), blocks

    def _samples_per_side(self, blocks: int) -> int:
        """The samples along a side of a pixel that pass over none of the photo's, or of its blocks."""
        steepest = self._steepest / blocks
        return ceil(steepest * (2 if steepest < SPARSE else 1)) if self._shrinks else 1

    def _data(self, box: Box, blocks: int, times: int) -> tuple[float, ...]:
        """From samples of the crop to blocks of a part of the photo, as Pillow wants it."""
        linear, shift = self._linear / (blocks * times), (self._shift - (box.left, box.top)) / blocks
        return (*linear[0], shift[0], *linear[1], shift[1])

    def _average(self, plane: Plane, box: Box, blocks: int) -> Plane:
        """The means over the crop's pixels, of linear interpolation between the photo's."""
        times = self._samples_per_side(blocks)
        # variances: interpolation and blocks blur more than the mean over a pixel, few samples of it blur less
        blur = 1 / 6 + (1 / 12 if blocks > 1 else 0) - (self._steepest / blocks / times) ** 2 / 12
        sharp = plane - np.float32(blur / 2) * scipy.ndimage.laplace(plane, mode="nearest")
        side, data = (times * self.size,) * 2, self._data(box, blocks, times)
        image = Image.fromarray(sharp).transform(side, Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)
        return _block_means(np.asarray(image), times)

    def _interpolate(self, plane: Plane, box: Box, blocks: int) -> Plane:
        """The cubic spline through the photo's pixels, at the crop's; none lies between two."""
        a, b, c, d, e, f = self._data(box, blocks, 1)
        across, down = np.arange(self.size)[None] + 0.5, np.arange(self.size)[:, None] + 0.5
        x, y = a * across + b * down + c, d * across + e * down + f
        values = scipy.ndimage.map_coordinates(plane, [y - 0.5, x - 0.5], order=3, mode="reflect")
        height, width = plane.shape
        return np.where((x >= 0) & (y >= 0) & (x <= width) & (y <= height), values, np.float32(0))


def _block_means(plane: Plane, times: int) -> Plane:
    """The means of blocks."""
    return np.asarray(Image.fromarray(plane).reduce(times)) if times > 1 else plane


def _pad_to_blocks(part: np.ndarray, blocks: int, value: int) -> np.ndarray:
    """Pad with a value to whole blocks."""
    more = [(0, -side % blocks) for side in part.shape[:2]] + [(0, 0)] * (part.ndim - 2)
    return np.pad(part, more, constant_values=value) if any(m for _, m in more) else np.ascontiguousarray(part)


@lru_cache(maxsize=4)
def _spline_matrix(size: int, times: int, pad: int, calm: bool) -> Float[np.ndarray, "_ _"]:
    """[times (size + 2 pad), size]: from samples to the cubic spline through them, turned over at the edges."""
    unit = np.pad(np.eye(size), ((pad + REACH, pad + REACH), (0, 0)), "reflect", reflect_type="odd")
    if calm:
        unit = scipy.ndimage.correlate1d(unit, CALMING, 0)
    weights = scipy.ndimage.spline_filter1d(unit, 3, 0)
    at = (np.arange(times * (size + 2 * pad)) + 0.5) / times + REACH - 0.5
    columns = [scipy.ndimage.map_coordinates(weights[:, i], at[None], order=3, prefilter=False) for i in range(size)]
    return np.stack(columns, -1).astype(np.float32)


def _sharpen(means: Plane) -> Plane:
    """The samples of the cubic spline, on a grid of pixels, that has these means over the pixels."""
    for axis in (0, 1):  # the mean of a cubic B-spline over a pixel is the quartic B-spline at its centre
        means = scipy.ndimage.correlate1d(scipy.ndimage.spline_filter1d(means, 4, axis), [1 / 6, 4 / 6, 1 / 6], axis)
    return means.astype(np.float32)
