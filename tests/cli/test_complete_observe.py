import json

import numpy as np
import pytest
import skimage.data
from PIL import Image

from latentfill.cli.main import run
from latentfill.gan import model_file
from latentfill.images.pixels import to_grey
from latentfill.options import NetworkOptions

SIZE = 16
ASTRONAUT = np.asarray(skimage.data.astronaut())


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    model_file.save(model_file.build(NetworkOptions(size=SIZE, base=4, latent=6)), path)
    return path


@pytest.fixture
def faces(tmp_path):
    folder = tmp_path / "faces"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(ASTRONAUT[100 + i :: 4, 150 + i :: 4][:SIZE, :SIZE]).save(folder / f"{i}.png")
    return folder


def complete(*words):
    return run(["complete", *map(str, words), "--precision", "fp32", "--preset", "seed", "--steps", "3"])


def read(path):
    return np.asarray(Image.open(path))


def test_grey_pictures_are_coloured_and_the_luma_stays(tmp_path, model, faces):
    for path in faces.iterdir():
        Image.fromarray(to_grey(read(path))[..., 0]).save(path)
    assert complete(faces, "--out", tmp_path / "out", "--model", model, "--observe", "grey") == 0
    for i in range(3):
        made = read(tmp_path / "out" / f"{i}.png")
        assert made.shape == (SIZE, SIZE, 3) and np.array_equal(to_grey(made)[..., 0], read(faces / f"{i}.png"))
    story = json.loads((tmp_path / "out" / "0.json").read_text())
    assert story["observe"] == "grey" and story["hole"] == "full" and "grey" in story["terms"]


def test_all_of_an_observed_picture_is_said_to_be_found(tmp_path, model, faces, capsys):
    assert complete(faces, "--out", tmp_path / "out", "--model", model, "--observe", "grey") == 0
    assert "0.png: the whole picture is drawn anew, to agree with grey" in capsys.readouterr().err
    story = json.loads((tmp_path / "out" / "0.json").read_text())
    assert story["to_be_found"] == story["squares"][0]["to_be_found"] == 1


def test_whole_pictures_are_degraded_first_and_what_was_seen_is_kept(tmp_path, model, faces, capsys):
    words = (faces, "--model", model, "--degrade", "lowres:4+noise:5")
    assert complete(*words, "--out", tmp_path / "out") == 0
    for i in range(3):
        assert read(tmp_path / "out" / f"{i}.png").shape == (SIZE, SIZE, 3)
        assert read(tmp_path / "out" / "_run" / "seen" / f"{i}.png").shape == (4, 4, 3)
    assert complete(faces / "1.png", *words[1:], "--out", tmp_path / "alone") == 0
    one, same = (read(tmp_path / name / "_run" / "seen" / "1.png") for name in ("out", "alone"))
    assert np.array_equal(one, same), "the noise of a picture depends on its neighbours"
    capsys.readouterr()
    seen = tmp_path / "out" / "_run" / "seen"
    assert complete(seen, "--out", tmp_path / "again", "--model", model, "--observe", "lowres:4+noise:5") == 0
    assert np.array_equal(read(tmp_path / "again" / "1.png"), read(tmp_path / "out" / "1.png"))


def test_with_a_hole_nothing_is_seen_in_it(tmp_path, model, faces):
    words = ("--model", model, "--observe", "grey", "--hole", "rectangle:4,4,8,8")
    assert complete(faces, "--out", tmp_path / "out", *words) == 0
    whole = read(faces / "0.png").copy()
    whole[4:12, 4:12] = 0
    Image.fromarray(whole).save(faces / "0.png")
    assert complete(faces, "--out", tmp_path / "other", *words) == 0
    assert np.array_equal(read(tmp_path / "out" / "0.png"), read(tmp_path / "other" / "0.png"))
    masked = read(tmp_path / "out" / "_run" / "000001-000003" / "masked.png")
    assert (masked[4:12, 4:12] == 128).all()


def test_pictures_of_another_size_are_fitted_and_degraded(tmp_path, model):
    Image.fromarray(ASTRONAUT[60:160, 160:290]).save(tmp_path / "large.png")
    words = ("--model", model, "--fit")
    assert complete(tmp_path / "large.png", "--out", tmp_path / "a", *words, "--degrade", "noise:9") == 0
    assert complete(tmp_path / "large.png", "--out", tmp_path / "b", *words, "--observe", "lowres:2") == 0
    assert read(tmp_path / "a" / "large.png").shape == read(tmp_path / "b" / "large.png").shape == (SIZE, SIZE, 3)


def test_what_is_there_was_made_for_this_observation(tmp_path, model, faces, capsys):
    words = (faces, "--out", tmp_path / "out", "--model", model)
    assert complete(*words, "--observe", "grey") == 0
    assert complete(*words, "--observe", "grey") == 0
    assert "3 of 3 are done already" in capsys.readouterr().err
    assert complete(*words, "--hole", "full") == 2
    assert "was made with --observe grey, not without" in capsys.readouterr().err
    for path in (tmp_path / "out").glob("*.json"):  # as it was written before there were observations
        story = json.loads(path.read_text())
        del story["options"]["prune"]
        story["options"]["warm_up"] = 100  # of a method that is gone
        path.write_text(json.dumps({key: v for key, v in story.items() if key not in ("observe", "degrade")}))
    assert complete(*words, "--hole", "full") == 0
    assert complete(*words, "--observe", "grey") == 2


@pytest.mark.parametrize(
    ("words", "what", "cure"),
    [
        (["--observe", "blurred"], "'blurred' is not an observation", "It is one of"),
        (["--observe", "grey", "--degrade", "lowres:2"], "is not what --degrade makes", "Leave --observe out."),
        (["--observe", "noise:5", "--fit"], "would average away the noise:5", "Leave --fit out"),
        (["--observe", "grey", "--hole", "lowres"], "lowres and --observe do not go together", "lowres:8"),
    ],
)
def test_misuse_is_told_with_a_cure(tmp_path, model, faces, capsys, words, what, cure):
    assert complete(faces, "--out", tmp_path / "out", "--model", model, *words) == 2
    told = capsys.readouterr().err
    assert what in told and cure in told
