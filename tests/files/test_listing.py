import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from latentfill.errors import DataError
from latentfill.files import provenance
from latentfill.files.listing import list_sources

FOLDERS = st.sampled_from(["", "x/", "x/y/", "z/"])
KINDS = st.sampled_from(["photo", "answer", "sheet", "crop", "run", "retouched", "other"])


def encoded(level):
    file = io.BytesIO()
    Image.new("L", (2, 2), level).save(file, "PNG")
    return file.getvalue()


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def put(root, folder, kind, number):
    """A file of some kind; returns whether it is a picture of the command that names the root."""
    path, data = root / folder / f"{number}.png", encoded(number)
    if kind == "other":
        write(path.with_suffix(".psd"), data)
        return False
    if kind in ("answer", "retouched"):
        metadata = {"image": "a.png", "output": {"sha256": provenance.digest(data), "before": []}}
        write(path.with_suffix(".json"), json.dumps(provenance.seal(metadata)).encode())
        write(path, data if kind == "answer" else encoded(200 + number))
        return kind == "retouched"
    if kind == "run":
        write(provenance.claim_run(root / folder) / path.name, data)
        return False
    if kind == "photo":
        write(path, data)
        return True
    provenance.save(path, lambda file: file.write(data), root=path.parent if kind == "crop" else None)
    return kind == "crop" and not folder  # below the place it is the result of another command


@settings(max_examples=40, deadline=None)
@given(files=st.lists(st.tuples(FOLDERS, KINDS), max_size=12))
def test_of_a_tree_with_results_in_it_exactly_the_photos_are_listed(tmp_path_factory, files):
    root = tmp_path_factory.mktemp("tree")
    write(root / "always.png", encoded(99))
    wanted = {"always.png"}
    for number, (folder, kind) in enumerate(files):
        if put(root, folder, kind, number):
            wanted.add(f"{folder}{number}.png")
    listed = list_sources([root])
    assert {source.name for source in listed.sources} == wanted
    told = " ".join(listed.left_out)
    kinds = {kind for _, kind in files}
    assert ("completed by latentfill" in told) == ("answer" in kinds)
    assert (".psd" in told) == ("other" in kinds)
    assert ("written by latentfill" in told) == any(k == "sheet" or (k == "crop" and f) for f, k in files)


def test_a_folder_of_nothing_but_completions_is_one_of_pictures(tmp_path):
    for number in range(2):
        put(tmp_path, "", "answer", number)
    assert [source.name for source in list_sources([tmp_path]).sources] == ["0.png", "1.png"]
    assert [source.name for source in list_sources([tmp_path / "0.png"]).sources] == ["0.png"]


def test_what_has_another_part_in_the_command_is_left_out_and_said(tmp_path):
    for name in ("a.png", "hole.png", "holes/a.png", "out/b.png"):
        write(tmp_path / name, encoded(1))
    roles = {tmp_path / "hole.png": "given as the hole", tmp_path / "out": "in the folder for the results"}
    listed = list_sources([tmp_path], {**roles, tmp_path / "holes": "given as the hole"})
    assert [source.name for source in listed.sources] == ["a.png"]
    assert listed.left_out == (
        "left out: 2 pictures, given as the hole.",
        "left out: 1 picture, in the folder for the results.",
    )
    assert [source.name for source in list_sources([tmp_path / "out" / "b.png"], roles).sources] == ["b.png"]


def test_what_is_no_file_is_named_and_never_waited_for(tmp_path):
    import os
    import socket

    write(tmp_path / "a.png", encoded(1))
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "gone.png").symlink_to("nothing")
    (tmp_path / "folder.png").mkdir()
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "s.png"))
    listed = list_sources([tmp_path])
    assert {source.name: source.problem for source in listed.sources} == {
        "a.png": "",
        "pipe.png": "not a regular file",
        "gone.png": "a broken link",
        "s.png": "not a regular file",
    }


@pytest.mark.parametrize("name", ["missing.png", "n" * 300, "notes.txt"])
def test_of_several_places_a_bad_one_stops_nobody(tmp_path, name):
    write(tmp_path / "a.png", encoded(1))
    (tmp_path / "notes.txt").write_text("hi")
    listed = list_sources([tmp_path / "a.png", tmp_path / name])
    assert [bool(source.problem) for source in listed.sources] == [False, True]
    with pytest.raises(DataError):
        list_sources([tmp_path / name])


def test_a_records_folder_can_be_moved(tmp_path):
    put(tmp_path / "crops", "", "crop", 1)
    put(tmp_path / "crops", "anna/", "sheet", 2)
    (tmp_path / "crops").rename(tmp_path / "faces")
    assert [source.name for source in list_sources([tmp_path / "faces"]).sources] == ["1.png"]
    write(tmp_path / "photo.png", encoded(5))
    assert [source.name for source in list_sources([Path(tmp_path)]).sources] == ["photo.png"]
