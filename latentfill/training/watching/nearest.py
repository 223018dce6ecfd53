"""The training picture nearest to each sample: to see, and to measure, whether a model has learnt pictures by heart."""

from typing import NamedTuple, final

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn import functional as F

from ...images.pixels import batch_to_images
from ...types import Images, PerImage
from ..dataset import Dataset

MOST = 100_000  # pictures to look among, evenly spaced: 75 MB of thumbnails
SIDE = 8  # pixels of a thumbnail, by which the candidates are chosen
CANDIDATES = 8  # that are compared pixel by pixel
AT_ONCE = 1024


class Nearest(NamedTuple):
    """For each image the training picture nearest to it, mirrored or not, and how far it is: a root mean square."""

    images: Images
    distances: PerImage


@final
class Neighbours:
    """The training pictures, small. Reads all of them once, when it is made."""

    def __init__(self, data: Dataset) -> None:
        self.data = data
        self.numbers = np.unique(np.linspace(0, len(data) - 1, min(MOST, len(data))).round().astype(np.int64))
        groups = (self.numbers[i : i + AT_ONCE] for i in range(0, len(self.numbers), AT_ONCE))
        self.thumbnails = torch.cat([_thumbnails(batch_to_images(data.pixels[group])) for group in groups])

    def nearest(self, images: Images, besides: Int[np.ndarray, " n"] | None = None) -> Nearest:
        """The nearest to each image; `besides` are the pictures' own numbers, which are not to be found."""
        images = images.detach().float().cpu()
        found, distances = [], []
        for row, image in enumerate(images):
            both = torch.stack([image, image.flip(-1)])
            apart = torch.cdist(_thumbnails(both), self.thumbnails)
            if besides is not None:
                apart[:, torch.from_numpy(self.numbers == besides[row])] = torch.inf
            places = apart.amin(0).topk(min(CANDIDATES, apart.shape[1]), largest=False).indices
            pictures = batch_to_images(self.data.pixels[self.numbers[places.numpy()]])
            exact = (pictures[:, None] - both[None]).square().mean((2, 3, 4)).sqrt()
            if besides is not None:
                exact[apart[0, places].isinf()] = torch.inf
            best = int(exact.amin(1).argmin())
            mirrored = bool(exact[best, 1] < exact[best, 0])
            found.append(pictures[best].flip(-1) if mirrored else pictures[best])
            distances.append(exact[best].min())
        return Nearest(torch.stack(found), torch.stack(distances))

    def usual(self, held_out: Images | None, count: int) -> PerImage:
        """How far pictures are from the nearest training picture that the model never saw; of training pictures, other
        than themselves, where none are held out."""
        if held_out is not None and len(held_out) >= count // 4:
            return self.nearest(held_out[:count]).distances
        own = self.numbers[:: max(1, len(self.numbers) // count)][:count]
        if len(self.numbers) < 2:
            return torch.empty(0)
        return self.nearest(batch_to_images(self.data.pixels[own]), own).distances


def _thumbnails(images: Images) -> Tensor:
    """[n, features]"""
    return F.adaptive_avg_pool2d(images, min(SIDE, images.shape[-1])).flatten(1)
