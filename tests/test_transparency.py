"""Files keep any colour where a picture is transparent: nobody may learn it, look for faces on it or show it."""

import numpy as np
import pytest
from PIL import Image

from latentfill.cutting import Cut
from latentfill.evaluation import trial
from latentfill.files.listing import find
from latentfill.gan.building import build
from latentfill.images import originals, photos
from latentfill.jobs import candidates
from latentfill.jobs.cutting import Cutter, Task
from latentfill.jobs.ledger import Row
from latentfill.options import NetworkOptions, ReadLimits
from latentfill.pipeline import Filled
from latentfill.training.dataset import open_dataset

SIDE = 32
OPAQUE = np.s_[8:24, 8:24]


@pytest.fixture
def sprite(tmp_path):
    """A red square, and noise around it that nobody sees."""
    rgb = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    alpha = np.zeros((SIDE, SIDE), np.uint8)
    rgb[OPAQUE], alpha[OPAQUE] = (200, 30, 30), 255
    path = tmp_path / "sprites" / "1.png"
    photos.write(path, rgb, alpha)
    return path


def learned(path):
    return np.asarray(open_dataset([path.parent], SIDE, 3, path.parent.parent / "cache").pixels)[0]


def aligned(path):
    cutter = Cutter(
        path.parent.parent,
        ".png",
        SIDE,
        None,
        False,
        False,
        0,
        0.0,
        None,
        None,
        ReadLimits(),
        duplicates=False,
        choices="",
    )
    cutter(Task(photos.Source(path.name, path), Row("1.png", "", "", 0, "crop")))
    return np.asarray(Image.open(path.parent.parent / "crop.png"))


def tried(path):
    return trial.read(list(find([path.parent])), build(NetworkOptions(size=SIDE, base=4, latent=6)), 1)[0].pixels[0]


def offered(path):
    original = originals.read(photos.Source(path.name, path))
    cut = Cut(original, np.zeros((SIDE, SIDE), np.uint8), (), (), (), 0.0)
    candidates.offer(path.parent.parent, cut, Filled((original,), (), ()))
    return np.asarray(Image.open(path.parent.parent / "sheet.png"))[:, : candidates.CELL]


@pytest.mark.parametrize("way", [learned, aligned, tried, offered])
def test_what_is_transparent_is_white_in_every_way(sprite, way):
    seen = way(sprite)
    assert seen.shape[2] == 3
    unit = len(seen) // SIDE
    seen = seen[unit // 2 :: unit, unit // 2 :: unit]
    assert (seen[10:22, 10:22] == (200, 30, 30)).all()
    assert (seen[:6] == 255).all() and (seen[:, -6:] == 255).all()


def test_what_is_half_transparent_is_halfway_to_white():
    pixels = np.random.default_rng(0).integers(0, 256, (4, 256, 3), dtype=np.uint8)
    alpha = np.stack([np.arange(256, dtype=np.uint8)] * 4)
    share = alpha[..., None] / 255
    assert np.abs(photos.Photo(pixels, alpha).opaque() - (pixels * share + 255 * (1 - share))).max() <= 0.5
    assert photos.Photo(pixels).opaque() is pixels
