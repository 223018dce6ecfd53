import io
import struct
import sys
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import ExifTags, Image, ImageCms

from latentfill.errors import ImageError, LatentfillError
from latentfill.images import photos
from latentfill.images.metadata import make_upright
from latentfill.images.photos import FORMATS, Original, Source, _depth, encode
from latentfill.images.photos import read_original as read
from latentfill.images.photos import write_original as write
from latentfill.images.png import ROWS, read_chunks
from latentfill.options import ReadLimits

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GREY = SRGB[:16] + b"GRAY" + SRGB[20:]
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


def noise(*shape, bits=8, seed=0):
    return np.random.default_rng(seed).integers(0, 1 << bits, shape, dtype=f"uint{bits}")


def source(path):
    return Source(path.name, path)


def saved(tmp_path, image, name="a.png", **more):
    image.save(tmp_path / name, **more)
    return read(source(tmp_path / name))


def again(tmp_path, original):
    write(tmp_path / "again.png", original)
    return read(source(tmp_path / "again.png"))


def assert_equal(a, b):
    assert a.values.dtype == b.values.dtype and np.array_equal(a.values, b.values)
    assert (a.alpha is None) == (b.alpha is None)
    assert a.alpha is None or (a.alpha.dtype == b.alpha.dtype and np.array_equal(a.alpha, b.alpha))
    assert (a.icc, a.exif, a.chunks) == (b.icc, b.exif, b.chunks)


def png(values, colour, *chunks, size=None):
    """A PNG made by hand: rows without a filter. `colour` is the colour type, `chunks` stand before the pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    (height, width), bits = size or values.shape[:2], 8 * values.itemsize
    rows = b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*c) for c in body)


def exif(orientation=6, thumbnail=b"what was there before", order=">", next_to=0):
    """EXIF data with a maker, an orientation and a thumbnail, laid out by hand."""
    entry = struct.Struct(f"{order}HHII")
    first = struct.pack(f"{order}H", 2) + entry.pack(
        0x010F, 2, 4, int.from_bytes(b"Cam\0", "big" if order == ">" else "little")
    )
    first += struct.pack(f"{order}HHIHH", 0x0112, 3, 1, orientation, 0)
    second_at = 8 + len(first) + 4
    thumbnail_at = second_at + 2 + 24 + 4
    second = struct.pack(f"{order}H", 2) + entry.pack(0x0201, 4, 1, thumbnail_at)
    second += entry.pack(0x0202, 4, 1, len(thumbnail)) + struct.pack(f"{order}I", 0)
    mark = {">": b"MM", "<": b"II"}[order] + struct.pack(f"{order}HI", 42, 8)
    return mark + first + struct.pack(f"{order}I", second_at) + second + thumbnail


# ---- what is written is read again, to the bit


@st.composite
def parts(draw):
    bits, channels = draw(st.sampled_from([8, 16])), draw(st.sampled_from([1, 3]))
    height, width = draw(st.integers(1, 130)), draw(st.integers(1, 9))  # 64 rows are compressed at once
    kind = np.dtype(f"uint{bits}")
    values = draw(arrays(kind, (height, width, channels)))
    alpha = draw(st.none() | arrays(kind, (height, width)))
    icc = draw(st.none() | st.just(SRGB if values.shape[2] == 3 else GREY) | st.binary(min_size=1, max_size=40))
    data = draw(st.none() | st.builds(exif, st.just(1), st.just(b""), st.sampled_from("<>")))
    texts = draw(
        st.lists(st.sampled_from([(b"tEXt", b"Title\0A cat"), (b"gAMA", struct.pack(">I", 45455))]), unique=True)
    )
    if data is not None:
        data = make_upright(data)
    return values, alpha, icc, data, tuple(texts)


@settings(max_examples=150, deadline=None)
@given(parts=parts())
def test_what_is_written_is_read_again_to_the_bit(tmp_path_factory, parts):
    original = Original(*parts)
    path = tmp_path_factory.getbasetemp() / "property.png"
    write(path, original)
    found = read(source(path))
    assert_equal(found, original)
    assert not found.notes
    with Image.open(path) as image:  # as another reader sees it
        wanted = {(1, False): "L", (3, False): "RGB", (1, True): "LA", (3, True): "RGBA"}
        if original.bits == 8:
            assert image.mode == wanted[original.values.shape[2], original.alpha is not None]
        assert image.info.get("icc_profile") == original.icc


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (4, 2), (2, 3), (6, 4)])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_png_of_any_depth_is_read_as_it_is(tmp_path, colour, channels, bits):
    stored = noise(5, 7, channels, bits=bits)
    (tmp_path / "a.png").write_bytes(png(stored, colour))
    found = read(source(tmp_path / "a.png"))
    colours = 1 if channels < 3 else 3
    assert found.bits == bits and np.array_equal(found.values, stored[..., :colours])
    assert (found.alpha is None) if channels in (1, 3) else np.array_equal(found.alpha, stored[..., -1])
    photo = photos.read(source(tmp_path / "a.png"))
    assert np.array_equal(found.photo().pixels, photo.pixels)
    assert photo.alpha is None or np.array_equal(found.photo().alpha, photo.alpha)
    assert_equal(again(tmp_path, found), found)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3)])
def test_a_transparent_colour_becomes_alpha(tmp_path, colour, channels, bits):
    stored = noise(5, 7, channels, bits=bits)
    transparent = (b"tRNS", stored[0, 0].astype(">u2").tobytes())
    (tmp_path / "a.png").write_bytes(png(stored, colour, transparent))
    found = read(source(tmp_path / "a.png"))
    assert np.array_equal(found.values, stored)
    assert np.array_equal(found.alpha, np.where((stored == stored[0, 0]).all(-1), 0, 2**bits - 1))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_16_bit_tiff_keeps_its_bits_and_stands_upright(tmp_path, channels, orientation):
    import tifffile

    stored = noise(5, 7, channels, bits=16)
    tifffile.imwrite(
        tmp_path / "a.tif",
        stored[..., 0] if channels == 1 else stored,
        photometric="minisblack" if channels == 1 else "rgb",
        extrasamples=["unassalpha"] if channels == 4 else None,
        extratags=[(274, 3, 1, orientation, False)],
    )
    found, upright = read(source(tmp_path / "a.tif")), photos.turn_upright(stored, orientation)
    assert found.bits == 16 and np.array_equal(found.values, upright[..., :3])
    assert channels < 4 or np.array_equal(found.alpha, upright[..., 3])
    assert np.array_equal(found.photo().pixels, photos.read(source(tmp_path / "a.tif")).pixels)
    assert_equal(again(tmp_path, found), found)


def test_a_png_of_several_bands_is_whole_and_the_same_on_any_number_of_threads(monkeypatch):
    values, files = noise(3 * ROWS + 5, 7, 3), []
    for threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        files.append(encode(Original(values)))
    assert files[0] == files[1]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(files[0]))), values)
    (pixels,) = (data for kind, data in read_chunks(files[0]) if kind == b"IDAT")
    assert len(zlib.decompress(pixels)) == len(values) * (1 + 7 * 3)  # this checks the sum, as Pillow does not


def test_16_bits_in_separate_planes_are_refused_rather_than_mixed_up(tmp_path):
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", noise(3, 5, 7, bits=16), photometric="rgb", planarconfig="separate")
    for how in (read, photos.read):
        with pytest.raises(ImageError, match=r"a\.tif: 16 bits per channel in separate planes"):
            how(source(tmp_path / "a.tif"))


def test_16_bits_that_cannot_be_had_exactly_become_8_and_it_is_said(tmp_path):
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", noise(5, 7, 4, bits=16), photometric="rgb", extrasamples=["assocalpha"])
    (tmp_path / "a.ppm").write_bytes(b"P6 # a comment\n7 5\n1023\n" + noise(5, 7, 3, bits=8).astype(">u2").tobytes())
    for name in ("a.tif", "a.ppm"):
        found = read(source(tmp_path / name))
        assert found.bits == 8 and found.notes == ("16 bits per channel became 8",)
        assert np.array_equal(found.photo().pixels, photos.read(source(tmp_path / name)).pixels)


def test_without_opencv_16_bit_colour_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    (tmp_path / "a.png").write_bytes(png(noise(5, 7, 3, bits=16), 2))
    with pytest.raises(LatentfillError, match=r"(?s)OpenCV.*pip install 'latentfill\[faces\]'"):
        read(source(tmp_path / "a.png"))
    write(tmp_path / "b.png", Original(noise(5, 7, 3, bits=16)))
    assert saved(tmp_path, Image.fromarray(noise(5, 7, bits=16)), "c.png").bits == 16


# ---- modes


MODES = [
    ("1", "a.png", 1),
    ("L", "a.jpg", 1),
    ("LA", "a.png", 1),
    ("P", "a.png", 3),
    ("P", "a.gif", 3),
    ("RGB", "a.jpg", 3),
    ("RGB", "a.bmp", 3),
    ("RGBA", "a.webp", 3),
    ("RGBA", "a.tif", 3),
    ("CMYK", "a.jpg", 3),
    ("CMYK", "a.tif", 3),
    ("YCbCr", "a.tif", 3),
]


@pytest.mark.parametrize(("mode", "name", "channels"), MODES)
def test_every_mode_is_read_like_a_photo_and_grey_stays_grey(tmp_path, mode, name, channels):
    image = Image.fromarray(noise(12, 9, 4))
    image = image.convert(mode) if "A" in mode else image.convert("RGB").convert(mode)
    found = saved(tmp_path, image, name)
    photo = photos.read(source(tmp_path / name))
    assert found.values.shape == (12, 9, channels) and (found.alpha is None) == (photo.alpha is None)
    assert np.array_equal(found.photo().pixels, photo.pixels)
    assert photo.alpha is None or np.array_equal(found.photo().alpha, photo.alpha)
    assert found.notes == ((f"{mode} was converted to RGB",) if mode in ("CMYK", "YCbCr") else ())
    assert_equal(again(tmp_path, found), found)


def test_a_palette_is_looked_up_with_its_transparency(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [2, 0]], np.uint8))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    found = saved(tmp_path, image, transparency=bytes([9, 0, 255]))
    assert found.values.tolist() == [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 0, 0]]]
    assert found.alpha.tolist() == [[9, 0], [255, 9]]


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.tif"])
def test_of_an_animation_the_first_frame_is_read_and_it_is_said(tmp_path, name):
    red, blue = (Image.new("RGB", (4, 4), colour) for colour in ("red", "blue"))
    found = saved(tmp_path, red, name, save_all=True, append_images=[blue])
    assert (found.values == [255, 0, 0]).all() and found.notes == ("the first of several pictures in the file",)


def test_cmyk_goes_through_its_profile_which_is_then_done_with(tmp_path, monkeypatch):
    from latentfill.images import photos

    asked = []

    def through(image, theirs, ours, **_):
        asked.append(theirs.tobytes())
        return Image.new("RGB", image.size, (1, 2, 3))

    monkeypatch.setattr(photos.ImageCms, "profileToProfile", through)
    found = saved(tmp_path, Image.new("CMYK", (8, 8)), "a.tif", icc_profile=LAB)  # any profile will do: none is CMYK's
    assert (found.values == [1, 2, 3]).all() and asked == [LAB] and found.icc is None
    assert found.notes == ("CMYK was converted to RGB",)


@pytest.mark.parametrize("profile", [SRGB, b"no profile at all"])
def test_cmyk_with_a_profile_that_does_not_fit_is_converted_plainly(tmp_path, profile):
    image = Image.fromarray(noise(8, 8, 4), "RGBA").convert("RGB").convert("CMYK")
    found = saved(tmp_path, image, "a.tif", icc_profile=profile)
    assert np.array_equal(found.values, np.asarray(image.convert("RGB"))) and found.icc is None


# ---- profile, EXIF, resolution, texts


@pytest.mark.parametrize("profile", [SRGB, b"no profile that anyone can parse"])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_an_icc_profile_is_carried_along_as_it_is(tmp_path, profile, name):
    for image in (Image.fromarray(noise(8, 8, 3)), Image.fromarray(noise(8, 8))):
        fitting = GREY if image.mode == "L" and profile == SRGB and name != "a.webp" else profile
        found = saved(tmp_path, image, name, icc_profile=fitting)
        assert found.icc == fitting and not found.notes
        assert_equal(again(tmp_path, found), found)


def test_a_profile_that_no_reader_of_png_takes_is_left_out_and_it_is_said(tmp_path):
    found = saved(tmp_path, Image.fromarray(noise(8, 8, 3)), "a.jpg", icc_profile=bytes(2**20 + 1))
    assert found.icc is None
    assert found.notes == ("not kept: an ICC profile of 1,048,577 bytes, which PNG readers refuse",)
    assert_equal(again(tmp_path, found), found)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_a_turned_picture_is_upright_and_says_so(tmp_path, name, orientation):
    stored = Image.fromarray(noise(5, 7, 3))
    data = Image.Exif()
    data[0x0112], data[0x010F] = orientation, "Cam"
    more = {"lossless": True} if name == "a.webp" else {}
    found = saved(tmp_path, stored, name, exif=data, **more)
    assert np.array_equal(found.photo().pixels, photos.read(source(tmp_path / name)).pixels)
    assert found.values.shape == ((5, 7, 3) if orientation < 5 else (7, 5, 3))
    back = again(tmp_path, found)
    assert_equal(back, found)
    with Image.open(tmp_path / "again.png") as image:
        assert image.getexif().get(0x0112, 1) == 1 and image.getexif()[0x010F] == "Cam"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_exif_is_kept_to_the_byte_but_for_orientation_and_thumbnail(tmp_path, name, order):
    stored = exif(order=order)
    found = saved(tmp_path, Image.fromarray(noise(8, 8, 3)), name, exif=b"Exif\0\0" + stored)
    assert b"what was there" in stored and b"what was there" not in found.exif
    assert len(found.exif) == len(stored) and found.exif[:20] == stored[:20]
    kept = Image.Exif()
    kept.load(b"Exif\0\0" + found.exif)
    assert dict(kept) == {0x010F: "Cam", 0x0112: 1} and not kept.get_ifd(ExifTags.IFD.IFD1)
    assert_equal(again(tmp_path, found), found)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("damage", [b"II*\0\xff\xff\xff\xff" + b"\xff" * 9, b"what is this", exif()[:30]])
def test_exif_that_cannot_be_understood_is_left_out_and_it_is_said(tmp_path, damage):
    found = saved(tmp_path, Image.fromarray(noise(8, 8, 3)), "a.jpg", exif=b"Exif\0\0" + damage)
    assert found.exif is None and found.notes == ("not kept: EXIF data that cannot be understood",)


def test_resolution_and_texts_are_kept(tmp_path):
    found = saved(tmp_path, Image.fromarray(noise(8, 8, 3)), "a.jpg", dpi=(300, 150), comment=b"A cat")
    assert found.chunks == ((b"pHYs", struct.pack(">IIB", 11811, 5906, 1)), (b"tEXt", b"Comment\0A cat"))
    back = again(tmp_path, found)
    with Image.open(tmp_path / "again.png") as image:
        image.load()
        assert image.info["dpi"] == pytest.approx((300, 150), abs=0.02) and image.text == {"Comment": "A cat"}
    assert_equal(back, found)


def test_a_resolution_is_turned_with_its_picture(tmp_path):
    data = Image.Exif()
    data[0x0112] = 6
    found = saved(tmp_path, Image.fromarray(noise(8, 8, 3)), "a.png", dpi=(300, 150), exif=data)
    assert found.chunks == ((b"pHYs", struct.pack(">IIB", 5906, 11811, 1)),)


def test_what_colours_mean_in_a_png_is_kept_and_what_may_show_more_is_not(tmp_path):
    kept = [(b"gAMA", struct.pack(">I", 45455)), (b"sRGB", b"\0"), (b"tEXt", b"Title\0A cat")]
    dropped = [(b"bKGD", b"\0\0\0\0\0\0"), (b"tEXt", b"Raw profile type exif\0\nexif\n8\n")]
    dropped.append((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<xmp:Thumbnails/>"))
    (tmp_path / "a.png").write_bytes(png(noise(4, 4, 3), 2, *kept, *dropped))
    found = read(source(tmp_path / "a.png"))
    assert found.chunks == tuple(kept)
    assert "not kept: XMP data, which hold a picture" in found.notes
    assert_equal(again(tmp_path, found), found)
    kinds = [kind for kind, _ in read_chunks((tmp_path / "again.png").read_bytes())]
    assert kinds == [b"IHDR", b"gAMA", b"sRGB", b"tEXt", b"IDAT", b"IEND"]


# ---- what cannot be used


def test_200_megapixels_are_refused_before_decoding(tmp_path):
    (tmp_path / "a.png").write_bytes(png(noise(1, 1, 3), 2, size=(10_000, 20_000)))
    with pytest.raises(ImageError, match=r"a\.png: more than 178 million pixels"):
        read(source(tmp_path / "a.png"), ReadLimits(max_pixels=178_000_000))
    (tmp_path / "b.png").write_bytes(png(noise(1, 1, 3), 2, size=(4, 5)))  # there is nothing to decode
    with pytest.raises(ImageError, match=r"b\.png: 5 x 4 = 20 pixels, more than the limit of 19"):
        read(source(tmp_path / "b.png"), ReadLimits(max_pixels=19))


@pytest.mark.parametrize(
    "content", [b"", b"dear diary", png(noise(9, 9, 3, bits=16), 2)[:-60], png(noise(9, 9), 0)[:50]]
)
def test_what_is_no_picture_is_named(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ImageError, match=r"a\.png: "):
        read(source(tmp_path / "a.png"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"a\.png: No such file"):
        read(source(tmp_path / "a.png"))


FULL = Original(
    noise(12, 9, 3, bits=16), noise(12, 9, bits=16), SRGB, make_upright(exif()), ((b"tEXt", b"Title\0A cat"),)
)
buffer = io.BytesIO()
Image.fromarray(noise(12, 9, 3)).save(buffer, "JPEG", exif=b"Exif\0\0" + exif(), icc_profile=SRGB)
ENCODED = {"png": encode(FULL), "jpg": buffer.getvalue()}


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(ENCODED)), st.data())
def test_damage_makes_an_original_or_an_image_error(tmp_path_factory, kind, data):
    damaged = bytearray(ENCODED[kind])
    for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=6)):
        damaged[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.png"
    path.write_bytes(damaged)
    try:
        found = read(source(path), ReadLimits(max_pixels=10**5))
    except ImageError as error:
        assert error.what.startswith("damaged.png: ") and error.cure
    else:
        write(path, found)


def test_what_is_kept_to_the_bit_is_png(tmp_path):
    with pytest.raises(ImageError, match=r"(?s)a\.jpg: pictures are kept to the bit as PNG alone.*\.png"):
        write(tmp_path / "a.jpg", Original(noise(4, 4, 3)))


def test_a_failed_write_leaves_what_was_there(tmp_path):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ImageError, match=r"folder\.png: cannot be written"):
        write(tmp_path / "folder.png", Original(noise(4, 4, 3)))
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


def test_misuse_is_named():
    with pytest.raises(ValueError, match=r"\[H, W, 1\] or \[H, W, 3\], not \[4, 4, 2\]"):
        Original(noise(4, 4, 2))
    with pytest.raises(ValueError, match=r"uint8 \(4, 4, 3\) but alpha is uint16 \(4, 4\)"):
        Original(noise(4, 4, 3), noise(4, 4, bits=16))
    with pytest.raises(ValueError, match=r"but alpha is uint8 \(4, 5\)"):
        Original(noise(4, 4, 3), noise(4, 5))


@pytest.mark.parametrize(
    ("name", "mode", "profile"),
    [
        *((name, *one) for name in ("a.png", "a.jpg", "a.tif") for one in (("L", SRGB), ("RGB", GREY))),
        *((name, "P", GREY) for name in ("a.png", "a.tif")),
    ],
)
def test_a_profile_of_other_channels_is_left_out_and_it_is_said(tmp_path, name, mode, profile):
    image = Image.fromarray(noise(8, 8, 3)).convert(mode)
    found = saved(tmp_path, image, name, icc_profile=profile)
    assert found.icc is None and len(found.notes) == 1 and found.notes[0].startswith("not kept: an ICC profile of ")
    assert again(tmp_path, found).icc is None


def chunk(kind, data, crc=None):
    return (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) if crc is None else crc)
    )


LARGE = 1_200_000
BESIDE = {
    "a large compressed text": chunk(b"zTXt", b"workflow\0\0" + zlib.compress(bytes(LARGE))),
    "a large international text": chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(b"x" * LARGE)),
    "large texts": chunk(b"tEXt", b"Comment\0" + b"x" * LARGE) * 60,
    "a large profile": chunk(b"iCCP", b"ICC\0\0" + zlib.compress(bytes(2_000_000))),
    "an unknown compression": chunk(b"iCCP", b"ICC\0\7" + zlib.compress(SRGB)) + chunk(b"zTXt", b"a\0\7b"),
    "a wrong checksum": chunk(b"tEXt", b"Comment\0hello", 1) + chunk(b"pHYs", bytes(9), 7),
    "short parts": b"".join(chunk(kind, b"\1") for kind in (b"pHYs", b"gAMA", b"cHRM", b"tIME", b"cICP", b"eXIf")),
    "nothing in them": b"".join(chunk(kind, b"") for kind in (b"pHYs", b"gAMA", b"sRGB", b"iCCP", b"tEXt", b"zTXt")),
    "a damaged animation": chunk(b"acTL", bytes(8)) + chunk(b"fcTL", b"\0"),
}


@pytest.mark.parametrize("beside", BESIDE)
def test_what_lies_beside_the_pixels_of_a_png_never_costs_them(tmp_path, beside):
    values = noise(6, 9, 3)
    whole = png(values, 2)
    (tmp_path / "a.png").write_bytes(whole[:33] + BESIDE[beside] + whole[33:])
    found = read(source(tmp_path / "a.png"))
    assert np.array_equal(found.values, values)
    assert np.array_equal(photos.read(source(tmp_path / "a.png")).pixels, values)
    assert any(note.startswith("not kept: ") for note in found.notes)
    back = again(tmp_path, found)
    assert_equal(back, found)


@pytest.mark.parametrize(
    "part",
    [
        b"\xff\xe2\0\x0eICC_PROFILE\0",
        b"\xff\xe0\0\x06JFIF",
        b"\xff\xee\0\x07Adobe",
        b"\xff\xe2\0\x08MPF\0\1\2",
    ],
)
def test_what_lies_beside_the_pixels_of_a_jpeg_never_costs_them(tmp_path, part):
    file = io.BytesIO()
    Image.fromarray(noise(9, 7, 3)).save(file, "JPEG", exif=b"Exif\0\0" + exif(orientation=6))
    expected = read(Source("a.jpg", tmp_path, size=len(file.getvalue()), data=file.getvalue()))
    broken = file.getvalue()[:2] + part + file.getvalue()[2:]
    found = read(Source("a.jpg", tmp_path, size=len(broken), data=broken))
    assert np.array_equal(found.values, expected.values)


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=60), st.sampled_from([b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"pHYs", b"gAMA", b"sRGB", b"eXIf"])
)
def test_no_bytes_beside_the_pixels_of_a_png_cost_them(tmp_path_factory, data, kind):
    values = noise(3, 4, 3)
    whole = png(values, 2)
    encoded = whole[:33] + chunk(kind, data) + whole[33:]
    found = read(Source("a.png", tmp_path_factory.getbasetemp(), size=len(encoded), data=encoded))
    assert np.array_equal(found.values, values)
    assert_equal(again(tmp_path_factory.getbasetemp(), found), found)


@pytest.mark.skipif("AVIF" not in FORMATS, reason="this Pillow does not read AVIF")
def test_an_avif_is_read_upright_and_what_it_loses_is_told(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.new("RGB", (60, 40), (0, 0, 200))
    picture.paste((220, 0, 0), (0, 0, 20, 20))
    picture.save(tmp_path / "a.avif", quality=95, exif=exif)
    found = read(source(tmp_path / "a.avif"))
    assert found.values.shape == (60, 40, 3) and found.notes == () and found.values[5, 35, 0] > 180
    with Image.open(tmp_path / "a.avif") as opened:
        for flags, bits in ((0x0C, 8), (0x4C, 10), (0x6C, 12)):
            assert _depth(opened, b"ftypavif....av1C\x81\x00" + bytes([flags])) == bits
