import json

import numpy as np
import pytest
from PIL import Image

from latentfill.cli.evaluate import split_names
from latentfill.cli.main import run
from latentfill.gan.model_file import build, save
from latentfill.options import NetworkOptions

SIZE = 8


@pytest.fixture
def faces(tmp_path):
    for i in range(5):
        pixels = np.random.default_rng(i).integers(0, 256, (20, 16, 3), dtype=np.uint8)
        (tmp_path / "faces").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "faces" / f"{i}.png")
    save(build(NetworkOptions(size=SIZE, base=2, latent=4)), tmp_path / "tiny.safetensors")
    return tmp_path


def words(faces, *more, methods="mean,telea"):
    model = str(faces / "tiny.safetensors")
    base = ["evaluate", str(faces / "faces"), "--out", str(faces / "out"), "--model", model, "--methods", methods]
    return [*base, "--holes", "center,rectangle:1,1,3,2+ellipse:5,5,1,half", *more]


def test_it_writes_a_report_a_table_a_page_and_a_sheet(faces, capsys):
    assert run(words(faces)) == 0
    out, err = capsys.readouterr()
    names = ["report.json", "report.csv", "report.md", "report.html", "contact.png"]
    assert out.split() == [str(faces / "out" / name) for name in names]
    assert "without dlib-face: the model was not trained on aligned faces" in err
    told = json.loads((faces / "out" / "report.json").read_text())
    assert {r["hole"] for r in told["rows"]} == {"center", "rectangle:1,1,3,2+ellipse:5,5,1", "half"}
    assert {r["method"] for r in told["rows"]} == {"mean", "telea"}
    assert told["settings"]["count"] == 5 and told["command"].startswith("latentfill evaluate ")
    assert f"--out {faces / 'out'}" in told["command"]


def test_a_bad_picture_is_named_and_the_others_are_tried(faces, capsys):
    (faces / "faces" / "9.png").write_bytes(b"no picture")
    assert run(words(faces, "--json")) == 1
    out, err = capsys.readouterr()
    assert "9.png: not a picture" in err
    assert {r["n"] for r in json.loads(out)["rows"]} == {5}


def test_the_same_command_again_completes_nothing_and_again_completes_anew(faces, capsys, monkeypatch):
    def kept():
        return {path: path.stat().st_mtime_ns for path in (faces / "out" / "_run").rglob("*.npz")}

    assert run(words(faces)) == 0
    first = kept()
    train = ["--train", str(faces / "faces"), "--cache", str(faces / "cache")]
    assert run(words(faces, *train, methods="mean,telea,nearest,navier-stokes")) == 0
    assert {path: time for path, time in kept().items() if path in first}.items() >= {
        (path, time) for path, time in first.items() if "telea" in path.parts
    }
    before = kept()
    assert run(words(faces, "--again", "telea")) == 0
    changed = {path for path, time in kept().items() if before.get(path) != time}
    assert changed and all("telea" in path.parts for path in changed)


def test_training_pictures_are_a_mean_and_neighbours(faces, capsys):
    cache = ["--cache", str(faces / "cache")]
    assert run(words(faces, "--train", str(faces / "faces"), "--json", *cache, methods="nearest,mean")) == 0
    told = json.loads(capsys.readouterr()[0])
    best = [r["value"] for r in told["rows"] if (r["method"], r["metric"], r["region"]) == ("nearest", "psnr", "hole")]
    assert best == [100.0] * 3  # each picture is among those learnt from
    assert told["settings"]["training_pictures"] == 5


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--methods", "telia"], "there is no method 'telia'"),
        (["--methods", "nearest"], "nearest needs the training pictures\nGive them with --train"),
        (["--methods", "context-encoder"], "context-encoder needs its model"),
        (["--holes", "middle"], "'middle' is neither a kind of hole nor a file"),
        (["--holes", "lowres"], "the pictures do not show what is in this hole"),
        (["--again", "half"], "--again half is not among the methods"),
        (["--count", "0"], "--count 0"),
        (["--model", "none"], "there is no model 'none'"),
    ],
)
def test_misuse_is_told_in_two_lines(faces, capsys, more, message):
    assert run(words(faces, *more)) == 2
    assert message in capsys.readouterr()[1]


def test_a_context_encoder_has_the_models_size(faces, capsys):
    from latentfill.gan.encoder import ContextEncoder, ContextOptions
    from latentfill.gan.model_file import build_context_module

    for size in (8, 16):
        options = ContextOptions(size=size, base=2)
        save(ContextEncoder(build_context_module(options).eval(), options), faces / f"{size}.safetensors")
    assert run(words(faces, "--context", str(faces / "8.safetensors"), methods="context-encoder")) == 0
    assert run(words(faces, "--context", str(faces / "16.safetensors"), methods="context-encoder")) == 2
    assert "is for (size, channels) (16, 3), the model for (8, 3)" in capsys.readouterr()[1]


def test_commas_part_words_but_not_the_numbers_of_a_shape():
    assert split_names("center,half") == ["center", "half"]
    assert split_names("rectangle:10%,0,5,5+ellipse:1,2,.5, center ,center:0.1,") == [
        "rectangle:10%,0,5,5+ellipse:1,2,.5",
        "center",
        "center:0.1",
    ]
    assert split_names("1.png,./2,half") == ["1.png", "./2", "half"]
    assert split_names("random:0.8,0.5") == ["random:0.8", "0.5"]  # what it is will be asked later
    assert split_names("") == []
