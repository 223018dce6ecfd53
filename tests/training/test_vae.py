"""A variational autoencoder, trained as a run: it learns, resumes to the bit, and a GAN can begin with it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from latentfill.errors import LatentfillError, RunError
from latentfill.gan.model_file import build_networks, build_residual_encoder, load
from latentfill.gan.residual import ConstantDiscriminator
from latentfill.options import GAN_PRESETS, TRAIN_KINDS, NetworkOptions, RunOptions
from latentfill.runs import checkpoints
from latentfill.runs.data import Dataset
from latentfill.training.gan_run import train
from latentfill.training.vae import VaeTrainer, train_vae

NETWORK = NetworkOptions(size=8, networks="residual", latent=4, prior="normal", critic=False)
TRAIN = replace(TRAIN_KINDS["vae"], images_seen=48, batch_size=4, precision="fp32")
RUN = RunOptions(sample_every=24, checkpoint_every=10**6, log_every=8, device="cpu", threads=1)
RARELY = replace(RUN, sample_every=10**6, log_every=10**6)


def shades(count: int = 40) -> Dataset:
    """Flat pictures, darker or lighter: one number says all of each."""
    levels = np.random.Generator(np.random.Philox(key=2)).integers(20, 236, count)
    pixels = np.broadcast_to(levels[:, None, None, None], (count, 8, 8, 3)).astype(np.uint8)
    return Dataset(pixels, [str(i) for i in range(count)], [])


def go(folder: Path, images: int = 48, run: RunOptions = RUN, **options: Any) -> None:
    list(train_vae(shades(), folder, NETWORK, replace(TRAIN, images_seen=images, **options), run))


def test_it_learns_to_redraw_what_it_sees_and_what_it_does_not(tmp_path: Path) -> None:
    go(tmp_path, 1600, RARELY, learning_rate=4e-3, batch_size=16)
    gan = load(tmp_path / "model.safetensors")
    assert isinstance(gan.discriminator, ConstantDiscriminator) and gan.encoder is not None
    images = torch.linspace(-0.7, 0.7, 5)[:, None, None, None].expand(5, 3, 8, 8)
    known = torch.ones(5, 1, 8, 8)
    known[:, :, :4] = 0
    error = (gan.generator(gan.encoder(images, known)) - images).abs().mean()
    assert error < 0.1


@pytest.mark.parametrize("annealed", [False, True])
def test_the_rate_rises_once(annealed: bool) -> None:
    options = replace(TRAIN, images_seen=100_000, batch_size=4, learning_rate=1e-3, decay=0.0, annealed=annealed)
    encoder = build_residual_encoder(NETWORK, seed=0)
    ours = VaeTrainer(build_networks(NETWORK, 0)[0], encoder, options, NETWORK)
    rates = []
    for seen in (996, 1996, 4996, 6996):
        ours.images_seen = seen
        ours.step(torch.zeros(4, 3, 8, 8))
        rates.append(ours.learning_rate)
    assert rates == pytest.approx([2e-4, 4e-4, 1e-3, 1e-3], rel=0.02)


def test_the_posts_generator_with_batch_norm_can_be_one_too(tmp_path: Path) -> None:
    network = NetworkOptions(size=8, base=4, latent=4, prior="normal")
    options = replace(TRAIN, images_seen=1600, batch_size=32, learning_rate=4e-3)
    list(train_vae(shades(), tmp_path, network, options, RARELY))
    gan = load(tmp_path / "model.safetensors")
    assert gan.encoder and isinstance(gan.discriminator, ConstantDiscriminator)
    images = torch.linspace(-0.7, 0.7, 5)[:, None, None, None].expand(5, 3, 8, 8)
    error = (gan.generator(gan.encoder(images, torch.ones(5, 1, 8, 8))) - images).abs().mean()
    assert error < 0.3  # 0.4 is what one grey for all would give


def test_it_begins_with_a_model_that_is_given(tmp_path: Path) -> None:
    go(tmp_path / "first", 24)
    begin = load(tmp_path / "first" / "model.safetensors")
    slow = replace(TRAIN, images_seen=4, learning_rate=1e-12, average_half_life=0)
    list(train_vae(shades(), tmp_path / "second", NETWORK, slow, RUN, begin))
    again = load(tmp_path / "second" / "model.safetensors")
    assert begin.encoder is not None and again.encoder is not None
    for one, other in ((begin.generator, again.generator), (begin.encoder, again.encoder)):
        for old, new in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
            torch.testing.assert_close(old, new, atol=1e-6, rtol=1e-5)


def test_latents_that_are_not_normal_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LatentfillError, match=r"normal prior.*\nGive --prior normal"):
        list(train_vae(shades(), tmp_path, replace(NETWORK, prior="uniform"), TRAIN, RUN))
    with pytest.raises(LatentfillError, match="normal prior"):
        list(train(shades(), tmp_path, replace(NETWORK, prior="uniform"), replace(TRAIN, reconstruct=1.0), RUN))
    with pytest.raises(LatentfillError, match="--classes needs labelled"):
        list(train(shades(), tmp_path, replace(NETWORK, classes=2), TRAIN, RUN))


def test_resumed_it_is_as_if_never_interrupted(tmp_path: Path, equal: Callable[[Any, Any], bool]) -> None:
    go(tmp_path / "straight")
    for images in (12, 28, 48):  # the rate does not fall before the end of each
        go(tmp_path / "parts", images, decay=0.0)
    go(tmp_path / "whole", decay=0.0)
    states = [checkpoints.read_newest(tmp_path / name / "checkpoints")[0] for name in ("parts", "whole", "straight")]
    assert equal(states[0], states[1]) and not equal(states[1], states[2])


def test_a_gan_begins_with_its_weights_and_keeps_its_encoder(tmp_path: Path) -> None:
    go(tmp_path / "vae")
    begin = load(tmp_path / "vae" / "model.safetensors")
    options = replace(GAN_PRESETS["modern"][1], images_seen=4, batch_size=4, precision="fp32", learning_rate=1e-12)
    options = replace(options, completer=False)
    network = replace(NETWORK, critic=True)
    list(train(shades(), tmp_path / "gan", network, options, RUN, begin))
    gan = load(tmp_path / "gan" / "model.safetensors")
    z = gan.generator.prior.sample([1, 2])
    torch.testing.assert_close(gan.generator(z), begin.generator(z), atol=1e-4, rtol=0)
    images, known = torch.zeros(1, 3, 8, 8), torch.ones(1, 1, 8, 8)
    assert gan.encoder and begin.encoder
    torch.testing.assert_close(gan.encoder(images, known), begin.encoder(images, known), atol=1e-4, rtol=0)


@pytest.mark.parametrize("change, said", [
    ({"latent": 5}, "has other networks .*project.weight"),
    ({"networks": "dcgan", "critic": True}, "another kind of generator"),
])  # fmt: skip
def test_networks_that_differ_are_told(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    go(tmp_path / "vae", 4)
    begin = load(tmp_path / "vae" / "model.safetensors")
    options = replace(GAN_PRESETS["modern"][1], images_seen=4, batch_size=4, precision="fp32")
    with pytest.raises(RunError, match=said):
        list(train(shades(), tmp_path / "gan", replace(NETWORK, **change), options, RUN, begin))
