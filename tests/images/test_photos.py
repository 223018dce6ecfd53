import io
import os
import stat
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from latentfill.errors import ImageError
from latentfill.images.archives import is_picture
from latentfill.images.photos import Photo, Source, read, write
from latentfill.options import ReadLimits


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def source(path):
    return Source(path.name, path)


def saved(tmp_path, image, name="a.png", **settings):
    image.save(tmp_path / name, **settings)
    return read(source(tmp_path / name))


def test_rgb_is_read_as_it_is(tmp_path):
    pixels = noise(5, 7, 3)
    photo = saved(tmp_path, Image.fromarray(pixels))
    assert np.array_equal(photo.pixels, pixels) and photo.alpha is None


def test_grey_becomes_three_equal_channels(tmp_path):
    grey = noise(5, 7)
    photo = saved(tmp_path, Image.fromarray(grey))
    assert np.array_equal(photo.pixels, np.dstack([grey] * 3)) and photo.alpha is None


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_is_kept_and_so_are_the_colours_below_it(tmp_path, channels):
    stored = noise(5, 7, channels)
    stored[0, :, -1] = 0
    photo = saved(tmp_path, Image.fromarray(stored))
    assert np.array_equal(photo.pixels, np.broadcast_to(stored[..., :-1], (5, 7, 3)))
    assert np.array_equal(photo.alpha, stored[..., -1])


def test_a_palette_is_looked_up(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [2, 0]], np.uint8))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    photo = saved(tmp_path, image)
    assert photo.pixels.tolist() == [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 0, 0]]] and photo.alpha is None
    for transparency, alpha in ((1, [[255, 0], [255, 255]]), (bytes([9, 0, 255]), [[9, 0], [255, 9]])):
        transparent = saved(tmp_path, image, transparency=transparency)
        assert np.array_equal(transparent.pixels, photo.pixels) and transparent.alpha.tolist() == alpha


def test_one_bit_is_black_and_white(tmp_path):
    photo = saved(tmp_path, Image.fromarray(np.array([[True, False]])))
    assert photo.pixels[0, :, 0].tolist() == [255, 0]


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_16_bit_grey_is_scaled_not_clipped(tmp_path, name):
    values = np.array([[0, 128, 129, 255, 256, 257, 32768, 65407, 65535]], np.uint16)
    photo = saved(tmp_path, Image.fromarray(values), name)
    assert photo.pixels[0, :, 1].tolist() == np.round(values[0] / 257).astype(int).tolist()


def png(width, height, depth, colour, rows, *chunks):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + b"".join(chunk(*c) for c in chunks) + chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (6, 4)])
def test_16_bit_colour_is_scaled(tmp_path, colour, channels):
    levels = noise(1, 6, channels)
    (tmp_path / "a.png").write_bytes(png(6, 1, 16, colour, b"\0" + (levels.astype(">u2") * 257).tobytes()))
    photo = read(source(tmp_path / "a.png"))
    assert np.array_equal(photo.pixels, levels[..., :3])
    assert channels == 3 or np.array_equal(photo.alpha, levels[..., 3])


def test_16_bit_grey_may_have_a_transparent_value_and_gives_its_upper_bits(tmp_path):
    rows = b"\0" + np.array([0, 1000, 65535], ">u2").tobytes()
    (tmp_path / "a.png").write_bytes(png(3, 1, 16, 0, rows, (b"tRNS", struct.pack(">H", 1000))))
    photo = read(source(tmp_path / "a.png"))
    assert photo.pixels[0, :, 0].tolist() == [0, 3, 255] and photo.alpha.tolist() == [[255, 0, 255]]


def test_cmyk_becomes_rgb(tmp_path):
    photo = saved(tmp_path, Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "a.jpg", quality=100)
    assert abs(photo.pixels.astype(int) - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif"])
def test_exif_orientation_turns_pixels_and_alpha(tmp_path, orientation, name):
    stored = Image.fromarray(noise(5, 7, 4))
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = saved(tmp_path, stored, name, exif=exif, **({"lossless": True, "exact": True} if name == "a.webp" else {}))
    stored.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(stored))
    assert np.array_equal(np.dstack([photo.pixels, photo.alpha]), upright)


def test_a_jpeg_is_turned_too(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = np.zeros((16, 32, 3), np.uint8)
    wide[:, :16] = 255  # the left of what is stored is the top of what is shown
    photo = saved(tmp_path, Image.fromarray(wide), "a.jpg", exif=exif)
    assert photo.pixels.shape == (32, 16, 3) and photo.pixels[:10].min() > 250 and photo.pixels[-10:].max() < 5


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_exif_does_not_lose_the_picture(tmp_path):
    photo = saved(
        tmp_path, Image.fromarray(noise(4, 4, 3)), "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + b"\xff" * 9
    )
    assert photo.pixels.shape == (4, 4, 3)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.tif"])
def test_of_an_animation_the_first_frame_is_read(tmp_path, name):
    red, blue = (Image.new("RGB", (4, 4), colour) for colour in ("red", "blue"))
    more = {"lossless": True} if name == "a.webp" else {}
    photo = saved(tmp_path, red, name, save_all=True, append_images=[blue], **more)
    assert (photo.pixels == [255, 0, 0]).all()


def test_the_name_may_lie_about_the_kind(tmp_path):
    Image.fromarray(noise(4, 4, 3)).save(tmp_path / "a.jpg", "WEBP", lossless=True)
    assert np.array_equal(read(source(tmp_path / "a.jpg")).pixels, noise(4, 4, 3))


def test_bytes_are_counted_before_decoding(tmp_path):
    (tmp_path / "a.png").write_bytes(b"x" * 1001)
    with pytest.raises(ImageError, match=r"a\.png: 1,001 bytes are more than the limit of 1,000\n.*--max-bytes"):
        read(source(tmp_path / "a.png"), ReadLimits(max_bytes=1000))


def test_pixels_are_counted_before_decoding(tmp_path):
    (tmp_path / "a.png").write_bytes(png(9_000, 12_000, 8, 2, b""))  # there is nothing to decode
    expected = r"a\.png: 9000 x 12000 = 108,000,000 pixels, more than the limit of 100,000,000\n.*--max-pixels"
    with warnings.catch_warnings(), pytest.raises(ImageError, match=expected):
        warnings.simplefilter("error")  # the decoder's own would name files of the installation
        read(source(tmp_path / "a.png"))
    (tmp_path / "b.png").write_bytes(png(60_000, 60_000, 8, 2, b""))
    with pytest.raises(ImageError, match=r"b\.png: more than 178 million pixels"):
        read(source(tmp_path / "b.png"))


def test_exactly_the_limit_is_allowed(tmp_path):
    Image.fromarray(noise(4, 5, 3)).save(tmp_path / "a.png")
    size = os.path.getsize(tmp_path / "a.png")
    assert read(source(tmp_path / "a.png"), ReadLimits(max_bytes=size, max_pixels=20)).pixels.shape == (4, 5, 3)
    with pytest.raises(ImageError, match="20 pixels, more than the limit of 19"):
        read(source(tmp_path / "a.png"), ReadLimits(max_pixels=19))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"dear diary", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),  # would start Ghostscript
        (png(4, 4, 8, 2, b"\0" * 9), "truncated"),
        (b"P6 0 9 255 ", "."),
    ],
)
def test_what_is_no_picture_is_named(tmp_path, content, reason):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ImageError, match=rf"a\.png: .*{reason}"):
        read(source(tmp_path / "a.png"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"a\.png: No such file"):
        read(source(tmp_path / "a.png"))


@pytest.mark.parametrize("values", [np.ones((2, 2), np.float32), np.full((2, 2), 70_000, np.int32)])
def test_pixels_of_unknown_range_are_refused(tmp_path, values):
    with pytest.raises(ImageError, match=r"a\.tif: .*range is not known"):
        saved(tmp_path, Image.fromarray(values), "a.tif")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_a_truncated_file_is_refused(tmp_path, kind):
    buffer = io.BytesIO()
    Image.fromarray(noise(40, 40, 3)).save(buffer, kind)
    (tmp_path / "a.png").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    with pytest.raises(ImageError, match=r"a\.png: "):
        read(source(tmp_path / "a.png"))


ENCODED = {}
for _kind in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "PPM"):
    _buffer = io.BytesIO()
    Image.fromarray(noise(12, 9, 3)).save(_buffer, _kind)
    ENCODED[_kind] = _buffer.getvalue()


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(ENCODED)), st.data())
def test_damage_makes_a_photo_or_an_image_error(tmp_path_factory, kind, data):
    damaged = bytearray(ENCODED[kind])
    for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=6)):
        damaged[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.png"
    path.write_bytes(damaged)
    try:
        assert isinstance(read(source(path), ReadLimits(max_pixels=10**5)), Photo)
    except ImageError as error:
        assert error.what.startswith("damaged.png: ") and error.cure


@pytest.mark.parametrize("name", ["a.png", "a.webp", "A.PNG"])
def test_what_is_written_is_read_again_to_the_bit(tmp_path, name):
    pixels, alpha = noise(6, 5, 3), noise(6, 5, seed=1)
    alpha[:3] = 0
    write(tmp_path / "new" / "folder" / name, pixels, alpha)
    photo = read(source(tmp_path / "new" / "folder" / name))
    assert np.array_equal(photo.pixels, pixels) and np.array_equal(photo.alpha, alpha)
    write(tmp_path / name, pixels)
    assert np.array_equal(read(source(tmp_path / name)).pixels, pixels)


def test_a_jpeg_keeps_full_colour(tmp_path):
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[:, ::2, 0] = 255
    write(tmp_path / "a.jpg", stripes)
    with Image.open(tmp_path / "a.jpg") as image:
        assert {layer[1:3] for layer in image.layer} == {(1, 1)}
    assert abs(read(source(tmp_path / "a.jpg")).pixels.astype(int) - stripes).max() < 20


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    write(tmp_path / "a.png", noise(4, 4, 3))

    def full(self, file, *_, **__):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(ImageError, match=r"a\.png: cannot be written \(No space left"):
        write(tmp_path / "a.png", noise(4, 4, 3, seed=1))
    assert np.array_equal(read(source(tmp_path / "a.png")).pixels, noise(4, 4, 3))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_written_file_has_ordinary_permissions(tmp_path):
    write(tmp_path / "a.png", noise(4, 4, 3))
    (tmp_path / "ordinary").touch()
    assert stat.S_IMODE((tmp_path / "a.png").stat().st_mode) == stat.S_IMODE((tmp_path / "ordinary").stat().st_mode)


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(ImageError, match=r"(?s)a\.xyz: .*\.png, \.jpg"):
        write(tmp_path / "a.xyz", noise(4, 4, 3))
    with pytest.raises(ImageError, match=r"(?s)a\.jpg: a JPEG holds no transparency.*\.png"):
        write(tmp_path / "a.jpg", noise(4, 4, 3), noise(4, 4))
    with pytest.raises(ValueError, match=r"\(4, 4, 3\) but alpha is \(4, 5\)"):
        write(tmp_path / "a.png", noise(4, 4, 3), noise(4, 5))


@pytest.mark.parametrize(
    ("brand", "word"), [(b"heic", "a HEIC picture"), (b"mif1", "HEIC"), (b"mp42", "not a picture")]
)
def test_a_phones_picture_that_is_not_read_is_called_by_its_kind(tmp_path, brand, word, monkeypatch):
    monkeypatch.setattr("latentfill.images.photos._register_heif", lambda: False)
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftyp" + brand + bytes(500))
    with pytest.raises(ImageError, match=rf"a\.jpg: .*{word}"):
        read(source(tmp_path / "a.jpg"))


def test_heic_is_read_with_its_extra_and_otherwise_named_with_the_cure(tmp_path, monkeypatch):
    path = tmp_path / "a.HEIC"
    path.write_bytes(b"\0\0\0\x18ftypheic" + bytes(500))
    assert is_picture(path.name)
    with monkeypatch.context() as without, pytest.raises(ImageError, match=r"latentfill\[heif\]"):
        without.setattr("latentfill.images.photos._register_heif", lambda: False)
        read(source(path))
    heif = pytest.importorskip("pillow_heif")
    stored = np.repeat(np.repeat(noise(4, 6, 3), 16, 0), 16, 1)
    heif.from_pillow(Image.fromarray(stored)).save(path, quality=-1)
    assert abs(read(source(path)).pixels.astype(int) - stored).mean() < 3
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(ImageError, match=r"a\.HEIC"):
        read(source(path))
