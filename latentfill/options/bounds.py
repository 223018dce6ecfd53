"""Numbers with bounds, and the names that options choose among."""

import re
from typing import Annotated, Literal

from annotated_types import Gt, Interval, Predicate

DEFAULT_MODEL = "faces-128"
Size = Literal[8, 16, 32, 64, 128, 256]
Widths = Literal["post", "repository"]
Networks = Literal["dcgan", "residual", "pyramid"]
Scale = Literal["tiny", "small", "base"]
NormName = Literal["batch", "virtual", "none"]
PriorName = Literal["uniform", "normal"]
LossName = Literal["non-saturating", "minimax", "relativistic", "wasserstein"]
AugmentName = Literal["auto", "none", "fixed", "adaptive"]
Kind = Literal["gan", "vae", "lapgan", "encoder", "context-encoder", "completer", "upsampler"]
LandmarkSet = Literal["inner-eyes-and-bottom-lip", "outer-eyes-and-nose"]
Share = Annotated[float, Interval(ge=0, le=1)]
Positive = Annotated[int, Gt(0)]


def is_pixels_or_percent(width: int | str) -> bool:
    """Tell whether it is a number of pixels from 0 to 500, or one from 0 to 100 with its sign."""
    if isinstance(width, int):
        return 0 <= width <= 500
    return re.fullmatch(r"(100|\d{1,2}(\.\d{1,9})?)%", width) is not None


Widening = Annotated[int | str, Predicate(is_pixels_or_percent)]
