"""The pyramid of an image: by hand, and back again."""

import pytest
import torch

from latentfill.gan.lapgan import gaussian_pyramid, laplacian_pyramid, reconstruct


def coarse_numbers(size: int) -> torch.Tensor:
    """Images whose values are few enough binary digits that all sums of them are exact."""
    values = torch.randint(-64, 65, (3, 3, size, size), generator=torch.Generator().manual_seed(size))
    return values.float() / 64


@pytest.mark.parametrize("size", [8, 16, 64])
def test_an_image_is_rebuilt_from_its_parts_to_the_bit(size: int) -> None:
    images = coarse_numbers(size)
    assert torch.equal(reconstruct(laplacian_pyramid(images)), images)


def test_any_image_is_rebuilt_to_rounding() -> None:
    images = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    torch.testing.assert_close(reconstruct(laplacian_pyramid(images)), images, atol=1e-6, rtol=0)


def test_the_parts_are_a_small_image_and_the_residual_of_every_doubling() -> None:
    parts = laplacian_pyramid(coarse_numbers(32))
    assert [part.shape[-1] for part in parts] == [8, 16, 32]


def test_a_smaller_image_is_of_means_of_two_by_two() -> None:
    images = torch.zeros(1, 1, 16, 16)
    images[0, 0, 2, 5] = 1.0
    small, same = gaussian_pyramid(images)
    assert small[0, 0, 1, 2] == 0.25 and small.sum() == 0.25 and torch.equal(same, images)


def test_a_residual_is_what_straight_lines_between_the_means_leave() -> None:
    images = torch.zeros(1, 1, 16, 16)
    images[0, 0, 8:, :] = 1.0  # an edge between two rows of means, 0 and 1: doubled they are 0, 1/4, 3/4, 1
    residual = laplacian_pyramid(images)[1]
    torch.testing.assert_close(residual[0, 0, 6:10, 3], torch.tensor([0.0, -0.25, 0.25, 0.0]))
    assert not residual[0, 0, :7].any() and not residual[0, 0, 9:].any()


def test_nothing_is_left_of_what_has_no_edges() -> None:
    small, residual = laplacian_pyramid(torch.full((1, 3, 16, 16), 0.5))
    assert (small == 0.5).all() and not residual.any()
