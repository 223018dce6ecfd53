import json
from dataclasses import replace

import numpy as np
import pytest
import skimage.data
from PIL import Image

from latentfill.cli.main import run
from latentfill.gan import model_file
from latentfill.images import photos
from latentfill.images.archives import Source
from latentfill.options import NetworkOptions

CAT = np.ascontiguousarray(skimage.data.chelsea()[:120, :160])
HOLE = "rectangle:40,40,24,24"
FEW = ("--cold-steps", "0", "--tune-steps", "0")  # or searches take a hundred steps and more


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    gan = model_file.build(NetworkOptions(size=16, base=4, latent=6))
    model_file.save(replace(gan, about={"alignment": {"landmarks": "inner-eyes-and-bottom-lip"}}), path)
    return path


@pytest.fixture
def complete(model, tmp_path):
    def call(photo, *words, out="out"):
        words = (*words, "--hole", HOLE, "--place", "center", "--precision", "fp32", "--steps", "2", *FEW)
        return run(["complete", str(photo), "--out", str(tmp_path / out), "--model", str(model), *words])

    return call


def opened(path):
    return photos.read_original(Source(path.name, path))


def test_a_jpeg_stays_one_and_verify_says_how_much_it_changed(tmp_path, complete, capsys):
    photo, out = tmp_path / "cat.jpeg", tmp_path / "out"
    Image.fromarray(skimage.data.chelsea()).save(photo, quality=75)
    assert complete(photo, "--format", "same") == 0
    told = capsys.readouterr().err
    notes = json.loads((out / "cat.json").read_text())["notes"]
    assert notes[-1].startswith("JPEG changes pixels") and notes[-1] in told
    assert sorted(path.name for path in out.iterdir() if path.is_file()) == ["cat.jpeg", "cat.json"]
    assert (out / "cat.jpeg").stat().st_size < 1.2 * photo.stat().st_size
    for after in (out, out / "cat.jpeg"):
        assert run(["verify", str(photo), str(after), HOLE]) == 0
        told = capsys.readouterr().out
        assert "known pixels differ, by at most " in told and told.splitlines()[0].endswith("levels, by JPEG alone")
    assert run(["verify", str(photo), str(out), HOLE, "--json"]) == 0
    pair = json.loads(capsys.readouterr().out)["pairs"][0]
    assert pair["jpeg"] and pair["by_jpeg"] and pair["notes"] == [] and 0 < pair["largest"] < 40


@pytest.mark.parametrize(("at", "by"), [((200, 300), 32), ((66, 50), 120)])
@pytest.mark.parametrize(("quality", "subsampling"), [(75, 2), (95, 0)])
def test_a_change_that_jpeg_does_not_make_is_an_error_in_a_jpeg_too(tmp_path, capsys, at, by, quality, subsampling):
    Image.fromarray(skimage.data.chelsea()).save(tmp_path / "a.jpg", quality=quality, subsampling=subsampling)
    pixels = np.asarray(Image.open(tmp_path / "a.jpg")).copy()
    pixels[40:64, 40:64] = np.random.default_rng(0).integers(0, 256, (24, 24, 3))
    Image.fromarray(pixels).save(tmp_path / "b.jpg", quality=quality, subsampling=subsampling)
    assert run(["verify", str(tmp_path / "a.jpg"), str(tmp_path / "b.jpg"), HOLE]) == 0
    y, x = at
    pixels[y : y + 3, x : x + 3] ^= by
    Image.fromarray(pixels).save(tmp_path / "b.jpg", quality=quality, subsampling=subsampling)
    assert run(["verify", str(tmp_path / "a.jpg"), str(tmp_path / "b.jpg"), HOLE]) == 1
    assert "more than JPEG alone does" in capsys.readouterr().out


def test_same_is_each_photo_s_own_format_where_it_is_written(tmp_path, complete, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, name in enumerate(("a.png", "b.JPG", "c.webp", "d.tif", "e.bmp", "a.jpg")):
        Image.fromarray(np.roll(CAT, number, 1)).save(folder / name)
    assert complete(folder, "--format", "same") == 0
    names = {path.name for path in (tmp_path / "out").iterdir() if path.is_file() and path.suffix != ".json"}
    assert names == {"a.png.png", "a.jpg.jpg", "b.jpg", "c.webp", "d.tif", "e.png"}
    assert "e.bmp: files of its kind are not written: it is kept as PNG" in capsys.readouterr().err
    run(["verify", str(folder), str(tmp_path / "out"), HOLE])
    told = capsys.readouterr().out.splitlines()
    assert all("0 of" in line for line in told if line[0] in "cde" or line.startswith("a.png")) and len(told) == 7


@pytest.mark.parametrize("form", ["png", "jpeg", "webp", "tiff"])
def test_what_is_done_in_a_format_is_not_done_again_nor_passed_off_as_another(tmp_path, complete, capsys, form):
    photo, out = tmp_path / "cat.jpg", tmp_path / "out"
    Image.fromarray(CAT).save(photo)
    assert complete(photo, "--format", form) == 0
    (made,) = (path for path in out.iterdir() if path.is_file() and path.suffix != ".json")
    stamp = made.stat().st_mtime_ns
    assert complete(photo, "--format", form) == 0
    assert "1 of 1 are done already" in capsys.readouterr().err and made.stat().st_mtime_ns == stamp
    other = "png" if form == "tiff" else "tiff"
    assert complete(photo, "--format", other) == 2
    assert f"was made with --format {form}, not {other}" in capsys.readouterr().err and made.exists()
    assert complete(photo, "--format", other, "--overwrite") == 0
    assert not made.exists() and (out / "cat").with_suffix(".png" if other == "png" else ".tif").exists()
    assert complete(photo, "--format", other) == 0 and "1 of 1 are done" in capsys.readouterr().err


def test_a_result_changed_by_hand_and_files_of_others_stay(tmp_path, complete):
    photo, out = tmp_path / "cat.png", tmp_path / "out"
    Image.fromarray(CAT).save(photo)
    out.mkdir()
    (out / "cat.jpg").write_bytes(b"dear diary")
    assert complete(photo, "--format", "jpeg") == 0
    assert (out / "cat.jpg").read_bytes() == b"dear diary" and (out / "cat~2.jpg").exists()
    (out / "cat~2.jpg").write_bytes(b"edited")
    assert complete(photo, "--format", "tiff", "--overwrite") == 0
    assert (out / "cat~2.jpg").read_bytes() == b"edited"


def test_originals_are_not_replaced_by_results_of_their_own_format(tmp_path, complete, capsys):
    (tmp_path / "out").mkdir()
    Image.fromarray(CAT).save(tmp_path / "out" / "cat.jpg")
    before = (tmp_path / "out" / "cat.jpg").read_bytes()
    assert complete(tmp_path / "out" / "cat.jpg", "--format", "same") == 2
    assert "originals are not replaced" in capsys.readouterr().err
    assert (tmp_path / "out" / "cat.jpg").read_bytes() == before
    assert complete(tmp_path / "out" / "cat.jpg") == 0


def test_a_jpeg_result_among_photos_is_no_photo(tmp_path, complete, capsys):
    Image.fromarray(CAT).save(tmp_path / "cat.jpg")
    assert complete(tmp_path / "cat.jpg", "--format", "same", out="photos") == 0
    Image.fromarray(CAT[::-1].copy()).save(tmp_path / "photos" / "dog.jpg")
    capsys.readouterr()
    assert complete(tmp_path / "photos", "--format", "same", out="more") == 0
    assert {path.name for path in (tmp_path / "more").glob("*.jpg")} == {"dog.jpg"}


def test_a_16_bit_photo_with_profile_and_exif_stays_so_as_a_tiff(tmp_path, complete, capsys):
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    deep = photos.Original(CAT.astype(np.uint16) * 257 + 3, None, b"profile", exif.tobytes().removeprefix(b"Exif\0\0"))
    photos.write_original(tmp_path / "deep.png", deep)
    assert complete(tmp_path / "deep.png", "--format", "tiff") == 0
    assert run(["verify", str(tmp_path / "deep.png"), str(tmp_path / "out" / "deep.tif"), HOLE]) == 0
    assert opened(tmp_path / "out" / "deep.tif").bits == 16
    assert complete(tmp_path / "deep.png", "--format", "webp", out="webp") == 0
    told = capsys.readouterr()
    assert "WebP holds 8 bits per channel" in told.err
    assert run(["verify", str(tmp_path / "deep.png"), str(tmp_path / "webp"), HOLE]) == 1
    assert "by at most 3 levels of 65,535; 16 bits per channel became 8" in capsys.readouterr().out
