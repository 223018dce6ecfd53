"""A run: stopped, resumed, broken, full, and to the bit what it would have been."""

import csv
import json
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from latentfill import __version__
from latentfill.errors import DataError, LatentfillError, RunError
from latentfill.gan.model_file import load
from latentfill.options import NetworkOptions, RunOptions, TrainOptions
from latentfill.runs import checkpoints
from latentfill.runs.data import Dataset
from latentfill.runs.logs import Record
from latentfill.runs.loop import Progress
from latentfill.training.gan_run import train
from latentfill.training.trainer import GanTrainer

NETWORK = NetworkOptions(size=8, base=2, latent=3)
TRAIN = TrainOptions(images_seen=48, batch_size=4, precision="fp32")
RUN = RunOptions(sample_every=10**6, checkpoint_every=10**6, log_every=10**6, device="cpu")
ALONE = replace(RUN, watch=False)
PIXELS = np.random.Generator(np.random.Philox(key=1)).integers(0, 256, (10, 8, 8, 3), dtype=np.uint8)
DATA = Dataset(PIXELS, [str(i) for i in range(10)], [("bad.png", "not a picture")])


def go(folder: Path, images: int = 48, data: Dataset = DATA, run: RunOptions = RUN, **options: Any) -> list[Progress]:
    return list(train(data, folder, NETWORK, replace(TRAIN, images_seen=images, **options), run))


def state(folder: Path) -> dict[str, Any]:
    found, _ = checkpoints.read_newest(folder / "checkpoints")
    assert found
    return found


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "images_per_second"} for row in csv.DictReader(file)]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_stopped_and_continued_is_to_the_bit_as_never_stopped(tmp_path: Path, precision: Any, equal: Any) -> None:
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    options = replace(TRAIN, precision=precision, decay=0.5, average_half_life=8)
    run = replace(RUN, log_every=4)
    list(train(DATA, straight, NETWORK, options, run))
    for batches in (1, 5, 100):
        steps = train(DATA, stopped, NETWORK, options, run)
        for _, progress in zip(range(batches), steps, strict=False):
            resumed = progress.resumed_from
        steps.close()  # type: ignore[attr-defined]
    assert resumed == 24
    assert equal(state(straight), state(stopped)) and state(straight)["images_seen"] == 48
    assert rows(straight) == rows(stopped) and len(rows(straight)) == 12
    for name in ("model.safetensors", "model-raw.safetensors"):
        a, b = load(straight / name), load(stopped / name)
        assert isinstance(a.generator, torch.nn.Module) and isinstance(b.generator, torch.nn.Module)
        assert equal(a.generator.state_dict(), b.generator.state_dict())


def test_progress_tells_where_a_run_stands(tmp_path: Path) -> None:
    told = go(tmp_path, 12)
    assert [(p.images_seen, p.total, p.resumed_from, p.broken) for p in told] == [(n, 12, 0, ()) for n in (4, 8, 12)]
    assert all(p.images_per_second > 0 and {"discriminator", "generator"} <= set(p.losses) for p in told)
    assert [p.resumed_from for p in go(tmp_path, 20)] == [12, 12]


def test_a_row_is_the_mean_over_the_batches_since_the_last(tmp_path: Path) -> None:
    go(tmp_path / "each", 24, run=replace(RUN, log_every=4))
    told = go(tmp_path / "third", 24, run=replace(RUN, log_every=12))
    each, third = rows(tmp_path / "each"), rows(tmp_path / "third")
    assert [row["images_seen"] for row in third] == ["12", "24"]
    for name in ("discriminator_loss", "generator_loss", "real_logit", "fake_logit", "discriminator_loss_fake"):
        means = [np.mean([float(row[name]) for row in each[i : i + 3]]) for i in (0, 3)]
        np.testing.assert_allclose([float(row[name]) for row in third], means, rtol=1e-5)
    for row in each:
        halves = float(row["discriminator_loss_real"]) + float(row["discriminator_loss_fake"])
        assert float(row["discriminator_loss"]) == pytest.approx(halves, rel=1e-5)
    assert told[-1].losses["generator"] == pytest.approx(float(third[1]["generator_loss"]), rel=1e-6)


def test_the_end_is_recorded_even_between_two_rows(tmp_path: Path) -> None:
    go(tmp_path, 20, run=replace(RUN, log_every=16, sample_every=16))
    assert [row["images_seen"] for row in rows(tmp_path)] == ["16", "20"]
    assert sorted(path.name for path in (tmp_path / "samples").glob("*[0-9].png")) == [
        "0000000016.png",
        "0000000020.png",
    ]


def saves(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    counted: list[int] = []
    original = checkpoints.save

    def save(folder: Path, images_seen: int, *rest: Any) -> Path:
        counted.append(images_seen)
        return original(folder, images_seen, *rest)

    monkeypatch.setattr(checkpoints, "save", save)
    return counted


def test_closing_saves_exactly_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = saves(monkeypatch)
    steps = train(DATA, tmp_path, NETWORK, TRAIN, replace(RUN, checkpoint_every=8))
    next(steps), next(steps), next(steps)
    steps.close()  # type: ignore[attr-defined]
    steps.close()  # type: ignore[attr-defined]
    assert counted == [8, 12]
    steps = train(DATA, tmp_path, NETWORK, TRAIN, replace(RUN, checkpoint_every=8))
    next(steps)
    steps.close()  # type: ignore[attr-defined]
    assert counted == [8, 12, 16]  # just saved, and not again


def test_an_error_between_two_steps_saves_exactly_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted, original = saves(monkeypatch), Dataset.batch

    def batch(self: Dataset, first: int, *rest: Any, **more: Any) -> torch.Tensor:
        if first == 12:
            raise KeyboardInterrupt
        return original(self, first, *rest, **more)

    monkeypatch.setattr(Dataset, "batch", batch)
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path)
    assert counted == [12]


def test_a_step_torn_apart_is_not_saved_and_the_rest_is_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after = GanTrainer._finish

    def torn(self: GanTrainer, *told: Any) -> Any:
        if self.images_seen == 8:
            raise KeyboardInterrupt
        return after(self, *told)

    go(tmp_path / "straight")
    with monkeypatch.context() as patch:
        patch.setattr(GanTrainer, "_finish", torn)
        with pytest.raises(KeyboardInterrupt):
            go(tmp_path / "torn", average_half_life=0, run=replace(RUN, checkpoint_every=8))
    assert state(tmp_path / "torn")["images_seen"] == 8


def test_a_run_that_has_seen_enough_returns_at_once(tmp_path: Path) -> None:
    go(tmp_path, 12)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"}
    assert go(tmp_path, 12) == [] and go(tmp_path, 8) == []
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file() and p.name != ".lock"}


def test_a_model_file_lost_or_older_than_its_checkpoint_is_written_again(tmp_path: Path) -> None:
    go(tmp_path, 12)
    (tmp_path / "model.safetensors").unlink()
    go(tmp_path, 12)
    assert load(tmp_path / "model.safetensors").about["images_seen"] == 12


def test_what_killed_processes_left_is_swept(tmp_path: Path) -> None:
    left = [tmp_path / name for name in ("checkpoints/0000000004.making", ".model.safetensors-x1.making")]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    (tmp_path / "history.jsonl").write_text('{"latentfill": "0.1.0"}\n')  # one was begun
    go(tmp_path, 4)
    assert not list(tmp_path.rglob("*.making"))


def test_a_checkpoint_cut_in_half_is_passed_over_said_and_made_up_for(tmp_path: Path, equal: Any) -> None:
    go(tmp_path / "straight")
    go(tmp_path / "cut", 24, run=replace(RUN, checkpoint_every=12))
    newest, older = checkpoints.list_checkpoints(tmp_path / "cut" / "checkpoints")
    newest.write_bytes(newest.read_bytes()[:5000])
    told = go(tmp_path / "cut")
    assert told[0].resumed_from == 12 and told[0].broken == (newest,) and newest.name > older.name
    assert equal(state(tmp_path / "straight"), state(tmp_path / "cut"))


def test_with_all_checkpoints_broken_nothing_is_overwritten(tmp_path: Path) -> None:
    go(tmp_path, 12)
    (path,) = checkpoints.list_checkpoints(tmp_path / "checkpoints")
    path.write_bytes(b"half")
    with pytest.raises(RunError, match="none of the checkpoints can be read"):
        go(tmp_path)
    assert path.read_bytes() == b"half" and (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize("log_every", [4, 10**6])  # noticed in the losses, or at the latest before saving
def test_what_is_no_longer_a_number_stops_the_training_and_is_never_saved(
    tmp_path: Path, log_every: int, equal: Any
) -> None:
    go(tmp_path, 12)
    before = state(tmp_path)
    model = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(RunError, match=r"(?s)broke down .* the checkpoint at 12 images is whole\n.*half the --learn"):
        go(tmp_path, learning_rate=1e39, run=replace(ALONE, log_every=log_every, checkpoint_every=12))
    assert equal(before, state(tmp_path)) and (tmp_path / "model.safetensors").read_bytes() == model
    with pytest.raises(RunError, match="nothing was saved"):
        go(tmp_path / "new", learning_rate=1e39, run=ALONE)
    go(tmp_path, 24)  # the same folder, with a rate that works
    assert state(tmp_path)["images_seen"] == 24


def test_weights_are_looked_at_before_they_are_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    after = GanTrainer._finish

    def ruin(self: GanTrainer, *told: Any) -> Any:
        values = after(self, *told)
        if self.images_seen == 24:  # after the losses of that step
            self.averaged.project.get_parameter("bias").detach().fill_(float("nan"))
        return values

    go(tmp_path, 12)
    monkeypatch.setattr(GanTrainer, "_finish", ruin)
    with pytest.raises(RunError, match="broke down near 24 images"):
        go(tmp_path, run=replace(ALONE, checkpoint_every=24))
    assert state(tmp_path)["images_seen"] == 12


def test_on_a_full_disk_the_error_says_so_and_the_older_checkpoint_stays(tmp_path: Path) -> None:
    go(tmp_path, 12)
    size = max(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, before[1]))
    try:
        with pytest.raises(RunError, match=r"0000000048.pt cannot be written: .*\nMake room on that disk"):
            go(tmp_path, 48)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert state(tmp_path)["images_seen"] == 12
    go(tmp_path, 48)
    assert state(tmp_path)["images_seen"] == 48


def test_a_record_that_cannot_be_written_saves_the_model_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Record, "metrics", full)
    with pytest.raises(RunError, match="cannot be written to: No space left on device\nMake room"):
        go(tmp_path, run=replace(RUN, log_every=12))
    assert state(tmp_path)["images_seen"] == 12


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written to"):
        go(tmp_path / "file" / "run")


def test_two_trainings_in_one_folder_are_refused(tmp_path: Path) -> None:
    steps = train(DATA, tmp_path, NETWORK, TRAIN, RUN)
    next(steps)
    with pytest.raises(RunError, match=r"process [0-9]+ on .* is training in .*\nWait for it, stop it"):
        go(tmp_path)
    assert next(steps).images_seen == 8
    steps.close()  # type: ignore[attr-defined]
    assert go(tmp_path)[0].resumed_from == 8


def test_a_lock_left_by_a_killed_process_does_not_lock(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("process 1 on this machine\n")
    assert len(go(tmp_path, 8)) == 2


def test_an_error_at_the_start_leaves_no_lock(tmp_path: Path) -> None:
    go(tmp_path, 4)
    with pytest.raises(RunError) as caught:  # whoever keeps the error keeps no lock
        list(train(DATA, tmp_path, replace(NETWORK, base=3), TRAIN, RUN))
    assert go(tmp_path, 8) and caught


def test_epochs_are_images_by_another_name(tmp_path: Path) -> None:
    told = go(tmp_path, 4, epochs=1.5, decay=1.0)
    assert [p.images_seen for p in told] == [4, 8, 12, 16] and told[0].total == 15
    assert json.loads((tmp_path / "options.json").read_text())["train"]["images_seen"] == 15


@pytest.mark.parametrize("batch", [1, 7, 10])
def test_any_batch_size_up_to_all_pictures_trains(tmp_path: Path, batch: int) -> None:
    told = go(tmp_path, 24, batch_size=batch)
    assert told[-1].images_seen == -(-24 // batch) * batch
    assert all(np.isfinite(list(p.losses.values())).all() for p in told)


def test_fewer_pictures_than_a_batch_is_said_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"10 pictures are fewer than one batch of 11\nAdd .* --batch-size 10"):
        go(tmp_path, batch_size=11)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("change, said", [
    (lambda: train(DATA, Path("x"), replace(NETWORK, size=16), TRAIN, RUN), "16x16x3 expected, not 8x8x3"),
    (lambda: train(DATA, Path("x"), NETWORK, replace(TRAIN, batch_size=0), RUN), "batch_size"),
    (lambda: train(DATA, Path("x"), NETWORK, replace(TRAIN, decay=1.5), RUN), "decay"),
])  # fmt: skip
def test_options_that_make_no_sense_are_refused(change: Callable[[], Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        next(change())


def test_a_device_that_is_not_there_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(LatentfillError, match="device 'cuda:77' cannot be used"):
        go(tmp_path, run=replace(RUN, device="cuda:77"))
    assert not list(tmp_path.iterdir())


def test_other_networks_or_another_stream_do_not_continue_a_run(tmp_path: Path) -> None:
    go(tmp_path, 4)
    with pytest.raises(RunError, match="begun with base 2, now 4; seed 0, now 1\nGive the same options"):
        list(train(DATA, tmp_path, replace(NETWORK, base=4), replace(TRAIN, seed=1), RUN))
    (tmp_path / "options.json").unlink()
    with pytest.raises(RunError, match="its checkpoint is not of these networks"):
        list(train(DATA, tmp_path, replace(NETWORK, base=4), TRAIN, RUN))
    assert state(tmp_path)["images_seen"] == 4


def test_a_run_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    go(tmp_path, 4)
    path = tmp_path / "options.json"
    was = json.loads(path.read_text())
    for name in ("networks", "scale", "norm", "minibatch_kernels", "classes", "critic"):
        del was["network"][name]
    path.write_text(json.dumps(was | {"network": {**was["network"], "batch_norm": True}}))
    go(tmp_path, 8)
    assert state(tmp_path)["images_seen"] == 8


def test_options_may_change_until_something_was_learnt(tmp_path: Path) -> None:
    go(tmp_path, 4)
    for path in checkpoints.list_checkpoints(tmp_path / "checkpoints"):
        path.unlink()
    told = list(train(DATA, tmp_path, replace(NETWORK, base=3), replace(TRAIN, images_seen=4), RUN))
    assert told[0].resumed_from == 0


def test_every_start_has_a_line_in_the_history(tmp_path: Path) -> None:
    go(tmp_path, 4)
    go(tmp_path, 8, learning_rate=1e-3)
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [line["images_seen"] for line in lines] == [0, 4]
    assert [line["train"]["learning_rate"] for line in lines] == [2e-4, 1e-3]
    assert lines[0]["pictures"] == 10 and lines[0]["device"] == "cpu" and lines[0]["precision"] == "float32"
    assert json.loads((tmp_path / "options.json").read_text())["train"]["learning_rate"] == 1e-3
    assert "bad.png,not a picture" in (tmp_path / "rejected.csv").read_text()


def test_a_run_that_goes_on_with_other_pictures_says_so(tmp_path: Path) -> None:
    go(tmp_path, 4)
    same, other = (
        go(tmp_path, images, replace(DATA, pixels=pixels)) for images, pixels in ((8, PIXELS), (12, ~PIXELS))
    )
    told = [" ".join(line for step in steps for line in step.messages) for steps in (same, other)]
    assert "not those of the last start" not in told[0] and "not those of the last start" in told[1]


def test_a_model_file_says_how_it_was_made(tmp_path: Path) -> None:
    go(tmp_path, 12, run=replace(RUN, snapshot_every=8))
    averaged, raw = (load(tmp_path / f"model{kind}.safetensors") for kind in ("", "-raw"))
    about = dict(averaged.about)
    assert about["averaged"] and not raw.about["averaged"]
    assert about["images_seen"] == 12 and about["pictures"] == 10 and about["options"]["batch_size"] == 4
    assert about["latentfill"] == __version__ and about["torch"] == torch.__version__ and about["date"][:2] == "20"
    snapshots = sorted(path.name for path in (tmp_path / "models").iterdir())
    assert snapshots == ["0000000008-raw.safetensors", "0000000008.safetensors"]
    assert load(tmp_path / "models" / snapshots[1]).about["images_seen"] == 8


def test_a_model_file_says_how_its_pictures_were_aligned_if_they_were(tmp_path: Path) -> None:
    alignment = {"landmarks": "outer-eyes-and-nose", "similarity": True, "margin": 1.5}
    go(tmp_path / "faces", 4, replace(DATA, alignment=alignment))
    go(tmp_path / "flowers", 4)
    assert load(tmp_path / "faces" / "model.safetensors").about["alignment"] == alignment
    assert "alignment" not in load(tmp_path / "flowers" / "model.safetensors").about


def test_only_so_many_checkpoints_are_kept(tmp_path: Path) -> None:
    go(tmp_path, 24, run=replace(RUN, checkpoint_every=4, keep_checkpoints=3))
    names = [path.stem for path in checkpoints.list_checkpoints(tmp_path / "checkpoints")]
    assert names == ["0000000024", "0000000020", "0000000016"]
