"""What of a learner is kept in its run's folder: checkpoints to go on from, and model files to use."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from ...gan import checkpoint
from .. import checkpoints
from ..dataset import Dataset
from ..folder import origin
from .learner import Learner
from .signs import Trouble
from .watchdog import Watchdog


@final
class Keeper:
    """Writes into one folder. The watchdog says which checkpoint must stay."""

    def __init__(self, folder: Path, data: Dataset | None, keep: int, watch: Watchdog) -> None:
        self.folder, self.data, self.keep, self.watch = folder, data, keep, watch
        self.checkpoints = folder / "checkpoints"

    def save(self, learner: Learner) -> None:
        """A checkpoint, with what the watchdog remembers if it watches."""
        state = learner.state_dict()
        if self.watch.run.watch:
            state["watchdog"] = self.watch.state_dict()
        good = self.watch.good(self._seen(), learner.images_per_step)
        checkpoints.save(self.checkpoints, learner.images_seen, state, self.keep, good)

    def good(self, learner: Learner, trouble: Trouble) -> dict[str, Any] | None:
        """The checkpoint to go back to after such trouble, or None: then from the beginning."""
        seen = self.watch.good(self._seen(), learner.images_per_step, trouble)
        return checkpoints.newest(self.checkpoints, lambda one: one == seen)[0]

    def save_models(self, learner: Learner, name: str = "model") -> None:
        """The model files, by the name they begin with."""
        for kind, model in learner.models(self.about(learner)).items():
            checkpoint.save(model, self.folder / f"{name}{kind}.safetensors")

    def about(self, learner: Learner) -> Mapping[str, Any]:
        """How a model was made."""
        about: dict[str, Any] = {"images_seen": learner.images_seen, "pictures": len(self.data or ()), **origin()}
        if self.data and self.data.alignment is not None:
            about |= {"alignment": dict(self.data.alignment)}
        if self.data and self.data.classes:
            about |= {"classes": dict(self.data.classes)}
        return about

    def models_are_stale(self, learner: Learner) -> bool:
        """Whether the model files are older than the newest checkpoint, or not there."""
        last = checkpoints.listed(self.checkpoints)[0].stat().st_mtime_ns
        paths = [self.folder / f"model{kind}.safetensors" for kind in learner.suffixes]
        return not all(path.exists() and path.stat().st_mtime_ns >= last for path in paths)

    def _seen(self) -> list[int]:
        return [int(path.stem) for path in checkpoints.listed(self.checkpoints)]
