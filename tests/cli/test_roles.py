"""A file keeps its part: whose it is, what it was given as, and what it is called are never guessed from its name."""

import json
import os
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentfill.cli.main import run
from latentfill.gan import model_file
from latentfill.options import NetworkOptions

SIZE = 16
TRAIN = (
    "--size 16 --batch-size 4 --base 2 --latent 3 --preset seed --sample-every 4 --score-every 0 --threads 1 "
    "--checkpoint-every 4"
)
ALIGN = ["--no-faces", "--size", "16", "--workers", "1"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model") / "tiny.safetensors")


@pytest.fixture
def here(tmp_path, monkeypatch, model):
    monkeypatch.chdir(tmp_path)
    shutil.copy(model, "m.safetensors")
    return tmp_path


def save_model(path, seed=0):
    network = NetworkOptions(size=SIZE, base=2, latent=3)
    gan = model_file.build(network, seed)
    model_file.save(replace(gan, encoder=model_file.build_encoder(network, 2, 4).eval()), path)
    return path


def save(path, i):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(i).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)).save(path)


def paint(path, first, last):
    hole = np.zeros((SIZE, SIZE), np.uint8)
    hole[first:last, first:last] = 255
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(hole).save(path)


def complete(*words):
    fixed = ("--model", "m.safetensors", "--preset", "fast", "--precision", "fp32", "--every", "0")
    return run(["complete", *map(str, words), *fixed])


def train(run_folder, seen, cache="cache"):
    return run(["train", "in", "--run", run_folder, *TRAIN.split(), "--cache", cache, "--images-seen", str(seen)])


def pictures(folder):
    return sorted(p.relative_to(folder).as_posix() for p in Path(folder).rglob("*.png") if "_run" not in p.parts)


def is_known_the_same(photo, answer, hole):
    photo, answer = (np.asarray(Image.open(path)) for path in (photo, answer))
    return ((photo == answer).all(-1) | (np.asarray(Image.open(hole)) > 127)).all()


@pytest.mark.parametrize("out", [".", "in/..", "link"])
def test_photos_below_the_folder_for_the_results_are_photos(here, out):
    save("in/deep/a.png", 0)
    Path("link").symlink_to(".")
    for _ in range(2):
        assert complete("in", "--out", out) == 0
        assert run(["align", "in", f"{out}/crops", *ALIGN]) == 0
    assert pictures(".") == ["a.png", "crops/deep/a.png", "in/deep/a.png"]


def test_a_completion_is_never_a_hole(here, capsys):
    save("in/p/dog.png", 0)
    save("in/cat.png", 1)
    paint("holes/dog.png", 3, 8)
    paint("holes/cat_mask.png", 3, 8)
    assert complete("in", "--hole", "holes", "--out", "holes") == 2
    assert "given for the holes and for the results. Keep" in capsys.readouterr().err.replace("\n", ". ")
    assert run(["verify", "in", "holes", "holes"]) == 2
    for _ in range(2):  # here it is at first no partner, and then it would be one
        complete("in", "--hole", "holes", "--out", "holes/p")
    assert "p/dog.png: the hole found for it, holes/p/dog.png, is a completion" in capsys.readouterr().err
    assert is_known_the_same("in/p/dog.png", "holes/p/dog.png", "holes/dog.png")


@pytest.mark.parametrize(
    ("folder", "inner"), [("People", "people"), ("u\u0308", "\u00fc"), ("Caf\u00e9", "cafe\u0301")]
)
def test_folders_of_holes_are_found_as_files_are(here, folder, inner):
    for name in (f"{folder}/cat.png", "cat.png"):
        save(f"in/{name}", len(name))
    paint(f"holes/{inner}/cat.png", 3, 5)
    paint("holes/cat.png", 9, 14)
    assert complete("in", "--hole", "holes", "--out", "out") == 0
    assert is_known_the_same(f"in/{folder}/cat.png", f"out/{folder}/cat.png", f"holes/{inner}/cat.png")
    assert is_known_the_same("in/cat.png", "out/cat.png", "holes/cat.png")


def test_completions_in_archives_are_results_too(here, capsys):
    save("in/a.png", 0)
    assert complete("in", "--out", "out") == 0
    with zipfile.ZipFile("in/backup.zip", "w") as archive:
        for name in ("a.png", "a.json"):
            archive.write(f"out/{name}", name)
        archive.write("in/a.png", "b.png")
        archive.writestr("b.json", json.dumps({"label": "mine"}))
    assert complete("in", "--out", "out2") == 0
    assert pictures("out2") == ["a.png", "b.png"]
    assert "left out: 1 picture, completed by latentfill" in capsys.readouterr().err
    with zipfile.ZipFile("only.zip", "w") as archive:
        for name in ("a.png", "a.json"):
            archive.write(f"out/{name}", name)
    assert complete("only.zip", "--out", "out3") == 0 and pictures("out3") == ["a.png"]


def test_sheets_of_a_training_are_no_pictures(here, capsys):
    for i in range(8):
        save(f"in/{i}.png", i)
    assert train("in/run", 8) == 0
    assert train("in/run", 16) == 0
    assert "the pictures are not those of the last start" not in capsys.readouterr().err
    assert complete("in", "--out", "out") == 0
    assert pictures("out") == [f"{i}.png" for i in range(8)]


def test_a_training_leaves_what_others_wrote(here, capsys):
    for i in range(8):
        save(f"in/{i}.png", i)
    mine = ["run/wedding.making", "run/deep/x.making", "run/.lock", "vid/making-portrait/a.txt"]
    for name in mine:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("mine")
    os.utime("vid/making-portrait", (1, 1))
    assert train("run", 8, "vid") == 0 and train("run", 16, "vid") == 0
    assert all(Path(name).read_text() == "mine" for name in mine)
    for name in ("history.jsonl", "warnings.jsonl"):
        Path(name).mkdir()
        Path(name, name).write_text("mine\n")
        assert train(name, 8) == 2
        assert f"{name} holds {name} already, and no training" in capsys.readouterr().err
        assert Path(name, name).read_text() == "mine\n"


def test_a_model_is_only_replaced_by_itself(here, capsys):
    for i in range(40):
        save(f"in/{i}.png", i)
    other = save_model(Path("other.safetensors"), 5).read_bytes()
    calibrate = ["calibrate", "in", "--model", "m.safetensors", "--presets", "fast", "--out"]
    assert run([*calibrate, "other.safetensors"]) == 2
    assert "other.safetensors holds another model" in capsys.readouterr().err
    assert Path("other.safetensors").read_bytes() == other
    assert run([*calibrate, "m.safetensors"]) == 0


def test_a_card_of_somebodys_own_stays(here):
    Path("to").mkdir()
    Path("to/README.md").write_text("mine")
    assert run(["push", "m.safetensors", "first"]) == 0
    assert run(["push", "first", "to"]) == 0
    assert Path("to/README.md").read_text() == "mine"


def test_of_two_commands_at_once_neither_replaces_what_the_other_wrote(here, monkeypatch, capsys):
    from latentfill.batch import complete as batch

    for day, i in (("mon", 0), ("tue", 1)):
        save(f"{day}/a.png", i)
    real = batch.write_result

    def write(*facts):
        monkeypatch.setattr(batch, "write_result", real)
        assert complete("tue", "--out", "out") == 0  # while the other searches
        return real(*facts)

    monkeypatch.setattr(batch, "write_result", write)
    assert complete("mon", "--out", "out") == 1
    assert "another command has just written out/a.png for another photo. Give the same" in capsys.readouterr().err
    assert run(["verify", "tue/a.png", "out/a.png", "center"]) == 0
    assert complete("mon", "--out", "out") == 0 and pictures("out") == ["a.png", "a~2.png"]


def test_candidates_of_an_earlier_search_do_not_stay_among_the_new(here):
    save("a.png", 0)
    assert complete("a.png", "--out", "out", "--candidates", "3") == 0
    assert complete("a.png", "--out", "out", "--candidates", "2", "--overwrite") == 0
    assert sorted(path.name for path in Path("out/_run/candidates/a").iterdir()) == ["1.png", "2.png", "sheet.png"]
