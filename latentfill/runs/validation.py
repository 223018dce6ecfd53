"""Validation of a model while it learns: scores, the best model, and samples too close to a training picture."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, final

import numpy as np
import torch
from jaxtyping import Int, Int64
from torch import Tensor
from torch.nn import functional as F

from ..gan import model_file
from ..gan.encoder import ContextEncoder
from ..gan.gan import Gan, Generator
from ..gan.residual import select_class
from ..images.pixels import batch_to_images
from ..seeds import Stream
from ..types import Images, PerImage
from .data import Dataset
from .interfaces import Scorer, Trainer
from .logs import Curves
from .watchdog import Others

MOST = 100_000  # most pictures searched, evenly spaced: 75 MB of thumbnails
SIDE = 8  # pixels of a thumbnail, by which the candidates are chosen
CANDIDATES = 8  # candidates that are compared pixel by pixel
PICTURES_AT_ONCE = 1024


class Nearest(NamedTuple):
    """For each image the training picture nearest to it, mirrored or not, and how far it is: a root mean square."""

    images: Images
    distances: PerImage


@final
class Neighbours:
    """The training pictures, small. Reads all of them once, when it is made."""

    def __init__(self, data: Dataset) -> None:
        self.data = data
        self.numbers = np.unique(np.linspace(0, len(data) - 1, min(MOST, len(data))).round().astype(np.int64))
        groups = (self.numbers[i : i + PICTURES_AT_ONCE] for i in range(0, len(self.numbers), PICTURES_AT_ONCE))
        self.thumbnails = torch.cat([_thumbnails(batch_to_images(data.pixels[group])) for group in groups])

    def nearest(self, images: Images, besides: Int[np.ndarray, " n"] | None = None) -> Nearest:
        """The nearest to each image; `besides` are the pictures' own numbers, which are not to be found."""
        images = images.detach().float().cpu()
        found, distances = [], []
        for row, image in enumerate(images):
            both = torch.stack([image, image.flip(-1)])
            apart = torch.cdist(_thumbnails(both), self.thumbnails)
            if besides is not None:
                apart[:, torch.from_numpy(self.numbers == besides[row])] = torch.inf
            places = apart.amin(0).topk(min(CANDIDATES, apart.shape[1]), largest=False).indices
            pictures = batch_to_images(self.data.pixels[self.numbers[places.numpy()]])
            exact = (pictures[:, None] - both[None]).square().mean((2, 3, 4)).sqrt()
            if besides is not None:
                exact[apart[0, places].isinf()] = torch.inf
            best = int(exact.amin(1).argmin())
            mirrored = bool(exact[best, 1] < exact[best, 0])
            found.append(pictures[best].flip(-1) if mirrored else pictures[best])
            distances.append(exact[best].min())
        return Nearest(torch.stack(found), torch.stack(distances))

    def usual_distance(self, held_out: Images | None, count: int) -> PerImage:
        """Distances of pictures to the nearest training picture that the model never saw; of training pictures, other
        than themselves, where none are held out."""
        if held_out is not None and len(held_out) >= count // 4:
            return self.nearest(held_out[:count]).distances
        own = self.numbers[:: max(1, len(self.numbers) // count)][:count]
        if len(self.numbers) < 2:
            return torch.empty(0)
        return self.nearest(batch_to_images(self.data.pixels[own]), own).distances


def _thumbnails(images: Images) -> Tensor:
    """[n, features]"""
    return F.adaptive_avg_pool2d(images, min(SIDE, images.shape[-1])).flatten(1)


SHARE = 0.05  # share of a training's time that scoring may take
SAMPLES = 256  # samples drawn to compare collections
SHOWN = 32  # samples shown beside their nearest training picture
COLUMNS = 8  # columns of a sheet
AT_ONCE = 64
NAMES = ("psnr_center", "psnr_random")  # their mean, in dB, determines the best model if no scorer returns `score`


@final
@dataclass(frozen=True, eq=False)
class ValidationResult:
    """Scores by column; sheets by the beginning of their names; how far samples are from the nearest picture."""

    scores: Mapping[str, float]
    sheets: Mapping[str, Images]
    distances: PerImage | None = None


@final
class Validation:
    """Scores a trainer, keeps its best model as RUN/best.safetensors, and finds the nearest pictures to its samples."""

    def __init__(
        self, folder: Path, data: Dataset | None, held_out: Images | None, scorer: Scorer | None, draws: bool, seed: int
    ) -> None:
        self.path, self.data, self.held_out, self.seed = folder / "best.safetensors", data, held_out, seed
        self.scorer = scorer if held_out is not None else None
        self.draws = draws and data is not None
        self.best, self.phase = _score_of(self.path)
        self.start, self.spent, self.last = time.perf_counter(), 0.0, 0.0
        self._neighbours: Neighbours | None = None
        self._usual: torch.Tensor | None = None

    @property
    def curves(self) -> Curves:
        """The columns that it adds to metrics.csv."""
        return self.scorer.curves if self.scorer else {}

    def is_due(self, every: int, before: int, now: int, done: bool) -> bool:
        """True if it is time to validate: at multiples of `every` within its share of the time, and at the end."""
        if done or not every:
            return 0 < every <= now
        elapsed = time.perf_counter() - self.start
        affordable = not self.last or self.spent + self.last <= SHARE * elapsed  # the first one shows the cost
        return before // every < now // every and affordable

    def reset(self) -> None:
        """Forget the best model of another training."""
        self.path.unlink(missing_ok=True)
        self.best = None

    def validate(self, trainer: Trainer, about: Mapping[str, Any], known: Mapping[str, float]) -> ValidationResult:
        """Score the present model, and keep it if it is the best so far; `known` are the trainer's own scores."""
        began = time.perf_counter()
        try:
            return self._score(trainer.models(about)[""], about, known)
        finally:
            self.last = time.perf_counter() - began
            self.spent += self.last

    def _score(
        self, model: Gan | ContextEncoder, about: Mapping[str, Any], known: Mapping[str, float]
    ) -> ValidationResult:
        scores: dict[str, float] = {}
        sheets: dict[str, Images] = {}
        distances = None
        if isinstance(model, Gan) and self.data is not None:
            samples = sample_evenly(self.data, 0)
            if self.draws:
                samples = _draw(select_class(model).generator, self.seed, model.device)
                nearest = self._find_neighbours().nearest(samples[:AT_ONCE])
                sheets["nearest"], distances = _pairs(samples, nearest), nearest.distances
            if self.scorer and self.held_out is not None:
                found = self.scorer(model, samples, self.held_out, sample_evenly(self.data, SAMPLES))
                scores, sheets = dict(found.scores), sheets | {"completed": found.sheets[""]}
        names = ("score",) if "score" in scores else NAMES
        measured = [value for name in names if (value := (dict(known) | scores).get(name)) is not None]
        # Only scores of one phase are comparable: a generator that only redraws is nearer to pictures, and blurred.
        phase = model.about.get("phase")
        best = self.best if phase == self.phase else None
        if measured and ((score := sum(measured) / len(measured)) > (-torch.inf if best is None else best)):
            self.best, self.phase = score, phase
            model_file.save(replace(model, about={**model.about, **about, "score": score}), self.path)
        return ValidationResult(scores, sheets, distances)

    def usual_distance(self) -> torch.Tensor:
        """The distances of unseen pictures to the nearest training picture."""
        if self._usual is None:
            self._usual = self._find_neighbours().usual_distance(self.held_out, AT_ONCE)
        return self._usual

    def _find_neighbours(self) -> Neighbours:
        if self._neighbours is None:
            if self.data is None:
                raise ValueError("without pictures none is near")
            self._neighbours = Neighbours(self.data)
        return self._neighbours


def sample_evenly(data: Dataset, count: int) -> Images:
    """A number of pictures, evenly spaced over the collection."""
    return batch_to_images(data.pixels[_choose_evenly(np.arange(len(data)), count)])


def sample_by_class(data: Dataset, count: int) -> Images:
    """A number of pictures, equally many of each class, like the samples of sheets; evenly spaced without classes.
    Fewer if a class has too few.
    """
    if data.labels is None:
        return sample_evenly(data, count)
    classes = [np.flatnonzero(data.labels == label) for label in range(len(data.classes))]
    share = min(max(1, count // len(classes)), *map(len, classes))
    return batch_to_images(data.pixels[np.concatenate([_choose_evenly(places, share) for places in classes])])


def _choose_evenly(places: Int64[np.ndarray, " n"], count: int) -> Int64[np.ndarray, " m"]:
    """A number of the places, evenly spaced; all if there are fewer."""
    chosen = np.linspace(0, len(places) - 1, min(count, len(places))).round().astype(np.int64)
    return places[np.unique(chosen)]


def _pairs(samples: Others, nearest: Nearest) -> Others:
    shown = samples[:SHOWN]
    columns = range(0, len(shown), COLUMNS)
    return torch.cat([row for i in columns for row in (shown[i : i + COLUMNS], nearest.images[i : i + COLUMNS])])


def _draw(generator: Generator, seed: int, device: torch.device) -> Images:
    latents = generator.prior.sample([Stream.COMPARED_SAMPLES.key(seed, n) for n in range(SAMPLES)]).to(device)
    with torch.no_grad():
        return torch.cat([generator(z).clamp(-1, 1).cpu() for z in torch.split(latents, AT_ONCE)])


def _score_of(path: Path) -> tuple[float | None, str | None]:
    """The score of the best model so far, from its header, and the phase of the training that it is of."""
    about = model_file.read_about(path) if path.exists() else {}
    score = about.get("score")
    return float(score) if score is not None else None, about.get("phase")
