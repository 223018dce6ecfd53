import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentfill.cli.main import run
from latentfill.gan import model_file
from latentfill.options import NetworkOptions

SIZE = 16


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    model_file.save(model_file.build(NetworkOptions(size=SIZE, base=4, latent=6)), path)
    return path


def picture(i, size=SIZE):
    rng = np.random.default_rng(i)
    return rng.integers(0, 256, (size, size, 3), dtype=np.uint8)


def draw(folder, count, size=SIZE):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.fromarray(picture(i, size)).save(folder / f"{i:03}.png")
    return folder


def complete(*words):
    return run(["complete", "--cold-steps", "0", "--tune-steps", "0", *map(str, words), "--precision", "fp32"])


def read(path):
    return np.asarray(Image.open(path))


@pytest.mark.parametrize("count", [1, 3, 4, 5, 13])
def test_every_image_gets_an_output_of_its_own(tmp_path, model, count):
    faces = draw(tmp_path / "faces", count)
    words = ("--model", model, "--steps", 1, "--every", 0, "--batch-size", 4)
    assert complete(faces, "--out", tmp_path / "out", *words) == 0
    made = sorted((tmp_path / "out").glob("*.png"))
    assert [path.name for path in made] == [f"{i:03}.png" for i in range(count)]
    for i, path in enumerate(made):
        result = read(path)
        outside = np.ones((SIZE, SIZE), bool)
        outside[4:12, 4:12] = False
        assert np.array_equal(result[outside], picture(i)[outside]), "a known pixel has changed"
        assert not np.array_equal(result, picture(i))
    batches = [path for path in (tmp_path / "out" / "_run").iterdir() if path.is_dir()]
    assert len(batches) == -(-count // 4), "a batch has drawn over another"
    assert sum(len(list((batch / "logs").iterdir())) for batch in batches) == count


def test_the_grids_include_the_last_step(tmp_path, model):
    faces = draw(tmp_path / "faces", 3)
    words = ["--model", model, "--preset", "seed", "--steps", 7, "--every", 3, "--gif"]
    complete(faces, "--out", tmp_path / "out", *words)
    batch = tmp_path / "out" / "_run" / "000001-000003"
    for kind in ("hats", "completed"):
        assert sorted(path.name for path in (batch / kind).iterdir()) == [f"{i:04}.png" for i in (0, 3, 6, 7)]
    assert read(batch / "before.png").shape == (SIZE, 3 * SIZE, 3)
    masked = read(batch / "masked.png")
    assert (masked[4:12, 4:12] == 128).all() and np.array_equal(masked[:4], read(batch / "before.png")[:4])
    assert 1 < Image.open(batch / "completed.gif").n_frames <= 4, "those that are alike are one"
    rows = list(csv.DictReader((batch / "logs" / "000002-001.csv").open()))
    assert [row["step"] for row in rows] == ["0", "3", "6", "7"]
    assert all(np.isclose(float(r["loss"]), float(r["contextual"]) + float(r["perceptual"]), rtol=1e-4) for r in rows)
    assert "z5" in rows[0] and "z6" not in rows[0]
    story = json.loads((tmp_path / "out" / "001.json").read_text())
    assert np.isclose(story["loss"], float(rows[-1]["loss"]), rtol=1e-4)
    assert np.allclose(story["z"], [float(rows[-1][f"z{i}"]) for i in range(6)], atol=1e-5)
    last = np.concatenate([read(tmp_path / "out" / f"{i:03}.png") for i in range(3)], 1)
    assert np.array_equal(read(batch / "completed" / "0007.png"), last)


def test_several_processes_answer_as_one_does_and_name_what_they_cannot(tmp_path, model, capsys):
    faces = draw(tmp_path / "faces", 7)
    (faces / "bad.png").write_bytes(b"not a picture")
    words = (faces, "--model", model, "--steps", 3, "--batch-size", 2, "--every", 0)
    assert complete(*words, "--out", tmp_path / "one") == 1
    capsys.readouterr()
    assert complete(*words, "--out", tmp_path / "two", "--workers", 2) == 1
    told = capsys.readouterr()
    assert sorted(told.out.split()) == [str(tmp_path / "two" / f"{i:03}.png") for i in range(7)]
    assert "bad.png: not a picture" in told.err and "7 completed, 1 rejected" in told.err
    for path in (tmp_path / "one").glob("*.json"):
        one, two = json.loads(path.read_text()), json.loads((tmp_path / "two" / path.name).read_text())
        assert np.allclose(one["z"], two["z"], atol=1e-4)
    rows = [path.read_text() for path in tmp_path.glob("*/_run/rejected.csv")]
    assert len(rows) == 2 and rows[0] == rows[1]


def test_metadata_begin_with_what_matters_and_end_with_latents_each_on_one_line(tmp_path, model, capsys):
    faces = draw(tmp_path / "faces", 1)
    complete(faces, "--out", tmp_path / "out", "--model", model, "--preset", "fast", "--cold-steps", 0)
    assert "complete: 1/1 steps" in capsys.readouterr().err, "one pass counts as a step that is made"
    text = (tmp_path / "out" / "000.json").read_text()
    told = json.loads(text)
    assert list(told)[:5] == ["latentfill", "image", "trust", "placement", "notes"]
    assert list(told)[-3:] == ["squares", "z", "seal"] and list(told["squares"][0])[-1] == "z"
    lines = [line for line in text.splitlines() if '"z"' in line]
    assert [json.loads("{" + line.strip().rstrip(",") + "}")["z"] for line in lines] == [told["z"]] * 2


def test_an_image_is_completed_as_if_alone(tmp_path, model):
    faces = draw(tmp_path / "faces", 5)
    words = ("--model", model, "--steps", 20, "--every", 0, "--hole", "random:0.5")
    complete(faces, "--out", tmp_path / "together", *words)
    complete(faces / "003.png", "--out", tmp_path / "alone", *words)
    together, alone = (json.loads((tmp_path / name / "003.json").read_text()) for name in ("together", "alone"))
    assert np.allclose(together["z"], alone["z"], atol=1e-4)
    assert together["to_be_found"] == alone["to_be_found"]


def test_equal_names_keep_their_folders(tmp_path, model):
    draw(tmp_path / "faces" / "ann", 1)
    draw(tmp_path / "faces" / "bob", 2)
    Image.fromarray(picture(1)).save(tmp_path / "faces" / "bob" / "001.bmp")
    assert complete(tmp_path / "faces", "--out", tmp_path / "out", "--model", model, "--steps", 1) == 0
    made = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.json")}
    assert made == {"ann/000.json", "bob/000.json", "bob/001.png.json", "bob/001.bmp.json"}


def test_a_bad_file_stops_nobody_and_is_named(tmp_path, model, capsys):
    faces = draw(tmp_path / "faces", 3)
    (faces / "001.png").write_bytes(b"not a picture")
    (faces / "wide.png").write_bytes((faces / "002.png").read_bytes()[:80])
    assert complete(faces, "--out", tmp_path / "out", "--model", model, "--steps", 1) == 1
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"000.png", "002.png"}
    told = capsys.readouterr().err
    assert "001.png: " in told and "wide.png: " in told
    rows = list(csv.DictReader((tmp_path / "out" / "_run" / "rejected.csv").open()))
    assert [row["path"] for row in rows] == ["001.png", "wide.png"]


def test_what_is_there_is_skipped_unless_told(tmp_path, model, capsys):
    faces = draw(tmp_path / "faces", 2)
    words = (faces, "--out", tmp_path / "out", "--model", model, "--steps", 1)
    complete(*words)
    (tmp_path / "out" / "000.png").unlink()  # as if stopped between the two
    before = (tmp_path / "out" / "001.png").stat().st_mtime_ns
    capsys.readouterr()
    assert complete(*words) == 0
    assert "1 of 2 are done already" in capsys.readouterr().err
    assert (tmp_path / "out" / "000.png").exists()
    assert (tmp_path / "out" / "001.png").stat().st_mtime_ns == before
    complete(*words, "--overwrite")
    assert (tmp_path / "out" / "001.png").stat().st_mtime_ns > before


def test_pictures_of_another_size_can_be_fitted(tmp_path, model):
    faces = draw(tmp_path / "faces", 1, size=40)
    hole = np.zeros((40, 40), np.uint8)
    hole[0:9, 0:9] = 255  # covers 3.6 pixels of the model: the fourth is to be found too
    Image.fromarray(hole).save(tmp_path / "hole.png")
    words = ("--fit", "--model", model, "--steps", 1, "--hole", tmp_path / "hole.png")
    assert complete(faces, "--out", tmp_path / "out", *words) == 0
    result = read(tmp_path / "out" / "000.png")
    shrunk = np.asarray(Image.fromarray(picture(0, 40)).resize((SIZE, SIZE), Image.Resampling.BOX))
    outside = np.ones((SIZE, SIZE), bool)
    outside[:4, :4] = False
    assert np.array_equal(result[outside], shrunk[outside]) and not np.array_equal(result[:4, :4], shrunk[:4, :4])


def test_low_resolution_writes_the_block_means(tmp_path, model):
    faces = draw(tmp_path / "faces", 1)
    words = ("--hole", "lowres", "--model", model, "--steps", 2, "--every", 1)
    assert complete(faces, "--out", tmp_path / "out", *words) == 0
    batch = tmp_path / "out" / "_run" / "000001-000001"
    means = picture(0).reshape(2, 8, 2, 8, 3).mean((1, 3))
    shown = read(batch / "lowres.png")
    assert np.abs(shown[::8, ::8].astype(float) - means).max() <= 1 and (shown[:8, :8] == shown[0, 0]).all()
    assert (batch / "hats" / "0002-lowres.png").exists()
    row = next(csv.DictReader((batch / "logs" / "000001-000.csv").open()))
    assert float(row["lowres"]) > 0 and float(row["contextual"]) == 0


def test_the_same_seed_gives_the_same_picture_and_another_another(tmp_path, model):
    faces = draw(tmp_path / "faces", 1)
    made = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        complete(faces, "--out", tmp_path / name, "--model", model, "--steps", 2, "--seed", seed)
        made.append((tmp_path / name / "000.png").read_bytes())
    assert made[0] == made[1] != made[2]


@pytest.mark.parametrize("method", ["nesterov", "hmc"])
def test_the_other_searches_and_the_paper_run_too(tmp_path, model, method):
    faces = draw(tmp_path / "faces", 2)
    words = ("--preset", "paper", "--method", method, "--hmc-leapfrog-steps", 2, "--steps", 2)
    assert complete(faces, "--out", tmp_path / "out", "--model", model, *words) == 0
    story = json.loads((tmp_path / "out" / "000.json").read_text())
    assert story["options"]["method"] == method and story["options"]["blend"] == "poisson"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--hole", "nonsense"], "nonsense"),
        (["--model", "faces-9"], "there is no model 'faces-9'"),
        (["--window", "8"], "--window 8"),
        (["--steps", "-3"], "--steps -3: input should be greater than or equal to 0"),
        (["--preset", "best9"], "there is no preset 'best9'"),
        (["--device", "cuda:77"], "cuda:77"),
    ],
)
def test_misuse_is_told_in_two_lines_and_ends_with_2(tmp_path, model, capsys, words, told):
    faces = draw(tmp_path / "faces", 1)
    assert run(["complete", str(faces), "--out", str(tmp_path / "out"), "--model", str(model), *words]) == 2
    message = capsys.readouterr().err
    assert told in message and "Traceback" not in message


def test_no_pictures_at_all_is_misuse(tmp_path, model, capsys):
    (tmp_path / "empty").mkdir()
    assert complete(tmp_path / "empty", "--out", tmp_path / "out", "--model", model) == 2
    assert run(["complete", "--out", str(tmp_path / "out"), "--model", str(model)]) == 2
    assert "no pictures" in capsys.readouterr().err


def test_the_pictures_of_an_archive_are_completed(tmp_path, model):
    import tarfile

    draw(tmp_path / "faces", 2)
    with tarfile.open(tmp_path / "faces.tar", "w") as tar:
        tar.add(tmp_path / "faces", "inside")
    assert complete(tmp_path / "faces.tar", "--out", tmp_path / "out", "--model", model, "--steps", 1) == 0
    assert {Path(path).name for path in (tmp_path / "out").glob("*.png")} == {"000.png", "001.png"}


def test_originals_are_never_replaced(tmp_path, model, capsys):
    faces = draw(tmp_path / "faces", 2)
    before = [(faces / f"{i:03}.png").read_bytes() for i in range(2)]
    assert complete(faces, "--out", faces, "--model", model, "--steps", 1) == 2
    assert complete(faces / "000.png", "--out", faces, "--model", model, "--steps", 1) == 2
    assert "holds the pictures to complete" in capsys.readouterr().err
    assert [(faces / f"{i:03}.png").read_bytes() for i in range(2)] == before


def test_answers_inside_the_folder_of_questions_are_no_questions(tmp_path, model, capsys):
    faces = draw(tmp_path / "faces", 2)
    words = (faces, "--out", faces / "done", "--model", model, "--steps", 1)
    assert complete(*words) == 0
    assert complete(*words) == 0
    assert "2 of 2 are done already" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_to_is_told(tmp_path, model, capsys):
    faces = draw(tmp_path / "faces", 1)
    (tmp_path / "out").write_text("a file")
    assert complete(faces, "--out", tmp_path / "out", "--model", model, "--steps", 1) == 2
    assert "out cannot be written to" in capsys.readouterr().err


def test_only_the_first_pictures_are_completed_when_told(tmp_path, model):
    faces = draw(tmp_path / "faces", 5)
    assert complete(faces, "--out", tmp_path / "out", "--model", model, "--steps", 1, "--max-images", 2) == 0
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"000.png", "001.png"}


def test_a_hole_depends_on_the_name_of_the_file_alone(tmp_path, model):
    faces, other = draw(tmp_path / "faces", 3), draw(tmp_path / "more" / "faces", 3)
    words = ("--hole", "random:0.5", "--model", model, "--steps", 1, "--every", 0)
    complete(faces, "--out", tmp_path / "a", *words)
    complete(faces, other, "--out", tmp_path / "b", *words)
    shares = [json.loads(path.read_text())["to_be_found"] for path in sorted(tmp_path.glob("[ab]/**/002.json"))]
    assert len(shares) == 3 and len(set(shares)) == 1


def test_holes_that_lie_flat_serve_pictures_in_sub_folders(tmp_path, model):
    draw(tmp_path / "faces" / "ann", 2)
    (tmp_path / "holes").mkdir()
    for i in range(2):
        hole = np.zeros((SIZE, SIZE), np.uint8)
        hole[i] = 255
        Image.fromarray(hole).save(tmp_path / "holes" / f"{i:03}.png")
    words = ("--hole", tmp_path / "holes", "--model", model, "--steps", 1)
    assert complete(tmp_path / "faces", "--out", tmp_path / "out", *words) == 0
    for i in range(2):
        changed = (read(tmp_path / "out" / f"{i:03}.png") != picture(i)).any((1, 2))
        assert changed[i] and changed.sum() == 1


def test_a_command_imports_no_compiler(tmp_path, model):
    faces = draw(tmp_path / "faces", 1)
    words = ["complete", faces, "--out", tmp_path / "out", "--model", model, "--preset", "best", "--steps", 2]
    words += ["--cold-steps", 2, "--tune-steps", 2]
    code = (
        f"import sys\nfrom latentfill.cli.main import run\nassert run({[str(word) for word in words]!r}) == 0\n"
        "assert not {'torch._dynamo', 'sympy'} & set(sys.modules), 'a second of every command'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
