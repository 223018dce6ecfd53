"""Scores of a model in training: a short search on held-out pictures, and distances of its samples."""

from collections.abc import Sequence
from dataclasses import replace
from typing import final

import numpy as np
import torch

from ..completion.complete import complete
from ..gan.gan import Completer, Gan
from ..images.blending import poisson
from ..images.incomplete import Incomplete
from ..images.pixels import to_pixels
from ..options import COMPLETE_PRESETS, CompleteOptions
from ..runs.holes import SCORED_HOLE_STREAM, SCORED_HOLES, draw_known, psnr, row
from ..runs.logs import Curve, Curves, Summary
from ..runs.watchdog import Others
from ..types import Images, Known, PixelBatch
from .distances import frechet, kernel
from .feature_spaces import SPACES

HOLES = {name: SCORED_HOLES[name] for name in ("psnr_center", "psnr_random")}
COMPLETED = 32  # pictures for each hole
COMPLETER_HOLES = ("center", "half")
DISCRIMINATOR, FACES = "discriminator", "dlib-face"  # spaces in which completions of a completer are compared
AT_ONCE = 32  # pictures side by side
FEWEST = 64  # least held-out pictures for distances to samples; with fewer, training pictures are used
# The post's search, but short, and without D's term: D changes while it learns, and scores of one training must be
# comparable.
SEARCH = CompleteOptions("adam", 50, 0.1, "cosine", lam=0.0, balance="mean", blend="overlay")


@final
class CompletionScorer:
    """PSNR in the hole of held-out pictures; Fréchet and kernel distances of samples, in spaces by name."""

    def __init__(self, spaces: Sequence[str] = ("pixels",)) -> None:
        self.spaces = spaces

    @property
    def curves(self) -> Curves:
        """A column for each number."""
        found = {name: Curve(name, f"psnr/{hole}") for name, hole in HOLES.items()}
        for space in self.spaces:
            for measure in ("frechet", "kernel"):
                name = f"{measure}_{space.replace('-', '_')}"
                found[name] = Curve(name, f"{measure}/{space}")
        return found

    def __call__(self, gan: Gan, samples: Images, held_out: Others, real: Others) -> Summary:
        """Scores by column, and completions. Draws nothing at random but the hole, which is the same each time."""
        images = held_out[:COMPLETED].to(gan.device)
        scores, rows = {}, [row(images)]
        options = replace(COMPLETE_PRESETS["fast"], blend="overlay") if gan.encoder else SEARCH
        for name, hole in HOLES.items():
            known = draw_known(images.shape[-1], range(len(images)), 0, hole, SCORED_HOLE_STREAM).to(gan.device)
            made = complete(gan, Incomplete(images, known), options).images.clamp(-1, 1)
            scores[name] = float(psnr(made, images, 1 - known).mean())
            rows += [row(images * known), row(torch.where(known > 0, images, made))]
        others = held_out if len(held_out) >= FEWEST else real
        count = min(len(samples), len(others))
        for space in self.spaces if count > 1 else ():
            measure = SPACES[space](gan).measure
            made_features, real_features = measure(_pictures(samples[:count])), measure(_pictures(others[:count]))
            name = space.replace("-", "_")
            scores[f"frechet_{name}"] = frechet(made_features, real_features)
            scores[f"kernel_{name}"] = kernel(made_features, real_features)
        return Summary({"": torch.cat(rows)}, scores=scores)


@final
class CompleterScorer:
    """Fréchet distances of held-out pictures, completed by the model's completer, from themselves."""

    def __init__(self, space: str = DISCRIMINATOR) -> None:
        self.space = space if space == FACES else DISCRIMINATOR

    @property
    def curves(self) -> Curves:
        """A column for each kind of hole."""
        return {f"frechet_{hole}": Curve(f"frechet_{hole}", f"frechet/{hole}") for hole in COMPLETER_HOLES}

    def __call__(self, gan: Gan, samples: Images, held_out: Others, real: Others) -> Summary:
        """Scores by column, and completions: the most probable ones. The smaller the distances, the larger `score`.

        PSNR would not do: the best has the mean of all fillings, which is blurred. Raises ValueError for a model
        without a completer.
        """
        if gan.completer is None:
            raise ValueError("expected a model with a completer")
        images = held_out.to(gan.device)
        measure = SPACES[self.space if gan.about.get("alignment") else DISCRIMINATOR](gan).measure
        originals, scores, rows = measure(_pictures(held_out)), dict[str, float](), [row(images)]
        for hole in COMPLETER_HOLES:
            known = draw_known(images.shape[-1], range(len(images)), 0, hole, SCORED_HOLE_STREAM).to(gan.device)
            groups = zip(torch.split(images, AT_ONCE), torch.split(known, AT_ONCE), strict=True)
            made = torch.cat([_complete(gan.completer, *group) for group in groups])
            rows += [row(images * known), row(made)]
            if len(images) > 1:
                scores[f"frechet_{hole}"] = frechet(measure(_pictures(made)), originals)
        return Summary({"": torch.cat(rows)}, scores=scores | ({"score": -sum(scores.values())} if scores else {}))


@torch.no_grad()
def _complete(completer: Completer, images: Images, known: Known) -> Images:
    condition = completer.encode(images, known)
    drawn = completer.draw(completer.latents(condition), condition)
    return poisson(Incomplete(images, known), drawn)


def _pictures(images: Images) -> PixelBatch:
    return np.stack(to_pixels(images))
