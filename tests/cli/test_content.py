"""Whether an answer is "done already", and whether a file is ours, is decided by content: never by a name."""

import io
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from latentfill.cli.main import run
from latentfill.gan import model_file
from latentfill.options import NetworkOptions

SIZE = 16


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model") / "tiny.safetensors", 0)


@pytest.fixture
def here(tmp_path, monkeypatch, model):
    monkeypatch.chdir(tmp_path)
    shutil.copy(model, "m.safetensors")
    return tmp_path


def save_model(path, seed):
    network = NetworkOptions(size=SIZE, base=2, latent=3)
    gan = model_file.build(network, seed)
    model_file.save(replace(gan, encoder=model_file.build_encoder(network, 2, 4).eval()), path)
    return path


def picture(i):
    return Image.fromarray(np.random.default_rng(i).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8))


def paint(path, *box):
    hole = np.zeros((SIZE, SIZE), np.uint8)
    hole[np.s_[box[0] : box[1], box[2] : box[3]]] = 255
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(hole).save(path)


def save(path, i):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    picture(i).save(path, quality=100)
    return Path(path)


def complete(*words, preset="fast"):
    fixed = ("--model", "m.safetensors", "--preset", preset, "--precision", "fp32", "--every", "0")
    return run(["complete", *map(str, words), *fixed])


def known_changes(before, after, hole):
    """How many pixels outside of the hole differ."""
    before, after = (np.asarray(Image.open(path).convert("RGB")) for path in (before, after))
    return int(((before != after).any(-1) & (np.asarray(Image.open(hole)) < 128)).sum())


def test_another_photo_or_hole_in_the_same_place_is_completed_anew(here, capsys):
    save("a.png", 0)
    paint("h.png", 2, 5, 2, 5)
    assert complete("a.png", "--hole", "h.png", "--out", "out") == 0
    paint("h.png", 9, 14, 9, 14)
    assert complete("a.png", "--hole", "h.png", "--out", "out") == 0
    assert "a.png: made anew, since its hole has changed" in capsys.readouterr().err
    assert known_changes("a.png", "out/a.png", "h.png") == 0
    save("a.png", 1)
    assert complete("a.png", "--hole", "h.png", "--out", "out") == 0
    assert "a.png: made anew, since the photo has changed" in capsys.readouterr().err
    assert known_changes("a.png", "out/a.png", "h.png") == 0
    assert sorted(path.name for path in Path("out").glob("*.*")) == ["a.json", "a.png"]
    shutil.copy("h.png", "same.png")
    assert complete("a.png", "--hole", "./same.png", "--out", "out") == 0
    assert "1 of 1 are done already" in capsys.readouterr().err


def test_another_photo_of_the_same_name_gets_an_answer_of_its_own_and_takes_none(here, capsys):
    for day, i in (("mon", 0), ("tue", 1)):
        save(f"{day}/a.png", i)
        assert complete(day, "--out", "out") == 0
    assert "tue" not in capsys.readouterr().err
    before = {path: path.read_bytes() for path in Path("out").glob("*.png")}
    assert {path.name for path in before} == {"a.png", "a~2.png"}
    for day in ("mon", "tue"):
        assert run(["verify", day, "out", "center"]) == 0
        assert complete(day, "--out", "out") == 0 and "1 of 1 are done already" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in Path("out").glob("*.png")}


CHANGES = {
    "photo": (lambda: save("in/a.png", 5), (), "anew"),
    "hole": (lambda: paint("holes/a.png", 3, 4, 3, 9), (), "anew"),
    "model": (lambda: save_model(Path("m.safetensors"), 1), (), "its weights have changed since"),
    "preset": (None, ("--preset", "best"), "made with --preset fast, not best"),
    "seed": (None, ("--seed", "3"), "made with --seed 0, not 3"),
    "option": (None, ("--no-grain",), "made with --grain"),
    "inverted": (None, ("--invert",), "made without --invert"),
    "drawn": (None, ("--edits", "2"), "made with --edits 0, not 2"),
    "animated": (None, ("--gif",), "made without --gif"),
    "nothing": (None, (), "1 of 1 are done already"),
    "touched": (lambda: Path("in/a.png").touch(), (), "1 of 1 are done already"),
    "copied": (lambda: [shutil.move("in/a.png", "b.png"), shutil.copy("b.png", "in/a.png")], (), "1 of 1 are done"),
}


# Of options, the model and a copy the same function decides with Ray.
ON_RAY = [changed for changed, (_, words, _) in CHANGES.items() if not words and changed not in ("model", "copied")]


@pytest.mark.parametrize(
    ("changed", "engine"), [*((one, "plain") for one in CHANGES), *((one, "ray") for one in ON_RAY)]
)
def test_of_two_commands_that_differ_in_one_thing_the_second_knows(here, capsys, changed, engine, monkeypatch):
    act, words, told = CHANGES[changed]
    if engine == "ray":
        simulate_ray(monkeypatch)
    save("in/a.png", 0)
    paint("holes/a.png", 2, 6, 2, 6)
    fixed = ("in", "--hole", "holes", "--out", "out", "--engine", engine)
    assert complete(*fixed) == 0
    capsys.readouterr()
    if act:
        act()
    refused = "made with" in told or "made without" in told or "weights" in told
    code = run(["complete", *map(str, fixed), "--model", "m.safetensors", "--precision", "fp32", "--every", "0",
                *(words if "--preset" in words else ("--preset", "fast", *words))])  # fmt: skip
    err = capsys.readouterr().err
    assert code == (2 if refused else 0)
    if told == "anew":
        assert "1 completed" in err and known_changes("in/a.png", "out/a.png", "holes/a.png") == 0
    else:
        assert told in err


def simulate_ray(monkeypatch):
    """The driver's and the actors' work in this process, without Ray."""
    pytest.importorskip("ray")
    from latentfill.cluster import driver as driving
    from latentfill.cluster.blocks import AttemptLog, run_block
    from latentfill.cluster.connection import Fleet

    def spread(make, blocks, fleet, notes):
        notes.mkdir(parents=True, exist_ok=True)
        for block in blocks:
            yield block.name, run_block(make(), block, AttemptLog(notes / f"{block.name}.tries"))

    monkeypatch.setattr(driving, "connect", lambda *_: Fleet(1, 1, 0.5, 0))
    monkeypatch.setattr(driving, "disconnect", lambda: None)
    monkeypatch.setattr(driving, "run_blocks", spread)


def test_landmarks_are_part_of_what_was_asked(here, capsys):
    for i in (1, 2):
        points = {"a.png": [[i, 4], [9, 4], [6, 9]], "b.png": [[2, 4], [9, 4], [6, 9]]}
        Path("points.json").write_text(json.dumps(points))
        for name in points:
            save(f"in/{name}", 0)
        assert complete("in", "--landmarks", "points.json", "--out", "out") == 0
    err = capsys.readouterr().err
    assert "1 of 2 are done already" in err and "a.png: made anew, since its landmarks have changed" in err


@pytest.mark.parametrize("again", [(), ("--overwrite",)])
def test_files_of_the_users_own_are_never_replaced(here, again, capsys):
    save("cat.jpg", 0)
    paint("cat.png", 3, 8, 3, 8)  # the hole painted for it
    save("dog.jpg", 1)
    Path("dog.json").write_text('{"label": "mine"}')
    Path("eve.json").write_text(json.dumps({"eve.jpg": [[2, 4], [9, 4], [6, 9]]}))
    save("eve.jpg", 2)
    Path("Fox.PNG").write_bytes(b"mine")  # the same name, where the system folds case
    save("fox.jpg", 3)
    before = {path: path.read_bytes() for path in Path().iterdir() if path.is_file()}
    for _ in range(2):
        assert complete("cat.jpg", "--hole", "cat.png", "--out", ".", *again) == 0
        assert complete("dog.jpg", "fox.jpg", "--out", ".", *again) == 0
        assert complete("eve.jpg", "--landmarks", "eve.json", "--out", ".", *again) == 0
    assert {path: path.read_bytes() for path in before} == before
    made = {path.name for path in Path().glob("*.png")} - {path.name for path in before}
    assert made == {"cat~2.png", "dog~2.png", "eve~2.png", "fox~2.png"}
    assert "cat.jpg: goes to cat~2.png" in capsys.readouterr().err


def test_an_answer_that_was_retouched_stays_as_it_is(here, capsys):
    save("a.png", 0)
    assert complete("a.png", "--out", "out") == 0
    retouched = save("out/a.png", 7).read_bytes()
    assert complete("a.png", "--out", "out") == 0
    assert "out/a.png was changed since it was written, and stays" in capsys.readouterr().err
    assert complete("a.png", "--out", "out", "--overwrite") == 0
    assert Path("out/a.png").read_bytes() == retouched and Path("out/a~2.png").exists()


def test_a_kill_between_metadata_and_picture_leaves_neither_old_nor_new_taken_for_done(here, monkeypatch, capsys):
    from latentfill.images import photos

    save("a.png", 0)
    assert complete("a.png", "--out", "out") == 0
    save("a.png", 1)
    real = photos.write_file

    def put(path, fill, **more):
        if path.name == "a.png":
            raise KeyboardInterrupt
        real(path, fill, **more)

    with monkeypatch.context() as patched:
        patched.setattr(photos, "write_file", put)
        assert complete("a.png", "--out", "out") == 130
    capsys.readouterr()
    assert complete("a.png", "--out", "out") == 0
    assert "1 completed" in capsys.readouterr().err and run(["verify", "a.png", "out/a.png", "center"]) == 0


def test_stems_that_are_alike_get_files_of_their_own(here, capsys):
    picture(0).save(save("in/b.png", 0).with_name("x.png"))
    ImageOps.mirror(picture(0)).save("in/b.jpg.png")
    ImageOps.flip(picture(0)).save("in/b.jpg", quality=100)
    picture(4).save("in/B.bmp")
    for folder in ("in/caf\u00e9", "in/cafe\u0301"):
        save(f"{folder}/y.png", 9)
    assert complete("in", "--out", "out", "--degrade", "grey") == 0
    made = [path.relative_to("out").as_posix() for path in Path("out").rglob("*.json") if "_run" not in path.parts]
    assert len({name.casefold() for name in made}) == len(made) == 7
    assert len(list(Path("out/_run/seen").rglob("*.png"))) == 7
    assert complete("in", "--out", "out", "--degrade", "grey") == 0 and "7 of 7" in capsys.readouterr().err


def test_holes_and_results_are_no_photos(here, capsys):
    for i in (1, 2):
        save(f"in/{i}.png", i)
    paint("in/hole.png", 3, 8, 3, 8)
    assert complete("in", "--hole", "in/hole.png", "--out", "one") == 0
    assert sorted(path.name for path in Path("one").glob("*.png")) == ["1.png", "2.png"]
    Path("in/hole.png").unlink()
    assert "left out: 1 picture, given as the hole." in capsys.readouterr().err
    for i in (1, 2):
        paint(f"in/holes/{i}.png", 3, 8, 3, 8)
    for out in ("in/two", "in/three"):
        assert complete("in", "--hole", "in/holes", "--out", out) == 0
    err = capsys.readouterr().err
    assert "left out: 2 pictures, given as the hole." in err and "left out: 2 pictures, completed by latentfill" in err
    assert sorted(path.name for path in Path("in/three").rglob("*.png") if "_run" not in path.parts) == [
        "1.png",
        "2.png",
    ]
    assert complete("in", "--hole", "in", "--out", "four") == 2
    assert complete("in/1.png", "--hole", "in", "--out", "four") == 1
    assert "the hole found for it is the picture itself" in capsys.readouterr().err
    assert complete("in/two", "--out", "again") == 0, "named itself, a folder of results is one of pictures"


def test_what_is_left_out_is_counted_and_bad_places_stop_nobody(here, capsys):
    for name in ("a.png", "b.jpe", "c.pbm"):
        save(f"in/{name}", 0) if name != "c.pbm" else picture(1).convert("1").save("in/c.pbm")
    Path("in/1.PSD").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0heicmif1")
    Path("in/gone.jpg").symlink_to("/nowhere")
    Path("in/notes.txt").write_text("hi")
    shutil.copy("in/1.PSD", save("only/x.png", 0).with_name("1.psd"))
    Path("only/x.png").unlink()
    assert complete("in", "--out", "out") == 1
    err = capsys.readouterr().err
    assert "not read: 1 .psd, 1 .txt. Save pictures as PNG or JPEG." in err
    assert "gone.jpg: a broken link" in err and "3 completed, 1 rejected" in err
    assert complete("only", "--out", "out2") == 2
    assert "1 .psd" in capsys.readouterr().err
    assert complete(*sorted(Path("in").iterdir()), "--out", "out3") == 1
    err = capsys.readouterr().err
    assert "notes.txt: its name is not that of a picture" in err and "3 completed, 3 rejected" in err


def test_pictures_and_holes_come_through_pipes(here, monkeypatch, capsys):
    data = save("a.png", 0).read_bytes()
    for i in (0, 1):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(save("a.png", i).read_bytes())))
        assert complete("-", "--out", "out") == 0
    assert {path.name for path in Path("out").glob("*.png")} == {"stdin.png", "stdin~2.png"}
    Path("a.png").write_bytes(data)
    paint("h.png", 3, 8, 3, 8)
    for _ in range(2):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(Path("h.png").read_bytes())))
        assert complete("a.png", "--hole", "-", "--out", "piped", "--workers", "2") == 0
    assert known_changes("a.png", "piped/a.png", "h.png") == 0
    assert "1 of 1 are done already" in capsys.readouterr().err


def test_names_whose_bytes_are_no_text_and_long_names_work(here, capsys):
    import os

    sys.stderr.reconfigure(errors="backslashreplace")  # as it is outside of tests
    sys.stdout.reconfigure(errors="backslashreplace")
    data = save("x.png", 0).read_bytes()
    Path("in").mkdir()
    names = [b"in/caf\xe9.png", b"in/ok.png", b"in/" + b"n" * 250 + b".png"]
    for name in names:
        Path(os.fsdecode(name)).write_bytes(data)
    paint("holes/" + os.fsdecode(b"caf\xe9.png"), 3, 8, 3, 8)
    paint("holes/ok.png", 3, 8, 3, 8)
    paint("holes/" + "n" * 250 + ".png", 3, 8, 3, 8)
    assert complete("in", "--hole", "holes", "--out", "out", "--candidates", 2) == 0
    assert len(list(Path("out").glob("*.png"))) == 3
    assert run(["verify", "in", "out", "holes"]) == 0
    assert complete("in", "--hole", "holes", "--out", "out", "--candidates", 2) == 0
    assert "3 of 3 are done already" in capsys.readouterr().err
