from dataclasses import replace

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

import latentfill
from latentfill.completion.complete import complete
from latentfill.completion.operators import parse_operator
from latentfill.errors import HoleError, ImageError, LatentfillError
from latentfill.faces.detector import detect_faces
from latentfill.gan.model_file import build
from latentfill.images.hole_pictures import grow
from latentfill.images.holes import FACE_FEATURES
from latentfill.images.photos import Original
from latentfill.options import Alignment, CompleteOptions, NetworkOptions, PhotoOptions, ReadLimits
from latentfill.photo import crop as cutting
from latentfill.photo.crop import alignment_of, cut
from latentfill.photo.locate import FaceSearch, covered_share, place_upright
from latentfill.photo.put_back import put_back
from latentfill.pipeline import Request, place
from latentfill.web.routes.edit import shrink

PLAIN = build(NetworkOptions(size=16, base=4, latent=6))
FACES = replace(PLAIN, about={"alignment": {"landmarks": "inner-eyes-and-bottom-lip", "margin": 1.0, "size": 16}})
OPTIONS = CompleteOptions(steps=3, precision="fp32")
ASTRONAUT = np.asarray(skimage.data.astronaut())
OTHER_SIZE = "^the hole is 40 x 70 pixels, but the photo is 70 x 40"
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
    other = latentfill.fill(
        Original(np.where(hole[..., None] > 0, 0, values).astype(depth), alpha), hole, PLAIN, options
    )
    assert np.array_equal(other.candidates[0].values, made.values), "what is in the hole does not matter"
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
        assert any("filled from the photo around it" in note for note in filled.notes)
        share = covered_share(filled.placements, hole)
        told = f"this speaks for the {100 * share:.3g} % of the hole that the model filled; the rest is from the photo"
        assert filled.trust.words[0][-1].startswith(told)
        assert filled.trust.to_json(0)["share"] == pytest.approx(share, abs=1e-4) and 0.05 < share < 0.5
        assert (filled.photo[hole > 0] != ASTRONAUT[hole > 0]).any(-1).mean() > 0.9
    plain = latentfill.fill(ASTRONAUT, hole_at((512, 512), 450, 20, 500, 70), FACES, OPTIONS)
    assert not plain.placements and any("1 elsewhere" in note for note in plain.notes)


def test_given_landmarks_need_no_detector():
    photo = np.full((512, 512, 3), 100, np.uint8)
    filled = latentfill.fill(photo, hole_at((512, 512), 130, 210, 150, 240), FACES, OPTIONS, landmarks=[LANDMARKS])
    assert len(filled.placements) == 1 and not filled.notes


def test_a_model_that_knows_no_faces_completes_the_middle():
    filled = latentfill.fill(noise(40, 70), hole_at((40, 70), 10, 25, 20, 35), PLAIN, OPTIONS)
    assert filled.placements[0].matrix == ((2.5, 0, 15), (0, 2.5, 0))
    outside = latentfill.fill(noise(40, 70), hole_at((40, 70), 10, 1, 20, 9), PLAIN, OPTIONS)
    assert outside.notes == ("filled from the photo; no estimate",) and outside.trust is None


def test_candidates_differ_and_the_best_comes_first():
    hole = hole_at((16, 16), 4, 4, 12, 12)
    filled = latentfill.fill(noise(16, 16), hole, PLAIN, replace(OPTIONS, candidates=3))
    assert len(filled.candidates) == 3
    first, second, third = (c.values[hole > 0] for c in filled.candidates)
    assert not np.array_equal(first, second) and not np.array_equal(second, third)
    best = latentfill.fill(noise(16, 16), hole, PLAIN, replace(OPTIONS, attempts=3))
    assert np.array_equal(best.photo, filled.photo)


def test_without_a_model_candidates_are_those_of_the_next_seeds():
    hole = hole_at((40, 70), 10, 1, 20, 9)
    filled = latentfill.fill(noise(40, 70), hole, PLAIN, replace(OPTIONS, seed=4, candidates=3))
    alone = latentfill.fill(noise(40, 70), hole, PLAIN, replace(OPTIONS, seed=5))
    assert not filled.placements and len(filled.candidates) == 3
    assert np.array_equal(filled.candidates[1].values, alone.photo) and not np.array_equal(filled.photo, alone.photo)


def test_a_notebook_shows_what_was_given_the_candidates_and_the_notes():
    hole = hole_at((40, 70), 13, 30, 22, 38)
    filled = latentfill.fill(noise(40, 70), hole, PLAIN, replace(OPTIONS, attempts=2, candidates=2))
    page = replace(filled, notes=("<b>a note</b>",))._repr_html_()
    assert page.count('<img src="data:image/png;base64,') == 3
    assert "given" in page and "candidate 2" in page and "&lt;b&gt;a note" in page
    assert (filled.given[hole > 0] == 255).all() and filled.given.shape == (40, 70, 3)


def test_printed_it_is_a_line_of_words_without_pixels():
    filled = latentfill.fill(noise(40, 70), hole_at((40, 70), 10, 30, 20, 40), PLAIN, OPTIONS)
    line = repr(replace(filled, notes=("a note",)))
    assert line.startswith("<Filled: 70x40 pixels, 1 crop, 1 candidate; a note; not calibrated: ")
    assert "\n" not in line and "array" not in line and "tensor" not in line
    assert len(repr(replace(filled, notes=("a note", "words " * 200)))) < 260


def test_without_a_hole_nothing_is_done():
    photo = noise(40, 70)
    filled = latentfill.fill(photo, np.zeros((40, 70), bool), FACES, OPTIONS)
    assert np.array_equal(filled.photo, photo)
    assert filled.notes == ("nothing is to be found: the hole is False all over",)
    assert latentfill.fill(photo, "full", FACES, OPTIONS).notes == ("the hole is empty: nothing is done",)


def test_a_file_is_opened_and_saved_with_all_it_held(tmp_path):
    Image.fromarray(noise(40, 70)).save(tmp_path / "photo.png", dpi=(300, 300), icc_profile=b"profile")
    filled = latentfill.fill(tmp_path / "photo.png", "rectangle:25,10,10,10", PLAIN, OPTIONS)
    filled.save(tmp_path / "out" / "done.png")
    made = Image.open(tmp_path / "out" / "done.png")
    assert made.info["icc_profile"] == b"profile" and np.array_equal(np.asarray(made), filled.photo)


@pytest.mark.parametrize("name", ["done.png", "done.webp", "done.tif", "done.JPG"])
def test_a_candidate_is_saved_as_its_name_ends(name, tmp_path):
    Image.fromarray(noise(40, 70)).save(tmp_path / "photo.jpg", quality=60)
    options = replace(OPTIONS, candidates=2)
    filled = latentfill.fill(tmp_path / "photo.jpg", "rectangle:25,10,10,10", PLAIN, options)
    filled.save(tmp_path / name, candidate=1)
    made = Image.open(tmp_path / name)
    if made.format == "JPEG":
        assert made.quantization == Image.open(tmp_path / "photo.jpg").quantization
    else:
        assert np.array_equal(np.asarray(made), filled.candidates[1].values)


def test_a_candidate_or_a_kind_of_file_that_there_is_not_is_told(tmp_path):
    filled = latentfill.fill(noise(40, 70), "rectangle:25,10,10,10", PLAIN, OPTIONS)
    with pytest.raises(ValueError, match="candidate is from 0 to 0, not 1"):
        filled.save(tmp_path / "a.png", candidate=1)
    with pytest.raises(ImageError, match=r"(?s)a\.gif: pictures of this kind are not written.*\.png, \.jpg"):
        filled.save(tmp_path / "a.gif")


def test_a_photo_that_is_not_there_is_named_with_its_folder(tmp_path):
    for path, told in ((tmp_path / "a.png", "No such file"), (tmp_path, "directory\nGive one picture, not a folder")):
        with pytest.raises(ImageError, match=f"^{path}: .*{told}"):
            latentfill.fill(path, "center", PLAIN, OPTIONS)


@pytest.mark.parametrize(
    ("photo", "hole", "gan", "error", "told"),
    [
        (noise(40, 70), hole_at((40, 70), 0, 0, 40, 70), PLAIN, HoleError, "covers all of it"),
        (noise(40, 70), hole_at((70, 40), 0, 0, 4, 7), PLAIN, HoleError, OTHER_SIZE),
        (noise(40, 70), Image.fromarray(hole_at((70, 40), 0, 0, 4, 7)), PLAIN, HoleError, OTHER_SIZE),
    ],
    ids=["all hole", "another size", "another size in PIL"],
)
def test_what_cannot_be_completed_is_told_with_the_cure(photo, hole, gan, error, told):
    with pytest.raises(error, match=f"(?s){told}"):
        latentfill.fill(photo, hole, gan, OPTIONS)


@pytest.mark.parametrize("outside", ["auto", "patches", "biharmonic", "telea"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_photo_without_a_face_is_filled_from_itself_and_says_so(depth, outside):
    photo, hole = noise(200, 200).astype(depth) * (np.iinfo(depth).max // 255), hole_at((200, 200), 90, 90, 110, 110)
    filled = latentfill.fill(photo, hole, FACES, OPTIONS, photo_options=PhotoOptions(outside=outside))
    made = filled.candidates[0].values
    assert made.dtype == depth and np.array_equal(made[hole == 0], photo[hole == 0])
    assert not np.array_equal(made[hole > 0], photo[hole > 0]) and not filled.placements
    assert filled.notes == ("filled from the photo; no estimate",)


@pytest.mark.parametrize(
    ("box", "hinted"), [((80, 80, 130, 130), True), ((80, 80, 110, 130), False), ((20, 80, 140, 130), False)]
)
def test_landmarks_are_asked_for_where_a_face_may_be_hidden_and_in_the_words_of_python(box, hinted):
    filled = latentfill.fill(noise(200, 200), hole_at((200, 200), *box), FACES, OPTIONS)
    told = " ".join(filled.notes)
    assert ("no face was found" in told) == hinted and "--" not in told
    assert not hinted or ("(landmarks=...)" in told and '(PhotoOptions(place="center"))' in told)


def test_pil_images_are_photos_and_holes():
    photo, hole = noise(60, 80), hole_at((60, 80), 20, 20, 40, 40)
    wanted = latentfill.fill(photo, hole, PLAIN, OPTIONS).photo
    image = Image.fromarray(photo)
    assert np.array_equal(latentfill.fill(image, Image.fromarray(hole), PLAIN, OPTIONS).photo, wanted)
    exif = Image.Exif()
    exif[0x0112] = 8  # to be turned by a quarter to the left
    image = Image.fromarray(np.rot90(photo, -1).copy())
    image.getexif().update(exif)
    assert np.array_equal(latentfill.fill(image, hole, PLAIN, OPTIONS).photo, wanted)
    grey = latentfill.fill(Image.fromarray(photo).convert("L"), hole, PLAIN, OPTIONS)
    assert grey.candidates[0].values.shape == (60, 80, 1)
    for mode in ("P", "1", "CMYK", "LA", "RGBA", "I;16"):
        made = latentfill.fill(Image.fromarray(photo).convert("L").convert(mode), hole, PLAIN, OPTIONS)
        assert made.photo.shape == (60, 80, 3), mode
    with pytest.raises(TypeError, match=r"mode F.*image\.convert\('RGB'\)"):
        latentfill.fill(Image.fromarray(photo[..., 0].astype(np.float32)), hole, PLAIN, OPTIONS)


@pytest.mark.parametrize("margins", ["10,0,0,0", "0,20%,0,0", "0,0,25%,0", "0,0,0,8", "5,5%,10%,4", "0,0,0,0"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_margins_are_found_on_all_sides_and_the_photo_stays(margins, depth):
    photo = np.dstack([noise(40, 80), np.full((40, 80), 255, np.uint8)]).astype(depth) * (np.iinfo(depth).max // 255)
    filled = latentfill.fill(photo, None, PLAIN, OPTIONS, photo_options=PhotoOptions(extend=margins))
    sides = zip(margins.split(","), (80, 40, 80, 40), strict=True)
    left, top, right, bottom = (int(float(m.rstrip("%")) * (side / 100 if "%" in m else 1)) for m, side in sides)
    made = filled.candidates[0]
    assert made.values.shape == (top + 40 + bottom, left + 80 + right, 3) and made.values.dtype == depth
    assert np.array_equal(made.values[top : top + 40, left : left + 80], photo[..., :3])
    assert (made.alpha == np.iinfo(depth).max).all(), "what was found can be seen"
    assert made.values.reshape(-1, 3).any(1).all() and np.ptp(made.values[-1].astype(int)) > 0


def test_the_hole_and_landmarks_of_an_extended_photo_are_in_its_own_pixels():
    hole = hole_at((512, 512), 106, 203, 160, 245)
    plain = cut(Original(ASTRONAUT), hole, FACES, PhotoOptions(), [LANDMARKS])
    made = cut(Original(ASTRONAUT), hole, FACES, PhotoOptions(extend="30,20,0,0"), [LANDMARKS])
    assert made.hole.shape == (532, 542) and np.array_equal(made.hole[20:, 30:], hole) and made.hole[:20].all()
    before, after = (one.placements[0].to_photo(np.zeros((1, 2))) for one in (plain, made))
    assert np.allclose(after - before, (30, 20))


@pytest.mark.parametrize(
    ("margins", "told"),
    [
        ("1,2,3", "is not four margins"),
        ("-1,0,0,0", "is not four"),
        ("81,0,0,0", "wider than its 80 x 40"),
        ("80,40,80,40", "pixels"),
    ],
)
def test_margins_that_cannot_be_are_named(margins, told):
    limits = ReadLimits(max_pixels=20_000)
    with pytest.raises(HoleError, match=told):
        latentfill.fill(noise(40, 80), None, PLAIN, OPTIONS, photo_options=PhotoOptions(extend=margins), limits=limits)


@pytest.mark.parametrize("feature", FACE_FEATURES)
def test_a_part_of_a_face_is_found_by_its_name(feature):
    filled = latentfill.fill(ASTRONAUT, f"face:{feature}", FACES, OPTIONS)
    changed = (filled.photo != ASTRONAUT).any(-1)
    assert 0.001 < changed.mean() < 0.05 and not changed[260:].any() and len(filled.placements) == 1


def test_who_wants_faces_alone_has_other_photos_rejected():
    with pytest.raises(ImageError, match=r"(?s)no face was found.*\(landmarks=\.\.\.\)"):
        latentfill.fill(
            noise(200, 200),
            hole_at((200, 200), 90, 90, 110, 110),
            FACES,
            OPTIONS,
            photo_options=PhotoOptions(place="faces"),
        )


def test_a_hole_beside_a_face_is_filled_without_it():
    """All around the hole is face or nothing: what is copied is what is left, a grey wall."""
    photo = np.full((512, 700, 3), 90, np.uint8)
    photo[:, :512] = ASTRONAUT
    photo = np.clip(photo + np.random.default_rng(0).normal(0, 12, photo.shape), 0, 255).astype(np.uint8)
    made = cut(Original(photo), hole_at((512, 700), 150, 520, 220, 600), FACES, PhotoOptions())
    (face,) = (seen.box(512, 700) for seen in made.faces)
    assert not made.placements and 0 < face.top < 80 < 180 < face.bottom and face.left < 170 < 275 < face.right < 320


def test_the_model_in_the_package_knows_how_its_faces_were_aligned():
    assert alignment_of(latentfill.load()) == Alignment()
    assert alignment_of(PLAIN) is None


def test_a_hole_so_fine_that_no_crop_pixel_is_whole_leaves_the_model_something():
    photo, rng = np.full((160, 160, 3), 60, np.uint8), np.random.default_rng(1)
    photo[:, 80:] = 180
    hole = np.where(rng.random((160, 160)) < 0.3, np.uint8(255), np.uint8(0))
    made = cut(Original(photo), hole, PLAIN, PhotoOptions())
    (crop,), (gap,) = made.crops, made.crop_holes
    assert (gap == 0).mean() > 0.95 and abs(crop[:, :7].astype(int) - 60).max() <= 6
    coarse = cut(Original(photo), hole_at((160, 160), 40, 40, 95, 95), PLAIN, PhotoOptions())
    assert (coarse.crop_holes[0] > 0).mean() < 0.2 and not coarse.notes


def test_a_square_of_which_nothing_is_known_is_told():
    filled = latentfill.fill(noise(100, 160), hole_at((100, 160), 0, 30, 100, 130), PLAIN, OPTIONS)
    assert any("only 0 % of a square" in note for note in filled.notes)


def test_landmarks_are_used_beside_the_faces_that_are_found():
    photo = np.full((300, 700, 3), 90, np.uint8)
    photo[:, :300], photo[:, 400:] = ASTRONAUT[:300, 80:380], ASTRONAUT[:300, 80:380]
    both = hole_at((300, 700), 125, 100, 135, 600)
    filled = latentfill.fill(photo, both, FACES, OPTIONS, landmarks=[LANDMARKS - np.array([80, 0])])
    assert len(filled.placements) == 2
    right = hole_at((300, 700), 125, 540, 135, 560)
    filled = latentfill.fill(photo, right, FACES, OPTIONS, landmarks=np.array([LANDMARKS - np.array([80, 0])]).tolist())
    (placement,) = filled.placements
    assert abs(placement.to_crop(LANDMARKS + np.array([320, 0]))[0, 0] - 0.3638 * 16) < 1


@pytest.mark.parametrize("shape", [(40, 40), (16, 16)])
def test_hidden_colours_of_transparent_pixels_are_not_known(shape):
    photo, alpha = noise(*shape), np.full(shape, 255, np.uint8)
    alpha[5:12, 2:50] = 0
    hole = hole_at(shape, 10, 6, 14, 13)
    made = cut(Original(photo, alpha), hole, PLAIN, PhotoOptions())
    other = np.where(alpha[..., None] == 0, np.uint8(0), photo)
    again = cut(Original(other, alpha), hole, PLAIN, PhotoOptions())
    seen = made.crop_holes[0] == 0
    assert np.array_equal(made.crop_holes[0], again.crop_holes[0])
    assert np.array_equal(made.crops[0][seen], again.crops[0][seen])


@pytest.mark.parametrize("hole", [hole_at((40, 70), 10, 25, 20, 35) > 0, "rectangle:25,10,10,10"], ids=["bool", "text"])
def test_arrays_of_several_kinds_are_understood(hole):
    plain = latentfill.fill(noise(40, 70), hole_at((40, 70), 10, 25, 20, 35), PLAIN, OPTIONS)
    assert np.array_equal(latentfill.fill(noise(40, 70), hole, PLAIN, OPTIONS).photo, plain.photo)
    grey = latentfill.fill(noise(40, 70)[..., 0], hole, PLAIN, OPTIONS)
    assert grey.candidates[0].values.shape == (40, 70, 1)
    rgba = latentfill.fill(np.dstack([noise(40, 70), np.full((40, 70), 255, np.uint8)]), hole, PLAIN, OPTIONS)
    assert np.array_equal(rgba.photo, plain.photo) and rgba.candidates[0].alpha is not None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (dict(photo=noise(40, 70) / 255), "uint8 or uint16, not an array of float64"),
        (dict(photo=noise(40, 70)[None]), r"not \[1, 40, 70, 3\]"),
        (dict(hole=np.zeros((40, 70))), "bool .* or uint8 .*, not an array of float64"),
        (dict(hole=np.zeros((40, 70, 3), np.uint8)), r"a hole is \[H, W\], not \[40, 70, 3\]"),
        (dict(landmarks=np.zeros((2, 5))), r"landmarks are \[n, 3, 2\]"),
        (dict(photo_options=PhotoOptions(place="centre")), "option place: .*, not 'centre'"),
        (dict(hole="lowres"), "lowres is for pictures of the model's size"),
        (dict(landmarks=LANDMARKS + 5000), "its landmarks lie outside of its 70 x 40 pixels"),
        (dict(landmarks=[[(20, 10), (10, 10), (15, 20)]]), "do not form a face"),
    ],
)
def test_misuse_from_python_is_told(change, told):
    words = dict(photo=noise(40, 70), hole=hole_at((40, 70), 10, 25, 20, 35), gan=PLAIN, options=OPTIONS)
    with pytest.raises((TypeError, ValueError, LatentfillError), match=told):
        latentfill.fill(**{**words, **change})


def test_a_face_that_the_hole_hides_whole_is_removed_unless_one_is_asked_for():
    photo, landmarks = ASTRONAUT[:300, 90:360], LANDMARKS - [90, 0]  # less to look through, turned and upright
    hole = hole_at((300, 270), 20, 40, 220, 230)
    removed = latentfill.fill(photo, hole, FACES, OPTIONS)
    assert not removed.placements and removed.trust is None
    assert any(
        "a whole face lies in the hole" in note and 'PhotoOptions(place="faces")' in note for note in removed.notes
    )
    drawn = latentfill.fill(photo, hole, FACES, OPTIONS, photo_options=PhotoOptions(place="faces"))
    assert len(drawn.placements) == 1
    assert len(latentfill.fill(photo, hole, FACES, OPTIONS, landmarks=[landmarks]).placements) == 1
    half = latentfill.fill(photo, hole_at((300, 270), 20, 40, 220, 132), FACES, OPTIONS)
    assert len(half.placements) == 1


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("toned", [(1, 1, 1), (1, 0.9, 0.7)], ids=["grey", "sepia"])
@pytest.mark.parametrize("way", ["faces", "model's size", "shrink"])
def test_a_photo_of_one_colour_stored_as_rgb_stays_one(way, toned, depth):
    side = 16 if way == "model's size" else 512
    grey = np.asarray(Image.fromarray(ASTRONAUT).convert("L").resize((side, side)))
    unit = np.iinfo(depth).max // 255
    photo = np.rint(grey[..., None] * np.array(toned) * unit).astype(depth)
    hole = hole_at((16, 16), 6, 6, 10, 11) if side == 16 else hole_at((512, 512), 106, 203, 160, 245)
    placed = place(Request(Original(photo), hole), FACES, PhotoOptions(), ReadLimits())
    question, incomplete = placed.cut, placed.incomplete
    completion = complete(FACES, incomplete, OPTIONS).candidates[0]
    completion = replace(completion, images=torch.randn_like(completion.images).clamp(-1, 1))
    question = shrink(question, 300) if way == "shrink" else question
    made = put_back(question, [completion], OPTIONS, PhotoOptions(), FACES).candidates[0].values
    found = made[question.hole > 0] / (1 if way == "shrink" else unit)
    luma = (found @ np.array([0.299, 0.587, 0.114]) / np.dot([0.299, 0.587, 0.114], toned))[..., None]
    assert np.abs(found - luma * np.array(toned))[luma[..., 0] < 200].max() <= 2, "the brightest have no such tone"
    assert luma.std() > 20, "noise was found, and only its colours go"


def test_a_colour_photo_keeps_the_colours_that_were_found():
    hole = hole_at((512, 512), 106, 203, 160, 245)
    filled = latentfill.fill(ASTRONAUT, hole, FACES, OPTIONS)
    assert np.ptp(filled.photo[hole > 0].astype(int), axis=1).max() > 20


def test_a_model_of_grey_pictures_says_so_of_a_colour_photo():
    grey, hole = build(NetworkOptions(size=16, base=4, latent=6, channels=1)), hole_at((40, 70), 10, 20, 30, 50)
    photo = np.asarray(Image.fromarray(ASTRONAUT).resize((70, 40)))
    told = ["draws grey" in str(latentfill.fill(p, hole, grey, OPTIONS).notes) for p in (photo, photo[..., :1])]
    assert told == [True, False]


@pytest.mark.parametrize(("score", "told"), [(-0.47, "doubtful (score -0.47)"), (0.1, "")])
def test_a_doubtful_face_is_told(score, told, monkeypatch):
    face = replace(detect_faces(ASTRONAUT)[0], score=score)
    found = FaceSearch((face,), (place_upright(face.points, 16, alignment_of(FACES)),), 0)
    monkeypatch.setattr(cutting, "find_faces", lambda *_, **__: found)
    notes = " ".join(cut(Original(ASTRONAUT), hole_at((512, 512), 120, 210, 150, 240), FACES, PhotoOptions()).notes)
    assert told in notes and ("doubtful" in notes) == bool(told)


def test_a_photo_on_its_side_is_completed_and_it_is_said():
    hole = hole_at((512, 512), 106, 203, 160, 245)
    side = latentfill.fill(np.rot90(ASTRONAUT).copy(), np.rot90(hole).copy(), FACES, OPTIONS)
    assert any("on its side" in note for note in side.notes)
    middle = side.placements[0].to_photo(np.array([[8.0, 8.0]]))[0]
    straight = place_upright(LANDMARKS, 16, alignment_of(FACES)).to_photo(np.array([[8.0, 8.0]]))[0]
    assert np.abs(middle - [straight[1], 512 - straight[0]]).max() < 12


def test_that_all_is_invented_is_told_unless_means_are_known():
    photo = noise(16, 16)
    for hole, told in ((np.ones((16, 16), bool), True), ("left", False), ("lowres", False)):
        notes = " ".join(latentfill.fill(photo, hole, PLAIN, OPTIONS).notes)
        assert ("all of the result is invented" in notes) == told


def test_crops_follow_the_same_rule_for_holes_as_photos():
    photo, hole = noise(16, 16), hole_at((16, 16), 4, 4, 12, 12)
    (white,), (true,) = (latentfill.fill_crops(PLAIN, [photo], [one], OPTIONS) for one in (hole, hole > 0))
    assert np.array_equal(white, true) and not np.array_equal(white, photo)
    for fill in (
        lambda mask: latentfill.fill(photo, mask, PLAIN, OPTIONS),
        lambda m: latentfill.pose(PLAIN, [photo], [m]),
    ):
        with pytest.raises(HoleError, match="its largest value is 1; white is 128 and above") as refused:
            fill(hole // 255)
        assert "hole.astype(bool)" in refused.value.cure


@pytest.mark.parametrize("shape", [(16, 16), (40, 70)])
@pytest.mark.parametrize("observe", [None, "grey"])
def test_a_hole_is_widened_before_anything_is_made_of_it(shape, observe):
    photo, hole = noise(*shape), hole_at(shape, 5, 5, 8, 9)
    wider = grow(hole, 3)
    more = dict(observe=observe)
    made = latentfill.fill(photo, hole, PLAIN, OPTIONS, photo_options=PhotoOptions(grow=3), **more)
    assert np.array_equal(made.photo, latentfill.fill(photo, wider, PLAIN, OPTIONS, **more).photo)
    if observe is None:
        changed = (made.photo != photo).any(-1)
        assert changed[wider > 0].mean() > 0.9 and not changed[wider == 0].any()


def test_hidden_colours_do_not_show_where_a_small_photo_is_enlarged():
    alpha = np.full((20, 20), 255, np.uint8)
    alpha[:, :8] = 0
    hole = hole_at((20, 20), 14, 12, 17, 15)
    shown = []
    for hidden in (0, 255):
        photo = np.where(alpha[..., None] == 0, np.uint8(hidden), noise(20, 20))
        made = cutting.cut_observed(Original(photo, alpha), hole, parse_operator("lowres:2"), PLAIN, PhotoOptions())
        shown.append(made.original.values)
    assert np.array_equal(*shown)


def test_a_preset_is_taken_by_its_name(monkeypatch):
    monkeypatch.setitem(latentfill.COMPLETE_PRESETS, "fast", OPTIONS)
    photo, hole = noise(16, 16), hole_at((16, 16), 4, 4, 12, 12)
    named, given = (latentfill.fill(photo, hole, PLAIN, one) for one in ("fast", OPTIONS))
    assert np.array_equal(named.photo, given.photo)
    with pytest.raises(LatentfillError, match="no preset 'quick'\nIt is one of: seed, paper, fast, best"):
        latentfill.fill_crops(PLAIN, [photo], [hole], "quick")
    with pytest.raises(LatentfillError, match="no preset 'quick'"):
        latentfill.complete(PLAIN, latentfill.pose(PLAIN, [photo], [hole]), "quick")
