"""Every choice a user has, written once. Flags, YAML, the run folder, the model file and the docs read these fields."""

from dataclasses import dataclass
from typing import Annotated, Literal, final

from annotated_types import Ge, Gt, Interval, Le, Lt, Predicate


def is_odd(number: int) -> bool:
    """Whether a window has a pixel in its middle."""
    return number % 2 == 1


Size = Literal[8, 16, 32, 64, 128, 256]
Widths = Literal["post", "repository"]
PriorName = Literal["uniform", "normal"]
Kind = Literal["gan", "encoder", "context-encoder"]
LandmarkSet = Literal["inner-eyes-and-bottom-lip", "outer-eyes-and-nose"]
Share = Annotated[float, Interval(ge=0, le=1)]
Positive = Annotated[int, Gt(0)]


@final
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


@final
@dataclass(frozen=True)
class TrainOptions:
    """How networks are trained. The defaults are the original's for a GAN, and besides it mirrored and averaged."""

    images_seen: Positive = 600_000
    """stop after so many real images"""
    epochs: Annotated[float, Gt(0)] | None = None
    """stop after so many times all pictures instead (the original's epoch)"""
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


# A regression, not a game: it bears longer steps and memories, and wants the rate to fall at the end.
REGRESSION = TrainOptions(1_000_000, learning_rate=4e-4, beta1=0.9, beta2=0.99, decay=0.35, average_half_life=8_000)
TRAIN_KINDS: dict[Kind, TrainOptions] = {"gan": TrainOptions(), "encoder": REGRESSION, "context-encoder": REGRESSION}


@final
@dataclass(frozen=True)
class RunOptions:
    """What a run writes beside its model, and when. Counted in images seen."""

    sample_every: Positive = 6_400
    """draw the fixed latents, and histograms in TensorBoard (the original: every 100 batches of 64)"""
    checkpoint_every: Positive = 32_000
    """save all that is needed to go on (the original: every 500 batches)"""
    keep_checkpoints: Positive = 2
    """how many of the newest to keep"""
    snapshot_every: Annotated[int, Ge(0)] = 0
    """keep a model file, raw and averaged, every so many images; 0 keeps only the newest"""
    log_every: Positive = 640
    """a row in metrics.csv and a point of each curve in TensorBoard: means over the batches since the last"""
    max_images: Annotated[int, Gt(0)] | None = None
    """use only the first so many pictures that can be read (the original's train_size)"""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps, or auto for the first GPU if there is one"""
    threads: Annotated[int, Ge(0)] = 0
    """processor threads; 0 takes all cores"""
    cache: str | None = None
    """where decoded pictures are kept; default: ~/.cache/latentfill"""


@final
@dataclass(frozen=True)
class Alignment:
    """How the square around a face is cut from a photo. A data folder and a model file can carry it."""

    landmarks: LandmarkSet = "inner-eyes-and-bottom-lip"
    """the three points that are brought to their places. inner-eyes-and-bottom-lip needs dlib's 68-point model, whose
    training pictures exclude commercial use; outer-eyes-and-nose uses its 5-point model, free for any use"""
    similarity: bool = False
    """only turn, shift and scale, so that a face keeps its shape; by default the three points are met exactly, as by
    OpenFace, which can shear"""
    margin: Annotated[float, Interval(ge=0.5, le=8)] = 1.0
    """how much wider than OpenFace's framing, which ends at the chin: 2.0 shows a face as large as in CelebA's aligned
    pictures, 1.7 as in FFHQ's"""


@final
@dataclass(frozen=True)
class ReadLimits:
    """What a picture file may demand before it is decoded."""

    max_bytes: Positive = 256 * 2**20
    """the largest file, in bytes as it is stored (256 MiB)"""
    max_pixels: Annotated[int, Interval(gt=0, le=178_000_000)] = 100_000_000
    """the largest picture, width times height; above 178 million the decoder itself refuses"""


@final
@dataclass(frozen=True)
class CompleteOptions:
    """How an incomplete image is completed. The defaults are the final repository's; what is used is a preset."""

    method: Literal["adam", "nesterov", "hmc", "posterior"] = "adam"
    """how a latent is searched: adam (the repository's), nesterov (the post's); or samples: hmc (theirs), posterior"""
    steps: Annotated[int, Ge(0)] = 1000
    """updates of each latent, or proposals of hmc (the original's nIter), or draws of each chain of posterior"""
    learning_rate: Annotated[float, Gt(0)] = 0.01
    """step of adam and nesterov (lr)"""
    schedule: Literal["constant", "cosine"] = "constant"
    """how the step of adam and nesterov changes: not at all, or down to nothing along half a cosine"""
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.9
    """of nesterov; 0 is plain descent, which the author advised where it oscillates"""
    beta1: Annotated[float, Ge(0), Lt(1)] = 0.9
    """adam's memory of the gradient"""
    beta2: Annotated[float, Ge(0), Lt(1)] = 0.999
    """adam's memory of the squared gradient"""
    epsilon: Annotated[float, Gt(0)] = 1e-8
    """what keeps adam from dividing by zero (eps)"""
    hmc_beta: Annotated[float, Ge(0)] = 0.2
    """inverse temperature: factor of the loss in the energy (hmcBeta)"""
    hmc_step_size: Annotated[float, Gt(0)] = 0.001
    """length of a leapfrog step (hmcEps)"""
    hmc_leapfrog_steps: Positive = 100
    """leapfrog steps, each a gradient, for a proposal (hmcL)"""
    hmc_anneal: Annotated[float, Gt(0)] = 1.0
    """factor of hmc_beta after each proposal; above 1 it cools (hmcAnneal)"""
    warm_up: Positive = 100
    """draws of each chain of posterior before those that count, in which it learns how far to step"""
    leapfrog_steps: Positive = 10
    """gradients for a draw of posterior, on average"""
    context: Literal["l1", "weighted"] = "l1"
    """contextual loss: every known pixel alike (the post's), or the more the nearer to the hole (Yeh et al.)"""
    window: Annotated[int, Gt(0), Predicate(is_odd)] = 7
    """side of the window in which missing pixels are counted for the weights, odd"""
    perceptual: Literal["non-saturating", "saturating"] = "non-saturating"
    """perceptual loss: -log D(G(z)), as the repository computes, or log(1 - D(G(z))), as the papers write"""
    lam: Annotated[float, Ge(0)] = 0.1
    """weight of the perceptual loss"""
    balance: Literal["sum", "mean"] = "sum"
    """what lam is measured against: the sum over all known values (the post's), or their mean, the same for any size"""
    blend: Literal["auto", "overlay", "poisson"] = "auto"
    """how the hole's pixels join the known ones: as they are (overlay, the post's formula), or by their gradients
    (poisson); auto is overlay where a picture has the model's size, and poisson in larger photos"""
    start: Literal["random", "encoder", "auto"] = "random"
    """first latents: random (the repository's), the encoder's guess and others around it, or auto: that if it can be"""
    cold_steps: Annotated[int, Ge(0)] = 0
    """steps to make at least from random latents, and by other methods than adam: an encoder's guess needs fewer"""
    attempts: Positive = 1
    """latents to start from for each image; the best is kept"""
    prune: bool = False
    """give up the worse half of the attempts at a quarter, a half and three quarters of the steps"""
    held_out: Annotated[float, Interval(ge=0, le=0.5)] = 0.0
    """share of the known pixels, near the hole, that the search does not see: by them the best attempt is chosen"""
    tune_steps: Annotated[int, Ge(0)] = 0
    """updates, after the latent's, of it and the generator's maps of 8x8 together, by all known pixels"""
    tune_rate: Annotated[float, Gt(0)] = 0.1
    """first step of the tuning, for the maps; it falls along half a cosine"""
    tune_weight: Annotated[float, Ge(0)] = 1e-4
    """what a change of the maps by their usual size costs, per value"""
    candidates: Positive = 1
    """completions to offer for each image, the most promising first; each is an attempt of its own"""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """what the layers compute in; auto is bf16 where the processor has it"""
    seed: Annotated[int, Ge(0), Le(2**31 - 1)] = 0
    """of the first latents and of hmc's draws"""

    def updates(self, *, warm: bool) -> int:
        """Steps of the search, those of the tuning aside, from an encoder's guess (`warm`) or without one."""
        return self.steps if warm and self.method == "adam" else max(self.steps, self.cold_steps)

    @property
    def starts(self) -> int:
        """Latents to start from for each image; of posterior, its chains, and enough to tell one that is lost."""
        return max(self.attempts, self.candidates, 4 if self.method == "posterior" else 1)


@final
@dataclass(frozen=True)
class PhotoOptions:
    """How a photo of another size than the model's is cut for it, and put together again."""

    place: Literal["auto", "faces", "center"] = "auto"
    """where the model looks: at the faces that the hole touches, or at the central square; auto is faces for models of
    aligned faces. A picture of the model's size is taken whole"""
    upsample: Annotated[int, Interval(ge=0, le=3)] = 1
    """how often to double a photo's size in the search for small faces"""
    outside: Literal["biharmonic", "telea"] = "biharmonic"
    """what fills the part of a hole that the model does not see: the smoothest continuation, or Telea's method"""
    grain: bool = True
    """give the filled part the grain of the photo around it"""


COMPLETE_PRESETS: dict[str, CompleteOptions] = {
    "seed": CompleteOptions(),
    "paper": CompleteOptions(steps=1500, context="weighted", perceptual="saturating", lam=0.003, blend="poisson"),
    # An encoder's guess needs no steps; a model without one gets those of `cold_steps`.
    "fast": CompleteOptions(
        "adam", 0, 0.2, "cosine", start="auto", cold_steps=100, lam=0.0, balance="mean", blend="poisson"
    ),
    "best": CompleteOptions(
        start="auto",
        steps=0,
        cold_steps=100,
        learning_rate=0.2,
        schedule="cosine",
        tune_steps=40,
        context="weighted",
        window=15,
        lam=0.0,
        balance="mean",
        blend="poisson",
    ),
}
