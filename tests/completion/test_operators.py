from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from latentfill.completion.complete import complete
from latentfill.completion.objective import CompletionLoss, lowres
from latentfill.completion.operators import KINDS, LinearOperator, parse_operator, simulate, to_incomplete
from latentfill.errors import LatentfillError
from latentfill.gan.gan import Gan, NormalPrior
from latentfill.gan.model_file import build
from latentfill.images.incomplete import Incomplete, MeasurementOperator, Observation, concatenate
from latentfill.images.pixels import GREY_LEVEL, batch_to_images, to_grey, to_pixels
from latentfill.options import CompleteOptions, NetworkOptions

ALL = [
    "lowres:4",
    "grey",
    "noise:25",
    "levels:8",
    "jpeg:10",
    "grey+lowres:2",
    "grey+lowres:4+noise:10",
    "lowres:2+jpeg:5",
]
NETWORK = NetworkOptions(size=32, base=4, latent=6)
GAN = build(NETWORK)


def photos(count=2, side=32):
    return np.stack([astronaut()[40 : 40 + side, 150 + 20 * i : 150 + 20 * i + side] for i in range(count)])


def images(count=2, side=32):
    return batch_to_images(photos(count, side))


def random_images(n, side=32, seed=0):
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def left_half_missing(n, side=32):
    known = torch.ones(n, 1, side, side)
    known[..., : side // 2] = 0
    return known


def asked(text, truth, known=None):
    sight = parse_operator(text)
    known = torch.ones_like(truth[:, :1]) if known is None else known
    return to_incomplete(sight, simulate(sight, truth, range(len(truth))), known, truth.shape[1])


def forbidden(images):
    raise RuntimeError("D was asked")


@pytest.mark.parametrize("text", ALL)
def test_what_is_written_is_understood(text):
    sight = parse_operator(text)
    assert isinstance(sight, MeasurementOperator)
    assert sight.name == text == parse_operator(text.split("+")[::-1]).name and sight == parse_operator(text)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "'' is not an observation"),
        ("gery", "'gery' is not an observation"),
        ("lowres", "'lowres' is not understood"),
        ("lowres:1", "'lowres:1' is not understood"),
        ("lowres:2.5", "'lowres:2.5' is not understood"),
        ("grey:2", "'grey:2' is not understood"),
        ("noise:0", "'noise:0' is not understood"),
        ("noise:x", "'noise:x' is not understood"),
        ("noise:nan", "'noise:nan' is not understood"),
        ("levels:256", "'levels:256' is not understood"),
        ("jpeg:0:1", "'jpeg:0:1' is not understood"),
        ("grey+grey", "grey is named twice"),
        ("noise:5+jpeg:5", "noise and jpeg cannot be observed together"),
    ],
)
def test_what_is_not_understood_is_told_with_a_cure(text, what):
    with pytest.raises(LatentfillError) as caught:
        parse_operator(text)
    assert caught.value.what == what and caught.value.cure
    if "understood" in what:
        assert caught.value.cure == f"Write {KINDS[text.split(':')[0]]}."


def test_grey_is_the_luma_that_pixels_have_and_lowres_the_means_of_blocks():
    shown = (parse_operator("grey").measure(images()) + 1) / GREY_LEVEL
    assert np.abs(shown[:, 0].numpy() - np.stack([to_grey(p)[..., 0] for p in photos()])).max() <= 0.501
    small = parse_operator("lowres:4").measure(images()).numpy()
    expected = images().numpy().reshape(2, 3, 8, 4, 8, 4).mean((3, 5))
    np.testing.assert_allclose(small, expected, atol=1e-6)


@pytest.mark.parametrize(
    "view", [LinearOperator(), LinearOperator(True), LinearOperator(False, 4), LinearOperator(True, 2)], ids=str
)
def test_a_shifted_image_shows_just_what_it_should(view):
    guess, truth = random_images(2), images() * 1.2  # partly out of range
    wanted = view(truth.clamp(-1, 1))
    moved = view.shift(guess, wanted)
    assert moved.abs().max() <= 1
    torch.testing.assert_close(view(moved), wanted, atol=0.01 * GREY_LEVEL, rtol=0)


def test_grey_keeps_the_colour_differences_of_the_generated_image():
    truth, guess = images() / 2, random_images(2) / 4
    moved = asked("grey", truth).impose(guess)
    torch.testing.assert_close(moved - moved[:, :1], guess - guess[:, :1], atol=1e-5, rtol=0)


def test_small_pictures_leave_no_edges_between_the_blocks():
    truth, guess = images(1, 64), torch.zeros(1, 3, 64, 64)
    moved = asked("lowres:4", truth).impose(guess)
    steps = (moved[..., 1:] - moved[..., :-1]).abs().mean((0, 1, 2))
    across, within = steps[3::4].mean(), torch.cat([steps[i::4] for i in range(3)]).mean()
    assert across < 1.3 * within


@pytest.mark.parametrize("text", ALL)
def test_after_imposing_everything_observed_agrees(text):
    asking = asked(text, images())
    (one,) = asking.observations
    guess = random_images(2) / 2
    imposed = asking.impose(guess)
    assert imposed.abs().max() <= 1
    if "noise" in text:  # agrees as well as the noise allows, and is nearer to the truth than either
        error = [(i - images()).square().mean() for i in (imposed, guess, asking.shown[0])]
        assert error[0] < min(error[1:]) or "grey" in text
    else:
        assert one.residual(guess).abs().max() > 5 * GREY_LEVEL
        assert one.residual(imposed).abs().max() < 0.05 * GREY_LEVEL
        assert one.data_fidelity(imposed).max() < 1e-3 * one.data_fidelity(guess).min()


@pytest.mark.parametrize("text", ["grey", "levels:8"])
def test_it_still_agrees_as_a_file_of_whole_levels(text):
    asking = asked(text, images())
    rounded = torch.cat([batch_to_images(p[None]) for p in to_pixels(asking.impose(random_images(2)))])
    assert asking.observations[0].residual(rounded).abs().max() <= (0.0 if text == "levels:8" else 0.501 * GREY_LEVEL)


@pytest.mark.parametrize("text", ALL)
def test_a_perfect_image_costs_nothing_and_moves_nowhere(text):
    if "noise" in text:
        return
    truth = images()
    asking = asked(text, truth)
    assert asking.observations[0].data_fidelity(truth).max() < 1e-3
    if "jpeg" not in text and "levels" not in text:
        torch.testing.assert_close(asking.impose(truth), truth, atol=1e-3, rtol=0)


@pytest.mark.parametrize("text", ALL)
def test_the_hole_hides_what_was_observed_there(text):
    known = left_half_missing(2)
    other = torch.where(known == 1, images(), random_images(2))
    a, b = asked(text, images(), known), asked(text, other, known)
    guess = random_images(2, seed=3)
    assert torch.equal(a.observations[0].seen, b.observations[0].seen)
    assert torch.equal(a.observations[0].data_fidelity(guess), b.observations[0].data_fidelity(guess))
    assert all(torch.equal(x, y) for x, y in zip(a.shown, b.shown, strict=True))
    imposed = a.impose(guess)
    assert torch.equal(imposed[..., :16], guess[..., :16]) and not torch.equal(imposed[..., 16:], guess[..., 16:])
    assert torch.equal(a.shown[1], known) and (a.shown[0][..., :16] == 0).all()
    nothing = asked(text, images(), torch.zeros_like(known))
    assert nothing.observations[0].count.tolist() == nothing.observations[0].data_fidelity(guess).tolist() == [0, 0]
    assert torch.equal(nothing.impose(guess), guess)


def test_a_block_of_which_a_pixel_is_hidden_is_not_known():
    known = torch.ones(1, 1, 32, 32)
    known[..., 5, 9] = 0
    where = parse_operator("lowres:4").where(known)
    assert where.shape == (1, 1, 8, 8) and where.sum() == 63 and where[0, 0, 1, 2] == 0
    assert parse_operator("jpeg:10").where(known).sum() == 32 * 32 - 64


def test_what_is_shown_next_to_a_hole_is_what_was_observed_there():
    bright = torch.full((1, 3, 32, 32), 0.75)
    images, known = asked("lowres:4", bright, left_half_missing(1)).shown
    torch.testing.assert_close(images, bright * known, atol=1e-5, rtol=0)


def test_nothing_of_the_colours_counts_as_known():
    asking = asked("grey", images())
    colours = images().roll(1, 1)
    loss = CompletionLoss(asking, forbidden, lam=0.0)
    assert asking.known.sum() == 0 and loss(torch.zeros(2, 1), colours)["contextual"].tolist() == [0, 0]
    assert (asking.shown[0] == asking.shown[0][:, :1]).all()


@pytest.mark.parametrize("balance", ["sum", "mean"])
def test_block_means_count_as_the_original_low_resolution_term(balance):
    truth, guess = images(), random_images(2)
    old = Incomplete(truth, torch.zeros(2, 1, 32, 32), torch.ones(2, 1, 4, 4))
    terms = [
        CompletionLoss(q, forbidden, 0.0, balance=balance)(torch.zeros(2, 1), guess)
        for q in (old, asked("lowres:8", truth))
    ]
    torch.testing.assert_close(terms[0]["lowres"], terms[1]["lowres:8"])
    torch.testing.assert_close(lowres(old, guess), asked("lowres:8", truth).observations[0].data_fidelity(guess))


def test_a_number_observed_counts_as_much_as_one_of_a_known_pixel():
    truth, guess = images() / 2, images() / 2 + 0.1
    pixels_known = CompletionLoss(Incomplete(truth, torch.ones(2, 1, 32, 32)), forbidden, 0.0, balance="mean")
    expected = pixels_known(torch.zeros(2, 1), guess)["contextual"]
    for text in ("grey", "lowres:4", "grey+lowres:2"):
        loss = CompletionLoss(asked(text, truth), forbidden, 0.0, balance="mean")
        torch.testing.assert_close(loss(torch.zeros(2, 1), guess)[text], expected)


@pytest.mark.parametrize("text", ALL)
def test_each_image_is_observed_and_imposed_on_as_if_alone(text):
    truth, guess = images(3), random_images(3)
    together = asked(text, truth)
    sight, values = parse_operator(text), simulate(parse_operator(text), truth, range(3))
    for i in range(3):
        alone = to_incomplete(sight, values[i : i + 1], torch.ones(1, 1, 32, 32), 3)
        torch.testing.assert_close(together.impose(guess)[i : i + 1], alone.impose(guess[i : i + 1]), atol=1e-5, rtol=0)
        torch.testing.assert_close(
            together.observations[0].data_fidelity(guess)[i], alone.observations[0].data_fidelity(guess[i : i + 1])[0]
        )


@pytest.mark.parametrize("text", ALL)
def test_the_loss_shows_the_way(text):
    guess = (random_images(2) / 2).requires_grad_()
    loss = asked(text, images()).observations[0].data_fidelity(guess)
    (gradient,) = torch.autograd.grad(loss.sum(), guess)
    assert gradient.isfinite().all() and (gradient.flatten(1).abs().sum(1) > 0).all()
    assert (asked(text, images()).observations[0].data_fidelity((guess - 1e-3 * gradient).detach()) < loss).all()


def test_observations_are_repeated_selected_moved_and_joined_with_their_images():
    truth = images(3)
    grey = asked("grey", truth)
    assert torch.equal(grey.repeat(2).observations[0].seen, grey.observations[0].seen.repeat_interleave(2, 0))
    assert torch.equal(grey.select([2, 0]).to("cpu").observations[0].seen, grey.observations[0].seen[[2, 0]])
    parts = [grey.select(slice(0, 1)), Incomplete(truth[:2], left_half_missing(2)), asked("levels:8", truth), grey]
    whole = concatenate(parts)
    assert [one.operator.name for one in whole.observations] == ["grey", "levels:8"]
    guess = random_images(9)
    first = 0
    for part in parts:
        rows = slice(first, first + len(part))
        torch.testing.assert_close(whole.select(rows).impose(guess[rows]), part.impose(guess[rows]))
        loss, expected = (
            CompletionLoss(q, forbidden, 0.0)(torch.zeros(len(part), 1), guess[rows])
            for q in (whole.select(rows), part)
        )
        torch.testing.assert_close(sum(loss.values()), sum(expected.values()))
        first = rows.stop


def test_several_observations_of_one_image_count_together():
    truth, known = images(), left_half_missing(2)
    small = asked("lowres:4", truth, 1 - known).observations
    both = Incomplete(truth * known, known, observations=(*asked("grey", truth).observations, *small))
    imposed = both.impose(random_images(2))
    assert torch.equal(imposed[..., 16:], truth[..., 16:])
    assert both.observations[1].residual(imposed).abs().max() < 0.01 * GREY_LEVEL
    assert torch.equal(both.shown[0][..., 16:], truth[..., 16:]) and (both.shown[1] == 1).all()


def test_what_does_not_fit_is_refused():
    grey = asked("grey", images()).observations[0]
    with pytest.raises(ValueError, match="names of their own, not grey, grey"):
        Incomplete(images(), torch.zeros(2, 1, 32, 32), observations=(grey, grey))
    with pytest.raises(ValueError, match="but grey was seen of 2 images"):
        Incomplete(images(3), torch.zeros(3, 1, 32, 32), observations=(grey,))
    with pytest.raises(ValueError, match=r"where should be \(2, 1, 32, 32\), not \(2, 1, 8, 8\)"):
        Observation(parse_operator("grey"), grey.seen, torch.ones(2, 1, 8, 8))
    with pytest.raises(LatentfillError, match="lowres:3 needs sides that are multiples of 3, not 32 x 32"):
        asked("lowres:3", images())
    with pytest.raises(LatentfillError, match=r"lowres:8.jpeg:5 needs sides that are multiples of 64"):
        asked("lowres:8+jpeg:5", images())


def test_noise_depends_on_its_own_seed_alone_and_is_as_strong_as_said():
    sight, truth = parse_operator("noise:30"), images(3)
    noise = (simulate(sight, truth, [5, 6, 7]) - truth) / GREY_LEVEL
    assert abs(noise.std().item() - 30) < 0.6 and abs(noise.mean().item()) < 1
    assert abs((noise[0] * noise[1]).mean().item()) < 50  # of 900: each has its own
    torch.testing.assert_close(
        simulate(sight, truth[1:2], [6]) - truth[1:2], noise[1:2] * GREY_LEVEL, atol=1e-5, rtol=0
    )


@dataclass
class Linear:
    """Draws a sum of smooth images, as many as z has numbers."""

    prior: object = field(default_factory=lambda: NormalPrior(4))

    def __call__(self, z):
        rng = torch.Generator().manual_seed(2)
        coarse = torch.randn(self.prior.dim, 3, 4, 4, generator=rng) / 8
        return torch.einsum("nd,dchw->nchw", z, torch.nn.functional.interpolate(coarse, (16, 16), mode="bilinear"))


@pytest.mark.parametrize("text", ["lowres:4", "grey", "noise:5", "levels:32", "jpeg:90", "grey+lowres:4"])
def test_a_search_finds_the_latent_of_what_was_observed(text):
    generator = Linear()
    z = torch.tensor([[0.6, -0.8, 0.3, 0.9], [-0.5, 0.2, 0.7, -0.4]])
    asking = asked(text, generator(z))
    gan = Gan(generator, lambda images: images.sum((1, 2, 3)), NETWORK)
    options = CompleteOptions(steps=400, learning_rate=0.03, lam=0.0, balance="mean", precision="fp32")
    found = complete(gan, asking, options)
    assert (found.z - z).abs().max() < 0.2
    assert (asking.impose(found.images) - generator(z)).abs().mean() < 3 * GREY_LEVEL
