"""The post in one file: it runs, keeps what is known, and its search comes nearer to it."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

PROJECT = Path(__file__).parents[1]
FILE = PROJECT / "examples" / "the_post.py"
sys.path.append(str(PROJECT / "benchmarks"))
import post_page  # noqa: E402


@pytest.fixture(scope="module")
def the_post() -> ModuleType:
    spec = importlib.util.spec_from_file_location("the_post", FILE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_runs_as_written_and_imports_nothing_of_the_package(tmp_path: Path) -> None:
    assert "latentfill" not in FILE.read_text()
    words = ["--pictures", "64", "--steps", "2", "--search-steps", "2"]
    subprocess.run([sys.executable, FILE, tmp_path / "out", *words], check=True, env={"OMP_NUM_THREADS": "1"})
    completed = np.asarray(Image.open(tmp_path / "out" / "completed.png"))[2::4, 2::4]
    original, hole, found = completed.reshape(3, 32, 8, 32, 3).transpose(0, 2, 1, 3, 4)
    inside = np.zeros((32, 32), bool)
    inside[8:24, 8:24] = True
    assert (original == found)[:, ~inside].all() and (hole[:, inside] == 255).all()
    assert (original != found)[:, inside].any()
    assert Image.open(tmp_path / "out" / "samples.png").size == (4 * 8 * 32, 4 * 8 * 32)


def test_the_search_comes_nearer_to_what_is_known_and_stays_in_the_cube(the_post: ModuleType) -> None:
    torch.manual_seed(0)
    generator, discriminator = the_post.make_generator().eval(), the_post.make_discriminator().eval()
    y, mask = the_post.draw_faces(2, 1), torch.ones(2, 1, 32, 32)
    mask[:, :, 8:24] = 0
    drawn = []
    generator.register_forward_hook(lambda module, given, images: drawn.append((given[0].detach(), images.detach())))
    the_post.complete(generator, discriminator, y, mask, steps=30)
    errors = [float((mask * (images - y)).abs().sum()) for _, images in drawn]
    assert errors[-1] < errors[0]
    assert all(z.abs().max() <= 1 for z, _ in drawn)


def test_the_page_shows_the_code_of_the_file() -> None:
    page = post_page.PAGE.read_text()
    assert post_page.write_code(page) == page, "run python benchmarks/post_page.py"
    assert {name for _, name, _ in post_page.CODE.findall(page)} >= {"train", "complete"}


def test_the_pictures_and_numbers_of_the_page_are_made_by_running_it(tmp_path: Path) -> None:
    told = post_page.draw(tmp_path, 64, 1, (0, 3))
    rows = re.findall(r"^\| (.+?) \| (\d+) \| (\d+) \|$", told, re.M)
    assert [row[0] for row in rows] == ["0 steps", "3 steps", "the mean of all faces"]
    for path, across, down in (("faces", 8, 1), ("samples", 8, 2), ("completed", 8, 4)):
        assert Image.open(tmp_path / f"post-{path}.png").size == (across * 64, down * 64)
        assert (post_page.PROJECT / "docs" / "pictures" / f"post-{path}.png").stat().st_size < 100_000
