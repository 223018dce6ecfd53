import asyncio
import io
import json
import time
from base64 import b64decode
from dataclasses import replace
from threading import Event

import httpx
import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin
from starlette.testclient import TestClient

from latentfill.completion.complete import watch
from latentfill.gan.completer import build_upsampler
from latentfill.images import archives, photos
from latentfill.images.archives import Source
from latentfill.options import CompleteOptions, PhotoOptions, ServeOptions
from latentfill.pipeline import fill
from latentfill.uncertainty.predict import Uncertainty
from latentfill.web.app import create_app
from latentfill.web.serialization import describe_trust

from .conftest import png

COMPLETE, STREAM = "/api/v1/complete", "/api/v1/complete/stream"
AS_JSON = {"accept": "application/json"}
SIZE = 16


def opened(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def of_url(url):
    head, data = url.split(",")
    assert head == "data:image/png;base64"
    return opened(b64decode(data))


def posted(app, form, path=COMPLETE):
    """The scope and body of a request, as a server would hand them to the application."""
    request = httpx.Request("POST", f"http://127.0.0.1:8000{path}", **form)
    headers = [(name.lower().encode(), value.encode()) for name, value in request.headers.items()]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 40000),
        "server": ("127.0.0.1", 8000),
    }
    return scope, request.read()


@pytest.fixture
def slowly(monkeypatch):
    """Searches that take their time: `closed` is set when one was stopped, `begun` when one began."""

    class Told:
        closed, begun = Event(), Event()

    def slow(gan, incomplete, options):
        try:
            for completion in watch(gan, incomplete, options):
                Told.begun.set()
                yield completion
                time.sleep(0.003)
        except GeneratorExit:
            Told.closed.set()
            raise

    monkeypatch.setattr("latentfill.pipeline.watch", slow)
    return Told


def test_a_photo_comes_back_with_margins(client, form, photo):
    answer = client.post(COMPLETE, **form(hole=None, photo_options={"extend": "25%,3,0,0"}))
    made = opened(answer.content)
    assert made.shape == (27, 50, 3) and np.array_equal(made[3:, 10:], photo[0])
    refused = client.post(COMPLETE, **form(photo_options={"extend": "41,0,0,0"}))
    assert refused.status_code == 422 and "wider than its 40 x 24 pixels" in refused.json()["error"]


def test_a_photo_comes_back_completed_and_the_same_outside_of_the_hole_to_the_bit(client, form, photo):
    answer = client.post(COMPLETE, **form())
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/png"
    pixels, hole = photo
    made = opened(answer.content)
    assert np.array_equal(made[hole == 0], pixels[hole == 0]) and not np.array_equal(made[hole > 0], pixels[hole > 0])


def test_it_is_what_fill_makes_of_it(client, form, photo, models):
    options = CompleteOptions(steps=5, precision="fp32")
    made = fill(*photo, models["tiny"], options, photo_options=PhotoOptions(grain=False))
    answer = client.post(COMPLETE, **form(photo_options={"grain": False}))
    assert np.abs(opened(answer.content).astype(int) - made.photo.astype(int)).max() <= 1


def test_the_upsampler_redraws_completions_and_edits(client, form, photo, models):
    gan = replace(models["tiny"], upsampler=build_upsampler(3))
    fields = form(photo_options={"grain": False})
    with TestClient(create_app(ServeOptions(), {"tiny": gan}), base_url="http://127.0.0.1:8000") as redrawing:
        told = redrawing.post(COMPLETE, headers=AS_JSON, **fields).json()
        edited = form(photo_options={"grain": False}, state=told["state"], count=1, frames=3)
        edit = redrawing.post("/api/v1/edits", **edited).json()["edits"][0]
    image = of_url(told["candidates"][0]["image"]).astype(int)
    made = fill(*photo, gan, CompleteOptions(steps=5, precision="fp32"), photo_options=PhotoOptions(grain=False))
    assert np.abs(image - made.photo).max() <= 1
    assert np.abs(image - of_url(edit["images"][1])).max() <= 1
    assert np.abs(image - opened(client.post(COMPLETE, **fields).content)).max() > 1


def test_metadata_depth_and_alpha_are_kept(client, form, photo, tmp_path):
    pixels, hole = photo
    alpha = np.full(hole.shape, 255, np.uint8)
    alpha[0, 0] = 7
    about = PngImagePlugin.PngInfo()
    about.add_text("Author", "somebody")
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    file = io.BytesIO()
    Image.fromarray(np.dstack([pixels, alpha])).save(file, "PNG", pnginfo=about, dpi=(300, 300), exif=exif)
    made = Image.open(io.BytesIO(client.post(COMPLETE, **form(photo=file.getvalue())).content))
    assert made.text["Author"] == "somebody" and round(made.info["dpi"][0]) == 300
    assert made.getexif()[0x010F] == "a camera" and made.mode == "RGBA" and np.asarray(made)[0, 0, 3] == 7

    deep = photos.Original(pixels.astype(np.uint16) * 257 - np.uint16(1) * (pixels > 0))
    (tmp_path / "made.png").write_bytes(client.post(COMPLETE, **form(photo=photos.encode(deep))).content)
    again = photos.read_original(Source("made.png", tmp_path / "made.png"))
    assert again.bits == 16 and np.array_equal(again.values[hole == 0], deep.values[hole == 0])


def test_json_holds_all_that_was_found(client, form, photo):
    options = {"steps": 5, "candidates": 2, "attempts": 3, "precision": "fp32"}
    answer = client.post(COMPLETE, headers=AS_JSON, **form(options=options))
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    pixels, hole = photo
    assert set(told) == {"event", "candidates", "spread", "trust", "notes", "seconds", "state"}
    assert len(told["candidates"]) == 2 and told["candidates"][0]["loss"] <= told["candidates"][1]["loss"]
    for one in told["candidates"]:
        assert np.array_equal(of_url(one["image"])[hole == 0], pixels[hole == 0])
    spread = of_url(told["spread"])
    assert spread.shape == hole.shape and not spread[hole == 0].any() and spread[hole > 0].any()
    assert told["trust"]["words"][0].startswith("not calibrated") and told["trust"]["predicted"] is None
    assert told["trust"]["unlike"] is False


def test_what_the_model_did_not_fill_is_told_to_have_no_estimate(client, form, photo):
    beside, across = np.zeros_like(photo[1]), np.zeros_like(photo[1])
    beside[8:15, 1:6], across[8:15, 4:12] = 255, 255  # the model is shown the columns 8 to 31
    told = client.post(COMPLETE, headers=AS_JSON, **form(hole=png(beside), options={"candidates": 2})).json()
    assert told["trust"] == {"predicted": None, "share": 0.0, "words": ["filled from the photo; no estimate"]}
    assert len(told["candidates"]) == 2
    told = client.post(COMPLETE, headers=AS_JSON, **form(hole=png(across))).json()
    assert told["trust"]["share"] == 0.5 and "speaks for the 50 % of the hole" in told["trust"]["words"][-1]


def test_a_stream_tells_each_step_and_then_what_was_found(client, form, photo, slowly):
    answer = client.post(STREAM, **form(options={"steps": 30, "precision": "fp32"}, frames=60))
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    events = [one["event"] for one in lines]
    assert events[:3] == ["queued", "started", "step"] and events[-1] == "done" and events.count("step") >= 3
    started, steps = lines[1], [one for one in lines if one["event"] == "step"]
    assert started["size"] == [40, 24] and started["total"] == 30
    assert started["placements"] == [{"outline": [[8.0, 0.0], [32.0, 0.0], [32.0, 24.0], [8.0, 24.0]]}]
    assert steps[0]["number"] == 0 and steps[0]["seconds_left"] is None and steps[-1]["seconds_left"] >= 0
    assert steps[-1]["loss"] == pytest.approx(sum(steps[-1]["terms"].values()), rel=1e-4)
    assert steps[-1]["loss"] < steps[0]["loss"] and of_url(steps[0]["image"]).shape == (SIZE, SIZE, 3)
    whole = of_url(lines[-1]["candidates"][0]["image"])
    assert np.array_equal(whole[photo[1] == 0], photo[0][photo[1] == 0])


def test_a_stream_that_runs_out_of_memory_ends_with_what_to_do(client, form, monkeypatch):
    def run_out(request, found):
        raise MemoryError

    monkeypatch.setattr("latentfill.web.routes.complete.describe_found", run_out)
    last = json.loads(client.post(STREAM, **form()).text.splitlines()[-1])
    assert last["event"] == "error" and last["error"] == "the server is short of memory" and last["cure"]


def test_of_several_squares_the_least_certain_has_the_numbers_and_each_its_words():
    rarity = torch.tensor([0.5, 0.5, 0.001])
    words = (("expect 30", "rough"), ("expect 9", "rough"), ("unlike", "rough"))
    trust = Uncertainty(words, torch.ones(3), torch.tensor([30.0, 9.0, 12.0]), rarity=rarity)
    told = describe_trust(trust)
    assert told["predicted"] == 12 and told["unlike"], "however small an error, nobody has measured such pictures"
    squares = ["square 1 of 3: expect 30", "square 2 of 3: expect 9", "square 3 of 3: unlike"]
    assert told["words"] == [*squares, "rough"], "what holds of all is told once"
    others = describe_trust(trust.select(slice(0, 2)))
    assert others["predicted"] == 30 and not others["unlike"]
    assert describe_trust(trust.select(slice(1, 2)))["words"] == ["expect 9", "rough"]


def test_an_empty_hole_gives_the_photo_back(client, form, photo):
    told = client.post(COMPLETE, headers=AS_JSON, **form(hole=None, hole_spec="full")).json()
    assert np.array_equal(of_url(told["candidates"][0]["image"]), photo[0])
    assert told["trust"] is None and told["state"] is None and "nothing is done" in told["notes"][0]
    lines = client.post(STREAM, **form(hole=None, hole_spec="full")).text.splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["queued", "started", "done"]


def test_holes_in_words_grey_models_and_observations_are_understood(client, form, photo):
    answer = client.post(COMPLETE, **form(hole=None, hole_spec="rectangle:2,2,5,5+ellipse:30,10,4,4"))
    assert np.array_equal(opened(answer.content)[:, 10:24], photo[0][:, 10:24])
    grey = client.post(COMPLETE, **form(model="grey"))
    assert grey.status_code == 200
    seen = client.post(COMPLETE, headers=AS_JSON, **form(hole=None, observe="grey")).json()
    assert of_url(seen["candidates"][0]["image"]).shape == (24, 40, 3) and seen["state"] is None


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [
        ({"photo": None}, 422, "photo"),
        ({"hole": None}, 422, "hole: it is missing"),
        ({"hole_spec": "center"}, 422, "one hole"),
        ({"hole": None, "hole_spec": "/etc/passwd"}, 422, "no kind of hole"),
        ({"hole": None, "hole_spec": "file"}, 422, "no kind of hole"),
        ({"hole": None, "hole_spec": "x" * 2000}, 422, "1000 characters"),
        ({"hole": None, "hole_spec": "lowres"}, 422, "model's size"),
        ({"hole": None, "hole_spec": "lowres", "observe": "grey"}, 422, "do not go together"),
        ({"hole": b"no picture"}, 415, "hole"),
        ({"photo": b"no picture"}, 415, "photo"),
        ({"model": "../secret"}, 404, "no model"),
        ({"preset": "none"}, 422, "no preset"),
        ({"options": {"steps": -1}}, 422, "steps"),
        ({"options": {"steps": 2001}}, 422, "2,001 steps"),
        ({"options": {"start": "encoder"}}, 422, "no encoder"),
        ({"options": {"method": "posterior"}}, 422, "no method posterior any more"),
        ({"preset": "posterior"}, 422, "no method posterior any more"),
        ({"photo_options": {"place": "nowhere"}}, 422, "place"),
        ({"landmarks": [[[1, 2], [3, 4]]]}, 422, "landmarks"),
        ({"landmarks": [[[1, 2], [3, 4], [1e9, 5]]]}, 422, "outside"),
        ({"observe": "x-rays"}, 422, "observation"),
        ({"observe": "grey", "model": "grey"}, 422, "grey"),
        ({"nonsense": "1"}, 422, "nonsense"),
    ],
)
@pytest.mark.parametrize("path", [COMPLETE, STREAM])
def test_what_cannot_be_answered_is_told_with_a_cure(client, form, path, change, status, told):
    answer = client.post(path, **form(**change))
    assert answer.status_code == status and told in answer.json()["error"] and answer.json()["cure"]


def test_a_hole_of_another_size_is_told(client, form):
    file = io.BytesIO()
    Image.new("L", (9, 9), 255).save(file, "PNG")
    answer = client.post(COMPLETE, **form(hole=file.getvalue()))
    assert answer.status_code == 422 and "9 x 9" in answer.json()["error"]


def test_no_word_of_a_client_is_looked_for_on_the_disk(client, form, monkeypatch):
    def touched(*_):
        raise AssertionError("the disk was asked")

    monkeypatch.setattr("latentfill.images.holes._exists", touched)
    monkeypatch.setattr(archives.Source, "bytes", touched)
    for words in ("center", "center:0.3:4", "file", "folder", ".", "/", "colour", "rectangle:x", "lowres:8"):
        assert client.post(COMPLETE, **form(hole=None, hole_spec=words)).status_code in (200, 422)


@pytest.mark.parametrize("path", [COMPLETE, STREAM])
def test_a_client_that_leaves_stops_its_search(app_of, form, slowly, path):
    app = app_of()
    scope, body = posted(app, form(options={"steps": 1000, "precision": "fp32"}), path)
    sent = []

    async def receive():
        nonlocal body
        if body is not None:
            message, body = {"type": "http.request", "body": body, "more_body": False}, None
            return message
        await asyncio.to_thread(slowly.begun.wait, 10)
        await asyncio.sleep(0.1)
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    async def run():
        engine = app.state.state.engine
        engine.start()
        await asyncio.wait_for(app(scope, receive, send), 20)
        closed = await asyncio.to_thread(slowly.closed.wait, 10)
        await engine.close()
        return closed

    assert asyncio.run(run())
    assert b'"done"' not in b"".join(one.get("body", b"") for one in sent)


def test_a_client_that_reads_nothing_holds_nobody_up(app_of, form, slowly):
    app = app_of()
    stuck, scope_body = posted(app, form(options={"steps": 60, "precision": "fp32"}, frames=60), STREAM)

    async def run():
        engine = app.state.state.engine
        engine.start()
        free, lines = asyncio.Event(), []
        chunks = [{"type": "http.request", "body": scope_body, "more_body": False}]

        async def receive():
            if chunks:
                return chunks.pop()
            await asyncio.sleep(60)

        async def send(message):
            lines.extend(message.get("body", b"").splitlines())
            if any(b'"step"' in line for line in lines):
                await free.wait()  # a connection whose other end does not read

        reading = asyncio.create_task(app(stuck, receive, send))
        await asyncio.to_thread(slowly.begun.wait, 10)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as other:
            assert (await other.post(COMPLETE, **form(), timeout=20)).status_code == 200
        while engine._scheduler:
            await asyncio.sleep(0.01)
        free.set()
        await asyncio.wait_for(reading, 20)
        await engine.close()
        return [json.loads(line) for line in lines]

    lines = asyncio.run(run())
    assert lines[-1]["event"] == "done" and len([one for one in lines if one["event"] == "step"]) <= 3


def test_a_full_queue_is_429_with_the_time_to_come_again(app_of, form, slowly):
    app = app_of(queue=1)

    async def run():
        engine = app.state.state.engine
        engine.start()
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as one:
            with engine.open_slot():
                refused = [await one.post(path, **form()) for path in (COMPLETE, STREAM)]
            taken = await one.post(COMPLETE, **form())
        await engine.close()
        return refused, taken

    refused, taken = asyncio.run(run())
    for one in refused:
        assert one.status_code == 429 and int(one.headers["retry-after"]) >= 1 and "waiting" in one.json()["error"]
    assert taken.status_code == 200


def test_a_search_out_of_time_answers_with_a_note(app_of, form, slowly):
    app = app_of(max_seconds=0.1)

    async def run():
        app.state.state.engine.start()
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as one:
            slow = form(options={"steps": 1000, "precision": "fp32"})
            told = (await one.post(COMPLETE, headers=AS_JSON, **slow)).json()
        await app.state.state.engine.close()
        return told

    assert any(note.startswith("stopped after") for note in asyncio.run(run())["notes"])
