"""DiffAugment by hand, its derivatives, and the adaptive strength."""

import pytest
import torch

from latentfill.training.augment import IMAGES_TO_RISE, MOST, adapt_probability, augment, augmentation_draws, sign_rate

NOT, BRIGHTNESS, SATURATION, CONTRAST, MOVE, CUT = [0.9] * 5, 0, 1, 2, 3, 4


def made(change: int | None, *numbers: float) -> torch.Tensor:
    """The draws of one image with one change alone, at a probability of one half."""
    row = [0.9] * 5 + [0.5] * 7
    if change is not None:
        row[change] = 0.1
        at = {BRIGHTNESS: 5, SATURATION: 6, CONTRAST: 7, MOVE: 8, CUT: 10}[change]
        row[at : at + len(numbers)] = numbers
    return torch.tensor([row])


def picture(size: int = 8, channels: int = 3) -> torch.Tensor:
    return torch.rand(1, channels, size, size, generator=torch.Generator().manual_seed(4)) * 2 - 1


def test_without_luck_nothing_changes() -> None:
    images = picture()
    torch.testing.assert_close(augment(images, made(None), 0.5), images, atol=1e-6, rtol=0)
    assert augment(images, made(BRIGHTNESS, 0.9), 0.0) is images


def test_colours_are_those_of_the_formulas() -> None:
    pixels = torch.tensor([[[[0.2, 0.6]], [[0.4, 0.0]], [[0.0, -0.6]]]])  # two pixels: means 0.2 and 0, in all 0.1
    brighter = augment(pixels, made(BRIGHTNESS, 0.75), 0.5)
    torch.testing.assert_close(brighter, pixels + 0.25)
    duller = augment(pixels, made(SATURATION, 0.25), 0.5)  # half way to each pixel's mean
    torch.testing.assert_close(duller, torch.tensor([[[[0.2, 0.3]], [[0.3, 0.0]], [[0.1, -0.3]]]]))
    harder = augment(pixels, made(CONTRAST, 0.9), 0.5)  # 1.4 times as far from the image's mean
    torch.testing.assert_close(harder, (pixels - 0.1) * 1.4 + 0.1)


def test_the_three_of_colour_follow_one_another() -> None:
    images, numbers = picture(), made(None)
    numbers[0, :3], numbers[0, 5:8] = 0.0, torch.tensor([0.9, 0.3, 0.8])
    x = images + 0.4
    x = (x - x.mean(1, keepdim=True)) * 0.6 + x.mean(1, keepdim=True)
    x = (x - x.mean((1, 2, 3), keepdim=True)) * 1.3 + x.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(augment(images, numbers, 0.5), x)


@pytest.mark.parametrize("drawn, y, x", [((0.0, 0.5), -1, 0), ((0.99, 0.0), 1, -1), ((0.34, 0.67), 0, 1)])
def test_a_picture_of_eight_is_moved_by_up_to_one_pixel(drawn: tuple[float, float], y: int, x: int) -> None:
    images = picture()
    expected = torch.nn.functional.pad(images, (1, 1, 1, 1))[:, :, 1 - y : 9 - y, 1 - x : 9 - x]
    torch.testing.assert_close(augment(images, made(MOVE, *drawn), 0.5), expected)


def test_a_square_of_half_the_side_is_cut_out_even_over_the_edge() -> None:
    ones = torch.ones(1, 3, 8, 8)
    whole = augment(ones, made(CUT, 0.5, 0.5), 0.5)[0, 0]  # the middle is pixel 4: from 2 up to 6
    assert (whole == 0).sum() == 16 and (whole[2:6, 2:6] == 0).all()
    corner = augment(ones, made(CUT, 0.0, 0.999), 0.5)[0, 0]  # the middles are 0 and 8
    assert (corner == 0).sum() == 4 and (corner[:2, 6:] == 0).all()


def test_grey_pictures_are_augmented_too() -> None:
    images = picture(channels=1)
    torch.testing.assert_close(augment(images, made(SATURATION, 0.0), 0.5), images)


def test_the_changes_may_be_differentiated_twice() -> None:
    images = picture().double().requires_grad_()
    numbers = augmentation_draws(1, range(1))
    assert torch.autograd.gradcheck(lambda x: augment(x, numbers), images)
    # A judge with a curvature of its own: the penalty's second derivative goes through the augmentation.
    (first,) = torch.autograd.grad(augment(images, numbers).pow(3).sum(), images, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), images)
    assert second.abs().max() > 0
    assert torch.autograd.gradgradcheck(lambda x: augment(x, numbers).pow(3).sum(), images)


def test_an_image_has_its_own_draws_wherever_a_batch_begins() -> None:
    assert torch.equal(augmentation_draws(7, range(3, 5)), augmentation_draws(7, range(5))[3:])
    assert not torch.equal(augmentation_draws(7, range(2)), augmentation_draws(8, range(2)))
    many = augmentation_draws(7, range(5000))
    assert many.min() >= 0 and many.max() < 1
    assert (many.mean(0) - 0.5).abs().max() < 0.02
    assert torch.corrcoef(many.T).fill_diagonal_(0).abs().max() < 0.06


def test_each_change_is_made_as_often_as_asked() -> None:
    images = torch.ones(2000, 1, 8, 8) * torch.linspace(-1, 1, 8)  # without symmetry
    moved = augment(images, augmentation_draws(3, range(2000)), 0.3)
    unchanged = (moved - images).abs().amax((1, 2, 3)) < 1e-6
    # Brightness, contrast, cutout, and a move, which one time in nine goes nowhere; saturation of grey changes nothing.
    assert unchanged.float().mean().item() == pytest.approx(0.7**3 * (0.7 + 0.3 / 9), abs=0.03)


def test_the_sign_rate_is_that_of_d() -> None:
    real = torch.tensor([3.0, 1.0, -0.5, 2.0])
    assert sign_rate(real) == 0.5
    fake = torch.tensor([0.0, 3.0, 1.0, 2.0])  # their mean is 1.5: two of the reals lie above it, two below
    assert sign_rate(real, fake) == 0.0


def test_the_strength_rises_while_d_overfits_and_falls_when_it_does_not() -> None:
    step = 64 / IMAGES_TO_RISE
    assert adapt_probability(0.3, 0.9, 64) == pytest.approx(0.3 + step)
    assert adapt_probability(0.3, 0.1, 64) == pytest.approx(0.3 - step)
    assert adapt_probability(0.3, 0.6, 64) == 0.3
    assert adapt_probability(0.0, -1.0, 64) == 0.0 and adapt_probability(MOST, 1.0, 64) == MOST
