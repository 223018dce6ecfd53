"""How settings change over a training: not at all, to zero at the end, or all together as R3GAN's do."""

from math import cos, pi
from typing import Literal, NamedTuple

from ...options import TrainOptions

Phase = Literal["redraw", "game", "both"]
"""G and an encoder beside it learn to redraw, D not playing yet; the game, on samples alone; or both together"""
WARM_UP = 5_000  # images over which the rate rises: the first steps of Adam know no scale yet
WARM_UP_SHARE = 0.05  # of an annealed training, at most
FIRST_BETA2, LAST_RATE, LAST_PENALTY = 0.9, 0.25, 0.1  # Huang et al. (2024), appendix: of rate and gamma, what is left


class Settings(NamedTuple):
    """What is in force at one moment."""

    learning_rate: float
    beta2: float
    penalty: float
    """factor of the penalties"""
    half_life: float
    """of the averaged generator, in images"""
    phase: Phase = "game"


def keep(images: int, half_life: float) -> float:
    """The share of an average that stays after so many images more; without a half-life nothing does."""
    return 0.5 ** (images / half_life) if half_life else 0.0


def settings(options: TrainOptions, seen: int) -> Settings:
    """What is in force after `seen` images."""
    o = options
    quarter = o.images_seen // 4
    first = min(o.redraw_first, quarter) if o.encodes else 0
    last = o.images_seen - min(o.reconstruct_last, quarter) if o.reconstruct_last else first  # so far D sees samples
    share = min(1.0, max(0, seen - first) / (o.images_seen - first))  # of the game
    redraws = o.encodes and not o.completes and seen >= last
    phase: Phase = "redraw" if seen < first else "both" if redraws else "game"
    rate, beta2, penalty, half_life = o.rate, o.beta2, 1.0, float(o.average_half_life)
    if o.decay:
        rate *= min(1.0, (1 - share) / o.decay)
    if o.annealed:
        early = (1 + cos(pi * share)) / 2
        rate *= LAST_RATE + (1 - LAST_RATE) * early
        beta2 += (FIRST_BETA2 - beta2) * early
        penalty *= LAST_PENALTY + (1 - LAST_PENALTY) * early
        half_life *= 1.0 if phase == "redraw" else 1 - early
        # A D that has begun with steps of no scale does not come back from them.
        risen = seen - (0 if phase == "redraw" else first) + o.batch_size
        rate *= min(1.0, risen / max(1.0, min(WARM_UP, WARM_UP_SHARE * o.images_seen)))
    # While a run is young its past is not worth keeping: the half-life grows with it (Karras et al. 2020).
    return Settings(rate, beta2, penalty, min(half_life, 0.05 * seen), phase)


def risen_and_fallen(seen: int, images: int, batch: int, fall: float, rises: float) -> float:
    """The share of its rate that a regression has after `seen` of its `images`.

    It rises over so many images, and falls to nothing over the last share `fall`.
    """
    left = max(0.0, 1 - seen / images)
    return min(1.0, (seen + batch) / rises) * (min(1.0, left / fall) if fall else 1.0)
