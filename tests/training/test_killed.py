"""kill -9 in the middle of everything."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from latentfill.options import NetworkOptions, RunOptions, TrainOptions
from latentfill.runs import checkpoints
from latentfill.runs.data import Dataset
from latentfill.training.gan_run import train

NETWORK = NetworkOptions(size=8, base=2, latent=3)
TRAIN = TrainOptions(images_seen=10**6, batch_size=4)
RUN = RunOptions(sample_every=32, checkpoint_every=4, log_every=4, device="cpu", threads=1)  # mostly it is saving
PIXELS = np.random.Generator(np.random.Philox(key=1)).integers(0, 256, (10, 8, 8, 3), dtype=np.uint8)
DATA = Dataset(PIXELS, [str(i) for i in range(10)], [])
# Nobody but the signal ends it.
ENDLESS = f"""
import sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from latentfill.options import NetworkOptions, RunOptions, TrainOptions
from latentfill.runs.data import Dataset
from latentfill.training.gan_run import train
from latentfill.training.trainer import GanTrainer
original = GanTrainer.averaged_generator
GanTrainer.averaged_generator = lambda self, images=0: original(self, 64)
pixels = np.random.Generator(np.random.Philox(key=1)).integers(0, 256, (10, 8, 8, 3), dtype=np.uint8)
data = Dataset(pixels, [str(i) for i in range(10)], [])
for progress in train(data, Path(sys.argv[1]), {NETWORK!r}, {TRAIN!r}, {RUN!r}):
    print(progress.images_seen, flush=True)
"""


def finish(folder: Path, images: int) -> dict[str, Any]:
    for _ in train(DATA, folder, NETWORK, replace(TRAIN, images_seen=images), RUN):
        pass
    state, broken = checkpoints.read_newest(folder / "checkpoints")
    assert state and not broken
    return state


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    return bool(a == b)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_training_goes_on_to_the_bit(tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    for kill_at in (12, 32):
        process = subprocess.Popen([sys.executable, "-c", ENDLESS, str(folder)], stdout=subprocess.PIPE, text=True)
        assert process.stdout
        for line in process.stdout:
            if int(line) >= kill_at:
                break
        time.sleep(0.03)  # somewhere in the next batch, or while it is saved
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        process.stdout.close()
        state, broken = checkpoints.read_newest(folder / "checkpoints")
        assert state and not broken
        seen = state["images_seen"]
        assert seen >= kill_at
    end = seen + 12
    assert equal(finish(folder, end), finish(tmp_path / "straight", end))
    both = [(tmp_path / name / "metrics.csv").read_text().splitlines() for name in ("killed", "straight")]
    assert [line.split(",")[:5] for line in both[0]] == [line.split(",")[:5] for line in both[1]]
