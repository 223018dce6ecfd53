import numpy as np
import pytest

from latentfill.texture.detail import copy_detail
from latentfill.texture.outside import resize

SIDE, SCALE = 192, 4.0
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]
HOLE = (abs(ROWS - 96) < 24) & (abs(COLUMNS - 96) < 60)


def striped() -> np.ndarray:
    """A bright field of fine rows, left of a dark one of fine columns."""
    left = (COLUMNS < 96)[..., None]
    rows, columns = (20 * np.cos(2 * np.pi * at / 3)[..., None] for at in (ROWS, COLUMNS))
    return np.where(left, 180 + rows, 60 + columns).astype(np.float32) * np.ones(3, np.float32)


def enlarged(picture: np.ndarray) -> np.ndarray:
    small = round(SIDE / SCALE)
    return resize(resize(picture, (small, small)), (SIDE, SIDE))


def test_what_is_enlarged_gets_the_detail_of_what_looks_like_it():
    whole = striped()
    given = np.where(HOLE[..., None], enlarged(whole), whole)
    found = copy_detail(given, ~HOLE, HOLE, SCALE)
    assert found is not None and not found[~HOLE].any()
    for part, across, along in ((COLUMNS < 84, 1, 0), (COLUMNS > 108, 0, 1)):
        inside = np.where((HOLE & part)[..., None], found, 0)
        changes = [np.abs(np.diff(inside, axis=axis)).sum() for axis in (across, along)]
        assert changes[1] > 4 * changes[0]  # rows where it is bright, columns where it is dark
        assert 0.7 < inside[HOLE & part].std() / (20 / np.sqrt(2)) < 1.3


def test_no_detail_comes_from_hidden_pixels():
    whole = striped()
    hidden = (COLUMNS >= 96) & ~HOLE
    loud = np.where(hidden[..., None], 255 * ((ROWS + COLUMNS) % 2)[..., None], whole).astype(np.float32)
    given = np.where(HOLE[..., None], enlarged(whole), loud)
    found = copy_detail(given, ~HOLE & ~hidden, HOLE, SCALE)
    assert found is not None and abs(found).max() < 45


@pytest.mark.parametrize(
    ("known", "scale"), [(~HOLE, 1.0), (np.zeros_like(HOLE), SCALE), (~HOLE, 200.0)], ids=["sharp", "nothing", "tiny"]
)
def test_there_is_none_where_none_is_lacking_or_known(known, scale):
    assert copy_detail(striped(), known, HOLE, scale) is None
