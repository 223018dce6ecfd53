import base64
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from latentfill.figures.samples import show
from latentfill.gan.model_file import build
from latentfill.options import NetworkOptions


def pixels(url):
    head, data = url.split(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def drawn(gan, z):
    return list(show(gan, z, torch.device("cpu")))


def test_a_seed_is_the_sample_that_it_always_is(serve, gan):
    answer = serve().post("/api/v1/sample", json={"images": [{"7": 1}, {"8": 1}]})
    assert answer.status_code == 200
    wanted = drawn(gan, gan.generator.prior.sample([7, 8]))
    assert [np.array_equal(pixels(url), one) for url, one in zip(answer.json()["images"], wanted, strict=True)] == [
        True
    ] * 2


def test_sums_of_latents_are_projected(serve, gan):
    prior = gan.generator.prior
    a, b, c = prior.sample([1, 2, 3]).split(1)
    answer = serve().post("/api/v1/sample", json={"images": [{"1": 5, "2": -4.5, "3": 1}]})
    assert np.array_equal(pixels(answer.json()["images"][0]), drawn(gan, prior.project(5 * a - 4.5 * b + c))[0])


def test_a_walk_goes_from_each_seed_to_the_next(serve, gan):
    answer = serve().post("/api/v1/sample", json={"walk": [5, 9, 5], "frames": 4}).json()["images"]
    stops = drawn(gan, gan.generator.prior.sample([5, 9]))
    assert len(answer) == 7
    assert np.array_equal(pixels(answer[0]), stops[0]) and np.array_equal(pixels(answer[6]), stops[0])
    assert np.array_equal(pixels(answer[3]), stops[1]) and answer[2] == answer[4]


def test_a_walk_of_a_normal_prior_goes_round_the_sphere(serve):
    gan = build(NetworkOptions(size=8, base=2, latent=3, prior="normal"))
    from latentfill.gan.directions import walk

    a, b = gan.generator.prior.sample([1, 2]).split(1)
    answer = serve({"normal": gan}).post("/api/v1/sample", json={"walk": [1, 2], "frames": 3}).json()["images"]
    assert np.array_equal(pixels(answer[1]), drawn(gan, walk(gan.generator.prior, a, b, 3))[1])


def test_who_likes_pictures_gets_one_of_all(serve):
    answer = serve().post(
        "/api/v1/sample",
        json={"images": [{str(i): 1} for i in range(6)], "columns": 4},
        headers={"accept": "image/png"},
    )
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(answer.content)).size == (32, 16)


def test_a_model_is_asked_for_by_name(serve, gan):
    other = build(NetworkOptions(size=16, base=2, latent=5), seed=1)
    client = serve({"tiny": gan, "large": other})
    for asked, size in ((None, 8), ("tiny", 8), ("large", 16)):
        answer = client.post("/api/v1/sample", json={"model": asked, "images": [{"1": 1}]})
        assert pixels(answer.json()["images"][0]).shape == (size, size, 3)


@pytest.mark.parametrize(
    "name", ["nothing", "", "../tiny", "/etc/passwd", "tiny.safetensors", "hf://a/b", "tiny\0", "."]
)
def test_no_other_name_reaches_the_file_system(serve, monkeypatch, name):
    client = serve()
    monkeypatch.setattr("latentfill.models.find", lambda *_: pytest.fail("looked for a file"))
    monkeypatch.setattr("pathlib.Path.is_file", lambda *_: pytest.fail("looked for a file"))
    answer = client.post("/api/v1/sample", json={"model": name, "images": [{"1": 1}]})
    assert answer.status_code == 404 and answer.json()["cure"] == "It is one of: tiny."


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"images": []},
        {"images": [{}]},
        {"images": [{"1": 1}], "walk": [1, 2]},
        {"images": [{"-1": 1}]},
        {"images": [{"2147483648": 1}]},
        {"images": [{"x": 1}]},
        {"images": [{"1.5": 1}]},
        {"images": [{"1": 1e9}]},
        {"images": [{"1": None}]},
        {"images": [{"1": "one"}]},
        {"images": {"1": 1}},
        {"images": [{str(i): 1 for i in range(33)}]},
        {"images": [{"1": 1}] * 65},
        {"walk": []},
        {"walk": [1]},
        {"walk": list(range(33))},
        {"walk": [1, 2], "frames": 1},
        {"walk": [1, 2], "frames": 65},
        {"walk": [1, 2, 3], "frames": 33},
        {"walk": [1, 2], "frames": 10**30},
        {"walk": [1, -2]},
        {"walk": "12"},
        {"images": [{"1": 1}], "columns": 0},
        {"images": [{"1": 1}], "model": 3},
        [],
        None,
        "text",
        7,
    ],
)
def test_what_cannot_be_drawn_is_refused(serve, asked):
    answer = serve().post("/api/v1/sample", json=asked)
    assert answer.status_code == 422 and set(answer.json()) == {"error", "cure"}


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe{}", b'{"walk": [1, NaN]}', b"[" * 200_000, b'{"walk": [1, 2], "frames": 1e999}']
)
def test_what_is_no_json_is_refused(serve, body):
    assert serve().post("/api/v1/sample", content=body).status_code == 422


def test_an_option_that_is_misspelt_is_not_passed_over(serve):
    answer = serve().post("/api/v1/sample", content=json.dumps({"walk": [1, 2], "frame": 3}))
    assert answer.status_code == 422 and "frame" in answer.json()["error"]
