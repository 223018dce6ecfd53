"""The stride-2 convolution, its transpose and its weight gradient, against their definitions."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from latentfill.gan import stride2
from latentfill.gan.stride2 import down, pair, up

PATHS = ["library", "patches", "matrix units"]


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each of the three ways, whatever the processor."""
    monkeypatch.setattr(stride2, "by_patches", lambda *_: request.param == "patches")
    monkeypatch.setattr(stride2, "_on_matrix_units", lambda _: request.param == "matrix units")
    return str(request.param)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def down_by_definition(x: Tensor, weight: Tensor) -> Tensor:
    """TensorFlow's "same" for even sizes and stride 2: output row i sees rows 2i - 1 to 2i + 3, outside is zero."""
    n, _, h, w = x.shape
    y = torch.zeros(n, weight.shape[0], h // 2, w // 2, dtype=x.dtype)
    for i in range(h // 2):
        for j in range(w // 2):
            for k in range(5):
                for m in range(5):
                    row, column = 2 * i + k - 1, 2 * j + m - 1
                    if 0 <= row < h and 0 <= column < w:
                        y[:, :, i, j] += x[:, :, row, column] @ weight[:, :, k, m].T
    return y


@pytest.mark.parametrize("h, w", [(2, 2), (4, 4), (6, 10), (8, 8)])
def test_padding_is_one_pixel_before_and_two_after(path: str, h: int, w: int) -> None:
    x, weight = draw(2, 3, h, w), draw(4, 3, 5, 5, seed=1)
    torch.testing.assert_close(down(x, weight), down_by_definition(x, weight))


@pytest.mark.parametrize("h, w", [(1, 1), (2, 2), (4, 3)])
def test_up_is_the_adjoint_of_down_and_pair_their_weight_gradient(path: str, h: int, w: int) -> None:
    large, small, weight = draw(2, 3, 2 * h, 2 * w), draw(2, 4, h, w, seed=1), draw(4, 3, 5, 5, seed=2)
    expected = (down_by_definition(large, weight) * small).sum()
    torch.testing.assert_close((large * up(small, weight)).sum(), expected)
    torch.testing.assert_close((pair(large, small) * weight).sum(), expected)
    assert up(small, weight).shape == large.shape


def test_layouts_do_not_matter(path: str) -> None:
    x, small, weight = draw(2, 3, 8, 8), draw(2, 4, 4, 4), draw(4, 3, 5, 5, seed=1)
    last = torch.channels_last
    for function, a, b in ((down, x, weight), (up, small, weight), (pair, x, small)):
        torch.testing.assert_close(
            function(a.contiguous(memory_format=last), b.contiguous(memory_format=last)), function(a, b)
        )


@pytest.mark.parametrize("function, left, right", [
    (down, (1, 2, 4, 4), (2, 2, 5, 5)),
    (up, (1, 2, 2, 2), (2, 1, 5, 5)),
    (pair, (1, 1, 4, 4), (1, 2, 2, 2)),
], ids=["down", "up", "pair"])  # fmt: skip
def test_first_and_second_derivatives_are_right(
    path: str,
    function: Callable[[Tensor, Tensor], Tensor],
    left: tuple[int, ...],
    right: tuple[int, ...],
) -> None:
    arguments = draw(*left).requires_grad_(), draw(*right, seed=1).requires_grad_()
    assert gradcheck(function, arguments, fast_mode=True)
    assert gradgradcheck(function, arguments, fast_mode=True)


def test_a_gradient_that_nobody_wants_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: list[str] = []
    for name, original in (("down", down), ("up", up), ("pair", pair)):

        def counted(a: Tensor, b: Tensor, name: str = name, original: Any = original) -> Any:
            wanted.append(name)
            return original(a, b)

        monkeypatch.setattr(stride2, name, counted)
    x, weight = draw(1, 1, 4, 4), draw(1, 1, 5, 5)
    down(x.requires_grad_(), weight).sum().backward()  # type: ignore[no-untyped-call]
    assert wanted == ["up"]
    wanted.clear()
    down(x.detach(), weight.requires_grad_()).sum().backward()  # type: ignore[no-untyped-call]
    assert wanted == ["pair"]


@pytest.mark.parametrize("size", [4, 16])  # by patches and by the library
def test_bf16_is_close_to_fp32(size: int) -> None:
    large, small = draw(2, 8, 2 * size, 2 * size).float(), draw(2, 8, size, size, seed=1).float()
    weight = draw(8, 8, 5, 5, seed=2).float()
    for function, a, b in ((down, large, weight), (up, small, weight), (pair, large, small)):
        exact, rounded = function(a, b), function(a.bfloat16(), b.bfloat16())
        assert rounded.dtype == torch.bfloat16
        assert (rounded.float() - exact).norm() < 0.01 * exact.norm()
