import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, label

from latentfill.errors import HoleError
from latentfill.faces.templates import template
from latentfill.images.hole_shapes import brush, ellipses
from latentfill.images.holes import draw, parse
from latentfill.options import Alignment
from latentfill.runs.holes import check_hole, draw_known


def rng(seed):
    return np.random.Generator(np.random.Philox(key=seed))


@pytest.mark.parametrize("kind", ["brush", "ellipses"])
def test_a_hole_drawn_freehand_depends_on_the_seed_alone_and_is_never_empty(kind):
    drawn = [draw(parse(kind), (64, 64), seed=seed).hole for seed in range(60)]
    assert np.array_equal(drawn[7], draw(parse(kind), (64, 64), seed=7).hole)
    assert len({d.tobytes() for d in drawn}) == 60 and all(0 < (d > 0).mean() < 0.5 for d in drawn)
    assert all(draw(parse(kind), size, seed=seed).hole.any() for size in ((1, 1), (3, 200)) for seed in range(60))


def test_brush_strokes_are_3_to_12_percent_of_the_side_wide_and_few():
    widest, pieces = [], []
    for seed in range(60):
        missing = brush(200, 300, rng(seed))
        widest.append(2 * distance_transform_edt(np.pad(missing, 1)).max())
        pieces.append(label(missing, np.ones((3, 3)))[1])
    assert min(widest) >= 5 and np.median(widest) < 26, "6 to 24 pixels, more where strokes meet"
    assert set(pieces) == {1, 2, 3, 4}


def test_ellipses_are_one_or_two_with_radii_of_6_to_30_percent():
    for seed in range(40):
        missing = ellipses(200, 300, rng(seed))
        regions, count = label(missing)
        assert 1 <= count <= 2
        if count == 2:
            for region in (regions == 1, regions == 2):
                assert 11 <= region.any(0).sum() <= 121 and 11 <= region.any(1).sum() <= 121


def test_features_of_a_face_lie_where_the_template_has_them():
    def box(kind):
        rows, columns = (np.flatnonzero(draw(parse(kind), (100, 100), seed=0).hole.any(axis)) for axis in (1, 0))
        return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1

    assert [box(kind) for kind in ("eyes", "nose", "mouth")] == [(10, 5, 89, 27), (34, 20, 65, 52), (22, 53, 79, 82)]
    inner = template(100, Alignment())
    outer = template(100, Alignment(landmarks="outer-eyes-and-nose"))
    for kind, points in (("eyes", [*inner[:2], *outer[:2]]), ("nose", outer[2:]), ("mouth", inner[2:])):
        missing = draw(parse(kind), (100, 100), seed=0).hole > 0
        assert all(missing[int(y), int(x)] for x, y in points), kind
    assert not (draw(parse("mouth"), (100, 100), seed=0).hole & draw(parse("eyes"), (100, 100), seed=0).hole).any()


@pytest.mark.parametrize("kind", ["brush", "ellipses", "eyes", "nose", "mouth"])
def test_the_kinds_are_learnt_from_inverted_and_take_no_number(kind):
    check_hole(kind, 16)
    assert draw_known(16, range(3), 0, kind).shape == (3, 1, 16, 16)
    usual, inverted = (draw(parse(kind, invert=i), (32, 32), seed=1).hole for i in (False, True))
    assert np.array_equal(usual, 255 - inverted)
    with pytest.raises(HoleError, match=f"{kind} does not take '3'"):
        parse(f"{kind}:3")
