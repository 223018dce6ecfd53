import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from latentfill.cli.main import run
from latentfill.gan import model_file
from latentfill.options import NetworkOptions
from latentfill.uncertainty.calibration import read_calibrations

SIZE = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, 40 pictures, one that is none, and the model calibrated by them."""
    folder = tmp_path_factory.mktemp("calibrate")
    network = NetworkOptions(size=SIZE, base=2, latent=3)
    gan = replace(model_file.build(network), encoder=model_file.build_encoder(network, 2, 4).eval())
    model_file.save(gan, folder / "m.safetensors")
    (folder / "pictures").mkdir()
    rng = np.random.Generator(np.random.Philox(key=1))
    for i in range(40):
        pixels = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
        Image.fromarray(pixels).save(folder / "pictures" / f"{i:02}.png")
    (folder / "pictures" / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def calibrated(folder):
    words = ["--model", folder / "m.safetensors", "--out", folder / "c.safetensors", "--presets", "fast", "--each", 8]
    assert run(["calibrate", str(folder / "pictures"), *map(str, words)]) == 1  # one could not be read
    return folder / "c.safetensors"


def test_the_model_is_written_with_its_calibration_and_info_tells_of_it(calibrated, capsys):
    found = read_calibrations(model_file.load(calibrated))
    assert list(found) == ["fast"]
    assert found["fast"].measured.pictures == 40 and found["fast"].measured.completions <= 320
    assert run(["info", str(calibrated)]) == 0
    assert (
        f"calibrated     fast: rank correlation {found['fast'].measured.rank_correlation:.2f}"
        in capsys.readouterr().out
    )


def test_each_completion_says_what_to_expect(folder, calibrated, tmp_path, capsys):
    words = ["--model", calibrated, "--out", tmp_path, "--preset", "fast", "--hole", "center"]
    assert run(["complete", str(folder / "pictures" / "03.png"), *map(str, words)]) == 0
    story = json.loads((tmp_path / "03.json").read_text())
    trust = story["trust"]
    assert trust == story["squares"][0]["trust"]
    assert 0 < trust["low"] < trust["predicted"] < trust["high"] and trust["unlike"] is False
    assert trust["words"][0].startswith("expect the hole to be off by about")
    band = np.asarray(Image.open(tmp_path / "_run" / "000001-000001" / "band.png"))
    assert band.shape == (SIZE, SIZE, 3)
    assert (band[4:12, 4:12] > 0).all() and band.sum() == band[4:12, 4:12].sum()
    assert "unlike" not in capsys.readouterr().err


def test_a_model_that_is_not_calibrated_says_so_in_the_story(folder, tmp_path):
    words = ["--model", folder / "m.safetensors", "--out", tmp_path, "--preset", "fast"]
    assert run(["complete", str(folder / "pictures" / "03.png"), *map(str, words)]) == 0
    trust = json.loads((tmp_path / "03.json").read_text())["trust"]
    assert trust["predicted"] is None and trust["words"][0].startswith("not calibrated")
    assert not (tmp_path / "_run" / "000001-000001" / "band.png").exists()


def test_too_few_pictures_and_presets_that_are_none_are_refused(folder, tmp_path, capsys):
    words = ["--model", str(folder / "m.safetensors"), "--out", str(tmp_path / "x.safetensors")]
    assert run(["calibrate", str(folder / "pictures"), *words, "--presets", "fast", "--count", "4"]) == 2
    told = capsys.readouterr().err
    assert "4 pictures are too few to calibrate by" in told and "Give --count 5 or more" in told
    assert run(["calibrate", str(folder / "pictures"), *words, "--count", "9", "--each", "33"]) == 2
    told = capsys.readouterr().err
    assert "297 completions of 9 pictures are too few" in told and "Give --each 34 or more" in told
    assert "calibrate best" not in told, "work was done"
    assert run(["calibrate", str(folder / "pictures"), *words, "--presets", " ,"]) == 2
    assert run(["calibrate", str(folder / "pictures"), *words, "--presets", "fastest"]) == 2
    assert "there is no preset 'fastest'" in capsys.readouterr().err
    assert not (tmp_path / "x.safetensors").exists()


def test_few_pictures_get_more_holes_each_and_blanks_in_presets_do_not_matter(folder, tmp_path, capsys):
    words = ["--model", folder / "m.safetensors", "--out", tmp_path / "x.safetensors", "--count", 6]
    assert run(["calibrate", str(folder / "pictures"), *map(str, words), "--presets", " fast, fast"]) in (0, 1)
    assert "6 pictures are few" in capsys.readouterr().err
    assert read_calibrations(model_file.load(tmp_path / "x.safetensors"))["fast"].measured.pictures == 6
