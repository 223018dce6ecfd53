"""What one request asks of a model, and how much that is."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import final

from ...completion.attempts import warm
from ...completion.samples import FIND_STEPS
from ...cutting import Cut
from ...errors import LatentfillError
from ...gan.gan import Gan
from ...images.incomplete import Incomplete
from ...options import CompleteOptions, PhotoOptions

MOST_STARTS = 32  # latents to start from for each square
MOST_CANDIDATES = 8  # pictures of a photo's size that one answer may hold
MOST_ROWS = 128  # squares times starts: what one photo of a crowd may hold


@final
@dataclass(frozen=True, eq=False)
class Question:
    """A photo that was cut for a model. `incomplete` is what the model is asked; None if there is nothing to ask."""

    model: str
    gan: Gan
    cut: Cut
    incomplete: Incomplete | None
    options: CompleteOptions
    photo_options: PhotoOptions

    @property
    def rows(self) -> int:
        """How many latents are searched for it."""
        return len(self.incomplete) * self.options.starts if self.incomplete is not None else 0

    @property
    def kind(self) -> Hashable:
        """What questions have in common that one search can answer; None for one that gains nothing by company."""
        if self.incomplete is None or self.options.method == "posterior":
            return None
        seen = tuple(one.observer.name for one in self.incomplete.observations)
        return self.model, self.options, self.incomplete.lowres is None, seen


def check(question: Question, max_steps: int) -> None:
    """Raise LatentfillError for a question that would keep the device for too long, or fill its memory."""
    options, size = question.options, question.gan.network.size
    needed = gradients(options, warm=warm(question.gan, options))
    if needed > max_steps:
        what = f"{needed:,} steps are more than the {max_steps:,} that this server makes for one picture"
        raise LatentfillError(what, "Ask for fewer.")
    for name, value, most in (
        ("attempts", options.starts, MOST_STARTS),
        ("candidates", options.candidates, MOST_CANDIDATES),
        ("window", options.window, 2 * size + 1),
    ):
        if value > most:
            raise LatentfillError(
                f"{name}: {value:,} are more than the {most} that this server allows", "Ask for less."
            )
    if question.rows > MOST_ROWS:
        what = f"{question.rows} searches are needed, more than the {MOST_ROWS} that this server makes at once"
        raise LatentfillError(what, "Ask for fewer attempts, or paint over fewer faces at a time.")


def gradients(options: CompleteOptions, *, warm: bool) -> int:
    """How often the networks are asked for a slope, for each latent."""
    steps = options.updates(warm=warm)
    if options.method == "hmc":
        steps *= options.hmc_leapfrog_steps
    if options.method == "posterior":
        return FIND_STEPS + (options.warm_up + steps) * options.leapfrog_steps
    return steps + options.tune_steps
