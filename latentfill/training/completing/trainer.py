"""The training of a completer, one batch at a time: G, the encoder and what joins them against a critic with the hole.

Each picture is completed twice, with two noises, and joined with its known pixels as a completion is. The critic says
which of a picture and its completion is real, seeing the hole. The completer is to please it, to have the mean of two
completions near the picture, while they differ as far as the truth may from their mean, and to draw what is known.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, replace
from typing import Any, cast, final

import torch
from torch import Tensor
from torch.nn import functional as F

from ...gan.gan import Gan
from ...gan.layers.across import crew, shared
from ...gan.prior import NormalPrior, key
from ...gan.residual.completer import ResidualCompleter
from ...images.blending import poisson_like
from ...options import TrainOptions
from ...types import Images, Known, Latents
from ..adversarial.losses import LOSSES
from ..adversarial.penalties import penalty
from ..adversarial.player import Player, descend
from ..adversarial.schedule import WARM_UP, WARM_UP_SHARE, keep, risen_and_fallen
from ..completers import DETAILS, SCORES, Draw, draw_known, judge
from ..record import PACE, Curve, Curves, Exhibit
from ..watching.signs import Others

NOISE_STREAM, HOLE_STREAM, SHOWN_STREAM = 26, 27, 28  # seeds of different draws must never meet: below are others'
CRITIC_RATE = 2.0  # times the completer's
COMPLETIONS = 2  # of each picture
HOLE_WEIGHT, KNOWN_WEIGHT = 1.0, 0.5  # of the absolute errors in the hole and of what is known, values in [-1, 1]
# Of the difference of two completions: by this reward samples spread as the posterior does (Bendel et al. 2023, "A
# regularized conditional GAN for posterior sampling in image recovery"). Theirs, 0.289, was too little beside a critic.
REWARD = 0.43
# Of the pattern of every second pixel that four times the channels become so easily: the critic hardly notices it.
GRID_WEIGHT, GRID_CELL = 5.0, 8
LEAST_AREA = 0.02  # of the image: what is measured in smaller holes counts as in one of this size
WINDOW, NEAR, FAR = 15, 3.0, 0.5  # known pixels count the more, the more is missing in a window around them
CURVES: Curves = {
    "discriminator_loss": Curve("discriminator", "d_loss"),
    "generator_loss": Curve("generator", "g_loss"),
    "hole_l1": Curve("hole", "l1/hole"),
    "known_l1": Curve("known", "l1/known"),
    "difference_l1": Curve("difference", "l1/difference"),
    "grid_l1": Curve("grid", "l1/grid"),
    "real_logit": Curve("real", "logit/real"),
    "fake_logit": Curve("fake", "logit/fake"),
    "slope_real": Curve("slope_real", "penalty/r1"),
    "slope_fake": Curve("slope_fake", "penalty/r2"),
    **SCORES,
    **DETAILS,
    **PACE,
}


@final
class CompleterTrainer:
    """A completer with its running average, its critic, and their optimisers; the GAN stays as it is."""

    curves = CURVES
    suffixes = ("",)

    def __init__(
        self,
        gan: Gan,
        completer: ResidualCompleter,
        options: TrainOptions,
        hole: str | Draw,
        held_out: Images | None = None,
    ) -> None:
        self.gan, self.completer, self.options, self.hole, self.held_out = gan, completer, options, hole, held_out
        self.device = next(completer.parameters()).device
        betas = options.beta1, options.beta2
        completer.requires_grad_(True).critic.requires_grad_(False)  # it learns by itself
        self.g = Player(completer, "completer", betas, "averaged")
        self.averaged.critic = completer.critic.requires_grad_(True)  # no average: it is to know the newest completions
        self.d = Player(completer.critic, "critic", betas)
        self.images_seen = 0

    @property
    def averaged(self) -> ResidualCompleter:
        """The running average of the completer, with the critic as it is."""
        return cast(ResidualCompleter, self.g.averaged)

    @property
    def real_images(self) -> int:
        """How many real images a step takes."""
        return self.options.batch_size

    @property
    def images_per_step(self) -> int:
        """By how much a step raises `images_seen`."""
        return self.options.batch_size

    @property
    def precision(self) -> torch.dtype:
        """What the layers compute in."""
        return self.completer.precision

    @property
    def learning_rate(self) -> float:
        """Adam's step of the completer in the last update."""
        return self.g.learning_rate

    def step(self, real: Images) -> dict[str, Tensor]:
        """Complete a batch of real images, each with a hole and two noises of its own; first the critic learns.

        Returns, detached: both losses, means of absolute errors in the `hole` (of the mean of two completions) and of
        what is `known` (the more, the nearer to the hole), the `difference` of two completions, the pattern of every
        second pixel (`grid`), the critic's logits `real` and `fake`, and its squared slopes where they were computed.
        """
        o, batch = self.options, len(real) * crew().size
        numbers = shared(self.images_seen, len(real))
        rises = max(1.0, min(WARM_UP, WARM_UP_SHARE * o.images_seen))
        rate = o.rate * risen_and_fallen(self.images_seen, o.images_seen, o.batch_size, o.decay, rises)
        for player, times in ((self.g, 1.0), (self.d, CRITIC_RATE)):
            player.set(times * rate, (o.beta1, o.beta2))
        known = draw_known(real.shape[-1], numbers, o.seed, self.hole, HOLE_STREAM).to(real)
        drawn, completed = self._complete(real, known, numbers)
        values = self._judge(real, known, completed.detach())
        self.d.let_learn(False)  # it passes gradients through to the completions all the same
        with torch.no_grad():
            on_real = self.completer.judge(real, known)
        on_fake = self.completer.judge(completed, _twice(known))
        adversarial = LOSSES["relativistic"].generator(_twice(on_real), on_fake).mean()
        hole, difference = _errors(real, known, completed)
        around = F.avg_pool2d(1 - known, WINDOW, stride=1, padding=WINDOW // 2)
        kept = ((_twice(real) - drawn).abs() * _twice(known * (FAR + NEAR * around))).mean()
        grid = _grid(drawn)
        loss = adversarial + HOLE_WEIGHT * (hole - REWARD * difference) + KNOWN_WEIGHT * kept + GRID_WEIGHT * grid
        descend(loss, (self.g,))
        self.d.let_learn(True)
        self.images_seen += batch
        self.g.average(keep(batch, min(float(o.average_half_life), 0.05 * self.images_seen)))
        told = {"generator": adversarial, "hole": hole, "known": kept, "difference": difference, "grid": grid}
        return values | {name: value.detach() for name, value in told.items()}

    def is_finite(self) -> bool:
        """Whether every number of both networks and of the average still is one."""
        return self.g.is_finite() and self.d.is_finite()

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        parts = self.g.parts() | self.d.parts()
        return {name: part.state_dict() for name, part in parts.items()} | {"images_seen": self.images_seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue as if never interrupted. Raises KeyError, ValueError or RuntimeError for other networks' state."""
        for player in (self.g, self.d):
            player.load(state)
        self.images_seen = state["images_seen"]

    def graph(self) -> None:
        """None is drawn."""

    def exhibit(self, values: Mapping[str, Tensor]) -> Exhibit:
        """How held-out pictures are completed by the average: most probably, and once more with noise."""
        if self.held_out is None:
            return Exhibit({})

        def complete(images: Images, known: Known, noise: Latents | None = None) -> Images:
            return poisson_like(images, known, self.averaged(images, known, noise))

        def complete_otherwise(images: Images, known: Known) -> Images:
            return complete(images, known, self._noise(SHOWN_STREAM, range(len(images))))

        return judge(complete, self.held_out.to(self.device), complete_otherwise)

    def models(self, about: Mapping[str, Any]) -> dict[str, Gan]:
        """The finished GAN with the averaged completer."""
        completer = deepcopy(self.averaged).requires_grad_(False).eval()
        completer.precision = torch.float32
        facts = {**about, "options": asdict(self.options)}
        facts = {**self.gan.about, "completer": facts}
        return {"": replace(self.gan, completer=completer, about=facts)}

    def _complete(self, real: Images, known: Known, numbers: range) -> tuple[Others, Others]:
        """What is drawn of all images, and then of all again with other noise; and the same joined with the known."""
        condition = self.completer.encode(real, known)
        condition = condition.select(torch.arange(len(real), device=real.device).repeat(COMPLETIONS))
        noise = [COMPLETIONS * number + again for again in range(COMPLETIONS) for number in numbers]
        drawn = self.completer.draw(self.completer.latents(condition, self._noise(NOISE_STREAM, noise)), condition)
        return drawn, poisson_like(_twice(real), _twice(known), drawn)

    def _judge(self, real: Images, known: Known, completed: Others) -> dict[str, Tensor]:
        """One update of the critic: which of a picture and its first completion is real?"""
        o, critic, n = self.options, self.d.network, len(real)
        shown, whole = (torch.cat([images, 1 - known], 1) for images in (completed[:n], real))
        on_fake, on_real = critic(torch.cat([shown, whole])).chunk(2)
        loss = LOSSES["relativistic"].discriminator(on_real, on_fake).mean()
        cost, slopes = loss, dict[str, Tensor]()
        if self.images_seen // o.batch_size % o.penalty_every == 0:
            term, slopes = penalty(critic, whole, shown, real.new_zeros(n), o)
            cost = cost if term is None else cost + o.penalty_every * term
        descend(cost, (self.d,))
        return {"discriminator": loss.detach(), "real": on_real.detach(), "fake": on_fake.detach(), **slopes}

    def _noise(self, stream: int, numbers: range | list[int]) -> Latents:
        seeds = [key(self.options.seed, stream, number) for number in numbers]
        return NormalPrior(self.completer.prior.dim).sample(seeds).to(self.device)


def _errors(real: Images, known: Known, completed: Others) -> tuple[Tensor, Tensor]:
    """Mean absolute error of the mean of two completions, and mean difference of the two; both of the hole alone."""
    one, other = completed.chunk(COMPLETIONS)
    hole = 1 - known
    area = hole.mean((1, 2, 3)).clamp_min(LEAST_AREA)
    error = ((real - (one + other) / 2).abs() * hole).mean((1, 2, 3)) / area
    difference = ((one - other).abs() * hole).mean((1, 2, 3)) / area
    return error.mean(), difference.mean()


def _grid(images: Images) -> Tensor:
    """How strongly every second pixel differs, by rows, by columns and as a chequerboard; means over small cells."""
    fine = images - F.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
    signs = torch.tensor([1.0, -1.0]).to(images).repeat(images.shape[-1] // 2)
    patterns = (signs.expand(len(signs), -1), signs[:, None].expand(-1, len(signs)), signs * signs[:, None])
    return torch.stack([F.avg_pool2d(fine * one, GRID_CELL).abs().mean() for one in patterns]).sum()


def _twice(x: Tensor) -> Tensor:
    """All rows, and all again."""
    return torch.cat([x] * COMPLETIONS)
