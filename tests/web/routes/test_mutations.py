"""Valid requests, changed at random: whatever comes, the server answers that it cannot be used, and goes on."""

import asyncio
import json
import logging
import random
import struct
import zlib

import httpx
import numpy as np

from latentfill.images.photos import Original, encode
from latentfill.web.routes import edit as edits

COUNT = 500
PATHS = ("/api/v1/complete", "/api/v1/complete/stream", "/api/v1/faces", "/api/v1/edits", "/api/v1/sample")
WORDS = [
    *(
        "",
        " ",
        "0",
        "-1",
        "1e999",
        "nan",
        "NaN",
        "null",
        "true",
        "[]",
        "{}",
        "[[]]",
        '""',
        "\0",
        "ü" * 50,
        "9" * 400,
        "[" * 2000,
    ),
    *(
        "../../etc/passwd",
        "/dev/zero",
        "file:///etc/passwd",
        "hf://a/b",
        "center:9",
        "center:nan",
        "alpha",
        "lowres",
        "half",
    ),
    *(
        "colour:#zz",
        "rectangle:0,0,-1,9e99",
        "ellipse:1,2,3,4",
        "rectangle:1,1,5,5+ellipse:50%,50%,9",
        "random:1",
        "random:0",
    ),
    *(
        "grey",
        "lowres:4",
        "lowres:0",
        "jpeg:30",
        "levels:2",
        "noise:1e9",
        "grey+lowres:8+jpeg:1",
        "full",
        "grid",
        "thick",
        "pattern",
    ),
    *(
        "best",
        "fast",
        "seed",
        "paper",
        "tiny",
        "grey",
        "faces",
        '{"steps": 3}',
        '{"steps": 1e9}',
        '{"candidates": 3}',
        "[[[0,0]]]",
    ),
    *(
        '{"method": "hmc"}',
        '{"place": "faces"}',
        '{"outside": "telea"}',
        '{"grain": 0}',
        '{"window": 1}',
    ),
    *(
        "[[[1,2],[3,4],[5,6]]]",
        "[[[1,2],[1,2],[1,2]]]",
        "[[[1e300,2],[3,4],[5,6]]]",
        '{"start": "encoder"}',
        '{"prune": true}',
    ),
]
FIELDS = ("photo", "hole", "hole_spec", "model", "preset", "options", "photo_options", "observe", "landmarks")
FIELDS += ("frames", "state", "count", "side", "pick", "unknown")
HEADERS = ("host", "origin", "content-type", "content-length", "accept", "authorization", "expect", "transfer-encoding")


def shaken(rng, data):
    """Some bytes flipped, cut out, doubled, or strewn in."""
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5])):
        at, length = rng.randrange(len(data) + 1), rng.choice([1, 2, 8, 64])
        match rng.randrange(5):
            case 0 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = data[at : at + length]
            case 3:
                data[at:at] = rng.randbytes(length)
            case 4:
                del data[rng.randrange(len(data) + 1) :]
    return bytes(data)


def repaired(png):
    """The same chunks with checksums that are right again, so that decoders come further."""
    at, made = 8, bytearray(png[:8])
    while at + 12 <= len(png):
        (length,) = struct.unpack_from(">I", png, at)
        body = png[at + 4 : at + 8 + length]
        made += png[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return bytes(made)


def mutated(rng, fields, sample):
    """A request: path, headers, body."""
    path = rng.choice(PATHS)
    if path.endswith("sample"):
        request = httpx.Request("POST", f"http://127.0.0.1:8000{path}", json=sample)
    else:
        form = dict(fields)
        if path.endswith("faces"):
            form = {"photo": form["photo"]}
        if path.endswith("edits"):
            form |= {"count": b"1", "frames": b"3"}
        else:
            form.pop("state", None)
        kind = rng.randrange(4)
        if kind == 0:
            name = rng.choice([one for one in ("photo", "hole") if one in form])
            form[name] = repaired(shaken(rng, form[name])) if rng.random() < 0.5 else shaken(rng, form[name])
        if kind == 1:
            for _ in range(rng.choice([1, 1, 2])):
                form[rng.choice(FIELDS)] = rng.choice(WORDS).encode()
            if "hole_spec" in form:
                form.pop("hole", None)
        if kind == 2:
            form.pop(rng.choice(list(form)))
        files = {name: (f"{name}.png", data) for name, data in form.items()}
        request = httpx.Request("POST", f"http://127.0.0.1:8000{path}", files=files)
    headers, body = dict(request.headers), request.read()
    if rng.random() < 0.25 or path.endswith("sample"):
        body = shaken(rng, body)
        headers["content-length"] = str(len(body))
    if rng.random() < 0.1:
        headers[rng.choice(HEADERS)] = rng.choice([*WORDS, "application/json", "multipart/form-data", "text/html"])
    if rng.random() < 0.3:
        headers["accept"] = rng.choice(["application/json", "image/png", "*/*;q=", "a/b"])
    return path, headers, body


async def answered(app, path, headers, body):
    """Status and body of the answer to one request."""
    names = [(name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in headers.items()]
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http"}
    scope |= {"path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": names}
    scope |= {"client": ("127.0.0.1", 40000), "server": ("127.0.0.1", 8000)}
    sent, whole = [], False

    async def receive():
        nonlocal whole
        if whole:
            await asyncio.Event().wait()  # a client that stays
        whole = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    await asyncio.wait_for(app(scope, receive, send), 30)
    return sent[0]["status"], b"".join(one.get("body", b"") for one in sent)


def unedited(gan, question, completion, count, steps):
    """In the place of a second of computing: every edit changes nothing."""
    yield from ([one.expand(2 * steps + 1, -1, -1, -1)] * count for one in completion.images[:, None])


def test_hundreds_of_changed_requests_never_make_the_server_fail(app_of, form, caplog, monkeypatch):
    monkeypatch.setattr(edits, "_images", unedited)
    rng = random.Random(20261125)
    app = app_of(max_steps=30, max_pixels=4000, max_seconds=2.0)
    pixels = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)  # of the model's size: soon composed
    hole = np.where(pixels[..., :1] > 99, np.uint8(255), np.uint8(0))
    pictures = {"photo": encode(Original(pixels)), "hole": encode(Original(hole))}
    options = {"steps": 1, "cold_steps": 0, "tune_steps": 0, "precision": "fp32"}
    valid = form(**pictures, options=options, photo_options={"grain": False})
    fields = {name: data for name, (_, data) in valid["files"].items()}
    fields |= {name: text.encode() for name, text in valid["data"].items()}
    sample = {"images": [{"7": 1, "8": -1}], "columns": 2, "model": "tiny"}
    statuses = {}

    async def all_of_them():
        engine = app.state.state.engine
        engine.start()
        whole = httpx.Request("POST", "http://127.0.0.1:8000/api/v1/complete", **valid)
        headers, body = {**whole.headers, "accept": "application/json"}, whole.read()
        status, told = await answered(app, PATHS[0], headers, body)
        assert status == 200
        fields["state"] = json.loads(told)["state"].encode()
        for number in range(COUNT):
            path, changed, data = mutated(rng, fields, sample)
            status, told = await answered(app, path, changed, data)
            assert status < 500 and b"please report" not in told, (number, path, changed, data[:3000], told[:500])
            assert status == 200 or {"error", "cure"} == set(json.loads(told)), (number, told)
            statuses[status] = statuses.get(status, 0) + 1
        assert (await answered(app, PATHS[0], headers, body))[0] == 200
        await engine.close()

    with caplog.at_level(logging.WARNING):
        asyncio.run(all_of_them())
    assert not [one.getMessage() for one in caplog.records if one.name == "latentfill.web"]
    assert {200, 400, 415, 422} <= set(statuses) and min(statuses[200], statuses[422]) > 50, statuses
    counted = app.state.state.metrics.text().decode()
    assert "latentfill_open_requests 0.0" in counted and "latentfill_queue_length 0.0" in counted
