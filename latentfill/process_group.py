"""The process group that shares a batch, and sums over it that can be differentiated.

Each process has every so many-th image of a batch, and its losses are means over its own. The loss of the whole batch
is their mean. So a gradient is the mean of the processes' gradients, provided that what one process sent to the others
has also sent its gradient back. `total` does that: it is its own transpose, and can be differentiated any number of
times.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, final

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd import Function


@final
@dataclass(frozen=True)
class ProcessGroup:
    """Processes that share a batch: their number, the rank of this one, and torch's group of them."""

    rank: int = 0
    size: int = 1
    group: Any = None


ALONE = ProcessGroup()
_group: ContextVar[ProcessGroup] = ContextVar("process group", default=ALONE)


def process_group() -> ProcessGroup:
    """The group that shares the current batch; outside of a step every process is alone."""
    return _group.get()


@contextmanager
def use_process_group(those: ProcessGroup) -> Iterator[None]:
    """Within, batches are shared: all of the group must do the same there, in the same order."""
    token = _group.set(those)
    try:
        yield
    finally:
        _group.reset(token)


def own_share(numbers: range) -> range:
    """The part of a batch's numbers that this process has."""
    return numbers[process_group().rank :: process_group().size]


def own_numbers(first: int, count: int) -> range:
    """The numbers of the `count` images that this process has of a batch whose first is number `first`."""
    return own_share(range(first, first + count * process_group().size))


def total(x: Tensor, those: ProcessGroup | None = None) -> Tensor:
    """The sum over all processes, in each of them; differentiable. `those` are the group, if it is not that at hand."""
    those = those or process_group()
    if those.size == 1:
        return x
    summed: Tensor = _Total.apply(x, those)  # type: ignore[no-untyped-call]
    return summed


def mean_of_all(x: Tensor) -> Tensor:
    """The mean over all processes, in each of them; differentiable."""
    return total(x) / process_group().size if process_group().size > 1 else x


def gather(x: Tensor) -> Tensor:
    """[n, ...] -> [n * processes, ...]: what all have of the same batch, in the order of its images; differentiable."""
    those = process_group()
    if those.size == 1:
        return x
    rows = x.new_zeros(len(x), those.rank, *x.shape[1:]), x.new_zeros(len(x), those.size - 1 - those.rank, *x.shape[1:])
    return total(torch.cat([rows[0], x[:, None], rows[1]], 1)).flatten(0, 1)


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """This process's part of the sum of values * weights over that of the weights, of the whole batch.

    The parts' mean is the whole, as it is of plain means.
    """
    return (values * weights).sum() / (total(weights.sum().detach()).clamp_min(1) / process_group().size)


def average_gradients(gradients: Sequence[Tensor | None], parameters: Sequence[Tensor]) -> list[Tensor | None]:
    """The means of all processes' gradients, by one sum of one flat tensor; one that some lack is zeros there.

    What no process has stays away: to Adam that is not the same as zeros.
    """
    those = process_group()
    if those.size == 1:
        return list(gradients)
    parts = [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, parameters, strict=True)]
    there = parts[0].new_tensor([g is not None for g in gradients]).float()
    flat = torch.cat([*(part.flatten().float() for part in parts), there])
    dist.all_reduce(flat, group=those.group)
    *means, counts = torch.split(flat, [p.numel() for p in parameters] + [len(parts)])
    all_have = [m.div_(those.size).view(p.shape).to(p.dtype) for m, p in zip(means, parameters, strict=True)]
    if all(g is not None for g in gradients):  # then nothing has to wait for a device
        return list(all_have)
    return [mean if known else None for mean, known in zip(all_have, counts.tolist(), strict=True)]


@final
class _Total(Function):
    """The sum over all processes, in each."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, those: ProcessGroup) -> Tensor:
        ctx.those = those
        summed = x.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed, group=those.group)
        return summed

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        back: Tensor = _Total.apply(grads[0], ctx.those)  # type: ignore[no-untyped-call]
        return back, None
