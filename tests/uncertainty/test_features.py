from dataclasses import replace

import pytest
import torch

from latentfill.completion.complete import complete
from latentfill.completion.held_out import choose_hidden
from latentfill.gan import model_file
from latentfill.images.incomplete import Incomplete
from latentfill.options import COMPLETE_PRESETS, NetworkOptions
from latentfill.seeds import Stream
from latentfill.uncertainty.features import GUESSES, HIDDEN, extract_features

FAST, BEST = (replace(COMPLETE_PRESETS[name], precision="fp32") for name in ("fast", "best"))
BEST = replace(BEST, tune_steps=2)


@pytest.fixture(scope="module")
def gan():
    network = NetworkOptions(size=16, base=4, latent=6)
    encoder = model_file.build_encoder(network, 4, 8).requires_grad_(False).eval()
    return replace(model_file.build(network), encoder=encoder)


def ask(n=3, hole_value=None):
    images = torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    known = torch.ones(n, 1, 16, 16)
    known[0, :, 4:12, 4:12] = 0
    known[1:, :, 3:6, 2:14] = 0
    if hole_value is not None:
        images = torch.where(known == 1, images, hole_value)
    return Incomplete(images, known)


@pytest.mark.parametrize("options", [FAST, BEST])
def test_the_hole_is_never_looked_at(gan, options):
    found = []
    for value in (0.3, -9.0, torch.nan):
        incomplete = ask(hole_value=value)
        found.append(extract_features(gan, incomplete, complete(gan, incomplete, options), options))
    for other in found[1:]:
        for name, values in found[0].numbers.items():
            assert values.isfinite().all() and torch.equal(values, other.numbers[name]), name
        for name, levels in found[0].maps.items():
            assert levels.isfinite().all() and torch.equal(levels, other.maps[name]), name


def test_held_out_pixels_are_not_shown_to_the_guess_that_is_measured_by_them(gan):
    shown = []

    class Watched:
        def __call__(self, images, known):
            shown.append((images.clone(), known.clone()))
            return gan.encoder(images, known)

    incomplete = ask()
    completion = complete(gan, incomplete, BEST)
    found = extract_features(replace(gan, encoder=Watched()), incomplete, completion, BEST)
    assert len(shown) == 1 + GUESSES and found.held_out is not None
    for i, (images, known) in enumerate(shown[1:]):
        hidden = choose_hidden(incomplete.known, HIDDEN, Stream.GUESSES.key(BEST.seed, i))
        assert (hidden.sum((1, 2, 3)) > 3).all()
        assert not (known * hidden).any() and not (images * hidden).any()


def test_an_image_alone_has_the_features_it_has_among_others(gan):
    incomplete = ask()
    together = extract_features(gan, incomplete, complete(gan, incomplete, BEST), BEST)
    for row in range(3):
        one = incomplete.select(slice(row, row + 1))
        alone = extract_features(gan, one, complete(gan, one, BEST), BEST)
        for name, values in together.numbers.items():
            assert values[row].item() == pytest.approx(alone.numbers[name].item(), abs=2e-3), name
        assert torch.allclose(together.spread[row], alone.spread[0], atol=0.1)


def test_only_where_it_takes_little_further_guesses_are_made(gan):
    incomplete = ask()
    fast = extract_features(gan, incomplete, complete(gan, incomplete, FAST), FAST)
    assert fast.held_out is None and fast.spread is None and "spread" not in fast.numbers
    best = extract_features(gan, incomplete, complete(gan, incomplete, BEST), BEST)
    assert best.held_out.shape == (3,) and best.spread.shape == (3, 1, 16, 16) and (best.spread > 0).all()
    alone = replace(gan, encoder=None)
    assert extract_features(alone, incomplete, complete(alone, incomplete, BEST), BEST).held_out is None


def test_depths_are_distances_to_the_nearest_known_pixel():
    gan = model_file.build(NetworkOptions(size=64, base=2, latent=3))
    images, known = torch.zeros(1, 3, 64, 64), torch.ones(1, 1, 64, 64)
    known[..., 10:13, 10:13] = 0
    incomplete, options = Incomplete(images, known), replace(FAST, steps=0)
    found = extract_features(gan, incomplete, complete(gan, incomplete, options), options)
    assert found.numbers["depth"].exp() == pytest.approx((8 * 1 + 2) / 9)
    assert found.maps["depth"][0, 0, 11, 11].exp() == pytest.approx(2)
    assert found.numbers["share"] == pytest.approx(9 / 4096)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_with_nothing_known_or_nothing_missing_what_cannot_be_told_is_no_number(gan, value):
    incomplete = Incomplete(torch.zeros(1, 3, 16, 16), torch.full((1, 1, 16, 16), value))
    found = extract_features(gan, incomplete, complete(gan, incomplete, BEST), BEST)
    assert found.numbers["agreement"].isnan() == (value == 0)
    assert found.numbers["share"] == 1 - value
