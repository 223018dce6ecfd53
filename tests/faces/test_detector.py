import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from latentfill.errors import LatentfillError
from latentfill.faces import detector
from latentfill.faces.detector import Face, detect_faces, suppress
from latentfill.faces.placement import Box
from latentfill.faces.templates import place, template
from latentfill.options import Alignment, LandmarkSet
from latentfill.types import Pixels

ASTRONAUT: Pixels = skimage.data.astronaut()  # type: ignore[no-untyped-call]
# Of dlib's own run on the whole picture, as middles of pixels.
KNOWN = {39: (212, 104), 42: (237, 106), 57: (222, 156), 36: (195, 101), 45: (255, 105), 33: (224, 134)}
SETS: dict[LandmarkSet, tuple[int, int, int]] = {
    "inner-eyes-and-bottom-lip": (39, 42, 57),
    "outer-eyes-and-nose": (36, 45, 33),
}
CORNERS = np.array([[0.0, 0], [64, 0], [0, 64], [64, 64]])


def known(name: LandmarkSet) -> np.ndarray:
    return np.array([KNOWN[i] for i in SETS[name]]) + 0.5


def resized(photo: Pixels, width: int) -> Pixels:
    height = round(photo.shape[0] * width / photo.shape[1])
    return np.asarray(Image.fromarray(photo).resize((width, height), Image.Resampling.BICUBIC))


def is_around(face: Face, x: float, y: float) -> bool:
    return face.left < x < face.right and face.top < y < face.bottom


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("everyone", [True, False])
def test_the_astronauts_eyes_and_mouth_come_to_lie_on_the_template(name: LandmarkSet, everyone: bool) -> None:
    alignment = Alignment(name)
    crop = place(detect_faces(ASTRONAUT, name, everyone=everyone)[0].points, 64, alignment)
    assert np.linalg.norm(crop.to_crop(known(name)) - template(64, alignment), axis=1).max() < 1


def test_both_sets_cut_nearly_the_same() -> None:
    one, other = (place(detect_faces(ASTRONAUT, name, everyone=False)[0].points, 64, Alignment(name)) for name in SETS)
    assert np.linalg.norm(one.to_crop(other.to_photo(CORNERS)) - CORNERS, axis=1).mean() < 3


def test_a_face_says_all_its_landmarks() -> None:
    many, few = (detect_faces(ASTRONAUT, name, everyone=False)[0] for name in SETS)
    assert many.landmarks.shape == (68, 2) and few.landmarks.shape == (5, 2)
    np.testing.assert_array_equal(many.points, many.landmarks[[39, 42, 57]])
    np.testing.assert_array_equal(few.points, few.landmarks[[2, 0, 4]])
    assert np.linalg.norm(many.landmarks[[36, 45, 33]] - few.points, axis=1).max() < 4
    assert many.score > 1


def test_a_false_face_of_the_same_size_ranks_last() -> None:
    """dlib sees one in the astronaut's suit when she is enlarged."""
    real, false = [face for face in detect_faces(ASTRONAUT, threshold=-0.1) if face.right - face.left > 80]
    assert is_around(real, 224, 128) and is_around(false, 170, 380)
    assert real.rank > 5 * false.rank


def test_below_zero_a_larger_face_still_comes_first() -> None:
    face = detect_faces(ASTRONAUT)[0]
    small, large = replace(face, score=-0.2), replace(face, score=-0.2, right=face.right + 99)
    assert face.rank > large.rank > small.rank


@pytest.mark.parametrize("everyone", [True, False])
def test_of_two_faces_the_larger_comes_first(everyone: bool) -> None:
    part, small = ASTRONAUT[:300, 60:400], resized(ASTRONAUT[:300, 60:400], 240)
    photo = np.full((320, 640, 3), 128, np.uint8)
    photo[:300, 300:640], photo[20 : 20 + small.shape[0], 20:260] = part, small
    faces = detect_faces(photo, everyone=everyone)
    assert len(faces) == (2 if everyone else 1)
    assert is_around(faces[0], 224 - 60 + 300, 128)
    if everyone:
        scale, at = 240 / 340, np.array([20, 20])
        there = (known("inner-eyes-and-bottom-lip") - [60, 0]) * scale + at
        assert np.abs(faces[1].points - there).max() < 2


def test_a_turned_face_turns_its_crop() -> None:
    image = Image.fromarray(ASTRONAUT).rotate(12, Image.Resampling.BICUBIC, center=(224, 128))
    a, b, _ = place(detect_faces(np.asarray(image))[0].points, 64, Alignment(similarity=True)).matrix[0]
    upright = place(detect_faces(ASTRONAUT)[0].points, 64, Alignment(similarity=True)).matrix[0]
    turn = np.degrees(np.arctan2(b, a) - np.arctan2(upright[1], upright[0]))
    assert turn == pytest.approx(12, abs=2)


def test_grey_pictures_have_the_same_face() -> None:
    grey = np.asarray(Image.fromarray(ASTRONAUT).convert("L").convert("RGB"))
    assert np.abs(detect_faces(grey)[0].points - detect_faces(ASTRONAUT)[0].points).max() < 2


@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (30, 7), (79, 79), (200, 300)])
@pytest.mark.parametrize("everyone", [True, False])
def test_where_no_face_is_none_is_found(shape: tuple[int, int], everyone: bool) -> None:
    photo = np.linspace(0, 255, shape[0] * shape[1] * 3).astype(np.uint8).reshape(*shape, 3)
    assert detect_faces(photo, everyone=everyone) == []


@pytest.mark.parametrize(("width", "found"), [(512, 0), (300, 1), (140, 2)])  # the face is 0.17 of it
def test_small_faces_need_upsampling(width: int, found: int) -> None:
    photo = resized(ASTRONAUT, width)
    for times in range(3):
        faces = detect_faces(photo, upsample=times, everyone=False)
        assert bool(faces) == (times >= found)
    scale = width / 512
    assert np.abs(faces[0].points / scale - known("inner-eyes-and-bottom-lip")).max() < 3


def test_a_higher_threshold_finds_less_and_a_lower_one_says_its_scores() -> None:
    assert detect_faces(ASTRONAUT, threshold=5.0) == []
    many = detect_faces(ASTRONAUT, threshold=-0.6)
    assert many[0].score > 1 and many[-1].score < 0
    assert [face.rank for face in many] == sorted((face.rank for face in many), reverse=True)


def test_a_part_of_the_photo_can_be_searched() -> None:
    photo = resized(ASTRONAUT, 300)
    box = Box(20, 60, 140, 220)
    face = detect_faces(photo, within=box, everyone=False)[0]
    assert np.abs(face.points - detect_faces(photo)[0].points).max() < 1
    assert is_around(face, 224 * 300 / 512, 128 * 300 / 512)
    assert not any(face.score > 0.2 for face in detect_faces(photo, within=Box(160, 0, 300, 300)))
    assert detect_faces(photo, within=Box(5, 5, 5, 9)) == []


def test_in_twelve_megapixels_the_first_look_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = np.full((3000, 4000, 3), 90, np.uint8)
    photo[:, 500:3500] = resized(ASTRONAUT, 3000)
    looks, look = [], detector._detect

    def noted(photo: Pixels, scale: float, threshold: float, colours: str) -> list[detector.Sighting]:
        looks.append(scale)
        return look(photo, scale, threshold, colours)

    monkeypatch.setattr(detector, "_detect", noted)
    scale = 3000 / 512
    face = detect_faces(photo, everyone=False)[0]
    assert looks == [pytest.approx((1 / 12) ** 0.5)]
    assert np.abs((face.points - [500, 0]) / scale - known("inner-eyes-and-bottom-lip")).max() < 3


def test_no_look_is_larger_than_allowed() -> None:
    for pixels in (100, 62_500, 10**6, 12 * 10**6, 10**8):
        for upsample in range(4):
            quick, thorough = (detector._scales(pixels, upsample, everyone, 16 * 10**6) for everyone in (False, True))
            assert quick == sorted(set(quick)) and thorough == quick[-2:]
            assert all(scale**2 * pixels <= 16.001e6 for scale in quick)
            assert quick[-1] == min(2**upsample, (16e6 / pixels) ** 0.5) or quick[-1] >= 0.75 * 2**upsample
            assert quick[0] ** 2 * pixels <= 1.001e6


def test_boxes_of_one_face_become_one() -> None:
    face = detect_faces(ASTRONAUT)[0]
    again = replace(face, left=face.left + 15, right=face.right + 15, score=0.4)
    other = replace(face, left=face.left + 200, right=face.right + 200, score=0.5)
    assert suppress([again, face, other]) == [face, other]
    assert suppress([]) == []


def test_a_face_at_the_border_is_found_and_a_window_is_no_copy_of_the_photo() -> None:
    photo = ASTRONAUT[60:, 150:]  # not contiguous, and the face in its corner
    face = detect_faces(photo, everyone=False)[0]
    assert np.abs(face.points + np.array([150, 60]) - known("inner-eyes-and-bottom-lip")).max() < 3


def test_another_thread_copies_the_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    import dlib

    here = detect_faces(ASTRONAUT)
    monkeypatch.delattr(dlib, "get_frontal_face_detector")
    with ThreadPoolExecutor(1) as pool:
        there = pool.submit(detect_faces, ASTRONAUT).result()
    assert [face.score for face in there] == [face.score for face in here]


def test_without_dlib_the_cure_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    detector._detector.cache_clear()
    with pytest.raises(LatentfillError, match=r"needs dlib\nInstall it: pip install 'latentfill\[faces\]'"):
        detect_faces(ASTRONAUT)


def test_without_its_models_the_cure_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(detector, "find_spec", lambda name: None)
    detector._predictor.cache_clear()
    with pytest.raises(LatentfillError, match=r"shape_predictor_68.*face_recognition_models\nInstall it"):
        detect_faces(ASTRONAUT)


def test_the_package_of_the_models_is_never_imported() -> None:
    detect_faces(ASTRONAUT)
    assert "face_recognition_models" not in sys.modules
