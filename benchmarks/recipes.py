"""How `train` is begun under each of its presets: shared by the scripts that train."""

from dataclasses import replace
from typing import Literal

from latentfill.options import NetworkOptions, Size, TrainOptions

RECIPES: dict[str, tuple[NetworkOptions, TrainOptions]] = {
    "modern": (NetworkOptions(networks="residual"), TrainOptions()),
    "seed": (NetworkOptions(), TrainOptions()),
}


def recipe(preset: str, size: Size, channels: Literal[1, 3] = 3) -> tuple[NetworkOptions, TrainOptions]:
    network, options = RECIPES[preset]
    return replace(network, size=size, channels=channels), options
