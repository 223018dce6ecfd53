"""How settings change over a training: not at all, to zero at the end, or all together as R3GAN's do."""

from math import cos, pi
from typing import Literal, NamedTuple

from ...options import TrainOptions

Phase = Literal["redraw", "game", "both", "describe"]
"""G and an encoder beside it learn to redraw, D not playing yet; the game, on samples alone; both together; or the
encoder alone, of a finished G"""
WARM_UP = 5_000  # images over which the rate rises: the first steps of Adam know no scale yet
WARM_UP_SHARE = 0.05  # of an annealed training, at most
ENCODER_RATE = 4e-4  # at most, of an encoder that learns alone
DESCRIBED_FALL = 0.6  # last share of the part in which the encoder learns alone, over which its rate falls to nothing
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
    over = last if o.encodes and o.encoder_alone and o.reconstruct_last else o.images_seen  # so far G and D play
    share = min(1.0, max(0, seen - first) / (over - first))  # of the game
    then: Phase = "both" if over == o.images_seen else "describe"
    phase: Phase = "redraw" if seen < first else then if o.encodes and seen >= last else "game"
    if phase == "describe":
        return describing(o, seen - over, o.images_seen - over)
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


def describing(options: TrainOptions, seen: int, images: int) -> Settings:
    """What is in force after `seen` of so many `images` in which the encoder learns alone: a regression."""
    rises = max(1.0, min(WARM_UP, WARM_UP_SHARE * images))
    rate = min(options.rate, ENCODER_RATE) * risen_and_fallen(seen, images, options.batch_size, DESCRIBED_FALL, rises)
    half_life = min(float(options.average_half_life), 0.05 * seen)
    return Settings(rate, options.beta2, 1.0, half_life, "describe")


def risen_and_fallen(seen: int, images: int, batch: int, fall: float, rises: float) -> float:
    """The share of its rate that a regression has after `seen` of its `images`.

    It rises over so many images, and falls to nothing over the last share `fall`.
    """
    left = max(0.0, 1 - seen / images)
    return min(1.0, (seen + batch) / rises) * (min(1.0, left / fall) if fall else 1.0)
