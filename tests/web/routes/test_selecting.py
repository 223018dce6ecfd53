"""The outline of an object under a stroke, on demand of the page."""

import io
import json
from base64 import b64decode
from threading import current_thread

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from latentfill.images.segmentation import select_object
from latentfill.photo.locate import draw_feature
from latentfill.web.routes import photo_analysis as routes

from .conftest import png

pytest.importorskip("cv2")
SELECT = "/api/v1/select"


def scene():
    """A bright square on a dark ground, both with noise, and a stroke over it."""
    pixels = np.random.default_rng(0).integers(0, 60, (60, 80, 3), dtype=np.uint8)
    pixels[20:45, 30:60] += 150
    stroke = np.zeros((60, 80), np.uint8)
    stroke[26:38, 34:54] = 255
    stroke[26:28, 34:36] = 0  # else it would be a box around the object
    return pixels, stroke


def opened(answer):
    return np.asarray(Image.open(io.BytesIO(b64decode(answer.json()["hole"].split(",")[1]))))


def post(client, **files):
    return client.post(SELECT, files={name: (f"{name}.png", data) for name, data in files.items()})


def test_the_outline_comes_as_a_picture_of_the_photos_size(client, monkeypatch):
    pixels, stroke = scene()
    threads = []

    def select(*values):
        threads.append(current_thread().name)
        return select_object(*values)

    monkeypatch.setattr(routes, "select_object", select)
    answer = post(client, photo=png(pixels), hole=png(stroke))
    assert answer.status_code == 200 and answer.json()["size"] == [80, 60]
    found = opened(answer)
    assert np.array_equal(found, select_object(pixels, stroke))
    assert found[20:45, 30:60].mean() > 240 and (found > 0).sum() < 800
    assert threads[0].startswith("latentfill reads"), "the device is left to searches"


@pytest.mark.parametrize(
    ("files", "status", "told"),
    [
        ({}, 422, "covers nothing of the photo"),
        ({"hole": png(np.full((60, 80), 255, np.uint8))}, 422, "covers all of the photo"),
        ({"hole": png(np.full((60, 60), 255, np.uint8))}, 422, "60 x 60 pixels, but the photo is 80 x 60"),
        ({"hole": b"no picture"}, 415, "hole: not a picture"),
        ({"photo": b"no picture"}, 415, "photo: not a picture"),
        ({"hole": None}, 422, "one of hole and part"),
        ({"photo": None}, 422, "photo: it is missing"),
    ],
)
def test_what_cannot_be_selected_is_told(client, files, status, told):
    sent = {"photo": png(scene()[0]), "hole": png(np.zeros((60, 80), np.uint8)), **files}
    answer = post(client, **{name: data for name, data in sent.items() if data is not None})
    assert answer.status_code == status and told in answer.json()["error"] and answer.json()["cure"]


def test_its_pixels_are_counted_and_weighed(app_of, monkeypatch):
    from starlette.testclient import TestClient

    pixels, stroke = scene()
    with TestClient(app_of(max_pixels=4000), base_url="http://127.0.0.1:8000") as small:
        assert post(small, photo=png(pixels), hole=png(stroke)).status_code == 413
    with TestClient(app_of(), base_url="http://127.0.0.1:8000") as busy:
        monkeypatch.setattr("latentfill.web.scheduler.HELD_PIXELS", 5000)
        with busy.app.state.state.engine.open_slot() as slot:
            slot.weigh(500)
            assert post(busy, photo=png(pixels), hole=png(stroke)).status_code == 429


def select_part(client, pixels, **fields):
    sent = {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
    return client.post(SELECT, files={"photo": ("a.png", png(pixels))}, data=sent)


def test_a_part_of_the_face_that_is_pressed_comes_as_the_hole_in_words_draws_it(client):
    pytest.importorskip("dlib")
    two = np.concatenate([astronaut()[:300, 100:400]] * 2, 1)
    both = opened(select_part(client, two, part="mouth"))
    assert np.array_equal(both > 0, draw_feature(two, "mouth", ""))
    left, right = (opened(select_part(client, two, part="mouth", at=[x, 120])) for x in (120, 420))
    assert left.any() and right.any() and not left[:, 300:].any() and not right[:, :300].any()
    assert np.array_equal(left | right, both)
    nobody = select_part(client, two, part="mouth", at=[10, 290])
    assert nobody.status_code == 422 and "no face was found there" in nobody.json()["error"]


@pytest.mark.parametrize(
    ("fields", "told"), [({"part": "ear"}, "part"), ({"part": "nose", "at": [1]}, "at"), ({}, "one of hole and part")]
)
def test_what_is_no_part_of_a_face_is_told(client, fields, told):
    answer = select_part(client, scene()[0], **fields)
    assert answer.status_code == 422 and told in answer.json()["error"]
