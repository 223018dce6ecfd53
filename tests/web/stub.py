"""A server that answers as the real one does, without a model: what the page is tried on where nothing need be found.

It fills a hole with a colour that nears its end from step to step; every other pixel stays as it was.
"""

import asyncio
import base64
import io
import json
import threading
import time
from collections.abc import AsyncIterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from PIL import Image

from latentfill.errors import LatentfillError
from latentfill.options import ServeOptions
from latentfill.web import app as assets
from latentfill.web.errors import error_response
from latentfill.web.forms import DecodeForm
from latentfill.web.routes import photo_analysis as decoding
from latentfill.web.security import HEADERS

SIZE = 64
END = np.array([200, 120, 60])


@dataclass
class Stub:
    """What the server does next, and what it has been asked."""

    token: str | None = None
    busy: int = 0  # completions that are refused first
    steps: int = 12
    pause: float = 0.02  # seconds between two steps
    slow: float = 0.0  # seconds that samples of the first model take
    faces: bool = True
    nothing: bool = False  # no object is found
    share: float = 1.0  # of the hole, that the model filled
    max_pixels: int = 1_000_000
    asked: list[dict[str, Any]] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)  # a client has gone before the end


def data_url(pixels: np.ndarray) -> str:
    stream = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(stream, "PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def create(stub: Stub) -> FastAPI:
    app = FastAPI()

    @app.middleware("http")
    async def guard(request: Request, call_next: Any) -> Response:
        wrong = stub.token and request.headers.get("authorization") != f"Bearer {stub.token}"
        if wrong and request.url.path.startswith("/api/"):
            response: Response = JSONResponse({"error": "a token is needed", "cure": "Send it."}, 401)
        else:
            response = await call_next(request)
        response.headers.update(HEADERS)
        return response

    @app.get("/api/v1/models")
    async def models() -> dict[str, Any]:
        about = {"size": SIZE, "channels": 3, "latent": 100, "prior": "uniform", "encoder": True, "calibrated": True}
        card = "# faces\n\nKnows **faces**, <b>no</b> `markup`.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
        listed = [{"name": name, "alignment": name == "faces", "classes": [], "card": card, **about} for name in NAMES]
        limits = {"max_bytes": 2**25, "max_pixels": stub.max_pixels, "max_images": 64}
        return {"default": "faces", "limits": limits, "models": listed}

    @app.post("/api/v1/decode")
    async def decode(request: Request) -> Response:
        form = await request.form()
        parts = {n: one.encode() if isinstance(one, str) else await one.read() for n, one in form.items()}
        state: Any = SimpleNamespace(options=ServeOptions(max_pixels=stub.max_pixels))
        slot: Any = SimpleNamespace(weigh=lambda pixels: None)
        try:
            return JSONResponse(decoding.decode_file(state, DecodeForm.model_validate(parts), slot))
        except LatentfillError as error:
            return error_response(error)

    @app.post("/api/v1/faces")
    async def faces(request: Request) -> dict[str, Any]:
        photo, _, _ = await question(request)
        height, width = photo.shape[:2]
        return {"size": [width, height], "faces": [{"outline": outline(photo), "score": 1.0}] if stub.faces else []}

    @app.post("/api/v1/select")
    async def select(request: Request) -> Response:
        _, hole, fields = await question(request)
        stub.asked.append(fields)
        if part := fields.get("part"):
            x, y = json.loads(fields["at"])
            hole[round(y) - 3 : round(y) + 3, round(x) - 5 : round(x) + (5 if part == "mouth" else 9)] = True
        if stub.nothing:
            return JSONResponse({"error": "no object stands out there", "cure": "Paint more of it."}, 422)
        return JSONResponse({"size": [*hole.shape[::-1]], "hole": data_url(box_of(hole))})

    @app.post("/api/v1/complete/stream")
    async def stream(request: Request) -> Response:
        if stub.busy:
            stub.busy -= 1
            error = {"error": "64 requests are waiting already", "cure": "Ask again in 1 s."}
            return JSONResponse(error, 429, {"Retry-After": "1"})
        photo, hole, fields = await question(request)
        stub.asked.append(fields)
        return StreamingResponse(events(photo, hole, fields), media_type="application/x-ndjson")

    async def events(photo: np.ndarray, hole: np.ndarray, fields: dict[str, Any]) -> AsyncIterator[str]:
        height, width = photo.shape[:2]
        told: list[dict[str, Any]] = [
            {"event": "queued", "ahead": 0},
            {"event": "started", "size": [width, height], "total": stub.steps, "notes": []},
        ]
        told[1]["placements"] = [{"outline": outline(photo)}]
        finished = False
        try:
            for event in told:
                yield json.dumps(event) + "\n"
            for number in range(1, stub.steps + 1):
                await asyncio.sleep(stub.pause)
                share = number / stub.steps
                crop = np.full((SIZE, SIZE, 3), share * END + (1 - share) * 128)
                step = {"number": number, "total": stub.steps, "loss": 1 / number, "terms": {}}
                left = stub.pause * (stub.steps - number)
                yield json.dumps({"event": "step", **step, "seconds_left": left, "image": data_url(crop)}) + "\n"
            count = json.loads(fields["options"])["candidates"]
            candidates = [{"image": data_url(filled(photo, hole, 20 * i)), "loss": 0.1 + i} for i in range(count)]
            trust = {"words": ["expect the hole to be off by about 12 grey levels"], "predicted": 12.0, "low": 8.0}
            trust |= {"high": 20.0, "held_out": 9.0, "unlike": False, "share": stub.share}
            if stub.share < 1:
                trust["words"].append(f"this speaks for the {100 * stub.share:g} % of the hole that the model filled")
            if not stub.share:
                trust = {"predicted": None, "share": 0.0, "words": ["filled from the photo; no estimate"]}
            done = {"event": "done", "candidates": candidates, "trust": trust, "notes": [], "seconds": 1.5}
            yield json.dumps({**done, "spread": data_url(np.where(hole, 90, 0)), "state": "c3RhdGU="}) + "\n"
            finished = True
        finally:
            if not finished:
                stub.left.set()

    @app.post("/api/v1/edits")
    async def edits(request: Request) -> dict[str, Any]:
        photo, hole, fields = await question(request)
        count, frames = int(fields["count"]), int(fields["frames"])
        urls = [data_url(filled(photo, hole, 15 * i)) for i in range(frames)]
        return {"edits": [{"name": f"direction {i + 1}", "images": urls} for i in range(count)]}

    @app.post("/api/v1/sample")
    async def sample(asked: dict[str, Any]) -> dict[str, Any]:
        number = NAMES.index(asked["model"])
        await asyncio.sleep(0 if number else stub.slow)
        if "walk" in asked:
            greys = np.linspace(0, 255, (len(asked["walk"]) - 1) * (asked["frames"] - 1) + 1)
            return {"images": [data_url(np.full((SIZE, SIZE, 3), grey)) for grey in greys]}
        made = []
        for weights in asked["images"]:
            total = sum(weight * 37 * (int(seed) + 1) for seed, weight in weights.items())
            made.append(data_url(np.full((SIZE, SIZE, 3), [total % 256, (total // 2) % 256, 128 + number])))
        return {"images": made}

    files = assets.read_page()

    @app.get("/{path:path}")
    async def page(path: str, request: Request) -> Response:
        found = files.get(f"/{path}")
        return found.respond(request) if found else Response(status_code=404)

    return app


NAMES = ("faces", "flowers")


async def question(request: Request) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Photo, hole (bool) and the other fields of a form."""
    form = await request.form()
    photo = np.asarray(Image.open(form["photo"].file).convert("RGB"))  # type: ignore[union-attr]
    hole = np.zeros(photo.shape[:2], bool)
    if "hole" in form:
        hole = np.asarray(Image.open(form["hole"].file).convert("L")) >= 128  # type: ignore[union-attr]
        assert hole.shape == photo.shape[:2]
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    if margins := json.loads(fields.get("photo_options", "{}")).get("extend"):
        left, top, right, bottom = map(int, margins.split(","))
        around = [(top, bottom), (left, right)]
        photo, hole = np.pad(photo, [*around, (0, 0)]), np.pad(hole, around, constant_values=True)
    return photo, hole, fields


def outline(photo: np.ndarray) -> list[list[float]]:
    """The middle half of a photo."""
    height, width = photo.shape[:2]
    return [[x * width, y * height] for x, y in ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))]


def box_of(hole: np.ndarray) -> np.ndarray:
    """The box around a stroke, for the outline of an object: uint8, 255 in it."""
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    box = np.zeros(hole.shape, np.uint8)
    box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = 255
    return box


def filled(photo: np.ndarray, hole: np.ndarray, more: int) -> np.ndarray:
    return np.where(hole[..., None], END + more, photo)


@contextmanager
def served(app: FastAPI) -> Any:
    """The address of an application that answers on loopback until this is left."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join()
