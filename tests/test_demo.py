import runpy
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

DEMO = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "demo.py"))
ASTRONAUT = np.asarray(skimage.data.astronaut())


def read(path):
    return np.asarray(Image.open(path))


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "demo"
    assert DEMO["main"](folder, "--steps", "2", "--tune-steps", "2") == 0
    return folder


def test_the_demo_completes_a_whole_photo_and_leaves_small_faces(demo):
    asked, made = (read(demo / name) for name in ("astronaut.png", "completed/astronaut.png"))
    hole = asked[..., 3] == 0
    assert 1000 < hole.sum() < 3000 and (made[..., 3] == 255).all()
    assert np.array_equal(made[~hole][:, :3], ASTRONAUT[~hole])
    assert (asked[hole] == 0).all(), "what is hidden is nowhere to be seen"
    assert (made[hole][:, :3] != 0).any(-1).all()
    assert len(list((demo / "faces").glob("*.png"))) == 8
    assert read(demo / "faces" / "astronaut.png").shape == (128, 128, 3)
    assert read(demo / "sheet.png").shape == (3 * 512, 3 * 512, 3)


def test_the_demo_takes_the_rocket_out_of_its_photo(demo):
    before, after = read(demo / "rocket.png"), read(demo / "removed" / "rocket.png")
    hole = DEMO["tear"](before, DEMO["REMOVED"])[1] > 0
    assert hole.any() and np.array_equal(after[~hole], before[~hole])
    sky = np.s_[130:340, 300:342]
    assert before[sky].max() > 200 and after[sky].max() < 140, "where it stood is sky"


def test_the_demo_deletes_no_folder_that_is_not_its_own(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.png").write_text("precious")
    assert DEMO["main"](tmp_path / "mine") == 2
    assert (tmp_path / "mine" / "photo.png").read_text() == "precious"
    assert "not a folder of this demo" in capsys.readouterr().err
