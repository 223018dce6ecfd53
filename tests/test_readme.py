"""The README's commands run, as they stand there but for smaller numbers."""

import re
import shlex
import tarfile
from glob import glob
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from latentfill.cli.main import VERBS, run

TEXT = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = dict.fromkeys(re.findall(r"```(\w+)\n(.*?)```", TEXT, re.S))
COMMANDS = [
    line.split("#  ")[0].strip()
    for language, block in BLOCKS
    if language == "sh"
    for line in block.splitlines()
    if line.startswith("latentfill ")
]
SMALLER = {
    "complete --edits 4": ["--steps", "4", "--max-images", "1", "--edits", "2"],
    "complete": ["--steps", "4"],
    "evaluate": ["--count", "3", "--methods", "mean,telea"],
    "train --kind encoder": ["--images-seen", "8", "--batch-size", "4", "--encoder-base", "2", "--encoder-hidden", "4"],
    "train": ["--images-seen", "8", "--batch-size", "4", "--base", "2", "--latent", "4", "--precision", "fp32"],
    "calibrate": ["--part", "all", "--each", "100", "--presets", "fast"],
    "sample": ["--count", "4", "--frames", "2", "--stops", "2"],
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    photo = np.asarray(skimage.data.astronaut())
    erased = np.full((512, 512, 1), 255, np.uint8)
    erased[120:140, 215:235] = 0
    for name in ("demo/original/astronaut.png", "photographs/ann-1.png", "photographs/bob-1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo).save(tmp_path / name)
    Image.fromarray(np.dstack([photo, erased])).save(tmp_path / "demo" / "astronaut.png")
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
    return tmp_path


def _asks(words: list[str], kind: str) -> bool:
    """Whether a command begins with the verb of `kind` and has its option, if it has one."""
    _, *option = kind.split()
    return not option or any(words[i : i + len(option)] == option for i in range(len(words)))


def test_the_readme_has_every_verb():
    assert {command.split()[1] for command in COMMANDS} == set(VERBS)


def test_the_commands_of_the_readme_run_in_their_order(folder):
    for command in COMMANDS:
        words = [found for word in shlex.split(command)[1:] for found in sorted(glob(word)) or [word]]
        if words[0] not in ("figures", "serve"):  # they have tests of their own, and take long
            kind = next((kind for kind in SMALLER if kind.split(" --")[0] == words[0] and _asks(words, kind)), "")
            assert run([*words, *SMALLER.get(kind, [])]) == 0, command
    assert len(list((folder / "done-faces").glob("*.png"))) == 5
    assert len(list((folder / "aligned").glob("*.png"))) == 2
    assert len(list((folder / "done-4" / "_run" / "candidates" / "astronaut").glob("?.png"))) == 4
    assert (folder / "runs" / "mine" / "model.safetensors").exists()
    assert len(list((folder / "done-256").glob("*.png"))) == 5


def test_the_python_of_the_readme_runs(folder):
    (code,) = (block for language, block in BLOCKS if language == "python")
    exec(code.replace("steps=200", "steps=2"), {})
    result, original = (np.asarray(Image.open(folder / name)) for name in ("completed.png", "demo/astronaut.png"))
    known = original[..., 3] > 0
    assert np.array_equal(result[known], original[known]) and not np.array_equal(result, original)


def test_what_the_readme_links_to_is_there():
    for target in re.findall(r"\]\((?!http)([^)]+)\)", TEXT):
        assert (Path(__file__).parents[1] / target).exists(), target
