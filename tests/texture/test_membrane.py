import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latentfill.images.blending import poisson
from latentfill.images.incomplete import Incomplete
from latentfill.texture import membrane
from latentfill.texture.membrane import solve_laplace


def drawn(*shape, seed=0):
    return np.random.Generator(np.random.Philox(key=seed)).random(shape)


def dense(values, inside, absent):
    """The same minimum by least squares over every pair of neighbours with an end in the hole."""
    h, w = inside.shape
    number = np.full((h, w), -1)
    number[inside] = np.arange(inside.sum())
    rows, right = [np.zeros(inside.sum())], [np.zeros(values.shape[2])]
    for i in range(h):
        for j in range(w):
            for at, other in (((i, j), (i + 1, j)), ((i, j), (i, j + 1))):
                if other[0] >= h or other[1] >= w or absent[at] or absent[other]:
                    continue
                row, value = np.zeros(inside.sum()), np.zeros(values.shape[2])
                for p, sign in ((at, 1), (other, -1)):
                    if inside[p]:
                        row[number[p]] = sign
                    else:
                        value -= sign * values[p]
                if row.any():
                    rows.append(row)
                    right.append(value)
    result = values.copy()
    result[inside] = np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0]
    return result


grids = st.lists(st.lists(st.sampled_from([0, 1, 1, 2]), min_size=6, max_size=6), min_size=5, max_size=5)


@settings(deadline=None, max_examples=60)
@given(grids)
def test_small_holes_equal_a_dense_solve(grid):
    """1 is in the hole, 2 is absent."""
    inside, absent = np.array(grid) == 1, np.array(grid) == 2
    values = 255 * drawn(5, 6, 2)
    np.testing.assert_allclose(solve_laplace(values, inside, absent), dense(values, inside, absent), atol=1e-3)


def large(name, h=130, w=150):
    y, x = np.mgrid[:h, :w]
    return {
        "ellipse": ((y - 65) / 60) ** 2 + ((x - 75) / 70) ** 2 < 1,
        "corner": (y > 45) & (x < 95),
        "rings": np.hypot(y - 65, x - 75) % 40 > 15,
        "strokes": (x + 2 * y) % 50 < 12,
        "scattered": drawn(h, w) < 0.6,
        "all but one": (y != 50) | (x != 37),
    }[name]


@pytest.mark.parametrize("name", ["ellipse", "corner", "rings", "strokes", "scattered", "all but one"])
@pytest.mark.parametrize("direct", [10**9, 0])
def test_large_holes_equal_an_exact_solve(name, direct, monkeypatch):
    monkeypatch.setattr(membrane, "DIRECT", direct)
    inside, values = large(name), drawn(130, 150, 3)
    images = torch.from_numpy(values).permute(2, 0, 1)[None]
    exact = poisson(Incomplete(images, torch.from_numpy(~inside).double()[None, None]), torch.zeros_like(images))
    found = solve_laplace(255 * values, inside)
    assert np.abs(found - 255 * exact[0].permute(1, 2, 0).numpy()).max() < 0.25


def test_a_large_hole_takes_few_unknowns(monkeypatch):
    sizes = []
    monkeypatch.setattr(membrane, "_solve", lambda a, b, solve=membrane._solve: sizes.append(len(b)) or solve(a, b))
    inside = np.zeros((500, 500), bool)
    inside[20:480, 20:480] = True
    solve_laplace(drawn(500, 500, 1), inside)
    assert sizes[0] < inside.sum() / 6


@pytest.mark.parametrize("name", ["ellipse", "rings", "strokes", "scattered"])
def test_a_plane_is_continued_exactly(name):
    y, x = np.mgrid[:130, :150] / 1.0
    values = np.stack([x, 200 - y, x / 3 + y / 5], -1)
    inside = np.pad(large(name)[1:-1, 1:-1], 1)  # at the border nothing would hold it
    hidden = np.where(inside[..., None], 1e9, values)
    assert np.abs(solve_laplace(hidden, inside) - values).max() < 0.01


@settings(deadline=None, max_examples=20)
@given(st.integers(3, 90), st.integers(3, 90), st.floats(0.02, 0.98), st.integers(0, 999))
def test_it_stays_between_what_holds_it_and_leaves_that_alone(h, w, share, seed):
    inside, values = drawn(h, w, seed=seed) < share, drawn(h, w, 1, seed=seed + 1).astype(np.float32)
    inside[0, 0] = False
    found = solve_laplace(values, inside)
    held = values[~inside]
    assert np.array_equal(found[~inside], held)
    assert found.min() >= held.min() - 1e-3 and found.max() <= held.max() + 1e-3


def test_what_nothing_holds_is_0():
    values, inside = np.ones((40, 40, 1)), np.ones((40, 40), bool)
    assert not solve_laplace(values, inside).any()
    absent = np.zeros((40, 40), bool)
    absent[5:15, 5:15], inside[30] = True, False
    inside[8:12, 8:12] = True
    absent[8:12, 8:12] = False
    found = solve_laplace(values, inside, absent)
    assert not found[8:12, 8:12].any() and np.allclose(found[20:30], 1, atol=1e-4)


def test_no_hole_is_no_change():
    values = drawn(5, 7, 3)
    assert np.array_equal(solve_laplace(values, np.zeros((5, 7), bool)), values.astype(np.float32))


def test_sizes_must_agree():
    with pytest.raises(ValueError, match=r"values are \(5, 7, 3\) but the hole is \(5, 6\)"):
        solve_laplace(drawn(5, 7, 3), np.zeros((5, 6), bool))
