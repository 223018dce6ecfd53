import json

import pytest

from latentfill.files import records
from latentfill.files.records import ForeignFileError, claim_run, is_ours, move, remove, save


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
    with (tmp_path / records.RECORD).open("a") as file:
        file.write('{"name": "b", "sha\n')
    write(tmp_path / "c", b"3")
    assert is_ours(tmp_path / "a") and is_ours(tmp_path / "c")


def test_a_folder_of_that_name_is_only_taken_if_it_is_ours(tmp_path):
    assert claim_run(tmp_path / "new") == claim_run(tmp_path / "new")
    (tmp_path / "old" / "_run" / "000001-000064").mkdir(parents=True)
    claim_run(tmp_path / "old")
    (tmp_path / "theirs" / "_run").mkdir(parents=True)
    (tmp_path / "theirs" / "_run" / "marathon.jpg").touch()
    with pytest.raises(ForeignFileError, match="_run was not made by latentfill"):
        claim_run(tmp_path / "theirs")


def test_results_of_an_earlier_version_may_be_replaced_as_then(tmp_path):
    (tmp_path / "out" / "_run").mkdir(parents=True)
    (tmp_path / "out" / "_run" / "options.json").touch()
    (tmp_path / "out" / "people").mkdir()
    (tmp_path / "out" / "people" / "a.png").touch()
    write(tmp_path / "out" / "people" / "a.png", b"anew")
    (tmp_path / "people").mkdir()
    (tmp_path / "people" / "a.png").touch()
    with pytest.raises(ForeignFileError):
        write(tmp_path / "people" / "a.png", b"anew")


def test_metadata_are_ours_while_nobody_has_changed_them(tmp_path):
    path = tmp_path / "a.json"
    sealed = records.seal({"image": "caf\udce9.png", "z": [0.1, float("nan")], "notes": ("é",)})
    for indent in (None, 3):  # however it is laid out
        path.write_text(json.dumps(sealed, indent=indent))
        assert records.read_answer(path)["image"] == "caf\udce9.png"
    path.write_text(json.dumps({**sealed, "image": "b.png"}))
    assert records.read_answer(path) is None
    old = {"image": "a.png", "options": {}, "hole": "center", "seconds": 1.0}
    path.write_text(json.dumps(old))
    assert records.read_answer(path) == old
    for other in ('{"label": "mine"}', '{"image": "a.png"}', "[]", '{"latentfill": 1}', "\0"):
        path.write_text(other)
        assert records.read_answer(path) is None
