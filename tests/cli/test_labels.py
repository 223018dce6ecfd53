"""From folders of two drawn shapes to pictures of the one or of the other."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from latentfill.cli.main import main


@pytest.fixture
def shapes(tmp_path):
    """Six bright discs and four dark squares, each kind in a folder."""
    for kind, count in (("discs", 6), ("squares", 4)):
        (tmp_path / "shapes" / kind).mkdir(parents=True)
        for i in range(count):
            image = Image.new("L", (8, 8), 128)
            draw = ImageDraw.Draw(image)
            draw.ellipse((1, 1, 6, 6), 250 - i) if kind == "discs" else draw.rectangle((1, 1, 6, 6), 10 + i)
            image.save(tmp_path / "shapes" / kind / f"{i}.png")
    return tmp_path / "shapes"


def words(shapes, tmp_path, *more):
    size = ["--size", "8", "--channels", "1", "--networks", "residual", "--latent", "4", "--batch-size", "4"]
    rest = ["--cache", str(tmp_path / "cache"), "--precision", "fp32", "--device", "cpu", *map(str, more)]
    return ["train", str(shapes), "--run", str(tmp_path / "run"), "--labels", "folders", *size, *rest]


def run(words):
    with pytest.raises(SystemExit) as end:
        main(words)
    return end.value.code


def grid(folder):
    return np.asarray(Image.open(folder / "grid.png").convert("L")).astype(float)


def test_a_model_of_labelled_folders_draws_and_completes_what_it_is_asked_for(shapes, tmp_path, capsys):
    quick = ["--images-seen", "160", "--learning-rate", "1.2e-2", "--average-half-life", "20", "--generator-steps", "1"]
    assert run(words(shapes, tmp_path, *quick)) == 0
    model = str(tmp_path / "run")
    assert run(["info", model]) == 0
    told = capsys.readouterr().out
    assert "classes" in told and "discs" in told and "squares" in told
    for kind in ("discs", "squares"):
        out = tmp_path / kind
        assert run(["sample", model, str(out), "--class", kind, "--count", "16"]) == 0
        done = [
            "complete",
            str(shapes / kind / "0.png"),
            "--model",
            model,
            "--out",
            str(out),
            "--preset",
            "seed",
            "--steps",
            "2",
        ]
        assert run([*done, "--class", kind]) == 0 and (out / "0.png").exists()
    assert grid(tmp_path / "discs").mean() > grid(tmp_path / "squares").mean() + 20
    assert run(["sample", model, str(tmp_path / "usual"), "--count", "16"]) == 0
    assert (grid(tmp_path / "usual") == grid(tmp_path / "discs")).all()  # of which there are more
    assert run(["sample", model, str(tmp_path / "x"), "--class", "stars"]) == 2
    assert "discs, squares" in capsys.readouterr().err


def test_other_classes_do_not_continue_a_run(shapes, tmp_path, capsys):
    assert run(words(shapes, tmp_path, "--images-seen", 4)) == 0
    (shapes / "squares").rename(shapes / "boxes")
    assert run(words(shapes, tmp_path, "--images-seen", 8)) == 2
    assert "begun with classes ['discs', 'squares'], now ['boxes', 'discs']" in capsys.readouterr().err
