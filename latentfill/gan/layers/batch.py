"""Batch norm whose batch may lie in several processes: the same numbers as if it lay in one.

Ioffe and Szegedy (2015), algorithm 1, and its gradient. Torch's own for several processes wants a GPU and cannot be
differentiated twice, which a penalty on D's slopes does.
"""

from typing import Any, final

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from .across import Crew, crew, total

SPACE = (0, 2, 3)  # all dimensions but that of the maps


@final
class BatchNorm(nn.BatchNorm2d):
    """torch's, but for a step that processes share."""

    def forward(self, input: Tensor) -> Tensor:
        """[n, maps, h, w] -> the same shape, in training by the mean and variance of the whole batch."""
        those = crew()
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
        normalised: Tensor = _Normalised.apply(input, self.weight, self.bias, *known)  # type: ignore[no-untyped-call]
        return normalised


def statistics(x: Tensor, those: Crew) -> tuple[Tensor, Tensor, Tensor]:
    """[maps], [maps], []: mean and variance of all processes' images, and of how many values each is."""
    values, maps = x.detach().float(), x.shape[1]
    table = values.new_zeros(those.size, 2 * maps + 1)
    if len(x):  # else all its images are of another kind
        variance, mean = torch.var_mean(values, SPACE, correction=0)
        table[those.rank] = torch.cat([mean, variance, values.new_tensor([values.numel() // maps])])
    table = total(table, those)
    means, variances, counts = table[:, :maps], table[:, maps:-1], table[:, -1:]
    share = counts / counts.sum().clamp_min(1)
    whole = (share * means).sum(0)
    # About the whole's mean: the difference of two large sums would lose what small variances say.
    return whole, (share * (variances + (means - whole).square())).sum(0), counts.sum()


@final
class _Normalised(Function):
    """weight * (x - mean) / sqrt(variance + eps) + bias, mean and variance being those of all processes' x."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, *rest: Any
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, variance, rest[0])
        ctx.those, ctx.eps = rest[1:]
        return F.batch_norm(x, mean, variance, weight, bias, False, 0.0, ctx.eps)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance, count = ctx.saved_tensors
        arguments = grads[0], x, weight, mean, variance, count
        found = (_twice if torch.is_grad_enabled() else _once)(*arguments, ctx.those, ctx.eps)
        return (*found, *[None] * 5)


def _once(
    grad: Tensor, x: Tensor, weight: Tensor, mean: Tensor, variance: Tensor, count: Tensor, those: Crew, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, weight and bias; torch's kernel for known statistics does most of it."""
    kernel = torch.ops.aten.native_batch_norm_backward
    fixed, dw, db = kernel(grad, x, weight, mean, variance, None, None, False, eps, [True, True, True])
    both = total(torch.stack([db, dw]).float(), those) / count
    scale = weight * (variance + eps).rsqrt()
    slope = -scale * (variance + eps).rsqrt() * both[1]
    shift = -scale * both[0] - slope * mean
    along = fixed + torch.addcmul(_wide(shift).to(x.dtype), x, _wide(slope).to(x.dtype))
    return along, dw, db


def _twice(
    grad: Tensor, x: Tensor, weight: Tensor, mean: Tensor, variance: Tensor, count: Tensor, those: Crew, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The same from plain operations on x alone, so that they can be differentiated again."""
    values, back = x.float(), grad.float()
    away = values - _wide(total(values.sum(SPACE), those) / count)
    inverse = (total(away.square().sum(SPACE), those) / count + eps).rsqrt()
    norm = away * _wide(inverse)
    db, dw = back.sum(SPACE), (back * norm).sum(SPACE)
    both = total(torch.stack([db, dw]), those) / count
    along = _wide(weight * inverse) * (back - _wide(both[0]) - norm * _wide(both[1]))
    return along.to(x.dtype), dw, db


def _wide(values: Tensor) -> Tensor:
    """[maps] -> [1, maps, 1, 1]"""
    return values[None, :, None, None]
