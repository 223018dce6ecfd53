from dataclasses import dataclass, field, replace

import pytest
import torch

from latentfill.completion.complete import complete, watch
from latentfill.completion.held_out import GREY_LEVEL
from latentfill.completion.operators import parse, question
from latentfill.completion.samples import Posterior, typical_first, unexplained, warnings
from latentfill.errors import LatentfillError
from latentfill.gan.gan import Gan, UniformPrior
from latentfill.images.incomplete import Incomplete
from latentfill.options import CompleteOptions

OPTIONS = CompleteOptions("posterior", steps=40, warm_up=20, leapfrog_steps=5, precision="fp32")


@dataclass
class Linear:
    """G(z) = W z; the lower half depends on numbers that the upper half does not tell."""

    prior: UniformPrior = field(default_factory=lambda: UniformPrior(6))

    def __post_init__(self):
        self.weight = 0.3 * torch.randn(3, 8, 8, 6, generator=torch.Generator().manual_seed(0))
        self.weight[:, :4, :, 4:] = 0

    def __call__(self, z):
        return torch.einsum("chwd,nd->nchw", self.weight, z)


@dataclass
class Mirror:
    """Draws the latent itself, in pixels."""

    prior: UniformPrior = field(default_factory=lambda: UniformPrior(2))

    def __call__(self, z):
        return z[:, None, None, :]


GAN = Gan(Linear(), lambda images: images.new_zeros(len(images)))


def asked(seeds):
    known = torch.ones(len(seeds), 1, 8, 8)
    known[:, :, 4:] = 0
    return Incomplete(GAN.generator(GAN.generator.prior.sample(seeds)), known)


def posterior(samples, chain):
    ones = torch.ones(len(samples))
    mean = Mirror()(samples.mean(1))
    return Posterior(mean, torch.zeros_like(mean), samples, torch.tensor(chain), *[ones] * 5)


def test_posterior_samples_agree_where_something_is_known_and_differ_where_nothing_is():
    question = asked([1, 2])
    steps = list(watch(GAN, question, replace(OPTIONS, candidates=3)))
    assert [step.number for step in steps] == list(range(121)) and {step.total for step in steps} == {120}
    found = steps[-1]
    assert len(found.candidates) == 3 and {*found.notes} == {"accepted", "rhat", "effective", "unexplained"}
    truth = question.images
    for one in found.candidates:
        off = (one.images - truth).abs()
        assert off[:, :, :4].mean() < 0.05 < off[:, :, 4:].mean(), "the upper half is told, the lower is not"
        torch.testing.assert_close(one.images, GAN.generator(one.z))
    apart = [
        (a.images - b.images).abs()[:, :, 4:].mean().item()
        for a, b in zip(found.candidates, found.candidates[1:], strict=False)
    ]
    assert min(apart) > 0.1
    assert len({int(c.attempt[0]) for c in found.candidates}) == 3, "of different chains"
    assert found.spread.shape == (2, 1, 8, 8)
    assert found.spread[:, :, 4:].mean() > 10 * found.spread[:, :, :4].mean()
    # two numbers that nothing is known of are uniform, of deviation 1/sqrt 3
    expected = (GAN.generator.weight[:, 4:, :, 4:].square().sum(3).mean(0) / 3).sqrt().mean() / GREY_LEVEL
    assert abs(found.spread[:, :, 4:].mean() / expected - 1) < 0.25
    assert (found.notes["effective"] > 8).all(), "parts that are known say nothing of it"
    assert (found.notes["accepted"] > 0.4).all() and (found.notes["unexplained"] < 6).all()
    assert all(step.notes["rhat"].isnan().all() for step in steps[:-1]) and found.notes["rhat"].isfinite().all()
    assert all({*step.terms} == {"contextual"} for step in steps)


def test_an_image_is_sampled_as_if_alone():
    three = asked([1, 2, 3])
    options = replace(OPTIONS, candidates=2, steps=8, warm_up=5)
    together, alone = complete(GAN, three, options), complete(GAN, three.select([1]), options)
    for a, b in zip(together.select(slice(1, 2)).candidates, alone.candidates, strict=True):
        assert torch.equal(a.z, b.z) and torch.equal(a.spread, b.spread) and torch.equal(a.attempt, b.attempt)
        assert all(torch.equal(a.notes[name], b.notes[name]) for name in b.notes)
    other = complete(GAN, three.select([1]), replace(options, seed=1))
    assert not torch.allclose(other.z, alone.z, atol=1e-2)


def test_hidden_known_pixels_tell_the_error_of_samples():
    found = complete(GAN, asked([1]), replace(OPTIONS, steps=8, held_out=0.2))
    assert found.held_out is not None and found.held_out.item() < 10


def test_samples_of_an_observed_image():
    truth = GAN.generator(GAN.generator.prior.sample([1]))
    sight = parse("lowres:4")
    found = complete(GAN, question(sight, sight.view(truth), torch.ones(1, 1, 8, 8), 3), OPTIONS)
    assert (sight.view(found.images) - sight.view(truth)).abs().mean() < 0.1
    assert {*found.terms} == {"contextual", "lowres:4"} and found.spread.mean() > 1


def test_the_first_sample_shown_is_the_typical_one_and_the_others_are_far_from_all():
    samples = torch.tensor([[[0.0, 0], [0.1, 0], [0.9, 0], [0.8, 0], [-0.6, 0]]])
    everywhere = torch.ones(1, 1, 1, 2)
    same_chain = posterior(samples, [0, 0, 0, 0, 0])
    assert typical_first(Mirror(), same_chain, everywhere, 3).tolist() == [[1, 2, 4]]
    assert typical_first(Mirror(), posterior(samples, [1, 0, 0, 1, 1]), everywhere, 3).tolist() == [[1, 3, 4]]
    assert typical_first(Mirror(), same_chain, torch.tensor([[[[0.0, 1]]]]), 1).tolist() == [[0]], "where it counts"


def test_what_samples_miss_of_what_is_known_is_told():
    missed = Incomplete(torch.tensor([[[[0.5, 0.0]]]]), torch.tensor([[[[1.0, 0.0]]]]))
    samples = torch.tensor([[[0.4, 9.0], [0.6, -9.0]]])
    torch.testing.assert_close(unexplained(Mirror(), missed, samples), torch.tensor([0.1]))


def test_chains_are_judged_in_plain_words():
    def told(accepted, rhat, effective):
        notes = {"accepted": accepted, "rhat": rhat, "effective": effective}
        return " ".join(warnings({name: torch.tensor([0.5, value]) for name, value in notes.items()}, 1))

    assert told(0.7, 1.02, 200.0) == ""
    assert "the chains disagree (R-hat 1.30)" in told(0.7, 1.3, 20.0) and "--steps" in told(0.7, 1.3, 20.0)
    assert "some never moved" in told(0.0, torch.inf, 1.0) and "hardly any proposal" in told(0.0, torch.inf, 1.0)
    assert "worth 20 independent ones" in told(0.7, 1.05, 20.0)
    assert warnings({"accepted": torch.ones(2)}, 0) == (), "the original's hmc has no chains"


def test_what_cannot_be_sampled_is_told():
    question = asked([1])
    with pytest.raises(LatentfillError, match="3 draws tell nothing"):
        watch(GAN, question, replace(OPTIONS, steps=3))
    blocks = replace(question, lowres=torch.ones(1, 1, 1, 1))
    with pytest.raises(LatentfillError, match="--observe lowres:8"):
        watch(GAN, blocks, OPTIONS)
