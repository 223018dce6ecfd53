"""Models to share: a folder of three files, and the same folder as a repository of the Hugging Face hub,
hf://OWNER/NAME.

- model.safetensors: the model file, to the bit; all that is needed
- config.json: the content of its header, for programs that cannot read it, and a digest of the file
- README.md: the model card

The hub's library is not used unless a repository is named.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ExtraError, ModelError, explain
from ..version import __version__
from .card import facts, model_card

MODEL, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
AGAIN = "Get all of its files again, from one place; or push the model anew."
IGNORED = ("latentfill_version", "library_name")  # these describe the version that pushed it
POINTER = b"version https://git-lfs"  # git's placeholder for a large file that it did not fetch


def write(model: Path, folder: Path, name: str, license: str = "unknown", text: str | None = None) -> list[Path]:
    """Write the three files. A README.md that is there already stays, unless a text is given.

    Raises ModelError for a folder that holds something else, and when it cannot be written to.
    """
    about = facts(model)
    _check_free(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".making-", dir=folder) as making:
            shutil.copyfile(model, Path(making) / MODEL)
            config = _config(about) | {"file": _fingerprint(Path(making) / MODEL)}
            (Path(making) / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
            if text is not None or not (folder / CARD).exists():
                (Path(making) / CARD).write_text(model_card(about, name, license, text, _text_beside(model)))
            made = [folder / file for file in (MODEL, CONFIG, CARD) if (Path(making) / file).exists()]
            for path in made:
                os.replace(Path(making) / path.name, path)
    except OSError as error:
        raise explain(error, folder, ModelError) from error
    return made


def is_pushed(folder: Path) -> bool:
    """True for a folder that `write` made, going by its config.json."""
    return (folder / CONFIG).is_file()


def check(folder: Path) -> None:
    """Raise ModelError if one of the files is missing, or does not match the other."""
    for name in (MODEL, CONFIG):
        if not (folder / name).is_file():
            raise ModelError(f"{folder} holds no {name}", AGAIN)
    config = _read(folder / CONFIG)
    with (folder / MODEL).open("rb") as file:
        if file.read(len(POINTER)) == POINTER:
            raise ModelError(f"{folder / MODEL}: only a pointer of Git LFS", "Fetch the file itself: git lfs pull.")
    if config["file"] != _fingerprint(folder / MODEL):
        raise ModelError(f"{folder}: {MODEL} is not the file that {CONFIG} describes", AGAIN)
    actual = _config(facts(folder / MODEL))
    wrong = [key for key in actual if key not in IGNORED and config.get(key) != actual[key]]
    if wrong:
        raise ModelError(f"{folder}: {CONFIG} and {MODEL} differ in {', '.join(wrong)}", AGAIN)


def _read(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text())
        if not str(config["format"]).startswith("latentfill") or not isinstance(config["file"], dict):
            raise ValueError("another format")
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: not of a latentfill model, or damaged", AGAIN) from error
    return dict(config)


def _config(facts: Mapping[str, Any]) -> dict[str, Any]:
    """All that the header says but the calibration, which is long and means nothing to readers."""
    about = {key: value for key, value in facts["about"].items() if key != "trust"}
    same = {key: facts[key] for key in ("format", "kind", "network", "encoder", "parameters")}
    return {"library_name": "latentfill", "latentfill_version": __version__, **same, "about": about}


def _fingerprint(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": MODEL, "bytes": path.stat().st_size, "sha256": digest}


def _text_beside(model: Path) -> str | None:
    """The text of the same name beside a model file, as for the models in the package."""
    beside = model.with_suffix(".md")
    return beside.read_text() if beside.is_file() else None


def _check_free(folder: Path) -> None:
    """Raise ModelError if something lies there that is no pushed model: a run, say, whose model would be lost."""
    if folder.is_file():
        raise ModelError(f"{folder} is a file", "Give a folder, or a repository as hf://OWNER/NAME.")
    if not folder.is_dir():
        return
    if is_pushed(folder):
        _read(folder / CONFIG)
    elif others := sorted(p.name for p in folder.iterdir() if p.name[0] != "." and p.name not in (CARD, "LICENSE")):
        cure = "Give a new folder, or one pushed to before."
        raise ModelError(f"{folder} holds {others[0]} already, and no pushed model", cure)


PREFIX = "hf://"


def is_repository(name: str | Path) -> bool:
    """True for the name of a repository, rather than a file or folder."""
    return str(name).startswith(PREFIX)


def fetch(name: str, revision: str | None = None) -> Path:
    """Download a repository's model and config, no other file and nothing that runs, and return their folder.

    The library keeps what it has downloaded. Raises ExtraError without huggingface_hub; ModelError if it cannot be had.
    """
    repository, hub = _repository(name), _library()
    try:
        return Path(hub.snapshot_download(repository, revision=revision, allow_patterns=[MODEL, CONFIG]))
    except Exception as error:  # the library's errors have no common base class
        cure = "Check its name and the connection; for a private one, log in: hf auth login."
        raise ModelError(f"{name} cannot be downloaded: {_first_line(error)}", cure) from error


def upload(model: Path, name: str, license: str, text: str | None, *, public: bool) -> None:
    """Push a model to a repository, which is made, private unless told, if there is none. Raises as `fetch`."""
    repository, hub = _repository(name), _library()
    with tempfile.TemporaryDirectory(prefix="latentfill-push-") as folder:
        write(model, Path(folder), repository.split("/")[1], license, text)
        try:
            hub.create_repo(repository, private=not public, exist_ok=True)
            if text is None and hub.file_exists(repository, CARD):  # the card there may say more than ours
                (Path(folder) / CARD).unlink()
            hub.upload_folder(repo_id=repository, folder_path=folder, commit_message="Push a model of latentfill")
        except Exception as error:  # the library's errors have no common base class
            cure = "Check its name and the connection, and log in as someone who may write there: hf auth login."
            raise ModelError(f"{name} cannot be written to: {_first_line(error)}", cure) from error


def _repository(name: str) -> str:
    repository = name.removeprefix(PREFIX)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise ModelError(f"{name!r} is no repository", "Write hf://OWNER/NAME.")
    return repository


def _library() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        what = "hf:// needs the library huggingface_hub, which is not installed"
        raise ExtraError(what, "Install it: pip install 'latentfill[hub]'.") from error
    return huggingface_hub


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
