import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from latentfill.batch.sheets import draw_map
from latentfill.cli.main import run
from latentfill.gan import model_file
from latentfill.options import NetworkOptions

SIZE = 16


@pytest.fixture
def done(tmp_path):
    """A model, a picture, and its completion."""
    save(tmp_path, 0)
    pixels = np.random.Generator(np.random.Philox(key=3)).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert complete(tmp_path) == 0
    return tmp_path


def save(folder, seed):
    network = NetworkOptions(size=SIZE, base=2, latent=3)
    gan = model_file.build(network, seed)
    model_file.save(replace(gan, encoder=model_file.build_encoder(network, 2, 4).eval()), folder / "m.safetensors")


def complete(folder, *words, out="out"):
    fixed = ("complete", folder / "a.png", "--model", folder / "m.safetensors", "--out", folder / out, "--preset")
    return run([str(word) for word in (*fixed, *(words or ("fast",)))])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("fast", "--steps", 5), "was made with --steps 0, not 5"),
        (("fast", "--observe", "grey"), "was made without --observe, not with grey"),
        (("fast", "--fit"), "was made without --fit"),
        (("fast", "--no-grain"), "was made with --grain"),
        (("fast", "--grow", "2"), "was made with --grow 0, not 2"),
        (("best",), "was made with --preset fast, not best"),
        (("fast", "--hole", "left"), "was made with --hole center, not left"),
    ],
)
def test_the_first_choice_that_differs_is_named(done, capsys, words, told):
    assert complete(done, *words) == 2
    assert told in capsys.readouterr().err


def test_a_model_of_the_same_name_with_other_weights_is_another(done, capsys):
    assert complete(done) == 0
    save(done, 1)
    assert complete(done) == 2
    assert "its weights have changed since" in capsys.readouterr().err
    path = done / "out" / "a.json"
    story = json.loads(path.read_text())
    for name in ("weights", "calibration", "made_of", "output", "seal", "latentfill"):
        del story[name]  # as it was written before
    del story["photo"]["grow"]
    path.write_text(json.dumps(story))
    assert complete(done) == 0
    assert "1 of 1 are done already" in capsys.readouterr().err
    assert complete(done, "fast", "--grow", "2") == 2


def test_where_nothing_is_missing_nothing_is_searched_and_where_all_is_that_is_said(done, capsys):
    for name, value in (("black", 0), ("white", 255)):
        Image.fromarray(np.full((SIZE, SIZE), value, np.uint8)).save(done / f"{name}.png")
        assert complete(done, "fast", "--hole", done / f"{name}.png", out=name) == 0
    told = capsys.readouterr().err
    assert "a.png: nothing is to be found: " in told and "the hole is empty" not in told
    assert "a.png: the hole covers all of it: all of the result is invented" in told
    assert json.loads((done / "black" / "a.json").read_text())["squares"] == []
    assert np.array_equal(*(np.asarray(Image.open(done / name)) for name in ("a.png", "black/a.png")))
    assert complete(done, "fast", "--hole", "full", out="full") == 0
    assert all((done / name / "_run" / "000001-000001" / "hats").exists() for name in ("white", "full"))


def test_a_map_is_black_where_there_is_none():
    levels = torch.tensor([0.0, 32.0, 99.0, torch.nan]).view(1, 1, 2, 2)
    assert draw_map(levels)[0][..., 0].tolist() == [[0, 128], [255, 0]]
