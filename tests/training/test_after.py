"""A completer after the game, by the same command."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn

from latentfill.gan import model_file
from latentfill.options import GAN_PRESETS, NetworkOptions, RunOptions
from latentfill.options.training import EncoderOptions
from latentfill.runs import checkpoints
from latentfill.runs.data import Dataset
from latentfill.training import gan_run as after
from latentfill.training.gan_run import split_options, train

NETWORK = NetworkOptions(size=8, networks="residual", latent=3, prior="normal")
MODERN = replace(GAN_PRESETS["modern"][1], images_seen=64, batch_size=4, redraw_first=8, precision="fp32")
RUN = RunOptions(sample_every=10**6, checkpoint_every=8, log_every=16, device="cpu", score_every=0)
PIXELS = np.random.Generator(np.random.Philox(key=1)).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
DATA = Dataset(PIXELS, [str(i) for i in range(20)], [])


def go(folder: Path, batches: int = 10**6, images: int = 64) -> list[tuple[int, int, int]]:
    steps: Any = train(DATA, folder, NETWORK, replace(MODERN, images_seen=images), RUN)
    told = [(step.images_seen, step.total, step.resumed_from) for _, step in zip(range(batches), steps, strict=False)]
    steps.close()
    return told


def test_one_command_gives_a_model_with_a_completer_of_its_finished_game(tmp_path: Path) -> None:
    told = go(tmp_path)
    assert [seen for seen, _, _ in told] == list(range(4, 65, 4)) and {total for _, total, _ in told[12:]} == {64}
    made, own = (model_file.load(at / "model.safetensors") for at in (tmp_path, tmp_path / "completer-48"))
    game, completer = (checkpoints.read_newest(at / "checkpoints")[0] for at in (tmp_path, tmp_path / "completer-48"))
    assert game and completer and game["images_seen"] == 48 and completer["images_seen"] == 16
    assert made.completer and made.encoder is None and own.completer
    for name, tensor in cast(nn.Module, made.generator).state_dict().items():
        assert torch.equal(tensor, game["averaged"][name])
    for name, tensor in cast(nn.Module, made.completer).state_dict().items():
        assert torch.equal(tensor, completer["averaged"][name])
    assert made.about["images_seen"] == 48 and made.about["completer"]["images_seen"] == 16


def test_it_begins_with_the_encoder_that_learnt_before_the_game(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    def watch(gan: Any, *rest: Any) -> Any:
        begun.append(gan)
        return iter(())

    monkeypatch.setattr(after, "train_completer", lambda *given: (step for step in watch(*given)))
    go(tmp_path)
    state = checkpoints.read_newest(tmp_path / "checkpoints")[0]
    assert state and begun[0].encoder is None
    own = begun[0].completer.encoder.state_dict()
    assert all(torch.equal(t, state["averaged_encoder"][name]) for name, t in own.items())


def test_stopped_anywhere_and_continued_is_as_never_stopped(tmp_path: Path, equal: Callable[[Any, Any], bool]) -> None:
    straight = tmp_path / "straight"
    go(straight)
    for batches in (5, 12, 13):  # in the game, at its end, with a completer not yet saved
        stopped = tmp_path / str(batches)
        go(stopped, batches)
        assert (model_file.load(stopped / "model.safetensors").completer is not None) == (batches > 12)
        assert go(stopped)[0][2] == 4 * batches
        for part in (".", "completer-48"):
            assert equal(*(checkpoints.read_newest(at / part / "checkpoints")[0] for at in (straight, stopped)))
        assert model_file.have_same_weights(straight / "model.safetensors", stopped / "model.safetensors")
        assert go(stopped) == []


def test_after_a_longer_game_another_completer_learns(tmp_path: Path) -> None:
    go(tmp_path)
    told = go(tmp_path, images=96)
    assert told[0][2] == 48 and told[-1][0] == 96
    own = tmp_path / "completer-72"
    assert model_file.have_same_weights(tmp_path / "model.safetensors", own / "model.safetensors")
    made = model_file.load(tmp_path / "model.safetensors")
    assert made.completer and made.about["images_seen"] == 72


def test_where_no_completer_can_be_made_the_game_goes_on() -> None:
    assert split_options(MODERN, NETWORK) == (replace(MODERN, images_seen=48), 16)
    assert split_options(replace(MODERN, reconstruct_last=4), NETWORK)[1] == 4
    dcgan, told = NetworkOptions(size=8, base=2, prior="normal"), replace(NETWORK, classes=2)
    for options, network in (
        (MODERN, dcgan),
        (MODERN, told),
        (replace(MODERN, reconstruct_last=0), NETWORK),
        (replace(MODERN, completer=False), NETWORK),
        (replace(MODERN, reconstruct=0.0), NETWORK),
    ):
        assert split_options(options, network) == (replace(options, completer=False), 0)


def test_held_out_pictures_stay_so(tmp_path: Path) -> None:
    many = Dataset(np.tile(PIXELS, (9, 1, 1, 1)), [str(i) for i in range(180)], [])
    options = replace(MODERN, images_seen=16)
    list(train(many, tmp_path, NETWORK, options, RUN, held_out=EncoderOptions().held_out))
    made = model_file.load(tmp_path / "model.safetensors")
    assert made.about["pictures"] == made.about["completer"]["pictures"] == 162
