"""The watchdog of a training: health checks, and from which checkpoint and with which settings to continue.

Each check compares one measured number with a limit that no healthy training reaches.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, cast, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ..errors import RunError
from ..options import RunOptions, TrainOptions
from ..types import Images, PerImage

Others = Float[Tensor, "_ c h w"]
Usual = Float[Tensor, " _"]  # as PerImage, of other images
Trouble = Literal["numbers", "collapse", "astray", "saturation", "copies"]
SIDE = 16  # pixels a side at which images are compared: their content, not their noise
ENOUGH = 16  # real images; from this many on, the energy distance of two sets of one kind is near 0 (below 0.12)
VARIED = 0.02  # spread of real images, of a range of 2; below it there is no variety to lose


@final
@dataclass(frozen=True)
class Limits:
    """Limits of health: far from what healthy trainings show; see docs/explanation/training.md."""

    youth: int = 20_000
    """images seen before which all samples look alike, and nothing is concluded from them"""
    strikes: int = 3
    """looks in a row that must show the same trouble"""
    spread: float = 0.2
    """of samples against real images: below, they are all one picture"""
    twins: float = 0.15
    """distance of a sample to the most similar other one, against that of real images: below, they are a few"""
    astray: float = 0.2
    """energy distance of samples to real images, against the distance of two real ones: above, they show something
    else; the mean of the real ones, drawn always, is 0.4 away"""
    gap: float = 20.0
    """difference of D's mean logits: above, with next to no error, G's gradient comes from the last bits"""
    errors: float = 1e-4
    """share of pairs of a real and a generated image that D orders wrongly"""
    blind: float = 1e-3
    """difference and standard deviation of D's logits: below, it says the same of all images"""
    copies: float = 0.4
    """distance of a sample to its nearest training picture, against that of pictures never seen: below, it is a copy"""
    share: float = 0.25
    """of the samples that are copies, from which on it is told"""


@final
@dataclass(frozen=True)
class Symptom:
    """A symptom in plain words, with the number and its limit."""

    trouble: Trouble
    saw: str
    measured: float
    limit: float


def thumbnails(images: Images) -> Tensor:
    """[n, features]: images as they are compared."""
    side = min(SIDE, images.shape[-1])
    return F.adaptive_avg_pool2d(images.float(), side).flatten(1)


def mean_distance(images: Images) -> float:
    """The mean distance of two of the images: a root mean square over pixels, of a range of 2."""
    return float(_distances(images).mean()) if len(images) > 1 else 0.0


def nearest_distance(images: Images) -> float:
    """The distance of each image to the most similar other one, as a median."""
    return float(_distances(images).amin(1).median()) if len(images) > 1 else 0.0


def energy_distance(images: Images, others: Others) -> float:
    """The energy distance of two collections (Szekely and Rizzo 2013), unbiased: 0 if both show the same things.

    Twice the mean distance from one to the other, less the mean distances inside each.
    """
    x, y = thumbnails(images), thumbnails(others)
    between = float(torch.cdist(x, y).mean()) / x.shape[1] ** 0.5
    return float(2 * between - mean_distance(images) - mean_distance(others))


def not_finite() -> Symptom:
    """Losses, weights or samples that are infinite or no numbers."""
    return Symptom("numbers", "its losses or weights are no longer finite numbers", 1.0, 0.0)


def check_collapse(samples: Images, real: Others, limits: Limits) -> Symptom | None:
    """Samples that are all one picture, or a few, where real ones differ."""
    for measure, limit, what in (
        (mean_distance, limits.spread, "all samples of G look alike: on average they differ by"),
        (
            nearest_distance,
            limits.twins,
            "G draws the same few pictures again and again: each sample differs from its twin by",
        ),
    ):
        usual = measure(real)
        if usual < VARIED:
            continue
        share = measure(samples) / usual
        if share < limit:
            return Symptom("collapse", f"{what} {share:.1%} of what training pictures do", share, limit)
    return None


def check_distribution(samples: Images, real: Others, limits: Limits) -> Symptom | None:
    """Samples that may differ as much as real ones do, but show something else: a game lost, or broken down."""
    usual = mean_distance(real)
    if usual < VARIED or len(real) < ENOUGH:
        return None
    share = energy_distance(samples, real) / usual
    if share <= limits.astray:
        return None
    saw = f"samples of G look like no training picture: their distance from them is {share:.2f}, a grey smear's 0.4"
    return Symptom("astray", saw, share, limits.astray)


def logit_statistics(real: PerImage, fake: Usual) -> Tensor:
    """[4]: pairs of D's logits in the wrong order, as a share; the gap; the mean; and the mean square of all.

    Pairs, since not every loss puts the border between real and generated at 0.
    """
    real, fake = real.detach().float(), fake.detach().float()
    pairs = real[:, None] - fake[None]
    wrong = (pairs < 0).float().mean() + (pairs == 0).float().mean() / 2
    both = torch.cat([real, fake])
    return torch.stack([wrong, real.mean() - fake.mean(), both.mean(), both.square().mean()])


def check_saturation(seen: Tensor, critic: bool, limits: Limits) -> Symptom | None:
    """Check mean logit statistics: D never errs by far, so that G learns nothing; or D sees no difference.

    `critic` says that the logits of this loss have no scale of their own.
    """
    wrong, gap, mean, square = seen.tolist()
    if not critic and gap > limits.gap and wrong <= limits.errors:
        saw = f"D is right about every image and never in doubt: its logits are {gap:.1f} apart, and G learns nothing"
        return Symptom("saturation", saw, gap, limits.gap)
    deviation = max(0.0, square - mean**2) ** 0.5
    if max(abs(gap), deviation) < limits.blind:
        saw = f"D says the same of every image: its logits differ by {deviation:.1g}, and G learns nothing"
        return Symptom("saturation", saw, deviation, limits.blind)
    return None


def check_copies(distances: PerImage, usual: Usual, limits: Limits) -> Symptom | None:
    """Samples much nearer to a training picture than pictures are that the model has never seen."""
    middle = float(usual.median()) if len(usual) else 0.0
    if middle < VARIED:
        return None
    share = float((distances < limits.copies * middle).float().mean())
    if share < limits.share:
        return None
    saw = f"{share:.0%} of the samples are copies of training pictures, much nearer to one than unseen pictures are"
    return Symptom("copies", saw, share, limits.share)


def _distances(images: Images) -> Tensor:
    """[n, n - 1]: root mean square differences of each image to the others."""
    x = thumbnails(images)
    apart = torch.cdist(x, x) / x.shape[1] ** 0.5
    others = ~torch.eye(len(x), dtype=torch.bool, device=x.device)
    distances: Tensor = apart[others].view(len(x), len(x) - 1)
    return distances


LIMITS = Limits()
ROLLBACKS = 3  # after this many the training stops, and a person has to decide
DRAWN = ("", "-raw")  # sheets with samples of the averaged and of the last generator
COMPARED = 64  # pictures that samples are compared with, as many as there are samples
PENALTIES = ("r1", "r2", "gradient_penalty")
ADJUSTED = ("learning_rate", *PENALTIES, "precision")  # options that the watchdog changes
CURES: Mapping[Trouble, str] = {
    "numbers": "Give the same command with half the --learning-rate, or with --precision fp32.",
    "collapse": "Give the same command with half the --learning-rate or a larger --batch-size in a new --run; if the "
    "pictures in samples/ are as they should be, with --no-watch.",
    "astray": "Give the same command with half the --learning-rate in a new --run; if the pictures in samples/ are as "
    "they should be, with --no-watch.",
    "saturation": "Give the same command with half the --learning-rate, with --r1 1, or with more --generator-steps.",
    "copies": "the training goes on: the more pictures and the fewer images seen, the less is learnt by heart",
}


@final
class Alarm(RunError):
    """Training broke down. Who cannot go back to a good checkpoint lets it pass as the RunError it is."""

    def __init__(self, sign: Symptom, what: str, cure: str) -> None:
        super().__init__(what, cure)
        self.sign = sign

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return Alarm, (self.sign, self.what, self.cure)  # the alarm is sent to the other processes of a training


def alarm(sign: Symptom, images_seen: int, saved: int) -> Alarm:
    """The alarm that ends a training unless it goes back; `saved` images had been seen at the last checkpoint."""
    last = f"the checkpoint at {saved:,} images is whole" if saved else "nothing was saved"
    return Alarm(sign, f"training broke down near {images_seen:,} images: {sign.saw}; {last}", CURES[sign.trouble])


@final
@dataclass(frozen=True)
class Adjustments:
    """The watchdog's changes: factors of the learning rate and of the penalties, and the precision."""

    rate: float = 1.0
    penalties: float = 1.0
    exact: bool = False

    def of(self, options: TrainOptions) -> TrainOptions:
        """The options in force."""
        penalties = {name: getattr(options, name) * self.penalties for name in PENALTIES}
        precision = "fp32" if self.exact else options.precision
        rate = options.learning_rate if self.rate == 1 else options.rate * self.rate
        return replace(options, learning_rate=rate, precision=precision, **penalties)


@final
@dataclass(frozen=True)
class WatchdogState:
    """All that a watchdog remembers. It lies in the checkpoints: a resumed run concludes what an unbroken one does."""

    given: Mapping[str, Any] = field(default_factory=dict)
    changes: Adjustments = field(default_factory=Adjustments)
    rollbacks: int = 0
    clean: int = 0
    """images seen at the last look that found nothing: checkpoints until then are good"""
    strikes: Mapping[str, int] = field(default_factory=dict)
    sums: tuple[float, ...] = ()
    batches: int = 0


@final
class Watchdog:
    """Looks at a training whenever samples are drawn. `real` are pictures to compare samples with, if it draws any."""

    def __init__(self, options: TrainOptions, run: RunOptions, real: Images | None) -> None:
        self.options, self.run, self.real = options, run, real
        self.memory, self._sums = WatchdogState(), cast(Tensor | None, None)
        self.load_state_dict(None, 0)
        self._told = False  # whether copies were reported; checked rarely, so not saved

    @property
    def is_exhausted(self) -> bool:
        """True if it has gone back as often as it may."""
        return self.memory.rollbacks >= ROLLBACKS

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Add what one step measured; nothing waits for the device."""
        if self.run.watch and "real" in values and "fake" in values:
            seen = logit_statistics(values["real"], values["fake"])
            before = torch.tensor(self.memory.sums or [0.0] * 4) if self._sums is None else self._sums
            self._sums = before.to(seen.device) + seen
            self.memory = replace(self.memory, batches=self.memory.batches + 1)

    def check(self, now: int, sheets: Mapping[str, Images]) -> Symptom | None:
        """The symptom, if the checks before found it too. Call this at multiples of `sample_every` only."""
        found = self._find_symptoms(now, sheets)
        strikes: dict[str, int] = {sign.trouble: self.memory.strikes.get(sign.trouble, 0) + 1 for sign in found}
        clean = self.memory.clean if found else now
        self.memory = replace(self.memory, strikes=strikes, clean=clean, sums=(), batches=0)
        self._sums = None
        last = [s for s in found if s.trouble == "numbers" or strikes[s.trouble] >= LIMITS.strikes]
        return last[0] if last else None

    def check_copies(self, now: int, distances: Tensor, usual: Tensor) -> Symptom | None:
        """The symptom of samples that copy training pictures; told once, and again after they did not."""
        sign = check_copies(distances, usual, LIMITS) if self.run.watch and now >= LIMITS.youth else None
        told, self._told = self._told, sign is not None
        return None if told else sign

    def choose_checkpoint(self, checkpoints: Sequence[int], step: int, trouble: Trouble | None = None) -> int | None:
        """The newest checkpoint, named by images seen, that nothing wrong followed; a step has so many images.

        One of the schedule if there is any, so that it does not matter where somebody stopped the run. As long as it
        was numbers that broke down any will do, since what is saved is finite.
        """
        clean = [seen for seen in checkpoints if seen <= self.memory.clean]
        every = self.run.checkpoint_every
        scheduled = [seen for seen in clean if max(0, seen - step) // every < seen // every]
        fallback = checkpoints if trouble == "numbers" else ()
        return max(scheduled or clean or fallback, default=None)

    def adjust(self, sign: Symptom, exact: bool) -> str:
        """Change a setting, and say which. `exact` says that layers compute in float32 already."""
        o, changes = self.options, self.memory.changes
        if sign.trouble == "numbers" and not exact:
            changes, done = replace(changes, exact=True), "layers compute in float32"
        else:
            changes = replace(changes, rate=changes.rate / 2)
            done = f"the learning rate is halved to {changes.of(o).learning_rate:.2g}"
            used = [name for name in PENALTIES if getattr(o, name)]
            if sign.trouble != "numbers" and used:
                changes = replace(changes, penalties=changes.penalties * 2)
                done += f", {' and '.join(used)} doubled"
        self.memory = replace(self.memory, changes=changes, rollbacks=self.memory.rollbacks + 1)
        return done

    @property
    def options_in_force(self) -> TrainOptions:
        """The options in force."""
        return self.memory.changes.of(self.options)

    def restart(self, images_seen: int) -> None:
        """Go on from a good checkpoint, with nothing held against the training but that it failed before."""
        self.memory = replace(self.memory, clean=images_seen, strikes={}, sums=(), batches=0)
        self._sums = None

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers and names."""
        sums = self.memory.sums if self._sums is None else tuple(self._sums.tolist())
        return asdict(replace(self.memory, sums=sums))

    def load_state_dict(self, state: Mapping[str, Any] | None, images_seen: int) -> None:
        """Load a checkpoint's state, except changes and counts under options other than the present ones. A checkpoint
        without a watchdog counts as good.
        """
        blank = WatchdogState({name: getattr(self.options, name) for name in ADJUSTED}, clean=images_seen)
        self.memory, self._sums = blank, None
        if state and self.run.watch:
            kept = WatchdogState(**{**state, "changes": Adjustments(**state["changes"]), "sums": tuple(state["sums"])})
            same = dict(kept.given) == dict(blank.given)  # otherwise the user has followed the advice
            self.memory = kept if same else replace(blank, clean=kept.clean)

    def _find_symptoms(self, now: int, sheets: Mapping[str, Images]) -> list[Symptom]:
        if not all(bool(images.isfinite().all()) for images in sheets.values()):
            return [not_finite()]
        if now < LIMITS.youth:
            return []
        found = []
        if self.real is not None:
            drawn = [sheets[name] for name in DRAWN if name in sheets]
            for of in (check_collapse, check_distribution):
                found += [sign for sign in (of(images, self.real, LIMITS) for images in drawn) if sign][:1]
        if self.memory.batches:
            sums = torch.tensor(self.memory.sums) if self._sums is None else self._sums
            critic = self.options.loss == "wasserstein"
            found += [s for s in [check_saturation(sums / self.memory.batches, critic, LIMITS)] if s]
        return found
