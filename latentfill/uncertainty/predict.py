"""Predict the errors of new completions: in numbers, and in plain words."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, isnan
from typing import Any, final

import torch

from ..completion.complete import Completion
from ..gan.gan import Gan
from ..images.incomplete import Incomplete
from ..options import CompleteOptions
from ..types import PerImage
from .calibration import Calibration, choose_calibration, read_calibrations
from .features import Features, Map, extract_features

RARE = 0.005  # share of its calibration pictures that a model may call unlike what it knows
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
PARTLY = (
    "this speaks for the {:.3g} % of the hole that the model filled; the rest is from the photo, without an estimate"
)
HARDLY = "nor whether it is unlike what the model has learnt"


@final
@dataclass(frozen=True, eq=False)
class Uncertainty:
    """The errors to expect of each image's completion, in grey levels of 255; NaN for what cannot be told.

    `predicted` is the root mean square error of the hole to expect, `low` and `high` hold it in 80 % of the cases, and
    `band` [n, 1, h, w] is how far each missing pixel is off at most in 90 %. They are None if the model is not
    calibrated for such a search, and the band if no image has one.
    `rarity` is the share of the pictures it was calibrated on that agree as badly with what the model draws: where it
    is below half a per cent, the image is `unlike` what the model knows. `held_out` is the error on known pixels that
    were hidden, `spread` the standard deviation of several answers at each pixel; None if there was but one. `share` is
    how much of its photo's hole the model filled: the estimates are of that alone. `words` say for each image what a
    user should know.
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
    share: PerImage | None = None

    @property
    def unlike(self) -> tuple[bool | None, ...]:
        """True for an image that is unlike what the model knows; None if unknown."""
        return tuple(None if r != r else r < RARE for r in self._list(self.rarity))

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings that an image is unlike what the model knows."""
        number = len(self.words)
        return tuple(
            f"square {row + 1} of {number}: {UNLIKE}" if number > 1 else UNLIKE
            for row, unlike in enumerate(self.unlike)
            if unlike
        )

    def select(self, rows: slice) -> "Uncertainty":
        """Those images alone."""
        parts = ("agreement", "predicted", "low", "high", "band", "rarity", "held_out", "spread", "share")
        values = {name: getattr(self, name) for name in parts}
        kept: dict[str, Any] = {name: None if one is None else one[rows] for name, one in values.items()}
        return replace(self, words=self.words[rows], **kept)

    def to_json(self, row: int) -> dict[str, Any]:
        """The numbers of one image and the words, for a JSON file; None for what cannot be told."""
        names = ("predicted", "low", "high", "held_out", "agreement", "rarity", "share")
        numbers = {name: self._list(getattr(self, name))[row] for name in names}
        rounded = {name: None if value != value else round(value, 4) for name, value in numbers.items()}
        return {**rounded, "unlike": self.unlike[row], "words": list(self.words[row])}

    @property
    def least_certain(self) -> int:
        """The row to trust least: one unlike what the model knows, else that with the largest error to expect."""
        predicted = [inf if isnan(error) else error for error in self._list(self.predicted)]
        return max(range(len(self.words)), key=lambda row: (bool(self.unlike[row]), predicted[row]))

    def of_shares(self, shares: Sequence[float]) -> "Uncertainty":
        """The same, of images that fill so much of their photos' holes."""
        pairs = zip(self.words, shares, strict=True)
        words = tuple(own if share == 1 else (*own, PARTLY.format(100 * share)) for own, share in pairs)
        return replace(self, words=words, share=torch.tensor(shares))

    def _list(self, values: PerImage | None) -> list[float]:
        return [float("nan")] * len(self.words) if values is None else values.tolist()


def predict_error(gan: Gan, incomplete: Incomplete, completion: Completion, options: CompleteOptions) -> Uncertainty:
    """Predict the error of completions made with these options, each by itself; the hole is not looked at.

    Raises ModelError if the model's calibration cannot be understood.
    """
    features = extract_features(gan, incomplete, completion, options)
    uncertainty = Uncertainty(
        ((),) * len(incomplete),
        (features.numbers if features.seen is None else features.seen)["agreement"],
        held_out=features.held_out if completion.held_out is None else completion.held_out,
        spread=features.spread if completion.spread is None else completion.spread,
    )
    calibrations = read_calibrations(gan)
    chosen = choose_calibration(calibrations, options, features)
    if chosen is None:
        return replace(uncertainty, words=((ANOTHER if calibrations else UNCALIBRATED,),) * len(incomplete))
    name, exact = chosen
    uncertainty = _apply(calibrations[name], uncertainty, features)
    words = []
    for row, observed in enumerate(_has_observations(incomplete)):
        sentences = _describe(uncertainty, row, observed=observed)
        predicted = uncertainty.to_json(row)["predicted"]
        if not exact and predicted:
            sentences += (f"calibrated for the preset {name}, not for these options: take the numbers as rough",)
        if observed and predicted:
            sentences += ("calibrated for holes: what was observed besides may make it better than predicted",)
        words.append(sentences)
    return replace(uncertainty, words=tuple(words))


def _has_observations(incomplete: Incomplete) -> list[bool]:
    """True for images with measurements besides pixels."""
    count = sum((one.count for one in incomplete.observations), torch.zeros_like(incomplete.known[:, 0, 0, 0]))
    if incomplete.lowres is not None:
        count = count + incomplete.lowres.sum((1, 2, 3))
    return [number > 0 for number in count.tolist()]


def _apply(calibration: Calibration, uncertainty: Uncertainty, features: Features) -> Uncertainty:
    predicted, low, high = calibration.predict(features)
    band, rarity = calibration.band(features), calibration.rarity(features)
    some = band if band.isfinite().flatten(1).all(1).any() else None
    return replace(uncertainty, predicted=predicted, low=low, high=high, band=some, rarity=rarity)


def _describe(uncertainty: Uncertainty, row: int, *, observed: bool) -> tuple[str, ...]:
    predicted, low, high, rarity = (
        values[row].item() if values is not None else float("nan")
        for values in (uncertainty.predicted, uncertainty.low, uncertainty.high, uncertainty.rarity)
    )
    if predicted == 0:
        return ("nothing is missing",)
    if predicted != predicted and observed:
        if rarity < RARE:
            return UNLIKE, OBSERVED
        return (OBSERVED if rarity == rarity else f"{OBSERVED}, {HARDLY}",)
    if predicted != predicted:
        return (NOTHING,)
    interval = f"{_format_levels(low)} to {_format_levels(high)} in 8 of 10 cases"
    off = f"off by about {_format_levels(predicted)} grey levels ({interval})"
    if rarity < RARE:
        return UNLIKE, f"of a picture that it knows, the hole would be {off}; of this one nobody has measured it"
    return (f"expect the hole to be {off}",)


def _format_levels(number: float) -> str:
    """With one decimal below 10, where it is significant."""
    return f"{number:.1f}" if number < 9.95 else f"{number:.0f}"
