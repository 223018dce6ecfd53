import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import skimage.data
from PIL import Image

from latentfill.batch.complete import trust_line
from latentfill.cli.main import run
from latentfill.gan import model_file
from latentfill.images import photos
from latentfill.images.archives import Source
from latentfill.options import NetworkOptions
from latentfill.uncertainty.predict import UNLIKE

ASTRONAUT = np.asarray(skimage.data.astronaut())
NOSE = "ellipse:224,135,16,12"
FEW = ("--cold-steps", "0", "--tune-steps", "0")  # or searches take a hundred steps and more


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    gan = model_file.build(NetworkOptions(size=16, base=4, latent=6))
    model_file.save(replace(gan, about={"alignment": {"landmarks": "inner-eyes-and-bottom-lip"}}), path)
    return path


def complete(model, *words):
    return run(["complete", *map(str, words), "--model", str(model), "--precision", "fp32", "--steps", "2", *FEW])


def opened(path):
    return photos.read_original(Source(path.name, path))


def test_photos_of_any_size_are_completed_in_one_command(tmp_path, model, capsys):
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    Image.fromarray(ASTRONAUT).save(photos / "astronaut.png")
    Image.fromarray(ASTRONAUT[:, ::-1]).convert("L").resize((700, 700)).save(photos / "grey.jpg")
    Image.fromarray(np.full((90, 120, 3), 100, np.uint8)).save(photos / "nobody.png")
    (photos / "text.png").write_text("not a picture")
    assert complete(model, photos, "--out", out, "--hole", "ellipse:50%,27%,8%,6%") == 1
    assert {path.name for path in out.glob("*.png")} == {"astronaut.png", "grey.png", "nobody.png"}
    told = capsys.readouterr().err
    assert "no face was found" not in told and "3 completed, 1 rejected" in told  # so small a hole hides none
    assert "photo 1 is read" in told, "reading many photos takes a while"
    story = json.loads((out / "nobody.json").read_text())
    assert story["notes"] == ["filled from the photo; no estimate"] and f"nobody.png: {story['notes'][0]}\n" in told
    assert story["trust"] == {"predicted": None, "share": 0.0, "words": ["filled from the photo; no estimate"]}
    rows = list(csv.DictReader((out / "_run" / "rejected.csv").open()))
    assert [row["path"] for row in rows] == ["text.png"]
    for name in ("astronaut.png", "grey.jpg"):
        words = ["verify", photos / name, out / f"{name[:-4]}.png", "ellipse:50%,27%,8%,6%"]
        assert run([str(word) for word in words]) == 0
    assert opened(out / "grey.png").values.shape == (700, 700, 1)
    story = json.loads((out / "astronaut.json").read_text())
    assert story["seen_by_model"] > 0.5 and len(story["squares"]) == 1
    assert story["loss"] == story["squares"][0]["loss"] and 0 < story["to_be_found"] < 0.02


def test_trust_is_told_in_one_place_however_many_faces_there_are(tmp_path, model):
    Image.fromarray(np.hstack([ASTRONAUT[:300], ASTRONAUT[:300]])).save(tmp_path / "two.png")
    assert complete(model, tmp_path / "two.png", "--out", tmp_path / "out", "--hole", "face:mouth") == 0
    story = json.loads((tmp_path / "out" / "two.json").read_text())
    assert len(story["squares"]) == 2 and all(square["trust"]["words"] for square in story["squares"])
    first = story["squares"][0]["trust"]["words"][0]
    assert story["trust"]["words"][0] == f"square 1 of 2, the least certain: {first}"


@pytest.mark.parametrize(
    ("trust", "line"),
    [
        ({"predicted": 18.0, "words": ["expect 18", "rough"]}, "expect 18"),
        ({"predicted": 18.0, "words": [f"square 1 of 2, the least certain: {UNLIKE}", "if known, 18"]}, "if known, 18"),
        ({"predicted": 0.0, "words": ["nothing is missing"]}, None),
        ({"predicted": None, "words": ["filled from the photo; no estimate"]}, None),
        (None, None),
    ],
)
def test_the_error_to_expect_is_printed_where_it_can_be_told(trust, line):
    assert trust_line({"trust": trust}) == line


def test_a_16_bit_photo_with_alpha_profile_and_exif_keeps_them(tmp_path, model):
    deep = ASTRONAUT.astype(np.uint16) * 257 + 3
    alpha = np.full((512, 512), 65535, np.uint16)
    alpha[100:104, 220:224] = 0
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    original = photos.Original(deep, alpha, icc=b"profile", exif=exif.tobytes().removeprefix(b"Exif\0\0"))
    photos.write_original(tmp_path / "deep.png", original)
    assert complete(model, tmp_path / "deep.png", "--out", tmp_path / "out", "--hole", "alpha") == 0
    made, before = opened(tmp_path / "out" / "deep.png"), opened(tmp_path / "deep.png")
    hole = alpha == 0
    assert np.array_equal(made.values[~hole], deep[~hole]) and made.values.dtype == np.uint16
    assert not np.array_equal(made.values[hole], deep[hole]) and (made.alpha == 65535).all()
    assert made.icc == b"profile" and made.exif == before.exif and b"a camera" in made.exif


def test_a_photo_on_its_side_is_completed_upright(tmp_path, model):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.fromarray(np.rot90(ASTRONAUT).copy())
    turned.save(tmp_path / "side.png", exif=exif)
    assert complete(model, tmp_path / "side.png", "--out", tmp_path / "out", "--hole", NOSE) == 0
    made = Image.open(tmp_path / "out" / "side.png")
    assert made.getexif().get(0x0112, 1) == 1
    assert (np.asarray(made) != ASTRONAUT).any(-1).sum() == pytest.approx(np.pi * 16 * 12, rel=0.1)


def test_candidates_are_offered_with_a_sheet(tmp_path, model):
    more = ["--preset", "seed", "--candidates", 3]
    Image.fromarray(ASTRONAUT).save(tmp_path / "a.png")
    assert complete(model, tmp_path / "a.png", "--out", tmp_path / "out", "--hole", NOSE, *more) == 0
    folder = tmp_path / "out" / "_run" / "candidates" / "a"
    assert sorted(path.name for path in folder.iterdir()) == ["1.png", "2.png", "3.png", "sheet.png"]
    made = [opened(folder / f"{i}.png").values for i in (1, 2, 3)]
    assert np.array_equal(made[0], opened(tmp_path / "out" / "a.png").values)
    assert not np.array_equal(made[0], made[1]) and not np.array_equal(made[1], made[2])
    losses = [c["loss"][0] for c in json.loads((tmp_path / "out" / "a.json").read_text())["candidates"]]
    assert losses == sorted(losses) and len(losses) == 3


def test_landmarks_from_a_file_find_a_face_that_is_all_hidden(tmp_path, model, capsys):
    hidden = ASTRONAUT[:300].copy()
    hidden[60:190, 170:280] = 255
    Image.fromarray(hidden).save(tmp_path / "hidden.png")
    words = (tmp_path / "hidden.png", "--out", tmp_path / "out", "--hole", "rectangle:170,60,110,130")
    assert complete(model, *words, "--place", "faces") == 1
    assert "no face was found" in capsys.readouterr().err
    (tmp_path / "points.csv").write_text("path,x1,y1,x2,y2,x3,y3\nhidden.png,212,104,237,106,222,156\n")
    assert complete(model, *words, "--landmarks", tmp_path / "points.csv") == 0
    story = json.loads((tmp_path / "out" / "hidden.json").read_text())
    assert len(story["squares"]) == 1 and "filled from the photo around it" in story["notes"][1]
    assert 0.5 < story["trust"]["share"] == round(story["seen_by_model"], 4) < 1
    assert "the rest is from the photo, without an estimate" in story["trust"]["words"][-1]


def test_a_hole_of_another_size_is_told(tmp_path, model, capsys):
    Image.fromarray(ASTRONAUT).save(tmp_path / "a.png")
    Image.fromarray(np.full((64, 64), 255, np.uint8)).save(tmp_path / "hole.png")
    assert complete(model, tmp_path / "a.png", "--out", tmp_path / "out", "--hole", tmp_path / "hole.png") == 1
    assert "hole.png is 64 x 64 pixels, but a.png is 512 x 512" in capsys.readouterr().err


def test_the_low_resolution_question_is_for_the_model_s_size(tmp_path, model, capsys):
    Image.fromarray(ASTRONAUT).save(tmp_path / "a.png")
    assert complete(model, tmp_path / "a.png", "--out", tmp_path / "out", "--hole", "lowres") == 1
    assert "--fit" in capsys.readouterr().err
    assert complete(model, tmp_path / "a.png", "--out", tmp_path / "out", "--hole", "lowres", "--fit") == 0


def test_the_photo_s_middle_is_completed_when_told(tmp_path, model):
    Image.fromarray(np.full((90, 120, 3), 100, np.uint8)).save(tmp_path / "nobody.png")
    words = ("--hole", "center:0.4", "--place", "center", "--blend", "overlay", "--no-grain")
    assert complete(model, tmp_path / "nobody.png", "--out", tmp_path / "out", *words) == 0
    story = json.loads((tmp_path / "out" / "nobody.json").read_text())
    assert story["squares"][0]["placement"] == [[90 / 16, 0, 15], [0, 90 / 16, 0]]


def test_what_was_made_for_another_hole_is_not_passed_off_as_this_one(tmp_path, model, capsys):
    Image.fromarray(ASTRONAUT).save(tmp_path / "a.png")
    assert complete(model, tmp_path / "a.png", "--out", tmp_path / "out", "--hole", NOSE) == 0
    other = "ellipse:224,105,20,9"
    assert complete(model, tmp_path / "a.png", "--out", tmp_path / "out", "--hole", other) == 2
    assert f"was made with --hole {NOSE}, not {other}" in capsys.readouterr().err
    assert complete(model, tmp_path / "a.png", "--out", tmp_path / "out", "--hole", other, "--overwrite") == 0


def test_a_missing_library_stops_the_command_and_is_told_once(tmp_path, model, capsys, monkeypatch):
    import sys

    for name in ("a.png", "b.png"):
        Image.fromarray(ASTRONAUT).save(tmp_path / name)
    monkeypatch.setitem(sys.modules, "dlib", None)
    from latentfill.faces import detector

    detector._detector.cache_clear()
    words = (tmp_path / "a.png", tmp_path / "b.png", "--out", tmp_path / "out", "--hole", NOSE)
    assert complete(model, *words) == 2
    told = capsys.readouterr().err
    assert told.count("pip install 'latentfill[faces]'") == 1


def test_photos_of_an_archive_find_their_holes(tmp_path, model):
    import zipfile

    Image.fromarray(ASTRONAUT).save(tmp_path / "1.png")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.write(tmp_path / "1.png", "anna/1.png")
    hole = np.zeros((512, 512), np.uint8)
    hole[125:140, 215:235] = 255
    (tmp_path / "holes" / "anna").mkdir(parents=True)
    Image.fromarray(hole).save(tmp_path / "holes" / "anna" / "1.png")
    assert complete(model, tmp_path / "b.zip", "--out", tmp_path / "out", "--hole", tmp_path / "holes") == 0


@pytest.mark.parametrize("kind", ["CMYK", "P", "L", "LA", "1"])
def test_photos_of_every_mode_are_completed_and_keep_their_known_pixels(tmp_path, model, kind):
    path = tmp_path / ("a.jpg" if kind == "CMYK" else "a.png")
    Image.fromarray(ASTRONAUT).convert(kind).save(path)
    words = ("--hole", NOSE, "--place", "center")
    assert complete(model, path, "--out", tmp_path / "out", *words) == 0
    before, after = opened(path), opened(tmp_path / "out" / "a.png")
    changed = (before.values != after.values).any(-1)
    assert changed.any() and run(["verify", str(path), str(tmp_path / "out" / "a.png"), NOSE]) == 0
