import io
from base64 import b64decode, b64encode

import numpy as np
import pytest
from PIL import Image

from latentfill.faces.placement import Placement
from latentfill.figures import samples as directions
from latentfill.images.photos import Original
from latentfill.photo.crop import Cut
from latentfill.web.routes import edit as edits
from latentfill.web.routes.edit import shrink

EDITS = "/api/v1/edits"


def opened(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def of_url(url):
    return opened(b64decode(url.split(",")[1]))


def complete(client, form, **files):
    return client.post("/api/v1/complete", headers={"accept": "application/json"}, **form(**files)).json()


@pytest.fixture(scope="module")
def found(client):
    """What was told of a completion."""
    asked = {}

    def find(form):
        if not asked:
            asked.update(complete(client, form))
        return asked

    return find


def test_edits_change_the_hole_and_nothing_else_and_the_middle_is_what_was_found(client, form, photo, found):
    told = found(form)
    answer = client.post(EDITS, **form(state=told["state"], count=2, frames=5))
    assert answer.status_code == 200, answer.text
    edits = answer.json()["edits"]
    assert [one["name"] for one in edits] == ["way 1", "way 2"]
    pixels, hole = photo
    whole = of_url(told["candidates"][0]["image"])
    for edit in edits:
        frames = [of_url(url) for url in edit["images"]]
        assert len(frames) == 5 and np.abs(frames[2].astype(int) - whole).max() <= 1
        assert all(np.array_equal(frame[hole == 0], pixels[hole == 0]) for frame in frames)
        assert (frames[0] != frames[4])[hole > 0].any()


def test_one_is_had_at_the_photos_own_resolution(client, form, photo, found):
    large = np.asarray(Image.fromarray(photo[0]).resize((400, 240)))
    hole = np.asarray(Image.fromarray(photo[1]).resize((400, 240), Image.Resampling.NEAREST))
    files = {}
    for name, pixels in (("photo", large), ("hole", hole)):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        files[name] = file.getvalue()
    state = complete(client, form, **files)["state"]
    small = client.post(EDITS, **form(**files, state=state, count=1, frames=3, side=80)).json()
    assert of_url(small["edits"][0]["images"][0]).shape == (48, 80, 3)
    picked = opened(client.post(EDITS, **form(**files, state=state, count=1, frames=3, pick=[0, 2])).content)
    assert picked.shape == large.shape and np.array_equal(picked[hole == 0], large[hole == 0])
    assert client.post(EDITS, **form(**files, state=state, count=1, frames=3, pick=[1, 0])).status_code == 422


@pytest.mark.parametrize("state", ["", "!", "AAAA", b64encode(np.full(774, np.nan, "<f4").tobytes()).decode()])
def test_a_state_of_something_else_is_refused(client, form, state):
    answer = client.post(EDITS, **form(state=state))
    assert answer.status_code == 422 and "state" in answer.json()["error"]


def test_the_state_of_another_photo_is_refused_though_it_has_the_same_size(client, form, photo, found):
    file = io.BytesIO()
    Image.fromarray(photo[0] ^ 1).save(file, "PNG")
    answer = client.post(EDITS, **form(photo=file.getvalue(), state=found(form)["state"], count=1, frames=3))
    assert answer.status_code == 422 and "not that of a completion of this photo" in answer.json()["error"]


def test_a_state_of_any_numbers_is_made_one_that_the_model_knows(client, form, found):
    digest = b64decode(found(form)["state"])[:32]
    state = b64encode(digest + np.full(6 + 3 * 16 * 16, 1e30, "<f4").tobytes()).decode()
    assert client.post(EDITS, **form(state=state, count=1, frames=3)).status_code == 200


@pytest.mark.parametrize("change", [{"count": 9}, {"count": 0}, {"frames": 4}, {"frames": 13}, {"side": 10}])
def test_too_many_are_refused(client, form, found, change):
    assert client.post(EDITS, **form(state=found(form)["state"], **change)).status_code == 422


def test_a_photo_is_shrink_with_its_hole_and_its_squares():
    values = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    hole = np.zeros((30, 50), np.uint8)
    hole[4, 7] = 255
    square = Placement(((2.0, 0.0, 6.0), (0.0, 2.0, 3.0)), 8)
    small = shrink(Cut(Original(values, values[..., 2]), hole, (square,), (), (), 1.0), 20)
    assert small.original.values.shape == (10, 17, 3) and small.hole.shape == (10, 17)
    assert np.argwhere(small.hole).tolist() == [[1, 2]]
    weights = values[:3, :3, 2:] / values[:3, :3, 2].mean()
    assert np.abs(small.original.values[0, 0] - (values[:3, :3] * weights).mean((0, 1))).max() <= 3
    assert abs(small.original.alpha[0, 0] - values[:3, :3, 2].mean()) <= 1
    points = np.array([[1.0, 2.0], [8.0, 8.0]])
    assert np.allclose(small.placements[0].to_photo(points), square.to_photo(points) / 3)


def test_what_would_fill_the_memory_is_refused(client, form, found, monkeypatch):
    monkeypatch.setattr(edits, "MOST_PIXELS", 3 * 24 * 40)
    state = found(form)["state"]
    assert client.post(EDITS, **form(state=state, count=1, frames=3)).status_code == 200
    answer = client.post(EDITS, **form(state=state, count=1, frames=5))
    assert answer.status_code == 422 and "Ask for fewer" in answer.json()["cure"]
    monkeypatch.setattr(edits, "MOST_SQUARES", 0)
    answer = client.post(EDITS, **form(state=state, count=1, frames=3))
    assert answer.status_code == 422 and "faces are touched" in answer.json()["error"]


def test_a_photo_counts_until_its_edits_are_answered(client, form, found, monkeypatch):
    queue, held = client.app.state.state.engine._queue, []
    monkeypatch.setattr(edits, "edit_images", lambda *asked: held.append((queue.slots, queue.pixels)) or kept(*asked))
    kept = directions.edit_images
    assert client.post(EDITS, **form(state=found(form)["state"], count=1, frames=3)).status_code == 200
    assert held == [(0, 24 * 40)] and queue.pixels == 0


def test_edits_are_called_after_their_squares_also_where_one_has_none():
    assert edits.names([0, 2, 1]) == ["square 2, way 1", "square 2, way 2", "square 3, way 1"]
    assert edits.names([2]) == ["way 1", "way 2"]
