"""Options of networks, of trainings and of runs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, final

from annotated_types import Ge, Gt, Le, Lt

from .bounds import AugmentName, Kind, LossName, Networks, NormName, Positive, PriorName, Scale, Share, Size, Widths


@final
@dataclass(frozen=True)
class NetworkOptions:
    """The two networks. They cannot be changed once a run has begun."""

    size: Size = 64
    """side of the square images, in pixels"""
    channels: Literal[1, 3] = 3
    """1 for grey, 3 for colour"""
    networks: Networks = "dcgan"
    """what they are made of: the post's strided convolutions (dcgan), residual blocks without normalisation, or a
    Laplacian pyramid (Denton et al.): 8 pixels, then what each doubling adds"""
    widths: Widths = "post"
    """dcgan: maps of the generator: the post's 512-256-128-64, or the final repository's 512-512-256-128"""
    base: Positive = 64
    """dcgan, pyramid: maps at half the image size; all other widths follow (the DCGAN paper: 128)"""
    scale: Scale = "tiny"
    """residual: how wide and deep: tiny trains on a processor over a night, small and base want a GPU"""
    norm: NormName = "batch"
    """dcgan, pyramid: what images are normalised over: their batch (the post's); a batch chosen once, so that
    neighbours do not matter (virtual, dcgan); or nothing (none), for penalties on D's gradients"""
    minibatch_kernels: Annotated[int, Ge(0)] = 0
    """statistics of how alike the images of a batch are. D sees them, so G cannot draw one image again and again; 0 for
    none, 100 in the paper"""
    latent: Positive = 100
    """numbers in z"""
    prior: PriorName = "uniform"
    """distribution of z: uniform on [-1, 1] (the post's) or standard normal"""
    critic: bool = True
    """whether there is a discriminator; an autoencoder has none"""
    classes: Annotated[int, Ge(0)] = 0
    """residual: kinds of pictures that the generator can draw on demand; 0 for none"""


def update_names(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Give the networks' options of an older file their names of today."""
    told = dict(fields)
    if "batch_norm" in told:  # a file from the time of two kinds of norm
        told.setdefault("norm", "batch" if told.pop("batch_norm") else "none")
    return told


LONG, LONG_RATE, MOST_FASTER = 600_000, 4e-4, 3.0  # images and rate of a long training; most times a short one's


@final
@dataclass(frozen=True)
class TrainOptions:
    """The training. The defaults are the original's for a GAN; pictures are also mirrored, and weights averaged."""

    images_seen: Positive = 600_000
    """stop after this many real images"""
    epochs: Annotated[float, Gt(0)] | None = None
    """stop after this many times all pictures instead (the original's epoch)"""
    batch_size: Positive = 64
    """images shown at a time"""
    learning_rate: Annotated[float, Ge(0)] = 2e-4
    """Adam's step for both networks; 0 goes by the length: 4e-4 from 600,000 images up, 1.2e-3 from 200,000 down"""
    beta1: Annotated[float, Ge(0), Lt(1)] = 0.5
    """Adam's memory of the gradient"""
    beta2: Annotated[float, Ge(0), Lt(1)] = 0.999
    """Adam's memory of the squared gradient"""
    generator_steps: Positive = 2
    """updates of G for each one of D (the original's two keep D's loss from reaching zero)"""
    loss: LossName = "non-saturating"
    """what the players minimise: the post's; the same with the generator of the game's formula (minimax); pairs of real
    and fake (relativistic); or the difference of the means (wasserstein), which needs gradient_penalty"""
    r1: Annotated[float, Ge(0)] = 0.0
    """gamma of the penalty on D's squared gradient at real images"""
    r2: Annotated[float, Ge(0)] = 0.0
    """gamma of the same at fake images"""
    gradient_penalty: Annotated[float, Ge(0)] = 0.0
    """weight of the squared distance of D's gradient from length 1 between real and fake images (Wasserstein's)"""
    penalty_every: Positive = 1
    """penalise only at every Nth update of D, N times as hard"""
    discriminator_steps: Positive = 1
    """updates of D for each round of G, each on pictures of its own"""
    annealed: bool = False
    """rates rise over 5,000 images; then, along half a cosine, they fall to a quarter and the penalties to a tenth.
    beta2 rises from 0.9, and the average's half-life grows from zero"""
    redraw_first: Annotated[int, Ge(0)] = 0
    """images of the first stage, reconstruction: an encoder sees pictures with holes, G draws the whole ones, and D
    does not play yet. It is twice as quick as the game, and takes at most a quarter of the training"""
    first_divergence: Annotated[float, Ge(0)] = 1.0
    """weight in that stage of keeping the encoder's latents near the prior. A larger one makes samples look more like
    pictures, and reconstructions more blurred"""
    reconstruct: Annotated[float, Ge(0)] = 0.0
    """weight of reconstruction as G's second duty in the game; without it there is no encoder"""
    reconstruct_last: Annotated[int, Ge(0)] = 0
    """reconstruct only in the last N images of the game, at most a quarter of the training; 0 means in all of it"""
    completer: bool = False
    """in those last images G and D stay as they are, and a completer learns. That needs residual networks and no
    labels; without it the game goes on"""
    redrawn_share: Share = 0.0
    """share of reconstructions among the fakes that D judges, each beside its original; the others are samples"""
    divergence: Annotated[float, Ge(0)] = 1.0
    """the weight of first_divergence in the game, and of an autoencoder (beta)"""
    augment: AugmentName = "auto"
    """change the colour and place of reals and fakes before D sees them, and cut parts out, so that D cannot learn few
    pictures by heart: always (fixed), as often as D overfits (adaptive), or never (none); auto is adaptive below 10,000
    pictures"""
    label_smoothing: Annotated[float, Ge(0), Lt(0.5)] = 0.0
    """how far D's target for pictures lies below 1, with the post's loss or minimax; 0.1 in the paper"""
    feature_matching: Annotated[float, Ge(0)] = 0.0
    """weight of G's second duty, that D's features of fakes have the mean of those of pictures"""
    history: Annotated[float, Ge(0)] = 0.0
    """weight of the squared distance of each player's weights from the mean of its past weights"""
    noise: Annotated[float, Ge(0)] = 0.0
    """standard deviation of noise on the images that D sees, which are from -1 to 1; it falls to zero over the
    training"""
    labels: Literal["none", "folders"] = "none"
    """residual: the class of a picture, for G and D: none, or the name of the first folder it lies in (folders)"""
    decay: Share = 0.0
    """last share of the training over which the learning rate falls linearly to zero"""
    average_half_life: Annotated[int, Ge(0)] = 10_000
    """images after which a past generator counts half in the averaged one; 0 averages nothing"""
    flip: bool = True
    """mirror every other image left to right"""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """what the layers compute in; auto is bf16 where the processor is faster with it"""
    seed: Annotated[int, Ge(0), Le(2**31 - 1)] = 0
    """of the first weights, the latents and the order of the images"""

    @property
    def rate(self) -> float:
        """The learning rate, as given or by the length of the training. At the rate of a long training a short one
        stays dull and loses modes.
        """
        return self.learning_rate or LONG_RATE * min(MOST_FASTER, max(1.0, LONG / self.images_seen))

    @property
    def trains_encoder(self) -> bool:
        """Tell whether an encoder learns beside the players."""
        return self.reconstruct > 0

    @property
    def trains_completer(self) -> bool:
        """Tell whether a completer learns in the last images, of a finished game."""
        return self.trains_encoder and self.completer and self.reconstruct_last > 0


# A regression, not a game: it tolerates larger steps and longer memories, and needs a rate that falls at the end.
REGRESSION = TrainOptions(1_000_000, learning_rate=4e-4, beta1=0.9, beta2=0.99, decay=0.35, average_half_life=8_000)
# The critic of a finished model tolerates no larger rate: at 2e-4 it stops telling images apart within 5,000 images.
COMPLETER = TrainOptions(
    400_000,
    learning_rate=6e-5,
    batch_size=16,
    beta1=0.0,
    beta2=0.98,
    r1=0.05,
    r2=0.05,
    penalty_every=16,
    decay=0.25,
    average_half_life=5_000,
)
TRAIN_KINDS: dict[Kind, TrainOptions] = {
    "lapgan": TrainOptions(),
    "vae": TrainOptions(1_000_000, learning_rate=5e-4, beta1=0.9, beta2=0.99, decay=0.35, average_half_life=8_000),
    "encoder": REGRESSION,
    "context-encoder": REGRESSION,
    "completer": COMPLETER,
    # With sixteen squares a step, a rate of 5e-4 and penalties of 0.05 its critic stops telling images apart.
    "upsampler": replace(
        COMPLETER, images_seen=20_000, learning_rate=2e-4, batch_size=4, r1=0.005, r2=0.005, average_half_life=4_000
    ),
}
# Networks of a GAN and their training: the post's, and those after Huang et al. (2024).
GAN_PRESETS: dict[str, tuple[NetworkOptions, TrainOptions]] = {
    "seed": (NetworkOptions(), TrainOptions()),
    "modern": (
        NetworkOptions(networks="residual", latent=128, prior="normal"),
        TrainOptions(
            2_000_000,
            beta1=0.0,
            beta2=0.99,
            generator_steps=1,
            learning_rate=0.0,
            average_half_life=20_000,
            loss="relativistic",
            r1=1.0,
            r2=1.0,
            penalty_every=8,
            annealed=True,
            redraw_first=100_000,
            first_divergence=16.0,
            reconstruct=1.0,
            reconstruct_last=400_000,
            completer=True,
            redrawn_share=0.5,
            divergence=2.0,
        ),
    ),
}


@final
@dataclass(frozen=True)
class RunOptions:
    """Files of a run beside its model, and when they are written, counted in images seen."""

    sample_every: Positive = 6_400
    """draw the fixed latents, and histograms in TensorBoard (the original: every 100 batches of 64)"""
    checkpoint_every: Positive = 32_000
    """save a checkpoint to continue from (the original: every 500 batches)"""
    keep_checkpoints: Positive = 2
    """checkpoints to keep, the newest"""
    snapshot_every: Annotated[int, Ge(0)] = 0
    """keep a model file, raw and averaged, every N images; 0 keeps only the newest"""
    log_every: Positive = 640
    """a row in metrics.csv and a point of each curve in TensorBoard: means over the batches since the last"""
    score_every: Annotated[int, Ge(0)] = 32_000
    """measure how the model completes and draws, and keep the best as RUN/best.safetensors. This takes at most a
    twentieth of the time; 0 turns it off"""
    watch: bool = True
    """watch for collapse, saturation and infinite numbers: report them, go back to a good checkpoint, change a
    setting"""
    dry_run: bool = False
    """make a few steps, say what the training would take (time, memory), and write nothing"""
    max_images: Annotated[int, Gt(0)] | None = None
    """use only the first N pictures that can be read (the original's train_size)"""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps, or auto for the first GPU if there is one"""
    threads: Annotated[int, Ge(0)] = 0
    """processor threads; 0 takes all cores"""
    cache: str | None = None
    """where decoded pictures are kept; default: ~/.cache/latentfill"""


@final
@dataclass(frozen=True)
class EncoderOptions:
    """The encoder or context encoder. These do not change a GAN."""

    hole: str = "all"
    """holes to learn from: all kinds in turn, drawn at random, or one: center, half, random:0.8, pattern, thick, ..."""
    held_out: Annotated[int, Ge(0)] = 128
    """pictures never trained on, whose completions are measured; at most a tenth of all"""
    encoder_base: Positive = 64
    """encoder: maps at half the image size; they double at each level, up to eight times as many"""
    encoder_hidden: Positive = 1024
    """encoder: width of the layer between its maps and the latent"""
    real_share: Share = 0.7
    """encoder: share of pictures in a batch; the rest are images of the generator, and without pictures all are"""
    latent_weight: Annotated[float, Ge(0)] = 0.15
    """encoder: weight of the squared error in the latents; only the generator's images have one"""
    adversarial: Share = 0.001
    """context encoder: weight of the adversarial loss; the squared error in the hole has the rest"""
    border: Annotated[int, Ge(0)] = 0
    """context encoder: known pixels up to this far from the hole count too, ten times as much"""
    skips: bool = False
    """context encoder: hand maps over from the encoder to the decoder, as a U-Net does"""


@final
@dataclass(frozen=True)
class ContextOptions:
    """The network of a context encoder. It cannot be changed once a run has begun."""

    size: Size = 64
    channels: Literal[1, 3] = 3
    base: Positive = 64
    """maps at half the image size; they double at each level, up to eight times as many"""
    skips: bool = False
    """hand maps of every size over from the encoder to the decoder: then it is a U-Net, which theirs is not"""
