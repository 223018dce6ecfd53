"""What stands between the images and D: pieces of the post's relatives, and what they remember of a training."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, final

import torch

from ...errors import LatentfillError
from ...gan.building import AnyDiscriminator, AnyGenerator
from ...gan.dcgan import DcganDiscriminator, DcganGenerator
from ...gan.layers.across import crew, gathered
from ...gan.layers.virtual import is_virtual
from ...gan.prior import key
from ...options import NetworkOptions, TrainOptions
from ...types import Images, PerImage
from .augment import FEW, adapted, augment, draws, sign_rate
from .losses import LOSSES, cross_entropy
from .noise import left, noisy

AUGMENT_STREAM, NOISE_STREAM, REFERENCE_STREAM = 5, 6, 7  # of seeds; the trainer has those below
Role = Literal["real", "fake", "update"]  # why D looks at images: in its own update, or in an update of G
ROLES: dict[Role, int] = {"real": 0, "fake": 1, "update": 2}


def resolved(options: TrainOptions, pictures: int) -> TrainOptions:
    """The same with `auto` decided: few pictures are augmented."""
    if options.augment != "auto":
        return options
    return replace(options, augment="adaptive" if pictures < FEW else "none")


def check_pieces(options: TrainOptions, network: NetworkOptions) -> None:
    """Raise LatentfillError for pieces that do not go together."""
    if options.label_smoothing and not _has_targets(options):
        raise LatentfillError(
            f"--label-smoothing lowers a target, and --loss {options.loss} has none",
            "Leave it out, or train with --loss non-saturating or minimax.",
        )
    if options.labels != "none" and network.networks != "residual":
        raise LatentfillError("--labels: only residual networks can be told any", "Add --networks residual.")


@final
class Pieces:
    """Augmentation, noise, and the reference batches of virtual batch norm."""

    def __init__(self, options: TrainOptions, generator: AnyGenerator, discriminator: AnyDiscriminator) -> None:
        self.options, self.discriminator = options, discriminator
        self.probability = 1.0 if options.augment == "fixed" else 0.0
        self.sigma = 0.0  # of the noise
        if isinstance(generator, DcganGenerator) and is_virtual(generator):
            seeds = [self._seed(REFERENCE_STREAM, n) for n in range(options.batch_size)]
            generator.reference = generator.prior.sample(seeds).to(next(generator.parameters()).device)

    def begin(self, real: Images, seen: int) -> None:
        """A step. Noise has become less by then; D's reference batch are the first pictures that there are."""
        self.sigma = left(self.options.noise, seen / self.options.images_seen)
        d = self.discriminator
        if isinstance(d, DcganDiscriminator) and is_virtual(d) and d.reference is None:
            d.reference = gathered(real[: self.options.batch_size // crew().size]).clone()

    def shown(self, images: Images, numbers: range, role: Role, update: int = 0) -> Images:
        """Images of these numbers as D sees them. For the same role and update they are the same again."""
        number = ROLES[role] + update
        if self.probability:
            images = augment(images, draws(self._seed(AUGMENT_STREAM, number), numbers), self.probability)
        if self.sigma:
            seeds = [self._seed(NOISE_STREAM, (number << 48) + n) for n in numbers]
            images = noisy(images, seeds, self.sigma)
        return images

    def adapt(self, real: PerImage, fake: PerImage) -> dict[str, torch.Tensor]:
        """Augment more or less from now on, going by D's logits; returns how much, if that is wanted."""
        if self.options.augment == "adaptive":
            real = gathered(real)
            rate = sign_rate(real, None if _has_targets(self.options) else gathered(fake))
            self.probability = adapted(self.probability, rate, len(real))
        return {"augment": real.new_tensor(self.probability)} if self.options.augment == "adaptive" else {}

    def state_dict(self) -> dict[str, Any]:
        """What the next step depends on, if anything."""
        state: dict[str, Any] = {"probability": self.probability} if self.options.augment == "adaptive" else {}
        if isinstance(self.discriminator, DcganDiscriminator) and self.discriminator.reference is not None:
            state["reference"] = self.discriminator.reference
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """What an earlier run did not have begins anew."""
        if self.options.augment == "adaptive":
            self.probability = float(state.get("probability", 0.0))
        if "reference" in state and isinstance(self.discriminator, DcganDiscriminator):
            self.discriminator.reference = state["reference"].to(next(self.discriminator.parameters()).device)

    def _seed(self, stream: int, number: int) -> int:
        return key(self.options.seed, stream, number)


def _has_targets(options: TrainOptions) -> bool:
    """Whether D is to give logits of 1 and 0, and not just larger ones to pictures."""
    return LOSSES[options.loss].discriminator is cross_entropy
