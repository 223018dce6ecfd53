"""Training an encoder, and a context encoder: the same run, another trainer."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from latentfill.errors import DataError, HoleError, ModelError, RunError
from latentfill.gan import model_file
from latentfill.gan.encoder import ContextEncoder, DcganEncoder, ResidualEncoder
from latentfill.gan.gan import Gan
from latentfill.gan.model_file import load
from latentfill.options import REGRESSION, NetworkOptions, RunOptions, TrainOptions
from latentfill.options.training import ContextOptions, EncoderOptions
from latentfill.runs import checkpoints
from latentfill.runs import holes as completions
from latentfill.runs.data import Dataset
from latentfill.runs.holes import draw_known, psnr
from latentfill.runs.logs import Progress
from latentfill.training import optimiser
from latentfill.training.context_encoder import ContextTrainer, train_context
from latentfill.training.encoder import EncoderTrainer, split, train_encoder

NETWORK = NetworkOptions(size=8, base=2, latent=3)
CONTEXT = ContextOptions(size=8, base=2)
TRAIN = replace(REGRESSION, images_seen=24, batch_size=4, precision="fp32")
RUN = RunOptions(sample_every=10**6, checkpoint_every=10**6, log_every=10**6, device="cpu")
SPECIAL = EncoderOptions(encoder_base=2, encoder_hidden=6, held_out=2)
PIXELS = np.random.Generator(np.random.Philox(key=1)).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
DATA = Dataset(PIXELS, [str(i) for i in range(20)], [], {"margin": 2.0})
GAN = model_file.build(NETWORK, 3)
GAN = replace(GAN, about={"images_seen": 7, "alignment": {"margin": 1.0}})

Go = Callable[..., list[Progress]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer images for the statistics."""
    original = optimiser.frozen_average
    monkeypatch.setattr(completions, "GROUP", 8)
    monkeypatch.setattr(optimiser, "STATISTICS_BATCH", 8)
    for module in ("encoder", "context_encoder"):
        fewer: Any = lambda trained, batch, images: original(trained, batch, min(images, 16))  # noqa: E731
        monkeypatch.setattr(f"latentfill.training.{module}.frozen_average", fewer)


def encoder(folder: Path, options: TrainOptions = TRAIN, run: RunOptions = RUN, **more: Any) -> Any:
    data, gan = more.pop("data", DATA), more.pop("gan", GAN)
    return train_encoder(gan, data, folder, options, replace(SPECIAL, **more), run)


def context(folder: Path, options: TrainOptions = TRAIN, run: RunOptions = RUN, **more: Any) -> Any:
    data, network = more.pop("data", DATA), more.pop("network", CONTEXT)
    return train_context(data, folder, network, options, replace(SPECIAL, **more), run)


def state(folder: Path) -> dict[str, Any]:
    found, _ = checkpoints.read_newest(folder / "checkpoints")
    assert found
    return found


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "images_per_second"} for row in csv.DictReader(file)]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("go", [encoder, lambda *a, **k: encoder(*a, data=None, **k), context])
def test_stopped_and_continued_is_to_the_bit_as_never_stopped(
    tmp_path: Path, equal: Any, go: Any, precision: Any
) -> None:
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    options, run = replace(TRAIN, precision=precision, average_half_life=8), replace(RUN, log_every=4, sample_every=12)
    list(go(straight, options, run))
    for batches in (1, 2, 100):
        steps = go(stopped, options, run)
        for _, progress in zip(range(batches), steps, strict=False):
            resumed = progress.resumed_from
        steps.close()
    assert resumed == 12
    assert equal(state(straight), state(stopped)) and state(straight)["images_seen"] == 24
    assert rows(straight) == rows(stopped) and len(rows(straight)) == 6
    files = [(folder / "model.safetensors").read_bytes() for folder in (straight, stopped)]
    assert len(files[0]) == len(files[1]) and files[0][-2000:] == files[1][-2000:]  # the header has the date


def test_an_encoders_model_file_holds_all_three_and_the_gan_is_as_it_was(tmp_path: Path, equal: Any) -> None:
    before = {name: t.clone() for name, t in GAN.generator.state_dict().items()}  # type: ignore[attr-defined]
    told = list(encoder(tmp_path))
    assert {"image", "hole", "latent"} <= set(told[-1].losses)
    back = model_file.load(tmp_path / "model.safetensors")
    assert isinstance(back.encoder, DcganEncoder) and back.encoder.base == 2 and back.network == NETWORK
    for after in (back.generator, GAN.generator):
        assert isinstance(after, torch.nn.Module)
        numbers = {name: t for name, t in after.state_dict().items() if t.is_floating_point()}
        assert equal(numbers, {name: before[name] for name in numbers})
    about = dict(back.about)
    assert about["images_seen"] == 7 and about["alignment"] == {"margin": 1.0}  # the generator's own
    made = about["encoder"]
    assert made["images_seen"] == 24 and made["pictures"] == 18 and made["options"]["real_share"] == 0.7
    assert list(tmp_path.glob("*.safetensors")) == [tmp_path / "model.safetensors"]
    assert json.loads((tmp_path / "options.json").read_text())["kind"] == "encoder"


def test_a_context_encoder_has_a_file_of_its_own_kind(tmp_path: Path) -> None:
    list(context(tmp_path, skips=False))
    path = tmp_path / "model.safetensors"
    back = model_file.load_context(path)
    assert isinstance(back, ContextEncoder) and back.network == CONTEXT
    assert (
        back.about["images_seen"] == 24 and back.about["pictures"] == 18 and back.about["alignment"] == {"margin": 2.0}
    )
    with pytest.raises(ModelError, match="a context encoder, not a GAN"):
        model_file.load(path)
    list(encoder(tmp_path / "other"))
    with pytest.raises(ModelError, match="not a context encoder"):
        model_file.load_context(tmp_path / "other" / "model.safetensors")


@pytest.mark.parametrize("go", [encoder, context])
def test_held_out_pictures_are_judged_shown_and_never_learnt_from(tmp_path: Path, go: Any) -> None:
    list(go(tmp_path / "a", run=replace(RUN, log_every=8, sample_every=12)))
    told = [row["psnr_center"] for row in rows(tmp_path / "a")]
    assert told[0] == "" and all(5 < float(score) < 30 for score in told[1:])  # at 8; at 16 what was judged at 12; 24
    sheet = np.asarray(Image.open(tmp_path / "a" / "samples" / "0000000024.png"))
    assert sheet.shape == (72, 64, 3)
    np.testing.assert_array_equal(sheet[:8, :8], PIXELS[18])
    other = PIXELS.copy()
    other[18:] = 0
    list(go(tmp_path / "b", data=replace(DATA, pixels=other)))
    same = [state(tmp_path / run)["network"] for run in "ab"]
    assert all(torch.equal(x, y) for x, y in zip(*(s.values() for s in same), strict=True))
    assert split(DATA, 50)[1].shape[0] == 2 and len(split(DATA, 0)[0]) == 20  # type: ignore[union-attr, arg-type]


def test_without_pictures_an_encoder_learns_from_samples_and_is_judged_on_others(tmp_path: Path) -> None:
    list(encoder(tmp_path, data=None, run=replace(RUN, sample_every=12)))
    assert float(rows(tmp_path)[-1]["psnr_half"]) > 5 and float(rows(tmp_path)[-1]["latent_mse"]) > 0
    assert model_file.load(tmp_path / "model.safetensors").about["encoder"]["pictures"] == 0


def test_a_step_is_the_loss_that_the_docstring_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = encoder_trainer(real_share=0.5, latent_weight=0.15)
    real = DATA.batch(0, 2, seed=0, flip=False)
    known = draw_known(8, range(4), 0)
    z0 = GAN.generator.prior.sample([(20 << 64) + n for n in (2, 3)])
    images = torch.cat([real, GAN.generator(z0)])
    z = trainer.encoder.network(images, known)
    error = (GAN.generator(z) - images).abs()
    hole = (1 - known).expand_as(error)
    learnt = []
    catch: Any = lambda trained, options, loss, seen: learnt.append((loss.item(), seen))  # noqa: E731
    monkeypatch.setattr("latentfill.training.encoder.descend_alone", catch)
    values = trainer.step(real)
    assert learnt == [(pytest.approx(float(values["image"] + values["hole"] + 0.15 * values["latent"])), 0)]
    torch.testing.assert_close(values["image"], error.mean(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(values["hole"], (error * hole).sum() / hole.sum(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(values["latent"], (z[2:] - z0).square().mean(), atol=1e-5, rtol=1e-4)


def encoder_trainer(data: Dataset | None = DATA, options: TrainOptions = TRAIN, **more: Any) -> EncoderTrainer:
    fresh = model_file.build_encoder(GAN.network, 2, 6)
    return EncoderTrainer(GAN, fresh, options, replace(SPECIAL, **more), data)


def test_an_encoder_finds_the_latents_of_its_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator that is lively enough to be inverted: its weights scaled up."""
    monkeypatch.setattr(optimiser, "WARM_UP", 1)
    generator, discriminator = model_file.build_networks(replace(NETWORK, base=4), 1)
    for parameter in generator.parameters():
        parameter.data.mul_(8 if parameter.dim() > 1 else 1)
    gan = Gan(generator.requires_grad_(False).eval(), discriminator, replace(NETWORK, base=4))
    fresh = model_file.build_encoder(gan.network, 8, 32)
    options = replace(TRAIN, images_seen=10**6, batch_size=32, learning_rate=5e-3)
    trainer = EncoderTrainer(gan, fresh, options, replace(SPECIAL, hole="random:0.3"))
    none = torch.empty(0, 0, 0, 0)
    first, *_, last = [float(trainer.step(none)["hole"]) for _ in range(80)]
    assert last < 0.55 * first
    scores = trainer.summary({}).scores
    assert scores["psnr_half"] > 12


def context_trainer(options: TrainOptions = TRAIN, network: ContextOptions = CONTEXT, **more: Any) -> ContextTrainer:
    module = model_file.build_context_module(network)
    discriminator = model_file.build_networks(NetworkOptions(size=8, base=2))[1]
    return ContextTrainer(
        module, discriminator, network, options, replace(SPECIAL, **more), DATA, torch.empty(0, 0, 0, 0)
    )


@pytest.mark.parametrize("skips", [False, True])
def test_a_context_encoder_learns_to_complete(skips: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A toy world of flat colours: what is known tells all."""
    monkeypatch.setattr(optimiser, "WARM_UP", 1)
    network = ContextOptions(size=8, base=4, skips=skips)
    options = replace(TRAIN, images_seen=10**6, learning_rate=1e-2)
    trainer = context_trainer(options, network, hole="center")
    for step in range(80):
        rng = torch.Generator().manual_seed(step)
        flat = (torch.rand(16, 3, 1, 1, generator=rng) * 1.6 - 0.8).expand(16, 3, 8, 8).contiguous()
        values = trainer.step(flat)
    assert values["hole"] < 0.05 and values["discriminator"].isfinite().all()
    module = trainer.module.network.eval()
    known = draw_known(8, range(16), 9, "center")
    made = ContextEncoder(module, network).predict(flat, known)
    assert made.shape == flat.shape and not made.requires_grad
    assert psnr(made, flat, 1 - known).mean() > 14


def test_known_pixels_around_the_hole_count_ten_times_where_that_is_asked_for() -> None:
    known = draw_known(8, range(1), 0, "center")
    weights = context_trainer(border=1)._weights(known)[0, 0]
    assert (weights[2:6, 2:6] == 1).all() and (weights[1, 1:7] == 10).all() and (weights[0] == 0).all()
    assert torch.equal(context_trainer()._weights(known), 1 - known)


def test_a_step_weighs_the_error_in_the_hole_against_the_adversary(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, real = context_trainer(adversarial=0.25), DATA.batch(0, 4, seed=0, flip=False)
    known = draw_known(8, range(4), 0)
    hole = (1 - known).expand_as(real)
    error = (((trainer.module.network(real, known) - real) ** 2) * hole).sum() / hole.sum()
    learnt = []
    catch: Any = lambda trained, options, loss, seen: learnt.append((loss.item(), seen))  # noqa: E731
    monkeypatch.setattr("latentfill.training.context_encoder.descend_alone", catch)
    values = trainer.step(real)
    torch.testing.assert_close(values["hole"], error.detach(), atol=1e-5, rtol=1e-4)
    assert learnt == [(pytest.approx(float(0.75 * values["hole"] + 0.25 * values["adversarial"].mean())), 0)]
    assert trainer.images_seen == 4


def test_without_an_adversary_the_discriminator_rests() -> None:
    trainer = context_trainer(adversarial=0.0)
    before = [p.clone() for p in trainer.discriminator.network.parameters()]
    values = trainer.step(DATA.batch(0, 4, seed=0, flip=False))
    assert values["adversarial"] == 0
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.discriminator.network.parameters(), strict=True))
    both = context_trainer(adversarial=0.5)
    before = [p.clone() for p in both.discriminator.network.parameters()]
    both.step(DATA.batch(0, 4, seed=0, flip=False))
    assert any(not torch.equal(a, b) for a, b in zip(before, both.discriminator.network.parameters(), strict=True))
    assert all(p.grad is None for p in both.discriminator.network.parameters())


@pytest.mark.parametrize("make", [encoder_trainer, context_trainer])
def test_a_number_that_is_none_is_noticed(make: Any) -> None:
    trainer = make()
    assert trainer.is_finite()
    next(trainer.networks[0].averaged.parameters()).data[0] = float("inf")
    assert not trainer.is_finite()


def test_training_that_breaks_down_stops_and_is_never_saved(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"broke down .* nothing was saved"):
        list(encoder(tmp_path / "e", replace(TRAIN, learning_rate=1e39)))
    with pytest.raises(RunError, match=r"broke down .* nothing was saved"):
        list(context(tmp_path / "c", replace(TRAIN, learning_rate=1e39)))
    assert not list(tmp_path.rglob("*.safetensors"))


def test_another_kind_another_generator_or_another_stream_does_not_continue_a_run(tmp_path: Path) -> None:
    list(encoder(tmp_path))
    for go, said in (
        (lambda: context(tmp_path), "begun with kind 'encoder', now 'context-encoder'"),
        (lambda: encoder(tmp_path, gan=model_file.build(NETWORK, 4)), "begun with generator '[0-9a-f]{16}', now"),
        (lambda: encoder(tmp_path, hole="center"), "begun with hole 'all', now 'center'"),
        (lambda: encoder(tmp_path, replace(TRAIN, seed=1)), "begun with seed 0, now 1"),
    ):
        with pytest.raises(RunError, match=said):
            list(go())


def test_options_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="real_share"):
        next(encoder(tmp_path, real_share=1.5))
    with pytest.raises(ValueError, match="epochs are counted in pictures"):
        next(encoder(tmp_path, replace(TRAIN, epochs=1.0), data=None))
    with pytest.raises(ValueError, match="16x16x3 expected, not 8x8x3"):
        next(context(tmp_path, network=replace(CONTEXT, size=16)))
    with pytest.raises(HoleError, match="nothing can be learnt"):
        next(context(tmp_path, hole="full"))
    with pytest.raises(DataError, match=r"18 pictures are fewer than one batch of 22\n.* --batch-size 26"):
        next(encoder(tmp_path, replace(TRAIN, batch_size=32)))
    assert not list(tmp_path.iterdir())


def test_epochs_count_pictures_not_samples(tmp_path: Path) -> None:
    told = list(encoder(tmp_path, replace(TRAIN, epochs=1.0), real_share=0.5))
    assert told[0].total == 36  # 18 pictures, two in each batch of four


def test_an_encoder_that_has_learnt_beside_the_game_goes_on_by_itself(tmp_path: Path) -> None:
    network = NetworkOptions(size=8, networks="residual", latent=3, prior="normal")
    gan = replace(model_file.build(network, 3), encoder=model_file.build_residual_encoder(network, seed=5).eval())
    list(train_encoder(gan, None, tmp_path, replace(TRAIN, images_seen=4, learning_rate=1e-12), SPECIAL, RUN))
    made = load(tmp_path / "model.safetensors").encoder
    images, known = torch.zeros(1, 3, 8, 8), torch.ones(1, 1, 8, 8)
    assert isinstance(made, ResidualEncoder) and gan.encoder
    torch.testing.assert_close(made(images, known), gan.encoder(images, known), atol=1e-4, rtol=0)
