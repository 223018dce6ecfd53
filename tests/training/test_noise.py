import pytest
import torch

from latentfill.training.augment import add_noise, noise_level


def test_the_noise_is_normal_and_each_image_has_its_own() -> None:
    images = torch.zeros(3, 3, 32, 32)
    some = add_noise(images, [5, 6, 7], 0.5)
    assert some.std().item() == pytest.approx(0.5, abs=0.02) and abs(some.mean().item()) < 0.02
    assert torch.equal(add_noise(images[:1], [6], 0.5), some[1:2]) and not torch.equal(some[0], some[1])
    assert add_noise(images, [5, 6, 7], 0.0) is images


def test_it_falls_to_nothing_along_a_line() -> None:
    assert [noise_level(0.2, done) for done in (0.0, 0.25, 1.0, 1.5)] == pytest.approx([0.2, 0.15, 0.0, 0.0])
