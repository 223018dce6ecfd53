"""Training a completer: against a plain loop, interrupted, and as a run with its files."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentfill.errors import LatentfillError, ModelError, RunError
from latentfill.evaluation.training_scores import CompleterScorer
from latentfill.gan import model_file
from latentfill.gan.completer import ResidualCompleter, build_completer
from latentfill.gan.gan import Gan
from latentfill.images.blending import poisson_like
from latentfill.images.pixels import batch_to_images
from latentfill.options import TRAIN_KINDS, NetworkOptions, RunOptions
from latentfill.options.training import EncoderOptions
from latentfill.runs import checkpoints
from latentfill.runs.data import Dataset
from latentfill.runs.holes import draw_known
from latentfill.runs.interfaces import TrainingContext
from latentfill.seeds import Stream, philox
from latentfill.training.completer import CompleterTrainer, draw_hole, train_completer

NETWORK = NetworkOptions(size=8, networks="residual", latent=5, prior="normal")
GAN = model_file.build(NETWORK, 3)
GAN = replace(GAN, encoder=model_file.build_residual_encoder(NETWORK, seed=4), about={"images_seen": 7})
TRAIN = replace(TRAIN_KINDS["completer"], images_seen=24, batch_size=4, precision="fp32", penalty_every=2)
RUN = RunOptions(sample_every=12, checkpoint_every=10**6, log_every=4, device="cpu", score_every=12)
PIXELS = np.random.Generator(np.random.Philox(key=1)).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
DATA = Dataset(PIXELS, [str(i) for i in range(40)], [])
SPECIAL = EncoderOptions(held_out=4)
LENT = TrainingContext(scorer=CompleterScorer())


def trainer(gan: Gan = GAN, **more: Any) -> CompleterTrainer:
    return CompleterTrainer(gan, build_completer(gan), replace(TRAIN, **more), draw_hole, batch_to_images(PIXELS[:4]))


def real(i: int) -> Tensor:
    return DATA.batch(4 * i, 4, seed=0, flip=False)


def state(folder: Path) -> dict[str, Any]:
    found, _ = checkpoints.read_newest(folder / "checkpoints")
    assert found
    return found


def test_it_begins_as_the_encoder_and_g() -> None:
    gan = deepcopy(GAN)
    begun = trainer(gan)
    known = draw_known(8, range(4), 0)
    for network in (gan.encoder, gan.generator):
        cast(nn.Module, network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert gan.encoder
    with torch.no_grad():
        assert torch.equal(begun.averaged(real(0), known), gan.generator(gan.encoder(real(0), known)))
        assert torch.equal(begun.completer(real(0), known), begun.averaged(real(0), known))
        judged = begun.completer.judge(real(0), known)
    torch.testing.assert_close(judged, gan.discriminator(real(0)), atol=1e-5, rtol=1e-4)


def test_a_step_is_that_of_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    # In doubles throughout: without a memory of the gradient Adam's step is its sign, and a rounding error may turn it.
    monkeypatch.setattr(torch.Tensor, "float", lambda tensor: tensor.double())
    ours = trainer(images_seen=400, average_half_life=8)
    for network in (ours.completer.double(), ours.averaged.double()):
        network.precision = torch.float64
    c = deepcopy(ours.completer)
    c.requires_grad_(True)
    drawing = [p for name, p in c.named_parameters() if not name.startswith("critic.")]
    og, od = (torch.optim.Adam(p, betas=(0.0, 0.98)) for p in (drawing, list(c.critic.parameters())))
    average = [p.detach().clone() for p in drawing]
    for i in range(3):
        rate = 6e-5 * (4 * i + 4) / 20  # it rises over a twentieth of the training
        og.param_groups[0]["lr"], od.param_groups[0]["lr"] = rate, 2 * rate
        x = real(i).double()
        told = ours.step(x)
        known = draw_known(8, range(4 * i, 4 * i + 4), 0, draw_hole, Stream.COMPLETER_HOLES).double()
        condition = c.encode(x, known)
        drawn, completed = [], []
        for again in range(2):
            keys = [Stream.COMPLETER_NOISE.key(0, 2 * n + again) for n in range(4 * i, 4 * i + 4)]
            noise = torch.from_numpy(np.stack([philox(k).standard_normal(5, np.float32) for k in keys]))
            drawn.append(c.draw(c.latents(condition, noise), condition))
            completed.append(poisson_like(x, known, drawn[-1]))
        loss = F.softplus(c.judge(completed[0].detach(), known) - c.judge(x, known)).mean()
        assert float(told["discriminator"]) == pytest.approx(loss.item(), rel=1e-6)
        if i % 2 == 0:
            for images in (x, completed[0].detach()):
                shown = torch.cat([images, 1 - known], 1).requires_grad_()
                (slope,) = torch.autograd.grad(c.critic(shown).sum(), shown, create_graph=True)
                loss = loss + 2 * 0.05 / 2 * slope.square().sum((1, 2, 3)).mean()
        od.zero_grad()
        loss.backward()
        od.step()
        on_fake = torch.cat([c.judge(one, known) for one in completed])
        loss = F.softplus(c.judge(x, known).detach().repeat(2) - on_fake).mean()
        hole, (a, b) = 1 - known, completed
        area = hole.mean((1, 2, 3)).clamp(min=0.02)
        loss = loss + 0.5 * (((x - (a + b) / 2).abs() * hole).mean((1, 2, 3)) / area).mean()
        for one in completed:  # an error of lightness, the same in all channels, costs nothing here
            chroma = (x - x.mean(1, keepdim=True)) - (one - one.mean(1, keepdim=True))
            loss = loss + 5 / 2 * ((chroma.abs() * hole).mean((1, 2, 3)) / area).mean()
        loss = loss - 0.5 * 0.43 * (((a - b).abs() * hole).mean((1, 2, 3)) / area).mean()
        near = known * (0.5 + 3 * F.avg_pool2d(hole, 15, 1, 7))
        loss = loss + 0.5 * (((x - drawn[0]).abs() * near).mean() + ((x - drawn[1]).abs() * near).mean()) / 2
        for one in drawn:  # the pattern of every second pixel, with the mean taken away around it
            fine = one - F.avg_pool2d(one, 3, 1, 1, count_include_pad=False)
            signs = 1 - 2 * (torch.arange(8) % 2)
            for pattern in (signs[None, :], signs[:, None], signs[None, :] * signs[:, None]):
                loss = loss + 5 * (fine * pattern).mean((2, 3)).abs().mean() / 2
        og.zero_grad()
        loss.backward()
        og.step()
        kept = 0.5 ** (4 / min(8, 0.05 * (4 * i + 4)))
        average = [kept * one + (1 - kept) * now.detach() for one, now in zip(average, drawing, strict=True)]
    for name, tensor in c.state_dict().items():
        torch.testing.assert_close(ours.completer.state_dict()[name], tensor, atol=1e-6, rtol=1e-4, msg=name)
    averaged = [p for name, p in ours.averaged.named_parameters() if not name.startswith("critic.")]
    torch.testing.assert_close(averaged, average, atol=1e-6, rtol=1e-4)


def test_known_pixels_stay_and_two_completions_differ_in_the_hole_alone() -> None:
    ours = trainer()
    known = draw_known(8, range(4), 0, draw_hole, Stream.COMPLETER_HOLES)
    for i in range(2):
        ours.step(real(i))
    with torch.no_grad():
        _, completed = ours._complete(real(0), known, range(4))
    one, other = completed.chunk(2)
    kept = known.expand_as(one) == 1
    for completion in (one, other):
        assert torch.equal(completion[kept], real(0)[kept])
    assert all(bool((a[~k] != b[~k]).any()) for a, b, k in zip(one, other, kept, strict=True))


def test_holes_are_of_all_kinds_and_parts_of_faces_only_where_there_are_faces() -> None:
    holes, faces = (
        1 - draw_known(32, range(300), 0, partial(draw_hole, margin=margin), Stream.COMPLETER_HOLES)
        for margin in (None, 1.0)
    )
    assert bool((holes.sum((1, 2, 3)) > 0).all()) and bool((faces.sum((1, 2, 3)) > 0).all())
    changed = [n for n in range(300) if not torch.equal(holes[n], faces[n])]
    assert 30 < len(changed) < 80  # 18 %
    wide = 1 - draw_known(32, changed, 0, partial(draw_hole, margin=2.0), Stream.COMPLETER_HOLES)
    areas = [some.sum((1, 2, 3)).median() for some in (wide, faces[changed])]
    assert areas[0] < 0.4 * areas[1]  # the same parts of smaller faces
    assert len({hole.numpy().tobytes() for hole in holes}) > 200


def test_stopped_and_continued_is_to_the_bit_as_never_stopped(
    tmp_path: Path, equal: Callable[[Any, Any], bool]
) -> None:
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    list(train_completer(GAN, DATA, straight, TRAIN, SPECIAL, RUN, LENT))
    for batches in (1, 2, 100):
        steps: Any = train_completer(GAN, DATA, stopped, TRAIN, SPECIAL, RUN, LENT)
        for _, progress in zip(range(batches), steps, strict=False):
            resumed = progress.resumed_from
        steps.close()
    assert resumed == 12
    assert equal(state(straight), state(stopped)) and state(straight)["images_seen"] == 24
    assert model_file.have_same_weights(straight / "model.safetensors", stopped / "model.safetensors")


def test_its_file_holds_the_gan_as_it_was_and_the_completer(tmp_path: Path, equal: Callable[[Any, Any], bool]) -> None:
    told = list(train_completer(GAN, DATA, tmp_path, TRAIN, SPECIAL, RUN, LENT))
    assert {"hole", "known", "difference", "discriminator", "generator"} <= set(told[-1].losses)
    made = model_file.load(tmp_path / "model.safetensors")
    for name in ("generator", "discriminator", "encoder"):
        before, after = (cast(nn.Module, getattr(gan, name)).state_dict() for gan in (GAN, made))
        assert all(torch.equal(tensor, before[at]) for at, tensor in after.items())
    assert isinstance(made.completer, ResidualCompleter)
    for name, tensor in made.completer.state_dict().items():
        assert torch.equal(tensor, state(tmp_path)["averaged"][name]), name
    assert made.about["images_seen"] == 7 and made.about["completer"]["images_seen"] == 24
    assert made.about["completer"]["pictures"] == 36

    columns, *rows = (tmp_path / "metrics.csv").read_text().splitlines()
    last = dict(zip(columns.split(","), rows[-1].split(","), strict=True))
    assert float(last["psnr_half"]) > 5 and float(last["detail_center"]) > 0 and float(last["frechet_half"]) > 0
    best = model_file.read_about(tmp_path / "best.safetensors")
    scores = [dict(zip(columns.split(","), row.split(","), strict=True)) for row in rows]
    distances = [float(s["frechet_center"]) + float(s["frechet_half"]) for s in scores if s["frechet_half"]]
    assert len(distances) == 2 and best["score"] == pytest.approx(-min(distances), rel=1e-5)


def test_it_goes_on_from_the_completer_of_its_model(tmp_path: Path) -> None:
    list(train_completer(GAN, DATA, tmp_path / "a", TRAIN, SPECIAL, RUN))
    begun = model_file.load(tmp_path / "a" / "model.safetensors")
    list(train_completer(begun, DATA, tmp_path / "b", replace(TRAIN, images_seen=4, learning_rate=1e-12), SPECIAL, RUN))
    made = model_file.load(tmp_path / "b" / "model.safetensors")
    images, known = real(0), draw_known(8, range(4), 0)
    assert isinstance(made.completer, ResidualCompleter) and isinstance(begun.completer, ResidualCompleter)
    torch.testing.assert_close(made.completer(images, known), begun.completer(images, known), atol=1e-5, rtol=0)
    fresh = build_completer(GAN)
    assert not torch.allclose(made.completer(images, known), fresh(images, known), atol=1e-4)


def test_what_it_cannot_begin_with_or_listen_to_is_said(tmp_path: Path) -> None:
    dcgan = model_file.build(NetworkOptions(size=8, base=2, latent=5))
    told = model_file.build(replace(NETWORK, classes=2))
    for gan in (dcgan, told):
        with pytest.raises(ModelError, match="residual networks and without classes"):
            next(train_completer(gan, DATA, tmp_path, TRAIN))
    with pytest.raises(LatentfillError, match="a completer is trained without --history"):
        next(train_completer(GAN, DATA, tmp_path, replace(TRAIN, history=0.1)))
    assert not list(tmp_path.iterdir())
    list(train_completer(GAN, DATA, tmp_path, TRAIN, SPECIAL, RUN))
    with pytest.raises(RunError, match=r"begun with generator '[0-9a-f]{16}', now"):
        list(train_completer(model_file.build(NETWORK, 4), DATA, tmp_path, TRAIN, SPECIAL, RUN))


def discs(count: int, seed: int) -> Any:
    """Light discs of a colour on dark grounds of another: [n, 16, 16, 3]."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    y, x = np.mgrid[:16, :16] + 0.5
    centre, radius = rng.uniform(5, 11, (2, count, 1, 1)), rng.uniform(3, 5, (count, 1, 1))
    inside = np.clip(radius - np.hypot(y - centre[0], x - centre[1]) + 0.5, 0, 1)[..., None]
    light, dark = rng.uniform(150, 240, (count, 1, 1, 3)), rng.uniform(15, 100, (count, 1, 1, 3))
    return np.round(light * inside + dark * (1 - inside)).astype(np.uint8)


def test_it_learns_to_complete_drawn_shapes_with_their_detail() -> None:
    gan = model_file.build(replace(NETWORK, size=16, latent=16), 1)
    options = replace(
        TRAIN, images_seen=2400, batch_size=8, learning_rate=1e-3, penalty_every=16, average_half_life=200
    )
    unseen, data = batch_to_images(discs(64, 2)), Dataset(discs(512, 1), [str(i) for i in range(512)], [])
    ours = CompleterTrainer(gan, build_completer(gan, 1), options, draw_hole, unseen)
    before = ours.summary({}).scores
    while ours.images_seen < 640:
        ours.step(data.batch(ours.images_seen, 8, seed=0, flip=True))
    after = ours.summary({}).scores
    for hole in ("center", "half"):  # 0.5 to 0.8 of the originals' detail, from 0.1
        assert before[f"detail_{hole}"] < 0.2 and 0.4 < after[f"detail_{hole}"] < 1.5
        assert after[f"psnr_{hole}"] > before[f"psnr_{hole}"] + 0.5  # by 1 and 4 dB
