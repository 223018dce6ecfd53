from dataclasses import dataclass, field, replace
from itertools import islice

import pytest
import torch
from torch import nn

from latentfill.completion.complete import complete, watch
from latentfill.completion.completion import best_of
from latentfill.completion.objective import completion_loss
from latentfill.completion.restarts import SuccessiveHalving
from latentfill.completion.search import Step
from latentfill.gan.dcgan import DcganDiscriminator, DcganGenerator, initialise
from latentfill.gan.gan import Gan, UniformPrior
from latentfill.images.incomplete import Incomplete
from latentfill.options import COMPLETE_PRESETS, CompleteOptions

METHODS = ["adam", "nesterov", "hmc"]


@dataclass
class Linear:
    """G(z) = W z: a generator whose inverse is known."""

    prior: UniformPrior = field(default_factory=lambda: UniformPrior(5))

    def __post_init__(self):
        self.weight = torch.randn(192, self.prior.dim, generator=torch.Generator().manual_seed(0)) / 4

    def __call__(self, z):
        return (z @ self.weight.T).view(-1, 3, 8, 8)


def flat_discriminator(images):
    return images.new_zeros(len(images))


def linear_gan():
    return Gan(Linear(), flat_discriminator)


def tiny_dcgan():
    prior = UniformPrior(6)
    generator, discriminator = DcganGenerator(prior, 8, base=4), DcganDiscriminator(8, base=4)
    initialise(generator, 1)
    initialise(discriminator, 2)
    for network in (generator, discriminator):
        for norm in network.norms:
            nn.init.uniform_(norm.running_var, 0.01, 0.02, generator=torch.Generator().manual_seed(3))
    return Gan(generator, discriminator)


def center_hole(n):
    known = torch.ones(n, 1, 8, 8)
    known[..., 2:6, 2:6] = 0
    return known


def a_question(generator, seeds):
    z = generator.prior.sample(seeds)
    return z, Incomplete(generator(z), center_hole(len(seeds)))


def some_images(n):
    return torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_the_latent_of_a_linear_generator_is_found_and_the_unseen_hole_filled():
    gan = linear_gan()
    z_true, incomplete = a_question(gan.generator, [11, 12, 13])
    hidden = Incomplete(incomplete.known * incomplete.images, incomplete.known)
    options = CompleteOptions(steps=600, learning_rate=0.005, attempts=2)
    answer = complete(gan, hidden, options)
    assert answer.number == 600
    assert (answer.z - z_true).abs().max() < 0.02
    assert (answer.images - incomplete.images).abs().max() < 0.05


@pytest.mark.parametrize("make", [linear_gan, tiny_dcgan])
@pytest.mark.parametrize("method", METHODS)
def test_each_image_is_completed_as_if_alone(method, make):
    gan = make()
    images = some_images(3)
    options = CompleteOptions(
        method=method, steps=12, attempts=2, seed=3, hmc_leapfrog_steps=5, hmc_step_size=0.02, precision="fp32"
    )
    together = complete(gan, Incomplete(images, center_hole(3)), options)
    for i in range(3):
        alone = complete(gan, Incomplete(images[i : i + 1], center_hole(1)), options)
        torch.testing.assert_close(together.z[i : i + 1], alone.z, atol=1e-4, rtol=0)
        torch.testing.assert_close(together.loss[i : i + 1], alone.loss, atol=1e-2, rtol=1e-4)


def test_networks_left_in_training_mode_do_not_mix_the_images():
    gan = tiny_dcgan()
    images, options = some_images(2), CompleteOptions(steps=3, precision="fp32")
    expected = complete(
        Gan(gan.generator.eval(), gan.discriminator.eval()), Incomplete(images, center_hole(2)), options
    )
    gan.generator.train()
    gan.discriminator.train()
    torch.testing.assert_close(complete(gan, Incomplete(images, center_hole(2)), options).z, expected.z)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_callers_networks_stay_as_they_are(method, precision):
    gan = tiny_dcgan()
    networks = gan.generator.train(), gan.discriminator.train()
    before = [{name: tensor.clone() for name, tensor in network.state_dict().items()} for network in networks]
    options = CompleteOptions(method=method, steps=2, hmc_leapfrog_steps=2, precision=precision)
    complete(gan, Incomplete(some_images(2), center_hole(2)), options)
    for network, state in zip(networks, before, strict=True):
        assert all(module.training for module in network.modules())
        assert network.precision == torch.float32
        assert all(p.grad is None and p.requires_grad and p.dtype == torch.float32 for p in network.parameters())
        assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())


class Probe(nn.Module):
    """A generator of another kind, which notes how it was called."""

    seen: list[tuple[torch.dtype, bool, bool]] = []  # noqa: RUF012

    def __init__(self):
        super().__init__()
        self.prior, self.precision = UniformPrior(4), torch.float32
        self.layer = nn.utils.skip_init(nn.Linear, 4, 192)
        initialise(self, 0)

    def forward(self, z):
        self.seen.append((self.precision, self.training, self.layer.weight.requires_grad))
        return self.layer(z).view(-1, 3, 8, 8)


@pytest.mark.parametrize(("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_any_network_computes_in_the_wanted_precision_at_rest_and_without_gradients_of_its_own(name, dtype):
    probe = Probe()
    probe.seen.clear()
    gan = Gan(probe, flat_discriminator)
    complete(gan, Incomplete(some_images(1), center_hole(1)), CompleteOptions(steps=1, precision=name))
    assert set(Probe.seen) == {(dtype, False, False)}
    assert probe.training and probe.precision == torch.float32 and probe.layer.weight.requires_grad


def test_the_precision_changes_the_result_only_a_little():
    gan, incomplete = tiny_dcgan(), Incomplete(some_images(2), center_hole(2))
    exact, rough = (
        complete(gan, incomplete, CompleteOptions(steps=0, precision=precision)) for precision in ("fp32", "bf16")
    )
    assert not torch.equal(exact.images, rough.images)
    torch.testing.assert_close(rough.images, exact.images, atol=0.05, rtol=0)
    assert exact.images.dtype == rough.images.dtype == torch.float32


def test_the_first_latents_depend_on_the_seed_and_the_attempt_alone():
    incomplete = Incomplete(some_images(3), center_hole(3))
    starts = {
        seed: complete(linear_gan(), incomplete, CompleteOptions(steps=0, seed=seed)).z for seed in (0, 1, 2**31 - 1)
    }
    for z in starts.values():
        assert torch.equal(z, z[:1].expand(3, -1))
    assert not torch.equal(starts[0], starts[1])
    again = complete(linear_gan(), incomplete, CompleteOptions(steps=0, seed=1)).z
    assert torch.equal(again, starts[1])


@pytest.mark.parametrize("method", METHODS)
def test_more_attempts_are_never_worse_and_the_first_of_them_is_the_only_one(method):
    incomplete = Incomplete(some_images(3), center_hole(3))
    options = CompleteOptions(method=method, steps=10, hmc_leapfrog_steps=3, hmc_step_size=0.02)
    one, four = (complete(linear_gan(), incomplete, replace(options, attempts=k)) for k in (1, 4))
    assert (four.loss <= one.loss + 1e-4).all() and (four.attempt > 0).any()
    first = four.attempt == 0
    torch.testing.assert_close(four.z[first], one.z[first])
    assert one.attempt.tolist() == [0, 0, 0]


def test_the_best_attempt_wins_and_a_broken_one_never():
    loss = torch.tensor([3.0, 1.0, 2.0, float("nan")])
    terms = {"a": loss / 2, "b": loss / 2}
    step = Step(7, torch.arange(4.0)[:, None], torch.arange(4.0)[:, None, None, None], terms, {"accepted": loss * 0})
    completion = best_of(step, SuccessiveHalving(2, 2, 1), 1, step.loss)
    assert completion.number == 7
    assert completion.z.flatten().tolist() == completion.images.flatten().tolist() == [1, 2]
    assert completion.loss.tolist() == [1, 2] and completion.terms["a"].tolist() == [0.5, 1]
    assert completion.attempt.tolist() == [1, 0] and completion.notes["accepted"].tolist() == [0, 0]


@pytest.mark.parametrize("method", METHODS)
def test_a_search_stops_when_nobody_asks_for_more(method):
    gan = linear_gan()
    incomplete = Incomplete(some_images(1), center_hole(1))
    steps = watch(gan, incomplete, CompleteOptions(method=method, steps=10**9, hmc_leapfrog_steps=2))
    assert [completion.number for completion in islice(steps, 4)] == [0, 1, 2, 3]


@pytest.mark.parametrize("method", METHODS)
def test_every_step_has_its_losses(method):
    incomplete = Incomplete(some_images(2), center_hole(2))
    options = CompleteOptions(method=method, steps=3, hmc_leapfrog_steps=2)
    for completion in watch(linear_gan(), incomplete, options):
        assert list(completion.terms) == ["contextual", "perceptual"]
        torch.testing.assert_close(completion.loss, sum(completion.terms.values()))
        assert set(completion.notes) == ({"accepted"} if method == "hmc" else set())


@pytest.mark.parametrize("preset", COMPLETE_PRESETS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("known", [0.0, 1.0])
def test_images_known_wholly_or_not_at_all_are_completed(known, method, preset):
    options = replace(COMPLETE_PRESETS[preset], method=method, steps=5, hmc_leapfrog_steps=2)
    incomplete = Incomplete(some_images(2), torch.full((2, 1, 8, 8), known))
    for completion in watch(tiny_dcgan(), incomplete, options):
        assert completion.images.isfinite().all() and completion.z.isfinite().all()
        assert completion.loss.isfinite().all() and completion.z.abs().max() <= 1


def test_a_whole_image_is_projected_with_the_papers_settings_too():
    gan = linear_gan()
    z_true = gan.generator.prior.sample([11])
    whole = Incomplete(gan.generator(z_true), torch.ones(1, 1, 8, 8))
    options = replace(COMPLETE_PRESETS["paper"], steps=400)
    assert (complete(gan, whole, options).z - z_true).abs().max() < 0.05


def test_a_picture_is_found_from_its_block_means():
    gan = linear_gan()
    z_true = gan.generator.prior.sample([11])
    small = Incomplete(gan.generator(z_true), torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 1, 1))
    start, *_, end = watch(gan, small, CompleteOptions(steps=300, attempts=2))
    assert list(end.terms) == ["contextual", "lowres", "perceptual"]
    assert end.terms["lowres"] < 0.05 and end.terms["lowres"] < start.terms["lowres"]


def test_the_presets_are_the_two_settings():
    seed, paper = COMPLETE_PRESETS["seed"], COMPLETE_PRESETS["paper"]
    assert seed == CompleteOptions()
    assert (seed.method, seed.steps, seed.learning_rate, seed.beta1, seed.beta2) == ("adam", 1000, 0.01, 0.9, 0.999)
    assert (seed.context, seed.balance, seed.lam, seed.perceptual) == ("l1", "sum", 0.1, "non-saturating")
    assert (paper.method, paper.steps, paper.learning_rate, paper.lam) == ("adam", 1500, 0.01, 0.003)
    assert (paper.context, paper.window, paper.perceptual) == ("weighted", 7, "saturating")
    assert (seed.blend, paper.blend) == ("auto", "poisson")


def test_the_loss_follows_the_options():
    gan, incomplete = linear_gan(), Incomplete(some_images(1), center_hole(1))
    options = CompleteOptions(lam=0.5, context="weighted", window=3, perceptual="saturating", balance="mean")
    loss = completion_loss(incomplete, gan.discriminator, options)
    assert (loss.lam, loss.context, loss.window) == (0.5, "weighted", 3)
    assert (loss.perceptual, loss.balance) == ("saturating", "mean")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(steps=-1), "option steps: input should be greater than or equal to 0, not -1"),
        (dict(attempts=0), "option attempts: .* greater than 0, not 0"),
        (dict(learning_rate=0.0), "option learning_rate: .* greater than 0"),
        (dict(lam=float("nan")), "option lam"),
        (dict(momentum=1.0), "option momentum: .* less than 1"),
        (dict(context="weighted", window=4), "option window: .*odd.*, not 4"),
    ],
)
def test_options_out_of_bounds_are_refused_before_the_search(wrong, message):
    with pytest.raises(ValueError, match=message):
        watch(linear_gan(), Incomplete(some_images(1), center_hole(1)), CompleteOptions(**wrong))


def test_nothing_to_complete_is_refused():
    with pytest.raises(ValueError, match="no image to complete"):
        complete(linear_gan(), Incomplete(torch.zeros(0, 3, 8, 8), torch.zeros(0, 1, 8, 8)))
