"""The page of a run, read as a browser would."""

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentfill.cli.main import run as latentfill
from latentfill.errors import RunError
from latentfill.figures.training_report import write_page

COMMAND = "latentfill train 'my <faces>' --run here --seed 7"
WARNING = {"images_seen": 64000, "saw": "all samples <b>alike</b>", "measured": 0.01, "limit": 0.2, "done": "back to 0"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run = tmp_path / "mine"
    (run / "samples").mkdir(parents=True)
    start = {"date": "2026-11-24", "command": COMMAND, "machine": "a small one", "kind": "gan", "pictures": 10}
    start |= {"train": {"images_seen": 128000, "learning_rate": 2e-4}, "run": {"sample_every": 6400}}
    (run / "history.jsonl").write_text(json.dumps(start) + '\n{"half a li')
    (run / "warnings.jsonl").write_text(json.dumps(WARNING) + "\n")
    head = "images_seen,discriminator_loss,generator_loss,real_logit,fake_logit,psnr_center,frechet_pixels"
    rows = [
        f"{n},1.4,0.7,0.1,0.0,{'' if n % 2000 else 17.5},{'' if n % 2000 else 3.5}" for n in range(1000, 9000, 1000)
    ]
    (run / "metrics.csv").write_text("\n".join([head, *rows]) + "\n")
    rng = np.random.default_rng(0)
    names = [f"{n:010}{kind}" for n in range(1000, 4000, 1000) for kind in ("", "-raw")]
    for name in [*names, "completed-0000003000", "nearest-0000002000"]:
        picture = Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
        picture.save(run / "samples" / f"{name}.png")
    return run


def embedded(text: str) -> dict[str, list[Image.Image]]:
    found: dict[str, list[Image.Image]] = {}
    for alt, data in re.findall(r'alt="([^"]*)" src="data:image/\w+;base64,([^"]+)"', text):
        found.setdefault(alt, []).append(Image.open(io.BytesIO(base64.b64decode(data))))
    return found


def test_the_page_has_curves_samples_completions_warnings_and_the_command_and_loads_nothing(folder: Path) -> None:
    assert latentfill(["report", str(folder)]) == 0
    text = (folder / "report.html").read_text()
    pictures = embedded(text)
    assert pictures["curves"][0].height > 900  # losses, logits, PSNR and distances
    assert pictures["samples"][0].n_frames == 3  # type: ignore[attr-defined]
    assert {"0000001000", "0000003000", "completed-0000003000", "nearest-0000002000"} <= set(pictures)
    assert not [alt for alt in pictures if "raw" in alt]
    assert "latentfill train &#x27;my &lt;faces&gt;&#x27; --run here --seed 7" in text and "a small one" in text
    assert "all samples &lt;b&gt;alike&lt;/b&gt;" in text and "back to 0" in text and "64,000" in text
    assert "<td>learning_rate</td><td>0.0002</td>" in text and "images seen: 8,000 of 128,000" in text
    assert not re.search(r"https?:|//[a-z]|<script|<link|@import|url\(", re.sub(r'base64,[^"]+', "", text))


def test_a_run_that_has_only_begun_has_a_page_too(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text('{"kind": "encoder"}\n')
    text = write_page(tmp_path, tmp_path / "out" / "page.html").read_text()
    assert "there is none" in text and "had nothing to say" in text and "images seen: 0" in text


def test_a_folder_without_a_training_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no training was begun there"):
        write_page(tmp_path, tmp_path / "page.html")
    assert not list(tmp_path.iterdir())
