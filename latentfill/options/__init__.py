"""Every choice a user has, written once. Flags, YAML, the run folder, the model file and the docs read these fields."""

from .bounds import (
    AugmentName,
    Kind,
    LandmarkSet,
    LossName,
    Networks,
    NormName,
    Positive,
    PriorName,
    Scale,
    Share,
    Size,
    Widths,
)
from .cluster import EngineOptions
from .completing import COMPLETE_PRESETS, CompleteOptions, is_odd
from .networks import NetworkOptions, renamed
from .photos import Alignment, PhotoOptions, ReadLimits
from .serving import ServeOptions
from .training import GAN_PRESETS, REGRESSION, TRAIN_KINDS, RunOptions, TrainOptions

__all__ = [
    "COMPLETE_PRESETS",
    "GAN_PRESETS",
    "REGRESSION",
    "TRAIN_KINDS",
    "Alignment",
    "AugmentName",
    "CompleteOptions",
    "EngineOptions",
    "Kind",
    "LandmarkSet",
    "LossName",
    "NetworkOptions",
    "Networks",
    "NormName",
    "PhotoOptions",
    "Positive",
    "PriorName",
    "ReadLimits",
    "RunOptions",
    "Scale",
    "ServeOptions",
    "Share",
    "Size",
    "TrainOptions",
    "Widths",
    "is_odd",
    "renamed",
]
