"""The verb as torchrun starts it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from latentfill.cli.main import run
from latentfill.runs import checkpoints

TINY = ["--preset", "seed", "--size", "8", "--base", "2", "--latent", "3", "--batch-size", "4", "--precision", "fp32"]
OFTEN = ["--checkpoint-every", "8", "--sample-every", "1M", "--score-every", "0", "--device", "cpu", "--threads", "1"]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.Generator(np.random.Philox(key=1))
    for i in range(12):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{i:02}.png")
    return folder


def words(data: str, folder: Path, images: str) -> list[str]:
    kept = ["--cache", str(folder.parent / "cache"), "--images-seen", images]
    return ["train", data, "--run", str(folder), *TINY, *OFTEN, *kept]


def newest(folder: Path) -> int:
    return max((int(path.stem) for path in checkpoints.list_checkpoints(folder / "checkpoints")), default=0)


def beyond(images: int, folder: Path, process: "subprocess.Popen[Any]") -> None:
    deadline = time.monotonic() + 300
    while newest(folder) <= images:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no /proc to find the workers in")
def test_a_lost_worker_costs_little_and_a_signal_nothing(pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    folder = tmp_path / "run"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    launch += ["--max-restarts", "1", "-m", "--", "latentfill"]  # or torchrun takes --run for an option of its own
    command = [*launch, *words(pictures.as_uri(), folder, "100M")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env=environment)
    try:
        beyond(8, folder, process)
        os.kill(children(process.pid)[0], signal.SIGKILL)
        last = checkpoints.list_checkpoints(folder / "checkpoints")[0]
        os.truncate(last, last.stat().st_size // 2)  # as a machine does that loses power
        seen = newest(folder)
        beyond(seen, folder, process)
        for worker in children(process.pid):
            os.kill(worker, signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
    text = (tmp_path / "said").read_text()
    assert "2 processes, 2 images of a batch each" in text and "fetching 12 of 12 files" in text
    assert f"{last.name} cannot be read and is passed over" in text
    assert f"training continues at {seen - 8:,} images" in text
    assert text.count("Stopped and saved") == 1
    state, broken = checkpoints.read_newest(folder / "checkpoints")
    assert state and state["images_seen"] > seen and not broken


def test_workers_without_an_engine_are_told_how_to_start(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words(str(pictures), tmp_path / "run", "8"), "--workers", "2"]) == 2
    assert "torchrun --standalone --nproc-per-node 2" in capsys.readouterr().err
