"""Layers in which the images of a batch affect each other, over all processes that share it.

- batch norm (Ioffe and Szegedy 2015, algorithm 1) gives the same numbers as if the batch lay in one process. Torch's
  own for several processes needs a GPU, and cannot be differentiated twice, as penalties on D's slopes require
- minibatch discrimination (Salimans et al. 2016, section 3.2): D sees how alike the images of a batch are, so G cannot
  draw one image again and again. In inference the statistic is a running average, so that an image is judged alone
- virtual batch norm (section 3.5): an image is normalised by a reference batch that was chosen once, and by itself. In
  training that batch goes through the network in front of each batch (`prepend_reference`, `drop_reference`), which
  doubles the work. In inference its statistics are kept and the batch is not: a model file holds no pictures
"""

from collections.abc import Iterable
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from ..options import NormName
from ..process_group import ProcessGroup, gather, mean_of_all, process_group, total

SPACE = (0, 2, 3)  # all dimensions except that of the maps


@final
class BatchNorm(nn.BatchNorm2d):
    """torch's, but for a step that processes share."""

    def forward(self, input: Tensor) -> Tensor:
        """[n, maps, h, w] -> the same shape, in training by the mean and variance of the whole batch."""
        those = process_group()
        if those.size == 1 or not self.training or self.running_mean is None or self.running_var is None:
            return super().forward(input)
        mean, variance, count = statistics(input, those)
        with torch.no_grad():
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
            momentum = 0.1 if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * (count / (count - 1).clamp_min(1)), momentum)
        known = (mean, variance, count, those, self.eps)
        normalised: Tensor = _Normalisation.apply(input, self.weight, self.bias, *known)  # type: ignore[no-untyped-call]
        return normalised


def statistics(x: Tensor, those: ProcessGroup) -> tuple[Tensor, Tensor, Tensor]:
    """[maps], [maps], []: mean and variance of all processes' images, and of how many values each is."""
    values, maps = x.detach().float(), x.shape[1]
    table = values.new_zeros(those.size, 2 * maps + 1)
    if len(x):  # otherwise all its images are of another kind
        variance, mean = torch.var_mean(values, SPACE, correction=0)
        table[those.rank] = torch.cat([mean, variance, values.new_tensor([values.numel() // maps])])
    table = total(table, those)
    means, variances, counts = table[:, :maps], table[:, maps:-1], table[:, -1:]
    share = counts / counts.sum().clamp_min(1)
    whole = (share * means).sum(0)
    # Relative to the mean of the whole batch: the difference of two large sums would lose small variances.
    return whole, (share * (variances + (means - whole).square())).sum(0), counts.sum()


@final
class _Normalisation(Function):
    """weight * (x - mean) / sqrt(variance + eps) + bias, mean and variance being those of all processes' x."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, *fixed: Any
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, variance, fixed[0])
        ctx.those, ctx.eps = fixed[1:]
        return F.batch_norm(x, mean, variance, weight, bias, False, 0.0, ctx.eps)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance, count = ctx.saved_tensors
        arguments = grads[0], x, weight, mean, variance, count
        gradients = (_second_gradient if torch.is_grad_enabled() else _gradient)(*arguments, ctx.those, ctx.eps)
        return (*gradients, *[None] * 5)


def _gradient(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    mean: Tensor,
    variance: Tensor,
    count: Tensor,
    those: ProcessGroup,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, weight and bias; torch's kernel for known statistics does most of it."""
    kernel = torch.ops.aten.native_batch_norm_backward
    fixed, dw, db = kernel(grad, x, weight, mean, variance, None, None, False, eps, [True, True, True])
    both = total(torch.stack([db, dw]).float(), those) / count
    scale = weight * (variance + eps).rsqrt()
    slope = -scale * (variance + eps).rsqrt() * both[1]
    shift = -scale * both[0] - slope * mean
    along = fixed + torch.addcmul(_per_map(shift).to(x.dtype), x, _per_map(slope).to(x.dtype))
    return along, dw, db


def _second_gradient(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    mean: Tensor,
    variance: Tensor,
    count: Tensor,
    those: ProcessGroup,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The same from plain operations on x alone, so that they can be differentiated again."""
    values, back = x.float(), grad.float()
    away = values - _per_map(total(values.sum(SPACE), those) / count)
    inverse = (total(away.square().sum(SPACE), those) / count + eps).rsqrt()
    norm = away * _per_map(inverse)
    db, dw = back.sum(SPACE), (back * norm).sum(SPACE)
    both = total(torch.stack([db, dw]), those) / count
    along = _per_map(weight * inverse) * (back - _per_map(both[0]) - norm * _per_map(both[1]))
    return along.to(x.dtype), dw, db


def _per_map(values: Tensor) -> Tensor:
    """[maps] -> [1, maps, 1, 1]"""
    return values[None, :, None, None]


DIMENSIONS = 5  # numbers by which each kernel compares images, as in the paper
MOMENTUM = 0.1  # of the running average, as in batch norm


@final
class MinibatchDiscrimination(nn.Module):
    """Features [n, d] -> [n, kernels]: for each kernel, how near the others of the batch are, from 0 to 1.

    Theirs is the sum over the batch; this is the mean over the others, so that a batch may have any size.
    """

    def __init__(self, features: int, kernels: int) -> None:
        super().__init__()
        self.kernels = kernels
        self.tensor = nn.Parameter(torch.empty(kernels * DIMENSIONS, features))
        self.running_nearness: Tensor
        self.register_buffer("running_nearness", torch.zeros(kernels))

    def forward(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "n _"]:
        """The statistic of the batch in training, and the running average in inference."""
        if not self.training:
            return self.running_nearness.to(features.dtype).expand(len(features), -1)
        near = self.nearness(features)
        with torch.no_grad():
            self.running_nearness.lerp_(mean_of_all(near.mean(0)), MOMENTUM)
        return near.to(features.dtype)

    def nearness(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "n _"]:
        """o(x_i)_b = mean over j != i of exp(-||M_ib - M_jb||_1); 0 for an image alone."""
        rows = F.linear(features, self.tensor.to(features.dtype)).float().view(len(features), self.kernels, DIMENSIONS)
        others = gather(rows) if self.training else rows
        alike = (rows[:, None] - others[None]).abs().sum(3).neg().exp()  # [n, n, kernels]; 1 for an image and itself
        return (alike.sum(1) - 1) / max(1, len(others) - 1)

    def initialise(self, rng: torch.Generator) -> None:
        """Draw the tensor so that features of size 1 lie about 1 apart: much farther, and no gradient would be left."""
        nn.init.normal_(self.tensor, std=self.tensor.shape[1] ** -0.5 / DIMENSIONS, generator=rng)
        self.running_nearness.zero_()


Maps = Float[Tensor, "_ c _ _"]
EPSILON = 1e-5  # as in batch norm


@final
class VirtualBatchNorm(nn.Module):
    """[n, maps, h, w] -> the same shape; in training the first rows are those of the reference batch."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.rows = 0  # rows of the reference batch at the front of a training batch; 0 without one
        self.weight, self.bias = nn.Parameter(torch.ones(maps)), nn.Parameter(torch.zeros(maps))
        self.running_mean: Tensor
        self.running_square: Tensor
        self.running_count: Tensor
        self.register_buffer("running_mean", torch.zeros(maps))
        self.register_buffer("running_square", torch.ones(maps))
        self.register_buffer("running_count", torch.ones(1))

    def forward(self, x: Maps) -> Maps:
        """The reference batch by its own mean and variance, each other image by these and its own share in them."""
        means, squares = x.float().mean((2, 3)), x.float().square().mean((2, 3))  # [n, maps]
        if not self.training:
            return self._normalise(x, *self._combine_statistics(self.running_mean, self.running_square, means, squares))
        rows = self.rows or len(x)  # without a reference, the batch is its own
        mean, square = means[:rows].mean(0), squares[:rows].mean(0)
        with torch.no_grad():
            self.running_mean.copy_(mean)
            self.running_square.copy_(square)
            self.running_count.fill_(rows)
        others = self._combine_statistics(mean, square, means[rows:], squares[rows:])
        first = mean.expand(rows, -1), square.expand(rows, -1)
        return self._normalise(x, *(torch.cat(pair) for pair in zip(first, others, strict=True)))

    def _combine_statistics(
        self, mean: Tensor, square: Tensor, means: Tensor, squares: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The statistics of the reference batch and of one image more, for each image."""
        share = 1 / (self.running_count + 1)
        return mean + share * (means - mean), square + share * (squares - square)

    def _normalise(self, x: Maps, mean: Float[Tensor, "_ c"], square: Float[Tensor, "_ c"]) -> Maps:
        scale = self.weight * ((square - mean.square()).clamp_min(0) + EPSILON).rsqrt()
        shift = self.bias - mean * scale
        return x * scale[:, :, None, None].to(x.dtype) + shift[:, :, None, None].to(x.dtype)

    def reset_parameters(self) -> None:
        """Reset to the initial values."""
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)


def norm_layer(kind: NormName, maps: int) -> nn.Module:
    """The layer of that name."""
    if kind == "none":
        return nn.Identity()
    return VirtualBatchNorm(maps) if kind == "virtual" else BatchNorm(maps)


def is_virtual(network: nn.Module) -> bool:
    """True for a network with virtual batch norm."""
    return any(isinstance(module, VirtualBatchNorm) for module in network.modules())


def prepend_reference(
    norms: Iterable[nn.Module], reference: Tensor | None, inputs: Tensor, training: bool
) -> tuple[Tensor, int]:
    """The inputs with the reference batch in front of them, and how many rows that is; outside of training none."""
    rows = len(reference) if reference is not None and training else 0
    for layer in norms:
        if isinstance(layer, VirtualBatchNorm):
            layer.rows = rows
    return (torch.cat([reference.to(inputs), inputs]), rows) if reference is not None and rows else (inputs, 0)


def drop_reference(x: Tensor, rows: int) -> Tensor:
    """The rows after the reference batch."""
    return x[rows:] if rows else x
