from dataclasses import dataclass, field, replace

import pytest
import torch

from latentfill.completion.complete import complete, watch
from latentfill.completion.operators import parse_operator, to_incomplete
from latentfill.completion.restarts import SuccessiveHalving, encoder_guess, initial_latents, rank_rows, uses_encoder
from latentfill.errors import LatentfillError
from latentfill.gan.gan import Gan, UniformPrior
from latentfill.gan.model_file import build
from latentfill.images.incomplete import Incomplete
from latentfill.options import CompleteOptions, NetworkOptions


@dataclass
class Linear:
    """G(z) = W z."""

    prior: UniformPrior = field(default_factory=lambda: UniformPrior(5))

    def __post_init__(self):
        self.weight = torch.randn(192, 5, generator=torch.Generator().manual_seed(0)) / 4

    def __call__(self, z):
        return (z @ self.weight.T).view(-1, 3, 8, 8)


def flat_discriminator(images):
    return images.new_zeros(len(images))


@dataclass
class Inverse:
    """The encoder of a linear generator: least squares over what is known."""

    generator: Linear
    asked: list = field(default_factory=list)

    def __call__(self, images, known):
        self.asked.append(known)
        found = []
        for image, given in zip(images, known, strict=True):
            w = given.expand_as(image).reshape(-1, 1) * self.generator.weight
            found.append(torch.linalg.lstsq(w, (given * image).reshape(-1, 1)).solution[:, 0])
        return torch.stack(found).clamp(-1, 1)


def warm_gan():
    generator = Linear()
    return Gan(generator, flat_discriminator, encoder=Inverse(generator))


def center_hole(n):
    known = torch.ones(n, 1, 8, 8)
    known[..., 2:6, 2:6] = 0
    return known


def some_images(n):
    return torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_the_first_attempt_starts_at_the_encoders_guess():
    gan = warm_gan()
    z = gan.generator.prior.sample([11, 12])
    incomplete = Incomplete(gan.generator(z), center_hole(2))
    answer = complete(gan, incomplete, CompleteOptions(steps=0, start="encoder", precision="fp32"))
    torch.testing.assert_close(answer.z, z, atol=1e-4, rtol=0)
    assert torch.equal(gan.encoder.asked[0], incomplete.known)


def test_further_attempts_see_fewer_pixels_and_wander_farther():
    gan, incomplete = warm_gan(), Incomplete(some_images(2), center_hole(2))
    options = CompleteOptions(start="encoder", attempts=4)
    z = initial_latents(gan, incomplete, options).view(2, 4, 5)
    first, *others = gan.encoder.asked
    assert torch.equal(first, incomplete.known)
    for known in others:
        assert (known <= incomplete.known).all() and 0 < known.sum() < incomplete.known.sum()
    assert not torch.equal(others[0], others[1])
    assert (z[:, 1:] - z[:, :1]).abs().sum(2).min() > 0
    fewer = initial_latents(gan, incomplete, replace(options, attempts=2)).view(2, 2, 5)
    torch.testing.assert_close(fewer, z[:, :2])  # an attempt is the same whatever comes after it
    alone = initial_latents(gan, incomplete.select([1]), options)
    torch.testing.assert_close(alone, z[1])


def test_auto_takes_the_encoder_where_there_is_one():
    gan, incomplete = warm_gan(), Incomplete(some_images(1), center_hole(1))
    cold = replace(gan, encoder=None)
    auto = CompleteOptions(start="auto")
    assert uses_encoder(gan, auto) and not uses_encoder(cold, auto) and not uses_encoder(gan, CompleteOptions())
    random = initial_latents(cold, incomplete, CompleteOptions())
    assert torch.equal(initial_latents(cold, incomplete, auto), random)
    assert torch.equal(initial_latents(gan, incomplete, CompleteOptions()), random)
    assert not torch.equal(initial_latents(gan, incomplete, auto), random)


def test_an_encoder_that_is_not_there_is_named():
    cold = replace(warm_gan(), encoder=None)
    with pytest.raises(LatentfillError, match="the model has no encoder"):
        watch(cold, Incomplete(some_images(1), center_hole(1)), CompleteOptions(start="encoder"))


def test_an_encoders_search_may_be_shorter():
    gan, incomplete = warm_gan(), Incomplete(some_images(1), center_hole(1))
    options = CompleteOptions(start="auto", steps=3, cold_steps=7)
    numbers = [(c.number, c.total) for c in watch(gan, incomplete, options)]
    assert numbers == [(i, 3) for i in range(4)]
    assert [c.total for c in watch(replace(gan, encoder=None), incomplete, options)] == [7] * 8


def test_the_worse_half_is_given_up_and_each_image_decides_for_itself():
    race = SuccessiveHalving(2, 5, 2, cuts=(3, 6, 9))
    assert race.halve(2, torch.zeros(10)) is None and race.left == 5
    score = torch.tensor([5.0, 1, 4, 2, 3, 1, 2, float("nan"), 4, 0.5])
    assert race.halve(3, score).tolist() == [1, 3, 4, 5, 6, 9]
    assert race.labels.tolist() == [[1, 3, 4], [0, 1, 4]] and race.images.tolist() == [0, 0, 0, 1, 1, 1]
    assert race.halve(6, torch.tensor([3.0, 1, 2, 1, 3, 2])).tolist() == [1, 2, 3, 5]
    assert race.labels.tolist() == [[3, 4], [0, 4]]
    assert race.halve(9, torch.zeros(4)) is None and race.left == 2  # so many are to be offered


def test_the_smallest_score_is_first_and_a_broken_one_last():
    assert rank_rows(torch.tensor([2.0, float("nan"), 1, 3, 3, 0]), 3).tolist() == [[2, 0, 1], [2, 0, 1]]


@pytest.mark.parametrize("start", ["random", "encoder"])
@pytest.mark.parametrize("method", ["adam", "nesterov"])
@pytest.mark.parametrize("held_out", [0.0, 0.15])
def test_with_pruning_each_image_is_completed_as_if_alone(method, start, held_out):
    gan, images = warm_gan(), some_images(4)
    options = CompleteOptions(
        method=method,
        steps=16,
        learning_rate=0.05 if method == "adam" else 0.005,
        schedule="cosine",
        start=start,
        attempts=8,
        candidates=2,
        prune=True,
        held_out=held_out,
        precision="fp32",
    )
    together = complete(gan, Incomplete(images, center_hole(4)), options)
    assert len(set(together.attempt.tolist())) > 1 or start == "encoder"
    for i in range(4):
        alone = complete(gan, Incomplete(images[i : i + 1], center_hole(1)), options)
        for one, other in zip(together.select(slice(i, i + 1)).candidates, alone.candidates, strict=True):
            assert torch.equal(one.attempt, other.attempt)
            torch.testing.assert_close(one.z, other.z, atol=1e-5, rtol=0)


def test_an_attempt_that_is_never_given_up_moves_as_if_there_were_no_pruning():
    gan, incomplete = warm_gan(), Incomplete(some_images(3), center_hole(3))
    options = CompleteOptions(steps=12, learning_rate=0.05, schedule="cosine", attempts=6, precision="fp32")
    pruned, free = (complete(gan, incomplete, replace(options, prune=prune)) for prune in (True, False))
    one = [complete(gan, incomplete, replace(options, attempts=int(k) + 1, candidates=6)) for k in pruned.attempt]
    for i, k in enumerate(pruned.attempt.tolist()):
        same = next(c for c in one[i].candidates if c.attempt[i] == k)
        torch.testing.assert_close(pruned.z[i], same.z[i], atol=1e-5, rtol=0)
    assert (free.loss <= pruned.loss + 1e-4).all()


def test_the_spread_is_how_far_attempts_differ():
    gan, incomplete = warm_gan(), Incomplete(some_images(2), center_hole(2))
    options = CompleteOptions(steps=0, attempts=3, precision="fp32")
    answer = complete(gan, incomplete, replace(options, candidates=3))
    images = torch.stack([c.images for c in answer.candidates]) * 127.5
    torch.testing.assert_close(answer.spread, images.var(0).mean(1, keepdim=True).sqrt())
    assert complete(gan, incomplete, CompleteOptions(steps=0)).spread is None
    assert answer.select(slice(1, 2)).spread.shape == (1, 1, 8, 8)


@torch.no_grad()
def test_an_encoder_is_shown_usual_colours_where_none_were_seen():
    seen = []

    class Watching:
        def __call__(self, images, known):
            seen.append((images, known))
            return torch.zeros(len(images), 6)

    gan = replace(build(NetworkOptions(size=16, base=4, latent=6)), encoder=Watching())
    truth = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) - 0.5
    known = torch.ones(2, 1, 16, 16)
    known[..., :4] = 0
    sight = parse_operator("grey")
    asked = to_incomplete(sight, sight.linear(truth), known, 3)
    encoder_guess(gan, asked)
    shown, where = seen[0]
    usual = gan.generator(gan.generator.prior.sample([(8 << 64) + i for i in range(64)])).mean(0)
    assert torch.equal(where, known)
    torch.testing.assert_close(sight.linear(shown)[..., 4:], sight.linear(truth)[..., 4:], atol=1e-5, rtol=0)
    colours = (shown - sight.linear(shown))[..., 4:]
    torch.testing.assert_close(
        colours, (usual - sight.linear(usual[None]))[..., 4:].expand(2, -1, -1, -1), atol=1e-5, rtol=0
    )
    encoder_guess(gan, Incomplete(truth, known))
    assert torch.equal(seen[1][0], truth * known), "whose colours were seen is shown as it is"
