import io
import tarfile
from pathlib import Path
from threading import Semaphore

import numpy as np
import pytest
from PIL import Image

from latentfill.errors import DataError
from latentfill.runs.data import open_dataset
from latentfill.runs.remote_pictures import fetch, is_remote

fsspec = pytest.importorskip("fsspec")


def picture(i: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(file, "PNG")
    return file.getvalue()


def shard(numbers: range) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for i in numbers:
            info = tarfile.TarInfo(f"{i:03}.png")
            info.size = len(picture(i))
            tar.addfile(info, io.BytesIO(picture(i)))
    return file.getvalue()


@pytest.fixture
def store() -> str:
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    for name, content in {
        "faces/a-0.tar": shard(range(3)),
        "faces/a-1.tar": shard(range(3, 5)),
        "faces/more/9.png": picture(9),
        "faces/notes.txt": b"nothing",
    }.items():
        memory.pipe(f"/{name}", content)
    return "memory://faces"


def test_shards_are_fetched_once_and_read_like_others(store: str, tmp_path: Path) -> None:
    told: list[str] = []
    places = fetch([store], tmp_path, told.append)
    assert told[-1].startswith("fetching 3 of 3 files") and store in told[-1]
    data = open_dataset(places, 8, 3, tmp_path)
    assert [name for name in data.names] == [
        *(f"a-0.tar/00{i}.png" for i in range(3)),
        *(f"a-1.tar/00{i}.png" for i in range(3, 5)),
        "more/9.png",
    ]
    assert data.pixels[5, 0, 0, 0] == 9
    assert fetch([store], tmp_path, told.append) == places
    assert "all 3 files are in" in told[-1]


def test_only_what_changed_is_fetched_again_and_what_is_gone_goes(store: str, tmp_path: Path) -> None:
    (folder,) = fetch([store], tmp_path)
    memory = fsspec.filesystem("memory")
    memory.pipe("/faces/a-1.tar", shard(range(7, 8)))
    memory.rm("/faces/more/9.png")
    told: list[str] = []
    fetch([store], tmp_path, told.append)
    assert told[0].startswith("fetching 1 of 2 files")
    data = open_dataset([folder], 8, 3, tmp_path)
    assert [int(p[0, 0, 0]) for p in data.pixels] == [0, 1, 2, 7]


def test_a_file_a_pattern_and_a_local_folder_do_too(store: str, tmp_path: Path) -> None:
    (single,) = fetch([f"{store}/a-0.tar"], tmp_path)
    assert len(open_dataset([single], 8, 3, tmp_path)) == 3
    (pattern,) = fetch([f"{store}/a-*.tar"], tmp_path)
    assert len(open_dataset([pattern], 8, 3, tmp_path)) == 5
    local = tmp_path / "local"
    local.mkdir()
    (local / "1.png").write_bytes(picture(1))
    (there,) = fetch([local.as_uri()], tmp_path / "cache")
    assert len(open_dataset([there], 8, 3, tmp_path)) == 1
    assert fetch([str(local)]) == [local]


def test_what_comes_cut_short_is_told_and_what_came_whole_is_kept(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(fsspec.filesystem("memory"))
    whole = kind.get_file

    others = Semaphore(0)

    def cut(self: object, remote: str, local: str) -> None:
        whole(self, remote, local)
        if not remote.endswith("a-1.tar"):
            others.release()
        else:  # the others are there already, also those after it
            assert all(others.acquire(timeout=10) for _ in range(2))
            Path(local).write_bytes(Path(local).read_bytes()[:100])

    with monkeypatch.context() as patch:
        patch.setattr(kind, "get_file", cut)
        with pytest.raises(DataError, match=r"a-1\.tar: came cut short, 100 of"):
            fetch([store], tmp_path)
    told: list[str] = []
    fetch([store], tmp_path, told.append)
    assert told[0].startswith("fetching 1 of 3 ")
    assert not list(tmp_path.rglob("*.making"))


def test_a_store_without_pictures_or_that_is_not_there_is_told(store: str, tmp_path: Path) -> None:
    for url, said in (
        ("memory://nowhere", "no pictures found"),
        (f"{store}/notes.txt", "no pictures found"),
        ("nonsense://x/y", "cannot be listed"),
    ):
        with pytest.raises(DataError, match=said):
            fetch([url], tmp_path)


def test_what_lies_in_a_store_is_known_by_its_name() -> None:
    assert all(map(is_remote, ("s3://bucket/faces", "file:///data", "memory://x", "simplecache::s3://b/x")))
    assert not any(map(is_remote, ("faces", "C:/faces", "/data/s3:/x", "./a")))
