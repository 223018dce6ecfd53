"""Whether what the model draws has the structure of what is known: an eye where there is one, an edge along an edge."""

import torch
from torch import Tensor

from ..completion.held_out import GREY_LEVEL
from ..types import Images, Known, PerImage

WINDOW = 3.0  # pixels of 64: the standard deviation of the Gaussian window; 1.5 and 6 tell cats from faces as well
REACH = 2.5  # standard deviations after which the window is cut
NOISE = 4 * GREY_LEVEL  # contrast below which a window counts as flat, where correlations would be those of the noise
LITTLE = 0.05  # share of a window that has to be known for it to count
LUMA = (0.299, 0.587, 0.114)


def agreement(drawn: Images, images: Images, known: Known) -> PerImage:
    """Mean over the known pixels of the local correlation between what is drawn and what is known, -1 to 1.

    Each window is compared with its own mean and contrast taken away, so that neither a wrong colour nor a weak
    contrast counts, as in the structure term of SSIM (Wang et al. 2004). Where nothing is known it is NaN.
    """
    window = WINDOW * images.shape[-1] / 64
    a, b = (torch.where(known == 1, _luma(x), 0) for x in (images, drawn.to(images)))
    weight = _blurred(known, window).clamp_min(1e-6)
    mean_a, mean_b, aa, bb, ab = torch.split(
        _blurred(torch.cat([a, b, a * a, b * b, a * b], 1), window) / weight, 1, dim=1
    )
    variance_a, variance_b = ((xx - x * x).clamp_min(0) + NOISE**2 for xx, x in ((aa, mean_a), (bb, mean_b)))
    correlation = (ab - mean_a * mean_b) / (variance_a * variance_b).sqrt()
    counts = known * (weight > LITTLE)
    return (correlation * counts).sum((1, 2, 3)) / counts.sum((1, 2, 3))


def _luma(images: Images) -> Tensor:
    if images.shape[1] == 1:
        return images
    luma: Tensor = (images * torch.tensor(LUMA, device=images.device).view(1, 3, 1, 1)).sum(1, keepdim=True)
    return luma


def _blurred(x: Tensor, deviation: float) -> Tensor:
    """Seen through a Gaussian window, what lies outside of the image as nothing."""
    height, width = (_window(side, deviation, x) for side in x.shape[-2:])
    seen: Tensor = height @ x @ width  # products of matrices take a quarter of the time of convolutions
    return seen


def _window(side: int, deviation: float, like: Tensor) -> Tensor:
    """[side, side]: the weight of each place in the window around each other; inside of the image they sum to 1."""
    places = torch.arange(side).to(like)
    reach = max(1, int(REACH * deviation))
    apart = (places[:, None] - places).abs()
    whole = torch.arange(-reach, reach + 1).to(like)
    weights = torch.exp(-(apart**2) / (2 * deviation**2)) * (apart <= reach)
    return weights / torch.exp(-(whole**2) / (2 * deviation**2)).sum()
