"""Checkpoints: never half, never lost."""

import os
import resource
from pathlib import Path

import pytest
import torch

from latentfill.errors import RunError
from latentfill.runs.checkpoints import list_checkpoints, read_newest, save


def state(n: int, size: int = 1000) -> dict[str, object]:
    return {"images_seen": n, "weights": torch.full((size,), float(n))}


def test_the_newest_comes_back_and_only_so_many_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    assert read_newest(folder) == (None, ())
    for n in (5, 10, 100):
        save(folder, n, state(n), keep=2)
    found, broken = read_newest(folder)
    assert found and found["images_seen"] == 100 and (found["weights"] == 100).all() and broken == ()
    assert [path.name for path in list_checkpoints(folder)] == ["0000000100.pt", "0000000010.pt"]
    assert len(list(folder.iterdir())) == 2


def test_one_that_memory_does_not_hold_is_not_taken_for_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 5, state(5), keep=2)

    def load(*given: object, **named: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")

    monkeypatch.setattr(torch, "load", load)
    monkeypatch.setattr(torch, "save", load)
    with pytest.raises(RuntimeError, match="can't allocate"):
        read_newest(tmp_path)
    with pytest.raises(RuntimeError, match="can't allocate"):
        save(tmp_path, 10, state(10), keep=2)
    assert [path.name for path in tmp_path.iterdir()] == ["0000000005.pt"]


@pytest.mark.parametrize("damage", ["half", "empty", "text", "other"])
def test_a_broken_one_is_passed_over_and_named(tmp_path: Path, damage: str) -> None:
    old, new = save(tmp_path, 5, state(5), keep=2), save(tmp_path, 10, state(10), keep=2)
    data = new.read_bytes()
    new.write_bytes({"half": data[: len(data) // 2], "empty": b"", "text": b"hello", "other": old.read_bytes()}[damage])
    if damage == "other":
        torch.save([1, 2], new)
    found, broken = read_newest(tmp_path)
    assert found and found["images_seen"] == 5 and broken == (new,)


def test_what_was_broken_goes_when_a_whole_one_is_saved_and_that_one_stays(tmp_path: Path) -> None:
    save(tmp_path, 5, state(5), keep=1)
    (tmp_path / "0000000020.pt").write_bytes(b"half")
    path = save(tmp_path, 10, state(10), keep=1)
    assert list_checkpoints(tmp_path) == [path]


def test_if_all_are_broken_nothing_begins_anew_by_itself(tmp_path: Path) -> None:
    save(tmp_path, 5, state(5), keep=1).write_bytes(b"half")
    with pytest.raises(RunError, match=r"none of the checkpoints can be read \(0000000005.pt\)\n.*delete them"):
        read_newest(tmp_path)


def test_loading_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "harm"),)

    save(tmp_path, 5, state(5), keep=2)
    torch.save({"images_seen": Evil()}, tmp_path / "0000000010.pt")
    found, broken = read_newest(tmp_path)
    assert found and found["images_seen"] == 5 and len(broken) == 1
    assert not (tmp_path / "harm").exists()


def test_on_a_full_disk_the_older_one_stays_and_the_error_says_so(tmp_path: Path) -> None:
    save(tmp_path, 5, state(5), keep=1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))  # what a file may grow to
    try:
        with pytest.raises(RunError, match=r"0000000010.pt cannot be written: .+\nMake room on that disk"):
            save(tmp_path, 10, state(10, 100_000), keep=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    found, broken = read_newest(tmp_path)
    assert found and found["images_seen"] == 5 and not broken
    assert len(list(tmp_path.iterdir())) == 1
