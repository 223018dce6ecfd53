"""Scores of a method's results: for each picture, and for all of them together."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Float

from ..images import photos
from ..types import PixelBatch
from . import distances as bootstrap
from . import judge as classifier
from .distances import Estimate, Features, frechet, kernel_terms, unit_of
from .feature_spaces import IDENTITY, Space
from .metrics import Scores, Where, chroma, detail, l1, psnr, rim, ssim
from .result_cache import Task

Name = tuple[str, str]  # metric, region

BEST_PSNR = 100.0  # dB, for a picture without an error: one level in one of 64 x 64 x 3 values makes 89
FORMAT = 3  # raise it when the same pictures would get other scores
EDGES = (0, 10, 20, 30, 40, 50, 100)  # percent of a picture that is missing: the bounds of the bins
LEAST = 2  # pictures in a bin


@final
@dataclass(frozen=True)
class Metric:
    """A score of each picture, in the hole alone and in the whole."""

    of: Callable[[PixelBatch, PixelBatch, Where | None], Scores]
    unit: str
    better: str


def _capped_psnr(completed: PixelBatch, original: PixelBatch, where: Where | None) -> Scores:
    return np.asarray(np.minimum(psnr(completed, original, where), BEST_PSNR))


METRICS: dict[str, Metric] = {
    "psnr": Metric(_capped_psnr, "dB", "higher"),
    "ssim": Metric(ssim, "at most 1", "higher"),
    "l1": Metric(l1, "grey levels of 255", "lower"),
}


# Sums over the pictures of a measure in the hole, as shares of the originals' sums.
SHARES: dict[str, Callable[[PixelBatch, Where], Scores]] = {"detail": detail, "chroma": chroma, "rim": rim}


@final
@dataclass(frozen=True, eq=False)
class MethodScores:
    """Scores of each picture, and estimates that only all pictures together have."""

    each: Mapping[Name, Scores]
    together: Mapping[Name, Estimate]

    def estimates(self, seed: int) -> Iterator[tuple[Name, Estimate]]:
        """Everything as a mean or a distance, with its interval."""
        yield from ((name, bootstrap.mean(scores, seed)) for name, scores in self.each.items())
        yield from self.together.items()


def score_method(
    task: Task, made: PixelBatch, spaces: Mapping[str, Space], real: Mapping[str, Features], seed: int
) -> MethodScores:
    """Compare completed pictures with their originals, whose features in each space are `real`."""
    each = {
        (name, region): metric.of(made, task.original, where)
        for name, metric in METRICS.items()
        for region, where in (("hole", task.holes), ("image", None))
    }
    together: dict[Name, Estimate] = {}
    if len(made) >= classifier.LEAST:
        verdict = classifier.classify(task.original, made, task.holes, seed)
        together["judge-auc", "hole"] = verdict.auc(seed)
        each |= {("p-ids", "hole"): verdict.p_ids, ("u-ids", "hole"): verdict.u_ids}
        each["judge-accuracy", "hole"] = verdict.accuracy
    for name, measure in SHARES.items():
        if (whole := measure(task.original, task.holes)).sum() > 0:  # plain pictures have no share
            together[name, "hole"] = bootstrap.ratio(measure(made, task.holes), whole, seed)
    for name, space in spaces.items():
        features = space.measure(made)
        if name == IDENTITY:
            each[f"identity:{name}", "image"] = np.linalg.norm(features.astype(float) - real[name], axis=1)
        if space.distance:
            each[f"perceptual:{name}", "image"] = space.distance(made, task.original)
        if len(made) > 1:
            distance = partial(_frechet_of, features, real[name])
            together[f"frechet:{name}", "image"] = bootstrap.any_number(distance, len(made), seed)
            terms = kernel_terms(features, real[name], unit_of(real[name]))
            together[f"kernel:{name}", "image"] = bootstrap.mean_of_pairs(terms, seed)
    return MethodScores(each, together)


def score_once(
    folder: Path,
    task: Task,
    made: PixelBatch,
    spaces: Mapping[str, Space],
    real: Mapping[str, Features],
    seed: int,
    model: str,
) -> MethodScores:
    """`score_method`, kept in a folder under a digest of the pictures, the spaces, the seed and the model."""
    key = hashlib.sha256(f"{FORMAT} {sorted(spaces)} {seed} {model}".encode())
    for array in (task.original, task.holes, made):
        key.update(array.tobytes())
    path = folder / f"{key.hexdigest()[:24]}.npz"
    try:
        return _read(path)
    except (OSError, ValueError, KeyError):
        scores = score_method(task, made, spaces, real, seed)
        _write(path, scores)
        return scores


def by_area(task: Task, scores: MethodScores, seed: int) -> Iterator[tuple[Name, str, Estimate]]:
    """The means over pictures with a similar missing share: metric and region, `10-20 %`, estimate."""
    percent = 100 * (task.holes > 0).mean((1, 2))
    for low, high in pairwise(EDGES):
        rows = np.flatnonzero((percent > low) & (percent <= high))
        if len(rows) >= LEAST:
            for name, values in scores.each.items():
                yield name, f"{low}-{high} %", bootstrap.mean(values[rows], seed)


def _frechet_of(made: Features, real: Features, rows: Float[np.ndarray, " n"] | np.ndarray) -> float:
    return frechet(made[rows], real[rows])


def _write(path: Path, scores: MethodScores) -> None:
    arrays: dict[str, Any] = {f"each/{metric}/{region}": values for (metric, region), values in scores.each.items()}
    for (metric, region), estimate in scores.together.items():
        arrays[f"together/{metric}/{region}"] = np.array([estimate.value, estimate.n, estimate.normal, *estimate.draws])
    photos.write_file(path, lambda file: np.savez(file, **arrays))


def _read(path: Path) -> MethodScores:
    each: dict[Name, Scores] = {}
    together: dict[Name, Estimate] = {}
    with np.load(path) as file:
        for key in file.files:
            kind, metric, region = key.split("/")
            if kind == "each":
                each[metric, region] = file[key]
            else:
                value, n, normal, *drawn = file[key].tolist()
                together[metric, region] = Estimate(value, np.array(drawn), int(n), bool(normal))
    return MethodScores(each, together)
