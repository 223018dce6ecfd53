"""Files keep any colour where a picture is transparent: nobody may learn it, look for faces on it or show it."""

import numpy as np
import pytest
from PIL import Image

from latentfill import fill
from latentfill.batch import sheets
from latentfill.batch.align import Cropper, Task
from latentfill.batch.align_records import Row
from latentfill.completion.operators import parse_operator
from latentfill.evaluation import benchmark as trial
from latentfill.files.listing import find_pictures
from latentfill.gan.model_file import build
from latentfill.images import photos
from latentfill.images.photos import Original, open_photo
from latentfill.options import CompleteOptions, NetworkOptions, PhotoOptions, ReadLimits
from latentfill.photo.crop import Cut
from latentfill.photo.data_consistency import degrade
from latentfill.photo.put_back import Filled, put_back
from latentfill.runs.data import open_dataset
from latentfill.web.routes.edit import shrink

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
    cropper = Cropper(
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
    cropper(Task(photos.Source(path.name, path), Row("1.png", "", "", 0, "crop")))
    return np.asarray(Image.open(path.parent.parent / "crop.png"))


def tried(path):
    return trial.read_pictures(
        list(find_pictures([path.parent])), build(NetworkOptions(size=SIDE, base=4, latent=6)), 1
    )[0].pixels[0]


def offered(path):
    original = photos.read_original(photos.Source(path.name, path))
    cut = Cut(original, np.zeros((SIDE, SIDE), np.uint8), (), (), (), 0.0)
    sheets.write_candidates(path.parent.parent, cut, Filled((original,), (), ()))
    return np.asarray(Image.open(path.parent.parent / "sheet.png"))[:, : sheets.CELL]


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


MODEL = build(NetworkOptions(size=16, base=4, latent=6))


def completed(side, hidden, **options):
    """A photo with a transparent margin that hides this colour, and a hole that reaches into the margin."""
    rng = np.random.default_rng(0)
    alpha = np.full((side, side), 255, np.uint8)
    alpha[:, : side // 3] = 0
    rgb = np.where(alpha[..., None] > 0, rng.integers(90, 110, (side, side, 3)), hidden)
    hole = np.zeros((side, side), np.uint8)
    hole[side // 4 : side // 2, side // 4 : side // 2] = 255
    search = CompleteOptions(steps=2, precision="fp32", blend=options.pop("blend", "auto"))
    photo = PhotoOptions(place="center", outside=options.pop("outside", "telea"))
    data = np.dstack([rgb, alpha]).astype(np.uint8)
    return data, fill(data, hole, MODEL, search, photo_options=photo, **options).candidates[0], hole


@pytest.mark.parametrize(
    "options",
    [
        {"outside": "telea"},
        {"outside": "biharmonic"},
        {"blend": "overlay"},
        {"observe": "lowres:2"},
        {"observe": "grey"},
        {"observe": "noise:10"},
    ],
    ids=str,
)
@pytest.mark.parametrize("side", [16, 60])
def test_what_is_found_does_not_depend_on_hidden_colours(side, options):
    side = side // 2 if options.get("observe") == "lowres:2" else side
    (_, one, _), (given, other, hole) = (completed(side, hidden, **options) for hidden in ((255, 0, 255), (0, 255, 0)))
    shown = (one.alpha > 0) & (other.alpha > 0)
    assert np.array_equal(one.alpha, other.alpha) and np.array_equal(one.values[shown], other.values[shown])
    if "observe" not in options:
        assert np.array_equal(other.values[hole == 0], given[hole == 0, :3]), "they stay in the file"


def test_what_lies_far_from_all_that_can_be_seen_is_continued_from_there():
    data, hole = np.zeros((300, 300, 4), np.uint8), np.zeros((300, 300), np.uint8)
    data[:40, :40], hole[200:210, 200:210] = (200, 30, 30, 255), 255
    photo = PhotoOptions(place="center", outside="telea")
    found = put_back(Cut(open_photo(data), hole, (), (), (), 0.0), (), CompleteOptions(), photo, MODEL).photo
    assert np.abs(found[hole > 0].astype(int) - (200, 30, 30)).max() <= 2


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("smaller", ["degraded", "shrink"])
def test_hidden_colours_do_not_show_where_photos_are_made_smaller(smaller, channels):
    alpha = np.full((40, 40), 255, np.uint8)
    alpha[:, :13] = 0
    values = np.where(alpha[..., None] > 0, np.full((1, 1, channels), 100), 255).astype(np.uint8)
    photo = Original(values, alpha)
    if smaller == "shrink":
        small = shrink(Cut(photo, np.zeros_like(alpha), (), (), (), 1.0), 10).original
    else:
        small = degrade(photo, parse_operator("lowres:4"), 0)
    assert small.values.shape == (10, 10, channels)
    assert np.abs(small.values[small.alpha > 0].astype(int) - 100).max() <= 1
