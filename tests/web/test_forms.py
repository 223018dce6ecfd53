import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from starlette.requests import Request

from latentfill.images.photos import Original, encode
from latentfill.options import COMPLETE_PRESETS, PhotoOptions, ServeOptions
from latentfill.web import forms
from latentfill.web.errors import RequestError
from latentfill.web.forms import CompleteForm, StreamForm, override, parse_json, preferred_type

SERVE = ServeOptions(max_pixels=100)
BEST = COMPLETE_PRESETS["best"]


def refused(call, *given):
    with pytest.raises(RequestError) as caught:
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
    assert override("options", BEST, {}) == BEST
    made = override("options", BEST, {"steps": 7, "lam": 0.5, "prune": True})
    assert (made.steps, made.lam, made.prune, made.tune_steps) == (7, 0.5, True, BEST.tune_steps)
    assert override("photo_options", PhotoOptions(), {"grain": False}).grain is False


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
        ({"learning_rate": "inf"}, "learning_rate: Input should be a finite number"),
        ({"lam": "nan"}, "options"),
        ({"seed": 2**31}, "options.seed"),
        ([], "not a JSON object"),
        (None, "not a JSON object"),
        ("steps", "not a JSON object"),
    ],
)
def test_options_beyond_their_bounds_are_refused_by_name(given, told):
    error = refused(override, "options", BEST, given)
    assert error.status == 422 and told in str(error)


@pytest.mark.parametrize(
    "text",
    ["", "{", "NaN", "[Infinity]", "[1e999]", "-Infinity", "[" * 100_000, '{"a":' * 50 + "1" + "}" * 50, "9" * 5000],
)
def test_json_is_plain_and_not_deep(text):
    assert refused(parse_json, text, "options").status == 422


def test_json_is_what_it_says():
    assert parse_json('{"a": [1, 2.5, "ä", null, true]}', "x") == {"a": [1, 2.5, "ä", None, True]}


def form_of(kind=StreamForm, **fields):
    return kind.model_validate({"photo": b"x", **fields})


def test_a_form_holds_files_texts_numbers_and_json():
    form = form_of(photo=b"\xff\0", options=b'{"steps": 3}', frames=b"20", preset=b"fast")
    assert (form.photo, form.options, form.frames, form.preset) == (b"\xff\0", {"steps": 3}, 20, "fast")
    assert (form_of().options, form_of().frames, form_of().preset, form_of().hole) == ({}, 12, "best", None)


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a\0b"])
def test_a_text_is_text(data):
    with pytest.raises((RequestError, ValidationError)):
        form_of(preset=data)


@pytest.mark.parametrize("data", [b"x", b"inf", b"nan", b"0", b"61", b"", b"1e999"])
def test_a_number_is_in_its_bounds(data):
    with pytest.raises(ValidationError):
        form_of(frames=data)


def test_fields_are_known():
    assert "Did you mean photo?" in str(refused(lambda: form_of(photos=b"")))
    assert "photo: it is missing" in str(refused(CompleteForm.model_validate, {}))
    assert refused(lambda: form_of(preset=b"x" * 3_000_000)).status == 413
    assert refused(lambda: form_of(options=b"{")).what.startswith("options: not JSON")


def read_photo(data, options):
    return forms.read_photo(data, options, weigh=lambda pixels: None)


def test_a_photo_is_read_as_it_is():
    assert np.array_equal(read_photo(png(), SERVE).values, np.arange(105, dtype=np.uint8).reshape(5, 7, 3))
    text = b"zTXta\0\0" + zlib.compress(bytes(2**21))
    beside = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    assert read_photo(png()[:33] + beside + png()[33:], SERVE).notes == (
        "not kept: a text of more than 1,048,576 bytes",
    )


def test_a_photo_with_too_many_pixels_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded"))
    error = refused(read_photo, png(10, 11), SERVE)
    assert (error.status, error.reason) == (413, "pixels") and "110 pixels, more than the limit of 100" in error.what
    for side in (20_000, 100_000, 2**31 - 1):
        assert refused(read_photo, bomb(side), ServeOptions()).status == 413


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
    assert refused(read_photo, data, SERVE).status in (415, 422)


def test_a_picture_cut_short_anywhere_is_refused():
    whole = png()
    for end in range(1, len(whole) - 32):  # the rest is the end of the stream, checksums and the last chunk
        assert refused(read_photo, whole[:end], SERVE).status in (415, 422), end
    for kind in ("JPEG", "GIF", "TIFF", "BMP"):
        data = saved(kind, Image.fromarray(np.arange(27, dtype=np.uint8).reshape(3, 3, 3)))
        assert read_photo(data, SERVE).values.shape[:2] == (3, 3)
        assert refused(read_photo, data[: len(data) // 2], SERVE).status in (413, 415, 422), kind


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
    assert preferred_type(Request({"type": "http", "headers": headers}), "image/png", "application/json") == kind


def test_an_error_never_repeats_what_was_sent_at_length():
    long = "x" * 10_000
    for call, given in (
        (override, ("options", BEST, {long: 1})),
        (override, ("options", BEST, {"steps": long})),
        (parse_json, (long, "options")),
        (CompleteForm.model_validate, ({long: b""},)),
    ):
        assert len(str(refused(call, *given))) < 1000
    assert "xxxxx" not in str(refused(override, "options", BEST, {"steps": long}))
