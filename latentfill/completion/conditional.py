"""Completions by a completer: one pass for each candidate, and perhaps a search from there.

Candidates differ by their noise, and the critic orders them. The search moves the latent and the maps of 8x8 so that
what is known is met closely.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil
from typing import final

import torch
from scipy.ndimage import distance_transform_edt
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
from .objective import CompletionLoss, Objective
from .restarts import SuccessiveHalving
from .search import Step, adam, constant, cosine, search

FEWER = 2  # what a completer draws is nearly right: so many times fewer steps do
# Where the hole is deeper, one pass fools a judge more often than what follows the known pixels, and it stays as it is.
SHALLOW = 1.5  # mean distance of a missing pixel to a known one, in pixels of 64


def uses_completer(gan: Gan, incomplete: Incomplete, options: CompleteOptions) -> bool:
    """Whether a completer answers: it knows pixels and holes, and nothing of other observations."""
    asked = options.start != "random" and options.method == "adam"
    return gan.completer is not None and asked and incomplete.lowres is None and not incomplete.observations


def completer_noise(completer: Completer, options: CompleteOptions, stream: Stream, count: int) -> Latents:
    """[count, d]: standard normal; each depends on the seed, the stream and its number alone."""
    return NormalPrior(completer.prior.dim).sample([stream.key(options.seed, i) for i in range(count)])


def watch_conditional(gan: Gan, incomplete: Incomplete, o: CompleteOptions) -> Iterator[Completion]:
    """Yield a Completion after every step, the first pass included, as `completion.watch` does.

    Candidates come in the order in which the critic takes them for real; or with hidden pixels, in that of their error
    there, and then they see these, too.
    """
    if gan.completer is None:
        raise ValueError("a conditional completion needs a completer")
    completer, k, deep = gan.completer, o.starts, _is_deep(incomplete.known)
    following = 0 if deep.all() else ceil(o.tune_steps / FEWER)
    hidden = hold_out(incomplete, o)
    noise = completer_noise(completer, o, Stream.CANDIDATES, k).to(incomplete.images).repeat(len(incomplete), 1)
    race, missed = SuccessiveHalving(len(incomplete), k, o.candidates), None
    if hidden is not None:
        blind = _Pass(completer, hide_pixels(incomplete, hidden).repeat(k), noise)
        missed = rmse(blind.draw(), incomplete.repeat(k), hidden.repeat_interleave(k, 0))
    first = _Pass(completer, incomplete.repeat(k), noise)
    score = missed
    if score is None:  # a single one has no order, and the critic's word takes half as long as drawing it
        score = -first.logits() if k > 1 else torch.zeros_like(first.z[:, 0])
    objective = first.objective(o)
    generator = ConditionalGenerator(completer, first.condition)
    z = first.z

    def answer(step: Step, before: int) -> Completion:
        found = best_of(replace(step, number=before + step.number), race, o.candidates, score, missed)
        others = tuple(replace(one, conditional=True) for one in found.others)
        total, apart = o.steps + following, standard_deviation(step.images, k)
        return replace(found, others=others, total=total, spread=apart, conditional=True)

    rate = adam(o.learning_rate, o.beta1, o.beta2, o.epsilon)
    schedule = cosine if o.schedule == "cosine" else constant
    for step in search(generator, objective, z, steps=o.steps, optimizer=rate, schedule=schedule):
        z = step.z
        if step.number < o.steps or not following:
            yield answer(step, 0)
    if following:
        still, deep = step, deep.repeat_interleave(k)
        for step in optimise_maps(generator, objective, z, steps=following, rate=o.tune_rate, weight=o.tune_weight):
            images = torch.where(deep[:, None, None, None], still.images, step.images)
            yield answer(replace(step, images=images, z=torch.where(deep[:, None], still.z, step.z)), o.steps)


@final
class _Pass:
    """What a completer makes of images at once."""

    def __init__(self, completer: Completer, incomplete: Incomplete, noise: Latents) -> None:
        self.completer, self.incomplete = completer, incomplete
        with torch.no_grad():
            self.condition = completer.encode(incomplete.images, incomplete.known)
            self.z = completer.latents(self.condition, noise)

    def draw(self) -> Images:
        """What is drawn of all of them; the search draws it, too, so it is not drawn for nothing."""
        with torch.no_grad():
            return self.completer.draw(self.z, self.condition)

    def logits(self) -> PerImage:
        """[n]: the larger, the more real the critic takes them for."""
        with torch.no_grad():
            return Critic(self.completer, self.incomplete)(self.draw())

    def objective(self, o: CompleteOptions) -> Objective:
        """The one that is asked for, D being the critic."""
        critic = Critic(self.completer, self.incomplete)
        return CompletionLoss(self.incomplete, critic, o.lam, o.context, o.window, o.perceptual, o.balance)


@final
@dataclass(frozen=True)
class Critic:
    """The completer's critic as a discriminator of what is drawn: it sees it joined with the known pixels."""

    completer: Completer
    incomplete: Incomplete

    def __call__(self, images: Images) -> PerImage:
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
        return self.completer.prior

    def __call__(self, z: Latents) -> Images:
        return self.completer.draw(z, self.condition)

    @property
    def depth(self) -> int:
        return len(self.condition.maps)

    def begin(self, z: Latents, stages: int) -> Tensor:
        return self.completer.begin(z, self.condition, stages)

    def finish(self, maps: Tensor, stages: int) -> Images:
        return self.completer.finish(maps, self.condition, stages)

    @torch.no_grad()
    def map_scale(self, z: Latents, stages: int) -> Tensor:
        """[n, 1, 1, 1]: measured where these latents lead."""
        return self.begin(z, stages).float().std((2, 3)).mean(1).clamp_min(1e-6)[:, None, None, None]


def _is_deep(known: Known) -> Tensor:
    """[n] bool: whether the known pixels say little of each image's hole."""
    depths = [distance_transform_edt(one)[one].mean() if one.any() else 0.0 for one in known[:, 0].cpu().numpy() == 0]
    return torch.tensor(depths, device=known.device) > max(1.0, SHALLOW * known.shape[-1] / 64)
