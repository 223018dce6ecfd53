"""What every verb says of what the system refuses: memory, disks, pipes, signals."""

import errno
import importlib
import io
import os
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from latentfill import pipeline
from latentfill.batch import workers
from latentfill.cli.main import VERBS, run
from latentfill.cli.output import is_closed
from latentfill.files.provenance import claim_run
from latentfill.gan import model_file
from latentfill.images import photos
from latentfill.options import NetworkOptions

SIZE = 16
FEW = ("--cold-steps", "0", "--tune-steps", "0")  # or searches take a hundred steps and more
ALLOCATOR = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8192 bytes. Error code 12"
WORDS = {
    "align": ["in", "out"],
    "train": ["in", "--run", "out"],
    "complete": ["in", "--out", "out"],
    "calibrate": ["in", "--out", "out"],
    "evaluate": ["in", "--out", "out"],
    "verify": ["a", "b", "center"],
    "report": ["r"],
    "plot": ["r"],
    "figures": ["f"],
    "sample": ["m", "o"],
    "export": ["m", "o"],
    "push": ["m", "o"],
}
SMALLER = {
    **{verb: "--batch-size" for verb in ("train", "complete", "calibrate", "evaluate")},
    **{"align": "--upsample", "sample": "--count", "serve": "--max-pixels"},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    model_file.save(model_file.build(NetworkOptions(size=SIZE, base=4, latent=6)), path)
    return path


def draw(folder, count):
    folder.mkdir(parents=True)
    for i in range(count):
        pixels = np.random.default_rng(i).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:03}.png")
    return folder


@pytest.fixture
def complete(model, tmp_path):
    """Completes what is in a folder, into `out`."""

    def call(*words):
        fixed = ("--out", tmp_path / "out", "--model", model, "--steps", 1, "--every", 0, "--precision", "fp32")
        return run(["complete", *map(str, (tmp_path / "in", *fixed, *FEW, *words))])

    return call


def fails_with(monkeypatch, verb, error):
    def fail(options):
        raise error

    monkeypatch.setattr(importlib.import_module(f"latentfill.cli.{verb}"), "run", fail)
    return run([verb, *WORDS.get(verb, [])])


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_in_two_lines_what_the_system_refuses(verb, monkeypatch, capsys):
    refused = {
        "enough memory": RuntimeError(ALLOCATOR),
        "there is not": MemoryError(),
        "No space": OSError(errno.ENOSPC, "No space left on device", "out/a.png"),
        "out/b.png": PermissionError(errno.EACCES, "Permission denied", "out/b.png"),
        "standard output": OSError(errno.ENOSPC, "No space left on device"),
    }
    for words, error in refused.items():
        assert fails_with(monkeypatch, verb, error) == 2
        told = capsys.readouterr().err
        assert words in told and told.count("\n") == 2, told
        if isinstance(error, (RuntimeError, MemoryError)):
            assert SMALLER.get(verb, "") in told
    with pytest.raises(ZeroDivisionError):
        fails_with(monkeypatch, verb, ZeroDivisionError())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_undoes_what_was_begun_and_is_told_in_a_line(number, monkeypatch, capfd):
    undone = []

    def work(options):
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        finally:
            undone.append(True)

    monkeypatch.setattr(importlib.import_module("latentfill.cli.complete"), "run", work)
    fresh = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(number, fresh)  # Ray leaves a handler in the process that has started it
    try:
        assert run(["complete", "in", "--out", "out"]) == 128 + number and undone
        told = capfd.readouterr().err
        assert told.strip() == "latentfill complete: stopped; the same command goes on"
        assert signal.getsignal(number) is fresh
    finally:
        signal.signal(number, before)


def test_a_pipe_that_is_closed_ends_it_silently(complete, tmp_path, monkeypatch, capsys):
    draw(tmp_path / "in", 3)
    reader, writer = os.pipe()
    os.close(reader)
    with monkeypatch.context() as patch, os.fdopen(writer, "w") as closed:
        patch.setattr(sys, "stdout", closed)
        assert complete("--batch-size", 1) == 141
    assert "cannot be" not in capsys.readouterr().err
    assert complete() == 0, "the same command goes on"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_full_disk_behind_standard_output_is_not_laid_at_the_results_door(complete, tmp_path, monkeypatch, capsys):
    draw(tmp_path / "in", 1)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", open("/dev/full", "w"))  # noqa: SIM115 (closing it fails, too)
        assert complete() == 2
        patch.setattr(sys.stdout, "write", lambda text: 0, raising=False)
    assert "standard output cannot be written to: No space left" in capsys.readouterr().err


def refuse(monkeypatch, number, name=""):
    """Let files be refused whose paths hold a name."""
    real = photos.write_file

    def put(path, fill):
        def full(file):
            raise OSError(number, os.strerror(number))

        real(path, full if name in str(path) else fill)

    for module in (photos,):
        monkeypatch.setattr(module, "write_file", put)


def test_a_stream_that_nobody_reads_is_known_though_nothing_of_it_waits():
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        assert not is_closed(stream)
        os.close(reader)
        assert is_closed(stream)
    assert not is_closed(io.StringIO())


def test_streams_that_are_closed_from_the_start_are_empty_and_take_all():
    code = "import sys; from latentfill.cli.main import main; main(sys.argv[1:])"
    shell = f'exec {shlex.quote(sys.executable)} -c "{code}" verify - . center 0<&- 2>&-'
    made = subprocess.run(["sh", "-c", shell], capture_output=True, text=True)
    assert made.returncode == 1 and made.stdout.startswith("0 pairs") and len(made.stdout.splitlines()) == 1


def test_a_full_disk_stops_all_and_a_folder_that_is_closed_costs_its_own(complete, tmp_path, monkeypatch, capsys):
    draw(tmp_path / "in" / "shut", 1)
    draw(tmp_path / "in" / "open", 1)
    with monkeypatch.context() as patch:
        refuse(patch, errno.EACCES, "out/shut")
        assert complete() == 1
    told = capsys.readouterr()
    assert "shut/000.png" in told.err and "Change who may write" in told.err and "open/000.png" in told.out
    with monkeypatch.context() as patch:
        refuse(patch, errno.ENOSPC)
        assert complete() == 2
    assert "No space left on device" in capsys.readouterr().err


def short_of_memory(monkeypatch, fits):
    """Let a search of more squares than fit fail as torch does."""
    real = pipeline.watch

    def watch(gan, incomplete, options):
        if not fits(incomplete):
            raise RuntimeError(ALLOCATOR)
        yield from real(gan, incomplete, options)

    monkeypatch.setattr(pipeline, "watch", watch)


def test_what_memory_does_not_hold_side_by_side_is_searched_in_halves(complete, tmp_path, monkeypatch, capsys):
    draw(tmp_path / "in", 11)
    seen = []
    short_of_memory(monkeypatch, lambda incomplete: seen.append(len(incomplete)) or len(incomplete) <= 2)
    assert complete("--batch-size", 8) == 0
    assert len(list((tmp_path / "out").glob("*.png"))) == 11
    assert seen[:3] == [8, 4, 2] and max(seen[3:]) == 2, "what does not fit is not tried again and again"
    assert "not enough memory for 8 photos side by side: now 4" in capsys.readouterr().err


def test_a_photo_that_memory_does_not_hold_alone_is_rejected_alone(complete, tmp_path, monkeypatch, capsys):
    draw(tmp_path / "in", 4)
    Image.fromarray(np.full((SIZE, SIZE, 3), 255, np.uint8)).save(tmp_path / "in" / "white.png")
    short_of_memory(monkeypatch, lambda incomplete: not (incomplete.images == 1).flatten(1).all(1).any())
    assert complete() == 1
    told = capsys.readouterr()
    assert "white.png: there is not enough memory for it" in told.err and told.out.count(".png") == 4


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError(ALLOCATOR)])
@pytest.mark.parametrize("where", ["read", "put_back"])
def test_memory_that_one_photo_lacks_costs_that_photo(complete, tmp_path, monkeypatch, capsys, where, error):
    draw(tmp_path / "in", 3)
    count = [0]

    def fail_once(*given, **named):
        count[0] += 1
        if count[0] in (2, 3):  # it is tried again when the others are done
            raise error
        return real(*given, **named)

    module, name = (photos, "decode_original") if where == "read" else (pipeline, "put_back")
    real = getattr(module, name)
    monkeypatch.setattr(module, name, fail_once)
    assert complete() == 1
    told = capsys.readouterr()
    assert "memory" in told.err and "Save the picture again" not in told.err and told.out.count(".png") >= 1


def test_a_batch_that_kills_its_worker_is_halved_until_the_one_is_found(complete, tmp_path, monkeypatch, capsys):
    draw(tmp_path / "in", 8)

    def share_out(work, tasks, workers_, preload):
        for task in tasks:
            bad = any(item.source.name == "005.png" for item in task)
            yield task, workers.KilledTask("its process was killed by SIGKILL") if bad else work(task)

    monkeypatch.setattr("latentfill.batch.complete.run_in_pool", share_out)
    assert complete("--batch-size", 4, "--workers", 2) == 1
    told = capsys.readouterr()
    assert told.out.count(".png") == 7 and "005.png: its process was killed" in told.err


def test_files_that_killed_processes_left_half_made_are_removed_in_time(complete, tmp_path):
    draw(tmp_path / "in", 1)
    claim_run(tmp_path / "out")
    names = (f"_run/.{'0' * 16}.making", f".{'1' * 16}.making", ".my.making")
    old, new, other = (tmp_path / "out" / name for name in names)
    for path in (old, new, other):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    os.utime(other, (0, 0))
    assert complete() == 0 and not old.exists() and new.exists() and other.exists()


def test_what_is_no_plain_picture_neither_stops_nor_hangs_a_folder(complete, tmp_path, capsys):
    folder = draw(tmp_path / "in", 2)
    (folder / "empty.png").touch()
    (folder / "folder.png").mkdir()
    os.symlink("loop.png", folder / "loop.png")
    for name in ("pipe.png", "pipe.tar", "pipe.parquet"):
        os.mkfifo(folder / name)
    (folder / "huge.ppm").write_bytes(b"P6 1000000 1000000 255\n")
    signal.alarm(60)
    try:
        assert complete() == 1
    finally:
        signal.alarm(0)
    told = capsys.readouterr()
    assert told.out.count(".png") == 2 and "empty.png" in told.err and "huge.ppm" in told.err
