import numpy as np
import pytest
from skimage import data

from latentfill.errors import HoleError
from latentfill.faces.detector import detect_faces
from latentfill.faces.parts import OUTLINES, draw
from latentfill.images import holes
from latentfill.photo.locate import draw_feature

ASTRONAUT = data.astronaut()
FACE = detect_faces(ASTRONAUT)[0].landmarks
MIDDLES = {"eyes": (36, 42), "nose": (30,), "mouth": (62,), "glasses": (28, 37, 44), "left": (2, 36), "right": (14, 45)}


@pytest.mark.parametrize("feature", holes.FACE_FEATURES)
def test_a_part_of_a_face_lies_around_its_landmarks(feature):
    drawn = draw(FACE, feature, 512, 512)
    rows, columns = np.nonzero(drawn)
    for number in MIDDLES[feature]:
        x, y = FACE[number]
        assert drawn[int(y), int(x)]
    low, high = FACE.min(0), FACE.max(0)
    height = high[1] - low[1]
    assert rows.min() > low[1] - 0.6 * height and rows.max() < high[1] + 0.1 * height
    assert columns.min() > low[0] - 20 and columns.max() < high[0] + 20 and 0.002 < drawn.mean() < 0.05


def test_the_halves_do_not_meet_and_the_eyes_are_two():
    left, right = (draw(FACE, side, 512, 512) for side in ("left", "right"))
    assert not (left & right).any() and np.nonzero(left)[1].mean() < FACE[27, 0] < np.nonzero(right)[1].mean()
    between = FACE[27]
    assert not draw(FACE, "eyes", 512, 512)[int(between[1]), int(between[0])]
    assert draw(FACE, "glasses", 512, 512)[int(between[1]), int(between[0])]


@pytest.mark.parametrize("feature", OUTLINES)
def test_a_face_may_be_cut_by_the_border_or_lie_outside(feature):
    whole = draw(FACE + 300, feature, 900, 900)[300:460, 300:520]
    assert np.array_equal(draw(FACE, feature, 160, 220), whole)
    assert not draw(FACE + 1000, feature, 160, 220).any() and not draw(FACE - 1000, feature, 160, 220).any()


def test_every_face_is_drawn_at_the_size_of_the_photo():
    two = np.concatenate([ASTRONAUT, ASTRONAUT], 1)
    spec = holes.parse("face:mouth")
    photo = holes.Photo(two, None)
    drawn = holes.draw(spec, two.shape[:2], seed=0, photo=photo, draw_feature=draw_feature).hole
    one = draw_feature(ASTRONAUT, "mouth", "")
    assert all(((half > 0) & one).sum() > 0.6 * one.sum() for half in (drawn[:, :512], drawn[:, 512:]))


def test_what_is_no_face_or_no_part_of_one_is_named():
    with pytest.raises(HoleError, match=r"a\.png: no face was found for face:nose"):
        draw_feature(np.full((80, 100, 3), 90, np.uint8), "nose", "a.png")
    for text in ("face", "face:ear", "face:eyes:2"):
        with pytest.raises(HoleError, match=f"(?s)'{text}' is not a part of a face.*face:glasses"):
            holes.parse(text)


def test_a_mouth_that_is_a_line_is_drawn():
    small = FACE / 40
    small[48:60, 1] = small[48, 1]
    drawn = draw(small, "mouth", 20, 20)
    x, y = small[48:60].mean(0)
    assert drawn[int(y), int(x)] and drawn.sum() < 20
