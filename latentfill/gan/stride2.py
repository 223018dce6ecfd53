"""The 5x5, stride 2 convolution of the post, its transpose and its weight gradient, fast on a CPU in bf16.

The three are bilinear, and the gradients of each are the other two. So they can be differentiated any number of times.
Padding is TensorFlow's "same" for even sizes: one pixel before, two after.

Torch's own transposed convolution is not used alone, because in bf16 on a CPU with matrix units it takes much longer
than the data gradient of a convolution, which is the same sum. On maps of 4x4 a plain matrix product of patches is
faster than either (`benchmarks/convolution.py`).
"""

from typing import Any, final

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

PADDING = (1, 2, 1, 2)


def down(x: Tensor, weight: Tensor) -> Tensor:
    """[n, a, 2h, 2w] with weight [b, a, 5, 5] -> [n, b, h, w]: a convolution of stride 2."""
    y: Tensor = _Down.apply(x, weight)  # type: ignore[no-untyped-call]
    return y


def up(x: Tensor, weight: Tensor) -> Tensor:
    """[n, b, h, w] with weight [b, a, 5, 5] -> [n, a, 2h, 2w]: the transpose of `down`."""
    y: Tensor = _Up.apply(x, weight)  # type: ignore[no-untyped-call]
    return y


def pair(large: Tensor, small: Tensor) -> Tensor:
    """[n, a, 2h, 2w] and [n, b, h, w] -> [b, a, 5, 5]: the weight gradient of both."""
    y: Tensor = _Pair.apply(large, small)  # type: ignore[no-untyped-call]
    return y


def by_patches(x: Tensor, largest: int) -> bool:
    """True where a convolution of maps of at most largest x largest is quicker as one product of matrices."""
    # Measured on AVX512-BF16 and AMX: at 4x4 the library's kernels leave most of the matrix unit idle.
    return _on_matrix_units(x) and x.shape[2] * x.shape[3] <= largest**2


def patches(x: Tensor, kernel: int, stride: int, before: int, after: int) -> Tensor:
    """[n, c, h, w] -> [n * rows * columns, kernel * kernel * c], one row for each place of the kernel."""
    x = F.pad(x.permute(0, 2, 3, 1), (0, 0, before, after, before, after)).contiguous()
    n, h, w, c = x.shape
    rows, columns = (h - kernel) // stride + 1, (w - kernel) // stride + 1
    a, b, d, e = x.stride()
    windows = x.as_strided((n, rows, columns, kernel, kernel, c), (a, stride * b, stride * d, b, d, e))
    return windows.reshape(n * rows * columns, kernel * kernel * c)


@final
class _Down(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        if by_patches(x, 8):
            return _down_by_patches(x, weight)
        return F.conv2d(F.pad(x, PADDING), weight, stride=2)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        need_x, need_weight = ctx.needs_input_grad
        return up(grads[0], weight) if need_x else None, pair(x, grads[0]) if need_weight else None


@final
class _Up(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        if by_patches(x, 4):
            return _up_by_patches(x, weight)
        if _on_matrix_units(x):
            n, _, h, w = x.shape
            shape = (n, weight.shape[1], 2 * h + 3, 2 * w + 3)  # only its shape and layout are read
            large = torch.empty(shape, dtype=x.dtype, memory_format=torch.channels_last)
            padded = _convolution_backward(x, large, weight, 0)
            return padded[..., 1:-2, 1:-2]
        return F.conv_transpose2d(x, weight, stride=2, padding=1)[..., :-1, :-1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        need_x, need_weight = ctx.needs_input_grad
        return down(grads[0], weight) if need_x else None, pair(grads[0], x) if need_weight else None


@final
class _Pair(Function):
    @staticmethod
    def forward(ctx: Any, large: Tensor, small: Tensor) -> Tensor:
        ctx.save_for_backward(large, small)
        if by_patches(small, 4):
            return _pair_by_patches(large, small)
        weight = torch.empty((small.shape[1], large.shape[1], 5, 5), dtype=large.dtype, device=large.device)
        return _convolution_backward(small, F.pad(large, PADDING), weight, 1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        large, small = ctx.saved_tensors
        need_large, need_small = ctx.needs_input_grad
        return up(small, grads[0]) if need_large else None, down(large, grads[0]) if need_small else None


def _convolution_backward(grad: Tensor, x: Tensor, weight: Tensor, by: int) -> Tensor:
    """The gradient of an unpadded convolution of stride 2 by its input (0) or its weight (1)."""
    backward = torch.ops.aten.convolution_backward
    outputs = (by == 0, by == 1, False)
    gradient: Tensor = backward(grad, x, weight, None, (2, 2), (0, 0), (1, 1), False, (0, 0), 1, outputs)[by]
    return gradient


def _on_matrix_units(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype == torch.bfloat16


def _down_by_patches(x: Tensor, weight: Tensor) -> Tensor:
    n, _, h, w = x.shape
    y = patches(x, 5, 2, 1, 2) @ weight.permute(0, 2, 3, 1).flatten(1).T
    return y.view(n, h // 2, w // 2, -1).permute(0, 3, 1, 2)


def _up_by_patches(x: Tensor, weight: Tensor) -> Tensor:
    n, b, h, w = x.shape
    a = weight.shape[1]
    rows = x.permute(0, 2, 3, 1).reshape(n * h * w, b)
    patches = (rows @ weight.permute(0, 2, 3, 1).flatten(1)).view(n, h, w, 5, 5, a)
    padded = x.new_zeros(n, 2 * h + 3, 2 * w + 3, a)
    for i in range(5):
        for j in range(5):
            padded[:, i : i + 2 * h : 2, j : j + 2 * w : 2] += patches[:, :, :, i, j]
    return padded[:, 1:-2, 1:-2].permute(0, 3, 1, 2)


def _pair_by_patches(large: Tensor, small: Tensor) -> Tensor:
    b, a = small.shape[1], large.shape[1]
    rows = small.permute(0, 2, 3, 1).reshape(-1, b)
    return (rows.T @ patches(large, 5, 2, 1, 2)).view(b, 5, 5, a).permute(0, 3, 1, 2)
