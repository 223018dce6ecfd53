import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from latentfill.errors import ExtraError, HoleError
from latentfill.images.segmentation import select_object

pytest.importorskip("cv2")
STROKES = {
    "zigzag": lambda draw, k: draw.line([90 * k, 55 * k, 60 * k, 60 * k, 90 * k, 80 * k, 60 * k, 90 * k], 255, 12 * k),
    "box": lambda draw, k: draw.rectangle([30 * k, 30 * k, 125 * k, 120 * k], 255),
    "lasso": lambda draw, k: draw.ellipse([32 * k, 32 * k, 125 * k, 120 * k], 255),
    "line around": lambda draw, k: draw.ellipse([32 * k, 32 * k, 125 * k, 120 * k], outline=255, width=5 * k),
}


def scene(height=150, width=160):
    """A disc of one texture on a ground of another, uint8 [H, W, 3], and where it is."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    disc = (y - height / 2) ** 2 + (x - width * 0.48) ** 2 < (height / 4) ** 2
    texture = 150 * gaussian_filter(rng.standard_normal((height, width)), 2)[..., None]
    photo = np.where(disc[..., None], (190, 110, 60), (90, 120, 70)) + texture
    return photo.clip(0, 255).astype(np.uint8), disc


def paint(stroke, photo, times=1):
    picture = Image.new("L", photo.shape[1::-1])
    STROKES[stroke](ImageDraw.Draw(picture), times)
    return np.asarray(picture)


def iou(found, disc):
    assert found.dtype == np.uint8 and set(np.unique(found)) == {0, 255}
    return ((found > 0) & disc).sum() / ((found > 0) | disc).sum()


@pytest.mark.parametrize("stroke", STROKES)
def test_a_disc_on_a_textured_ground_is_found_from_a_rough_stroke(stroke):
    photo, disc = scene()
    painted = paint(stroke, photo)
    assert iou(painted, disc) < 0.8
    assert iou(select_object(photo, painted), disc) > 0.9


def test_a_large_photo_is_reduced_and_its_outline_has_the_size_of_the_photo():
    photo, disc = scene(900, 960)
    assert iou(select_object(photo, paint("lasso", photo, 6)), disc) > 0.97


def test_equal_strokes_have_equal_outlines_in_any_thread():
    photo, _ = scene()
    painted = paint("zigzag", photo)
    first = select_object(photo, painted)
    with ThreadPoolExecutor(3) as pool:
        for other in pool.map(lambda _: select_object(photo, painted), range(4)):
            assert np.array_equal(other, first)


def test_an_object_at_the_border_is_whole_and_has_no_gaps():
    photo, disc = scene()
    photo, disc = photo[70:, 70:], disc[70:, 70:].copy()
    photo[18:24, 18:24] = photo[60:66, 60:66]  # a gap as the ground is
    painted = np.zeros(disc.shape, np.uint8)
    painted[:14, :30] = painted[:30, :12] = 255
    found = select_object(photo, painted)
    assert iou(found, disc) > 0.9 and found[18:24, 18:24].all()


def mast(draw, value):
    draw.rectangle([70, 30, 86, 129], value)


AROUND = [55, 20, 100, 138]


@pytest.mark.parametrize(
    "stroke",
    [
        lambda draw: draw.rectangle([74, 45, 81, 115], 255),
        lambda draw: draw.rectangle(AROUND, 255),
        lambda draw: draw.ellipse([48, 8, 108, 148], 255),
        *(lambda draw, width=width: draw.rectangle(AROUND, outline=255, width=width) for width in (2, 8)),
        *(lambda draw, width=width: draw.ellipse([48, 8, 108, 148], outline=255, width=width) for width in (2, 8)),
        lambda draw: draw.line([55, 23, 55, 138, 100, 138, 100, 20, 59, 20], 255, 3),
    ],
    ids=["box on it", "box", "lasso", "line of 2", "line of 8", "loop of 2", "loop of 8", "line with a gap"],
)
def test_a_narrow_object_is_found_from_a_box_on_it_and_from_all_that_is_drawn_around_it(stroke):
    ground, disc = scene()
    picture, painted = (Image.new("L", ground.shape[1::-1]) for _ in range(2))
    mast(ImageDraw.Draw(picture), 255)
    stroke(ImageDraw.Draw(painted))
    narrow = np.asarray(picture) > 0
    photo = np.where(narrow[..., None], (235, 235, 230), np.where(disc[..., None], ground[:1, :1], ground))
    photo = (photo + np.random.default_rng(1).normal(0, 5, photo.shape)).clip(0, 255).astype(np.uint8)
    assert iou(select_object(photo, np.asarray(painted)), narrow) > 0.9


@pytest.mark.parametrize("size", [4, 16])
def test_a_stroke_that_is_a_small_part_of_its_object_never_yields_less_than_half_of_itself(size):
    photo, _ = scene(300, 320)
    painted = np.zeros(photo.shape[:2], np.uint8)
    painted[110:210, 150 - size : 150] = 255
    try:
        assert (select_object(photo, painted) > 0).sum() >= 50 * size
    except HoleError as error:
        assert "no object stands out" in str(error)


@pytest.mark.parametrize(
    ("value", "size", "told"),
    [
        (0, (150, 160), "covers nothing of the photo"),
        (255, (150, 160), "covers all of the photo"),
        (255, (160, 150), "the stroke is 150 x 160 pixels, but the photo is 160 x 150"),
    ],
)
def test_a_stroke_of_nothing_or_all_or_another_size_is_refused(value, size, told):
    with pytest.raises(HoleError, match=told):
        select_object(scene()[0], np.full(size, value, np.uint8))


def test_where_no_object_stands_out_that_is_told():
    painted = np.zeros((2, 3), np.uint8)
    painted[0, 0] = 255
    with pytest.raises(HoleError, match="no object stands out there"):
        select_object(np.zeros((2, 3, 3), np.uint8), painted)


def test_without_opencv_its_cure_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    photo, _ = scene()
    with pytest.raises(ExtraError, match=r"latentfill\[faces\]"):
        select_object(photo, paint("box", photo))
