"""The training of a completer for a finished GAN: G, encoder and connections against a critic that sees the hole.

Its holes are those that people make in photos, and all that an encoder learns from. Each picture is completed twice,
with different noise, and blended with its known pixels as a completion is. The critic sees the hole and says which of
a picture and its completion is real. The completer learns to please the critic, to bring the mean of two completions
near the picture, to make them differ as much as the truth may from their mean, and to reproduce the known pixels.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..device import choose_precision
from ..gan.completer import ResidualCompleter, build_completer
from ..gan.gan import Gan, NormalPrior
from ..gan.model_file import digest_weights
from ..images import hole_shapes as shapes
from ..images.blending import poisson_like
from ..images.hole_shapes import brush, ellipses
from ..images.holes import FEATURES
from ..options import RunOptions, TrainOptions
from ..options.training import EncoderOptions
from ..options.validation import check_bounds
from ..process_group import own_numbers, process_group
from ..runs.data import Dataset
from ..runs.folder import Subject, check_unused
from ..runs.holes import ALL, DETAILS, SCORES, Draw, check_hole, draw_any, draw_known, draw_rectangle, score_completions
from ..runs.interfaces import DEFAULT_CONTEXT, TrainingContext
from ..runs.logs import PACE, Curve, Curves, Progress, Summary
from ..runs.loop import prepare_pictures, run_training
from ..runs.watchdog import Others
from ..seeds import Stream
from ..types import Images, Known, Latents
from .encoder import copy_to
from .losses import LOSSES, penalty
from .optimiser import TrainedNetwork, descend, regression_decay, regression_rate, short_warm_up
from .trainer import NetworksTrainer

# How often each kind of hole is drawn. Where faces are not aligned, a part of a face is another rectangle.
SHARES = {"rectangle": 0.18, "half": 0.14, "center": 0.13, "ellipses": 0.15, "brush": 0.12, "part": 0.18, "any": 0.10}
INVERTED = 0.03  # share of holes that are inverted: known pixels become missing
# Left, top, right and bottom of parts that people cover, in percent of the side, in faces aligned with a margin of 1.
PARTS = [(x, y, x + w, y + h) for (part,) in FEATURES.values() for x, y, w, h in [[one.number for one in part.lengths]]]
SHIFT = 0.05  # share by which each side of a part may shift


def draw_hole(size: int, rng: np.random.Generator, margin: float | None = None) -> shapes.Missing:
    """[size, size]: any hole, with something missing. `margin` is that of the alignment, if these are aligned faces."""
    missing = _draw_hole(size, rng, margin)
    if rng.random() < INVERTED:
        missing = ~missing
    return missing if missing.any() else shapes.half(size, size, 0)


def choose_holes(hole: str, data: Dataset, size: int) -> str | Draw:
    """The holes to learn from: those of that name, or all, among them parts of faces if the pictures are aligned.

    Raises HoleError for a name that cannot be learnt from.
    """
    check_hole(hole, size)
    margin = None if data.alignment is None else float(data.alignment.get("margin", 1.0))
    return partial(draw_hole, margin=margin) if hole == ALL else hole


def _draw_hole(size: int, rng: np.random.Generator, margin: float | None) -> shapes.Missing:
    kind = str(rng.choice(list(SHARES), p=list(SHARES.values())))
    if kind == "half":
        return shapes.half(size, size, int(rng.integers(4)))
    if kind == "center":
        return shapes.center(size, size, 0.25)
    if kind == "ellipses":
        return ellipses(size, size, rng)
    if kind == "brush":
        return brush(size, size, rng)
    if kind == "part" and margin:
        return _part(size, rng, margin)
    return draw_any(size, rng) if kind == "any" else draw_rectangle(size, rng)


def _part(size: int, rng: np.random.Generator, margin: float) -> shapes.Missing:
    """Eyes, nose or mouth of an aligned face, under a rectangle or an ellipse."""
    sides = np.array(PARTS[rng.integers(len(PARTS))]) / 100 + rng.uniform(-SHIFT, SHIFT, 4)
    left, top, right, bottom = np.clip(0.5 + (sides - 0.5) / margin, 0, 1)
    if rng.random() < 0.5:
        return _ellipse(size, (left + right) / 2, (top + bottom) / 2, 0.6 * (right - left), 0.6 * (bottom - top))
    missing = np.zeros((size, size), bool)
    rows, columns = (
        slice(int(a * size), max(int(b * size), int(a * size) + 2)) for a, b in ((top, bottom), (left, right))
    )
    missing[rows, columns] = True
    return missing


def _ellipse(size: int, x: float, y: float, across: float, down: float) -> shapes.Missing:
    """About that middle, with these radii; all in shares of the side."""
    rows, columns = np.mgrid[:size, :size] + 0.5
    inside: shapes.Missing = ((columns / size - x) / across) ** 2 + ((rows / size - y) / down) ** 2 < 1
    return inside


CRITIC_RATE = 2.0  # times the completer's
COMPLETIONS = 2  # completions of each picture
HOLE_WEIGHT, KNOWN_WEIGHT = 0.5, 0.5  # of the absolute errors in the hole and at known pixels, values in [-1, 1]
# Weight of each completion's error of colour, lightness aside. The critic hardly notices a green or orange tint on
# skin, which people see at once; and a soft colour is never seen under sharp lightness.
CHROMA_WEIGHT = 5.0
# Weight of the difference of two completions, which makes samples as diverse as the posterior (Bendel et al. 2023, "A
# regularized conditional GAN for posterior sampling in image recovery"). The paper's 0.289 was too little beside a
# critic.
REWARD = 0.43
# Weight of the pattern of every second pixel, which rearranged channels easily produce and the critic hardly notices.
GRID_WEIGHT, GRID_CELL = 5.0, 8
LEAST_AREA = 0.02  # share of the image; errors in smaller holes count as in a hole of this size
WINDOW, NEAR, FAR = 15, 3.0, 0.5  # known pixels have more weight, the more is missing in a window around them
CRITIC_CURVES: Curves = {
    "real_logit": Curve("real", "logit/real"),
    "fake_logit": Curve("fake", "logit/fake"),
    "slope_real": Curve("slope_real", "penalty/r1"),
    "slope_fake": Curve("slope_fake", "penalty/r2"),
}
CURVES: Curves = {
    "discriminator_loss": Curve("discriminator", "d_loss"),
    "generator_loss": Curve("generator", "g_loss"),
    "hole_l1": Curve("hole", "l1/hole"),
    "chroma_l1": Curve("chroma", "l1/chroma"),
    "known_l1": Curve("known", "l1/known"),
    "difference_l1": Curve("difference", "l1/difference"),
    "grid_l1": Curve("grid", "l1/grid"),
    **CRITIC_CURVES,
    **SCORES,
    **DETAILS,
    **PACE,
}


@final
class CompleterTrainer(NetworksTrainer):
    """A completer with its running average, its critic, and their optimisers; the GAN stays as it is."""

    curves = CURVES

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
        completer.requires_grad_(True).critic.requires_grad_(False)  # the critic is trained separately
        self.g = TrainedNetwork(completer, "completer", betas, "averaged")
        self.averaged.critic = completer.critic.requires_grad_(True)  # not averaged: it judges the newest completions
        self.d = TrainedNetwork(completer.critic, "critic", betas)
        self.networks = (self.g, self.d)
        self.images_seen = 0

    @property
    def averaged(self) -> ResidualCompleter:
        """The running average of the completer, with the present critic."""
        return self.g.averaged

    def step(self, real: Images) -> dict[str, Tensor]:
        """Complete a batch of real images, each with a hole and two noises of its own; first the critic learns.

        Returns, detached: both losses, means of absolute errors in the `hole` (of the mean of two completions) and of
        what is `known` (the more, the nearer to the hole), the `difference` of two completions, the pattern of every
        second pixel (`grid`), the critic's logits `real` and `fake`, and its squared slopes where they were computed.
        """
        o, batch = self.options, len(real) * process_group().size
        numbers = own_numbers(self.images_seen, len(real))
        rate = regression_rate(o, self.images_seen, short_warm_up(o))
        for network, times in ((self.g, 1.0), (self.d, CRITIC_RATE)):
            network.set_rate(times * rate, (o.beta1, o.beta2))
        known = draw_known(real.shape[-1], numbers, o.seed, self.hole, Stream.COMPLETER_HOLES).to(real)
        drawn, completed = self._complete(real, known, numbers)
        values = self._update_critic(real, known, completed.detach())
        self.d.require_gradients(False)  # frozen, it still passes gradients to the completions
        with torch.no_grad():
            on_real = self.completer.judge(real, known)
        on_fake = self.completer.judge(completed, _repeat(known))
        adversarial = LOSSES["relativistic"].generator(_repeat(on_real), on_fake).mean()
        hole, chroma, difference = _errors(real, known, completed)
        around = F.avg_pool2d(1 - known, WINDOW, stride=1, padding=WINDOW // 2)
        kept = ((_repeat(real) - drawn).abs() * _repeat(known * (FAR + NEAR * around))).mean()
        grid = grid_artefacts(drawn)
        loss = adversarial + HOLE_WEIGHT * (hole - REWARD * difference) + KNOWN_WEIGHT * kept
        loss = loss + CHROMA_WEIGHT * chroma + GRID_WEIGHT * grid
        descend(loss, self.g)
        self.d.require_gradients(True)
        self.images_seen += batch
        self.g.average(regression_decay(o, batch, self.images_seen))
        errors = {"hole": hole, "chroma": chroma, "known": kept, "difference": difference, "grid": grid}
        measured = {"generator": adversarial, **errors}
        return values | {name: value.detach() for name, value in measured.items()}

    def summary(self, values: Mapping[str, Tensor]) -> Summary:
        """Held-out pictures completed by the average: most probably, and once more with noise."""
        if self.held_out is None:
            return Summary({})

        def complete(images: Images, known: Known, noise: Latents | None = None) -> Images:
            return poisson_like(images, known, self.averaged(images, known, noise))

        def complete_with_noise(images: Images, known: Known) -> Images:
            return complete(images, known, self._noise(Stream.COMPLETER_SAMPLES, range(len(images))))

        return score_completions(complete, self.held_out.to(self.device), complete_with_noise)

    def models(self, about: Mapping[str, Any]) -> dict[str, Gan]:
        """The finished GAN with the averaged completer."""
        completer = deepcopy(self.averaged).requires_grad_(False).eval()
        completer.precision = torch.float32
        facts = {**about, "options": asdict(self.options)}
        facts = {**self.gan.about, "completer": facts}
        return {"": replace(self.gan, completer=completer, about=facts)}

    def _complete(self, real: Images, known: Known, numbers: range) -> tuple[Others, Others]:
        """Complete all images, and then all again with other noise; returns these, and them joined with the known."""
        condition = self.completer.encode(real, known)
        condition = condition.select(torch.arange(len(real), device=real.device).repeat(COMPLETIONS))
        noise = [COMPLETIONS * number + again for again in range(COMPLETIONS) for number in numbers]
        drawn = self.completer.draw(
            self.completer.latents(condition, self._noise(Stream.COMPLETER_NOISE, noise)), condition
        )
        return drawn, poisson_like(_repeat(real), _repeat(known), drawn)

    def _update_critic(self, real: Images, known: Known, completed: Others) -> dict[str, Tensor]:
        """One update of the critic: which of a picture and its first completion is real?"""
        o, critic, n = self.options, self.d.network, len(real)
        shown, whole = (torch.cat([images, 1 - known], 1) for images in (completed[:n], real))
        on_fake, on_real = critic(torch.cat([shown, whole])).chunk(2)
        loss = LOSSES["relativistic"].discriminator(on_real, on_fake).mean()
        cost, slopes = loss, dict[str, Tensor]()
        if self.images_seen // o.batch_size % o.penalty_every == 0:
            term, slopes = penalty(critic, whole, shown, real.new_zeros(n), o)
            cost = cost if term is None else cost + o.penalty_every * term
        descend(cost, self.d)
        return {"discriminator": loss.detach(), "real": on_real.detach(), "fake": on_fake.detach(), **slopes}

    def _noise(self, stream: Stream, numbers: range | list[int]) -> Latents:
        seeds = [stream.key(self.options.seed, number) for number in numbers]
        return NormalPrior(self.completer.prior.dim).sample(seeds).to(self.device)


def _errors(real: Images, known: Known, completed: Others) -> tuple[Tensor, Tensor, Tensor]:
    """Means in the hole: absolute error of the mean of two completions, that of each one's chroma, their difference."""
    one, other = completed.chunk(COMPLETIONS)
    hole = 1 - known
    area = hole.mean((1, 2, 3)).clamp_min(LEAST_AREA)
    error = ((real - (one + other) / 2).abs() * hole).mean((1, 2, 3)) / area
    difference = ((one - other).abs() * hole).mean((1, 2, 3)) / area
    shift = _repeat(real) - completed
    chroma = ((shift - shift.mean(1, keepdim=True)).abs() * _repeat(hole)).mean((1, 2, 3)) / _repeat(area)
    return error.mean(), chroma.mean(), difference.mean()


def grid_artefacts(images: Images) -> Tensor:
    """The strength of grid artefacts, by rows, by columns and as a chequerboard; means over small cells."""
    fine = images - F.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
    signs = torch.tensor([1.0, -1.0]).to(images).repeat(images.shape[-1] // 2)
    patterns = (signs.expand(len(signs), -1), signs[:, None].expand(-1, len(signs)), signs * signs[:, None])
    return torch.stack([F.avg_pool2d(fine * one, GRID_CELL).abs().mean() for one in patterns]).sum()


def _repeat(x: Tensor) -> Tensor:
    """All rows, and all again."""
    return torch.cat([x] * COMPLETIONS)


OWN_OPTIONS = {"r1", "r2", "penalty_every"}  # options that it uses in addition to those of every training


def train_completer(
    gan: Gan,
    data: Dataset,
    folder: Path,
    options: TrainOptions,
    special: EncoderOptions | None = None,
    run: RunOptions | None = None,
    context: TrainingContext = DEFAULT_CONTEXT,
) -> Iterator[Progress]:
    """Train a completer until `options.images_seen`, as `run.follow` does; the model files hold G, D and the completer.

    It goes on from the model's completer, or else from its encoder and G. Raises ModelError for networks that are not
    residual or were told classes, and ValueError as `run.train` does.
    """
    special, run = special or EncoderOptions(), run or RunOptions()
    check_bounds(options, special, run)
    check_unused(options, "a completer is", "Leave that out, or give --kind gan.", besides=OWN_OPTIONS)
    network = gan.network
    hole = choose_holes(special.hole, data, network.size)
    started = build_completer(gan, options.seed) if gan.completer is None else gan.completer
    if not isinstance(started, ResidualCompleter):
        raise TypeError(f"expected a completer of residual networks, not {type(started)}")
    learnt, held_out, options = prepare_pictures(data, network.size, network.channels, options, special.held_out)

    def trainer(device: torch.device, options: TrainOptions) -> CompleterTrainer:
        completer = deepcopy(started)
        completer.precision = choose_precision(options.precision, device)
        return CompleterTrainer(copy_to(gan, device), completer.to(device), options, hole, held_out)

    about = {
        "network": asdict(network),
        "completer": {"hole": special.hole, "held_out": special.held_out},
        "model": {"generator": digest_weights(gan.generator)[:16]},
    }
    scored = held_out if run.score_every else None
    yield from run_training(trainer, learnt, folder, Subject("completer", about), options, run, context, scored)
