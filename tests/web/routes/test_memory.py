"""A server that is short of memory says so, whichever way is asked, and fails nobody."""

import json

import pytest

from latentfill.completion.complete import watch
from latentfill.web.engine import Engine

ALLOCATOR = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8192 bytes")
POSTS = ("complete", "complete/stream", "faces", "edits", "sample")


def fail(error):
    def raise_it(*given, **named):
        raise error

    return raise_it


@pytest.fixture
def post(client, form):
    def send(path):
        alone = dict.fromkeys(("hole", "options", "preset")) if path == "faces" else {}
        body = {"json": {"images": [{"1": 1}]}} if path == "sample" else form(**alone)
        return client.post(f"/api/v1/{path}", **body)

    return send


def check(answer):
    assert answer.status_code == 503, answer.text
    assert "short of memory" in answer.json()["error"] and "smaller" in answer.json()["cure"]
    assert answer.headers["retry-after"] == "30"


@pytest.mark.parametrize("error", [MemoryError(), ALLOCATOR, RuntimeError("can't start new thread")], ids=str)
@pytest.mark.parametrize("path", POSTS)
def test_every_route_says_that_memory_is_short(post, monkeypatch, path, error):
    for name in ("read", "run", "run_all"):
        monkeypatch.setattr(Engine, name, fail(error))
    check(post(path))


@pytest.mark.parametrize("path", POSTS[:3])
def test_a_picture_that_is_too_much_to_decode_is_not_called_damaged(post, monkeypatch, path):
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail(MemoryError()))
    check(post(path))


def test_a_search_that_is_too_much_is_told_so_in_a_stream_too(post, monkeypatch):
    monkeypatch.setattr("latentfill.pipeline.watch", fail(ALLOCATOR))
    check(post("complete"))
    lines = [json.loads(line) for line in post("complete/stream").text.splitlines()]
    assert lines[-1]["event"] == "error" and "short of memory" in lines[-1]["error"]
    monkeypatch.setattr("latentfill.pipeline.watch", watch)
    assert post("complete").status_code == 200, "the next one is answered"
