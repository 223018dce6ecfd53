import asyncio

import pytest
import torch
from starlette.testclient import TestClient

from latentfill.gan.model_file import build
from latentfill.options import NetworkOptions, ServeOptions
from latentfill.web.app import create_app

ADDRESS = "http://127.0.0.1:8000"


class Stub:
    """An engine that computes at once, where it is asked."""

    def start(self):
        pass

    async def run(self, work):
        return work()

    async def run_all(self, work):
        return list(work())

    async def write(self, work):
        return work()

    async def close(self):
        pass


@pytest.fixture(scope="session")
def gan():
    made = build(NetworkOptions(size=8, base=2, latent=3))
    with torch.no_grad():
        for one in made.generator.parameters():
            one.mul_(6)  # what nobody has trained draws grey, else
    return made


@pytest.fixture
def serve(gan):
    """The application of these options, with a model that draws 8 pixels, as a client sees it."""

    def make(gans=None, cards=None, engine=None, **options):
        app = create_app(ServeOptions(**options), gans or {"tiny": gan}, cards, engine or Stub())
        return TestClient(app, base_url=ADDRESS, raise_server_exceptions=False)

    return make


@pytest.fixture
def ask():
    """Send one request to an ASGI application, as a server would: status, headers, body, and chunks taken."""

    def send(app, path="/healthz", method="GET", headers=(), chunks=(b"",)):
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
            "client": ("127.0.0.1", 40000),
            "server": ("127.0.0.1", 8000),
        }
        taken, sent = [], []

        async def receive():
            if len(taken) < len(chunks):
                taken.append(chunks[len(taken)])
                return {"type": "http.request", "body": taken[-1], "more_body": len(taken) < len(chunks)}
            return {"type": "http.disconnect"}

        async def told(message):
            sent.append(message)

        asyncio.run(app(scope, receive, told))
        begun = next(one for one in sent if one["type"] == "http.response.start")
        body = b"".join(one.get("body", b"") for one in sent if one["type"] == "http.response.body")
        names = {name.decode(): value.decode() for name, value in begun["headers"]}
        return begun["status"], names, body, len(taken)

    return send
