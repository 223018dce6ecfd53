"""One rule for holes, on every way; and what the page is shown of a file."""

import io
import json
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from latentfill.batch.inputs import Plan
from latentfill.batch.outputs import Input
from latentfill.images.archives import Source
from latentfill.images.photos import FORMATS, Original
from latentfill.options import CompleteOptions
from latentfill.options.commands import CompleteCommand
from latentfill.photo.locate import draw_hole
from latentfill.pipeline import fill, place
from latentfill.web.forms import CompleteForm
from latentfill.web.routes.complete import read_request

from .conftest import png

DECODE = "/api/v1/decode"
SHAPE = 24, 40


def painted(colour, mode="RGB", ground=0):
    picture = Image.new(mode, SHAPE[::-1], ground)
    picture.paste(colour, (14, 8, 24, 15))
    return picture


def encoded(picture, kind="PNG", **more):
    file = io.BytesIO()
    picture.save(file, kind, **more)
    return file.getvalue()


def turned(picture, kind="PNG"):
    """Stored on its side, with EXIF data that turn it upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(picture.transpose(Image.Transpose.ROTATE_90), kind, exif=exif)


def soft():
    grey = np.zeros(SHAPE, np.uint8)
    grey[8:15, 14:24], grey[6:8, 14:24] = 255, 100
    return Image.fromarray(grey)


HOLES = {  # a file, how many pixels it means, and a word of what is said of it
    "white": (encoded(painted("white")), 70, ""),
    "green": (encoded(painted((0, 255, 0))), 70, "coloured"),
    "magenta": (encoded(painted((255, 0, 255))), 0, "coloured"),
    "red": (encoded(painted((255, 0, 0))), 0, "nothing is to be found"),
    "grey": (encoded(painted((128, 128, 127))), 70, ""),
    "dark grey": (encoded(painted(127, "L")), 0, "its largest value is 127; white is 128 and above"),
    "zeros and ones": (encoded(painted(1, "L")), 0, "its largest value is 1; white is 128 and above"),
    "one bit": (encoded(painted(1, "1")), 70, ""),
    "16 bits": (encoded(Image.fromarray(np.asarray(painted(255, "L")).astype(np.uint16) * 257)), 70, ""),
    "transparent white": (encoded(painted((255, 255, 255, 127), "RGBA")), 0, "nothing is to be found"),
    "white half opaque": (encoded(painted((255, 255, 255, 128), "RGBA", (255, 255, 255, 0))), 70, ""),
    "opaque white on transparent white": (encoded(painted("white", "RGBA", (255, 255, 255, 0))), 70, ""),
    "a profile": (encoded(painted("white"), icc_profile=b"of no sense"), 70, ""),
    "soft": (encoded(soft()), 70, "widening the hole by 2"),
    "exchanged": (encoded(painted(0, "L", 255)), 890, "exchanged"),
    "black": (encoded(painted(0, "L")), 0, "no pixel of the hole is white"),
    "turned PNG": (turned(painted("white")), 70, ""),
    "turned WebP": (turned(painted("white"), "WEBP"), 70, ""),
    "JPEG": (encoded(painted("white"), "JPEG", quality=95), 70, ""),
    **({"AVIF": (encoded(painted("white"), "AVIF", quality=100), 70, "")} if "AVIF" in FORMATS else {}),
}


def asked(client, data, **more):
    return client.post(DECODE, files={"hole": ("hole.png", data)}, data=more)


def of_url(url):
    return np.asarray(Image.open(io.BytesIO(b64decode(url.split(",")[1]))))


@pytest.mark.parametrize("name", HOLES)
def test_a_hole_says_the_same_on_every_way(name, client, models, photo, tmp_path):
    data, count, word = HOLES[name]
    path = tmp_path / "hole.png"
    path.write_bytes(data)
    (tmp_path / "cat.png").write_bytes(png(photo[0]))
    original, gan = Original(photo[0]), models["tiny"]
    source = Source("cat.png", tmp_path / "cat.png")
    state = client.app.state.state
    found = []

    for own in (None, data):  # the command line's, and one from a table
        options = CompleteCommand((), tmp_path / "out", hole="center" if own else str(path))
        _, request = Plan.of(options, gan).read(Input(source, 1, tmp_path / "out" / "cat", own))
        cut = place(request, gan, options.photo, options.limits).cut
        found.append((cut.hole, cut.notes))
    drawn = draw_hole(str(path), original, 0, "cat.png")  # Python's
    found.append((drawn.hole, drawn.notes))
    with state.engine.open_slot() as slot:
        cut = read_request(state, CompleteForm(photo=png(photo[0]), hole=data), slot).placed.cut
    found.append((cut.hole, cut.notes))
    told = asked(client, data, size=json.dumps([40, 24])).json()
    found.append((of_url(told["hole"]), told["notes"]))

    expected = np.zeros(SHAPE, bool)
    expected[8:15, 14:24] = True
    expected = ~expected if name == "exchanged" else expected & bool(count)
    for hole, notes in found:
        assert np.count_nonzero(hole) == count and np.array_equal(hole > 0, expected)
        assert list(notes[: len(told["notes"])]) == told["notes"]
        if not told["notes"]:
            assert not any("of the hole is" in note for note in notes)
    assert word in " ".join(told["notes"]) and bool(word) == bool(told["notes"])


def test_an_array_follows_the_same_rule_and_its_notes_reach_who_asked(models, photo):
    for shape in (SHAPE, (16, 16)):  # any, and the model's
        picture = np.resize(photo[0], (*shape, 3))
        hole = np.zeros(shape, np.uint8)
        hole[2:5, 2:5] = 1
        quick = CompleteOptions(steps=1, precision="fp32")
        assert "False all over" in " ".join(fill(picture, hole > 1, models["tiny"], quick).notes)
        assert not draw_hole(hole > 0, Original(picture)).notes
        hole[2:5, 2:5], hole[5, 2:5] = 128, 127
        drawn = draw_hole(hole, Original(picture))
        assert (drawn.hole > 0).sum() == 9 and "3 pixels are grey (below 128)" in drawn.notes[-1]


def test_a_hole_for_the_photo_as_it_is_stored_is_refused_with_that_as_the_cure(client, form, photo):
    sideways = png(np.rot90(photo[1]))
    answer = asked(client, sideways, size=json.dumps([40, 24]))
    assert answer.status_code == 422 and "24 x 40 pixels, but the photo is 40 x 24" in answer.json()["error"]
    assert "turn the hole as well" in answer.json()["cure"]
    other = client.post("/api/v1/complete", **form(hole=sideways))
    assert other.json() == answer.json()


def test_what_is_transparent_is_told_with_what_stays_half_so(client, photo):
    alpha = np.full(SHAPE, 255, np.uint8)
    alpha[8:15, 14:24], alpha[4:8, 14:24] = 0, 200
    told = client.post(DECODE, files={"photo": ("a.png", png(np.dstack([photo[0], alpha])))}).json()
    assert np.array_equal(of_url(told["hole"]) > 0, alpha == 0) and (told["soft"], told["grow"]) == (40, 4)
    assert "40 pixels are half transparent (alpha 128 to 254)" in told["notes"][0]
    assert np.array_equal(of_url(told["image"]), np.dstack([photo[0], alpha]))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", *(["AVIF"] if "AVIF" in FORMATS else []), "TIFF"])
def test_a_photo_is_shown_upright_as_it_is_completed(client, kind):
    upright = np.zeros((*SHAPE, 3), np.uint8)
    upright[:8, :8] = 255, 0, 0
    told = client.post(DECODE, files={"photo": ("photo", turned(Image.fromarray(upright), kind))}).json()
    assert told["size"] == [40, 24] and told["hole"] is None and told["notes"] == []
    shown = of_url(told["image"]).astype(int)
    assert shown.shape == upright.shape and shown[2, 2, 0] > 200 and shown[-3:, :, 0].max() < 60


def test_large_photos_are_shown_as_jpeg_and_16_bits_as_8(client, monkeypatch):
    monkeypatch.setattr("latentfill.web.routes.photo_analysis.LARGE", 100)
    grey = np.linspace(0, 65535, 960).reshape(SHAPE).astype(np.uint16)
    told = client.post(DECODE, files={"photo": ("a.png", encoded(Image.fromarray(grey)))}).json()
    assert told["image"].startswith("data:image/jpeg;base64,")
    assert np.abs(of_url(told["image"]).astype(int) - (grey >> 8)).max() <= 6
    sprite = encoded(painted("white", "RGBA", (9, 9, 9, 0)))
    told = client.post(DECODE, files={"photo": ("a.png", sprite)}).json()
    assert of_url(told["image"]).shape == (*SHAPE, 4), "no JPEG has an alpha"


@pytest.mark.parametrize("large", [True, False])
def test_a_photo_is_shown_with_its_colours(client, monkeypatch, large):
    monkeypatch.setattr("latentfill.web.routes.photo_analysis.LARGE", 100 if large else 10_000)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    told = client.post(DECODE, files={"photo": ("a.png", encoded(painted("red"), icc_profile=profile))}).json()
    assert Image.open(io.BytesIO(b64decode(told["image"].split(",")[1]))).info["icc_profile"] == profile


@pytest.mark.parametrize(
    ("files", "data", "status", "told"),
    [
        ({}, {}, 422, "one of photo and hole"),
        ({"photo": b"no picture"}, {}, 415, "photo: not a picture"),
        ({"hole": b"no picture"}, {}, 415, "hole: not a picture"),
        ({"photo": b"\0\0\0\x18ftypheic" + bytes(99)}, {}, 415, "HEIC"),
        ({"hole": HOLES["white"][0]}, {"size": "[9, 9]"}, 422, "40 x 24 pixels, but the photo is 9 x 9"),
        ({"hole": HOLES["white"][0]}, {"size": "[0, 9]"}, 422, "size"),
        ({"photo": HOLES["white"][0], "hole": HOLES["white"][0]}, {}, 422, "one of photo and hole"),
        ({"photo": HOLES["white"][0][:60]}, {}, 422, "photo"),
    ],
)
def test_what_cannot_be_decoded_is_told(client, files, data, status, told, monkeypatch):
    monkeypatch.setattr("latentfill.images.photos._register_heif", lambda: False)
    answer = client.post(DECODE, files={name: (name, file) for name, file in files.items()} or {"x": ""}, data=data)
    if files:
        assert answer.status_code == status and told in answer.json()["error"] and answer.json()["cure"]
    else:
        assert answer.status_code in (415, 422)


def test_pixels_are_counted_and_weighed_before_they_are_decoded(app_of, photo, monkeypatch):
    from starlette.testclient import TestClient

    def decoded(*_):
        raise AssertionError("it was decoded")

    with TestClient(app_of(max_pixels=900), base_url="http://127.0.0.1:8000") as small:
        for name in ("photo", "hole"):
            monkeypatch.setattr("latentfill.images.photos._decode", decoded)
            answer = small.post(DECODE, files={name: ("a.png", png(photo[0]))})
            assert answer.status_code == 413 and "960 pixels" in answer.json()["error"]
    with TestClient(app_of(), base_url="http://127.0.0.1:8000") as busy:
        monkeypatch.setattr("latentfill.web.scheduler.HELD_PIXELS", 1000)
        engine = busy.app.state.state.engine
        with engine.open_slot() as slot:
            slot.weigh(500)
            for path, name in ((DECODE, "photo"), (DECODE, "hole"), ("/api/v1/faces", "photo")):
                assert busy.post(path, files={name: ("a.png", png(photo[0]))}).status_code == 429, path


def test_limits_that_were_given_hold_for_hole_files(models, photo, tmp_path):
    from latentfill.errors import ImageError
    from latentfill.options import ReadLimits

    Path(tmp_path / "hole.png").write_bytes(HOLES["white"][0])
    with pytest.raises(ImageError, match=r"hole\.png: 40 x 24 = 960 pixels, more than the limit of 959"):
        fill(photo[0], tmp_path / "hole.png", models["tiny"], limits=ReadLimits(max_pixels=959))
