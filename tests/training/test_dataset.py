"""From files of all kinds to a stream of batches."""

import csv
import io
import json
import os
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from latentfill.errors import DataError
from latentfill.files.locks import try_lock
from latentfill.runs import data as decoded
from latentfill.runs.data import Dataset, load_dataset, open_dataset, write_rejected


def flat(value: int, size: tuple[int, int] = (12, 8), mode: str = "RGB", kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("L", size, value).convert(mode).save(file, kind)
    return file.getvalue()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five grey levels, 10 to 50, in files of five kinds, two levels of folders, a zip and a tar."""
    root = tmp_path / "pictures"
    (root / "b" / "c").mkdir(parents=True)
    (root / "a.png").write_bytes(flat(10))
    (root / "b" / "c" / "deep.JPG").write_bytes(flat(20, kind="JPEG"))
    (root / "b" / "grey.webp").write_bytes(flat(30, (8, 30), "L", "WEBP"))
    with zipfile.ZipFile(root / "x.zip", "w") as archive:
        archive.writestr("in/side.png", flat(40, (8, 8), "RGBA"))
        archive.writestr("in/notes.txt", b"no picture")
    with tarfile.open(root / "y.tar", "w") as tar:
        for name, data in (("z.png", flat(50, (3, 3))), ("z.json", b"{}")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    (root / "notes.txt").write_text("no picture")
    return root


def test_any_depth_format_size_and_archive_becomes_one_map(folder: Path, cache: Path) -> None:
    data = open_dataset([folder], 8, 3, cache)
    assert data.pixels.shape == (5, 8, 8, 3) and isinstance(data.pixels, np.memmap)
    means = dict(zip(data.names, data.pixels.mean((1, 2, 3)).tolist(), strict=True))
    expected = {"a.png": 10, "b/c/deep.JPG": 20, "b/grey.webp": 30, "x.zip/in/side.png": 40, "y.tar/z.png": 50}
    assert means == pytest.approx(expected, abs=1)
    assert data.rejected == []


def test_grey_is_one_channel(folder: Path, cache: Path) -> None:
    data = open_dataset([folder], 8, 1, cache)
    assert data.pixels.shape == (5, 8, 8, 1)
    assert data.batch(0, 5, seed=0, flip=False).shape == (5, 1, 8, 8)


def test_the_second_time_nothing_is_decoded(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_dataset([folder], 8, 3, cache)
    monkeypatch.setattr("latentfill.images.photos.read", lambda *_: pytest.fail("decoded again"))
    second = open_dataset([folder], 8, 3, cache)
    assert (first.pixels == second.pixels).all() and list(first.names) == list(second.names)


def change(folder: Path) -> None:
    (folder / "a.png").write_bytes(flat(99))
    os.utime(folder / "a.png", ns=(1, 1))


@pytest.mark.parametrize("act", [
    change,
    lambda folder: (folder / "b" / "new.png").write_bytes(flat(70)),
    lambda folder: (folder / "a.png").unlink(),
    lambda folder: (folder / "a.png").rename(folder / "renamed.png"),
], ids=["changed", "added", "removed", "renamed"])  # fmt: skip
def test_the_map_follows_the_files(folder: Path, cache: Path, act: Callable[[Path], object]) -> None:
    before = open_dataset([folder], 8, 3, cache)
    act(folder)
    after = open_dataset([folder], 8, 3, cache)
    assert (list(before.names), before.pixels.sum()) != (list(after.names), after.pixels.sum())
    again = open_dataset([folder], 8, 3, cache)
    assert (again.pixels == after.pixels).all()


def test_broken_files_are_listed_and_passed_over(folder: Path, cache: Path, tmp_path: Path) -> None:
    (folder / "a.png").write_bytes(flat(10)[:40])
    (folder / "b" / "text.jpg").write_text("no picture")
    data = open_dataset([folder], 8, 3, cache)
    assert len(data) == 4 and sorted(name for name, _ in data.rejected) == ["a.png", "b/text.jpg"]
    assert all(reason and name not in reason for name, reason in data.rejected)
    write_rejected(tmp_path / "rejected.csv", [*data.rejected, ("odd\udcff.png", "x")])
    with (tmp_path / "rejected.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["path", "reason"] and rows[1:3] == [list(pair) for pair in data.rejected]


def test_a_limit_counts_the_pictures_that_can_be_read(folder: Path, cache: Path) -> None:
    (folder / "a.png").write_text("no picture")
    everything = open_dataset([folder], 8, 3, cache)
    first = open_dataset([folder], 8, 3, cache, limit=2)
    assert list(first.names) == list(everything.names)[:2]
    assert [name for name, _ in first.rejected] == ["a.png"]
    assert len(open_dataset([folder], 8, 3, cache, limit=100)) == 4


def test_progress_ends_at_its_total(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoded, "AT_ONCE", 2)
    *steps, data = load_dataset([folder], 8, 3, cache)
    assert steps == [(2, 5), (4, 5), (5, 5)] and isinstance(data, Dataset)
    (folder / "a.png").write_text("no picture")
    *steps, data = load_dataset([folder], 8, 3, cache, limit=3)
    assert steps == [(1, 3), (3, 3)]


def test_nothing_to_read_is_said(folder: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: no pictures found\nGive a folder, .zip or .tar"):
        open_dataset([tmp_path / "empty"], 8, 3, cache)
    with pytest.raises(DataError, match="nowhere"):
        open_dataset([tmp_path / "nowhere"], 8, 3, cache)
    (tmp_path / "empty" / "a.png").write_text("no picture")
    with pytest.raises(DataError, match=r"none of the 1 pictures can be read; the first: a.png: "):
        open_dataset([tmp_path / "empty"], 8, 3, cache)


def test_what_is_stopped_half_way_leaves_nothing(folder: Path, cache: Path) -> None:
    steps = load_dataset([folder], 8, 3, cache)
    next(steps)
    assert list(cache.iterdir())
    steps.close()  # type: ignore[attr-defined]
    assert not list(cache.iterdir())


def test_what_killed_processes_left_is_swept_and_what_living_ones_make_is_not(folder: Path, cache: Path) -> None:
    abandoned, living, fresh = (cache / f"making-{name}" for name in ("abandoned", "living", "fresh"))
    for path in (abandoned, living, fresh):
        path.mkdir(parents=True)
    lock = try_lock(living / "lock")
    for path in (abandoned, living):
        os.utime(path, (time.time() - 3600,) * 2)
    open_dataset([folder], 8, 3, cache)
    assert lock and not abandoned.exists() and living.exists() and fresh.exists()
    lock.close()


@pytest.mark.parametrize("damage", ["short", "no names", "half names"])
def test_a_damaged_map_is_made_again(folder: Path, cache: Path, damage: str) -> None:
    before = np.array(open_dataset([folder], 8, 3, cache).pixels)
    (kept,) = cache.iterdir()
    if damage == "short":
        (kept / "pixels.u8").write_bytes(b"")
    else:
        (kept / "names.json").write_text("{}" if damage == "no names" else '{"names": [')
    assert (open_dataset([folder], 8, 3, cache).pixels == before).all()
    assert list(cache.iterdir()) == [kept] and json.loads((kept / "names.json").read_text())["names"]


def test_two_at_once_make_one_map(folder: Path, cache: Path) -> None:
    slow, quick = load_dataset([folder], 8, 3, cache), load_dataset([folder], 8, 3, cache)
    next(slow)
    *_, first = quick
    *_, second = slow
    assert isinstance(first, Dataset) and isinstance(second, Dataset)
    assert (first.pixels == second.pixels).all() and len(list(cache.iterdir())) == 1


def test_without_a_usual_place_the_map_goes_to_the_temporary_files_and_that_is_said(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    with pytest.warns(UserWarning, match=r"file/latentfill cannot be written to: .* kept in .*temporary.*--cache"):
        assert len(open_dataset([folder], 8, 3)) == 5
    assert len(open_dataset([folder], 8, 3)) == 5  # found there, so nothing to warn of
    with pytest.raises(DataError, match=r"file/here cannot be written to\nGive a folder .* --cache"):
        open_dataset([folder], 8, 3, tmp_path / "file" / "here")


def test_the_usual_place_is_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert decoded.default_cache() == tmp_path / ".cache" / "latentfill"


def test_a_full_disk_is_said_with_what_is_needed(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("json.dumps", full)
    with pytest.raises(DataError, match=r"No space left on device\n5 pictures take 0 MB: .*--cache"):
        open_dataset([folder], 8, 3, cache)
    assert not list(cache.iterdir())


def numbered(count: int) -> Dataset:
    """Picture i is black but for its left half, which is i."""
    pixels = np.zeros((count, 8, 8, 3), np.uint8)
    pixels[:, :, :4] = np.arange(count, dtype=np.uint8)[:, None, None, None]
    return Dataset(pixels, [str(i) for i in range(count)], [])


def shown(images: torch.Tensor) -> list[int]:
    return [round(i) for i in ((images.amax((1, 2, 3)) + 1) * 255 / 2).tolist()]


def test_every_epoch_shows_every_picture_once_in_an_order_of_its_own() -> None:
    data = numbered(10)
    stream = shown(data.batch(0, 30, seed=1, flip=True))
    epochs = [stream[:10], stream[10:20], stream[20:]]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert shown(data.batch(0, 10, seed=2, flip=True)) != epochs[0]


@pytest.mark.parametrize("count", [1, 3, 10, 25])
def test_the_stream_is_the_same_wherever_it_is_entered(count: int) -> None:
    data = numbered(10)
    whole = data.batch(0, 50, seed=1, flip=True)
    for first in (0, 7, 10, 19, 25):
        assert torch.equal(data.batch(first, count, seed=1, flip=True), whole[first : first + count])


def test_a_fair_coin_mirrors_left_to_right_and_leaves_the_map_alone() -> None:
    data = numbered(200)
    before = data.pixels.copy()
    images = data.batch(0, 200, seed=0, flip=True)
    on_the_right = (images[..., 4:].mean((1, 2, 3)) > images[..., :4].mean((1, 2, 3))).sum().item()
    assert 70 < on_the_right < 130
    assert (data.pixels == before).all()
    straight = data.batch(0, 200, seed=0, flip=False)
    assert (straight[..., 4:] == -1).all()
    assert images.min() >= -1 and images.max() <= 1


ALIGNED = {"landmarks": "outer-eyes-and-nose", "similarity": True, "margin": 1.5}


def aligned(folder: Path, **facts: Any) -> Path:
    folder.mkdir()
    (folder / "a.png").write_bytes(flat(10))
    (folder / "alignment.json").write_text(json.dumps(facts))
    return folder


def test_a_folder_of_aligned_pictures_tells_how_they_were_cut(tmp_path: Path, cache: Path) -> None:
    one = aligned(tmp_path / "one", **ALIGNED, size=64, detector="dlib 20")
    two = aligned(tmp_path / "two", **ALIGNED, size=128, detector="dlib 19")
    for places in ([one], [one, two]):
        data = open_dataset(places, 8, 3, cache)
        assert len(data) == len(places) and data.alignment == ALIGNED
        assert open_dataset(places, 8, 3, cache).alignment == ALIGNED, "the cache has forgotten it"


def test_pictures_that_were_not_all_cut_alike_have_no_alignment(
    tmp_path: Path, cache: Path, folder: Path, recwarn: pytest.WarningsRecorder
) -> None:
    one, broken = aligned(tmp_path / "one", **ALIGNED), aligned(tmp_path / "broken", size=64)
    assert open_dataset([folder], 8, 3, cache).alignment is None
    assert open_dataset([broken], 8, 3, cache).alignment is None
    assert open_dataset([one / "a.png"], 8, 3, cache).alignment is None
    assert not recwarn.list
    with pytest.warns(UserWarning, match="not aligned alike"):
        assert open_dataset([one, folder], 8, 3, cache).alignment is None


def test_a_picture_that_memory_does_not_hold_is_tried_alone_and_then_left_out(tmp_path, monkeypatch):
    from latentfill.runs import data as decoded

    tried, real = [], decoded.photos.read

    def read(source):
        tried.append(source.name)
        if source.name == "1.png" or (source.name == "2.png" and tried.count("2.png") == 1):
            raise MemoryError
        return real(source)

    for i in range(4):
        Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(tmp_path / f"{i}.png")
    monkeypatch.setattr(decoded.photos, "read", read)
    made = list(load_dataset([tmp_path], 8, 3, tmp_path / "cache"))[-1]
    assert list(made.names) == ["0.png", "2.png", "3.png"] and made.rejected == [("1.png", decoded.NO_MEMORY)]
