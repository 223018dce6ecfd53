import errno
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from latentfill.batch.inputs import Plan
from latentfill.batch.outputs import digest_model, result_suffixes
from latentfill.cli.configuration import read_options
from latentfill.cli.main import run
from latentfill.cluster import driver as driving
from latentfill.cluster import tables
from latentfill.cluster.blocks import KILLED, TRIES, AttemptLog, Block, run_block
from latentfill.cluster.complete import BlockResult, Job
from latentfill.cluster.connection import Fleet, _fleet
from latentfill.cluster.tables import COLUMNS, Manifest
from latentfill.errors import DataError, LatentfillError
from latentfill.files.naming import FolderResults
from latentfill.files.provenance import claim_run, save
from latentfill.gan import model_file
from latentfill.models import load
from latentfill.options import EngineOptions, NetworkOptions
from latentfill.options.commands import CompleteCommand

SIZE = 16
FEW = ("--cold-steps", "0", "--tune-steps", "0")  # or searches take a hundred steps and more


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    model_file.save(model_file.build(NetworkOptions(size=SIZE, base=4, latent=6)), path)
    return path


def encoded(tmp_path, i):
    path = tmp_path / "one.png"
    Image.fromarray(np.random.default_rng(i).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)).save(path)
    return path.read_bytes()


def draw(folder, count):
    folder.mkdir(parents=True)
    for i in range(count):
        (folder / f"{i:03}.png").write_bytes(encoded(folder.parent, i))
    return folder


def asked(model, *words):
    flags = ["--model", model, "--steps", 1, "--precision", "fp32", "--batch-size", 2]
    return read_options(CompleteCommand, "complete", [str(word) for word in (*FEW, *words, *flags)])


def job(options):
    gan, out = load(options.model), options.out
    claim_run(out)
    results = Manifest(out) if options.write == "tar" else FolderResults(out, result_suffixes(options.format))
    questions, _ = tables.list_inputs(options.images, out, results, {}, anew=options.overwrite, form=options.format)
    return Job(options, questions, digest_model(gan), Plan.of(options, gan))


def work_off(options, workers=2, most=None):
    """What actors do, in this process; all blocks or the first so many."""
    one = job(options)
    for block in one.blocks(workers)[:most]:
        run_block(one.make()(), block, AttemptLog(options.out / "_run" / f"{block.name}.tries"))
    return one


def paths(rows):
    return sorted(row["path"] for row in rows)


class Fragile:
    """Adds 1 to numbers; dies at 3, cannot do 5."""

    def __init__(self):
        self.calls = []

    def __call__(self, items):
        self.calls.append(items)
        if 3 in items:
            raise SystemExit  # as if killed
        if 5 in items:
            raise ValueError("no five")
        return [item + 1 for item in items]

    def make_failure(self, item, reason):
        return reason

    def commit(self, name, made):
        return made


def test_an_item_that_kills_its_worker_is_found_and_told(tmp_path):
    block, work = Block("b", (1, 2, 3, 4)), Fragile()
    for _ in range(TRIES + 1):
        with pytest.raises(SystemExit):
            run_block(work, block, AttemptLog(tmp_path / "b.tries"))
    assert work.calls == [*[(1, 2, 3, 4)] * TRIES, (1,), (2,), (3,)]
    assert run_block(work, block, AttemptLog(tmp_path / "b.tries")) == [2, 3, KILLED, 5]
    assert not list(tmp_path.iterdir()), "what is done needs no notes"


def test_an_item_that_cannot_be_done_leaves_its_neighbours_alone(tmp_path):
    made = run_block(Fragile(), Block("b", (4, 5, 6)), AttemptLog(tmp_path / "b.tries"))
    assert made == [
        5,
        "ValueError: no five",
        7,
    ]


def test_what_everybody_would_meet_is_nobodys_fault(tmp_path):
    def full(items):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        run_block(full, Block("b", (1, 2)), AttemptLog(tmp_path / "b.tries"))


def test_however_often_it_is_cut_off_each_input_has_one_row(tmp_path, model):
    faces = draw(tmp_path / "faces", 13)
    (faces / "bad.png").write_bytes(b"not a picture")
    options = asked(model, faces, "--out", tmp_path / "out")
    assert work_off(options, most=1).open == 14
    names = [block.name for block in job(options).blocks(9)]
    assert work_off(options, most=1).finish().keys() == {f"{i:03}" for i in range(8)}
    assert [name[:9] for name in names] == ["000000005", "000000009", "000000013"], "cut as at first, by any workers"
    rows = work_off(options).finish()
    assert len(rows) == 14
    assert job(options).open == 1, "only what went wrong is tried again"
    table = parquet.read_table(tmp_path / "out" / "_run" / "manifest.parquet")
    assert table.schema.equals(COLUMNS) and table.column_names[0] == "path"
    assert table["path"].to_pylist() == [*(f"{i:03}.png" for i in range(13)), "bad.png"]
    assert [error for error in table["error"].to_pylist() if error] == [rows["bad"]["error"]]
    assert rows["bad"]["error"].startswith("not a picture")
    assert not list(Manifest(tmp_path / "out").parts.iterdir())
    story = json.loads((tmp_path / "out" / "004.json").read_text())
    assert rows["004"]["losses"] == [story["loss"]] and rows["004"]["model_hash"] == story["weights"]
    assert rows["004"]["output"] == "004.png" and rows["004"]["hole"] == "center"


def test_an_answer_that_was_lost_or_cut_short_is_made_again(tmp_path, model):
    options = asked(model, draw(tmp_path / "faces", 4), "--out", tmp_path / "out")
    work_off(options).finish()
    picture = tmp_path / "out" / "001.png"
    (tmp_path / "out" / "002.png").unlink()
    whole = picture.read_bytes()
    picture.write_bytes(whole[:-20])  # by whom, nobody knows: it stays
    again = work_off(options)
    assert again.open == 2 and (tmp_path / "out" / "002.png").exists()
    assert again.finish()["001"]["output_bytes"] == len(whole) - 20 and picture.read_bytes() == whole[:-20]
    picture.unlink()
    assert len(work_off(options).finish()) == 4 and picture.read_bytes() == whole


def test_an_answer_that_is_gone_and_cannot_be_made_again_is_no_answer(tmp_path, model):
    faces = draw(tmp_path / "faces", 3)
    options = asked(model, faces, "--out", tmp_path / "out")
    work_off(options).finish()
    (tmp_path / "out" / "001.png").unlink()
    (faces / "001.png").write_bytes(b"none")
    rows = work_off(options).finish()
    assert rows["001"]["error"] and not rows["000"]["error"] and len(rows) == 3


def test_a_damaged_part_is_done_again_and_a_mended_input_leaves_no_row_behind(tmp_path, model):
    faces = draw(tmp_path / "faces", 4)
    (faces / "broken.tar").write_bytes(b"x" * 700)
    options = asked(model, faces, "--out", tmp_path / "out")
    one = work_off(options)
    parts = sorted(one.manifest.parts.glob("*.arrow"))
    parts[0].write_bytes(parts[0].read_bytes()[:100])
    assert 0 < job(options).open < 5
    assert "broken" in work_off(options).finish()
    (faces / "broken.tar").unlink()
    assert paths(work_off(options).finish().values()) == [f"{i:03}.png" for i in range(4)]


def test_shards_hold_each_answer_once_also_after_a_kill_between_shard_and_part(tmp_path, model):
    options = asked(model, draw(tmp_path / "faces", 6), "--out", tmp_path / "out", "--write", "tar")
    one = work_off(options)
    some = sorted(one.manifest.parts.glob("*.arrow"))
    some[0].unlink()  # its shard is there, but nobody was told
    left = [tmp_path / "out" / "shards" / f"00000000{i}-0123456789ab.tar" for i in (1, 2)]
    save(left[0], lambda file: file.write(b"of another cut"))
    left[1].write_bytes(b"somebody's")
    rows = work_off(options).finish()
    assert not left[0].exists() and left[1].read_bytes() == b"somebody's"
    left[1].unlink()
    found = {}
    for shard in sorted((tmp_path / "out" / "shards").glob("*.tar")):
        with tarfile.open(shard) as tar:
            found |= {name: shard.name for name in tar.getnames()}
    assert sorted(found) == sorted(f"{i:03}.{kind}" for i in range(6) for kind in ("png", "json"))
    assert {row["member"]: Path(row["output"]).name for row in rows.values()} == {
        name: shard for name, shard in found.items() if name.endswith(".png")
    }
    assert not list((tmp_path / "out").glob("*.png"))
    shard = tmp_path / "out" / next(iter(rows.values()))["output"]
    shard.write_bytes(shard.read_bytes()[:600])
    again = work_off(options)
    assert again.open > 0 and len(again.finish()) == 6
    assert job(options).open == 0, "the new answer counts, not the one that was cut short"
    assert len(shard.read_bytes()) == 600, "who cut it short is not known"


def test_pictures_of_a_tar_keep_their_formats_in_files_and_in_shards(tmp_path, model, capsys):
    whole, names = tmp_path / "photos.tar", ("a.jpg", "b.png", "c.webp", "d.tif")
    with tarfile.open(whole, "w") as tar:
        for i, name in enumerate(names):
            Image.open(io.BytesIO(encoded(tmp_path, i))).save(tmp_path / name)
            tar.add(tmp_path / name, name)
    tables_of = Image.open(tmp_path / "a.jpg").quantization
    files, shards = (
        asked(model, whole, "--out", tmp_path / w, "--write", w, "--format", "same") for w in ("files", "tar")
    )
    for options in (files, shards):
        rows = work_off(options).finish()
        assert [row["error"] for row in rows.values()] == [None] * 4 and job(options).open == 0
    assert {row["output"] for row in work_off(files).finish().values()} == set(names)
    assert {row["member"] for row in rows.values()} == set(names)
    (tmp_path / "unpacked").mkdir()
    for shard in sorted((tmp_path / "tar" / "shards").glob("*.tar")):
        with tarfile.open(shard) as tar:
            tar.extractall(tmp_path / "unpacked", filter="data")
    for name in names:
        made = (tmp_path / "unpacked" / name).read_bytes()
        assert made == (tmp_path / "files" / name).read_bytes()
    assert Image.open(tmp_path / "unpacked" / "a.jpg").quantization == tables_of
    assert run(["verify", str(whole), str(tmp_path / "unpacked"), "center"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert "by JPEG alone" in told[0] and all("0 of" in line for line in told[1:4])


def test_ray_has_ended_before_the_manifest_of_a_job_that_is_stopped(tmp_path, model, monkeypatch):
    events = []

    def stop(outputs, done, total, note):
        if done:
            raise KeyboardInterrupt  # while an answer is shown, not while one is waited for

    monkeypatch.setattr(driving, "connect", lambda *_: Fleet(1, 1, 0.5, 0))
    monkeypatch.setattr(driving, "disconnect", lambda: events.append("Ray ends"))
    monkeypatch.setattr(driving, "run_blocks", lambda *_: iter([("block", BlockResult((), 1, ()))]))
    monkeypatch.setattr(driving.Job, "finish", lambda job: events.append("manifest") or {})
    options = asked(model, draw(tmp_path / "faces", 2), "--out", tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        driving.complete(options, load(options.model), stop)
    assert events == ["Ray ends", "manifest"]


def test_what_was_made_for_another_question_is_not_passed_off(tmp_path, model):
    faces = draw(tmp_path / "faces", 2)
    work_off(asked(model, faces, "--out", tmp_path / "out")).finish()
    with pytest.raises(LatentfillError, match="with --hole center, not left"):
        job(asked(model, faces, "--out", tmp_path / "out", "--hole", "left"))
    anew = work_off(asked(model, faces, "--out", tmp_path / "out", "--hole", "left", "--overwrite"))
    assert anew.open == 2 and {row["hole"] for row in anew.finish().values()} == {"left"}


def test_a_full_disk_stops_the_work_and_is_no_pictures_fault(tmp_path, model, monkeypatch):
    from latentfill.images import photos

    options = asked(model, draw(tmp_path / "faces", 2), "--out", tmp_path / "out")
    one = job(options)

    def full(file, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    real = photos.write_file
    monkeypatch.setattr(photos, "write_file", lambda path, fill: real(path, lambda file: full(file, fill)))
    with pytest.raises(LatentfillError, match="No space left"):
        run_block(one.make()(), one.blocks(1)[0], AttemptLog(tmp_path / "tries"))
    assert not list(one.manifest.parts.glob("*")) and not list((tmp_path / "out").glob(".*making"))
    monkeypatch.undo()
    assert work_off(options).finish().keys() == {"000", "001"}


def table(path, rows, **kinds):
    names = {"path": pyarrow.string(), "bytes": pyarrow.binary(), **kinds}
    parquet.write_table(pyarrow.Table.from_pylist(rows, pyarrow.schema(list(names.items()))), path, row_group_size=2)
    return path


def test_tables_hold_pictures_and_their_holes(tmp_path, model):
    hole = np.zeros((SIZE, SIZE), np.uint8)
    hole[:3] = 255
    Image.fromarray(hole).save(tmp_path / "hole.png")
    Image.fromarray(hole[:5]).save(tmp_path / "small.png")
    holes = [(tmp_path / "hole.png").read_bytes(), (tmp_path / "small.png").read_bytes(), None, b"junk", None]
    rows = [
        {"path": name, "bytes": encoded(tmp_path, i), "hole": holes[i]}
        for i, name in enumerate(["a/one.png", "../../two", "three", "four.png", "five"])
    ]
    rows[4]["bytes"] = None
    place = table(tmp_path / "faces.parquet", rows, hole=pyarrow.binary())
    options = asked(model, place, "--out", tmp_path / "out" / "deep")
    made = work_off(options).finish()
    assert made.keys() == {"one", "two", "three", "four", "five"}
    assert [row["path"] for row in made.values() if not row["error"]].__len__() == 2
    result = np.asarray(Image.open(tmp_path / "out" / "deep" / made["one"]["output"]))
    before = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    assert np.array_equal(result[3:], before[3:]) and not np.array_equal(result[:3], before[:3])
    assert made["one"]["hole"] == "given" and made["three"]["hole"] == "center"
    assert made["two"]["error"].startswith("the hole is 16 x 5 pixels, but ")
    assert "hole" in made["four"]["error"] and "no bytes" in made["five"]["error"]
    assert not list(tmp_path.glob("two*"))


def list_all(place):
    return tables.list_inputs([place], place / "out", FolderResults(place / "out"), {})[0]


def test_a_table_that_is_none_of_pictures_is_refused_and_in_a_folder_told(tmp_path):
    other = tmp_path / "tables" / "other.parquet"
    other.parent.mkdir()
    parquet.write_table(pyarrow.table({"path": ["a"], "size": [1]}), other)
    with pytest.raises(DataError, match="no columns path and bytes"):
        list_all(other)
    twice = table(tmp_path / "twice.parquet", [{"path": name, "bytes": b"x"} for name in ("a", "/a")])
    with pytest.raises(DataError, match="there twice"):
        list_all(twice)
    (other_source,) = list_all(other.parent)
    assert other_source.source.name == "other.parquet" and "no columns" in other_source.source.problem


@pytest.mark.parametrize(
    ("workers", "threads", "there", "local", "fleet"),
    [
        (0, 0, {"CPU": 2.0}, False, Fleet(2, 1, 0.5, 0)),
        (0, 4, {"CPU": 16.0}, False, Fleet(4, 4, 2, 0)),
        (3, 1, {"CPU": 2.0}, True, Fleet(3, 1, 0.5, 0)),
        (0, 8, {"CPU": 16.0, "GPU": 4.0}, False, Fleet(4, 8, 0.5, 1)),
    ],
)
def test_actors_get_what_the_cluster_has(workers, threads, there, local, fleet):
    assert _fleet(EngineOptions("ray", workers), there, "auto", threads, None, local=local) == fleet


@pytest.mark.parametrize(
    ("workers", "there", "device", "refusal"),
    [(9, {"CPU": 2.0}, "cpu", "2 CPUs"), (0, {"CPU": 2.0}, "cuda", "no GPU"), (3, {"GPU": 2.0}, "auto", "2 GPUs")],
)
def test_more_than_the_cluster_has_is_refused_and_not_waited_for(workers, there, device, refusal):
    with pytest.raises(LatentfillError, match=refusal):
        _fleet(EngineOptions("ray", workers), there, device, 0, None, local=False)


def test_a_photo_that_was_edited_has_one_answer_in_all_shards_and_is_told(tmp_path, model):
    faces = draw(tmp_path / "faces", 4)
    options = asked(model, faces, "--out", tmp_path / "out", "--engine", "ray", "--write", "tar")
    work_off(options).finish()
    (faces / "001.png").write_bytes(encoded(tmp_path, 9))
    one = work_off(options)
    assert list(one.notes.values()) == ["001.png: made anew, since the photo has changed"]
    one.finish()
    names = []
    for shard in (tmp_path / "out" / "shards").glob("*.tar"):
        with tarfile.open(shard) as file:
            names += file.getnames()
    assert sorted(names) == sorted(f"{i:03}.{end}" for i in range(4) for end in ("png", "json"))
    assert job(options).open == 0


def test_tables_with_another_part_are_no_pictures_and_others_are_not_called_unread(tmp_path):
    table = pyarrow.table({"path": ["a.png"], "bytes": [encoded(tmp_path, 0)]})
    for name in ("in/t.parquet", "in/out/u.parquet", "in/holes/v.parquet"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(table, tmp_path / name)
    (tmp_path / "in" / "notes.txt").touch()
    out = tmp_path / "in" / "out"
    roles = {tmp_path / "in" / "holes": "given as the hole"}
    found, left_out = tables.list_inputs([tmp_path / "in"], out, FolderResults(out), roles)
    assert [one.source.path.name for one in found] == ["t.parquet"]
    assert "1 .txt" in left_out[0] and ".parquet" not in left_out[0]
