import asyncio
import contextlib

import numpy as np
import pytest

from latentfill.gan.model_file import build
from latentfill.images.photos import Original
from latentfill.options import CompleteOptions, NetworkOptions, PhotoOptions, ReadLimits, ServeOptions
from latentfill.pipeline import Request, place
from latentfill.web.device_tasks import CompletionRequest
from latentfill.web.engine import Engine
from latentfill.web.metrics import Metrics

SIZE = 16
OPTIONS = CompleteOptions(steps=6, learning_rate=0.1, precision="fp32")


@pytest.fixture(scope="session")
def gan():
    return build(NetworkOptions(size=SIZE, base=4, latent=6))


@pytest.fixture
def request_of(gan):
    """A picture of noise with a hole; another one for each seed."""

    def make(seed=0, options=OPTIONS):
        rng = np.random.default_rng(seed)
        hole = np.zeros((SIZE, SIZE), np.uint8)
        hole[2 + seed % 5 : 9, 4:11] = 255
        picture = Original(rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8))
        placed = place(Request(picture, hole), gan, PhotoOptions(), ReadLimits())
        return CompletionRequest("tiny", gan, placed, options, PhotoOptions())

    return make


@pytest.fixture
def engine(gan):
    """An engine that runs for as long as the `async with` around it."""

    @contextlib.asynccontextmanager
    async def run(**options):
        made = Engine(ServeOptions(**options), {"tiny": gan}, Metrics())
        made.start()
        try:
            yield made
        finally:
            await asyncio.wait_for(made.close(), 20)

    return run


@pytest.fixture
def held():
    """Keep the device busy until the `with` ends, so that those who come meanwhile wait together."""

    @contextlib.asynccontextmanager
    async def hold(engine):
        from threading import Event

        free, busy = Event(), Event()

        def work():
            busy.set()
            free.wait(20)

        job = asyncio.create_task(engine.run(work))
        await asyncio.to_thread(busy.wait, 20)
        try:
            yield
        finally:
            free.set()
        await job

    return hold
