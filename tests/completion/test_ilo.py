from dataclasses import replace

import pytest
import torch
from torch import nn

from latentfill.completion.complete import complete, watch
from latentfill.completion.ilo import optimise_maps
from latentfill.completion.objective import completion_loss
from latentfill.completion.search import cosine
from latentfill.gan import model_file
from latentfill.gan.dcgan import DcganDiscriminator, DcganGenerator, initialise
from latentfill.gan.fused import fuse
from latentfill.gan.gan import Gan, UniformPrior
from latentfill.images.incomplete import Incomplete
from latentfill.options import CompleteOptions, NetworkOptions


def tiny_dcgan(size=16):
    generator, discriminator = DcganGenerator(UniformPrior(6), size, base=4), DcganDiscriminator(size, base=4)
    for number, network in enumerate((generator, discriminator)):
        initialise(network, number + 1)
        for norm in network.norms:
            nn.init.uniform_(norm.running_var, 0.01, 0.02, generator=torch.Generator().manual_seed(3))
    return Gan(generator, discriminator)


def some_images(n, size=16):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def a_hole(n, size=16):
    known = torch.ones(n, 1, size, size)
    known[..., 4:8, 4:12] = 0
    return known


OPTIONS = CompleteOptions(steps=3, tune_steps=6, balance="mean", lam=0.0, precision="fp32")


@pytest.mark.parametrize("size", [8, 16, 32])
def test_the_two_parts_make_the_whole(size):
    gan = fuse(tiny_dcgan(size), torch.float32)
    z = gan.generator.prior.sample(range(3))
    stages = min(2, gan.generator.depth)
    maps = gan.generator.begin(z, stages)
    assert maps.shape[-1] == (4 if size == 8 else 8)
    torch.testing.assert_close(gan.generator.finish(maps, stages), gan.generator(z))


def test_what_is_known_is_met_closer_than_by_any_latent():
    gan, incomplete = tiny_dcgan(), Incomplete(some_images(2), a_hole(2))
    searched = complete(gan, incomplete, replace(OPTIONS, steps=200, tune_steps=0, learning_rate=0.05))
    tuned = complete(
        gan, incomplete, replace(OPTIONS, steps=50, tune_steps=120, learning_rate=0.05, tune_rate=0.3, tune_weight=0.0)
    )
    assert (tuned.terms["contextual"] < 0.8 * searched.terms["contextual"]).all()


def test_a_high_price_keeps_the_generator_as_it_is():
    gan, incomplete = fuse(tiny_dcgan(), torch.float32), Incomplete(some_images(2), a_hole(2))
    z = gan.generator.prior.sample([1, 2])
    objective = completion_loss(incomplete, gan.discriminator, OPTIONS)
    for weight, near in ((1e3, True), (0.0, False)):
        *_, last = optimise_maps(gan.generator, objective, z, steps=100, rate=0.02, weight=weight)
        with torch.no_grad():
            drift = (last.images - gan.generator(last.z)).abs().max()
        assert (drift < 0.01) == near


def test_the_start_is_the_searched_latent_and_the_price_is_in_the_loss():
    gan, incomplete = fuse(tiny_dcgan(), torch.float32), Incomplete(some_images(2), a_hole(2))
    z = gan.generator.prior.sample([1, 2])
    objective = completion_loss(incomplete, gan.discriminator, OPTIONS)
    steps = list(optimise_maps(gan.generator, objective, z, steps=3, rate=0.1, weight=0.01))
    assert [step.number for step in steps] == [0, 1, 2, 3]
    assert torch.equal(steps[0].z, z) and steps[0].terms["tuning"].tolist() == [0, 0]
    torch.testing.assert_close(steps[0].images, gan.generator(z))
    assert (steps[-1].terms["tuning"] > 0).all() and list(steps[-1].terms) == ["contextual", "perceptual", "tuning"]
    assert (steps[-1].z - z).abs().max() > 0 and steps[-1].z.abs().max() <= 1


def test_the_images_are_tuned_each_as_if_alone():
    gan, images = tiny_dcgan(), some_images(3)
    options = replace(OPTIONS, attempts=3, candidates=2, held_out=0.1)
    together = complete(gan, Incomplete(images, a_hole(3)), options)
    for i in range(3):
        alone = complete(gan, Incomplete(images[i : i + 1], a_hole(1)), options)
        for one, other in zip(together.select(slice(i, i + 1)).candidates, alone.candidates, strict=True):
            torch.testing.assert_close(one.images, other.images, atol=1e-3, rtol=0)
            assert torch.equal(one.attempt, other.attempt)


def test_steps_are_counted_on_and_the_total_known_from_the_start():
    found = list(watch(tiny_dcgan(), Incomplete(some_images(2), a_hole(2)), OPTIONS))
    assert [c.number for c in found] == list(range(10)) and {c.total for c in found} == {9}
    assert [("tuning" in c.terms) for c in found] == [False] * 3 + [True] * 7


class Whole:
    """A generator of a kind that cannot be taken apart."""

    prior = UniformPrior(5)
    weight = torch.randn(192, 5, generator=torch.Generator().manual_seed(0)) / 4

    def __call__(self, z):
        return (z @ self.weight.T).view(-1, 3, 8, 8)


def test_of_a_generator_in_one_piece_the_latents_go_on():
    gan = Gan(Whole(), lambda images: images.new_zeros(len(images)))
    known = torch.ones(1, 1, 8, 8)
    known[..., 2:6, 2:6] = 0
    *_, before, last = watch(gan, Incomplete(some_images(1, 8), known), OPTIONS)
    assert (before.number, last.number, last.total) == (8, 9, 9)
    assert "tuning" not in last.terms and last.loss < before.loss


def test_the_cosine_goes_from_one_to_nothing():
    assert cosine(0.0) == 1 and cosine(0.5) == pytest.approx(0.5) and cosine(1.0) == 0


def residual(size=16):
    return fuse(
        model_file.build(NetworkOptions(size=size, networks="residual", latent=6, prior="normal"), 1), torch.float32
    )


@pytest.mark.parametrize("size", [8, 16, 32])
def test_residual_networks_come_apart_at_maps_of_8x8_too(size):
    gan = residual(size)
    z = gan.generator.prior.sample(range(3))
    stages = min(2, gan.generator.depth)
    maps = gan.generator.begin(z, stages)
    assert maps.shape[-1] == (4 if size == 8 else 8)
    torch.testing.assert_close(gan.generator.finish(maps, stages), gan.generator(z))
    maps = maps / gan.generator.map_scale(z, stages)
    assert 0.3 < maps.std(0).mean() < 3  # in units of what is usual


def test_residual_networks_are_tuned_as_others_are():
    gan, incomplete = residual(), Incomplete(some_images(2), a_hole(2))
    searched = complete(gan, incomplete, replace(OPTIONS, steps=50, tune_steps=0, learning_rate=0.05))
    tuned = complete(gan, incomplete, replace(OPTIONS, steps=50, tune_steps=60, learning_rate=0.05, tune_weight=0.0))
    assert (tuned.terms["contextual"] < 0.9 * searched.terms["contextual"]).all()
