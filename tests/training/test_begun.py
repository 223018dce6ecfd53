"""A training that begins with a model: what of its recipe that changes."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from latentfill.gan.completer import build_completer
from latentfill.gan.gan import Gan
from latentfill.gan.model_file import build_networks, build_residual_encoder
from latentfill.gan.residual import ConstantDiscriminator
from latentfill.options import GAN_PRESETS, NetworkOptions, RunOptions
from latentfill.runs.data import Dataset
from latentfill.training.gan_run import BEGUN_RATE, load_weights, train

NETWORK = NetworkOptions(size=8, networks="residual", latent=4, prior="normal")
MODERN = replace(GAN_PRESETS["modern"][1], images_seen=64, batch_size=4, redraw_first=16, precision="fp32")
RUN = RunOptions(sample_every=64, checkpoint_every=10**6, log_every=4, score_every=0, device="cpu", threads=1)
PIXELS = np.random.Generator(np.random.Philox(key=1)).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
DATA = Dataset(PIXELS, [str(i) for i in range(20)], [])


def model(*, critic: bool = True, played: bool = True) -> Gan:
    generator, discriminator = build_networks(NETWORK, 5)
    about = {"images_seen": 7} if played else {}
    return Gan(
        generator, discriminator if critic else ConstantDiscriminator(), NETWORK, about, build_residual_encoder(NETWORK)
    )


@pytest.mark.parametrize(("begin", "rate", "redraws", "highest"), [
    (None, 0.0, True, 1.2e-3),
    (model(), 0.0, False, BEGUN_RATE),
    (model(), 3e-4, False, 3e-4),  # what is given is what it says
    (model(played=False), 0.0, False, 1.2e-3),  # grown, and new at this size
    (model(critic=False), 0.0, True, 1.2e-3),  # an autoencoder
])  # fmt: skip
def test_what_a_gan_has_learnt_is_not_lost_at_once(
    tmp_path: Path, begin: Gan | None, rate: float, redraws: bool, highest: float
) -> None:
    list(train(DATA, tmp_path, NETWORK, replace(MODERN, learning_rate=rate), RUN, begin))
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    first, rates = rows[0], [float(row["learning_rate"]) for row in rows if row["discriminator_loss"]]
    assert (first["discriminator_loss"] == "") == redraws
    assert max(rates) == pytest.approx(highest, rel=0.05)
    assert rows[-1]["discriminator_loss"] and rows[-1]["hole_mse"] == ""  # the game, in any case


def test_an_encoder_begins_as_that_of_a_completer_if_there_is_no_other() -> None:
    begin = model()
    completer = build_completer(begin)
    fresh = build_residual_encoder(NETWORK, seed=9)
    load_weights(replace(begin, encoder=None, completer=completer), *build_networks(NETWORK, 9), fresh)
    assert all(torch.equal(t, completer.encoder.state_dict()[name]) for name, t in fresh.state_dict().items())
