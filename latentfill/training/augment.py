"""Regularisers of D's input: instance noise, augmentation, and the reference batches of virtual batch norm.

Instance noise is of Sønderby et al. (2017), "Amortised MAP inference for image super-resolution", and of Arjovsky and
Bottou (2017), "Towards principled methods for training generative adversarial networks". Augmentation changes reals and
fakes alike before D sees them, so that D does not memorise small collections: colour, translation and cutout with the
ranges of Zhao et al. (2020), "Differentiable augmentation for data-efficient GAN training" (DiffAugment). G learns
through them, and penalties differentiate twice. Only changes that G cannot copy into its images without D noticing
are useful: each is drawn at random, so "none" stays the most probable of each kind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd import Function

from ..errors import LatentfillError
from ..gan.batch_layers import is_virtual
from ..gan.dcgan import DcganDiscriminator, DcganGenerator
from ..gan.model_file import AnyDiscriminator, AnyGenerator
from ..options import NetworkOptions, TrainOptions
from ..process_group import gather, process_group
from ..seeds import Stream, philox
from ..types import Images, PerImage
from .losses import LOSSES, cross_entropy


def add_noise(images: Images, seeds: Sequence[int], sigma: float) -> Images:
    """[n, c, h, w] -> the same with normal noise of that standard deviation, each image's from a seed of its own."""
    if not sigma:
        return images
    noise = torch.empty(images.shape)
    # torch's generator keeps only 32 bits of a seed. They are drawn by Philox, so that streams still differ.
    for row, seed in zip(noise, seeds, strict=True):
        row.normal_(generator=torch.Generator().manual_seed(int(philox(seed).integers(2**32))))
    return images + sigma * noise.to(images)


def noise_level(sigma: float, done: float) -> float:
    """The standard deviation when a share of the training is done: it falls to nothing along a straight line."""
    return sigma * max(0.0, 1 - done)


AugmentationDraws = Float[Tensor, "n 12"]  # in [0, 1): random numbers for an image's changes
DRAWS = 12  # five coins, three for colour, two for translation, two for cutout; a multiple of a Philox block's four
FARTHEST = 0.125  # share of the image's side by which it moves at most
CUT = 0.5  # share of the image's side that is cut out


def augmentation_draws(key: int, numbers: range) -> AugmentationDraws:
    """The numbers of these images in the stream of that key; the n-th has the same ones always.

    All come from one Philox, whose counter is set: a generator for each image would cost as much as the changes do.
    """
    first, count = numbers.start, numbers[-1] + 1 - numbers.start if numbers else 0
    rng = np.random.Generator(np.random.Philox(key=key, counter=first * DRAWS // 4))
    return torch.from_numpy(rng.random((count, DRAWS)).astype(np.float32)[:: numbers.step])


def augment(images: Images, numbers: AugmentationDraws, probability: float = 1.0) -> Images:
    """[n, c, h, w] -> the same shape: each of the five changes is made to each image with that probability.

    Values may leave [-1, 1]; what is moved in or cut out is 0. Twice differentiable in the images.
    """
    if not probability:
        return images
    numbers = numbers.to(images)
    made = numbers[:, :5] < probability
    return _translate_and_cut(_change_colours(images, numbers[:, 5:8], made[:, :3]), numbers[:, 8:], made[:, 3:])


def _change_colours(images: Images, numbers: Float[Tensor, "n 3"], made: Tensor) -> Images:
    """Brightness, saturation and contrast, which together are one affine map of the pixel and of two means."""
    brightness, saturation, contrast = (
        torch.where(chosen, drawn, usual)[:, None, None, None]
        for chosen, drawn, usual in zip(
            made.unbind(1),
            (numbers[:, 0] - 0.5, numbers[:, 1] * 2, numbers[:, 2] + 0.5),
            numbers.new_tensor([0.0, 1.0, 1.0]),
            strict=True,
        )
    )
    grey = sum(images.unbind(1)[1:], images[:, 0])[:, None] / images.shape[1]  # faster than mean(1)
    mean = grey.mean((2, 3), keepdim=True)
    return contrast * saturation * images + (contrast * (1 - saturation) * grey + (1 - contrast) * mean + brightness)


def _translate_and_cut(images: Images, numbers: Float[Tensor, "n 4"], made: Tensor) -> Images:
    h, w = images.shape[2:]
    sizes = numbers.new_tensor([h, w])
    farthest = (sizes * FARTHEST + 0.5).floor()
    moves = (numbers[:, :2] * (2 * farthest + 1)).floor() - farthest
    moved: Images = _Translation.apply(images, (moves * made[:, :1]).long())  # type: ignore[no-untyped-call]
    cut = (sizes * CUT + 0.5).floor()
    # The centre of the cutout may be any pixel, so it may extend beyond the edge.
    start = (numbers[:, 2:] * (sizes + 1 - cut % 2)).floor() - (cut / 2).floor()
    within = [
        (torch.arange(size, device=images.device) >= start[:, i, None])
        & (torch.arange(size, device=images.device) < start[:, i, None] + cut[i])
        for i, size in enumerate((h, w))
    ]
    gone = within[0][:, None, :, None] & within[1][:, None, None, :] & made[:, 1, None, None, None]
    return moved * (~gone).to(moved)


@final
class _Translation(Function):
    """Each image moved down and right by whole pixels, 0 where nothing came. Its transpose moves back."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, moves: Int[Tensor, "n 2"]) -> Tensor:
        ctx.save_for_backward(moves)
        moved = torch.zeros_like(images)
        h, w = images.shape[2:]
        for i, (y, x) in enumerate(moves.tolist()):  # four times as fast as gathering
            to = moved[i, :, max(0, y) : h + min(0, y), max(0, x) : w + min(0, x)]
            to.copy_(images[i, :, max(0, -y) : h + min(0, -y), max(0, -x) : w + min(0, -x)])
        return moved

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (moves,) = ctx.saved_tensors
        back: Tensor = _Translation.apply(grads[0], -moves)  # type: ignore[no-untyped-call]
        return back, None


# Karras et al. (2020), "Training generative adversarial networks with limited data" (ADA).
TARGET = 0.6  # of the sign rate, as in the paper
MOST = 0.8  # beyond this, the paper saw augmentation leak into G's images
IMAGES_TO_RISE = 100_000  # from 0 to 1: the paper's for fine-tuning, as runs here are short; 500,000 from scratch
FEW = 10_000  # pictures; with this many the paper gained much, with 140,000 nothing, and DiffAugment little with 50,000


def sign_rate(real: PerImage, fake: PerImage | None = None) -> float:
    """r_t = E[sign(D(real))]: 0 when D cannot tell pictures it has not learnt, 1 when it knows all by heart.

    Losses of differences leave D's zero anywhere: given the fakes' logits, it is put at their mean.
    """
    return float((real if fake is None else real - fake.mean()).sign().mean())


def adapt_probability(probability: float, rate: float, images: int) -> float:
    """The probability after a number of further images: higher if D overfits, lower if not."""
    step = images / IMAGES_TO_RISE * ((rate > TARGET) - (rate < TARGET))
    return min(MOST, max(0.0, probability + step))


Role = Literal["real", "fake", "update"]  # why D sees images: in its own update, or in an update of G
ROLES: dict[Role, int] = {"real": 0, "fake": 1, "update": 2}


def resolve_augment(options: TrainOptions, pictures: int) -> TrainOptions:
    """The same with `auto` decided: few pictures are augmented."""
    if options.augment != "auto":
        return options
    return replace(options, augment="adaptive" if pictures < FEW else "none")


def check_regularisers(options: TrainOptions, network: NetworkOptions) -> None:
    """Raise LatentfillError for pieces that do not go together."""
    if options.label_smoothing and not _has_targets(options):
        raise LatentfillError(
            f"--loss {options.loss} has no target that --label-smoothing could lower",
            "Leave it out, or train with --loss non-saturating or minimax.",
        )
    if options.labels != "none" and network.networks != "residual":
        raise LatentfillError("only residual networks can use --labels", "Add --networks residual.")


@final
class Regularisers:
    """Augmentation, noise, and the reference batches of virtual batch norm."""

    def __init__(self, options: TrainOptions, generator: AnyGenerator, discriminator: AnyDiscriminator) -> None:
        self.options, self.discriminator = options, discriminator
        self.probability = 1.0 if options.augment == "fixed" else 0.0
        self.sigma = 0.0  # standard deviation of the noise
        if isinstance(generator, DcganGenerator) and is_virtual(generator):
            seeds = [self._seed(Stream.REFERENCE_BATCH, n) for n in range(options.batch_size)]
            generator.reference = generator.prior.sample(seeds).to(next(generator.parameters()).device)

    def begin(self, real: Images, seen: int) -> None:
        """A step. Noise has become less by then; D's reference batch are the first pictures that there are."""
        self.sigma = noise_level(self.options.noise, seen / self.options.images_seen)
        d = self.discriminator
        if isinstance(d, DcganDiscriminator) and is_virtual(d) and d.reference is None:
            d.reference = gather(real[: self.options.batch_size // process_group().size]).clone()

    def apply(self, images: Images, numbers: range, role: Role, update: int = 0) -> Images:
        """Images of these numbers as D sees them. For the same role and update they are the same again."""
        number = ROLES[role] + update
        if self.probability:
            images = augment(
                images, augmentation_draws(self._seed(Stream.AUGMENTATION, number), numbers), self.probability
            )
        if self.sigma:
            seeds = [self._seed(Stream.INSTANCE_NOISE, (number << 48) + n) for n in numbers]
            images = add_noise(images, seeds, self.sigma)
        return images

    def adapt(self, real: PerImage, fake: PerImage) -> dict[str, torch.Tensor]:
        """Augment more or less from now on, going by D's logits; returns how much, if that is wanted."""
        if self.options.augment == "adaptive":
            real = gather(real)
            rate = sign_rate(real, None if _has_targets(self.options) else gather(fake))
            self.probability = adapt_probability(self.probability, rate, len(real))
        return {"augment": real.new_tensor(self.probability)} if self.options.augment == "adaptive" else {}

    def state_dict(self) -> dict[str, Any]:
        """The state that the next step depends on, if any."""
        state: dict[str, Any] = {"probability": self.probability} if self.options.augment == "adaptive" else {}
        if isinstance(self.discriminator, DcganDiscriminator) and self.discriminator.reference is not None:
            state["reference"] = self.discriminator.reference
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a state; what an earlier run did not have begins anew."""
        if self.options.augment == "adaptive":
            self.probability = float(state.get("probability", 0.0))
        if "reference" in state and isinstance(self.discriminator, DcganDiscriminator):
            self.discriminator.reference = state["reference"].to(next(self.discriminator.parameters()).device)

    def _seed(self, stream: Stream, number: int) -> int:
        return stream.key(self.options.seed, number)


def _has_targets(options: TrainOptions) -> bool:
    """True if D is to give logits of 1 and 0, and not just larger ones to pictures."""
    return LOSSES[options.loss].discriminator is cross_entropy
