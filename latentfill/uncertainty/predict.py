"""How far to trust each of the completions just made: in numbers, and in plain words."""

from dataclasses import dataclass, replace
from typing import Any, final

import torch

from ..completion.complete import Completion
from ..gan.gan import Gan
from ..images.incomplete import Incomplete
from ..options import CompleteOptions
from ..types import PerImage
from .calibration import Calibration, choose_calibration, read_calibrations
from .features import Features, Map, extract_features

RARE = 0.005  # share of the pictures it was calibrated on that a model may call unlike what it knows
UNLIKE = (
    f"unlike what the model has learnt: of 1,000 pictures that it knows fewer than {1000 * RARE:.0f} agree so little "
    "with what it draws. What it found may be anything"
)
UNCALIBRATED = "not calibrated: `latentfill calibrate` measures how far this model's completions can be trusted"
ANOTHER = (
    "not calibrated for such a search: there is no telling how far it is off, nor whether it is unlike what the model "
    "has learnt. The presets best and fast are calibrated, or `latentfill calibrate --presets` measures others"
)
NOTHING = "nothing is known of it: all of it is invented, and there is no telling how far it is off"
OBSERVED = "how far it is off is not measured for observations: no error is predicted"
HARDLY = "nor whether it is unlike what the model has learnt"


@final
@dataclass(frozen=True, eq=False)
class Uncertainty:
    """What is known of the errors of each image's completion. Grey levels, 0 to 255; NaN for what cannot be told.

    `predicted` is the root mean square error of the hole to expect, `low` and `high` hold it in 80 % of the cases, and
    `band` [n, 1, h, w] is how far each missing pixel is off at most in 90 %; None if the model is not calibrated for
    such a search, and the band if no image has one.
    `rarity` is the share of the pictures it was calibrated on that agree as badly with what the model draws: where it
    is below half a per cent, the image is `unlike` what the model knows. `held_out` is the error on known pixels that
    were hidden, `spread` the standard deviation of several answers at each pixel; None if there was but one. `words`
    say for each image what a user should know.
    """

    words: tuple[tuple[str, ...], ...]
    agreement: PerImage
    predicted: PerImage | None = None
    low: PerImage | None = None
    high: PerImage | None = None
    band: Map | None = None
    rarity: PerImage | None = None
    held_out: PerImage | None = None
    spread: Map | None = None

    @property
    def unlike(self) -> tuple[bool | None, ...]:
        """Whether each image is unlike what the model knows; None where that cannot be told."""
        return tuple(None if r != r else r < RARE for r in self._numbers(self.rarity))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know before anything else: that an image is unlike what the model knows."""
        number = len(self.words)
        return tuple(
            f"square {row + 1} of {number}: {UNLIKE}" if number > 1 else UNLIKE
            for row, unlike in enumerate(self.unlike)
            if unlike
        )

    def select(self, rows: slice) -> "Uncertainty":
        """Of those images alone."""
        parts = ("agreement", "predicted", "low", "high", "band", "rarity", "held_out", "spread")
        kept: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name)[rows] for name in parts
        }
        return replace(self, words=self.words[rows], **kept)

    def told(self, row: int) -> dict[str, Any]:
        """The numbers of one image and the words, for a JSON file; None for what cannot be told."""
        names = ("predicted", "low", "high", "held_out", "agreement", "rarity")
        numbers = {name: self._numbers(getattr(self, name))[row] for name in names}
        rounded = {name: None if value != value else round(value, 4) for name, value in numbers.items()}
        return {**rounded, "unlike": self.unlike[row], "words": list(self.words[row])}

    def _numbers(self, values: PerImage | None) -> list[float]:
        return [float("nan")] * len(self.words) if values is None else values.tolist()


def predict_error(gan: Gan, incomplete: Incomplete, completion: Completion, options: CompleteOptions) -> Uncertainty:
    """Judge completions found with these options, each image by itself; what is in the hole is not looked at.

    Raises ModelError if the model's calibration cannot be understood.
    """
    clues = extract_features(gan, incomplete, completion, options)
    held_out = clues.held_out if completion.held_out is None else completion.held_out
    spread = clues.spread if completion.spread is None else completion.spread
    agreement = (clues.numbers if clues.seen is None else clues.seen)["agreement"]
    trust = Uncertainty(((),) * len(incomplete), agreement, held_out=held_out, spread=spread)
    calibrations = read_calibrations(gan)
    chosen = choose_calibration(calibrations, options, clues)
    if chosen is not None:
        trust = _measured(trust, calibrations[chosen[0]], clues)
    besides = _besides(incomplete)
    words: list[tuple[str, ...]] = []
    for row in range(len(incomplete)):
        if chosen is None:
            words.append((ANOTHER if calibrations else UNCALIBRATED,))
            continue
        said = _said(trust, row, observed=besides[row])
        predicted = trust.told(row)["predicted"]
        if not chosen[1] and predicted:
            said += (f"calibrated for the preset {chosen[0]}, not for these options: take the numbers as rough",)
        if besides[row] and predicted:
            said += ("calibrated for holes: what was observed besides may make it better than predicted",)
        words.append(said)
    return replace(trust, words=tuple(words))


def _besides(incomplete: Incomplete) -> list[bool]:
    """Of which images something is known besides pixels."""
    count = sum((one.count for one in incomplete.observations), torch.zeros_like(incomplete.known[:, 0, 0, 0]))
    if incomplete.lowres is not None:
        count = count + incomplete.lowres.sum((1, 2, 3))
    return [number > 0 for number in count.tolist()]


def _measured(trust: Uncertainty, calibration: Calibration, clues: Features) -> Uncertainty:
    predicted, low, high = calibration.predict(clues)
    band, rarity = calibration.band(clues), calibration.rarity(clues)
    some = band if band.isfinite().flatten(1).all(1).any() else None
    return replace(trust, predicted=predicted, low=low, high=high, band=some, rarity=rarity)


def _said(trust: Uncertainty, row: int, *, observed: bool) -> tuple[str, ...]:
    predicted, low, high, rarity = (
        values[row].item() if values is not None else float("nan")
        for values in (trust.predicted, trust.low, trust.high, trust.rarity)
    )
    if predicted == 0:
        return ("nothing is missing",)
    if predicted != predicted and observed:
        if rarity < RARE:
            return UNLIKE, OBSERVED
        return (OBSERVED if rarity == rarity else f"{OBSERVED}, {HARDLY}",)
    if predicted != predicted:
        return (NOTHING,)
    off = f"off by about {_levels(predicted)} grey levels ({_levels(low)} to {_levels(high)} in 8 of 10 cases)"
    if rarity < RARE:
        return UNLIKE, f"of a picture that it knows, the hole would be {off}; of this one nobody has measured it"
    return (f"expect the hole to be {off}",)


def _levels(number: float) -> str:
    """With one decimal below 10, where it says something."""
    return f"{number:.1f}" if number < 9.95 else f"{number:.0f}"
