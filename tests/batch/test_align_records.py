from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentfill.batch.align_records import Records, Row, assign_stems, crop_names, new_row
from latentfill.files.naming import LONGEST
from latentfill.images.photos import Source


def row(path, bytes=5, folder="/photos", **facts):
    return Row(path, f"{folder}/{path}", "", bytes, **facts)


def digest(row):
    """Nobody has to read a photo of which the size alone was kept."""
    raise AssertionError(row)


def prefer_stem(row):
    return row.path.rsplit(".", 1)[0]


def stems(paths, records, numbered=True):
    return [row.stem for row, _ in assign_stems([row(path) for path in paths], records, prefer_stem, numbered=numbered)]


@pytest.fixture
def records(tmp_path):
    found = Records(tmp_path / "photos.jsonl")
    yield found
    found.close()


def test_names_that_would_collide_are_told_apart(records):
    assert stems(["a.jpg", "a.png", "A.jpg", "b/a.jpg"], records) == ["a", "a.png", "A.jpg", "b/a"]
    assert stems(["c.jpg", "c-2.jpg", "d-3.jpg", "d.jpg"], records) == ["c", "c-2.jpg", "d-3.jpg", "d"]
    assert stems(["c.jpg", "c-2.jpg"], records, numbered=False) == ["c", "c-2"]
    assert stems(["e.jpg", "e.jpg.x", "e.png", "e.jpg.jpg"], records)[1:] == ["e.jpg", "e.png", "e.jpg.jpg"]


PARTS = [("", "a/", "b/"), "aA", ("", "-2", "-2-2", "--a", ".jpg"), ("", "~2"), (".jpg", ".png")]


@given(st.lists(st.tuples(*map(st.sampled_from, PARTS)).map("".join), unique=True))
def test_no_two_crops_ever_have_one_name(tmp_path_factory, paths):
    records = Records(tmp_path_factory.mktemp("names") / "photos.jsonl")
    crops = [name.casefold() for stem in stems(paths, records) for name in crop_names(stem, 4)]
    records.close()
    assert len(set(crops)) == len(crops) == 4 * len(paths)


def test_a_name_longer_than_file_systems_take_is_cut_and_stays_its_own(records):
    one, other = stems([f"f/{'é' * 150}{i}.jpg" for i in (1, 2)], records)
    assert one != other and all(len(stem.removeprefix("f/").encode()) <= LONGEST for stem in (one, other))


def test_what_was_written_is_known_again(tmp_path):
    first = Records(tmp_path / "photos.jsonl")
    first.add(row("a.jpg", stem="a", crops=2, signatures=("00", "ff")))
    first.add(row("b.jpg", stem="b", kind="no face", reason="no face found"))
    first.add(row("b.jpg", stem="b", crops=1))
    first.close()
    with (tmp_path / "photos.jsonl").open("a") as file:
        file.write('{"path": "c.jpg", "fi')  # killed here
    second = Records(tmp_path / "photos.jsonl")
    second.add(row("d.jpg", stem="d"))
    second.close()
    third = Records(tmp_path / "photos.jsonl")
    third.close()
    assert [found.path for found in third.rows.values()] == ["a.jpg", "b.jpg", "d.jpg"]
    assert third.find(row("a.jpg"), digest).names == ["a", "a-2"] and third.find(row("b.jpg"), digest).kind == "aligned"


def test_a_changed_photo_keeps_its_stem_and_is_new(records):
    records.add(row("a.jpg", stem="odd name"))
    ((found, known),) = assign_stems([row("a.jpg", bytes=6)], records, prefer_stem, numbered=True)
    assert known is None and found.stem == "odd name"


def test_a_moved_photo_is_known_and_one_of_the_same_name_and_size_is_not(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "a.bmp").write_bytes(b"12345")
    old = Records(tmp_path / "photos.jsonl")
    old.add(row("a.bmp", folder=str(tmp_path / "here"), stem="a"))
    old.add(row("b.bmp", folder=str(tmp_path / "gone"), stem="b"))
    old.close()
    records = Records(tmp_path / "photos.jsonl")
    new = [row(name, folder=str(tmp_path / "there")) for name in ("a.bmp", "b.bmp")]
    (a, a_known), (b, b_known) = assign_stems(new, records, prefer_stem, numbered=True)
    records.close()
    assert a_known is None and a.stem == "a.bmp"
    assert b_known and b.stem == "b"
    again = Records(tmp_path / "photos.jsonl")
    again.close()
    assert {str(tmp_path / "here"), str(tmp_path / "there")} == {
        row.file.rsplit("/", 1)[0] for row in again.rows.values()
    }


def test_a_photo_is_known_by_its_place_and_bytes(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"123")
    assert new_row(Source("a.jpg", tmp_path / "a.jpg")).bytes == 3
    assert new_row(Source("t.tar/a.jpg", tmp_path / "t.tar", "a.jpg", 512, 7)).place == (
        str(tmp_path / "t.tar"),
        "a.jpg",
    )
    assert new_row(Source("no.jpg", tmp_path / "no.jpg")).bytes == -1
    assert replace(new_row(Source("x", tmp_path, problem="broken"))).bytes == -1
