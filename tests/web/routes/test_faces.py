import io

import numpy as np
from PIL import Image
from skimage.data import astronaut

FACES = "/api/v1/faces"


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_the_square_of_a_face_is_told(client):
    photo = astronaut()[:300, 100:400]
    told = client.post(FACES, files={"photo": ("a.png", png(photo))}, data={"model": "faces"}).json()
    assert told["size"] == [300, 300] and len(told["faces"]) == 1 and told["faces"][0]["score"] > 0.3
    corners = np.array(told["faces"][0]["outline"])
    assert corners.shape == (4, 2)
    assert np.abs(corners.mean(0) - [124, 134]).max() < 10 and 80 < np.linalg.norm(corners[1] - corners[0]) < 120


def test_a_model_of_something_else_has_no_faces(client, form):
    told = client.post(FACES, files={"photo": ("a.png", png(astronaut()[::4, ::4]))}).json()
    assert told == {"size": [128, 128], "faces": []}


def test_what_is_no_photo_is_told(client):
    assert client.post(FACES, files={"photo": ("a.png", b"x")}).status_code == 415
    assert client.post(FACES, files={"picture": ("a.png", b"x")}).status_code == 422


def test_the_faces_of_a_photo_on_its_side_are_told(client):
    photo = np.ascontiguousarray(np.rot90(astronaut()[:300, 100:400]))
    told = client.post(FACES, files={"photo": ("a.png", png(photo))}, data={"model": "faces"}).json()
    corners = np.array(told["faces"][0]["outline"])
    assert np.abs(corners.mean(0) - [134, 300 - 124]).max() < 10, "the middle of the upright one, turned"
