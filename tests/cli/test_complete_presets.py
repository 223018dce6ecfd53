import csv
import itertools
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from latentfill.cli.main import run
from latentfill.gan import model_file
from latentfill.images.blending import poisson
from latentfill.images.incomplete import Incomplete
from latentfill.images.pixels import to_images, to_pixels
from latentfill.models import load
from latentfill.options import NetworkOptions

SIZE = 16
NETWORK = NetworkOptions(size=SIZE, base=4, latent=6)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The same generator with an encoder and without one."""
    folder = tmp_path_factory.mktemp("models")
    gan = model_file.build(NETWORK)
    model_file.save(gan, folder / "cold.safetensors")
    model_file.save(replace(gan, encoder=model_file.build_encoder(NETWORK, 2, 4).eval()), folder / "warm.safetensors")
    return folder


@pytest.fixture
def faces(tmp_path):
    folder = tmp_path / "faces"
    folder.mkdir()
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def complete(*words):
    return run(["complete", *map(str, words), "--precision", "fp32"])


def read(path):
    return np.asarray(Image.open(path))


@pytest.mark.parametrize(
    ("preset", "model", "steps"),
    [("fast", "warm", 0), ("fast", "cold", 100), ("best", "warm", 40), ("best", "cold", 140)],
)
def test_a_preset_makes_its_steps_from_the_encoders_guess_or_without_one(
    tmp_path, models, faces, capsys, preset, model, steps
):
    words = (faces, "--out", tmp_path / "out", "--model", models / f"{model}.safetensors", "--preset", preset)
    assert complete(*words, "--every", 20) == 0
    told = capsys.readouterr().err
    ends = re.findall(r"complete: ([\d,]+)/([\d,]+) steps", told)
    whole = f"{3 * max(1, steps):,}"
    if steps:
        assert ends[-1] == (whole, whole), "the bar does not reach its end"
    batch = tmp_path / "out" / "_run" / "000001-000003"
    assert sorted(int(path.stem) for path in (batch / "completed").iterdir()) == list(range(0, steps + 1, 20))
    rows = list(csv.DictReader((batch / "logs" / "000002-1.csv").open()))
    assert [int(row["step"]) for row in rows] == list(range(0, steps + 1, 20))
    story = json.loads((tmp_path / "out" / "1.json").read_text())
    assert story["steps"] == steps and story["preset"] == preset
    for i in range(3):
        result, given = read(tmp_path / "out" / f"{i}.png"), read(faces / f"{i}.png")
        outside = np.ones((SIZE, SIZE), bool)
        outside[4:12, 4:12] = False
        assert np.array_equal(result[outside], given[outside]) and not np.array_equal(result, given)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.png")}
    (tmp_path / "out" / "1.png").unlink()  # as if stopped before it was written
    assert complete(*words, "--every", 20) == 0
    assert "2 of 3 are done already" in capsys.readouterr().err
    after = {path: path.stat().st_mtime_ns for path in before}
    assert {path.name for path in before if after[path] != before[path]} == {"1.png"}


def test_fast_is_the_encoders_guess_blended_in(tmp_path, models, faces):
    words = ("--model", models / "warm.safetensors", "--preset", "fast")
    assert complete(faces, "--out", tmp_path / "out", *words) == 0
    gan = load(models / "warm.safetensors", "cpu")
    images = to_images(read(faces / "0.png"))
    known = images.new_ones(1, 1, SIZE, SIZE)
    known[..., 4:12, 4:12] = 0
    guess = gan.generator(gan.encoder(images * known, known)).detach()
    (expected,) = to_pixels(poisson(Incomplete(images, known), guess))
    assert np.abs(expected.astype(int) - read(tmp_path / "out" / "0.png")).max() <= 1


def test_candidates_and_samples_are_offered_side_by_side(tmp_path, models, faces):
    words = (faces / "0.png", "--model", models / "warm.safetensors", "--candidates", 3)
    assert complete(*words, "--out", tmp_path / "best") == 0
    sampled = ("--method", "hmc", "--steps", 8, "--cold-steps", 0, "--tune-steps", 0, "--hmc-leapfrog-steps", 3)
    assert complete(*words, "--out", tmp_path / "hmc", *sampled) == 0
    for name in ("best", "hmc"):
        offered = tmp_path / name / "_run" / "candidates" / "0"
        pictures = [read(offered / f"{i}.png") for i in (1, 2, 3)]
        assert np.array_equal(pictures[0], read(tmp_path / name / "0.png")) and (offered / "sheet.png").exists()
        assert not any(np.array_equal(a, b) for a, b in itertools.pairwise(pictures))
    metadata = json.loads((tmp_path / "hmc" / "0.json").read_text())
    (square,) = metadata["squares"]
    assert {*square["search"]} == {"accepted"} and metadata["steps"] == 8


@pytest.mark.parametrize("words", [["--method", "posterior"], ["--method=posterior"], ["--preset", "posterior"]])
def test_the_method_that_is_gone_says_what_to_take_instead(tmp_path, models, faces, capsys, words):
    assert complete(faces, "--out", tmp_path / "out", "--model", models / "warm.safetensors", *words) == 2
    error = capsys.readouterr().err
    assert "no method posterior any more" in error and "--preset best --candidates 4" in error
