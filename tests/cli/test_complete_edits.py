import numpy as np
import pytest
from PIL import Image

from latentfill.cli.main import run
from latentfill.gan import model_file
from latentfill.options import NetworkOptions

SIZE = 16


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    gan = model_file.build(NetworkOptions(size=SIZE, base=4, latent=6))
    for weights in gan.generator.parameters():
        weights.data.mul_(10)  # an untrained G draws grey on grey
    model_file.save(gan, path)
    return path


@pytest.fixture
def faces(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "faces").mkdir(exist_ok=True)
        rng = np.random.default_rng(ord(name))
        picture = rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / "faces" / f"{name}.png")
    return tmp_path / "faces"


def complete(*words):
    few = ("--steps", "3", "--cold-steps", "3", "--tune-steps", "0")
    return run(["complete", *map(str, words), *few, "--precision", "fp32"])


def read(path):
    return np.asarray(Image.open(path))


def test_each_picture_has_a_sheet_of_edits_around_its_completion(tmp_path, model, faces):
    out = tmp_path / "out"
    assert complete(faces, "--out", out, "--model", model, "--edits", 2, "--candidates", 2) == 0
    assert sorted(path.name for path in (out / "_run" / "edits").iterdir()) == ["a.png", "b.png"]
    outside = np.ones((SIZE, SIZE), bool)
    outside[4:12, 4:12] = False
    for name in ("a", "b"):
        tiles = read(out / "_run" / "edits" / f"{name}.png").reshape(2, SIZE, 9, SIZE, 3).swapaxes(1, 2)
        completed, original = read(out / f"{name}.png"), read(faces / f"{name}.png")
        assert (tiles[:, :, outside] == original[outside]).all()
        assert np.abs(tiles[:, 4].astype(int) - completed).max() <= 1
        assert (tiles[:, 0] != tiles[:, -1]).any()


def test_without_being_asked_there_are_no_edits(tmp_path, model, faces):
    complete(faces, "--out", tmp_path / "out", "--model", model)
    assert not (tmp_path / "out" / "_run" / "edits").exists()


@pytest.mark.parametrize(
    "words", [["--observe", "grey"], ["--degrade", "grey"], ["--hole", "lowres"], ["--hole", "full"]]
)
def test_edits_need_known_pixels_and_a_hole(tmp_path, model, faces, words, capsys):
    assert complete(faces, "--out", tmp_path / "out", "--model", model, "--edits", 2, *words) == 2
    assert "--edits needs known pixels" in capsys.readouterr().err


def test_more_edits_than_a_latent_has_numbers_is_said(tmp_path, model, faces, capsys):
    assert complete(faces, "--out", tmp_path / "out", "--model", model, "--edits", 7) == 2
    assert "This model has 6 at most" in capsys.readouterr().err
