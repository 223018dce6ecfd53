"""Names as people write them, and as file systems hold them: ~, a leading dash, bytes that are no text."""

import csv
import importlib
import io
import json
import os
import sys
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from latentfill.cli.configuration import read_options
from latentfill.cli.main import run
from latentfill.cli.output import name_process, take_any_name
from latentfill.errors import LatentfillError
from latentfill.gan import model_file
from latentfill.options import NetworkOptions

SIZE = 16
PLACES = {
    "align": ["~/in", "~/out", "--points", "~/p.csv"],
    "train": ["~/in", "--run", "~/run", "--model", "~/m", "--begin", "~/b", "--cache", "~/c", "--size", "64"],
    "sample": ["~/m", "~/out"],
    "complete": ["~/a.png", "~/b.png", "--out", "~/o", "--hole", "~/h.png", "--model", "~/m", "--landmarks", "~/l"],
    "calibrate": ["~/in", "--out", "~/o", "--model", "~/m"],
    "evaluate": ["~/in", "--out", "~/o", "--holes", "center,~/h.png,left", "--train", "~/t", "--cache", "~/c"],
    "serve": ["--models", "~/m", "~/n", "--token-file", "~/t"],
    "verify": ["~/a", "~/b", "~/h.png"],
    "report": ["~/r", "--out", "~/o"],
    "plot": ["~/r", "--out", "~/o"],
    "figures": ["~/f"],
    "info": ["~/m"],
    "export": ["~/m", "~/o"],
    "push": ["~/m", "~/o", "--card", "~/c.md"],
}
ODD = os.fsdecode(b"caf\xe9")


def options(verb, *words):
    return read_options(importlib.import_module(f"latentfill.cli.{verb}").Options, verb, words)


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("verb", PLACES)
def test_a_tilde_that_the_shell_has_left_is_the_home_folder(verb):
    read = repr(options(verb, *PLACES[verb]))
    assert "~" not in read and read.count("/home/ann/") == sum("~" in word for word in PLACES[verb])


def test_so_it_is_after_an_equals_sign_and_in_a_file_of_options(tmp_path):
    Path("c.yaml").write_text("images: [~/a.png, '~/b.png']\nout: ~/o\nhole: ~/h.png\n")
    read = options("complete", "--config", "c.yaml", "--model=~/m")
    assert [*map(str, read.images), str(read.out), read.hole, read.model] == [
        f"/home/ann/{name}" for name in ("a.png", "b.png", "o", "h.png", "m")
    ]
    Path("~").mkdir()
    Path("~/a.png").touch()
    assert options("complete", "~/a.png", "--out", "~/o").images == (Path("~/a.png"),), "it is there, to the letter"


@pytest.mark.parametrize("words", [["-x.png", "b.png"], ["b.png", "--hole", "-x.png"], ["b.png", "--y=.png"]])
def test_a_file_whose_name_begins_with_a_dash_is_no_option(words):
    for name in ("-x.png", "--y=.png", "--invert"):
        Path(name).touch()
    with pytest.raises(LatentfillError, match=r"is a file(.|\n)*Write \./--?[xy].*, or put -- before"):
        options("complete", *words, "--out", "o")
    read = options("complete", "--out", "o", "--invert", "--", "-x.png", "b.png")
    assert read.images == (Path("-x.png"), Path("b.png")) and read.invert


@given(
    name=st.binary(min_size=1, max_size=40).filter(lambda name: 0 not in name),
    encoding=st.sampled_from(["utf-8", "ascii", "latin-1"]),
)
@settings(max_examples=60, deadline=None)
def test_any_name_can_be_printed_and_is_read_again_as_it_was(name, encoding):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="")
    take_any_name(stream)
    print(os.fsdecode(name), file=stream, end="", flush=True)
    if encoding == "utf-8":
        assert raw.getvalue() == name
    name_process("complete", Path(os.fsdecode(name * 100)))


@settings(max_examples=25, deadline=None)
@given(
    folder=st.text("a\u00e9\u00fc\ud55c", min_size=1, max_size=4), stem=st.text("b\u00e9\u1ea5", min_size=1, max_size=4)
)
def test_composed_and_decomposed_letters_are_the_same_name_everywhere(tmp_path_factory, folder, stem):
    from latentfill.batch import outputs as answers
    from latentfill.batch.splits import Split
    from latentfill.evaluation import result_cache as benchmark
    from latentfill.faces import landmark_files as landmarks
    from latentfill.files.naming import fold
    from latentfill.images.holes import find_file, parse
    from latentfill.runs.data import Dataset, label_by_folder

    here = tmp_path_factory.mktemp("names")
    one, other = (normalize(form, f"{folder}/{stem}.png") for form in ("NFC", "NFD"))
    for path in (here / "holes" / one, here / "holes" / "x" / f"{stem}.png"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (here / "points.json").write_text(json.dumps({one: [[2, 4], [9, 4], [6, 9]]}), encoding="utf-8")
    points = landmarks.read_landmarks(here / "points.json", "inner-eyes-and-bottom-lip")
    split = Split(0.5, r"^(.*)/")
    rules = [
        fold,
        lambda name: answers.hole_seed(1, name),
        lambda name: benchmark.hole_seed(1, name),
        split.part,
        split.identity_of,
        Split(0.5, "no").part,
        lambda name: points[name][0].tolist(),
        lambda name: find_file(parse(str(here / "holes")), name),
        lambda name: len(
            label_by_folder(Dataset(np.zeros((3, 1, 1, 1), np.uint8), [one, name, "z/z.png"], ())).classes
        ),
    ]
    for rule in rules:
        assert rule(one) == rule(other)


def test_landmarks_are_for_names_of_any_bytes(tmp_path):
    from latentfill.faces import landmark_files as landmarks

    rows = f'path,x1,y1,x2,y2,x3,y3\n{ODD}.jpg,2,4,9,4,6,9\n"a\nb.jpg",2,4,9,4,6,9\n'
    (tmp_path / "p.csv").write_bytes(os.fsencode(rows))
    points = landmarks.read_landmarks(tmp_path / "p.csv", "inner-eyes-and-bottom-lip")
    assert list(points) == [f"{ODD}.jpg", "a\nb.jpg"] and len(points[f"in/{ODD}.jpg"]) == 1
    for binary in (rows.replace(ODD, "a").encode("utf-16"), b"\0\1"):
        (tmp_path / "p.csv").write_bytes(binary)
        with pytest.raises(LatentfillError, match="not a text file, or not UTF-8"):
            landmarks.read_landmarks(tmp_path / "p.csv", "inner-eyes-and-bottom-lip")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    model_file.save(model_file.build(NetworkOptions(size=SIZE, base=4, latent=6)), path)
    return str(path)


def test_every_verb_bears_names_that_are_no_text(model, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="utf-8", errors="strict"))
    take_any_name(sys.stdout)
    source, out = Path(f"in{ODD}"), f"out{ODD}"
    source.mkdir()
    names = (f"{ODD}.png", "b.png", f"{ODD * 60}.png"[-250:])
    for i, name in enumerate(names):
        pixels = np.random.default_rng(i).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(source / name)
    (source / f"bad{ODD}.png").write_bytes(b"none")
    quick = ["--model", model, "--device", "cpu"]
    assert run(["complete", str(source), "--out", out, "--preset", "seed", "--steps", "1", "--gif", *quick]) == 1
    assert b"caf\xe9" in raw.getvalue() and len(list(Path(out).glob("*.png"))) == 3
    raw.truncate(0)
    assert run(["verify", str(source), out, "center", "--json"]) == 1
    told = json.loads(raw.getvalue().lstrip(b"\0"))
    assert {pair["path"] for pair in told["pairs"]} == set(names) and all(not p["changed"] for p in told["pairs"])
    assert run(["align", str(source), f"crops{ODD}", "--no-faces", "--size", "16", "--workers", "1"]) == 1
    assert run(["align", str(source), f"crops{ODD}", "--no-faces", "--size", "16", "--workers", "1"]) == 1
    assert len(list(Path(f"crops{ODD}").glob("*.png"))) == 3
    evaluate = ["--methods", "mean,fast", "--holes", "center", "--count", "3", "--batch-size", "2"]
    assert run(["evaluate", str(source), "--out", f"e{ODD}", *evaluate[:1], "mean,telea", *evaluate[2:], *quick]) == 1
    assert json.loads((Path(f"e{ODD}") / "report.json").read_text())
    train = ["--size", "16", "--base", "4", "--latent", "6", "--preset", "seed", "--batch-size", "2", "--device", "cpu"]
    assert run(["train", str(source), "--run", f"r{ODD}", *train, "--images-seen", "4", "--cache", f"c{ODD}"]) == 0
    rows = list(csv.DictReader((Path(f"r{ODD}") / "rejected.csv").open(encoding="utf-8")))
    assert len(rows) == 1 and "caf" in rows[0]["path"]
    assert run(["report", f"r{ODD}"]) == 0 and run(["info", f"r{ODD}"]) == 0
    assert run(["sample", f"r{ODD}", f"s{ODD}", "--count", "2"]) == 0
