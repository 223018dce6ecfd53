"""Repositories of the Hugging Face hub. Nothing here runs unless one is named: hf://OWNER/NAME."""

import re
import tempfile
from pathlib import Path
from typing import Any

from ..errors import ExtraError, ModelError
from .pushed import CARD, CONFIG, MODEL, write

PREFIX = "hf://"


def named(name: str | Path) -> bool:
    """Whether this names a repository, and no file or folder."""
    return str(name).startswith(PREFIX)


def fetch(name: str, revision: str | None = None) -> Path:
    """The folder that a repository was downloaded to: its model and config, no other file, and nothing that runs.

    What was downloaded before is not again. Raises ExtraError without huggingface_hub; ModelError if it cannot be had.
    """
    repository, hub = _repository(name), _library()
    try:
        return Path(hub.snapshot_download(repository, revision=revision, allow_patterns=[MODEL, CONFIG]))
    except Exception as error:  # what the library raises has no common ancestor
        cure = "Check its name and the connection; for a private one, log in: hf auth login."
        raise ModelError(f"{name} cannot be downloaded: {_first_line(error)}", cure) from error


def upload(model: Path, name: str, license: str, text: str | None, *, public: bool) -> None:
    """Push a model to a repository, which is made, private unless told, if there is none. Raises as `fetch`."""
    repository, hub = _repository(name), _library()
    with tempfile.TemporaryDirectory(prefix="latentfill-push-") as folder:
        write(model, Path(folder), repository.split("/")[1], license, text)
        try:
            hub.create_repo(repository, private=not public, exist_ok=True)
            if text is None and hub.file_exists(repository, CARD):  # theirs may say more than ours
                (Path(folder) / CARD).unlink()
            hub.upload_folder(repo_id=repository, folder_path=folder, commit_message="Push a model of latentfill")
        except Exception as error:  # what the library raises has no common ancestor
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
        raise ExtraError(
            "hf:// needs the library huggingface_hub, which is not installed",
            "Install it: pip install 'latentfill[hub]'.",
        ) from error
    return huggingface_hub


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
