"""Features of a completed image that predict the error in its hole, where the original is unknown.

The agreement measures whether the model's image has the structure of the known pixels: an eye where there is one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import scipy
import torch
from jaxtyping import Float
from torch import Tensor

from ..completion.complete import Completion
from ..completion.held_out import Mask, choose_hidden, for_each_mask, hide_pixels, rmse
from ..completion.one_pass import completer_noise, uses_completer
from ..completion.operators import IDENTITY, LinearOperator, Operator
from ..completion.restarts import uses_encoder
from ..device import choose_precision
from ..gan.fused import fuse
from ..gan.gan import Gan
from ..images.blending import poisson, poisson_like
from ..images.incomplete import Incomplete
from ..images.pixels import GREY_LEVEL
from ..options import CompleteOptions
from ..seeds import Stream
from ..types import Images, Known, PerImage

WINDOW = 3.0  # pixels of 64: standard deviation of the Gaussian window; 1.5 and 6 separate cats from faces as well
REACH = 2.5  # standard deviations after which the window is cut
NOISE = 4 * GREY_LEVEL  # contrast below which a window counts as flat, because its correlations would be those of noise
LITTLE = 0.05  # least known share of a window for it to count
LUMA = LinearOperator(grey=True)


def agreement(drawn: Images, images: Images, known: Known) -> PerImage:
    """Mean over the known pixels of the local correlation between the drawn and the known image, -1 to 1.

    Each window is compared with its own mean and contrast taken away, so that neither a wrong colour nor a weak
    contrast counts, as in the structure term of SSIM (Wang et al. 2004). Where nothing is known it is NaN.
    """
    window = WINDOW * images.shape[-1] / 64
    a, b = (torch.where(known == 1, LUMA(x), 0) for x in (images, drawn.to(images)))
    weight = _blur(known, window).clamp_min(1e-6)
    mean_a, mean_b, aa, bb, ab = torch.split(
        _blur(torch.cat([a, b, a * a, b * b, a * b], 1), window) / weight, 1, dim=1
    )
    variance_a, variance_b = ((xx - x * x).clamp_min(0) + NOISE**2 for xx, x in ((aa, mean_a), (bb, mean_b)))
    correlation = (ab - mean_a * mean_b) / (variance_a * variance_b).sqrt()
    counts = known * (weight > LITTLE)
    return (correlation * counts).sum((1, 2, 3)) / counts.sum((1, 2, 3))


def _blur(x: Tensor, deviation: float) -> Tensor:
    """Means in a Gaussian window, with zeros outside of the image."""
    height, width = (_window(side, deviation, x) for side in x.shape[-2:])
    seen: Tensor = height @ x @ width  # matrix products take a quarter of the time of convolutions
    return seen


def _window(side: int, deviation: float, like: Tensor) -> Tensor:
    """[side, side]: the weight of each place in the window around each other; inside of the image they sum to 1."""
    places = torch.arange(side).to(like)
    reach = max(1, int(REACH * deviation))
    apart = (places[:, None] - places).abs()
    whole = torch.arange(-reach, reach + 1).to(like)
    weights = torch.exp(-(apart**2) / (2 * deviation**2)) * (apart <= reach)
    return weights / torch.exp(-(whole**2) / (2 * deviation**2)).sum()


Map = Float[Tensor, "n 1 h w"]  # a number for each pixel
Shown = tuple[Images, Known]
HIDDEN = 0.1  # share of the known pixels that is hidden for each further guess
NEAR = 6.0  # pixels of 64 over which a known pixel's weight falls to 1/e, going away from the hole
LEAST = 0.3  # grey levels, added before a logarithm: smaller values cannot be told from rounding
GUESSES = 5  # further guesses for each image; each hides other pixels and takes a hundredth of a search
UNAIDED = 0.6  # share of the known pixels that a completer must draw unseen
COARSEST = 4 / 64  # share of the image; larger blocks show too little to tell a face from anything else


@final
@dataclass(frozen=True, eq=False)
class Features:
    """Numbers by name, for each image and for each pixel; distances and errors as logarithms.

    `hole` is 1 where a pixel is missing. `held_out` is the error on known pixels that further guesses did not see, a
    root mean square in grey levels, `spread` the standard deviation of all guesses at each pixel; None without guesses.
    `seen` are depth, share and agreement by all that can be seen, which of an observed image is not its pixels; None if
    pixels are all there is.
    """

    numbers: Mapping[str, PerImage]
    maps: Mapping[str, Map]
    hole: Map
    held_out: PerImage | None = None
    spread: Map | None = None
    seen: Mapping[str, PerImage] | None = None


def extract_features(gan: Gan, incomplete: Incomplete, completion: Completion, options: CompleteOptions) -> Features:
    """Extract the features of completions that were found with these options.

    What is in the hole is never looked at. Where nothing is known of an image, or nothing missing, numbers may be NaN.
    An encoder makes further guesses, but for a completion that is itself no more than a guess: they would take longer.
    """
    known, hole = incomplete.known, 1 - incomplete.known
    seen = torch.where(known == 1, incomplete.images, 0)
    incomplete = replace(incomplete, images=seen)
    guesses = gan.encoder is not None and not (uses_encoder(gan, options) and is_encoder_guess(options))
    conditional = uses_completer(gan, incomplete, options)
    if guesses or options.tune_steps or conditional:
        gan = fuse(gan, choose_precision(options.precision, seen.device), ("generator", "encoder", "completer"))
    with torch.no_grad():
        # The image that the latent alone draws. A tuned generator, or one that sees the known pixels, agrees with any
        # picture.
        drawn, compared = completion.images, known
        if conditional:
            drawn, compared = _draw_unaided(gan, incomplete, options)
        elif options.tune_steps:
            drawn = gan.generator(completion.z)
        drawn = drawn.to(seen)
        further = _guesses(gan, incomplete, options) if guesses else None
    into, away = _distances(known)
    size = known.shape[-1] / 64
    near = known * torch.exp(-away / (NEAR * size))
    answer = completion.images.to(seen)
    joined = poisson(incomplete, answer)
    numbers = {
        "depth": (_mean(into, hole) / size).log(),
        "share": hole.mean((1, 2, 3)),
        "agreement": agreement(drawn, seen, compared),
        "misfit": _level(_mean((drawn - seen).square(), near)),
        "detail": _level(_mean(_slopes(seen, near), near)),
        "drawn": _level(_mean(_slopes(answer, hole), hole)),
        "joint": _level(_mean((joined - answer).square(), hole)),
    }
    observed = _observe(incomplete, drawn, numbers) if incomplete.observations else None
    maps = {"depth": (into / size).clamp_min(1).log(), "slope": _level(_slopes(joined, torch.ones_like(hole)))}
    if options.tune_steps:
        moved = (answer - drawn).square().mean(1, keepdim=True)
        numbers |= {"moved": _level(_mean(moved, hole)), "tuned": _level(_mean((answer - seen).square(), near))}
        maps["moved"] = _level(moved)
    if further is None:
        return Features(numbers, maps, hole, seen=observed)
    held_out, spread = further
    numbers |= {
        "held_out": (held_out + LEAST).log(),
        "spread": (_mean(spread.square(), hole).sqrt() + LEAST).log(),
    }
    maps["spread"] = (spread + LEAST).log()
    return Features(numbers, maps, hole, held_out, spread, observed)


def is_encoder_guess(options: CompleteOptions) -> bool:
    """True if an encoder's guess is the result: no step follows."""
    steps = options.updates(warm=True)
    return not steps and not options.tune_steps and not options.held_out


def _observe(incomplete: Incomplete, drawn: Images, numbers: Mapping[str, PerImage]) -> Mapping[str, PerImage]:
    """Depth, share and agreement of images without a known pixel by what was observed of them; of others as they are.

    The agreement is NaN where that was noisy, quantised, a JPEG or in large blocks: with 4 levels a tenth of all faces
    would agree too little, with a JPEG of quality 5 one in fifteen.
    """
    images, where = incomplete.shown
    into, _ = _distances(where)
    side = where.shape[-1]
    shown = {
        # Without a hole the depth is -inf, which the regression clips to the smallest it has seen.
        "depth": (_mean(into, 1 - where) * 64 / side).log().nan_to_num(nan=-torch.inf),
        "share": (1 - where).mean((1, 2, 3)),
        "agreement": agreement(drawn, images, where),
    }
    for one in incomplete.observations:
        exact = isinstance(one.operator, Operator) and one.operator.noise == IDENTITY
        if not exact or COARSEST * one.where.shape[-1] < 1:
            shown["agreement"] = torch.where(one.count > 0, torch.nan, shown["agreement"])
    pixels = incomplete.known.sum((1, 2, 3)) > 0
    return {name: torch.where(pixels, numbers[name], values) for name, values in shown.items()}


def _guesses(gan: Gan, incomplete: Incomplete, options: CompleteOptions) -> tuple[PerImage, Map]:
    """The error of further guesses on the pixels that each of them was not shown, and how far all guesses differ."""
    seeds = [Stream.GUESSES.key(options.seed, i) for i in range(GUESSES)]
    hidden = [choose_hidden(incomplete.known, HIDDEN, seed) for seed in seeds]
    shown = [incomplete.shown, *(hide_pixels(incomplete, one).shown for one in hidden)]
    drawn = _draw(gan, shown, uses_completer(gan, incomplete, options), options)
    errors = torch.stack([rmse(a, incomplete, b) for a, b in zip(drawn[1:], hidden, strict=True)])
    spread: Tensor = torch.stack(drawn).var(0).mean(1, keepdim=True).sqrt() / GREY_LEVEL
    return errors.square().mean(0).sqrt(), spread


def _draw_unaided(gan: Gan, incomplete: Incomplete, options: CompleteOptions) -> tuple[Images, Known]:
    """Draw by the model without telling it how each pixel looks, and say where to compare it.

    That of the encoder and G, whose latent holds too little to copy a picture. Without an encoder, what the completer
    draws where known pixels are hidden from it: of faces against flowers, shoes and faces upside down that tells 96 to
    100 % of pairs apart, the first 99 to 100 %.
    """
    images, known = incomplete.images, incomplete.known
    if gan.encoder is not None:
        return gan.generator(gan.encoder(images, known)), known
    hidden = choose_hidden(known, UNAIDED, Stream.GUESSES.key(options.seed, GUESSES), anywhere=True)
    return _draw(gan, [hide_pixels(incomplete, hidden).shown], True, options)[0], hidden


def _draw(gan: Gan, shown: Sequence[Shown], conditional: bool, options: CompleteOptions) -> list[Images]:
    """Draw images as they were shown; a completer has other noise for each."""
    if conditional and gan.completer is not None:
        images_drawn, completer = [], gan.completer
        for (images, known), noise in zip(
            shown, completer_noise(completer, options, Stream.GUESS_NOISE, len(shown)), strict=True
        ):
            condition = completer.encode(images, known)
            z = completer.latents(condition, noise.to(images).expand(len(images), -1))
            images_drawn.append(poisson_like(images, known, completer.draw(z, condition)))
        return images_drawn
    if gan.encoder is None:
        raise ValueError("further guesses need an encoder or a completer")
    return [gan.generator(gan.encoder(images, known)).to(images) for images, known in shown]


def _distances(known: Known) -> tuple[Map, Map]:
    """Distances of each missing pixel to the nearest known one, and of each known pixel to the nearest missing one;
    else 0. In an image with only one kind of pixel all distances are its side.
    """

    def measure(given: Mask) -> tuple[np.ndarray, np.ndarray]:
        far = np.full(given.shape, float(max(given.shape)))
        into = scipy.ndimage.distance_transform_edt(~given) if given.any() else far
        return into, far if given.all() else scipy.ndimage.distance_transform_edt(given)

    rows = for_each_mask(known, measure)
    into, away = (torch.from_numpy(np.stack(side)).to(known)[:, None] for side in zip(*rows, strict=True))
    return into, away


def _slopes(images: Images, where: Known) -> Map:
    """Squared differences to the next pixels right and below, where both lie in `where`; means over the channels."""
    inside = (where > 0).to(images)
    across = (images[..., 1:] - images[..., :-1]).square().mean(1, keepdim=True) * inside[..., 1:] * inside[..., :-1]
    down = (images[..., 1:, :] - images[..., :-1, :]).square().mean(1, keepdim=True)
    down = down * inside[..., 1:, :] * inside[..., :-1, :]
    return torch.nn.functional.pad(across, (0, 1)) + torch.nn.functional.pad(down, (0, 0, 0, 1))


def _mean(values: Tensor, where: Known) -> PerImage:
    return (values * where).sum((1, 2, 3)) / (where.sum((1, 2, 3)) * values.shape[1])


def _level(squares: Tensor) -> Tensor:
    """The logarithm, in grey levels, of the root of a mean square."""
    return (squares.clamp_min(0).sqrt() / GREY_LEVEL + LEAST).log()
