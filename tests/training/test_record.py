"""What a run tells, read back as a user would."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from latentfill.gan.model_file import build_networks
from latentfill.options import NetworkOptions, TrainOptions
from latentfill.runs.logs import Curve, Record, Summary
from latentfill.training.trainer import CURVES, GanTrainer


def values(number: float) -> dict[str, float]:
    return {curve.value: number + i / 8 for i, curve in enumerate(CURVES.values())}


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def board(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder / "tensorboard"), {"histograms": 0, "scalars": 0, "images": 0})  # 0: all
    return events.Reload()


def test_rows_are_there_as_soon_as_they_are_recorded(tmp_path: Path) -> None:
    record = Record(tmp_path, 0, CURVES)
    record.metrics(64, values(1.0))
    record.metrics(128, values(2.0))
    (first, second) = rows(tmp_path)
    assert (
        tuple(first) == ("images_seen", *CURVES)
        and first["images_seen"] == "64"
        and float(second["generator_loss"]) == 2.125
    )
    record.close()


def test_going_on_keeps_the_rows_up_to_the_checkpoint_and_drops_the_lost_future(tmp_path: Path) -> None:
    record = Record(tmp_path, 0, CURVES)
    for n in (64, 128, 192):
        record.metrics(n, values(n))
    record.close()
    before = (tmp_path / "metrics.csv").read_text().splitlines()
    record = Record(tmp_path, 128, CURVES)
    assert (tmp_path / "metrics.csv").read_text().splitlines() == before[:3]
    record.metrics(160, values(7.0))
    record.close()
    assert [row["images_seen"] for row in rows(tmp_path)] == ["64", "128", "160"]
    points = board(tmp_path).Scalars("d_loss")
    assert [(point.step, point.value) for point in points] == [(64, 64.0), (128, 128.0), (160, 7.0)]


def test_rows_of_an_earlier_version_and_half_rows_are_understood(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(
        "images_seen,discriminator_loss,generator_loss,real_logit,fake_logit,images_per_second\r\n"
        "64,1.5,2.5,0.5,-0.5,100.00\r\n\0\0\0\r\n128,1.25,2.2"
    )
    Record(tmp_path, 640, CURVES).close()
    first, half = rows(tmp_path)
    assert first["generator_loss"] == "2.5" and first["discriminator_loss_real"] == ""
    assert half["images_seen"] == "128" and half["real_logit"] == ""


def test_a_value_that_is_not_measured_every_time_leaves_its_column_empty(tmp_path: Path) -> None:
    record = Record(tmp_path, 0, {"loss": Curve("all", "the_loss"), "score": Curve("score", "the_score")})
    record.metrics(64, {"all": 1.5})
    record.metrics(128, {"all": 1.25, "score": 20.0, "unasked": 3.0})
    record.close()
    assert [tuple(row.values()) for row in rows(tmp_path)] == [("64", "1.5", ""), ("128", "1.25", "20")]
    assert [(point.step, point.value) for point in board(tmp_path).Scalars("the_score")] == [(128, 20.0)]
    assert "unasked" not in board(tmp_path).Tags()["scalars"]


def test_tensorboard_has_curves_histograms_grids_and_the_graph(tmp_path: Path, graph: Any) -> None:
    generator, discriminator = build_networks(NetworkOptions(size=8, base=2, latent=3))
    generator.precision = discriminator.precision = torch.bfloat16
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    record = Record(tmp_path, 0, CURVES)
    trainer = GanTrainer(generator, discriminator, TrainOptions())
    trainer.images_seen = 2
    graph(record, *trainer.graph())
    record.metrics(64, values(1.0))
    record.show(64, trainer.summary({"real": torch.tensor([0.0, 20.0]), "fake": torch.tensor([-20.0, -20.0])}))
    record.close()
    events = board(tmp_path)
    tags = events.Tags()
    assert {"d_loss", "g_loss", "d_loss_real", "d_loss_fake", "learning_rate", "images_per_second"} <= set(
        tags["scalars"]
    )
    assert set(tags["histograms"]) == {"z", "D/real", "D/fake"} and set(tags["images"]) == {"G"}
    real = events.Histograms("D/real")[0].histogram_value
    assert (real.min, real.max, real.num) == (0.5, 1.0, 2.0)
    drawn = " ".join(node.name for node in events.Graph().node)
    assert "[generator]/" in drawn and "[discriminator]/" in drawn
    assert generator.training and generator.precision is torch.bfloat16
    assert all(torch.equal(tensor, before[name]) for name, tensor in generator.state_dict().items())


@pytest.mark.parametrize("channels", [1, 3])
def test_samples_are_grids_of_what_the_generators_drew(tmp_path: Path, channels: int) -> None:
    record = Record(tmp_path, 0, CURVES)
    images = torch.full((10, channels, 8, 8), -1.0)
    images[9] = 1.0
    record.show(64, Summary({"": images, "-raw": -images}))
    record.close()
    averaged, raw = (np.asarray(Image.open(tmp_path / "samples" / f"0000000064{kind}.png")) for kind in ("", "-raw"))
    assert averaged.shape == (16, 64, 3)  # eight to a row
    assert (averaged[8:, 8:16] == 255).all() and averaged.sum() == 255 * 3 * 64
    assert (raw[:8] == 255).all()
