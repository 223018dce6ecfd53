"""One cluster of two nodes for all but the first.

What kills do to a block and to a manifest is in test_blocks, without Ray.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from PIL import Image

from latentfill.cli.main import run
from latentfill.cluster import connection as fleet
from latentfill.gan import model_file
from latentfill.options import NetworkOptions
from latentfill.runs import checkpoints

ray = pytest.importorskip("ray")
parquet = pytest.importorskip("pyarrow.parquet")
SIZE, COUNT = 16, 12
PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    from ray.cluster_utils import Cluster

    before = dict(os.environ)
    os.environ.update(fleet.QUIET)
    os.environ["PYTHONPATH"] = str(PROJECT)
    node = {"num_cpus": 1, "object_store_memory": 80_000_000}
    needless = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
    made = Cluster(initialize_head=True, head_node_args={**node, **needless})
    made.add_node(**node)
    os.environ[fleet.ADDRESS] = made.address
    yield made
    ray.shutdown()
    made.shutdown()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True)
def interruptible():
    """As on a terminal, also where a shell in the background has these tests ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place")
    model_file.save(model_file.build(NetworkOptions(size=SIZE, base=4, latent=6)), folder / "tiny.safetensors")
    (folder / "faces").mkdir()
    for i in range(COUNT):
        pixels = np.random.default_rng(i).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "faces" / f"{i:03}.png")
    (folder / "faces" / "bad.png").write_bytes(b"not a picture")
    return folder


def words(place, out, *more):
    flags = ["--model", str(place / "tiny.safetensors"), "--precision", "fp32", "--batch-size", "2", "--every", "0"]
    return ["complete", str(place / "faces"), "--out", str(out), *flags, *map(str, more)]


def on_ray(words, steps):
    """A driver in a process of its own."""
    command = [sys.executable, "-m", "latentfill", *words, "--engine", "ray", "--steps", str(steps)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=PROJECT)


def workers():
    """Processes that complete."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            title, owner = path.read_bytes(), path.stat().st_uid
        except OSError:
            continue
        if b"(LatentfillWorker)" in title and owner == os.getuid():
            found.append(int(path.parent.name))
    return found


def wait_for(what, seconds=300):
    until = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.05)
    return value


def check_manifest(out):
    table = parquet.read_table(out / "_run" / "manifest.parquet").to_pylist()
    assert Counter(row["path"] for row in table) == Counter([*(f"{i:03}.png" for i in range(COUNT)), "bad.png"])
    assert [row["path"] for row in table if row["error"]] == ["bad.png"]
    assert all((out / row["output"]).stat().st_size == row["output_bytes"] for row in table if row["output"])
    return {row["path"]: row for row in table}


def test_ray_of_this_machine_trains_what_one_process_does(place, tmp_path, capsys):
    tiny = "--preset seed --size 8 --base 2 --latent 3 --batch-size 4 --precision fp32 --device cpu --threads 1"
    asked = ["train", str(place / "faces"), "--cache", str(tmp_path / "cache"), *tiny.split()]
    asked += ["--images-seen", "16", "--score-every", "0"]
    assert run([*asked, "--run", str(tmp_path / "one")]) == 0
    capsys.readouterr()
    assert run([*asked, "--run", str(tmp_path / "ray"), "--engine", "ray", "--workers", "2"]) == 0
    told = capsys.readouterr()
    assert told.err.count("2 processes, 2 images of a batch each") == 1
    states = [checkpoints.read_newest(tmp_path / name / "checkpoints")[0] for name in ("one", "ray")]
    assert states[0] and states[1]
    for name, weights in states[0]["generator"].items():
        torch.testing.assert_close(states[1]["generator"][name], weights, atol=1e-5, rtol=1e-4)


def test_kills_of_an_actor_the_driver_and_a_node_and_ctrl_c_lose_and_double_nothing(cluster, place, tmp_path, capsys):
    out = tmp_path / "out"
    asked, steps = words(place, out, "--preset", "seed"), 60

    def answered():
        return len(list(out.glob("*.json")))

    driver = on_ray([*asked, "--workers", "1"], steps)
    os.kill(wait_for(lambda: answered() and workers())[0], signal.SIGKILL)
    before = answered()
    wait_for(lambda: answered() > before)
    driver.kill()
    driver.communicate()
    wait_for(lambda: not workers())  # its last actor may still answer, and would set off the Ctrl-C below too soon
    kept = {path.name: path.stat().st_mtime_ns for path in out.glob("*.json")}
    assert 0 < len(kept) < COUNT

    ctrl_c = Thread(
        target=lambda: wait_for(lambda: answered() > len(kept)) and os.kill(os.getpid(), signal.SIGINT), daemon=True
    )
    ctrl_c.start()
    here = [*asked, "--engine", "ray", "--steps", str(steps)]
    assert run([*here, "--workers", "1"]) == 130
    ctrl_c.join()
    told = capsys.readouterr().err
    assert told.endswith(
        "latentfill complete: stopped; the same command goes on\n"
    ) and "ray" not in told.lower().replace("starting ray", "")
    wait_for(lambda: not workers())
    halfway = parquet.read_table(out / "_run" / "manifest.parquet").to_pylist()
    assert all((out / row["output"]).stat().st_size == row["output_bytes"] for row in halfway if row["output"])

    before = answered()

    def lose_a_node():
        wait_for(lambda: answered() > before)
        cluster.remove_node(next(iter(cluster.worker_nodes)))

    loss = Thread(target=lose_a_node, daemon=True)
    loss.start()
    assert run(here) == 1, "the bad picture is told by the exit code"
    loss.join()
    assert not cluster.worker_nodes
    told = capsys.readouterr().out.split()
    assert len(told) == len(set(told)) and set(told) <= {str(out / f"{i:03}.png") for i in range(COUNT)}
    rows = check_manifest(out)
    assert all(path.stat().st_mtime_ns == kept[path.name] for path in out.glob("*.json") if path.name in kept)

    plain = tmp_path / "plain"
    assert run([*words(place, plain, "--preset", "seed"), "--steps", str(steps)]) == 1
    assert {path.name for path in plain.glob("*.png")} == {path.name for path in out.glob("*.png")}
    for path in plain.glob("*.json"):
        one, other = json.loads(path.read_text()), json.loads((out / path.name).read_text())
        assert np.isclose(one["loss"], other["loss"], rtol=1e-3) and np.allclose(one["z"], other["z"], atol=1e-2)
        assert one["weights"] == rows[f"{path.stem}.png"]["model_hash"]


def test_faces_are_aligned_and_methods_evaluated_as_by_one_process(cluster, place, tmp_path, capsys):
    align = ["align", str(place / "faces"), "--size", "8", "--no-faces", "--workers", "1"]
    assert run([*align[:2], str(tmp_path / "crops"), *align[2:], "--engine", "ray"]) == 1
    assert run([*align[:2], str(tmp_path / "plain"), *align[2:]]) == 1
    lines = [json.loads(line) for line in (tmp_path / "crops" / "_run" / "photos.jsonl").read_text().splitlines()]
    assert Counter(line["path"] for line in lines) == Counter([*(f"{i:03}.png" for i in range(COUNT)), "bad.png"])
    for path in (tmp_path / "plain").glob("*.png"):
        assert (tmp_path / "crops" / path.name).read_bytes() == path.read_bytes()

    evaluate = ["evaluate", str(place / "faces"), "--model", str(place / "tiny.safetensors"), "--holes", "center,left"]
    evaluate += ["--methods", "mean,fast", "--batch-size", "16"]
    assert run([*evaluate, "--out", str(tmp_path / "ray"), "--engine", "ray", "--workers", "1"]) == 1
    assert run([*evaluate, "--out", str(tmp_path / "one")]) == 1
    one, other = (json.loads((tmp_path / name / "report.json").read_text())["rows"] for name in ("one", "ray"))
    assert [row["method"] for row in one] == [row["method"] for row in other]
    assert np.allclose([row["value"] for row in one], [row["value"] for row in other], rtol=0.02, atol=0.02)


def test_without_ray_the_extra_is_named(place, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(fleet, "find_spec", lambda name: None)
    for verb in (words(place, tmp_path), ["evaluate", str(place / "faces"), "--out", str(tmp_path)]):
        assert run([*verb, "--engine", "ray"]) == 2
    align = ["align", str(place / "faces"), str(tmp_path / "crops"), "--no-faces", "--engine", "ray"]
    assert run(align) == 2
    assert capsys.readouterr().err.count("pip install 'latentfill[ray]'") == 3


def test_no_pictures_and_an_address_where_nobody_is_are_told_in_two_lines(place, tmp_path, capsys, monkeypatch):
    (tmp_path / "empty").mkdir()
    asked = words(place, tmp_path / "out")
    assert run([asked[0], str(tmp_path / "empty"), *asked[2:], "--engine", "ray"]) == 2
    assert "no pictures in" in capsys.readouterr().err
    monkeypatch.setenv(fleet.ADDRESS, "127.0.0.1:1")
    monkeypatch.setattr(ray, "init", lambda **_: (_ for _ in ()).throw(ConnectionError("nobody there\nat all")))
    assert run([*asked, "--engine", "ray"]) == 2
    assert "RAY_ADDRESS=127.0.0.1:1 cannot be reached: nobody there\n" in capsys.readouterr().err


def test_ctrl_c_while_ray_begins_counts_when_it_has_begun():
    done = []

    def begin():
        os.kill(os.getpid(), signal.SIGINT)
        done.append(True)

    with pytest.raises(KeyboardInterrupt):
        fleet._run_silently(begin)
    assert done and signal.getsignal(signal.SIGINT) is signal.default_int_handler
