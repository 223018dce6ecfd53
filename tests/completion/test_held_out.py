from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latentfill.completion.complete import complete, watch
from latentfill.completion.held_out import choose_hidden, hide_pixels, rmse
from latentfill.gan.gan import Gan, UniformPrior
from latentfill.images.incomplete import Incomplete
from latentfill.options import CompleteOptions
from latentfill.seeds import Stream


def some_images(n, side=16):
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


def hole(side=16, *, scattered=False):
    known = torch.ones(1, 1, side, side)
    if scattered:
        known = (torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(1)) < 0.2).float()
    else:
        known[..., side // 4 : -side // 4, side // 4 : -side // 4] = 0
    return known


class Linear:
    """G(z) = W z."""

    prior = UniformPrior(5)

    def __init__(self, side=16):
        self.side = side
        self.weight = torch.randn(3 * side**2, 5, generator=torch.Generator().manual_seed(0)) / 4

    def __call__(self, z):
        return (z @ self.weight.T).view(-1, 3, self.side, self.side)


def flat_discriminator(images):
    return images.new_zeros(len(images))


def an_encoder(images, known):
    """All that it is shown reaches every latent."""
    return torch.tanh((images * known).flatten(1)[:, : 5 * 153].view(len(images), 5, 153).sum(2) + known.mean())


@pytest.mark.parametrize("scattered", [False, True])
@given(share=st.floats(0, 0.5), seed=st.integers(0, 2**64))
@settings(max_examples=30, deadline=None)
def test_what_is_hidden_was_known_and_about_as_much_as_asked_for(scattered, share, seed):
    known = hole(64, scattered=scattered)
    hidden = choose_hidden(known, share, seed)
    assert set(hidden.unique().tolist()) <= {0.0, 1.0}
    assert (hidden <= known).all()
    over = float(hidden.sum() - share * known.sum())
    assert -1e-3 <= over <= 64 and (share > 0 or over == 0)  # the last block may be too much


def test_blocks_are_like_the_hole_and_beside_it():
    known = hole(64)
    hidden = choose_hidden(known, 0.1, 3)[0, 0].bool()
    rows, columns = hidden.nonzero().T
    outside = torch.maximum((rows - 31.5).abs(), (columns - 31.5).abs()) - 16
    assert outside.max() <= 16 and outside.min() > 0
    runs = np.diff(np.flatnonzero(np.diff(np.pad(hidden.numpy().astype(int), ((0, 0), (1, 1))).ravel())))[::2]
    assert runs.mean() > 3  # of a piece
    scattered = choose_hidden(hole(64, scattered=True), 0.1, 3)
    assert 60 < scattered.sum() < 100  # a tenth of a fifth of 4096, pixel by pixel


def test_the_choice_depends_on_the_hole_and_the_seed_alone():
    one, other = hole(), hole(scattered=True)
    together = choose_hidden(torch.cat([one, other, one]), 0.1, 7)
    assert torch.equal(together[:1], choose_hidden(one, 0.1, 7)) and torch.equal(
        together[1:2], choose_hidden(other, 0.1, 7)
    )
    assert torch.equal(together[0], together[2])
    assert not torch.equal(together[:1], choose_hidden(one, 0.1, 8))


@pytest.mark.parametrize("known", [0.0, 1.0])
def test_where_nothing_or_all_is_known_nothing_is_hidden(known):
    assert not choose_hidden(torch.full((1, 1, 16, 16), known), 0.1, 0).any()


def test_the_error_is_in_grey_levels_where_one_looks():
    images = torch.zeros(2, 3, 16, 16)
    where = torch.zeros(2, 1, 16, 16)
    where[0, 0, :2] = 1
    made = images.clone()
    made[:, :, 0] = 2 * 10 / 255  # ten grey levels in one of two rows
    found = rmse(made, Incomplete(images, torch.ones(2, 1, 16, 16)), where)
    assert found[0].item() == pytest.approx((100 / 2) ** 0.5, rel=1e-5) and found[1].isnan()


@pytest.mark.parametrize("start", ["random", "encoder"])
@pytest.mark.parametrize("context", ["l1", "weighted"])
def test_hidden_pixels_never_leak_into_the_search(start, context):
    """Whatever the hidden pixels hold, NaN included, every latent on the way is the same."""
    images, known = some_images(2), hole().repeat(2, 1, 1, 1)
    gan = Gan(Linear(), flat_discriminator, encoder=an_encoder)
    options = CompleteOptions(
        steps=6,
        learning_rate=0.05,
        start=start,
        held_out=0.1,
        attempts=3,
        context=context,
        prune=True,
        precision="fp32",
    )
    hidden = choose_hidden(known, 0.1, Stream.HELD_OUT.key(options.seed))
    assert hidden.sum() > 20
    paths = []
    for there in (torch.nan, 0.0, 1.0):
        changed = torch.where(hidden == 1, there, images)
        alone = replace(options, attempts=1, prune=False)  # with one attempt, the hidden pixels choose nothing either
        paths.append([c.z for c in watch(gan, Incomplete(changed, known), alone) if c.number < 6])
    for path in paths[1:]:
        assert all(torch.equal(a, b) for a, b in zip(paths[0], path, strict=True))
    visible = hide_pixels(Incomplete(images, known), hidden)
    assert not (visible.images * hidden).any() and not (visible.known * hidden).any()


def test_the_attempt_that_meets_the_hidden_pixels_is_chosen_and_its_error_told():
    gan = Gan(Linear(), flat_discriminator)
    images, known = some_images(2), hole().repeat(2, 1, 1, 1)
    options = CompleteOptions(steps=4, held_out=0.15, attempts=5, candidates=3, precision="fp32")
    found = list(watch(gan, Incomplete(images, known), options))
    assert [c.number for c in found] == list(range(5)) and {c.total for c in found} == {4}
    hidden = choose_hidden(known, 0.15, Stream.HELD_OUT.key(options.seed))
    for completion in found[:-1]:
        errors = torch.stack([c.held_out for c in completion.candidates])
        assert (errors.diff(dim=0) >= 0).all()  # the best first
        for one in completion.candidates:
            torch.testing.assert_close(one.held_out, rmse(one.images, Incomplete(images, known), hidden))
    by_loss = complete(gan, Incomplete(images, known), replace(options, held_out=0.0))
    assert not torch.equal(found[-1].attempt, by_loss.attempt) and by_loss.held_out is None


def test_in_the_end_all_known_pixels_count():
    gan = Gan(Linear(), flat_discriminator, encoder=an_encoder)
    images, known = some_images(1), hole()
    whole = complete(gan, Incomplete(images, known), CompleteOptions(steps=0, start="encoder", precision="fp32"))
    held = complete(
        gan, Incomplete(images, known), CompleteOptions(steps=0, start="encoder", held_out=0.1, precision="fp32")
    )
    torch.testing.assert_close(held.z, whole.z)
    assert whole.held_out is None and held.held_out > 0
