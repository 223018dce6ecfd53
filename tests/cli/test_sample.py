import csv

import numpy as np
import pytest
import tyro
from PIL import Image

from latentfill.cli.sample import Options, run
from latentfill.errors import LatentfillError
from latentfill.gan.model_file import build, save
from latentfill.options import NetworkOptions


@pytest.fixture(scope="module", params=["uniform", "normal"])
def model(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save(
        build(NetworkOptions(size=8, base=4, latent=5, prior=request.param, channels=1 if "n" in request.param else 3)),
        path,
    )
    return str(path)


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"))


def test_a_grid_is_drawn_and_named_and_nothing_else(model, tmp_path, capsys):
    assert run(Options(model, tmp_path / "out", count=5, columns=3)) == 0
    said = capsys.readouterr().out.split()
    assert said == [str(tmp_path / "out" / name) for name in ("grid.png", "samples.csv")]
    assert sorted(path.name for path in (tmp_path / "out").glob("[!.]*")) == ["grid.png", "samples.csv"]
    assert pixels(said[0]).shape == (16, 24, 3)


def test_any_sample_can_be_drawn_again_from_the_table(model, tmp_path):
    run(Options(model, tmp_path / "many", count=20, nice=2, separate=True, seed=7))
    with (tmp_path / "many" / "samples.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len({row["seed"] for row in rows}) == 20
    assert all(7 <= int(row["seed"]) < 47 for row in rows)
    logits = [float(row["logit"]) for row in rows]
    assert logits == sorted(logits, reverse=True)
    last = rows[-1]
    run(Options(model, tmp_path / "one", count=1, seed=int(last["seed"])))
    np.testing.assert_array_equal(pixels(tmp_path / "one" / "grid.png"), pixels(tmp_path / "many" / last["file"]))


def test_very_many_samples_make_several_grids(model, tmp_path, monkeypatch):
    monkeypatch.setattr("latentfill.cli.sample.SHEET", 4)
    run(Options(model, tmp_path, count=10, columns=2))
    heights = [pixels(tmp_path / f"grid-{number}.png").shape[0] for number in (1, 2, 3)]
    assert heights == [16, 16, 8]
    assert len((tmp_path / "samples.csv").read_text().splitlines()) == 11


@pytest.mark.parametrize(("way", "frames", "legs"), [("loop", 12, 3), ("back", 16, 2)])
def test_a_walk_is_an_endless_animation_and_a_strip(model, tmp_path, capsys, way, frames, legs):
    run(Options(model, tmp_path, walk=True, stops=3, frames=4, way=way, columns=5))
    assert [line.rsplit("/")[-1] for line in capsys.readouterr().out.split()] == ["walk.gif", "walk.png"]
    with Image.open(tmp_path / "walk.gif") as gif:
        assert (gif.n_frames, gif.info["loop"], gif.size) == (frames, 0, (256, 256))
    strip = pixels(tmp_path / "walk.png")
    assert strip.shape == (8 * legs, 40, 3)
    np.testing.assert_array_equal(strip[:8, -8:], strip[8:16, :8])  # a leg begins where the last ended


def test_a_sweep_shows_the_components_that_matter_most_or_those_named(model, tmp_path):
    run(Options(model, tmp_path, sweep=True, rows=3, columns=6, frames=4))
    assert pixels(tmp_path / "sweep.png").shape == (24, 48, 3)
    with (tmp_path / "sweep.csv").open(newline="") as file:
        change = [float(row["mean_change"]) for row in csv.DictReader(file)]
    assert change == sorted(change, reverse=True)
    run(Options(model, tmp_path, sweep=True, components=(4, 0), columns=6, frames=4))
    assert [line.split(",")[1] for line in (tmp_path / "sweep.csv").read_text().split()] == ["component", "4", "0"]


@pytest.mark.parametrize("how", ["pca", "sefa"])
def test_directions_have_a_row_each_with_the_sample_in_the_middle(model, tmp_path, capsys, how):
    run(Options(model, tmp_path, directions=how, rows=3, columns=4, frames=4, seed=6))
    names = [line.rsplit("/")[-1] for line in capsys.readouterr().out.split()]
    assert names == ["directions.png", "directions.gif", "directions.csv"]
    sheet = pixels(tmp_path / "directions.png")
    assert sheet.shape == (24, 40, 3)
    run(Options(model, tmp_path / "one", count=1, seed=6))
    for row in range(3):
        middle = sheet[8 * row : 8 * row + 8, 16:24]
        # a normal latent is projected as the others are, and so may differ from the sample by a rounding
        np.testing.assert_allclose(middle.astype(int), pixels(tmp_path / "one" / "grid.png"), rtol=0, atol=1)
    with (tmp_path / "directions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    strengths = [float(row["strength"]) for row in rows]
    assert strengths == sorted(strengths, reverse=True) and all(float(row["mean_change"]) > 0 for row in rows)
    with Image.open(tmp_path / "directions.gif") as gif:
        assert gif.n_frames == 6


def test_more_directions_than_there_are_is_said(model, tmp_path):
    with pytest.raises(LatentfillError, match="--rows 6 is more than the model has directions") as caught:
        run(Options(model, tmp_path, directions="pca", rows=6))
    assert "has 5" in caught.value.cure


def test_arithmetic_and_a_grid_can_be_had_at_once(model, tmp_path, capsys):
    run(Options(model, tmp_path, arithmetic=("1,2,3", "4,5,6", "7"), separate=True, count=1))
    names = [line.removeprefix(f"{tmp_path}/") for line in capsys.readouterr().out.split()]
    assert names == ["grid.png", "samples/000000.png", "samples.csv", "arithmetic.png"]


@pytest.mark.parametrize("words", [("1,x", "2", "3"), ("1", "", "3"), ("1", "2", "-3")])
def test_what_is_no_seed_is_said(tmp_path, words):
    with pytest.raises(LatentfillError, match="--arithmetic") as caught:
        run(Options("nothing", tmp_path, arithmetic=words))
    assert "3,14,15" in caught.value.cure


def test_a_component_that_is_not_there_is_said(model, tmp_path):
    with pytest.raises(LatentfillError, match="--components 9: there is none") as caught:
        run(Options(model, tmp_path, sweep=True, components=(1, 9)))
    assert "0 to 4" in caught.value.cure


def test_a_model_that_is_not_there_is_said(tmp_path):
    with pytest.raises(LatentfillError, match=r"none\.safetensors"):
        run(Options(str(tmp_path / "none.safetensors"), tmp_path))


def test_options_are_written_as_users_would():
    line = "faces out --count 9 --walk --arithmetic 1,2,3 4,5 6 --components 3 17 --way back --nice 20"
    options = tyro.cli(Options, args=line.split())
    assert (options.model, str(options.out), options.count, options.walk) == ("faces", "out", 9, True)
    assert options.arithmetic == ("1,2,3", "4,5", "6")
    assert options.components == (3, 17)
