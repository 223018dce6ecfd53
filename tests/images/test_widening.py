import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentfill.images import hole_pictures as widening
from latentfill.images.hole_pictures import grow, growth_to_reach


def disc_by_disc(hole, pixels):
    rows, columns = np.mgrid[: hole.shape[0], : hole.shape[1]]
    grown = np.zeros(hole.shape, bool)
    for y, x in np.argwhere(hole):
        grown |= (rows - y) ** 2 + (columns - x) ** 2 <= pixels**2
    return grown


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 12), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_a_hole_grows_by_a_disc_in_whatever_bands_it_is_measured(height, width, pixels, seed):
    hole = np.where(np.random.default_rng(seed).random((height, width)) < 0.02, np.uint8(255), np.uint8(0))
    expected, before = disc_by_disc(hole, pixels), hole.copy()
    for widening.ROWS_AT_ONCE in (5, 512):
        grown = grow(hole, pixels)
        assert grown.dtype == np.uint8 and set(np.unique(grown)) <= {0, 255}
        assert np.array_equal(grown > 0, expected) and np.array_equal(hole, before)


def test_reach_is_the_least_that_takes_in_what_is_wanted_nearby():
    hole, wanted = np.zeros((40, 60), bool), np.zeros((40, 60), bool)
    hole[10:20, 10:20] = True
    wanted[23, 24] = wanted[3, 55] = True  # 4 down and 5 to the right; and far away
    assert (
        growth_to_reach(hole, wanted, 10) == 7
        and growth_to_reach(hole, wanted, 3) == 0
        and growth_to_reach(~hole & hole, wanted, 10) == 0
    )
    wanted[:] = False
    wanted[28, 28] = True  # 9 down and 9 to the right: in the box around, but farther than 10
    assert growth_to_reach(hole, wanted, 10) == 0
    assert grow(np.uint8(255) * hole, 7)[23, 24] and not grow(np.uint8(255) * hole, 6)[23, 24]


def test_a_hole_is_not_narrowed():
    with pytest.raises(ValueError, match="0 pixels or more"):
        grow(np.zeros((4, 4), np.uint8), -1)


def test_percent_are_of_the_shorter_side():
    hole = np.zeros((60, 200), np.uint8)
    hole[30, 100] = 255
    assert np.array_equal(grow(hole, "10%"), grow(hole, 6)) and not np.array_equal(grow(hole, "10%"), grow(hole, 5))
