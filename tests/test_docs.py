"""The commands of the README and the docs run, as they stand there but for smaller numbers; links lead somewhere."""

import re
import shlex
import subprocess
import sys
import tarfile
from glob import glob
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

import latentfill
from latentfill.cli.main import run

PROJECT = Path(__file__).parents[1]
sys.path.append(str(PROJECT / "benchmarks"))
from docs_hooks import API, write_signatures  # noqa: E402

PAGES = [*sorted((PROJECT / "docs").glob("*/*.md")), PROJECT / "README.md"]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.S | re.M)


def blocks(page: Path, language: str) -> list[str]:
    return [block for kind, block in BLOCK.findall(page.read_text()) if kind == language]


def commands(page: Path) -> list[str]:
    lines = "\n".join(blocks(page, "sh")).splitlines()
    return [line.split("#  ")[0].strip() for line in lines if line.startswith("latentfill ")]


FEW = ["--steps", "4", "--cold-steps", "4", "--tune-steps", "2"]
SMALLER = {
    "complete": [*FEW, "--max-images", "2"],
    "complete --degrade grey": [*FEW, "--max-images", "1"],
    "complete --degrade lowres:4+noise:10": [*FEW, "--max-images", "1"],
    "evaluate": ["--count", "3", "--methods", "telea"],
    "train --begin faces-128": ["--images-seen", "4", "--batch-size", "4", "--no-completer", "--score-every", "0"],
    "train --kind encoder": ["--images-seen", "8", "--batch-size", "4", "--encoder-base", "2", "--encoder-hidden", "4"],
    "train": [
        *("--size", "16", "--images-seen", "8", "--batch-size", "4"),
        *("--base", "2", "--latent", "4", "--precision", "fp32"),
    ],
    "calibrate": ["--part", "all", "--each", "66", "--presets", "fast"],
    "sample": ["--count", "4", "--frames", "2", "--stops", "2"],
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    photo = np.asarray(skimage.data.astronaut())
    face = photo[:256, 100:356]
    erased = np.full((512, 512, 1), 255, np.uint8)
    erased[120:140, 215:235] = 0
    for name, picture in (
        ("demo/original/astronaut.png", photo),
        ("photographs/ann-1.png", face),
        ("photographs/bob-1.png", face),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(tmp_path / name)
    Image.fromarray(np.dstack([photo, erased])).save(tmp_path / "demo" / "astronaut.png")
    Image.fromarray(skimage.data.rocket()).save(tmp_path / "demo" / "rocket.png")
    for name, side in (("demo/faces", 128), ("collection", 50), ("large", 128)):
        (tmp_path / name).mkdir(parents=True)
        for stem in ("000", "001", "002", "003", "astronaut"):
            picture = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(picture).save(tmp_path / name / f"{stem}.png")
    (tmp_path / "faces128").mkdir()
    for name in ("train-00000", "train-00001", "test"):
        with tarfile.open(tmp_path / "faces128" / f"{name}.tar", "w") as tar:
            tar.add(tmp_path / "large", ".")
    hole = np.zeros((128, 128), np.uint8)
    hole[20:40, 20:40] = 255
    Image.fromarray(hole).save(tmp_path / "hole.png")
    Image.fromarray(face).save(tmp_path / "photo.jpg")
    for name in ("scan.png", "scan.jpg"):
        Image.fromarray(face).convert("L").save(tmp_path / name)
    stain = np.zeros(face.shape[:2], np.uint8)
    stain[100:180, 130:133] = 255
    for name in ("scratches.png", "photo-hole.png"):
        Image.fromarray(stain).save(tmp_path / name)
    return tmp_path


def _matches(words: list[str], kind: str) -> bool:
    """Whether a command begins with the verb of `kind` and has its option, if it has one."""
    verb, *option = kind.split()
    return words[0] == verb and (not option or any(words[i : i + len(option)] == option for i in range(len(words))))


@pytest.fixture(scope="module")
def seen():
    """The commands that earlier pages have run, which the README, the last, does not run again."""
    return set()


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.stem)
def test_the_commands_of_a_page_run_in_their_order(page, folder, seen):
    for command in commands(page):
        words = [part for word in shlex.split(command)[1:] for part in sorted(glob(word)) or [word]]
        again = page.stem == "README" and command in seen
        seen.add(command)
        if words[0] not in ("figures", "serve") and not again:  # they have tests of their own, and take long
            kinds = [kind for kind in SMALLER if _matches(words, kind)]
            assert run([*words, *SMALLER.get(max(kinds, key=len, default=""), [])]) == 0, command


@pytest.mark.parametrize(
    "page", [PROJECT / "README.md", PROJECT / "docs/tutorials/notebook.md"], ids=lambda page: page.stem
)
def test_the_python_of_a_page_runs(page, folder):
    names: dict[str, object] = {}
    for code in blocks(page, "python"):
        exec(code, names)
    result, original = (np.asarray(Image.open(folder / name)) for name in ("completed.png", "demo/astronaut.png"))
    known = original[..., 3] > 0
    assert np.array_equal(result[known], original[known]) and not np.array_equal(result, original)


def test_what_a_page_links_to_is_there():
    for page in [*PAGES, *(PROJECT / "docs").glob("*.md"), *(PROJECT / "latentfill" / "models").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page}: {target}"


def test_the_python_page_has_every_public_name_with_its_signature_of_today():
    page = (PROJECT / "docs" / "reference" / "api.md").read_text()
    assert write_signatures(page) == page, "run python benchmarks/docs_hooks.py"
    assert sorted(API.findall(page)) == latentfill.__all__


def test_the_diffs_of_contributing_apply_to_the_code_of_today():
    diffs = re.findall(r"^```diff\n(.*?)^```", (PROJECT / "CONTRIBUTING.md").read_text(), re.M | re.S)
    assert len(diffs) >= 5
    for diff in diffs:
        done = subprocess.run(["git", "apply", "--check"], input=diff, cwd=PROJECT, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr


def test_every_page_is_in_the_index():
    index = (PROJECT / "docs" / "index.md").read_text()
    for page in (PROJECT / "docs").glob("*/*.md"):
        assert page.relative_to(PROJECT / "docs").as_posix() in index, page
