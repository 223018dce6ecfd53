"""A GAN of twice the size: what it takes over, what it learns, and that it is made once."""

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from latentfill import load
from latentfill.cli.main import run
from latentfill.cli.run_training import grow_cached
from latentfill.errors import ModelError
from latentfill.gan import growing
from latentfill.gan.gan import Gan
from latentfill.gan.growing import grow
from latentfill.gan.model_file import build, build_residual_encoder, digest_weights, save
from latentfill.options import NetworkOptions

NETWORK = NetworkOptions(size=64, networks="residual", latent=5, prior="normal")


@pytest.fixture(autouse=True)
def in_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "BATCH", 2)


@pytest.fixture(scope="module")
def small() -> Gan:
    fresh = build(NETWORK)
    encoder = build_residual_encoder(NETWORK, hidden=24)
    about = {"images_seen": 7, "alignment": {"margin": 1.0}}
    return Gan(fresh.generator, fresh.discriminator, NETWORK, about, encoder)


def test_all_that_the_smaller_one_knew_is_kept_and_the_rest_learns(small: Gan) -> None:
    begun, taught = grow(small, steps=1), grow(small, steps=8)
    assert taught.network.size == 128 and taught.about == {"alignment": {"margin": 1.0}}
    for part in ("generator", "discriminator", "encoder"):
        before, after, later = (getattr(gan, part).state_dict() for gan in (small, begun, taught))
        learnt = {name for name in later if not torch.equal(after[name], later[name])}
        kept = [tensor for name, tensor in later.items() if name not in learnt]
        # Stages are counted from the largest in D and the encoder, so there the names differ.
        for name, tensor in before.items():
            if not name.startswith(("draw", "trunk.look")):
                assert any(torch.equal(tensor, other) for other in kept), (part, name)
        assert learnt and not any(tensor.requires_grad for tensor in getattr(taught, part).parameters())


def test_it_comes_to_draw_and_see_as_the_smaller_one(small: Gan) -> None:
    def apart(gan: Gan) -> tuple[float, ...]:
        with torch.no_grad():
            z = small.generator.prior.sample(range(100, 116))
            images = small.generator(z)
            wide = F.interpolate(images, scale_factor=2, mode="bicubic").clamp(-1, 1)
            known = torch.ones(16, 1, 64, 64)
            known[:, :, 16:48, 16:48] = 0
            assert small.encoder and gan.encoder
            guesses = small.encoder(images, known) - gan.encoder(wide, F.interpolate(known, scale_factor=2))
            drawn, judged = gan.generator(z) - wide, small.discriminator(images) - gan.discriminator(wide)
        return tuple(float(one.square().mean()) for one in (drawn, judged, guesses))

    for before, after in zip(apart(grow(small, steps=1)), apart(grow(small, steps=40)), strict=True):
        assert after < 0.5 * before


def test_it_is_the_same_for_the_same_seed_and_another_for_another(small: Gan) -> None:
    one, same, other = (grow(small, seed, 2) for seed in (3, 3, 4))
    assert digest_weights(one.generator, one.encoder) == digest_weights(same.generator, same.encoder)
    assert digest_weights(one.generator) != digest_weights(other.generator)


def test_networks_that_have_no_twin_are_refused() -> None:
    for network in (NetworkOptions(size=16, base=4), NetworkOptions(size=32, networks="residual")):
        with pytest.raises(ModelError, match="cannot grow to"):
            grow(build(network), steps=1)


def test_it_grows_once_and_a_damaged_file_is_made_again(small: Gan, tmp_path: Path) -> None:
    told: list[int] = []
    gan = grow_cached(small, 128, 0, tmp_path, 2, lambda done, total: told.append(done))
    assert told == [1, 2]
    again = grow_cached(small, 128, 0, tmp_path, 2, lambda done, total: told.append(done))
    assert told == [1, 2] and digest_weights(again.generator, again.encoder) == digest_weights(
        gan.generator, gan.encoder
    )
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    grow_cached(small, 128, 0, tmp_path, 2, lambda done, total: told.append(done))
    assert told == [1, 2, 1, 2]


def test_a_training_of_larger_pictures_begins_with_the_grown_model(
    small: Gan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(growing, "STEPS", 2)
    save(small, tmp_path / "small.safetensors")
    (tmp_path / "pictures").mkdir()
    for i, colour in enumerate(np.random.default_rng(0).integers(0, 256, (4, 3), dtype=np.uint8)):
        Image.new("RGB", (130, 128), tuple(map(int, colour))).save(tmp_path / "pictures" / f"{i}.png")
    command = ["train", str(tmp_path / "pictures"), "--run", str(tmp_path / "run"), "--size", "128", "--latent", "5"]
    command += ["--begin", str(tmp_path / "small.safetensors"), "--cache", str(tmp_path / "cache"), "--batch-size", "2"]
    command += ["--reconstruct", "0", "--redraw-first", "0", "--redrawn-share", "0", "--learning-rate", "1e-9"]
    assert run([*command, "--images-seen", "2", "--dry-run"]) == 0
    assert "growing     from 64 pixels first: 2 steps" in capsys.readouterr().out
    assert run([*command, "--images-seen", "2", "--score-every", "0"]) == 0
    assert "growing to 128 pixels: 2/2" in capsys.readouterr().err
    twin = grow(small, steps=2)
    mine, theirs = (cast(nn.Module, gan.generator).state_dict() for gan in (load(tmp_path / "run"), twin))
    for name, tensor in mine.items():
        torch.testing.assert_close(tensor, theirs[name], atol=1e-6, rtol=0, msg=name)
    other = [{"5": "6", str(tmp_path / "run"): str(tmp_path / "other")}.get(word, word) for word in command]
    assert run([*other, "--images-seen", "2"]) == 2
    assert "other networks" in capsys.readouterr().err
