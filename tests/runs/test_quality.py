"""Scores while training: in the record, the best model kept, and none of it touches what is learnt."""

import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from latentfill.gan import model_file
from latentfill.options import NetworkOptions, RunOptions, TrainOptions
from latentfill.runs import checkpoints
from latentfill.runs import validation as quality
from latentfill.runs.data import Dataset
from latentfill.runs.interfaces import TrainingContext
from latentfill.runs.logs import Curve, Progress, Summary
from latentfill.runs.validation import sample_by_class, sample_evenly
from latentfill.training.gan_run import train

NETWORK = NetworkOptions(size=8, base=2, latent=3)
TRAIN = TrainOptions(images_seen=48, batch_size=4, precision="fp32")
RUN = RunOptions(sample_every=16, checkpoint_every=16, log_every=8, score_every=16, device="cpu")
PIXELS = np.random.Generator(np.random.Philox(key=1)).integers(0, 256, (200, 8, 8, 3), dtype=np.uint8)
DATA = Dataset(PIXELS, [str(i) for i in range(200)], [])


class Scorer:
    """The second model is the best; it takes what it is given."""

    curves: Mapping[str, Curve] = {name: Curve(name, name) for name in ("psnr_center", "psnr_random")}

    def __init__(self, *scores: float) -> None:
        self.scores, self.given = list(scores), []  # type: ignore[var-annotated]

    def __call__(self, gan: Any, samples: torch.Tensor, held_out: torch.Tensor, real: torch.Tensor) -> Summary:
        self.given.append((samples.shape, held_out, real))
        score = self.scores.pop(0)
        return Summary({"": held_out[:8]}, scores={"psnr_center": score, "psnr_random": score + 2})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "SHARE", 1e9)


def go(folder: Path, scorer: Scorer | None, images: int = 48, held_out: int = 16) -> list[Progress]:
    options = replace(TRAIN, images_seen=images)
    return list(train(DATA, folder, NETWORK, options, RUN, None, TrainingContext(scorer=scorer), held_out))


def test_the_best_model_is_kept_and_the_last_one_beside_it(tmp_path: Path) -> None:
    scorer = Scorer(11.0, 15.0, 13.0)
    go(tmp_path, scorer)
    best = model_file.read_about(tmp_path / "best.safetensors")
    assert (best["images_seen"], best["score"]) == (32, 16.0)
    assert model_file.read_about(tmp_path / "model.safetensors")["images_seen"] == 48
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    assert [(row["images_seen"], row["psnr_center"]) for row in rows if row["psnr_center"]] == [
        ("16", "11"), ("32", "15"), ("48", "13")
    ]  # fmt: skip
    shape, held_out, real = scorer.given[0]
    assert shape == (256, 3, 8, 8) and len(real) == 184
    assert torch.equal((held_out * 127.5 + 127.5).round().byte(), torch.from_numpy(PIXELS[-16:]).permute(0, 3, 1, 2))
    go(tmp_path, Scorer(14.0), 64)
    assert model_file.read_about(tmp_path / "best.safetensors")["images_seen"] == 32  # as good as it was before


def test_a_model_of_a_later_phase_is_the_best_even_if_its_score_is_lower(tmp_path: Path) -> None:
    network = NetworkOptions(size=8, networks="residual", latent=3, prior="normal")
    options = replace(TRAIN, reconstruct=1.0, redraw_first=16, reconstruct_last=16, images_seen=64)
    run = replace(RUN, score_every=8)
    list(
        train(
            DATA,
            tmp_path,
            network,
            options,
            run,
            None,
            TrainingContext(scorer=Scorer(9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0)),
            16,
        )
    )
    best = model_file.read_about(tmp_path / "best.safetensors")
    assert (best["phase"], best["images_seen"], best["score"]) == ("both", 48, 5.0)


def test_samples_are_shown_over_their_nearest_training_pictures(tmp_path: Path) -> None:
    go(tmp_path, Scorer(1.0), 16)
    assert Image.open(tmp_path / "samples" / "nearest-0000000016.png").size == (64, 64)
    assert (tmp_path / "samples" / "completed-0000000016.png").exists()


def test_scoring_leaves_the_training_as_it_is(tmp_path: Path, equal: Any) -> None:
    go(tmp_path / "scored", Scorer(1.0, 2.0, 3.0))
    list(train(DATA, tmp_path / "not", NETWORK, TRAIN, replace(RUN, score_every=0), held_out=16))
    states = [checkpoints.read_newest(tmp_path / name / "checkpoints")[0] for name in ("scored", "not")]
    assert equal(*states) and not (tmp_path / "not" / "best.safetensors").exists()


def test_what_takes_too_long_is_done_once_and_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "SHARE", 0.0)
    scorer = Scorer(1.0, 2.0)
    go(tmp_path, scorer)
    assert len(scorer.given) == 2


def test_a_run_begun_with_all_pictures_goes_on_with_all(tmp_path: Path) -> None:
    go(tmp_path, None, 16, held_out=0)
    scorer = Scorer()
    assert go(tmp_path, scorer, 32)[-1].images_seen == 32 and not scorer.given
    assert model_file.read_about(tmp_path / "model.safetensors")["pictures"] == 200


def test_what_samples_are_compared_with_has_as_many_of_each_class_as_they_have() -> None:
    pixels = np.zeros((50, 8, 8, 3), np.uint8)
    pixels[:, 0, 0, 0] = np.arange(50)
    labels = np.array([0] * 44 + [1] * 6, np.int64)  # samples are drawn of the classes in turn, however few one has
    data = Dataset(pixels, [str(i) for i in range(50)], [], labels=labels, classes={"a": 44, "b": 6})
    found = ((sample_by_class(data, 9)[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()
    assert found == [0, 14, 29, 43, 44, 46, 47, 49]
    assert len(sample_by_class(data, 64)) == 12  # all of a class of which there are too few, and as many of the other
    plain = Dataset(pixels, data.names, [])
    assert torch.equal(sample_by_class(plain, 9), sample_evenly(plain, 9))
