"""No verb replaces or deletes a file that it did not write, under whatever name its own would be."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentfill.cli.main import run
from latentfill.gan import model_file
from latentfill.options import NetworkOptions

SIZE = 16
TRAIN = ("--size 16 --images-seen 8 --batch-size 4 --base 2 --latent 3 --preset seed --sample-every 4 --score-every 0 "
         "--threads 1 --cache cache --checkpoint-every 4")  # fmt: skip
VERBS = {
    "align": "align in OUT --no-faces --size 16 --workers 1",
    "align and reject": "align bad OUT --no-faces --size 16 --workers 1",
    "align apart": "align in OUT --no-faces --size 16 --split 0.5 --workers 1",
    "sample": "sample m.safetensors OUT --count 4 --separate",
    "walk": "sample m.safetensors OUT --walk --stops 2 --frames 2",
    "evaluate": "evaluate in --out OUT --model m.safetensors --methods mean --holes center --threads 1",
    "export": "export m.safetensors OUT --onnx",
    "plot": "plot run --out OUT --formats png",
    "report": "report run --out OUT/report.html",
    "train": f"train in --run OUT {TRAIN}",
}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verbs")
    for name, count in (("in", 8), ("bad", 2)):
        (folder / name).mkdir()
        for i in range(count):
            pixels = np.random.default_rng(i).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    (folder / "bad" / "0.png").write_bytes(b"no picture")
    network = NetworkOptions(size=SIZE, base=2, latent=3)
    model_file.save(model_file.build(network), folder / "m.safetensors")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        assert run(["train", "in", "--run", "run", *TRAIN.split()]) == 0
    return folder


def files(folder):
    """All but what is kept beside results, which has a name that says so, and records."""
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(("_run", ".")) for part in path.relative_to(folder).parts)
    }


@pytest.mark.parametrize("verb", VERBS)
def test_files_of_the_same_names_stay_as_they_were(here, verb, monkeypatch, capsys):
    if verb == "export":
        pytest.importorskip("onnx")
    monkeypatch.chdir(here)

    def command(out):
        return run(VERBS[verb].replace("OUT", out).split())

    first, second = (Path(f"{verb} {i}".replace(" ", "-")) for i in (1, 2))
    assert command(str(first)) == (1 if "reject" in verb else 0)
    names = files(first)
    assert names
    assert command(str(first)) in (0, 1), "what it wrote itself it may write again"
    for name in names:
        (second / name).parent.mkdir(parents=True, exist_ok=True)
        (second / name).write_bytes(b"mine")
    command(str(second))
    after = files(second)
    assert all(after.get(name) == b"mine" for name in names)
    assert verb != "align" or len(after) == 2 * len(names), "the crops are not taken for done, but have other names"
    assert "Traceback" not in capsys.readouterr().err


def test_a_calibration_is_written_into_no_other_file(here, monkeypatch, capsys):
    monkeypatch.chdir(here)
    Path("photo.jpg").write_bytes(b"mine")
    assert run(["calibrate", "in", "--model", "m.safetensors", "--out", "photo.jpg"]) == 2
    assert "photo.jpg: not a model file" in capsys.readouterr().err and Path("photo.jpg").read_bytes() == b"mine"
