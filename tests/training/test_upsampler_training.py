"""Training an upsampler: against a plain loop, interrupted, on drawn shapes, and as a run with its files."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentfill.errors import LatentfillError, ModelError
from latentfill.gan import model_file
from latentfill.gan.completer import Upsampler, build_completer, build_upsampler
from latentfill.gan.residual import double, halve, initialise
from latentfill.images.blending import poisson_like
from latentfill.images.pixels import batch_to_images
from latentfill.options import TRAIN_KINDS, NetworkOptions, RunOptions
from latentfill.options.training import EncoderOptions
from latentfill.runs import checkpoints
from latentfill.runs.data import Dataset
from latentfill.runs.holes import detail, draw_known
from latentfill.seeds import Stream, philox
from latentfill.training.completer import draw_hole, grid_artefacts
from latentfill.training.upsampler import PatchCritic, UpsamplerTrainer, train_upsampler

NETWORK = NetworkOptions(size=16, networks="residual", latent=5, prior="normal")
GAN = model_file.build(NETWORK, 3)
GAN = replace(GAN, completer=build_completer(GAN, 4), about={"images_seen": 7})
TRAIN = replace(TRAIN_KINDS["upsampler"], images_seen=24, precision="fp32", penalty_every=2)
RUN = RunOptions(sample_every=12, checkpoint_every=10**6, log_every=4, device="cpu", score_every=12)
PIXELS = np.random.Generator(np.random.Philox(key=1)).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
DATA = Dataset(PIXELS, [str(i) for i in range(40)], [])
SPECIAL = EncoderOptions(held_out=4)


def trainer(**more: Any) -> UpsamplerTrainer:
    critic = PatchCritic(3)
    initialise(critic, 1)
    return UpsamplerTrainer(GAN, build_upsampler(3), critic, replace(TRAIN, **more), draw_hole)


def real(i: int) -> Tensor:
    return DATA.batch(4 * i, 4, seed=0, flip=False)


def state(folder: Path) -> dict[str, Any]:
    found, _ = checkpoints.read_newest(folder / "checkpoints")
    assert found
    return found


def squares(x: Tensor, known: Tensor, first: int) -> tuple[list[Tensor], ...]:
    """Squares of 16, each with something missing; those of even numbers were completed at half the size."""
    share = F.avg_pool2d(known, 2)
    small, seen = F.avg_pool2d(x, 2), (share >= 0.5).to(known)
    given = F.avg_pool2d(x * known, 2) / share.clamp(min=0.25)
    completer, parts = cast(Any, GAN.completer), []
    for row in range(len(x)):
        one, mask, number = small[row : row + 1], seen[row : row + 1], first + row
        if number % 2 == 0:
            key = Stream.UPSAMPLER_NOISE.key(0, number)
            noise = torch.from_numpy(philox(key).standard_normal(5, np.float32))[None]
            with torch.no_grad():
                one = given[row : row + 1]
                one = poisson_like(one, mask, completer(one, mask, noise))
        rng = philox(Stream.UPSAMPLER_SQUARES.key(0, number))
        missing = np.argwhere(known[row, 0].numpy() == 0)
        y, x_ = missing[rng.integers(len(missing))] + rng.integers(-4, 5, 2)
        y, x_ = (min(max(v - 8, 0), 16) // 8 * 8 for v in (y, x_))
        half = one[0, :, y // 2 : y // 2 + 8, x_ // 2 : x_ // 2 + 8]
        parts.append((half, x[row, :, y : y + 16, x_ : x_ + 16], known[row, :, y : y + 16, x_ : x_ + 16]))
    return tuple(list(one) for one in zip(*parts, strict=True))


def test_a_step_is_that_of_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    # In doubles throughout: without a memory of the gradient Adam's step is its sign, and a rounding error may turn it.
    monkeypatch.setattr(torch.Tensor, "float", lambda tensor: tensor.double())
    ours = trainer(images_seen=400, average_half_life=8)
    for network in (ours.g.network.double(), ours.g.averaged.double(), ours.d.network.double()):
        network.precision = torch.float64
    g, d = deepcopy(ours.g.network), deepcopy(ours.d.network)
    og, od = (torch.optim.Adam(part.parameters(), betas=(0.0, 0.98)) for part in (g, d))
    for i in range(2):
        rate = 2e-4 * (4 * i + 4) / 20  # it rises over a twentieth of the training
        og.param_groups[0]["lr"], od.param_groups[0]["lr"] = rate, 3 * rate
        told = ours.step(real(i).double())
        known = draw_known(32, range(4 * i, 4 * i + 4), 0, draw_hole, Stream.UPSAMPLER_HOLES).double()
        completed, x, known = (torch.stack(part) for part in squares(real(i).double(), known, 4 * i))
        hole = 1 - known
        share = F.avg_pool2d(hole, 8)
        share = share / share.sum((1, 2, 3), keepdim=True).clamp(min=1)
        drawn = g(completed, x, known)
        redrawn = x * known + drawn * hole

        def game(winner: Tensor, loser: Tensor, share: Tensor = share) -> Tensor:
            return (F.softplus(loser - winner) * share).sum((1, 2, 3)).mean()

        loss = game(d(x, known), d(redrawn.detach(), known))
        assert float(told["discriminator"]) == pytest.approx(loss.item(), rel=1e-6)
        if i % 2 == 0:
            for images in (x, redrawn):
                shown = images.detach().requires_grad_()
                (slope,) = torch.autograd.grad((d(shown, known) * share).sum(), shown, create_graph=True)
                loss = loss + 2 * 0.005 / 2 * slope.square().sum((1, 2, 3)).mean()
        od.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        od.step()
        adversarial = game(d(redrawn, known), d(x, known).detach())
        assert float(told["generator"]) == pytest.approx(adversarial.item(), rel=1e-6)
        loss = adversarial + 20 * ((x - drawn).abs() * known).mean() + grid_artefacts(drawn)
        for row in range(4):
            error, change = (x - drawn)[row], (halve(drawn) - completed)[row]
            if row % 2 == 0:  # a completion gives its lightness, and the picture the colours
                error, change = error - error.mean(0), change.mean(0)
            area = max(0.02, hole[row].mean().item())
            loss = loss + 20 / 4 * ((error.abs() * hole[row]).mean() / area + change.abs().mean())
        og.zero_grad()
        loss.backward()
        og.step()
    for mine, plain in ((ours.g.network, g), (ours.d.network, d)):
        torch.testing.assert_close(mine.state_dict(), plain.state_dict(), atol=1e-6, rtol=1e-4)


def test_stopped_and_continued_is_to_the_bit_as_never_stopped(
    tmp_path: Path, equal: Callable[[Any, Any], bool]
) -> None:
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    list(train_upsampler(GAN, DATA, straight, TRAIN, SPECIAL, RUN))
    for batches in (1, 2, 100):
        steps: Any = train_upsampler(GAN, DATA, stopped, TRAIN, SPECIAL, RUN)
        for _, progress in zip(range(batches), steps, strict=False):
            resumed = progress.resumed_from
        steps.close()
    assert resumed == 12
    assert equal(state(straight), state(stopped)) and state(straight)["images_seen"] == 24
    assert model_file.have_same_weights(straight / "model.safetensors", stopped / "model.safetensors")


def test_its_file_holds_the_model_as_it_was_and_the_upsampler(tmp_path: Path) -> None:
    told = list(train_upsampler(GAN, DATA, tmp_path, TRAIN, SPECIAL, RUN))
    assert {"hole", "known", "shrunk", "discriminator", "generator"} <= set(told[-1].losses)
    made = model_file.load(tmp_path / "model.safetensors")
    for name in ("generator", "discriminator", "completer"):
        before, after = (cast(nn.Module, getattr(gan, name)).state_dict() for gan in (GAN, made))
        assert all(torch.equal(tensor, before[at]) for at, tensor in after.items())
    assert isinstance(made.upsampler, Upsampler)
    for name, tensor in made.upsampler.state_dict().items():
        assert torch.equal(tensor, state(tmp_path)["averaged"][name]), name
    assert made.about["images_seen"] == 7 and made.about["upsampler"]["images_seen"] == 24
    columns, *rows = (tmp_path / "metrics.csv").read_text().splitlines()
    last = dict(zip(columns.split(","), rows[-1].split(","), strict=True))
    assert float(last["detail_center"]) >= 0 and len(list((tmp_path / "samples").iterdir())) == 2
    assert not (tmp_path / "best.safetensors").exists()  # there is no score: a PSNR would choose the softest

    list(train_upsampler(made, DATA, tmp_path / "on", replace(TRAIN, images_seen=4, learning_rate=1e-12), SPECIAL, RUN))
    on = model_file.load(tmp_path / "on" / "model.safetensors").upsampler
    assert isinstance(on, Upsampler)  # it went on from there
    torch.testing.assert_close(on.state_dict(), made.upsampler.state_dict(), atol=1e-9, rtol=0)


def test_edges_of_drawn_shapes_become_sharp_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("latentfill.training.upsampler._complete", lambda completer, images, *_: halve(images))
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:32, :32]
    pixels = np.empty((64, 32, 32, 3), np.uint8)
    for picture in pixels:
        x, y, radius = rng.uniform(8, 24), rng.uniform(8, 24), rng.uniform(4, 12)
        inside = np.hypot(columns - x, rows - y) < radius
        picture[:] = np.where(inside[..., None], rng.integers(0, 90, 3), rng.integers(160, 256, 3))
    data = Dataset(pixels, [str(i) for i in range(64)], [])
    ours = trainer(images_seen=2400, batch_size=16, learning_rate=1e-3, average_half_life=200, penalty_every=16)
    for i in range(150):
        ours.step(data.batch(16 * i, 16, seed=0, flip=False))
    images, known = batch_to_images(pixels[:16]), draw_known(32, range(16), 0, "center")
    with torch.no_grad():
        drawn = ours.g.averaged(halve(images), images, known)
    before, after = (detail(one, 1 - known) / detail(images, 1 - known) for one in (double(halve(images)), drawn))
    assert before < 0.2 and 0.4 < after < 1.5
    assert (halve(drawn) - halve(images)).abs().mean() < 0.03  # without a change of what was completed


def test_what_cannot_have_an_upsampler_is_told_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="only a model with a completer") as told:
        list(train_upsampler(replace(GAN, completer=None), DATA, tmp_path, TRAIN, SPECIAL, RUN))
    assert "--kind completer" in str(told.value.cure)
    large = replace(GAN, network=replace(NETWORK, size=256))
    with pytest.raises(ModelError, match="pictures of 512 pixels"):
        list(train_upsampler(large, DATA, tmp_path, TRAIN, SPECIAL, RUN))
    with pytest.raises(LatentfillError, match="an upsampler is"):
        list(train_upsampler(GAN, DATA, tmp_path, replace(TRAIN, label_smoothing=0.1), SPECIAL, RUN))
