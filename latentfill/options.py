"""Every choice a user has, written once. Flags, YAML, the run folder, the model file and the docs read these fields."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval, Le, Lt

Size = Literal[8, 16, 32, 64, 128, 256]
Widths = Literal["post", "repository"]
PriorName = Literal["uniform", "normal"]
Share = Annotated[float, Interval(ge=0, le=1)]
Positive = Annotated[int, Gt(0)]


@dataclass(frozen=True)
class NetworkOptions:
    """The two networks. They cannot be changed once a run has begun."""

    size: Size = 64
    """side of the square images, in pixels"""
    channels: Literal[1, 3] = 3
    """1 for grey, 3 for colour"""
    widths: Widths = "post"
    """maps of the generator: the post's 512-256-128-64, or the final repository's 512-512-256-128"""
    base: Positive = 64
    """maps at half the image size; all other widths follow (the DCGAN paper: 128)"""
    latent: Positive = 100
    """numbers in z"""
    prior: PriorName = "uniform"
    """distribution of z: uniform on [-1, 1] (the post's) or standard normal"""


@dataclass(frozen=True)
class TrainOptions:
    """How two networks are trained. The defaults are the original's recipe."""

    images_seen: Positive = 600_000
    """stop after so many real images"""
    batch_size: Positive = 64
    """images shown at a time"""
    learning_rate: Annotated[float, Gt(0)] = 2e-4
    """Adam's step for both networks"""
    beta1: Annotated[float, Ge(0), Lt(1)] = 0.5
    """Adam's memory of the gradient"""
    beta2: Annotated[float, Ge(0), Lt(1)] = 0.999
    """Adam's memory of the squared gradient"""
    generator_steps: Positive = 2
    """updates of G for each one of D (the original's two keep D's loss from reaching zero)"""
    decay: Share = 0.0
    """last share of the training over which the learning rate falls linearly to zero"""
    average_half_life: Annotated[int, Ge(0)] = 10_000
    """images after which a past generator counts half in the averaged one; 0 averages nothing"""
    flip: bool = True
    """mirror every other image left to right"""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """what the layers compute in; auto is bf16 where the processor has it"""
    seed: Annotated[int, Ge(0), Le(2**31 - 1)] = 0
    """of the first weights, the latents and the order of the images"""


@dataclass(frozen=True)
class RunOptions:
    """What a run writes beside its model, and when. Counted in images seen."""

    sample_every: Positive = 6_400
    """draw the fixed latents (the original: every 100 batches of 64)"""
    checkpoint_every: Positive = 32_000
    """save all that is needed to go on (the original: every 500 batches)"""
    keep_checkpoints: Positive = 2
    """how many of the newest to keep"""
    snapshot_every: Annotated[int, Ge(0)] = 0
    """keep a model file, raw and averaged, every so many images; 0 keeps only the newest"""
    log_every: Positive = 640
    """a row in metrics.csv and a point in TensorBoard"""
    max_images: Annotated[int, Gt(0)] | None = None
    """use only the first so many pictures (the original's train_size)"""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps, or auto for the first GPU if there is one"""
    threads: Annotated[int, Ge(0)] = 0
    """processor threads; 0 takes all cores"""
    cache: str | None = None
    """where decoded pictures are kept; default: ~/.cache/latentfill"""
