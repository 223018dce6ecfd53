"""All methods on all holes: read the pictures, have them completed, score the results, and write the report."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, final

import numpy as np

from ..errors import DataError, ImageError, LatentfillError
from ..gan.gan import Gan
from ..images import photos
from ..images.holes import parse
from ..images.pixels import fit, to_grey
from ..options import ReadLimits
from ..seeds import Stream, philox
from ..types import Pixels
from . import judge as classifier
from .feature_spaces import SPACES, Space
from .methods import Method
from .report import SHOWN, Gallery, build_report, describe_metrics, write_page, write_report, write_sheet
from .result_cache import Pictures, Results, ResultStore, Task, make_task
from .scores import MethodScores, score_once

FILES = ("report.json", "report.csv", "report.md", "report.html", "contact.png")
Part = Literal["all", "test", "choose"]
Progress = tuple[int, int, str]  # done, of how many, and a label


def read_pictures(
    sources: Sequence[photos.Source], gan: Gan, count: int, part: Part = "all", limits: ReadLimits | None = None
) -> tuple[Pictures, list[tuple[str, str]]]:
    """The first `count` pictures that can be read, in a shuffled order that never changes; and the bad ones, with why.

    `test` and `choose` are halves without a common picture. Central squares, at the model's size and in its colours.
    Raises DataError if there is none.
    """
    order = philox(Stream.TRIAL_ORDER.key()).permutation(len(sources))
    middle = len(sources) // 2
    chosen = {"all": order, "test": order[:middle], "choose": order[middle:]}[part]
    pixels: list[Pixels] = []
    names: list[str] = []
    shapes: list[tuple[int, int]] = []
    rejected: list[tuple[str, str]] = []
    for source in (sources[i] for i in chosen):
        if len(pixels) == count:
            break
        try:
            photo = photos.read(source, limits or ReadLimits()).opaque()
            square = fit(photo, gan.network.size)
        except ImageError as error:
            rejected.append((source.name, error.what.removeprefix(f"{source.name}: ")))
            continue
        except MemoryError:
            rejected.append((source.name, "there is not enough memory for it"))
            continue
        pixels.append(square if gan.network.channels == 3 else np.repeat(to_grey(square), 3, 2))
        names.append(source.name)
        shapes.append((photo.shape[0], photo.shape[1]))
    if not pixels:
        why = f"; the first: {': '.join(rejected[0])}" if rejected else ""
        raise DataError(f"no picture can be read{why}", "Give other pictures.")
    return Pictures(np.stack(pixels), names, shapes), rejected


def spaces(gan: Gan) -> tuple[dict[str, Space], dict[str, LatentfillError]]:
    """The feature spaces of this model and installation, and for the others the error that says why not."""
    available: dict[str, Space] = {}
    lacking: dict[str, LatentfillError] = {}
    for name, make in SPACES.items():
        try:
            available[name] = make(gan)
        except LatentfillError as error:
            lacking[name] = error
    return available, lacking


@final
@dataclass(frozen=True, eq=False)
class Trial:
    """Methods and kinds of hole to try in a folder. `complete` comes first, then `score`, then there is a `report`.

    `model` tells the model's file by its contents; `about` is what the report begins with.
    """

    folder: Path
    pictures: Pictures
    methods: Mapping[str, Method]
    holes: Sequence[str]
    spaces: Mapping[str, Space]
    model: str
    seed: int = 0
    batch_size: int = 64
    about: Mapping[str, Any] = field(default_factory=dict)
    limits: ReadLimits = field(default_factory=ReadLimits)

    def __post_init__(self) -> None:
        for hole in self.holes:
            parse(hole)  # raises at once for a hole that cannot be parsed
        if not self.holes or not self.methods:
            raise LatentfillError("nothing to try", "Name holes with --holes and methods with --methods.")

    def remove_results(self, methods: Sequence[str]) -> None:
        """Remove the results of these methods, so that they are computed again."""
        for hole in self.holes:
            task = self._task(hole)
            for name in methods:
                self._store(name, task).clear()

    def complete(self) -> Iterator[Progress]:
        """Complete what is missing. It may be stopped at any time: each finished batch is kept."""
        total = len(self.pictures) * len(self.holes) * len(self.methods)
        before = 0
        for hole, name, store in self.stores():
            for done in store.fill(self.batch_size):
                yield before + done, total, f"{hole}: {name}"
            before += len(self.pictures)

    def stores(self) -> Iterator[tuple[str, str, ResultStore]]:
        """Hole, method, and the store of their results."""
        for hole in self.holes:
            task = self._task(hole)
            for name in self.methods:
                yield hole, name, self._store(name, task)

    def score(self) -> Iterator[Progress]:
        """Score the results and write the files."""
        total = len(self.pictures) * len(self.holes) * len(self.methods)
        lists: dict[str, list[Any]] = {"rows": [], "seconds_per_image": [], "differences": [], "by_area": []}
        galleries, left_out = [], list(self.about.get("left_out", ()))
        done = 0
        for hole in self.holes:
            task = self._task(hole)
            real = {name: space.measure(task.original) for name, space in self.spaces.items()}
            scores: dict[str, MethodScores] = {}
            results: dict[str, Results] = {}
            for name in self.methods:
                results[name] = self._store(name, task).results()
                place = self.folder / "_run" / "judged"
                made = results[name].pixels
                scores[name] = score_once(place, task, made, self.spaces, real, self.seed, self.model)
                done += len(self.pictures)
                yield done, total, f"{hole}: {name}"
            for key, rows in build_report(task, scores, results, self.seed).items():
                lists[key] += rows
            if len(task.original) < classifier.LEAST:
                reason = f"it needs {classifier.LEAST} pictures or more to learn from, not {len(task.original)}"
                left_out.append({"name": f"trained judge, {hole}", "reason": reason})
            galleries.append(_gallery(task, scores, results))
        described = describe_metrics({name: space.about for name, space in self.spaces.items()})
        report = {**self.about, "left_out": left_out, "metrics": described, **lists}
        write_report(self.folder, report)
        write_page(self.folder / FILES[3], report, galleries)
        write_sheet(self.folder / FILES[4], galleries)

    def report(self) -> dict[str, Any]:
        """The report.json that `score` wrote."""
        report: dict[str, Any] = json.loads((self.folder / FILES[0]).read_text())
        return report

    def _task(self, hole: str) -> Task:
        return make_task(hole, self.pictures, self.seed, self.limits)

    def _store(self, name: str, task: Task) -> ResultStore:
        return ResultStore(self.folder / "_run", name, self.methods[name], task)


def _gallery(task: Task, scores: Mapping[str, MethodScores], results: Mapping[str, Results]) -> Gallery:
    few = slice(SHOWN)
    return Gallery(
        task.hole,
        task.original[few],
        task.shown[few],
        {name: r.pixels[few] for name, r in results.items()},
        {name: s.each["psnr", "hole"][few] for name, s in scores.items()},
    )
