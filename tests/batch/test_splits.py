import pytest

from latentfill.batch.align_records import Row
from latentfill.batch.splits import Naming, Split, inner_name
from latentfill.errors import LatentfillError

NAMES = [f"{person:03}/{i}.jpg" for person in range(400) for i in range(1 + person % 4)]


def row(path, member=""):
    return Row(path, "/photos", member, 1)


def test_nobody_is_in_both_parts_and_the_share_is_about_right():
    split = Split(0.2)
    parts = {
        part: {split.identity_of(name) for name in NAMES if split.part(name) == part} for part in ("train", "test")
    }
    assert not parts["train"] & parts["test"]
    assert 60 <= len(parts["test"]) <= 100


def test_a_picture_stays_where_it_is_when_others_come_and_the_share_grows():
    before = {name for name in NAMES if Split(0.1).part(name) == "test"}
    assert before < {name for name in NAMES if Split(0.3).part(name) == "test"}
    assert Split(0.1).part("001/new.jpg") == Split(0.1).part("001/0.jpg")


@pytest.mark.parametrize(
    ("identity", "name", "who"),
    [
        ("folder", "a/anna/1.jpg", "a/anna"),
        ("folder", "1.jpg", None),
        (r"^([A-Za-z_]+)_\d+", "Anna_Bell_0001.jpg", "Anna_Bell"),
        (r"id\d+", "x/id7_3.jpg", "id7"),
        (r"(id\d+)?x", "x.jpg", None),
        (r"id\d+", "anna.jpg", None),
    ],
)
def test_the_identity_is_the_folder_or_what_an_expression_matches(identity, name, who):
    assert Split(0.5, identity).identity_of(name) == who


def test_an_expression_that_is_none_is_named():
    with pytest.raises(LatentfillError, match=r"--identity \(: "):
        Split(0.5, "(")


def test_a_person_in_two_shards_is_one_identity():
    one, other = row("1.tar/anna/1.jpg", "./anna/1.jpg"), row("2.tar/anna/2.jpg", "anna/2.jpg")
    assert inner_name(one) == "anna/1.jpg" and Split(0.5).identity_of(inner_name(other)) == "anna"
    naming = Naming(split=Split(0.5))
    assert naming.stem(one).split("/")[0] == naming.stem(other).split("/")[0]


def test_counts_are_told():
    told = Split(0.2).describe([*NAMES, "alone.jpg"])
    assert told.count("identities") == 2 and "1 names tell no identity" in told


def test_stems_keep_sub_folders_or_tell_them_in_the_name():
    assert Naming().stem(row("a/b.c/d.jpg")) == "a/b.c/d"
    assert Naming(flatten=True).stem(row("a/b/d.jpg")) == "a--b--d"
    assert Naming(drop="x.tar/").stem(row("x.tar/a/d.jpg", "a/d.jpg")) == "a/d"
