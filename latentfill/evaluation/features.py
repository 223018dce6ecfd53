"""Spaces in which collections of pictures are compared, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from PIL import Image

from ..errors import LatentfillError
from ..gan.dcgan import START
from ..gan.gan import Gan
from ..images.pixels import batch_to_images, to_grey
from ..types import PixelBatch
from .distances import Features
from .judges import mobilenet
from .judges.embedding import embed, file
from .metrics import Scores

SIDE = 16  # of the small grey pictures: 256 numbers, fewer than there are pictures to tell them by
AT_ONCE = 64


@final
@dataclass(frozen=True, eq=False)
class Space:
    """A feature space: uint8 [n, h, w, 3] -> [n, f], and in words what it is; some have a distance of pairs as well."""

    measure: Callable[[PixelBatch], Features]
    about: str
    distance: Callable[[PixelBatch, PixelBatch], Scores] | None = None


def pixels(gan: Gan) -> Space:
    """What can be seen with half-closed eyes."""

    def measure(pictures: PixelBatch) -> Features:
        small = [Image.fromarray(to_grey(p)[..., 0]).resize((SIDE, SIDE), Image.Resampling.BOX) for p in pictures]
        return np.stack([np.asarray(picture, np.float32).ravel() / 255 for picture in small])

    return Space(measure, f"{SIDE}x{SIDE} grey pixels, 0 to 1")


def discriminator(gan: Gan) -> Space:
    """What D sees before it judges, averaged over the picture.

    Raises LatentfillError for a discriminator that does not tell.
    """
    network: Any = gan.discriminator
    if not hasattr(network, "features"):
        raise LatentfillError("this model's discriminator tells no features", "Choose another model.")

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
        raise LatentfillError("the model is not of aligned faces", "Train on the output of `latentfill align`.")
    file()
    margin = float(alignment.get("margin", 1.0))
    return Space(lambda pictures: embed(pictures, margin), "128 numbers of dlib's network that tells people apart")


def mobilenet_space(gan: Gan) -> Space:
    """MobileNetV2's last features. Raises LatentfillError without the package that has its weights."""
    mobilenet.file()
    about = "1,280 features of MobileNetV2, which learnt from ImageNet"
    return Space(mobilenet.embed, about, mobilenet.distance)


SPACES: dict[str, Callable[[Gan], Space]] = {
    "pixels": pixels,
    "discriminator": discriminator,
    "dlib-face": dlib_face,
    "mobilenet": mobilenet_space,
}
IDENTITY = "dlib-face"  # the space whose distances say whether two pictures show one person
