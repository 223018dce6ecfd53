import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from latentfill.cli.main import run
from latentfill.faces.detector import detect_faces
from latentfill.faces.templates import place
from latentfill.files.listing import find_pictures as find_pictures
from latentfill.options import Alignment

FACE = astronaut()[:300, 80:380].copy()  # one face of 91 pixels
NOISE = np.random.default_rng(0).integers(0, 256, (120, 120, 3), dtype=np.uint8)


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three faces, one of them in a folder and one lying on its side; noise; a text; half a picture."""
    folder = tmp_path_factory.mktemp("photos")
    save(folder / "anna.png", FACE)
    save(folder / "people" / "mirrored.jpg", FACE[:, ::-1].copy(), quality=95)
    save(folder / "turned.jpg", np.rot90(FACE).copy(), quality=95, exif=turned())
    save(folder / "noise.png", NOISE)
    (folder / "text.jpg").write_text("dear diary")
    whole = save(folder / "half.jpg", FACE).read_bytes()
    (folder / "half.jpg").write_bytes(whole[: len(whole) // 2])
    return folder


def align(*words, workers=1):
    return run(["align", *map(str, words), "--workers", str(workers)])


def made(out):
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png") if "_run" not in path.parts)


def read(path):
    return np.asarray(Image.open(path)).astype(int)


def rejected(out):
    return {row["path"]: row["reason"] for row in csv.DictReader((out / "rejected.csv").open())}


def test_faces_are_cut_out_and_the_rest_is_told(photos, tmp_path, capsys):
    out = tmp_path / "out"
    assert align(photos, out) == 1
    assert made(out) == ["anna.png", "people/mirrored.png", "turned.png"]
    told = capsys.readouterr()
    assert "3 aligned, 1 without a face, 2 unreadable" in told.err and told.out == f"{out}\n"
    assert "text.jpg: not a picture" in told.err and "half.jpg: " in told.err
    reasons = rejected(out)
    assert reasons["noise.png"] == "no face found" and set(reasons) == {"noise.png", "text.jpg", "half.jpg"}
    (face,) = detect_faces(FACE, everyone=False)
    assert np.array_equal(read(out / "anna.png"), place(face.points, 64, Alignment()).crop(FACE))
    assert np.abs(read(out / "turned.png") - read(out / "anna.png")).mean() < 8
    assert np.abs(read(out / "people" / "mirrored.png")[:, ::-1] - read(out / "anna.png")).mean() < 12
    facts = json.loads((out / "alignment.json").read_text())
    assert facts["landmarks"] == "inner-eyes-and-bottom-lip" and facts["size"] == 64 and "dlib" in facts["detector"]
    assert read(out / "_run" / "mean.png").shape == (64, 64, 3)
    assert read(out / "_run" / "contact.png").shape == (64, 3 * 64, 3)
    mean = np.mean([read(out / name) for name in made(out)], 0)
    assert np.abs(read(out / "_run" / "mean.png") - mean).max() <= 0.5
    groups = list(csv.reader((out / "_run" / "duplicates.csv").open()))
    assert groups == [["group", "path"], ["1", "anna.png"], ["1", "turned.png"]]
    assert [source.name for source in find_pictures([out])] == made(out), "what lies beside the crops is taken for one"


def test_several_processes_make_what_one_makes(photos, tmp_path):
    assert align(photos, tmp_path / "one") == align(photos, tmp_path / "two", workers=2) == 1
    assert made(tmp_path / "one") == made(tmp_path / "two")
    for name in [*made(tmp_path / "one"), "rejected.csv", "alignment.json", "_run/mean.png", "_run/contact.png"]:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_the_same_command_goes_on_and_does_nothing_twice(photos, tmp_path, capsys):
    out = tmp_path / "out"
    align(photos, out, "--max-images", 3)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png") if "_run" not in path.parts}
    assert align(photos, out) == 1
    capsys.readouterr()
    assert align(photos, out) == 1
    told = capsys.readouterr().err
    assert "4 of 6 are done already" in told and "3 aligned, 1 without a face, 2 unreadable" in told
    assert all(path.stat().st_mtime_ns == changed for path, changed in before.items())
    (out / "anna.png").unlink()
    assert align(photos, out) == 1 and (out / "anna.png").exists()
    assert align(photos, out, "--overwrite") == 1
    assert all(path.stat().st_mtime_ns > changed for path, changed in before.items())
    assert made(out) == ["anna.png", "people/mirrored.png", "turned.png"]


def test_rejected_photos_are_looked_at_again_when_the_options_change(tmp_path, capsys):
    photo, out = save(tmp_path / "in" / "both.png", np.hstack([FACE, FACE])), tmp_path / "out"
    assert align(photo, out, "--skip-multi") == 1
    assert rejected(out) == {"both.png": "2 faces and --skip-multi"}
    assert "0 aligned, 0 without a face, 0 unreadable, 1 with several faces" in capsys.readouterr().err
    assert align(photo, out, "--skip-multi") == 1 and "1 of 1 are done already" in capsys.readouterr().err
    assert align(photo, out) == 0 and made(out) == ["both.png"] and not (out / "rejected.csv").exists()


def test_crops_of_two_kinds_never_mix(tmp_path, capsys):
    photo, out = save(tmp_path / "in" / "anna.png", FACE), tmp_path / "out"
    assert align(photo, out) == 0
    assert align(photo, out, "--size", 32, "--margin", 2) == 2
    assert "made with size 64, now 32, margin 1.0, now 2.0" in capsys.readouterr().err
    assert read(out / "anna.png").shape == (64, 64, 3)
    assert align(photo, out, "--size", 32, "--margin", 2, "--format", "jpg", "--overwrite") == 0
    assert made(out) == [] and read(out / "anna.jpg").shape == (32, 32, 3)
    assert json.loads((out / "alignment.json").read_text())["margin"] == 2
    other = save(tmp_path / "other" / "eve.png", FACE)
    assert align(other, out, "--overwrite") == 2
    assert "1 crops of other photos" in capsys.readouterr().err and (out / "anna.jpg").exists()


def test_every_face_gets_a_name_that_no_other_photo_has(tmp_path, capsys):
    both = np.hstack([FACE, FACE[:, ::-1]])
    for name in ("a.png", "a-2.png", "a.bmp", "b/a.png"):
        save(tmp_path / "in" / name, both if name != "b/a.png" else FACE)
    assert align(tmp_path / "in", tmp_path / "out", "--everyone") == 0
    assert "4 aligned (7 faces)" in capsys.readouterr().err
    names = ["a", "a-2", "a.png", "a.png-2", "a-2.png", "a-2.png-2", "b/a"]
    assert made(tmp_path / "out") == sorted(f"{name}.png" for name in names)
    assert align(tmp_path / "in", tmp_path / "flat", "--flatten") == 0
    assert made(tmp_path / "flat") == ["a-2.png", "a.png", "a.png.png", "b--a.png"]


def test_a_face_that_is_gone_takes_its_crop_along(tmp_path):
    photo, out = save(tmp_path / "in" / "a.png", np.hstack([FACE, FACE])), tmp_path / "out"
    assert align(photo, out, "--everyone") == 0 and made(out) == ["a-2.png", "a.png"]
    save(photo, FACE)
    assert align(photo, out, "--everyone") == 0 and made(out) == ["a.png"]


def test_crops_among_the_photos_are_not_taken_for_photos(tmp_path, capsys):
    save(tmp_path / "a.png", FACE)
    for _ in range(2):
        assert align(tmp_path, tmp_path / "crops") == 0
        assert made(tmp_path / "crops") == ["a.png"] and "1 aligned, " in capsys.readouterr().err


def test_a_photo_that_has_changed_or_been_mended_is_cut_anew(tmp_path):
    good, bad = save(tmp_path / "in" / "a.png", FACE), tmp_path / "in" / "b.png"
    bad.write_bytes(bytes(good.stat().st_size))
    assert align(tmp_path / "in", tmp_path / "out") == 1
    before = read(tmp_path / "out" / "a.png")
    save(good, FACE // 2 + 60)
    save(bad, FACE)
    assert align(tmp_path / "in", tmp_path / "out") == 0
    assert made(tmp_path / "out") == ["a.png", "b.png"] and not np.array_equal(read(tmp_path / "out" / "a.png"), before)


def test_archives_are_photos_too_and_one_alone_gives_no_folder(tmp_path):
    with tarfile.open(tmp_path / "t.tar", "w") as tar, zipfile.ZipFile(tmp_path / "z.zip", "w") as zipped:
        for name in ("anna/1.png", "eve/2.png"):
            data = save(tmp_path / "one.png", FACE).read_bytes()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
            zipped.writestr(name, data)
    assert align(tmp_path / "t.tar", tmp_path / "out") == 0 and made(tmp_path / "out") == ["anna/1.png", "eve/2.png"]
    assert align(tmp_path / "t.tar", tmp_path / "z.zip", tmp_path / "two", "--no-faces") == 0
    assert made(tmp_path / "two") == [
        f"{place}/{n}" for place in ("t.tar", "z.zip") for n in ("anna/1.png", "eve/2.png")
    ]


def test_other_subjects_are_cut_to_their_central_square(tmp_path, capsys):
    photos = [save(tmp_path / "in" / f"{i}.png", NOISE[:, : 60 + i]) for i in range(3)]
    assert align(tmp_path / "in", tmp_path / "out", "--no-faces", "--size", 30) == 0
    assert "3 cropped, 0 unreadable" in capsys.readouterr().err
    assert np.abs(read(tmp_path / "out" / "0.png") - NOISE[30:90, :60].reshape(30, 2, 30, 2, 3).mean((1, 3))).max() <= 1
    assert not (tmp_path / "out" / "alignment.json").exists() and len(photos) == 3


def test_strong_shears_are_left_out(tmp_path):
    wide = np.asarray(Image.fromarray(FACE).resize((410, 300), Image.Resampling.BICUBIC))
    save(tmp_path / "in" / "wide.png", wide)
    save(tmp_path / "in" / "anna.png", FACE)
    assert align(tmp_path / "in", tmp_path / "out", "--max-shear", 1.3) == 0
    assert made(tmp_path / "out") == ["anna.png"]
    assert rejected(tmp_path / "out")["wide.png"].startswith("sheared 1.")
    assert align(tmp_path / "in", tmp_path / "similar", "--max-shear", 1.3, "--similarity") == 0
    assert made(tmp_path / "similar") == ["anna.png", "wide.png"]


def test_landmarks_may_be_given_instead(tmp_path, capsys):
    for name in ("people/anna.png", "noise.png", "far.png"):
        save(tmp_path / "in" / name, FACE if "anna" in name else NOISE)
    (face,) = detect_faces(FACE, everyone=False)
    numbers = {"anna.jpg": face.points - 0.5, "far.png": face.points + 900}
    lines = ["path,x1,y1,x2,y2,x3,y3", *(f"{n},{','.join(map(str, p.ravel()))}" for n, p in numbers.items())]
    (tmp_path / "points.csv").write_text("\n".join(lines))
    assert align(tmp_path / "in", tmp_path / "found") == 0
    assert align(tmp_path / "in", tmp_path / "given", "--points", tmp_path / "points.csv") == 1
    assert "1 aligned, 1 without a face, 0 unreadable, 1 failed" in capsys.readouterr().err
    assert made(tmp_path / "given") == ["people/anna.png"]
    assert (
        np.abs(read(tmp_path / "given" / "people/anna.png") - read(tmp_path / "found" / "people/anna.png")).max() <= 1
    )
    reasons = {"noise.png": "no landmarks given", "far.png": "its landmarks lie outside its 120x120 pixels"}
    assert rejected(tmp_path / "given") == reasons
    assert json.loads((tmp_path / "given" / "alignment.json").read_text())["detector"] == "landmarks from points.csv"
    assert align(tmp_path / "in", tmp_path / "none", "--points", tmp_path / "no.csv") == 2


def test_identities_are_kept_apart(tmp_path, capsys):
    for person in range(12):
        for i in range(2):
            save(tmp_path / "in" / f"p{person}" / f"{i}.png", NOISE)
            save(tmp_path / "flat" / f"p{person}_{i}.png", NOISE)
    assert align(tmp_path / "in", tmp_path / "out", "--no-faces", "--split", 0.4) == 0
    told = capsys.readouterr().err
    folders = {part: {p.name for p in (tmp_path / "out" / part).iterdir() if p.is_dir()} for part in ("train", "test")}
    assert len(folders["train"]) + len(folders["test"]) == 12 and folders["train"] and folders["test"]
    assert not folders["train"] & folders["test"]
    assert f"test: {2 * len(folders['test'])} photos of {len(folders['test'])} identities" in told
    assert "near-duplicates: 1 groups, 1 of them in both train and test" in told
    words = ("--split", 0.4, "--identity", r"^(p\d+)_")
    assert align(tmp_path / "flat", tmp_path / "named", "--no-faces", *words) == 0
    parts = {part: {p.name[:-6] for p in (tmp_path / "named" / part).glob("*.png")} for part in ("train", "test")}
    assert len(parts["train"]) + len(parts["test"]) == 12 and not parts["train"] & parts["test"]
    face = save(tmp_path / "anna" / "1.png", FACE)
    assert align(face, tmp_path / "faces", "--split", 0.4) == 0
    assert all((tmp_path / "faces" / part / "alignment.json").exists() for part in ("", "train", "test"))


def test_nothing_aligned_is_said_plainly(tmp_path, capsys):
    save(tmp_path / "in" / "noise.png", NOISE)
    assert align(tmp_path / "in", tmp_path / "out") == 1
    told = capsys.readouterr()
    assert (
        "0 aligned, 1 without a face, 0 unreadable" in told.err and "Nothing was aligned. Try --upsample 2" in told.err
    )
    assert not told.out and not (tmp_path / "out" / "_run" / "mean.png").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["in"], "the folder for the crops, are missing"),
        (["in", "in"], "in holds the photos"),
        (["in", "in/anna.png"], "in/anna.png holds the photos"),
        (["in/anna.png", "in"], "anna.png would be replaced by its crop"),
        (["empty", "out"], "no photos in empty"),
        (["missing", "out"], "no such file or folder"),
        (["in", "out", "--everyone", "--skip-multi"], "exclude each other"),
        (["in", "out", "--size", "4"], "--size 4"),
        (["in", "out", "--split", "0.5", "--identity", "("], "--identity ("),
        (["in", "in/anna.png/out"], "cannot be written to"),
    ],
)
def test_misuse_is_explained_and_replaces_nothing(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    photo = save(Path("in/anna.png"), FACE)
    Path("empty").mkdir()
    before = photo.read_bytes()
    assert align(*words) == 2
    assert message in capsys.readouterr().err and photo.read_bytes() == before


def test_without_dlib_the_cure_is_named(tmp_path, monkeypatch, capsys):
    from latentfill.faces import detector

    save(tmp_path / "in" / "a.png", FACE)
    detector._detector.cache_clear()
    monkeypatch.setitem(sys.modules, "dlib", None)
    assert align(tmp_path / "in", tmp_path / "out") == 2
    assert "pip install 'latentfill[faces]'" in capsys.readouterr().err
    detector._detector.cache_clear()


def test_two_commands_do_not_write_to_one_folder(tmp_path, capsys):
    from latentfill.files.locks import try_lock

    save(tmp_path / "in" / "a.png", FACE)
    lock = try_lock(tmp_path / "out" / "_run" / ".lock")
    assert align(tmp_path / "in", tmp_path / "out") == 2
    assert f"process {os.getpid()}" in capsys.readouterr().err
    lock.close()


def test_crops_whose_lines_a_kill_has_lost_are_cut_anew(tmp_path, capsys):
    out = tmp_path / "out"
    for name in ("a", "b"):
        save(tmp_path / "in" / f"{name}.png", FACE)
    align(tmp_path / "in", out)
    ledger = out / "_run" / "photos.jsonl"
    ledger.write_text(ledger.read_text()[: len(ledger.read_text()) // 2 - 10])
    capsys.readouterr()
    assert align(tmp_path / "in", out) == 0
    assert "2 aligned" in capsys.readouterr().err and made(out) == ["a.png", "b.png"]


@pytest.mark.parametrize("number", [signal.SIGTERM])
def test_a_signal_stops_it_and_the_same_command_goes_on(tmp_path, number):
    photo = save(tmp_path / "in" / "0.jpg", FACE)
    for i in range(1, 400):
        shutil.copy(photo, tmp_path / "in" / f"{i}.jpg")
    words = [sys.executable, "-m", "latentfill", "align", tmp_path / "in", tmp_path / "out", "--workers", "2"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)
    until = time.monotonic() + 60
    while not list((tmp_path / "out").glob("*.png")) and time.monotonic() < until:
        time.sleep(0.02)
    os.killpg(process.pid, number)  # as a terminal does: the workers get it too
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + number and "The same command goes on." in told and "Traceback" not in told
    count = len(made(tmp_path / "out"))
    assert 0 < count < 400 and f"Stopped after {count} of 400" in told
    assert not list((tmp_path / "out").rglob("*.making"))
    assert align(tmp_path / "in", tmp_path / "out", "--max-images", count + 1) == 0
