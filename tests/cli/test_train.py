import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from latentfill.cli.configuration import read_options
from latentfill.cli.main import run
from latentfill.files.locks import try_lock
from latentfill.gan.model_file import build, build_residual_encoder, save
from latentfill.models import load, load_context
from latentfill.options import NetworkOptions
from latentfill.options.commands import TrainCommand

TINY = ["--size", "8", "--base", "4", "--latent", "6", "--batch-size", "4", "--precision", "fp32", "--threads", "1"]


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(10):
        Image.fromarray(rng.integers(0, 256, (12, 10, 3), dtype=np.uint8)).save(folder / f"{i}.jpg")
    return folder


def words(pictures, tmp_path, *more):
    cache = ["--cache", str(tmp_path / "cache")]
    return ["train", str(pictures), "--run", str(tmp_path / "run"), *TINY, *cache, *map(str, more)]


def test_training_goes_from_a_folder_to_a_model_that_completes(pictures, tmp_path, capsys):
    (pictures / "broken.png").write_bytes(b"no picture")
    assert run(words(pictures, tmp_path, "--images-seen", 40)) == 0
    told = capsys.readouterr()
    assert "a new model begins" in told.err and "they cannot be read: 1" in told.err
    assert told.out.strip() == str(tmp_path / "run" / "model.safetensors")
    assert next(csv.DictReader((tmp_path / "run" / "rejected.csv").open()))["path"] == "broken.png"
    assert run(["info", str(tmp_path / "run")]) == 0
    told = capsys.readouterr().out  # of 40 images the last 10 are the completer's, in batches of 4
    assert "images seen    32" in told and "images_seen              12" in told
    done = ["complete", str(pictures / "1.jpg"), "--fit", "--out", str(tmp_path / "out"), "--cold-steps", "1"]
    assert run([*done, "--model", str(tmp_path / "run")]) == 0


def test_the_same_command_continues_and_says_so(pictures, tmp_path, capsys):
    run(words(pictures, tmp_path, "--images-seen", 20))
    run(words(pictures, tmp_path, "--images-seen", 40))
    assert "training continues at 16 images" in capsys.readouterr().err
    assert run(words(pictures, tmp_path, "--images-seen", 40)) == 0
    assert "Nothing to do" in capsys.readouterr().err


def test_other_networks_in_the_same_run_are_refused(pictures, tmp_path, capsys):
    run(words(pictures, tmp_path, "--images-seen", 8))
    assert run(words(pictures, tmp_path, "--images-seen", 8, "--prior", "uniform")) == 2
    assert "prior" in capsys.readouterr().err


def test_fewer_pictures_than_a_batch_are_told(pictures, tmp_path, capsys):
    assert run([*words(pictures, tmp_path), "--batch-size", "11"]) == 2
    assert "10 pictures are fewer than one batch of 11" in capsys.readouterr().err


def test_no_pictures_are_told(tmp_path, capsys):
    assert run(["train", "--run", str(tmp_path / "run")]) == 2
    assert run(["train", str(tmp_path / "nowhere"), "--run", str(tmp_path / "run")]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_a_signal_saves_and_leaves_and_the_same_command_goes_on(pictures, tmp_path, capsys):
    asked = words(pictures, tmp_path, "--images-seen", 10**8, "--no-completer", "--score-every", 0, "--log-every", 8)
    metrics, checkpoints = tmp_path / "run" / "metrics.csv", tmp_path / "run" / "checkpoints"

    def rows():
        return len(metrics.read_text().splitlines()) if metrics.exists() else 0

    def kill(pid, number, more_than):
        deadline = time.monotonic() + 120
        while rows() <= more_than and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(pid, number)

    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "latentfill", *asked]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    kill(process.pid, signal.SIGTERM, 2)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 0 and "a new model begins" in told and "Stopped and saved" in told
    seen = max(int(path.stem) for path in checkpoints.iterdir())

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background has it ignored
    Thread(target=kill, args=(os.getpid(), signal.SIGINT, rows()), daemon=True).start()
    try:
        assert run(asked) == 0
    finally:
        signal.signal(signal.SIGINT, before)
    told = capsys.readouterr().err
    assert f"training continues at {seen:,} images" in told and "Stopped and saved" in told
    assert max(int(path.stem) for path in checkpoints.iterdir()) > seen


def test_info_prints_json_without_torch(pictures, tmp_path):
    run(words(pictures, tmp_path, "--images-seen", 8))
    code = (
        "import sys\nfrom latentfill.cli.main import run\n"
        f"code = run(['info', {str(tmp_path / 'run' / 'model.safetensors')!r}, '--json'])\n"
        "assert 'torch' not in sys.modules\nsys.exit(code)"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    facts = json.loads(told)
    assert facts["network"]["size"] == 8 and facts["about"]["images_seen"] == 8
    assert facts["parameters"]["generator"] > 0


@pytest.mark.parametrize(
    "content", [b"", b"junk that is no model at all", (1 << 60).to_bytes(8, "little"), b"\x02" + b"\0" * 7 + b"{}"]
)
def test_info_names_a_file_that_is_no_model(tmp_path, capsys, content):
    path = tmp_path / "odd.safetensors"
    path.write_bytes(content)
    assert run(["info", str(path)]) == 2
    assert "odd.safetensors" in capsys.readouterr().err


def test_a_completer_is_trained_for_a_model(pictures, tmp_path, capsys):
    network = NetworkOptions(size=8, networks="residual", latent=4, prior="normal")
    small = replace(build(network), encoder=build_residual_encoder(network, hidden=24))
    save(small, tmp_path / "small.safetensors")
    asked = ["train", str(pictures), "--cache", str(tmp_path / "cache"), "--kind", "completer"]
    asked += ["--begin", str(tmp_path / "small.safetensors"), "--run", str(tmp_path / "run"), "--images-seen", "8"]
    asked += ["--batch-size", "4", "--held-out", "1", "--score-every", "0", "--precision", "fp32", "--threads", "1"]
    assert run(asked) == 0
    assert load(tmp_path / "run").completer is not None
    assert run(["train", str(pictures), "--kind", "completer", "--run", str(tmp_path / "other")]) == 2
    assert "--begin" in capsys.readouterr().err


def test_an_encoder_is_trained_for_a_model_with_and_without_pictures(pictures, tmp_path, capsys):
    run(words(pictures, tmp_path, "--images-seen", 8))
    of = ["--kind", "encoder", "--model", str(tmp_path / "run"), "--encoder-base", "2", "--encoder-hidden", "4"]
    of += [
        "--images-seen",
        "8",
        "--batch-size",
        "4",
        "--threads",
        "1",
        "--held-out",
        "2",
        "--precision",
        "fp32",
        "--hole=half",
    ]
    for name, data in (("a", [str(pictures), "--cache", str(tmp_path / "cache")]), ("b", [])):
        capsys.readouterr()
        assert run(["train", *data, "--run", str(tmp_path / name), *of]) == 0
        assert run(["info", str(tmp_path / name)]) == 0
        told = capsys.readouterr()
        assert "parameters" in told.out.split("encoder    ")[1].splitlines()[0]
        assert "hole 0." in told.err and ("pictures" in told.err) == bool(data)
    assert json.loads((tmp_path / "a" / "options.json").read_text())["train"]["learning_rate"] == 4e-4  # of its kind
    assert run(["train", "--run", str(tmp_path / "c"), *of, "--base", "8"]) == 2
    assert "has its networks already" in capsys.readouterr().err


def test_a_context_encoder_is_trained_from_a_folder(pictures, tmp_path, capsys):
    assert run([*words(pictures, tmp_path), "--kind=context-encoder", "--images-seen", "8", "--hole", "center"]) == 2
    assert "has no latent space" in capsys.readouterr().err
    plain = [word for word in words(pictures, tmp_path, "--images-seen", 8) if word not in ("--latent", "6")]
    assert run([*plain, "--kind=context-encoder", "--hole", "center", "--skips"]) == 0
    assert load_context(tmp_path / "run").network.skips
    assert run(["info", str(tmp_path / "run")]) == 0
    assert "context encoder, with skips" in capsys.readouterr().out
    assert (
        run(["complete", str(pictures / "1.jpg"), "--out", str(tmp_path / "o"), "--model", str(tmp_path / "run")]) == 2
    )
    assert "a context encoder, not a GAN" in capsys.readouterr().err


def test_an_encoder_and_a_context_encoder_say_what_they_need(tmp_path, capsys):
    assert run(["train", "--run", str(tmp_path / "run"), "--kind", "context-encoder"]) == 2
    assert "no pictures named" in capsys.readouterr().err
    assert run(["train", "--run", str(tmp_path / "run"), "--kind", "encoder", "--model", "none"]) == 2
    assert "there is no model 'none'" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [[], ["--kind", "context-encoder", "--hole", "center"]])
def test_a_dry_run_says_what_a_training_takes_and_writes_nothing(pictures, tmp_path, capsys, kind):
    (pictures / "broken.png").write_bytes(b"no picture")
    before = sorted(tmp_path.rglob("*"))
    plain = [
        word for word in words(pictures, tmp_path, "--images-seen", "2k") if not kind or word not in ("--latent", "6")
    ]
    assert run([*plain, *kind, "--dry-run"]) == 0
    told = capsys.readouterr().out
    for said in (
        "discriminator ",
        "optimisers",
        "images/s",
        *(["images      2,000 to see"] if kind else ["images      1,500 to see", "images      500 to see"]),
        "minutes",
        "disk        about",
    ):
        assert said in told, said
    assert "pictures    11 in all" in told
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_of_a_run_counts_from_where_it_is(pictures, tmp_path, capsys):
    run(words(pictures, tmp_path, "--images-seen", 40))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert run(words(pictures, tmp_path, "--images-seen", 100, "--dry-run")) == 0
    assert "images      43 to see, after 32" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_run_in_which_another_process_trains_is_refused_before_torch_is_loaded(pictures, tmp_path):
    with try_lock(tmp_path / "run" / ".lock"):
        code = "import sys; from latentfill.cli.main import run; code = run(sys.argv[1:])"
        code += "; assert 'torch' not in sys.modules; sys.exit(code)"
        command = [sys.executable, "-c", code, *words(pictures, tmp_path)]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 2, answer.stderr
    assert f"process {os.getpid()} on " in answer.stderr and "is training in" in answer.stderr


def test_a_training_that_begins_with_a_model_has_its_size_unless_told(tmp_path):
    def read(*more):
        return read_options(TrainCommand, "train", ["pictures", "--run", str(tmp_path), *more]).network

    assert read().size == 64 and read("--begin", "faces-128").size == 128
    assert read("--begin", "faces-128", "--size", "256").size == 256
    assert read("--kind", "completer", "--begin", "faces-128") == NetworkOptions(), "it takes the model's own networks"


def test_the_command_and_the_machine_are_in_the_history(pictures, tmp_path):
    run(words(pictures, tmp_path, "--images-seen", 8))
    (line,) = (tmp_path / "run" / "history.jsonl").read_text().splitlines()
    start = json.loads(line)
    assert start["command"].startswith("latentfill train ") and "--images-seen 8" in start["command"]
    assert "torch" in start["machine"]


@pytest.mark.parametrize("kind", ["vae", "encoder", "context-encoder", "lapgan"])
def test_what_a_kind_does_not_listen_to_is_refused_not_passed_over(pictures, tmp_path, capsys, kind):
    size = [] if kind == "encoder" else ["--size", "8", "--base", "4"]
    command = ["train", str(pictures), "--run", str(tmp_path / "run"), "--kind", kind, *size, "--images-seen", "8"]
    command += ["--cache", str(tmp_path / "cache")]
    assert run([*command, "--history", "0.1", "--decay", "0.2"]) == 2
    told = capsys.readouterr().err
    assert "trained without --history" in told and "--decay" not in told and "--kind gan" in told
    if kind != "vae":
        assert run([*command, "--begin", "faces-64-dcgan"]) == 2
        assert "does not take --begin" in capsys.readouterr().err
