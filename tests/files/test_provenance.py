import json

import pytest

from latentfill.files import provenance
from latentfill.files.provenance import ForeignFileError, claim_run, is_ours, move, remove, save


def write(path, data):
    save(path, lambda file: file.write(data))


def test_only_what_was_written_is_replaced_or_removed(tmp_path):
    mine, theirs = tmp_path / "a.csv", tmp_path / "b.csv"
    theirs.write_bytes(b"theirs")
    write(mine, b"one")
    write(mine, b"two")
    assert is_ours(mine) and mine.read_bytes() == b"two"
    for act in (lambda: write(theirs, b"ours"), lambda: move(mine, theirs)):
        with pytest.raises(ForeignFileError, match=r"b\.csv was not written by latentfill, or was changed since"):
            act()
    remove(theirs)
    assert theirs.read_bytes() == b"theirs"
    mine.write_bytes(b"edited")
    with pytest.raises(ForeignFileError):
        write(mine, b"three")
    remove(mine)
    assert mine.read_bytes() == b"edited"
    mine.unlink()
    write(mine, b"three")
    remove(mine)
    assert not mine.exists()


def test_a_link_or_a_folder_in_the_place_is_somebodys_too(tmp_path):
    (tmp_path / "link").symlink_to("nothing")
    (tmp_path / "folder").mkdir()
    for name in ("link", "folder"):
        with pytest.raises(ForeignFileError):
            write(tmp_path / name, b"x")


def test_a_damaged_line_of_a_record_costs_itself_alone(tmp_path):
    write(tmp_path / "a", b"1")
    with (tmp_path / provenance.RECORD).open("a") as file:
        file.write('{"name": "b", "sha\n')
    write(tmp_path / "c", b"3")
    assert is_ours(tmp_path / "a") and is_ours(tmp_path / "c")


def test_a_record_that_was_replaced_is_read_anew(tmp_path):
    write(tmp_path / "a", b"1")
    other = tmp_path / "other"
    for name in ("b", "c"):
        write(other / name, b"2")
    (tmp_path / provenance.RECORD).write_bytes((other / provenance.RECORD).read_bytes())
    assert provenance.read_entries(tmp_path).keys() == {"b", "c"}


def test_a_folder_of_that_name_is_only_taken_if_it_is_ours(tmp_path):
    assert claim_run(tmp_path / "new") == claim_run(tmp_path / "new")
    (tmp_path / "old" / "_run" / "000001-000064").mkdir(parents=True)
    claim_run(tmp_path / "old")
    (tmp_path / "theirs" / "_run").mkdir(parents=True)
    (tmp_path / "theirs" / "_run" / "marathon.jpg").touch()
    with pytest.raises(ForeignFileError, match="_run was not made by latentfill"):
        claim_run(tmp_path / "theirs")


def test_results_of_an_earlier_version_may_be_replaced_and_nothing_else_in_their_folder(tmp_path):
    def touch(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(b"then")

    theirs = ["crops/people/b.png", "crops/contact.png", "run/x.csv", "trial/deep/report.md", "chat/report.html",
              "empty/a/rejected.csv", "fit/a.png"]  # fmt: skip
    mine = ["crops/people/a.png", "crops/people/a-2.png", "crops/rejected.csv", "crops/test/alignment.json",
            "run/losses.svg", "run/rejected.csv", "trial/report.md",
            "tars/shards/000000001-90435b38e44e.tar"]  # fmt: skip
    touch(*theirs, *mine, "trial/_run/judged/x", "fit/_run/000001-000064/x", "tars/_run/asked.json")
    (tmp_path / "crops" / "_run").mkdir()
    (tmp_path / "crops" / "_run" / "photos.jsonl").write_text(json.dumps({"stem": "people/a", "crops": 2}) + "\ncut")
    (tmp_path / "run" / "history.jsonl").write_text('{"date": "2026", "latentfill": "0.1.0"}\n')
    (tmp_path / "chat" / "history.jsonl").write_text('{"role": "user"}\n')
    (tmp_path / "empty" / "_run").mkdir()
    for name in [*mine, *mine]:  # also when a record has been begun
        write(tmp_path / name, b"now")
    for name in theirs:
        with pytest.raises(ForeignFileError):
            write(tmp_path / name, b"now")
    provenance.mark_training(tmp_path / "run")
    touch("run/report.html")
    with pytest.raises(ForeignFileError):
        write(tmp_path / "run" / "report.html", b"now")


@pytest.mark.parametrize("name", ["2024/a.jpg", "10-5/a.jpg", "rejected.csv", "options.json", "sub/deep/a.txt"])
def test_a_run_folder_of_somebody_else_is_none_of_ours(tmp_path, name):
    path = tmp_path / "_run" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    with pytest.raises(ForeignFileError):
        claim_run(tmp_path)


@pytest.mark.parametrize("name", ["000001-000064-2/hats/1.png", ".lock", "mean/center/0.npz", "rejected.csv"])
def test_what_an_earlier_version_kept_is(tmp_path, name):
    path = tmp_path / "_run" / name
    path.parent.mkdir(parents=True)
    path.write_text("path,reason\n")
    assert claim_run(tmp_path) == tmp_path / "_run"


def test_a_record_is_read_once_however_often_files_are_replaced(tmp_path, monkeypatch):
    for i in range(40):
        write(tmp_path / f"{i}", b"1")
    read = []
    real = json.loads
    monkeypatch.setattr(provenance.json, "loads", lambda line: read.append(line) or real(line))
    for i in range(40):
        write(tmp_path / f"{i}", b"2")
    assert len(read) <= 80, "else twenty thousand crops take an hour"


def test_metadata_are_ours_while_nobody_has_changed_them(tmp_path):
    path = tmp_path / "a.json"
    sealed = provenance.seal({"image": "caf\udce9.png", "z": [0.1, float("nan")], "notes": ("é",)})
    for indent in (None, 3):  # however it is laid out
        path.write_text(json.dumps(sealed, indent=indent))
        assert provenance.read_metadata(path)["image"] == "caf\udce9.png"
    path.write_text(json.dumps({**sealed, "image": "b.png"}))
    assert provenance.read_metadata(path) is None
    old = {"image": "a.png", "options": {}, "hole": "center", "seconds": 1.0}
    path.write_text(json.dumps(old))
    assert provenance.read_metadata(path) == old
    for other in ('{"label": "mine"}', '{"image": "a.png"}', "[]", '{"latentfill": 1}', "\0"):
        path.write_text(other)
        assert provenance.read_metadata(path) is None
