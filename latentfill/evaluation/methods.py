"""The methods that the benchmark compares, by name. A new one is one entry of `METHODS`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, Protocol, final, runtime_checkable

import numpy as np
import torch

from ..completion.complete import complete
from ..errors import LatentfillError
from ..gan.gan import Gan
from ..images.blending import overlay, poisson
from ..images.holes import to_known
from ..images.incomplete import Incomplete
from ..images.pixels import batch_to_images, to_grey, to_pixels
from ..options import COMPLETE_PRESETS, CompleteOptions
from ..seeds import Stream
from ..types import Images, Known, PixelBatch
from . import baselines
from .metrics import Where

SAMPLES = 1024  # of the generator, for its mean image, which is then known to half a grey level
LINEAR_SAMPLES = 4096  # for a covariance: eight samples for each component
AT_ONCE = 64

Complete = Callable[[PixelBatch, Where], PixelBatch]


@runtime_checkable
class Filler(Protocol):
    """A network that completes pictures at one go, such as a context encoder."""

    def predict(self, images: Images, known: Known) -> Images: ...


@final
@dataclass(frozen=True, eq=False)
class Resources:
    """Models and pictures that methods need. `digests` are of the files' contents, by the names of the fields."""

    gan: Gan
    train: PixelBatch | None = None
    context: Filler | None = None
    digests: Mapping[str, str] = field(default_factory=dict)


@final
@dataclass(frozen=True, eq=False)
class Method:
    """A way to complete uint8 [n, h, w, 3], given holes [n, h, w]; in the holes the pictures are grey.

    `about` is JSON: all on which its results depend besides pictures and holes. When it changes they are computed anew.
    """

    complete: Complete
    about: Mapping[str, Any] = field(default_factory=dict)


def choose(names: Sequence[str], resources: Resources) -> tuple[dict[str, Method], dict[str, LatentfillError]]:
    """The methods of these names, and the errors of those that lack something.

    Raises LatentfillError for an unknown name.
    """
    methods: dict[str, Method] = {}
    lacking: dict[str, LatentfillError] = {}
    for name in names:
        if name not in METHODS:
            raise LatentfillError(f"there is no method {name!r}", f"It is one of: {', '.join(METHODS)}.")
        try:
            methods[name] = METHODS[name](resources)
        except LatentfillError as error:
            lacking[name] = error
    return methods, lacking


def search_method(options: CompleteOptions) -> Callable[[Resources], Method]:
    """The search of the package with certain options, and its blending."""

    def make(resources: Resources) -> Method:
        gan = resources.gan

        def fill(images: Images, known: Known) -> Images:
            incomplete = Incomplete(images, known)
            drawn = complete(gan, incomplete, options).images
            return poisson(incomplete, drawn) if options.blend == "poisson" else overlay(incomplete, drawn)

        # A new option of the search, left at its default, must not make all earlier results stale. In return, whoever
        # changes a default raises benchmark.FORMAT; a test remembers the defaults.
        chosen = {f.name: value for f in fields(options) if (value := getattr(options, f.name)) != f.default}
        about = {"options": chosen, "model": resources.digests.get("gan")}
        if options.start != "random":
            about["encoder"] = resources.digests.get("encoder")
        return Method(_with_tensors(gan, fill), about)

    return make


def _mean(resources: Resources) -> Method:
    """The mean of the training pictures, if there are any, or of the model's samples; the same in every hole."""
    train = resources.train
    mean = baselines.mean_picture(_samples(resources.gan, SAMPLES) if train is None else train)
    about = _digest(resources, "gan" if train is None else "train")
    return Method(lambda pictures, holes: np.repeat(mean[None], len(pictures), 0), about)


def _linear(resources: Resources) -> Method:
    """The Gaussian of the training pictures, or of the model's samples. It is fitted when first asked."""
    train = resources.train
    which = "gan" if train is None else "train"
    fit = cache(lambda: baselines.fit(_samples(resources.gan, LINEAR_SAMPLES) if train is None else train))
    about = {"components": baselines.COMPONENTS, "noise": baselines.NOISE, **_digest(resources, which)}
    return Method(lambda pictures, holes: fit().complete(pictures, holes), about)


def _nearest(resources: Resources) -> Method:
    train = resources.train
    if train is None:
        raise LatentfillError("nearest needs the training pictures", "Give them with --train.")
    return Method(lambda pictures, holes: baselines.nearest(pictures, holes, train), _digest(resources, "train"))


def _context_encoder(resources: Resources) -> Method:
    context = resources.context
    if context is None:
        raise LatentfillError("context-encoder needs its model", "Give the file with --context.")
    return Method(_with_tensors(resources.gan, torch.no_grad()(context.predict)), _digest(resources, "context"))


def _each(fill: Any) -> Callable[[Resources], Method]:
    def make(resources: Resources) -> Method:
        black = np.zeros((1, 8, 8, 3), np.uint8)
        baselines.one_by_one(fill)(black, np.pad([[[np.uint8(255)]]], ((0, 0), (3, 4), (3, 4))))  # is it installed?
        return Method(baselines.one_by_one(fill))

    return make


METHODS: dict[str, Callable[[Resources], Method]] = {
    **{name: search_method(options) for name, options in COMPLETE_PRESETS.items()},
    "context-encoder": _context_encoder,
    "mean": _mean,
    "nearest": _nearest,
    "linear": _linear,
    "telea": _each(baselines.telea),
    "navier-stokes": _each(baselines.navier_stokes),
    "biharmonic": _each(baselines.biharmonic),
    "total-variation": lambda resources: Method(baselines.total_variation, {"steps": baselines.TV_STEPS}),
}


def _with_tensors(gan: Gan, fill: Callable[[Images, Known], Images]) -> Complete:
    def run(pictures: PixelBatch, holes: Where) -> PixelBatch:
        given = pictures if gan.network.channels == 3 else np.stack([to_grey(picture) for picture in pictures])
        known = torch.cat([to_known(hole) for hole in holes])
        return np.stack(to_pixels(fill(batch_to_images(given).to(gan.device), known.to(gan.device))))

    return run


@torch.no_grad()
def _samples(gan: Gan, count: int) -> PixelBatch:
    """Images of the generator [count, h, w, c], always the same."""
    seeds = [Stream.MEAN_IMAGE.key(number=i) for i in range(count)]
    groups = [seeds[i : i + AT_ONCE] for i in range(0, count, AT_ONCE)]
    prior = gan.generator.prior
    return np.concatenate([to_pixels(gan.generator(prior.sample(group).to(gan.device))) for group in groups])


def _digest(resources: Resources, name: str) -> dict[str, Any]:
    return {name: resources.digests.get(name)}
