import io
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from starlette.requests import Request

from latentfill.images.photos import Original, encode
from latentfill.options import COMPLETE_PRESETS, CompleteOptions, PhotoOptions, ServeOptions
from latentfill.web.errors import Refused
from latentfill.web.forms import Form, Part, changed, form_of, parsed, photo_of, validated, wanted

SERVE = ServeOptions(max_pixels=100)
BEST = COMPLETE_PRESETS["best"]


def refused(call, *given):
    with pytest.raises(Refused) as caught:
        call(*given)
    return caught.value


def png(height=5, width=7):
    return encode(Original(np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)))


def saved(kind, image):
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def bomb(side):
    """The header of a picture that is no larger than this file, until it is decoded."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    packed = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def test_options_are_those_of_the_command_line_in_their_bounds():
    assert changed("options", BEST, {}) == BEST
    made = changed("options", BEST, {"steps": 7, "lam": 0.5, "prune": True})
    assert (made.steps, made.lam, made.prune, made.tune_steps) == (7, 0.5, True, BEST.tune_steps)
    assert changed("photo_options", PhotoOptions(), {"grain": False}).grain is False


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"stepz": 1}, "Did you mean steps?"),
        ({"nothing like it at all": 1}, "It is one of: method, steps"),
        ({"steps": -1}, "options.steps: Input should be greater than or equal to 0"),
        ({"steps": "many"}, "options.steps"),
        ({"steps": None}, "options.steps"),
        ({"steps": [1]}, "options.steps"),
        ({"steps": 1.5}, "options.steps"),
        ({"window": 4}, "options.window"),
        ({"method": "magic"}, "options.method"),
        ({"learning_rate": "inf"}, "without end"),
        ({"lam": "nan"}, "options"),
        ({"seed": 2**31}, "options.seed"),
        ([], "not a JSON object"),
        (None, "not a JSON object"),
        ("steps", "not a JSON object"),
    ],
)
def test_options_beyond_their_bounds_are_refused_by_name(given, told):
    error = refused(changed, "options", BEST, given)
    assert error.status == 422 and told in str(error)


@pytest.mark.parametrize(
    "text",
    ["", "{", "NaN", "[Infinity]", "[1e999]", "-Infinity", "[" * 100_000, '{"a":' * 50 + "1" + "}" * 50, "9" * 5000],
)
def test_json_is_plain_and_not_deep(text):
    assert refused(parsed, "options", text).status == 422


def test_json_is_what_it_says():
    assert parsed("x", '{"a": [1, 2.5, "ä", null, true]}') == {"a": [1, 2.5, "ä", None, True]}
    assert Form({"options": b'{"steps": 3}'}).options("options", CompleteOptions()).steps == 3
    assert Form({}).options("options", BEST) == BEST
    assert Form({"frames": b"12"}).number("frames", 1, int) == 12 and Form({}).number("frames", 1, int) == 1


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a\0b"])
def test_a_text_is_text(data):
    assert refused(Form({"preset": data}).text, "preset", None).status == 422


def test_fields_are_known_and_come_once():
    part = Part("photo", b"x")
    assert form_of([part], ["photo"], ["preset"]).data("photo") == b"x"
    assert refused(form_of, [part, part], ["photo"], []).what == "photo: given twice"
    assert "Did you mean photo?" in str(refused(form_of, [Part("photos", b"")], ["photo"], ["hole_spec"]))
    assert refused(form_of, [Part("preset", b"x" * 3_000_000)], ["photo"], ["preset"]).status == 413


def test_a_photo_is_read_as_it_is():
    assert np.array_equal(photo_of(png(), SERVE).values, np.arange(105, dtype=np.uint8).reshape(5, 7, 3))
    text = b"zTXta\0\0" + zlib.compress(bytes(2**21))
    beside = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    assert photo_of(png()[:33] + beside + png()[33:], SERVE).notes == ("not kept: a text of more than 1,048,576 bytes",)


def test_a_photo_with_too_many_pixels_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded"))
    error = refused(photo_of, png(10, 11), SERVE)
    assert (error.status, error.reason) == (413, "pixels") and "110 pixels, more than the limit of 100" in error.what
    for side in (20_000, 100_000, 2**31 - 1):
        assert refused(photo_of, bomb(side), ServeOptions()).status == 413


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF",
        b"hello",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.4",
        b"\x89PNG\r\n\x1a\n",
        b"BM",
        b"%!PS",
    ],
)
def test_what_is_no_picture_is_refused(data):
    assert refused(photo_of, data, SERVE).status in (415, 422)


def test_a_picture_cut_short_anywhere_is_refused():
    whole = png()
    for end in range(1, len(whole) - 24):  # what is after that are checksums and the end
        assert refused(photo_of, whole[:end], SERVE).status in (415, 422), end
    for kind in ("JPEG", "GIF", "TIFF", "BMP"):
        data = saved(kind, Image.fromarray(np.arange(27, dtype=np.uint8).reshape(3, 3, 3)))
        assert photo_of(data, SERVE).values.shape[:2] == (3, 3)
        assert refused(photo_of, data[: len(data) // 2], SERVE).status in (413, 415, 422), kind


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "image/png"),
        ("", "image/png"),
        ("*/*", "image/png"),
        ("application/json", "application/json"),
        ("application/json; q=0.5, image/png", "image/png"),
        ("image/*;q=0.1, application/json", "application/json"),
        ("text/html", "image/png"),
        (";;;q=x,,q=", "image/png"),
        ("APPLICATION/JSON", "application/json"),
    ],
)
def test_the_kind_of_answer_is_the_one_that_the_client_likes_best(accept, kind):
    headers = [] if accept is None else [(b"accept", accept.encode())]
    assert wanted(Request({"type": "http", "headers": headers}), "image/png", "application/json") == kind


def test_values_are_of_their_type():
    assert validated("count", int, "3") == 3
    assert refused(validated, "count", int, "x").status == 422
    assert refused(validated, "frames", float, "inf").status == 422


def test_an_error_never_repeats_what_was_sent_at_length():
    long = "x" * 10_000
    for call, given in (
        (changed, ("options", BEST, {long: 1})),
        (parsed, ("options", long)),
        (validated, ("options", int, long)),
        (form_of, ([Part(long, b"")], [], ["a"])),
    ):
        assert len(str(refused(call, *given))) < 1000
    assert "xxxxx" not in json.dumps(str(refused(validated, "options", int, long)))
