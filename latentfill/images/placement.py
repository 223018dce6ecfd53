"""Where in a photo a crop was taken, and so where it has to go back. All geometry is here.

Coordinates are continuous: the pixel in column 0 and row 0 covers the square from (0, 0) to (1, 1), its centre is
(0.5, 0.5). Points are x, y.
"""

from dataclasses import dataclass
from math import ceil
from typing import final

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from ..types import Hole, Pixels

Row = tuple[float, float, float]
Points = Float[np.ndarray, "_ 2"]
Values = Float[np.ndarray, "_ _ _"]
Covered = Bool[np.ndarray, "_ _"]
WHOLE = 0.999  # a pixel of which less lies in the photo is not known


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
        """What cuts it from an array [H, W, ...]."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


@final
@dataclass(frozen=True)
class Placement:
    """A square of `size` pixels; `matrix` takes its coordinates to those of the photo."""

    matrix: tuple[Row, Row]
    size: int

    @staticmethod
    def square(left: float, top: float, side: float, size: int) -> "Placement":
        """An upright square of the photo, `side` of its pixels wide, as `size` pixels."""
        return Placement(((side / size, 0.0, float(left)), (0.0, side / size, float(top))), size)

    @property
    def scale(self) -> float:
        """Pixels of the photo per pixel of the crop, along a side of the mean size."""
        return float(np.sqrt(abs(np.linalg.det(self._linear))))

    @property
    def exact(self) -> bool:
        """Whether each pixel of the crop is one pixel of the photo, so that nothing is resampled."""
        shift = [self.matrix[0][2], self.matrix[1][2]]
        return np.array_equal(self._linear, np.eye(2)) and all(float(v).is_integer() for v in shift)

    def to_photo(self, points: Points) -> Points:
        return np.asarray(points @ self._linear.T + np.array(self.matrix)[:, 2])

    def to_crop(self, points: Points) -> Points:
        return np.asarray((points - np.array(self.matrix)[:, 2]) @ np.linalg.inv(self._linear).T)

    def box(self, height: int, width: int) -> Box:
        """The pixels of a photo of that size that the square touches; empty if it touches none."""
        s = self.size
        corners = self.to_photo(np.array([[0.0, 0], [s, 0], [s, s], [0, s]]))
        left, top = np.clip(np.floor(corners.min(0)), 0, (width, height)).astype(int)
        right, bottom = np.clip(np.ceil(corners.max(0)), 0, (width, height)).astype(int)
        return Box(int(top), int(left), int(bottom), int(right))

    def crop(self, photo: Pixels) -> Pixels:
        """The pixels of the photo [H, W, 3] in the square: averaged when shrinking, bicubic when enlarging.

        What lies outside the photo is black.
        """
        if self.exact and self.box(*photo.shape[:2]).shape == (self.size, self.size):
            return np.ascontiguousarray(photo[self.box(*photo.shape[:2]).slices])
        return self._sampled(Image.fromarray(photo))

    def crop_hole(self, hole: Hole) -> Hole:
        """The same square of a hole [H, W]: 255 where any part of a pixel is in the hole, or outside the photo."""
        known = np.where(hole > 0, 0, 255).astype(np.uint8)
        if self.exact and self.box(*hole.shape).shape == (self.size, self.size):
            return np.ascontiguousarray(255 - known[self.box(*hole.shape).slices])
        covered = self._sampled(Image.fromarray(known).convert("F"))
        return np.where(covered < 255 * WHOLE, 255, 0).astype(np.uint8)

    def covers(self, box: Box) -> Covered:
        """Which pixels of the box have their centres in the square."""
        rows, columns = np.mgrid[box.top : box.bottom, box.left : box.right]
        points = self.to_crop(np.stack([columns.ravel(), rows.ravel()], -1) + 0.5)
        inside: Covered = ((points >= 0) & (points <= self.size)).all(-1).reshape(box.shape)
        return inside

    def back(self, crop: Values, box: Box) -> Values:
        """The values of a crop [size, size, c] at the pixels of a box of the photo, float32 [h, w, c].

        Bicubic, and averaged over each pixel where the photo is coarser than the crop. Only where `covers` is True do
        they mean anything.
        """
        height, width = box.shape
        left, top = int(self.matrix[0][2]), int(self.matrix[1][2])
        if self.exact and box == Box(top, left, top + self.size, left + self.size):
            return np.asarray(crop, np.float32)
        pad = 3
        padded = np.pad(np.asarray(crop, np.float32), ((pad, pad), (pad, pad), (0, 0)), "edge")
        times = max(1, ceil(2 / self.scale)) if self.scale < 1 else 1
        inverse = np.linalg.inv(self._linear)
        shift = inverse @ (np.array([box.left, box.top]) - np.array(self.matrix)[:, 2]) + pad
        data = (*(inverse[0] / times), shift[0], *(inverse[1] / times), shift[1])
        result = np.empty((height, width, crop.shape[2]), np.float32)
        for i in range(crop.shape[2]):
            channel = Image.fromarray(np.ascontiguousarray(padded[..., i]))
            size = (width * times, height * times)
            warped = channel.transform(size, Image.Transform.AFFINE, data, Image.Resampling.BICUBIC)
            result[..., i] = np.asarray(warped.reduce(times) if times > 1 else warped)
        return result

    @property
    def _linear(self) -> Float[np.ndarray, "2 2"]:
        return np.array(self.matrix, float)[:, :2]

    def _sampled(self, image: Image.Image) -> np.ndarray:
        """The square of an image, each pixel the mean of so many samples that none of the image's is passed over."""
        steepest = float(np.linalg.svd(self._linear, compute_uv=False)[0])
        times = 1 if steepest <= 1 else ceil(2 * steepest) if steepest <= 4 else ceil(steepest)
        method = Image.Resampling.BICUBIC if times == 1 else Image.Resampling.BILINEAR
        (a, b, c), (d, e, f) = self.matrix
        side = (times * self.size, times * self.size)
        data = (a / times, b / times, c, d / times, e / times, f)
        large = image.transform(side, Image.Transform.AFFINE, data, method)
        return np.asarray(large.reduce(times) if times > 1 else large)
