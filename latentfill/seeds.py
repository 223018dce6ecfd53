"""Every stream of random numbers of the project, so that no two draws share one by accident.

Draws without a stream are keyed by their seed alone: networks' initial weights, and the order of training pictures.
"""

from enum import Enum, unique
from typing import final

import numpy as np


@final
@unique
class Stream(Enum):
    """A stream of random numbers: the area that draws it, and its number in the keys of that area.

    Results depend on the numbers, so they stay as they are; a new stream takes one that its area lacks. Areas share
    numbers, since what they draw is never compared. Modules that draw the same import it from one of them.
    """

    # Training: by the seed of the run and the number of the image or draw
    LATENTS = "training", 1
    STATISTICS = "training", 2  # latents that batch-norm statistics are measured on
    SAMPLES = "training", 3  # latents of the sample sheets
    INTERPOLATION = "training", 4  # between real and generated images, for the gradient penalty
    AUGMENTATION = "training", 5
    INSTANCE_NOISE = "training", 6
    REFERENCE_BATCH = "training", 7
    TRAINING_HOLES = "training", 16
    STATISTICS_HOLES = "training", 17
    JUDGED_HOLES = "training", 18
    ENCODER_SAMPLES = "training", 20
    ENCODER_STATISTICS = "training", 21
    ENCODER_JUDGED_SAMPLES = "training", 22
    VAE_NOISE = "training", 24
    VAE_WITHOUT_HOLE = "training", 25
    COMPLETER_NOISE = "training", 26
    COMPLETER_HOLES = "training", 27
    COMPLETER_SAMPLES = "training", 28
    UPSAMPLER_NOISE = "training", 30
    UPSAMPLER_HOLES = "training", 31
    UPSAMPLER_SQUARES = "training", 32
    COMPARED_SAMPLES = "training", 29  # 24 until 0.1, which encoders' noise had as well
    GROWING_LATENTS = "growing", 1
    GROWING_HOLES = "growing", 2
    DIRECTIONS = "directions", 23

    # Completion: by the seed of the options and the number of the start or candidate
    STARTS = "completion", 4
    HMC = "completion", 5
    THINNED = "completion", 6  # known pixels that the encoder is not shown
    HELD_OUT = "completion", 7  # known pixels that no search sees
    MEAN_COLOURS = "completion", 8
    CANDIDATES = "completion", 10  # the noise of a completer's candidates
    MEASUREMENT_NOISE = "completion", 0x6E6F697365  # "noise"
    GUESSES = "uncertainty", 8  # known pixels that are hidden for further guesses
    GUESS_NOISE = "uncertainty", 11

    # Pictures, by the number or seed of the draw alone
    HOLES = "images", 0x686F6C65  # "hole"
    CALIBRATION_HOLES = "batch", 0x63616C6962  # "calib"
    PATCHES = "photo", 1  # the patches among which a hole's copies are looked up
    DUPLICATES = "batch", 0  # the projections used to find near-duplicates
    MEAN_IMAGE = "evaluation", 6
    TRIAL_ORDER = "evaluation", 0
    PCA = "baselines", 0
    BOOTSTRAP = "evaluation", 0x626F6F74  # "boot"
    JUDGE_FOLDS = "evaluation", 0x6A75646765  # "judge"
    FIGURES = "figures", 0

    def key(self, seed: int = 0, number: int = 0) -> int:
        """The key of one draw: other streams of the area, numbers and seeds have other keys.

        `seed` is at least 0, `number` in [0, 2**64). Seeds of 2**20 and more may meet the keys of a stream whose
        number is a word.
        """
        return (seed << 72) + (self.value[1] << 64) + number


def philox(key: int) -> np.random.Generator:
    """A generator of its own for each key in [0, 2**128); torch's own silently keeps 32 bits of a seed."""
    return np.random.Generator(np.random.Philox(key=key))
