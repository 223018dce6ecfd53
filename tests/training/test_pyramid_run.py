"""A pyramid from drawn pictures to completions, through the command line."""

import csv

import numpy as np
import pytest
from PIL import Image

from latentfill.cli.main import run

TINY = ["--size", "16", "--base", "8", "--latent", "16", "--batch-size", "16", "--precision", "fp32", "--threads", "1"]


def disc(rng: np.random.Generator) -> Image.Image:
    y, x = np.mgrid[:16, :16]
    inside = (x - rng.uniform(6, 10)) ** 2 + (y - rng.uniform(6, 10)) ** 2 < rng.uniform(9, 30)
    ground, colour = rng.integers(0, 256, (2, 3), dtype=np.uint8)
    return Image.fromarray(np.where(inside[..., None], colour, ground).astype(np.uint8))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for number in range(200):
        disc(rng).save(folder / f"{number:03}.png")
    return folder


def words(pictures, folder, *more):
    cache = ["--cache", str(pictures.parent / "cache")]
    return ["train", str(pictures), "--run", str(folder), "--kind", "lapgan", *TINY, *cache, *map(str, more)]


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert run(words(pictures, folder, "--images-seen", 320, "--log-every", 64)) == 0
    return folder


def test_a_pyramid_is_looked_at_like_any_other_training(trained, tmp_path, capsys):
    rows = list(csv.DictReader((trained / "metrics.csv").open()))
    assert len(rows) == 5 and float(rows[-1]["generator_loss_16"]) > 0
    assert run(["plot", str(trained), "--formats", "png", "--out", str(tmp_path)]) == 0
    assert run(["sample", str(trained), str(tmp_path / "samples"), "--count", "4"]) == 0
    assert run(["info", str(trained)]) == 0
    assert "images seen    320" in capsys.readouterr().out


@pytest.mark.parametrize("preset", ["seed", "best", "fast"])
def test_a_pyramid_completes_and_leaves_known_pixels_to_the_bit(pictures, trained, tmp_path, preset):
    given, picture = np.asarray(Image.open(pictures / "007.png")), str(pictures / "007.png")
    few = ["--steps", "5"] if preset == "seed" else ["--cold-steps", "5", "--tune-steps", "2"]
    done = ["complete", picture, "--out", str(tmp_path), "--preset", preset, *few, "--blend", "overlay"]
    assert run([*done, "--model", str(trained)]) == 0
    made = np.asarray(Image.open(tmp_path / "007.png"))
    hole = np.zeros((16, 16), bool)
    hole[4:12, 4:12] = True
    assert (made[~hole] == given[~hole]).all() and (made[hole] != given[hole]).any()


def test_an_encoder_can_be_trained_for_a_pyramid(pictures, trained, tmp_path):
    few = ["--images-seen", "32", "--batch-size", "16", "--encoder-base", "2", "--encoder-hidden", "4"]
    cache = ["--cache", str(pictures.parent / "cache")]
    command = ["train", str(pictures), "--run", str(tmp_path / "run"), "--kind", "encoder", "--model", str(trained)]
    assert run([*command, *few, *cache, "--precision", "fp32"]) == 0
    done = ["complete", str(pictures / "007.png"), "--out", str(tmp_path / "out"), "--model", str(tmp_path / "run")]
    assert run([*done, "--tune-steps", "2"]) == 0


def test_an_interrupted_run_ends_with_the_same_model(pictures, tmp_path, capsys):
    run(words(pictures, tmp_path / "straight", "--images-seen", 64))
    run(words(pictures, tmp_path / "twice", "--images-seen", 32))
    run(words(pictures, tmp_path / "twice", "--images-seen", 64))
    assert "training continues at 32 images" in capsys.readouterr().err
    from safetensors.torch import load_file

    straight, twice = (load_file(tmp_path / name / "model.safetensors") for name in ("straight", "twice"))
    assert all((twice[name] == tensor).all() for name, tensor in straight.items())


def test_a_run_of_another_kind_is_not_continued(pictures, tmp_path, capsys):
    run(words(pictures, tmp_path, "--images-seen", 16))
    assert run([*words(pictures, tmp_path, "--images-seen", 32), "--kind", "gan", "--networks", "pyramid"]) == 2
    assert "kind 'lapgan', now 'gan'" in capsys.readouterr().err


def test_a_pyramid_can_be_trained_as_one_gan(pictures, tmp_path):
    as_one = ["--kind", "gan", "--preset", "seed", "--networks", "pyramid", "--images-seen", "32"]
    assert run([*words(pictures, tmp_path), *as_one]) == 0
    assert run(["info", str(tmp_path)]) == 0


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["--networks", "residual"], "residual networks have no levels"),
        (["--r1", "1"], "without --r1"),
        (["--latent", "4"], "Give --latent 8 or more"),
    ],
)
def test_what_a_pyramid_cannot_do_is_told(pictures, tmp_path, capsys, asked, told):
    assert run([*words(pictures, tmp_path / "run"), *asked]) == 2
    assert told in capsys.readouterr().err
