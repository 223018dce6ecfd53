"""The training of an upsampler, which redraws the completions of a finished model at twice their size.

It learns on squares of half the pictures' side, since all that it adds is local. Half of them are of pictures that the
completer completed, so that it knows what it will be given; the others are of pictures that were only shrunk, so that
the truth is known. A critic of small parts says which of a picture and its redrawn copy is real.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, cast, final, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..device import choose_precision
from ..errors import ModelError
from ..gan.completer import Upsampler, build_upsampler
from ..gan.dcgan import SLOPE, blank, convolve
from ..gan.gan import Completer, Gan, NormalPrior
from ..gan.model_file import digest_weights
from ..gan.residual import double, halve, initialise
from ..images.blending import poisson_like
from ..options import RunOptions, Size, TrainOptions
from ..options.training import EncoderOptions
from ..options.validation import check_bounds
from ..process_group import own_numbers, process_group
from ..runs.data import Dataset
from ..runs.folder import Subject, check_unused
from ..runs.holes import DETAILS, Draw, draw_known, score_completions
from ..runs.interfaces import DEFAULT_CONTEXT, TrainingContext
from ..runs.logs import PACE, Curve, Curves, Progress, Summary
from ..runs.loop import prepare_pictures, run_training
from ..seeds import Stream, philox
from ..types import Images, Known, LargeImages, LargeKnown, PerImage
from .completer import CRITIC_CURVES, LEAST_AREA, OWN_OPTIONS, choose_holes, grid_artefacts
from .encoder import copy_to
from .losses import LOSSES, penalty
from .optimiser import TrainedNetwork, descend, regression_decay, regression_rate, short_warm_up
from .trainer import NetworksTrainer

CRITIC_MAPS = 48, 96, 192  # of the critic, each at half the size of the one before
CELL = 2 ** len(CRITIC_MAPS)  # pixels a side of the parts that it judges, by what is around them
DETAIL_GAIN = 8.0  # of the finest detail, which is too faint beside the tones for the critic to notice it
CRITIC_RATE = 3.0  # times the upsampler's
HOLE_WEIGHT, KNOWN_WEIGHT = 20.0, 20.0  # of the absolute errors; in the hole of a completion, of its colours alone
SHRUNK_WEIGHT = 20.0  # of the absolute difference between what was given and what was drawn, shrunk
GRID_WEIGHT = 1.0
CURVES: Curves = {
    "discriminator_loss": Curve("discriminator", "d_loss"),
    "generator_loss": Curve("generator", "g_loss"),
    "hole_l1": Curve("hole", "l1/hole"),
    "shrunk_l1": Curve("shrunk", "l1/shrunk"),
    "known_l1": Curve("known", "l1/known"),
    "grid_l1": Curve("grid", "l1/grid"),
    **CRITIC_CURVES,
    **DETAILS,
    **PACE,
}


@final
class PatchCritic(nn.Module):
    """Logits of all parts of images with their holes (Isola et al. 2017, "Image-to-image translation", PatchGAN)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.precision = torch.float32
        widths = [4 * (2 * channels + 1), *CRITIC_MAPS]
        self.layers = nn.ModuleList(blank(nn.Conv2d, a, b, 3, padding=1) for a, b in pairwise(widths))
        self.judge = blank(nn.Conv2d, widths[-1], 1, 3, padding=1)

    def forward(self, images: Images, known: Known) -> Tensor:
        """[n, channels, h, w], [n, 1, h, w] -> [n, 1, h / 8, w / 8]"""
        fine = DETAIL_GAIN * (images - double(halve(images)))
        x = F.pixel_unshuffle(torch.cat([images, fine, 1 - known], 1), 2)
        x = x.to(self.precision, memory_format=torch.channels_last)
        for number, layer in enumerate(self.layers):
            x = F.leaky_relu(convolve(halve(x) if number else x, layer), SLOPE)
        return convolve(x, self.judge).float()


class Squares(NamedTuple):
    """Squares of completions, and of the pictures at twice their size."""

    completed: Images
    real: LargeImages
    known: LargeKnown


@final
class UpsamplerTrainer(NetworksTrainer):
    """An upsampler with its running average, its critic, and their optimisers; the model stays as it is."""

    curves = CURVES

    def __init__(
        self,
        gan: Gan,
        upsampler: Upsampler,
        critic: PatchCritic,
        options: TrainOptions,
        hole: str | Draw,
        held_out: Images | None = None,
    ) -> None:
        self.gan, self.options, self.hole, self.held_out = gan, options, hole, held_out
        betas = options.beta1, options.beta2
        self.g = TrainedNetwork(upsampler, "upsampler", betas, "averaged")
        self.d = TrainedNetwork(critic, "critic", betas)
        self.networks = (self.g, self.d)
        self.images_seen = 0

    @property
    def completer(self) -> Completer:
        """What draws the completions that are redrawn."""
        return cast(Completer, self.gan.completer)

    def step(self, real: Images) -> dict[str, Tensor]:
        """Redraw a square of each real image at twice its size; first the critic learns.

        Returns, detached: both losses, means of absolute errors in the `hole`, of what is `known`, and of what was
        drawn and `shrunk` again, the pattern of every second pixel (`grid`), the critic's mean logits `real` and
        `fake`, and its squared slopes where they were computed.
        """
        o, batch = self.options, len(real) * process_group().size
        numbers = own_numbers(self.images_seen, len(real))
        rate = regression_rate(o, self.images_seen, short_warm_up(o))
        for network, times in ((self.g, 1.0), (self.d, CRITIC_RATE)):
            network.set_rate(times * rate, (o.beta1, o.beta2))
        known = draw_known(real.shape[-1], numbers, o.seed, self.hole, Stream.UPSAMPLER_HOLES).to(real)
        squares = self._squares(real, known, numbers)
        completed, x, known = squares
        drawn = self.g.network(completed, x, known)
        redrawn = torch.where(known > 0, x, drawn)
        weight = F.avg_pool2d(1 - known, CELL)
        weight = weight / weight.sum((1, 2, 3), keepdim=True).clamp_min(1)
        values = self._update_critic(x, known, redrawn.detach(), weight)
        self.d.require_gradients(False)
        on_real, on_fake = self.d.network(torch.cat([x, redrawn]), torch.cat([known] * 2)).chunk(2)
        adversarial = (LOSSES["relativistic"].generator(on_real, on_fake) * weight).sum((1, 2, 3)).mean()
        errors = self._errors(squares, drawn, numbers)
        loss = adversarial + HOLE_WEIGHT * errors["hole"] + KNOWN_WEIGHT * errors["known"]
        loss = loss + SHRUNK_WEIGHT * errors["shrunk"] + GRID_WEIGHT * errors["grid"]
        descend(loss, self.g)
        self.d.require_gradients(True)
        self.images_seen += batch
        self.g.average(regression_decay(o, batch, self.images_seen))
        return values | {name: value.detach() for name, value in {"generator": adversarial, **errors}.items()}

    def summary(self, values: Mapping[str, Tensor]) -> Summary:
        """Held-out pictures, completed and redrawn by the average, and their detail. A PSNR would prefer blur."""
        if self.held_out is None:
            return Summary({})
        upsampler = self.g.averaged

        def complete(images: Images, known: Known) -> Images:
            drawn = upsampler(_complete(self.completer, images, known), images, known)
            return torch.where(known > 0, images, drawn)

        scored = score_completions(complete, self.held_out.to(self.gan.device))
        return Summary(scored.sheets, scores={name: scored.scores[name] for name in DETAILS})

    def models(self, about: Mapping[str, Any]) -> dict[str, Gan]:
        """The finished model with the averaged upsampler."""
        upsampler = deepcopy(self.g.averaged).requires_grad_(False).eval()
        upsampler.precision = torch.float32
        facts = {**self.gan.about, "upsampler": {**about, "options": asdict(self.options)}}
        return {"": replace(self.gan, upsampler=upsampler, about=facts)}

    def _squares(self, real: Images, known: Known, numbers: range) -> Squares:
        """A square with something missing of each image; the completer completed those of even numbers."""
        completed, side = halve(real), real.shape[-1] // 2
        rows = [row for row, number in enumerate(numbers) if number % 2 == 0]
        if rows:
            keys = [Stream.UPSAMPLER_NOISE.key(self.options.seed, numbers[row]) for row in rows]
            noise = NormalPrior(self.completer.prior.dim).sample(keys).to(real)
            completed[rows] = _complete(self.completer, real[rows], known[rows], noise)
        parts = []
        for row, number in enumerate(numbers):
            rng = philox(Stream.UPSAMPLER_SQUARES.key(self.options.seed, number))
            missing = np.argwhere(known[row, 0].cpu().numpy() == 0)
            middle = missing[rng.integers(len(missing))] + rng.integers(-side // 4, side // 4 + 1, 2)
            top, left = (int(start) // CELL * CELL for start in np.clip(middle - side // 2, 0, side))
            large = np.s_[row, :, top : top + side, left : left + side]
            small = np.s_[row, :, top // 2 : (top + side) // 2, left // 2 : (left + side) // 2]
            parts.append((completed[small], real[large], known[large]))
        return Squares(*(torch.stack(one) for one in zip(*parts, strict=True)))

    def _update_critic(self, real: Images, known: Known, redrawn: Images, weight: Tensor) -> dict[str, Tensor]:
        """One update of the critic: which of a picture and its redrawn copy is real?"""
        o, critic = self.options, self.d.network
        on_fake, on_real = critic(torch.cat([redrawn, real]), torch.cat([known] * 2)).chunk(2)
        loss = (LOSSES["relativistic"].discriminator(on_real, on_fake) * weight).sum((1, 2, 3)).mean()
        cost, slopes = loss, dict[str, Tensor]()
        if self.images_seen // o.batch_size % o.penalty_every == 0:

            def judge(images: Images) -> PerImage:
                logits: PerImage = (critic(images, known) * weight).sum((1, 2, 3))
                return logits

            term, slopes = penalty(judge, real, redrawn, real.new_zeros(len(real)), o)
            cost = cost if term is None else cost + o.penalty_every * term
        descend(cost, self.d)
        logits = {"real": on_real, "fake": on_fake}
        means = {name: (one.detach() * weight).sum((1, 2, 3)) for name, one in logits.items()}
        return {"discriminator": loss.detach(), **means, **slopes}

    def _errors(self, squares: Squares, drawn: Images, numbers: range) -> dict[str, Tensor]:
        """Means of absolute errors, and of the pattern of every second pixel.

        A completion gives its lightness alone: it is not the truth, but its tints are worse than those of the truth.
        """
        completed, real, known = squares
        true = torch.tensor([number % 2 for number in numbers]).to(real)[:, None, None, None] > 0
        error, change, hole = real - drawn, halve(drawn) - completed, 1 - known
        missed = torch.where(true, error, error - error.mean(1, keepdim=True)).abs() * hole
        return {
            "hole": (missed.mean((1, 2, 3)) / hole.mean((1, 2, 3)).clamp_min(LEAST_AREA)).mean(),
            "known": (error.abs() * known).mean(),
            "shrunk": torch.where(true, change, change.mean(1, keepdim=True)).abs().mean(),
            "grid": grid_artefacts(drawn),
        }


@torch.no_grad()
def _complete(completer: Completer, images: Images, known: Known, noise: Tensor | None = None) -> Tensor:
    """[n, c, h / 2, w / 2]: completions of images at half their size, where a pixel is known if half of it is."""
    share = halve(known)
    small, seen = halve(images * known) / share.clamp_min(0.25), (share >= 0.5).to(known)
    condition = completer.encode(small, seen)
    return poisson_like(small, seen, completer.draw(completer.latents(condition, noise), condition))


def train_upsampler(
    gan: Gan,
    data: Dataset,
    folder: Path,
    options: TrainOptions,
    special: EncoderOptions | None = None,
    run: RunOptions | None = None,
    context: TrainingContext = DEFAULT_CONTEXT,
) -> Iterator[Progress]:
    """Train an upsampler on pictures of twice the model's size until `options.images_seen`, as `run.follow` does.

    The model files hold all of the model and the upsampler. It goes on from the model's upsampler if there is one.
    Raises ModelError for a model without a completer, or one too large, and ValueError as `run.train` does.
    """
    special, run = special or EncoderOptions(), run or RunOptions()
    check_bounds(options, special, run)
    check_unused(options, "an upsampler is", "Leave that out, or give --kind gan.", besides=OWN_OPTIONS)
    size, channels = upsampled_size(gan), gan.network.channels
    hole = choose_holes(special.hole, data, size)
    started, completer = gan.upsampler or build_upsampler(channels, options.seed), deepcopy(gan.completer)
    if not isinstance(started, Upsampler) or not isinstance(completer, nn.Module):
        raise TypeError(f"expected networks made of torch modules, not {type(completer)} and {type(started)}")
    learnt, held_out, options = prepare_pictures(data, size, channels, options, special.held_out)

    def trainer(device: torch.device, options: TrainOptions) -> UpsamplerTrainer:
        upsampler, critic = deepcopy(started).requires_grad_(True), PatchCritic(channels)
        initialise(critic, options.seed)
        upsampler.precision = critic.precision = choose_precision(options.precision, device)
        model = replace(copy_to(gan, device), completer=cast(Completer, completer.to(device)))
        return UpsamplerTrainer(model, upsampler.to(device), critic.to(device), options, hole, held_out)

    about = {
        "network": asdict(gan.network),
        "upsampler": {"hole": special.hole, "held_out": special.held_out},
        "model": {"generator": digest_weights(gan.generator)[:16]},
    }
    yield from run_training(trainer, learnt, folder, Subject("upsampler", about), options, run, context)


def upsampled_size(gan: Gan) -> Size:
    """The side of the pictures that an upsampler of the model draws. Raises ModelError if it can have none."""
    if gan.completer is None:
        raise ModelError(
            "only a model with a completer can have an upsampler", "Add one: `latentfill train --kind completer`."
        )
    size = 2 * gan.network.size
    if size not in get_args(Size):
        raise ModelError(f"pictures of {size} pixels cannot be learned from", "Begin with a smaller model.")
    return cast(Size, size)
