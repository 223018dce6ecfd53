from dataclasses import dataclass

import numpy as np
import pytest
import torch

from latentfill.completion.objective import (
    CompletionLoss,
    block_means,
    contextual,
    contextual_weights,
    lowres,
    non_saturating,
    saturating,
)
from latentfill.images.incomplete import Incomplete


def random_images(n, size=8, channels=3, seed=0):
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def random_known(n, size=8, share=0.6, seed=1):
    return (torch.rand(n, 1, size, size, generator=torch.Generator().manual_seed(seed)) < share).float()


@dataclass
class Verdict:
    """A discriminator that has made up its mind."""

    logits: torch.Tensor

    def __call__(self, images):
        return self.logits + 0 * images.sum((1, 2, 3))


def forbidden(images):
    raise RuntimeError("D was asked")


def test_the_contextual_loss_is_the_l1_norm_over_known_values():
    incomplete = Incomplete(random_images(2), random_known(2))
    images = random_images(2, seed=5)
    y, known, g = (t.numpy() for t in (incomplete.images, incomplete.known, images))
    expected = [np.abs(known[i] * g[i] - known[i] * y[i]).sum() for i in range(2)]
    np.testing.assert_allclose(contextual(incomplete, images), expected, rtol=1e-5)


def test_what_the_hole_hides_does_not_matter():
    images, known = random_images(1), random_known(1)
    other = torch.where(known > 0, images, random_images(1, seed=9))
    loss = [CompletionLoss(Incomplete(y, known), forbidden, lam=0.0, context="weighted") for y in (images, other)]
    drawn = random_images(1, seed=3)
    assert torch.equal(*(a(torch.zeros(1, 1), drawn)["contextual"] for a in loss))


@pytest.mark.parametrize(("size", "window"), [(8, 7), (8, 3), (8, 1), (2, 7)])
def test_weights_are_the_share_of_missing_pixels_around_a_known_one(size, window):
    known = random_known(2, size)
    margin = window // 2
    expected = np.zeros(known.shape)
    for i, image in enumerate(known[:, 0].numpy()):
        around = np.pad(image, margin, mode="symmetric")
        for row in range(size):
            for column in range(size):
                if image[row, column] == 1:
                    expected[i, 0, row, column] = (around[row : row + window, column : column + window] == 0).mean()
    np.testing.assert_allclose(contextual_weights(known, window), expected, atol=1e-6)


def test_weights_are_largest_beside_the_hole_and_zero_inside_and_far_away():
    known = torch.ones(1, 1, 16, 16)
    known[..., :4] = 0
    row = contextual_weights(known)[0, 0, 8]
    torch.testing.assert_close(row[:9], torch.tensor([0, 0, 0, 0, 3, 2, 1, 0, 0]) / 7)


@pytest.mark.parametrize("window", [6, 0, -1])
def test_a_window_without_a_middle_is_refused(window):
    with pytest.raises(ValueError, match=f"odd side, such as 7, not {window}"):
        contextual_weights(torch.ones(1, 1, 8, 8), window)


def test_the_paper_weighs_the_difference():
    incomplete = Incomplete(random_images(2), random_known(2))
    images = random_images(2, seed=5)
    loss = CompletionLoss(incomplete, forbidden, lam=0.0, context="weighted", window=5)
    expected = (contextual_weights(incomplete.known, 5) * (images - incomplete.images)).abs().sum((1, 2, 3))
    torch.testing.assert_close(loss(torch.zeros(2, 1), images)["contextual"], expected)


def test_the_low_resolution_term_compares_block_means():
    y, g = random_images(2, 16), random_images(2, 16, seed=5)
    given = torch.tensor([[[[1.0, 0.0], [1.0, 1.0]]], [[[0.0, 0.0], [0.0, 0.0]]]])
    incomplete = Incomplete(y, torch.zeros(2, 1, 16, 16), given)
    expected = np.zeros(2)
    for i, channel, row, column in np.ndindex(2, 3, 2, 2):
        block = (i, channel, slice(8 * row, 8 * row + 8), slice(8 * column, 8 * column + 8))
        expected[i] += given[i, 0, row, column] * abs(g.numpy()[block].mean() - y.numpy()[block].mean())
    np.testing.assert_allclose(lowres(incomplete, g), expected, atol=1e-5)
    assert expected[0] > 0 and expected[1] == 0
    assert block_means(y).shape == (2, 3, 2, 2)


def test_the_low_resolution_term_is_named_only_where_it_is_given():
    y, known = random_images(2, 16), torch.zeros(2, 1, 16, 16)
    without, given = Incomplete(y, known), Incomplete(y, known, torch.ones(2, 1, 2, 2))
    images, z = random_images(2, 16, seed=5), torch.zeros(2, 1)
    assert set(CompletionLoss(without, forbidden, lam=0.0)(z, images)) == {"contextual", "perceptual"}
    assert lowres(without, images).tolist() == [0, 0]
    terms = CompletionLoss(given, forbidden, lam=0.0)(z, images)
    torch.testing.assert_close(terms["lowres"], lowres(given, images))
    averaged = CompletionLoss(given, forbidden, lam=0.0, balance="mean")(z, images)
    torch.testing.assert_close(averaged["lowres"], lowres(given, images) / (3 * 4))


def test_the_perceptual_losses_are_logarithms_of_the_discriminators_probability():
    logits = torch.linspace(-5, 5, 11)
    probability = 1 / (1 + np.exp(-logits.double().numpy()))
    np.testing.assert_allclose(non_saturating(logits), -np.log(probability), rtol=1e-4)
    np.testing.assert_allclose(saturating(logits), np.log(1 - probability), rtol=1e-4)


def test_the_perceptual_losses_are_stable_when_the_discriminator_is_certain():
    logits = torch.tensor([-100.0, 100.0], requires_grad=True)
    for form, expected, slope in (
        (non_saturating, [100.0, 0.0], [-1.0, 0.0]),
        (saturating, [0.0, -100.0], [0.0, -1.0]),
    ):
        values = form(logits)
        np.testing.assert_allclose(values.detach(), expected, atol=1e-30)
        np.testing.assert_allclose(torch.autograd.grad(values.sum(), logits)[0], slope, atol=1e-30)


@pytest.mark.parametrize(("form", "function"), [("non-saturating", non_saturating), ("saturating", saturating)])
def test_lam_weighs_the_perceptual_loss(form, function):
    incomplete = Incomplete(random_images(2), random_known(2))
    logits = torch.tensor([1.5, -2.0])
    loss = CompletionLoss(incomplete, Verdict(logits), lam=0.25, perceptual=form)
    images = random_images(2, seed=5)
    terms = loss(torch.zeros(2, 1), images)
    torch.testing.assert_close(terms["perceptual"], 0.25 * function(logits))
    assert torch.equal(terms["contextual"], contextual(incomplete, images))


def test_without_weight_the_discriminator_is_not_asked():
    loss = CompletionLoss(Incomplete(random_images(2), random_known(2)), forbidden, lam=0.0)
    assert loss(torch.zeros(2, 1), random_images(2))["perceptual"].tolist() == [0, 0]


@pytest.mark.parametrize("context", ["l1", "weighted"])
def test_the_mean_means_the_same_for_every_size_and_hole(context):
    losses = {}
    for balance in ("sum", "mean"):
        for size in (8, 16):
            y, known = torch.zeros(1, 3, size, size), torch.ones(1, 1, size, size)
            known[..., : size // 2] = 0
            loss = CompletionLoss(Incomplete(y, known), Verdict(torch.zeros(1)), 0.1, context, balance=balance)
            losses[balance, size] = loss(torch.zeros(1, 1), torch.full_like(y, 0.5))
    for size in (8, 16):
        assert losses["mean", size]["contextual"].item() == pytest.approx(0.5)  # every value differs by 0.5
    if context == "l1":
        assert [losses["sum", size]["contextual"].item() for size in (8, 16)] == [0.5 * 3 * 32, 0.5 * 3 * 128]
    perceptual = [terms["perceptual"].item() for terms in losses.values()]
    assert perceptual == [perceptual[0]] * 4  # the convention is about the contextual side alone


@pytest.mark.parametrize("balance", ["sum", "mean"])
@pytest.mark.parametrize("context", ["l1", "weighted"])
def test_images_known_wholly_or_not_at_all_have_a_loss(context, balance):
    known = torch.stack([torch.ones(1, 8, 8), torch.zeros(1, 8, 8)])
    y, images = random_images(2), random_images(2, seed=5).requires_grad_()
    loss = CompletionLoss(Incomplete(y, known), Verdict(torch.zeros(2)), 0.1, context, balance=balance)
    terms = loss(torch.zeros(2, 1), images)
    (gradient,) = torch.autograd.grad(terms["contextual"].sum(), images)
    whole, nothing = terms["contextual"].tolist()
    assert whole > 0 and nothing == 0  # a whole image is projected, as the original's mask "full" did
    assert gradient.isfinite().all() and gradient[0].abs().sum() > 0 and gradient[1].abs().sum() == 0


def test_images_of_another_shape_than_the_generators_are_refused():
    grey = Incomplete(random_images(1, channels=1), random_known(1))
    with pytest.raises(ValueError, match=r"complete are \(1, 1, 8, 8\) but the generator draws \(1, 3, 8, 8\)"):
        CompletionLoss(grey, forbidden, lam=0.0)(torch.zeros(1, 1), random_images(1))
