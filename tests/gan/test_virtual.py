"""Virtual batch norm against plain arithmetic, and that nobody depends on a neighbour."""

from pathlib import Path

import pytest
import torch

from latentfill.gan.batch_layers import VirtualBatchNorm
from latentfill.gan.fused import fuse
from latentfill.gan.model_file import build, build_networks, load, save
from latentfill.options import NetworkOptions
from latentfill.training.optimiser import estimate_statistics

VIRTUAL = NetworkOptions(size=16, base=4, latent=5, norm="virtual")


def test_an_image_is_normalised_by_the_reference_and_itself() -> None:
    norm = VirtualBatchNorm(1)
    norm.rows = 2
    reference = torch.tensor([[[[1.0, 3.0]]], [[[5.0, 7.0]]]])  # mean 4, mean square 21, variance 5
    image = torch.tensor([[[[10.0, 10.0]]]])  # joined: mean (2 * 4 + 10) / 3 = 6, square (42 + 100) / 3
    x = norm(torch.cat([reference, image]))
    torch.testing.assert_close(x[:2], (reference - 4) / (5 + 1e-5) ** 0.5)
    torch.testing.assert_close(x[2:], (image - 6) / (142 / 3 - 36 + 1e-5) ** 0.5)
    torch.testing.assert_close(norm.eval()(image), x[2:])  # without the reference, from its kept statistics


def players() -> tuple[torch.nn.Module, torch.nn.Module, torch.Tensor]:
    g, d = build_networks(VIRTUAL, 1)
    images = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    g.reference, d.reference = g.prior.sample(range(10, 14)), images[:4]
    return g.train(), d.train(), images


@pytest.mark.parametrize("training", [True, False])
def test_neighbours_do_not_matter(training: bool) -> None:
    g, d, images = players()
    z = g.prior.sample(range(3))
    g(z), d(images)
    g.train(training), d.train(training)
    assert g(z).shape == (3, 3, 16, 16) and d(images).shape == (5,)
    torch.testing.assert_close(g(z), torch.cat([g(z[i : i + 1]) for i in range(3)]))
    torch.testing.assert_close(d(images), torch.cat([d(images[i : i + 1]) for i in range(5)]))


def test_inference_is_training_with_the_reference_left_out() -> None:
    g, d, images = players()
    z = g.prior.sample(range(3))
    drawn, judged = g(z), d(images)
    torch.testing.assert_close(g.eval()(z), drawn)
    torch.testing.assert_close(d.eval()(images), judged)


def test_gradients_reach_the_weights_through_the_reference_and_may_be_differentiated_again() -> None:
    _, d, images = players()
    images.requires_grad_()
    (first,) = torch.autograd.grad(d(images).sum(), images, create_graph=True)
    weights = [p for p in d.parameters() if p.requires_grad]
    seconds = torch.autograd.grad(first.square().sum(), weights, allow_unused=True)
    assert sum(float(s.abs().sum()) for s in seconds if s is not None) > 0


def test_statistics_are_measured_on_the_reference_alone() -> None:
    g, _, _ = players()
    z = g.prior.sample(range(3))
    g(z)
    expected = g.norms[0].running_mean.clone()
    g.norms[0].running_mean.zero_()
    estimate_statistics(g, ((g.prior.sample([n]),) for n in range(100, 103)))
    torch.testing.assert_close(g.norms[0].running_mean, expected)


def test_a_model_file_holds_statistics_and_no_picture(tmp_path: Path) -> None:
    g, d, images = players()
    z = g.prior.sample(range(3))
    g(z), d(images)
    gan = build(VIRTUAL)
    gan.generator.load_state_dict(g.state_dict()), gan.discriminator.load_state_dict(d.state_dict())
    save(gan, tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    assert not [name for name in again.discriminator.state_dict() if "reference" in name]
    torch.testing.assert_close(again.generator(z), g.eval()(z))
    torch.testing.assert_close(again.discriminator(images), d.eval()(images))


def test_fused_it_is_the_same_function() -> None:
    g, d, images = players()
    g(g.prior.sample(range(3))), d(images)
    gan = build(VIRTUAL)
    gan.generator.load_state_dict(g.state_dict()), gan.discriminator.load_state_dict(d.state_dict())
    quick, z = fuse(gan), gan.generator.prior.sample(range(3))
    torch.testing.assert_close(quick.generator(z), gan.generator(z))
    torch.testing.assert_close(quick.discriminator(images), gan.discriminator(images))
