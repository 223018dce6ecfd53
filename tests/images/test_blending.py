import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latentfill.images import blending
from latentfill.images.blending import Factors, overlay, poisson
from latentfill.images.incomplete import Incomplete


def uniform(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def question(holes, channels=3):
    """An image per hole; `holes` are nested lists or arrays with 1 where a pixel is to be found."""
    known = 1 - torch.as_tensor(np.array(holes), dtype=torch.float32)[:, None]
    n, _, h, w = known.shape
    return Incomplete(uniform(n, channels, h, w), known), uniform(n, channels, h, w, seed=1)


def dense(known, y, g):
    """The same minimum by least squares over every pair of neighbours with an end in the hole; 2-d float64."""
    h, w = known.shape
    number = np.full((h, w), -1)
    number[known == 0] = np.arange((known == 0).sum())
    rows, right = [], []
    for i in range(h):
        for j in range(w):
            for k, m in ((i + 1, j), (i, j + 1)):
                if k >= h or m >= w or (known[i, j] and known[k, m]):
                    continue
                row, value = np.zeros(number.max() + 1), g[i, j] - g[k, m]
                for at, sign in (((i, j), 1), ((k, m), -1)):
                    if known[at]:
                        value -= sign * y[at]
                    else:
                        row[number[at]] = sign
                rows.append(row)
                right.append(value)
    x = y.copy()
    x[known == 0] = np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0]
    return x


HOLES = {
    "inside": np.s_[2:5, 1:4],
    "one pixel": np.s_[3:4, 3:4],
    "corner": np.s_[:3, :2],
    "left half": np.s_[:, :4],
    "all but one": np.s_[:, :],
}


def a_hole(name):
    hole = np.zeros((7, 8))
    hole[HOLES[name]] = 1
    if name == "all but one":
        hole[4, 5] = 0
    return hole


@pytest.mark.parametrize("name", HOLES)
def test_poisson_equals_a_dense_solve(name):
    incomplete, generated = question([a_hole(name)])
    incomplete, generated = Incomplete(incomplete.images / 8, incomplete.known), generated / 8  # nothing to clip
    found = poisson(incomplete, generated)
    for c in range(3):
        y, g = (t[0, c].double().numpy() for t in (incomplete.images, generated))
        np.testing.assert_allclose(found[0, c].numpy(), dense(incomplete.known[0, 0].numpy(), y, g), atol=1e-6)


holes = st.lists(st.lists(st.integers(0, 1), min_size=5, max_size=5), min_size=4, max_size=4)


@settings(deadline=None, max_examples=60)
@given(holes.filter(lambda hole: not np.all(hole)))
def test_poisson_equals_a_dense_solve_for_any_hole(hole):
    incomplete, generated = question([hole], channels=1)
    y, g = (t[0, 0].double().numpy() for t in (incomplete.images, generated))
    expected = np.clip(dense(incomplete.known[0, 0].numpy(), y, g), -1, 1) if np.any(hole) else y
    np.testing.assert_allclose(poisson(incomplete, generated)[0, 0].numpy(), expected, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(st.lists(holes, min_size=1, max_size=4), st.sampled_from([overlay, poisson]))
def test_known_pixels_are_kept_to_the_bit(many, blend):
    incomplete, generated = question(many)
    incomplete.images[:, :, 1] *= -0.0
    incomplete.images[:, :, 2] *= 7
    generated[:, :, 0] = float("nan")
    generated[:, :, 1] = -0.0
    known = incomplete.known.expand_as(generated) == 1
    found, given_bits = (t[known].view(torch.int32) for t in (blend(incomplete, generated), incomplete.images))
    assert torch.equal(found, given_bits)


@pytest.mark.parametrize("blend", [overlay, poisson])
def test_hidden_pixels_are_not_looked_at(blend):
    incomplete, generated = question([a_hole("inside"), a_hole("left half")])
    hidden = incomplete.known.expand_as(generated) == 0
    for secret in (0.5, 1e30, float("nan"), float("inf")):
        other = Incomplete(torch.where(hidden, secret, incomplete.images), incomplete.known)
        assert torch.equal(blend(other, generated), blend(incomplete, generated))


def test_overlay_takes_the_hole_from_the_generated_image():
    incomplete, generated = question([a_hole("corner")])
    hidden = incomplete.known.expand_as(generated) == 0
    assert torch.equal(overlay(incomplete, generated)[hidden], generated[hidden])


@pytest.mark.parametrize("blend", [overlay, poisson])
def test_no_hole_is_the_image_and_no_known_pixel_the_generated_one(blend):
    incomplete, generated = question([np.zeros((4, 4)), np.ones((4, 4))])
    found = blend(incomplete, generated)
    assert torch.equal(found[0], incomplete.images[0]) and torch.equal(found[1], generated[1])


def test_poisson_of_the_right_picture_changes_nothing():
    incomplete, _ = question([a_hole("left half")])
    torch.testing.assert_close(poisson(incomplete, incomplete.images), incomplete.images)


def test_poisson_removes_an_offset():
    incomplete, _ = question([a_hole("inside"), a_hole("corner")])
    incomplete = Incomplete(incomplete.images / 2, incomplete.known)
    torch.testing.assert_close(poisson(incomplete, incomplete.images - 0.4), incomplete.images)


def test_poisson_stays_in_range():
    incomplete = Incomplete(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 3, 3).index_fill(2, torch.tensor([1]), 0))
    generated = torch.tensor([[-1.0] * 3, [1.0] * 3, [-1.0] * 3])[None, None]
    assert torch.equal(poisson(incomplete, generated), torch.ones(1, 1, 3, 3))


@pytest.mark.parametrize("blend", [overlay, poisson])
def test_each_image_is_blended_as_if_alone(blend):
    names = ["inside", "corner", "inside", "left half", "corner"]
    incomplete, generated = question([a_hole(name) for name in names])
    together = blend(incomplete, generated)
    for i in range(len(names)):
        alone = blend(incomplete.select([i]), generated[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=1e-7)


@pytest.mark.parametrize("blend", [overlay, poisson])
def test_half_precision_is_blended_in_that_of_the_image(blend):
    incomplete, generated = question([a_hole("inside")])
    assert blend(incomplete, generated.bfloat16()).dtype == torch.float32


def test_a_hole_is_factored_once(monkeypatch):
    solved = []
    monkeypatch.setattr(blending, "FACTORS", Factors(1000))
    monkeypatch.setattr(blending, "splu", lambda *a, _splu=blending.splu, **k: solved.append(1) or _splu(*a, **k))
    incomplete, generated = question([a_hole("inside"), a_hole("corner"), a_hole("inside")])
    poisson(incomplete, generated)
    poisson(incomplete, generated)
    assert len(solved) == 2


def test_factors_are_bounded():
    factors = Factors(budget=20)
    holes = [np.roll(a_hole("inside") == 1, i, axis=1) for i in range(4)]  # 9 pixels each
    for hole in holes:
        factors.factor(hole)
    assert len(factors.kept) == 2
    assert factors.factor(holes[3]) is factors.factor(holes[3])
    factors.factor(np.ones((7, 8), bool) & (a_hole("one pixel") == 0))  # larger than the budget alone
    assert len(factors.kept) == 1


@pytest.mark.parametrize("blend", [overlay, poisson])
def test_shapes_must_agree(blend):
    incomplete, generated = question([a_hole("inside")])
    with pytest.raises(ValueError, match=r"\(1, 3, 7, 8\) but generated is \(1, 1, 7, 8\)"):
        blend(incomplete, generated[:, :1])
