from dataclasses import replace

import numpy as np
import pytest
import skimage.data
from PIL import Image

import latentfill
from latentfill.errors import HoleError, ImageError
from latentfill.gan.checkpoint import build
from latentfill.images.originals import Original
from latentfill.options import CompleteOptions, NetworkOptions, PhotoOptions
from latentfill.pipeline import alignment_of

PLAIN = build(NetworkOptions(size=16, base=4, latent=6))
FACES = replace(PLAIN, about={"alignment": {"landmarks": "inner-eyes-and-bottom-lip", "margin": 1.0, "size": 16}})
OPTIONS = CompleteOptions(steps=3, precision="fp32")
ASTRONAUT = np.asarray(skimage.data.astronaut())
LANDMARKS = np.array([[212.5, 104.5], [237.5, 106.5], [222.5, 156.5]])


def noise(height, width, channels=3, depth=np.uint8):
    rng = np.random.default_rng(0)
    return rng.integers(0, np.iinfo(depth).max + 1, (height, width, channels), dtype=depth)


def hole_at(shape, top, left, bottom, right):
    hole = np.zeros(shape, np.uint8)
    hole[top:bottom, left:right] = 255
    return hole


@pytest.mark.parametrize("blend", ["auto", "overlay", "poisson"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(16, 16), (40, 70), (70, 40), (11, 12)])
def test_outside_the_hole_a_photo_is_as_it_was_to_the_bit(shape, channels, depth, blend):
    values = noise(*shape, channels, depth)
    alpha = noise(*shape, 1, depth)[..., 0]
    hole = hole_at(shape, 3, 4, 9, 10)
    options = replace(OPTIONS, blend=blend)
    filled = latentfill.fill(Original(values, alpha, icc=b"profile", exif=None), hole, PLAIN, options)
    (made,) = filled.candidates
    assert made.values.dtype == depth and made.values.shape == values.shape and made.icc == b"profile"
    assert np.array_equal(made.values[hole == 0], values[hole == 0])
    assert np.array_equal(made.alpha[hole == 0], alpha[hole == 0])
    assert (made.alpha[hole > 0] == np.iinfo(depth).max).all(), "what was found can be seen"
    assert (made.values[hole > 0] != values[hole > 0]).mean() > 0.9


def test_a_picture_of_the_model_s_size_needs_no_face():
    photo, hole = noise(16, 16), hole_at((16, 16), 4, 4, 12, 12)
    filled = latentfill.fill(photo, hole, FACES, OPTIONS)
    (crop,) = latentfill.fill_crops(FACES, [photo], [hole], OPTIONS)
    assert np.array_equal(filled.photo, crop) and filled.placements[0].exact
    blended = latentfill.fill(photo, hole, FACES, replace(OPTIONS, blend="poisson"))
    (crop,) = latentfill.fill_crops(FACES, [photo], [hole], replace(OPTIONS, blend="poisson"))
    assert np.abs(blended.photo.astype(int) - crop).max() <= 1


def test_the_face_that_the_hole_touches_is_completed_where_it_is():
    hole = hole_at((512, 512), 130, 210, 150, 240)
    filled = latentfill.fill(ASTRONAUT, hole, FACES, OPTIONS)
    (placement,) = filled.placements
    eyes = placement.to_crop(LANDMARKS)[:2]
    assert np.abs(eyes - np.array([[0.3638, 0.1779], [0.619, 0.1728]]) * 16).max() < 1
    assert set(filled.losses[0]) == {"contextual", "perceptual"}
    changed = (filled.photo != ASTRONAUT).any(-1)
    assert changed[hole > 0].mean() > 0.9 and not changed[hole == 0].any()


def test_what_no_face_covers_is_filled_by_name_and_told():
    hole = hole_at((512, 512), 130, 210, 150, 500)
    for how in ("biharmonic", "telea"):
        filled = latentfill.fill(ASTRONAUT, hole, FACES, OPTIONS, photo_options=PhotoOptions(outside=how))
        assert any("outside of what the model sees" in note and how in note for note in filled.notes)
        assert (filled.photo[hole > 0] != ASTRONAUT[hole > 0]).any(-1).mean() > 0.9
    plain = latentfill.fill(ASTRONAUT, hole_at((512, 512), 480, 20, 500, 40), FACES, OPTIONS)
    assert not plain.placements and any("none of the 1 faces" in note for note in plain.notes)


def test_given_landmarks_need_no_detector():
    photo = np.full((512, 512, 3), 100, np.uint8)
    filled = latentfill.fill(photo, hole_at((512, 512), 130, 210, 150, 240), FACES, OPTIONS, landmarks=[LANDMARKS])
    assert len(filled.placements) == 1 and not filled.notes


def test_a_model_that_knows_no_faces_completes_the_middle():
    filled = latentfill.fill(noise(40, 70), hole_at((40, 70), 10, 25, 20, 35), PLAIN, OPTIONS)
    assert filled.placements[0].matrix == ((2.5, 0, 15), (0, 2.5, 0))
    outside = latentfill.fill(noise(40, 70), hole_at((40, 70), 10, 1, 20, 9), PLAIN, OPTIONS)
    assert any("100 % of the hole" in note for note in outside.notes)


def test_candidates_differ_and_the_best_comes_first():
    hole = hole_at((16, 16), 4, 4, 12, 12)
    filled = latentfill.fill(noise(16, 16), hole, PLAIN, replace(OPTIONS, candidates=3))
    assert len(filled.candidates) == 3
    first, second, third = (c.values[hole > 0] for c in filled.candidates)
    assert not np.array_equal(first, second) and not np.array_equal(second, third)
    best = latentfill.fill(noise(16, 16), hole, PLAIN, replace(OPTIONS, attempts=3))
    assert np.array_equal(best.photo, filled.photo)


def test_without_a_hole_nothing_is_done():
    photo = noise(40, 70)
    filled = latentfill.fill(photo, np.zeros((40, 70), np.uint8), FACES, OPTIONS)
    assert np.array_equal(filled.photo, photo)


def test_a_file_is_opened_and_saved_with_all_it_held(tmp_path):
    Image.fromarray(noise(40, 70)).save(tmp_path / "photo.png", dpi=(300, 300), icc_profile=b"profile")
    filled = latentfill.fill(tmp_path / "photo.png", "rectangle:25,10,10,10", PLAIN, OPTIONS)
    filled.save(tmp_path / "out" / "done.png")
    made = Image.open(tmp_path / "out" / "done.png")
    assert made.info["icc_profile"] == b"profile" and np.array_equal(np.asarray(made), filled.photo)


@pytest.mark.parametrize(
    ("photo", "hole", "gan", "error", "told"),
    [
        (noise(200, 200), hole_at((200, 200), 90, 90, 110, 110), FACES, ImageError, "no face was found.*--landmarks"),
        (noise(40, 70), hole_at((40, 70), 0, 0, 40, 70), PLAIN, HoleError, "covers all of it"),
        (noise(40, 70), hole_at((70, 40), 0, 0, 4, 7), PLAIN, HoleError, "70 x 40 pixels, but its hole 40 x 70"),
    ],
    ids=["no face", "all hole", "another size"],
)
def test_what_cannot_be_completed_is_told_with_the_cure(photo, hole, gan, error, told):
    with pytest.raises(error, match=f"(?s){told}"):
        latentfill.fill(photo, hole, gan, OPTIONS)


def test_the_model_in_the_package_knows_how_its_faces_were_aligned():
    assert alignment_of(latentfill.load()) == latentfill.pipeline.Alignment()
    assert alignment_of(PLAIN) is None
