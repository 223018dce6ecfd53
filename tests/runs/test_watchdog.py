"""The watchdog in a run: four staged failures, each noticed, told and gone back from."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from latentfill.errors import RunError
from latentfill.options import NetworkOptions, RunOptions, TrainOptions
from latentfill.runs import checkpoints, watchdog
from latentfill.runs.data import Dataset
from latentfill.runs.logs import Progress
from latentfill.runs.watchdog import Limits, Watchdog
from latentfill.training.gan_run import train
from latentfill.training.trainer import GanTrainer

NETWORK = NetworkOptions(size=8, base=2, latent=3)
TRAIN = TrainOptions(images_seen=64, batch_size=4, precision="fp32")
RUN = RunOptions(sample_every=4, checkpoint_every=8, log_every=4, keep_checkpoints=1, score_every=0, device="cpu")
PIXELS = np.random.Generator(np.random.Philox(key=1)).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
DATA = Dataset(PIXELS, [str(i) for i in range(20)], [])
Fail = Callable[[GanTrainer, dict[str, torch.Tensor]], None]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Concluded at once, but not what 64 images of noise are bound to look like: samples that all are grey."""
    monkeypatch.setattr(watchdog, "LIMITS", Limits(youth=0, strikes=2, spread=1e-6, twins=1e-6, astray=0.6, blind=0.0))


def go(folder: Path, run: RunOptions = RUN, **options: Any) -> list[Progress]:
    return list(train(DATA, folder, NETWORK, replace(TRAIN, **options), run))


def told(folder: Path) -> list[dict[str, Any]]:
    path = folder / "warnings.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def state(folder: Path) -> dict[str, Any]:
    found, _ = checkpoints.read_newest(folder / "checkpoints")
    assert found
    return found


def stage(monkeypatch: pytest.MonkeyPatch, fail: Fail, until: float = 2e-4) -> None:
    """From 24 images on a training fails, as long as its learning rate is `until` or more."""
    original = GanTrainer.step

    def step(self: GanTrainer, real: torch.Tensor) -> dict[str, torch.Tensor]:
        values = original(self, real)
        if self.images_seen >= 24 and self.options.learning_rate >= until:
            fail(self, values)
        return values

    monkeypatch.setattr(GanTrainer, "step", step)


def collapse(trainer: GanTrainer, values: dict[str, torch.Tensor]) -> None:
    for network in (trainer.generator, trainer.averaged):
        for parameter in network.parameters():
            parameter.data.zero_()


def stray(trainer: GanTrainer, values: dict[str, torch.Tensor]) -> None:
    """Samples go on to differ, but are of another colour than the pictures, and D is right without being sure."""
    *_, weight, bias = trainer.averaged.parameters()
    weight.data.normal_(std=0.2, generator=torch.Generator().manual_seed(0))
    bias.data[:] = torch.tensor([2.0, 2.0, -2.0])
    values["real"], values["fake"] = torch.full((4,), 5.0), torch.full((4,), -5.0)


def saturate(trainer: GanTrainer, values: dict[str, torch.Tensor]) -> None:
    values["real"], values["fake"] = torch.full((4,), 30.0), torch.full((4,), -30.0)


def spoil(trainer: GanTrainer, values: dict[str, torch.Tensor]) -> None:
    trainer.averaged.project.get_parameter("bias").data.fill_(float("nan"))


FAILURES: dict[str, tuple[Fail, int, str]] = {
    "collapse": (collapse, 28, "all samples of G look alike: on average they differ by 0.0%"),
    "astray": (stray, 28, "samples of G look like no training picture"),
    "saturation": (saturate, 28, "its logits are 60.0 apart, and G learns nothing"),
    "numbers": (spoil, 24, "no longer finite numbers"),
}


@pytest.mark.parametrize("trouble", FAILURES)
def test_a_failure_is_noticed_told_and_gone_back_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    fail, when, saw = FAILURES[trouble]
    stage(monkeypatch, fail)
    steps = go(tmp_path)
    (one,) = told(tmp_path)
    assert (one["images_seen"], one["trouble"]) == (when, trouble) and saw in one["saw"]
    assert one["done"] == "back to 16 images, the learning rate is halved to 0.0001"
    assert isinstance(one["measured"], float) and isinstance(one["limit"], float)
    (line,) = [line for step in steps for line in step.messages]
    assert line.startswith(f"at {when} images: ") and "back to 16 images" in line
    seen = [step.images_seen for step in steps]
    assert seen[seen.index(when - 4) + 1] == 20 and seen[-1] == 64
    found = state(tmp_path)
    assert found["watchdog"]["rollbacks"] == 1 and found["generator_optimizer"]["param_groups"][0]["lr"] == 1e-4
    assert all(bool(t.isfinite().all()) for t in found["averaged"].values())


def test_what_does_not_heal_stops_the_training_at_the_last_good_checkpoint_with_a_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage(monkeypatch, collapse, until=0)
    with pytest.raises(RunError, match=r"(?s)look alike.*going back 3 times did not help\nGive the same command with"):
        go(tmp_path)
    assert [one["done"].split(", ")[1] for one in told(tmp_path)] == [
        "the learning rate is halved to 0.0001",
        "the learning rate is halved to 5e-05",
        "the learning rate is halved to 2.5e-05",
        "nothing helps",
    ]
    assert state(tmp_path)["images_seen"] == 16
    with pytest.raises(RunError, match="look alike"):
        go(tmp_path)
    assert len(told(tmp_path)) == 5  # it remembers that it has tried


def test_another_learning_rate_is_tried_as_if_nothing_had_been(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stage(patch, collapse, until=0)
        with pytest.raises(RunError):
            go(tmp_path)
    steps = go(tmp_path, learning_rate=1e-5)
    assert steps[0].resumed_from == 16 and steps[-1].images_seen == 64
    assert state(tmp_path)["watchdog"]["rollbacks"] == 0
    assert state(tmp_path)["generator_optimizer"]["param_groups"][0]["lr"] == 1e-5


def test_penalties_in_use_are_doubled_and_numbers_cost_precision_first() -> None:
    watch = Watchdog(replace(TRAIN, r1=0.5, precision="bf16"), RUN, None)
    sign = watchdog.Symptom("collapse", "", 0.0, 0.1)
    assert watch.adjust(sign, exact=False) == "the learning rate is halved to 0.0001, r1 doubled"
    assert (watch.options_in_force.learning_rate, watch.options_in_force.r1, watch.options_in_force.r2) == (
        1e-4,
        1.0,
        0.0,
    )
    assert watch.adjust(replace(sign, trouble="numbers"), exact=False) == "layers compute in float32"
    assert (watch.options_in_force.precision, watch.options_in_force.learning_rate) == ("fp32", 1e-4)
    assert watch.adjust(replace(sign, trouble="numbers"), exact=True).startswith("the learning rate is halved")


def test_a_rate_by_the_length_of_the_training_is_halved_too() -> None:
    watch = Watchdog(replace(TRAIN, learning_rate=0.0, images_seen=300_000), RUN, None)
    assert watch.options_in_force.learning_rate == 0.0 and watch.options_in_force.rate == pytest.approx(8e-4)
    sign = watchdog.Symptom("saturation", "", 0.0, 0.1)
    assert watch.adjust(sign, exact=False) == "the learning rate is halved to 0.0004"
    assert watch.options_in_force.rate == pytest.approx(4e-4)


def test_the_good_checkpoint_stays_while_something_is_suspected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "LIMITS", replace(watchdog.LIMITS, strikes=6))
    stage(monkeypatch, collapse)
    steps = train(DATA, tmp_path, NETWORK, TRAIN, RUN)
    for step in steps:
        if step.images_seen == 40:
            break
    assert [path.stem for path in checkpoints.list_checkpoints(tmp_path / "checkpoints")] == [
        "0000000040",
        "0000000016",
    ]
    steps.close()  # type: ignore[attr-defined]
    go(tmp_path)
    assert told(tmp_path)[0]["done"].startswith("back to 16 images")


@pytest.mark.parametrize(
    ("trouble", "stops"), [("collapse", (20, 28, 32)), ("astray", (28,)), ("saturation", (28,)), ("numbers", (20,))]
)
def test_stopped_and_continued_is_to_the_bit_as_never_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, equal: Any, trouble: str, stops: tuple[int, ...]
) -> None:
    """Stopped between suspicion and alarm, too, and where no checkpoint was due; looks are of two steps."""
    stage(monkeypatch, FAILURES[trouble][0])
    run, straight = replace(RUN, sample_every=8), tmp_path / "straight"
    go(straight, run)
    assert len(told(straight)) == 1
    for stop in stops:
        stopped = tmp_path / str(stop)
        steps = train(DATA, stopped, NETWORK, TRAIN, run)
        for step in steps:
            if step.images_seen >= stop:
                break
        steps.close()  # type: ignore[attr-defined]
        go(stopped, run)
        assert equal(state(straight), state(stopped)) and told(straight) == told(stopped)


def test_unwatched_it_goes_on_and_remembers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage(monkeypatch, saturate)
    go(tmp_path, replace(RUN, watch=False), images_seen=32)
    assert not told(tmp_path) and "watchdog" not in state(tmp_path)
    assert go(tmp_path, images_seen=48)[-1].images_seen == 48
    assert told(tmp_path)[0]["done"].startswith("back to 32 images")  # an unwatched checkpoint is taken for good


def test_other_sheets_are_no_samples() -> None:
    one = torch.zeros(8, 3, 8, 8)
    watch = Watchdog(TRAIN, RUN, torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert [watch.check(seen, {"-completed": one}) for seen in (4, 8, 12)] == [None] * 3
    assert [watch.check(seen, {"-raw": one}) for seen in (4, 8)][1] is not None


def test_a_good_checkpoint_is_one_of_the_schedule_if_there_is_any() -> None:
    watch = Watchdog(TRAIN, replace(RUN, checkpoint_every=10), None)
    watch.restart(24)
    assert (
        watch.choose_checkpoint([24, 20, 12, 28], step=4) == 20
    )  # 12 was due too, 24 is where somebody stopped, 28 is suspect
    assert watch.choose_checkpoint([24, 28], step=4) == 24 and watch.choose_checkpoint([28], step=4) is None
    assert watch.choose_checkpoint([28], step=4, trouble="numbers") == 28
