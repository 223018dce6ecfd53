import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from latentfill.gan.model_file import build
from latentfill.options import NetworkOptions, ServeOptions
from latentfill.web.app import create_app

SIZE = 16
QUICK = {"steps": 5, "cold_steps": 0, "tune_steps": 0, "precision": "fp32"}
ALIGNED = {"alignment": {"landmarks": "inner-eyes-and-bottom-lip", "similarity": False, "margin": 1.0}}


@pytest.fixture(scope="session")
def models():
    """Of anything, of aligned faces, of grey pictures."""
    tiny = build(NetworkOptions(size=SIZE, base=4, latent=6))
    with torch.no_grad():
        for one in tiny.generator.parameters():
            one.mul_(6)  # what nobody has trained draws grey, else
    grey = build(NetworkOptions(size=SIZE, base=4, latent=6, channels=1))
    return {"tiny": tiny, "faces": replace(tiny, about=ALIGNED), "grey": grey}


@pytest.fixture(scope="session")
def app_of(models):
    """The application with its real engine."""
    return lambda **options: create_app(ServeOptions(**options), models)


@pytest.fixture(scope="module")
def client(app_of):
    """A server that runs for all tests of a file."""
    with TestClient(app_of(), base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as running:
        yield running


def png(pixels, **more):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", **more)
    return file.getvalue()


@pytest.fixture
def photo():
    """A photo of noise, 40 pixels wide and 24 high, and its hole."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    hole = np.zeros((24, 40), np.uint8)
    hole[8:15, 14:24] = 255
    return pixels, hole


@pytest.fixture
def form(photo):
    """What is posted: files and fields. Other fields replace or, None, remove them."""

    def make(**more):
        fields = {"photo": png(photo[0]), "hole": png(photo[1]), "options": QUICK, "preset": "seed", **more}
        files = {n: (f"{n}.png", fields[n]) for n in ("photo", "hole") if fields[n] is not None}
        texts = {n: v for n, v in fields.items() if n not in ("photo", "hole") and v is not None}
        return {"files": files, "data": {n: v if isinstance(v, str) else json.dumps(v) for n, v in texts.items()}}

    return make
