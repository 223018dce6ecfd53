import io
import struct

import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageCms, JpegImagePlugin

from latentfill.errors import ImageError
from latentfill.images import metadata
from latentfill.images.encoding import encode_as
from latentfill.images.photos import Original, decode_original

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
CAT = np.ascontiguousarray(skimage.data.chelsea()[:96, :120])
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><tiff:Orientation>6</tiff:Orientation>A cat</x:xmpmeta>"
ALL = [".png", ".jpg", ".webp", ".tif"]


def picture(channels=3, bits=8, alpha=False, **more):
    values = CAT if channels == 3 else CAT[..., 1:2]
    opacity = np.tile(np.linspace(0, 255, 120).astype(np.uint8), (96, 1)) if alpha else None
    if bits == 16:
        values = values.astype(np.uint16) * 257 + np.arange(120, dtype=np.uint16)[:, None] % 200
        opacity = None if opacity is None else opacity.astype(np.uint16) * 255
    return Original(values, opacity, **more)


def camera(orientation=1):
    exif = Image.Exif()
    exif[0x010F], exif[0x0112], exif[0x0213] = "a camera", orientation, 1
    exif.get_ifd(0x8769)[0x829A] = 0.01
    exif.get_ifd(0x8825)[1] = "N"
    return exif


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".webp"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("alpha", [False, True])
def test_pixels_are_kept_to_the_bit_or_a_note_says_what_is_not(suffix, channels, bits, alpha):
    before = picture(channels, bits, alpha)
    data, notes = encode_as(before, suffix)
    after = decode_original(data)
    assert any("8 bits" in note for note in notes) == (suffix == ".webp" and bits == 16)
    assert any("equal colours" in note for note in notes) == (after.values.shape[2] != channels)
    lost = after.bits < before.bits
    values, opacity = (x if x is None or not lost else (x >> 8).astype(np.uint8) for x in (before.values, before.alpha))
    assert np.array_equal(after.values, np.broadcast_to(values, after.values.shape))
    assert (after.alpha is None) == (not alpha) and (not alpha or np.array_equal(after.alpha, opacity))


@pytest.mark.parametrize("suffix", ALL)
def test_what_stands_beside_the_pixels_is_kept_upright(suffix):
    file = io.BytesIO()
    Image.fromarray(CAT).save(file, "JPEG", exif=camera(6), icc_profile=SRGB, xmp=XMP, dpi=(300, 300))
    before = decode_original(file.getvalue())
    assert before.values.shape == (120, 96, 3) and before.notes == ()
    after = decode_original(encode_as(before, suffix)[0])
    assert after.values.shape == before.values.shape and after.icc == SRGB
    assert metadata.same_exif(before.exif, after.exif) and b"a camera" in after.exif
    with Image.open(io.BytesIO(encode_as(before, suffix)[0])) as image:
        exif = image.getexif()
        assert exif.get(0x0112, 1) == 1 and exif.get_ifd(0x8769)[0x829A] == pytest.approx(0.01)
        assert exif.get_ifd(0x8825)[1] == "N"
        assert image.info["xmp"].strip(b"\0") == XMP.replace(b">6<", b">1<")
        assert suffix == ".webp" or image.info["dpi"] == pytest.approx((300, 300), abs=0.02)


def test_xmp_with_a_picture_is_not_kept():
    file = io.BytesIO()
    Image.fromarray(CAT).save(file, "JPEG", xmp=b"<xmp:Thumbnails>AAAA</xmp:Thumbnails>")
    before = decode_original(file.getvalue())
    assert before.chunks == () and before.notes == ("not kept: XMP data, which hold a picture",)


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("sampling", [0, 1, 2])
def test_a_jpeg_of_a_jpeg_is_as_coarse_and_no_larger(grey, sampling):
    file = io.BytesIO()
    Image.fromarray(CAT[..., 1] if grey else CAT).save(file, "JPEG", quality=60, subsampling=sampling)
    before = decode_original(file.getvalue())
    data, notes = encode_as(before, ".jpg", file.getvalue())
    with Image.open(file) as old, Image.open(io.BytesIO(data)) as new:
        assert old.mode == new.mode and list(old.quantization.values()) == list(new.quantization.values())
        assert grey or JpegImagePlugin.get_sampling(new) == sampling
    assert len(data) < 1.1 * len(file.getvalue()) < len(encode_as(before, ".jpg")[0])
    off = int(np.abs(decode_original(data).values.astype(int) - before.values).max())
    assert off <= 12 and notes[-1].endswith(f"at most {off} level{'s' * (off != 1)}")


def test_a_jpeg_of_cmyk_or_without_colours_of_its_own_tables_is_written():
    for mode in ("CMYK", "L"):
        file = io.BytesIO()
        Image.fromarray(CAT).convert(mode).save(file, "JPEG", quality=70)
        before = decode_original(file.getvalue())
        if mode == "L":
            before = Original(np.repeat(before.values, 3, 2))
        assert decode_original(encode_as(before, ".jpg", file.getvalue())[0]).values.shape == CAT.shape


def test_a_jpeg_shows_transparency_on_white_and_says_so():
    before = picture(alpha=True, bits=16)
    data, notes = encode_as(before, ".jpg")
    after = decode_original(data)
    assert after.alpha is None and (after.values[:, 0] > 240).all() and after.bits == 8
    assert any("on white" in note for note in notes) and any("8 bits" in note for note in notes)
    opaque = Original(CAT, np.full(CAT.shape[:2], 255, np.uint8))
    assert not any("white" in note for note in encode_as(opaque, ".jpg")[1])


def test_what_a_jpeg_s_segment_does_not_hold_is_told():
    chunk = (b"iTXt", metadata.XMP + b"x" * 70_000)
    data, notes = encode_as(picture(chunks=(chunk,)), ".jpg")
    assert "not kept: XMP data of more than 65,533 bytes, as JPEG holds" in notes
    assert decode_original(data).chunks == ()


def test_exif_data_that_cannot_be_understood_do_not_cost_a_picture():
    before = picture(exif=b"II*\0" + struct.pack("<I", 10**6))
    assert np.array_equal(decode_original(encode_as(before, ".tif")[0]).values, CAT)


def test_a_picture_too_wide_for_webp_is_refused():
    with pytest.raises(ImageError, match=r"20000 x 1 pixels are too many for WebP"):
        encode_as(Original(np.zeros((1, 20_000, 1), np.uint8)), ".webp")
