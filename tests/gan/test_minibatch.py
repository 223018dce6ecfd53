"""Minibatch discrimination by hand, and that a picture is judged alone."""

from math import exp

import pytest
import torch

from latentfill.gan.batch_layers import DIMENSIONS, MinibatchDiscrimination
from latentfill.gan.model_file import build, build_networks
from latentfill.options import NetworkOptions


def layer(kernels: int = 1) -> MinibatchDiscrimination:
    one = MinibatchDiscrimination(2, kernels)
    one.initialise(torch.Generator().manual_seed(0))
    return one


def test_nearness_is_that_of_the_formula() -> None:
    one = layer()
    with torch.no_grad():
        one.tensor.zero_()
        one.tensor[0, 0], one.tensor[3, 1] = 1.0, 2.0  # M = (a, 0, 0, 2b, 0)
    near = one.nearness(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.5]]))
    # Distances: 1 between the first two, 1 from the first to the last, 2 between the others.
    expected = torch.tensor([[2 * exp(-1)], [exp(-1) + exp(-2)], [exp(-1) + exp(-2)]]) / 2
    torch.testing.assert_close(near, expected)
    assert one.nearness(torch.ones(1, 2)).item() == pytest.approx(0.0, abs=1e-6)


def test_images_that_are_all_one_are_noticed() -> None:
    one = layer(3)
    features = torch.randn(6, 2, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(one.nearness(features[:1].expand(6, 2)), torch.ones(()))
    assert (one.nearness(10 * features) < 0.9).all()


def test_first_kernels_are_neither_blind_nor_saturated() -> None:
    wide = MinibatchDiscrimination(512, 20)
    wide.initialise(torch.Generator().manual_seed(0))
    assert wide.tensor.shape == (20 * DIMENSIONS, 512)
    near = wide.nearness(torch.randn(16, 512, generator=torch.Generator().manual_seed(1)))
    assert 0.1 < near.mean() < 0.7


@pytest.mark.parametrize("kind", ["dcgan", "residual"])
def test_a_picture_is_judged_alone_and_by_what_is_usual(kind: str) -> None:
    options = NetworkOptions(size=8, base=4, networks=kind, minibatch_kernels=3)
    _, judge = build_networks(options)
    images = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    together = judge.train()(images)
    assert judge.batch is not None and (judge.batch.running_nearness > 0).all()
    assert (together[:3] - judge(images[:3])).abs().max() > 0  # in training neighbours count
    judge.eval()
    torch.testing.assert_close(judge(images), torch.cat([judge(images[i : i + 1]) for i in range(6)]))


def test_without_kernels_the_first_numbers_are_as_they_were() -> None:
    plain, told = (build(NetworkOptions(size=8, base=4, minibatch_kernels=k), seed=2) for k in (0, 3))
    assert torch.equal(plain.discriminator.downs[0].weight, told.discriminator.downs[0].weight)
    assert plain.discriminator.batch is None
