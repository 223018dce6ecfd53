"""Options of photos, and of their completion."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, final

from annotated_types import Ge, Gt, Interval, Le, Lt, Predicate

from ..errors import LatentfillError
from .bounds import LandmarkSet, Positive, Widening


@final
@dataclass(frozen=True)
class Alignment:
    """The square around a face, as it is cut from a photo. A data folder and a model file can hold it."""

    landmarks: LandmarkSet = "inner-eyes-and-bottom-lip"
    """the three points that are brought to their places. inner-eyes-and-bottom-lip needs dlib's 68-point model, whose
    training pictures exclude commercial use; outer-eyes-and-nose uses its 5-point model, free for any use"""
    similarity: bool = False
    """only turn, shift and scale, so that a face keeps its shape; by default the three points are met exactly, as by
    OpenFace, which can shear"""
    margin: Annotated[float, Interval(ge=0.5, le=8)] = 1.0
    """how much wider than OpenFace's framing, which ends at the chin: 2.0 shows a face as large as in CelebA's aligned
    pictures, 1.7 as in FFHQ's"""


@final
@dataclass(frozen=True)
class ReadLimits:
    """Limits of the picture files that are read."""

    max_bytes: Positive = 256 * 2**20
    """the largest file, in bytes as it is stored (256 MiB)"""
    max_pixels: Annotated[int, Interval(gt=0, le=178_000_000)] = 100_000_000
    """the largest picture, width times height; above 178 million the decoder itself refuses"""


@final
@dataclass(frozen=True)
class PhotoOptions:
    """How the model looks at photos of another size than its own, and what fills the rest of a hole."""

    place: Literal["auto", "faces", "center"] = "auto"
    """where the model looks: at the faces that the hole touches, or at the central square. auto is faces for models of
    aligned faces; it fills a photo without a face from the photo itself, where faces rejects it, and removes a face
    that lies in the hole as a whole, where faces draws one. A picture of the model's size is taken whole"""
    upsample: Annotated[int, Interval(ge=0, le=3)] = 1
    """how often to double a photo's size in the search for small faces"""
    outside: Literal["auto", "patches", "biharmonic", "telea"] = "auto"
    """what fills the part of a hole that the model does not see: patches of the photo, the smoothest continuation
    (biharmonic), or Telea's method. auto is biharmonic where the hole's rim is smooth, as in the sky, and else
    patches"""
    grain: bool = True
    """give the filled part the fine detail and the grain of the photo around it"""
    grow: Widening = 0
    """widen the hole on all sides, by pixels or by a share of the photo's shorter side (2%): for soft edges, and for
    the rest of a mark that is painted out"""
    extend: str = ""
    """add margins to the photo and fill them: LEFT,TOP,RIGHT,BOTTOM, in pixels or in percent of the photo's sides
    (10%,0,10%,0)"""


def is_odd(number: int) -> bool:
    """Tell whether a window has a pixel in its middle."""
    return number % 2 == 1


@final
@dataclass(frozen=True)
class CompleteOptions:
    """The search for a completion. The defaults are the original repository's; commands and `fill` use a preset."""

    method: Literal["adam", "nesterov", "hmc"] = "adam"
    """how a latent is searched: adam (the repository's), nesterov (the post's), or sampled: hmc (the repository's)"""
    steps: Annotated[int, Ge(0)] = 1000
    """updates of each latent, or proposals of hmc (the original's nIter)"""
    learning_rate: Annotated[float, Gt(0)] = 0.01
    """step of adam and nesterov (lr)"""
    schedule: Literal["constant", "cosine"] = "constant"
    """how the step of adam and nesterov changes: not at all, or down to zero along half a cosine"""
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.9
    """momentum of nesterov; 0 is plain descent, the author's advice where it oscillates"""
    beta1: Annotated[float, Ge(0), Lt(1)] = 0.9
    """adam's memory of the gradient"""
    beta2: Annotated[float, Ge(0), Lt(1)] = 0.999
    """adam's memory of the squared gradient"""
    epsilon: Annotated[float, Gt(0)] = 1e-8
    """keeps adam from dividing by zero (eps)"""
    hmc_beta: Annotated[float, Ge(0)] = 0.2
    """inverse temperature: factor of the loss in the energy (hmcBeta)"""
    hmc_step_size: Annotated[float, Gt(0)] = 0.001
    """length of a leapfrog step (hmcEps)"""
    hmc_leapfrog_steps: Positive = 100
    """leapfrog steps, each a gradient, for a proposal (hmcL)"""
    hmc_anneal: Annotated[float, Gt(0)] = 1.0
    """factor of hmc_beta after each proposal; above 1 it cools (hmcAnneal)"""
    context: Literal["l1", "weighted"] = "l1"
    """contextual loss: every known pixel alike (l1, the post's), or more weight near the hole (weighted, Yeh et al.)"""
    window: Annotated[int, Gt(0), Predicate(is_odd)] = 7
    """side of the window in which missing pixels are counted for the weights, odd"""
    perceptual: Literal["non-saturating", "saturating"] = "non-saturating"
    """perceptual loss: -log D(G(z)), as the repository computes, or log(1 - D(G(z))), as the papers write"""
    lam: Annotated[float, Ge(0)] = 0.1
    """weight of the perceptual loss"""
    balance: Literal["sum", "mean"] = "sum"
    """what lam is measured against: the sum over all known values (the post's), or their mean, which is the same for
    any size"""
    blend: Literal["auto", "overlay", "poisson"] = "auto"
    """how the hole's pixels join the known ones: as they are (overlay, the post's formula), or by their gradients
    (poisson). auto is overlay for pictures of the model's size, and poisson for larger photos"""
    start: Literal["random", "encoder", "auto"] = "random"
    """first latents: random (the repository's), the encoder's guess and others around it, or auto: encoder if there is
    one"""
    cold_steps: Annotated[int, Ge(0)] = 0
    """least number of steps from random latents, and with other methods than adam; an encoder's guess needs fewer"""
    attempts: Positive = 1
    """latents to start from for each image; the best is kept"""
    prune: bool = False
    """give up the worse half of the attempts at a quarter, a half and three quarters of the steps"""
    held_out: Annotated[float, Interval(ge=0, le=0.5)] = 0.0
    """share of the known pixels, near the hole, that is hidden from the search and used to choose the best attempt"""
    tune_steps: Annotated[int, Ge(0)] = 0
    """updates of the latent and the generator's maps of 8x8 together, by all known pixels, after the latent's own"""
    tune_rate: Annotated[float, Gt(0)] = 0.1
    """first step of the tuning, for the maps; it falls along half a cosine"""
    tune_weight: Annotated[float, Ge(0)] = 1e-4
    """cost of a change of the maps by their usual size, per value"""
    candidates: Positive = 1
    """completions to offer for each image, the most promising first; each is an attempt of its own"""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """what the layers compute in; auto is bf16 where the processor is faster with it"""
    seed: Annotated[int, Ge(0), Le(2**31 - 1)] = 0
    """seed of the first latents and of hmc's draws"""

    def updates(self, *, warm: bool) -> int:
        """Steps of the search, those of the tuning aside, from an encoder's guess (`warm`) or without one."""
        return self.steps if warm and self.method == "adam" else max(self.steps, self.cold_steps)

    @property
    def starts(self) -> int:
        """Latents to start from for each image."""
        return max(self.attempts, self.candidates)


def refuse_removed(chosen: Mapping[str, object]) -> None:
    """Raise LatentfillError if `method` or `preset` is `posterior`, which earlier versions had."""
    if "posterior" in (chosen.get("method"), chosen.get("preset")):
        raise LatentfillError(
            "there is no method posterior any more: its chains did not mix",
            "Ask the completer for several: --preset best --candidates 4. The original's sampler is --method hmc.",
        )


COMPLETE_PRESETS: dict[str, CompleteOptions] = {
    "seed": CompleteOptions(),
    "paper": CompleteOptions(steps=1500, context="weighted", perceptual="saturating", lam=0.003, blend="poisson"),
    # An encoder's guess needs no steps; a model without an encoder gets `cold_steps`.
    "fast": CompleteOptions(
        "adam", 0, 0.2, "cosine", start="auto", cold_steps=100, lam=0.0, balance="mean", blend="poisson"
    ),
    "best": CompleteOptions(
        start="auto",
        steps=0,
        cold_steps=100,
        learning_rate=0.2,
        schedule="cosine",
        tune_steps=40,
        context="weighted",
        window=15,
        lam=0.0,
        balance="mean",
        blend="poisson",
    ),
}


def choose_search(options: CompleteOptions | str | None) -> CompleteOptions:
    """The options themselves, or those of the preset of this name; without any, best.

    Raises LatentfillError for a name that is none, TypeError for anything else.
    """
    if options is None:
        return COMPLETE_PRESETS["best"]
    if isinstance(options, CompleteOptions):
        return options
    if not isinstance(options, str):
        raise TypeError(f"options are CompleteOptions or the name of a preset, not {type(options).__name__}")
    refuse_removed({"preset": options})
    if options not in COMPLETE_PRESETS:
        raise LatentfillError(f"there is no preset {options!r}", f"It is one of: {', '.join(COMPLETE_PRESETS)}.")
    return COMPLETE_PRESETS[options]
