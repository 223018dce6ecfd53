"""The three maps of gan/stride2.py in bf16 against the library's own kernels, layer by layer of the post's networks."""

import time
from collections.abc import Callable
from functools import partial

import torch
from machine import heading, table
from torch import Tensor
from torch.nn import functional as F

from latentfill.gan.stride2 import down, pair, up

LAYERS = ((3, 64, 64), (64, 128, 32), (128, 256, 16), (256, 512, 8))


def milliseconds(call: Callable[[], object], rounds: int = 7) -> float:
    call()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return sorted(times)[rounds // 2] * 1e3


def library_down(x: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(F.pad(x, (1, 2, 1, 2)), weight, stride=2)


def library_up(g: Tensor, weight: Tensor) -> Tensor:
    return F.conv_transpose2d(g, weight, stride=2, padding=1)[..., :-1, :-1]


def library_pair(x: Tensor, g: Tensor, weight: Tensor) -> Tensor:
    """The weight gradient alone, as autograd asks for it."""
    padded = F.pad(x, (1, 2, 1, 2))
    backward = torch.ops.aten.convolution_backward
    wanted = (False, True, False)
    result: Tensor = backward(g, padded, weight, None, (2, 2), (0, 0), (1, 1), False, (0, 0), 1, wanted)[1]
    return result


def main() -> None:
    n, rows = 64, []
    for a, b, side in LAYERS:
        x, g, weight = (
            torch.randn(shape).to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
            for shape in ((n, a, side, side), (n, b, side // 2, side // 2), (b, a, 5, 5))
        )
        calls: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "down": (
                partial(lambda x, w: F.conv2d(F.pad(x, (1, 2, 1, 2)), w, stride=2), x, weight),
                partial(down, x, weight),
            ),
            "up": (
                partial(lambda g, w: F.conv_transpose2d(g, w, stride=2, padding=1)[..., :-1, :-1], g, weight),
                partial(up, g, weight),
            ),
            "pair": (partial(library_pair, x, g, weight), partial(pair, x, g)),
        }
        for name, (theirs, ours) in calls.items():
            library_ms, our_ms = milliseconds(theirs), milliseconds(ours)
            row = (f"{library_ms:.1f}", f"{our_ms:.1f}", f"{library_ms / our_ms:.2f}")
            rows.append((f"{a} to {b} at {side}", name, *row))
    print(heading("Convolutions in bf16, batch 64"))
    print(table(("layer", "map", "library ms", "ours ms", "ratio"), rows))


if __name__ == "__main__":
    main()
