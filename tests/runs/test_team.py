"""A run in two processes: one leads, both do the same, and what happens to one is told to the other."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from latentfill.errors import LatentfillError, RunError
from latentfill.options import NetworkOptions, RunOptions, TrainOptions
from latentfill.runs import checkpoints
from latentfill.runs.data import Dataset
from latentfill.runs.distributed import SINGLE_PROCESS, DistributedContext, ProcessLostError, join, own_device
from latentfill.runs.interfaces import TrainingContext
from latentfill.runs.watchdog import Alarm, alarm, not_finite
from latentfill.training.gan_run import train
from latentfill.training.trainer import GanTrainer

NETWORK = NetworkOptions(size=8, base=2, latent=3)
TRAIN = TrainOptions(images_seen=40, batch_size=4, augment="none", precision="fp32")
RUN = RunOptions(sample_every=16, checkpoint_every=8, log_every=8, keep_checkpoints=3, device="cpu", threads=1)
PIXELS = np.random.Generator(np.random.Philox(key=1)).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
DATA = Dataset(PIXELS, [str(i) for i in range(20)], [])
Both = Callable[..., list[Any]]


def go(distributed: DistributedContext, folder: Path, what: str = "") -> dict[str, Any]:
    """Train to the end; what this process saw, and what its weights have become."""
    seen: list[GanTrainer] = []
    step, finite = GanTrainer.step, GanTrainer.is_finite
    asked = 0

    def watched(self: GanTrainer, *given: Any) -> Any:
        seen.append(self)
        return step(self, *given)

    def broken(self: GanTrainer) -> bool:
        nonlocal asked
        asked += self.images_seen == 24
        return finite(self) and not (self.images_seen == 24 and asked == 1)

    def wish() -> bool:
        return what == "wish" and distributed.group.rank == 1 and seen[-1].images_seen >= 20

    GanTrainer.step = watched  # type: ignore[method-assign]
    if what == "broken" and distributed.is_rank_zero:  # the others need not notice by themselves
        GanTrainer.is_finite = broken  # type: ignore[method-assign]
    data, options = DATA, TRAIN
    if what == "uneven":
        options = replace(options, batch_size=5)
    if what == "other pictures" and not distributed.is_rank_zero:
        data = replace(data, names=[f"{i}.png" for i in range(20)])
    if what == "other options" and not distributed.is_rank_zero:
        options = replace(options, learning_rate=1e-4)
    try:
        last = None
        for last in (
            steps := train(
                data, folder, NETWORK, options, RUN, context=TrainingContext(distributed=distributed, stop=wish)
            )
        ):
            if last.stopped:
                break
        steps.close()  # type: ignore[attr-defined]
    finally:
        GanTrainer.step, GanTrainer.is_finite = step, finite  # type: ignore[method-assign]
    if last is None:
        return {"images": 0}
    weights = torch.cat([p.detach().flatten() for p in seen[-1].generator.parameters()])
    rate = seen[-1].learning_rate
    return {"images": last.images_seen, "losses": last.losses, "weights": weights.numpy(), "rate": rate}


def test_a_run_in_two_processes_writes_what_one_writes(tmp_path: Path, both: Both) -> None:
    one, (first, second) = go(SINGLE_PROCESS, tmp_path / "one"), both(go, tmp_path / "two")
    assert np.array_equal(first["weights"], second["weights"]) and first["losses"] == second["losses"]
    np.testing.assert_allclose(first["weights"], one["weights"], atol=1e-5)
    places = [{p.relative_to(tmp_path / name) for p in (tmp_path / name).rglob("*")} for name in ("one", "two")]
    assert {p for p in places[0] if "tfevents" not in p.name} == {p for p in places[1] if "tfevents" not in p.name}
    rows = [(tmp_path / name / "metrics.csv").read_text().splitlines() for name in ("one", "two")]
    for ours, theirs in zip(*rows, strict=True):
        assert ours.split(",")[0] == theirs.split(",")[0]
    values = [[float(x) for x in row[-1].split(",")[:5]] for row in rows]
    assert values[0] == pytest.approx(values[1], abs=1e-4)
    states = [checkpoints.read_newest(tmp_path / name / "checkpoints")[0] for name in ("one", "two")]
    assert states[0] and states[1] and states[0].keys() == states[1].keys()


def test_when_the_leader_goes_back_all_do_with_the_same_settings(tmp_path: Path, both: Both) -> None:
    first, second = both(go, tmp_path, "broken")
    assert first["images"] == second["images"] == 40
    assert np.array_equal(first["weights"], second["weights"])
    assert first["rate"] == second["rate"] == TRAIN.learning_rate / 2
    assert "back to 16 images" in (tmp_path / "warnings.jsonl").read_text()


def test_who_wishes_to_stop_stops_all_after_the_same_batch(tmp_path: Path, both: Both) -> None:
    first, second = both(go, tmp_path, "wish")
    assert first["images"] == second["images"] == 20
    state, broken = checkpoints.read_newest(tmp_path / "checkpoints")
    assert state and state["images_seen"] == 20 and not broken
    first, second = both(go, tmp_path)
    assert first["images"] == 40 and np.array_equal(first["weights"], second["weights"])


@pytest.mark.parametrize(
    "what, said",
    [
        ("uneven", "a batch of 5 cannot be shared evenly among 2 processes"),
        ("other pictures", "not given the same pictures"),
        ("other options", "not given the same options"),
    ],
)
def test_what_cannot_be_shared_is_refused(what: str, said: str, tmp_path: Path, both: Both) -> None:
    with pytest.raises(LatentfillError, match=said):
        both(outcome, tmp_path, what)


def outcome(distributed: DistributedContext, folder: Path, what: str) -> None:
    """Both raise; the first that is asked is heard."""
    go(distributed, folder, what)


def led(distributed: DistributedContext, error: Exception | None) -> str:
    def act() -> str:
        if error:
            raise error
        return "done" if distributed.is_rank_zero else "never"

    try:
        return distributed.on_rank_zero(act)
    except (LatentfillError, OSError) as raised:
        return f"{type(raised).__name__}: {raised}"


def test_what_the_leader_does_or_raises_all_know(both: Both) -> None:
    assert both(led, None) == ["done", "done"]
    assert both(led, RunError("no", "yes")) == ["RunError: no\nyes"] * 2
    assert both(led, OSError(28, "full")) == ["OSError: [Errno 28] full"] * 2
    told = both(led, alarm(not_finite(), 5, 0))
    assert told[0] == told[1] and told[0].startswith("Alarm: training broke down near 5 images")
    assert isinstance(alarm(not_finite(), 5, 0), Alarm)


def here(distributed: DistributedContext, place: Path) -> bool:
    def act() -> bool:
        found = place.exists()
        place.touch()
        return found

    return distributed.once_per_machine(act)


def test_one_process_of_a_machine_goes_first(tmp_path: Path, both: Both) -> None:
    assert both(here, tmp_path / "decoded") == [False, True]


def test_alone_nothing_is_sent() -> None:
    assert join("cpu", {}) is SINGLE_PROCESS and join("cpu", {"RANK": "0", "WORLD_SIZE": "1"}) is SINGLE_PROCESS
    assert SINGLE_PROCESS.on_rank_zero(lambda: 3) == 3 and SINGLE_PROCESS.gather_metrics({}, True) == ({}, True)
    SINGLE_PROCESS.check_batch(7)


def test_an_error_of_the_network_is_told_as_the_loss_it_is() -> None:
    two = DistributedContext(replace(SINGLE_PROCESS.group, size=2))
    assert isinstance(two.explain_loss(RuntimeError("[gloo/pair.cc] Connection closed by peer")), ProcessLostError)
    other = RuntimeError("expected a float")
    assert (
        two.explain_loss(other) is other and SINGLE_PROCESS.explain_loss(RuntimeError("gloo")).__class__ is RuntimeError
    )


def test_each_process_has_a_device_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_device("cpu", 3) == torch.device("cpu")
    with pytest.raises(LatentfillError, match="cannot be shared"):
        own_device("cuda:1", 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert own_device("auto", 1) == torch.device("cuda", 1)
    with pytest.raises(LatentfillError, match="process 2 of this machine has no GPU"):
        own_device("cuda", 2)
