"""Repositories of the hub, against a stub of huggingface_hub: no test talks to anyone."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from latentfill.cli.main import run
from latentfill.errors import ExtraError, ModelError
from latentfill.gan.model_file import build, save
from latentfill.models import find, from_pretrained, hub, load
from latentfill.options import NetworkOptions


class Stub(ModuleType):
    """The four functions that are used, with the library's own names and parameters; a repository is a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__("huggingface_hub")
        self.folder, self.calls, self.broken = folder, [], None

    folder: Path
    calls: list[tuple[Any, ...]]
    broken: Exception | None

    def create_repo(self, repo_id: str, *, private: bool | None = None, exist_ok: bool = False) -> None:
        self.calls.append(("create", repo_id, private, exist_ok))
        (self.folder / repo_id).mkdir(parents=True, exist_ok=exist_ok)

    def file_exists(self, repo_id: str, filename: str) -> bool:
        return (self.folder / repo_id / filename).exists()

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str | None = None) -> None:
        if self.broken:
            raise self.broken
        self.calls.append(("upload", sorted(path.name for path in Path(folder_path).iterdir())))
        shutil.copytree(folder_path, self.folder / repo_id, dirs_exist_ok=True)

    def snapshot_download(self, repo_id: str, *, revision: str | None = None, allow_patterns: Sequence[str]) -> str:
        if self.broken:
            raise self.broken
        self.calls.append(("download", repo_id, revision, sorted(allow_patterns)))
        out = self.folder / "cache" / repo_id
        out.mkdir(parents=True, exist_ok=True)
        for name in allow_patterns:
            if (self.folder / repo_id / name).exists():
                shutil.copy(self.folder / repo_id / name, out / name)
        return str(out)


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    stub = Stub(tmp_path / "hub")
    monkeypatch.setitem(sys.modules, "huggingface_hub", stub)
    return stub


@pytest.fixture
def model(tmp_path: Path) -> Path:
    save(build(NetworkOptions(size=8, base=2, latent=3)), tmp_path / "m.safetensors")
    return tmp_path / "m.safetensors"


def test_a_model_goes_to_a_repository_and_comes_back_to_the_bit(stub: Stub, model: Path, capsys: Any) -> None:
    assert run(["push", str(model), "hf://ann/faces", "--license", "mit"]) == 0
    assert capsys.readouterr().out == "hf://ann/faces\n"
    assert stub.calls == [
        ("create", "ann/faces", True, True),
        ("upload", ["README.md", "config.json", "model.safetensors"]),
    ]
    told = (stub.folder / "ann" / "faces" / "README.md").read_text()
    assert "license: mit" in told and "# faces" in told
    gan = from_pretrained("hf://ann/faces", revision="v1")
    assert stub.calls[-1] == ("download", "ann/faces", "v1", ["config.json", "model.safetensors"])
    assert (stub.folder / "cache/ann/faces/model.safetensors").read_bytes() == model.read_bytes()
    assert gan.network == load(model).network


def test_a_repository_is_public_only_if_told_and_keeps_its_card(stub: Stub, model: Path, tmp_path: Path) -> None:
    assert run(["push", str(model), "hf://ann/faces", "--public"]) == 0
    assert stub.calls[0] == ("create", "ann/faces", False, True)
    card = stub.folder / "ann" / "faces" / "README.md"
    card.write_text("by hand")
    assert run(["push", str(model), "hf://ann/faces"]) == 0
    assert card.read_text() == "by hand" and stub.calls[-1] == ("upload", ["config.json", "model.safetensors"])
    (tmp_path / "card.md").write_text("# New\n")
    assert run(["push", str(model), "hf://ann/faces", "--card", str(tmp_path / "card.md")]) == 0
    assert "# New" in card.read_text()


def test_what_was_downloaded_is_checked_like_a_folder(stub: Stub, model: Path) -> None:
    hub.upload(model, "hf://ann/faces", "mit", None, public=False)
    (stub.folder / "ann" / "faces" / "model.safetensors").write_bytes(b"something else")
    with pytest.raises(ModelError, match=r"is not the file that config\.json describes"):
        from_pretrained("hf://ann/faces")


@pytest.mark.parametrize("error", [ConnectionError("no route\nmore"), ValueError("no route"), Exception("no route")])
def test_what_the_library_raises_is_told_in_a_line(stub: Stub, model: Path, error: Exception) -> None:
    stub.broken = error
    with pytest.raises(ModelError, match=r"hf://ann/faces cannot be downloaded: no route\n") as caught:
        from_pretrained("hf://ann/faces")
    assert "hf auth login" in caught.value.cure
    with pytest.raises(ModelError, match=r"hf://ann/faces cannot be written to: no route\n"):
        hub.upload(model, "hf://ann/faces", "mit", None, public=False)


@pytest.mark.parametrize("name", ["hf://faces", "hf://", "hf://a/b/c", "hf://a b/c"])
def test_a_name_that_cannot_be_one_is_refused_before_anybody_is_asked(stub: Stub, name: str) -> None:
    with pytest.raises(ModelError, match="is no repository"):
        from_pretrained(name)
    assert not stub.calls


def test_nothing_but_a_named_repository_asks_the_hub(stub: Stub, model: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"there is no folder 'ann/faces'") as caught:
        from_pretrained("ann/faces")
    assert "hf://OWNER/NAME" in caught.value.cure
    assert run(["push", str(model), "ann/faces"]) == 0  # a folder
    from_pretrained("ann/faces")
    with pytest.raises(ModelError, match="models are not downloaded here"):
        find("hf://ann/faces")
    assert not stub.calls
    with pytest.raises(ValueError, match="has revisions"):
        from_pretrained("ann/faces", revision="v1")


def test_without_the_library_the_cure_is_named(model: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for attempt in (
        lambda: from_pretrained("hf://ann/faces"),
        lambda: hub.upload(model, "hf://a/b", "mit", None, public=False),
    ):
        with pytest.raises(ExtraError, match=r"pip install 'latentfill\[hub\]'"):
            attempt()
