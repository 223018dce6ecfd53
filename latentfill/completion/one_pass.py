"""Completions by a completer: one pass for each candidate, and for shallow holes a search from there.

Candidates differ by their noise, and the critic orders them. The search moves the latent and the maps of 8x8 so that
the image matches the known pixels closely.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil
from typing import final

import scipy
import torch
from torch import Tensor

from ..gan.gan import Completer, Condition, Gan, NormalPrior, Prior
from ..images.blending import poisson_like
from ..images.incomplete import Incomplete
from ..options import CompleteOptions
from ..seeds import Stream
from ..types import Images, Known, Latents, PerImage
from .completion import Completion, best_of, standard_deviation
from .held_out import hide_pixels, hold_out, rmse
from .ilo import optimise_maps
from .objective import completion_loss
from .restarts import SuccessiveHalving
from .search import Step, choose_optimizer, choose_schedule, search

FEWER = 2  # divisor of the number of steps: what a completer draws is nearly right
# In deeper holes one pass fools a judge more often than a search that follows the known pixels, so no steps are made.
SHALLOW = 1.5  # mean distance of a missing pixel to a known one, in pixels of 64


def uses_completer(gan: Gan, incomplete: Incomplete, options: CompleteOptions) -> bool:
    """Say whether a completer draws: it knows pixels and holes, and nothing of other observations."""
    allowed = options.start != "random" and options.method == "adam"
    return gan.completer is not None and allowed and incomplete.lowres is None and not incomplete.observations


def completer_noise(completer: Completer, options: CompleteOptions, stream: Stream, count: int) -> Latents:
    """[count, d]: standard normal; each depends on the seed, the stream and its number alone."""
    return NormalPrior(completer.prior.dim).sample([stream.key(options.seed, i) for i in range(count)])


def watch_conditional(gan: Gan, incomplete: Incomplete, o: CompleteOptions) -> Iterator[Completion]:
    """Yield a Completion after every step, the first pass included, as `complete.watch` does.

    Candidates come in the order in which the critic takes them for real; or with hidden pixels, in that of their error
    there, and then they see these, too.
    """
    if gan.completer is None:
        raise ValueError("a conditional completion needs a completer")
    completer, k, map_steps = gan.completer, o.starts, ceil(o.tune_steps / FEWER)
    deep = _is_deep(incomplete.known) if map_steps else torch.ones(len(incomplete), dtype=torch.bool)
    map_steps = 0 if deep.all() else map_steps
    hidden = hold_out(incomplete, o)
    noise = completer_noise(completer, o, Stream.CANDIDATES, k).to(incomplete.images).repeat(len(incomplete), 1)
    restarts, held_out_error = SuccessiveHalving(len(incomplete), k, o.candidates), None
    if hidden is not None:
        blind, z = _encode(completer, hide_pixels(incomplete, hidden).repeat(k), noise)
        held_out_error = rmse(_draw(blind, z), incomplete.repeat(k), hidden.repeat_interleave(k, 0))
    generator, z = _encode(completer, incomplete.repeat(k), noise)
    critic = Critic(completer, incomplete.repeat(k))
    score = held_out_error
    if score is None:  # a single one needs no order, and scoring it takes half as long as drawing it
        score = -_rate(critic, _draw(generator, z)) if k > 1 else torch.zeros_like(z[:, 0])
    objective = completion_loss(critic.incomplete, critic, o)

    def to_completion(step: Step, before: int) -> Completion:
        best = best_of(replace(step, number=before + step.number), restarts, o.candidates, score, held_out_error)
        others = tuple(replace(one, conditional=True) for one in best.others)
        total, deviation = o.steps + map_steps, standard_deviation(step.images, k)
        return replace(best, others=others, total=total, spread=deviation, conditional=True)

    optimizer, schedule = choose_optimizer(o), choose_schedule(o)
    for step in search(generator, objective, z, steps=o.steps, optimizer=optimizer, schedule=schedule):
        if step.number < o.steps or not map_steps:
            yield to_completion(step, 0)
    if map_steps:
        last, deep = step, deep.repeat_interleave(k)
        for step in optimise_maps(
            generator, objective, last.z, steps=map_steps, rate=o.tune_rate, weight=o.tune_weight
        ):
            images = torch.where(deep[:, None, None, None], last.images, step.images)
            z = torch.where(deep[:, None], last.z, step.z)
            yield to_completion(replace(step, images=images, z=z), o.steps)


@final
@dataclass(frozen=True)
class Critic:
    """The completer's critic as a discriminator of drawn images, which it sees joined with the known pixels."""

    completer: Completer
    incomplete: Incomplete

    def __call__(self, images: Images) -> PerImage:
        """[n] logits."""
        known = self.incomplete.known
        return self.completer.judge(poisson_like(self.incomplete.images, known, images), known)


@final
@dataclass(frozen=True)
class ConditionalGenerator:
    """A generator for every image: what the completer draws from a latent, given what is known."""

    completer: Completer
    condition: Condition

    @property
    def prior(self) -> Prior:
        """The prior of the completer's latents."""
        return self.completer.prior

    def __call__(self, z: Latents) -> Images:
        """[n, d] -> [n, c, h, w] in [-1, 1]."""
        return self.completer.draw(z, self.condition)

    @property
    def depth(self) -> int:
        """The number of its stages."""
        return len(self.condition.maps)

    def begin(self, z: Latents, stages: int) -> Tensor:
        """The maps after a number of stages."""
        return self.completer.begin(z, self.condition, stages)

    def finish(self, maps: Tensor, stages: int) -> Images:
        """The images that those maps lead to."""
        return self.completer.finish(maps, self.condition, stages)

    @torch.no_grad()
    def map_scale(self, z: Latents, stages: int) -> Tensor:
        """[n, 1, 1, 1]: measured where these latents lead."""
        return self.begin(z, stages).float().std((2, 3)).mean(1).clamp_min(1e-6)[:, None, None, None]


@torch.no_grad()
def _encode(completer: Completer, incomplete: Incomplete, noise: Latents) -> tuple[ConditionalGenerator, Latents]:
    condition = completer.encode(incomplete.images, incomplete.known)
    return ConditionalGenerator(completer, condition), completer.latents(condition, noise)


@torch.no_grad()
def _draw(generator: ConditionalGenerator, z: Latents) -> Images:
    return generator(z)


@torch.no_grad()
def _rate(critic: Critic, images: Images) -> PerImage:
    return critic(images)


def _is_deep(known: Known) -> Tensor:
    """[n] bool: the known pixels say little of the image's hole."""
    missing = known[:, 0].cpu().numpy() == 0
    depths = [scipy.ndimage.distance_transform_edt(one)[one].mean() if one.any() else 0.0 for one in missing]
    return torch.tensor(depths, device=known.device) > max(1.0, SHALLOW * known.shape[-1] / 64)
