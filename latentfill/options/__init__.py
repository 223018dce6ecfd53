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
from .completion import COMPLETE_PRESETS, Alignment, CompleteOptions, PhotoOptions, ReadLimits, is_odd, refuse_removed
from .serving import EngineOptions, ServeOptions
from .training import GAN_PRESETS, REGRESSION, TRAIN_KINDS, NetworkOptions, RunOptions, TrainOptions, update_names

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
    "refuse_removed",
    "update_names",
]
