from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from latentfill.files.naming import LONGEST, Result, fold, location, name_results
from latentfill.images.archives import Source

NAMES = st.from_regex(r"([ab]/|\.\./|_run/)?[aA](é|e\u0301|\.jpg|~2)?(\.png|\.jpg|\.bmp)", fullmatch=True)


class Shelf:
    """Results in memory: what each was made of, and stems that somebody else has."""

    def __init__(self, foreign=()):
        self.foreign, self.made = {fold(stem) for stem in foreign}, {}

    def find(self, stem):
        return self.made.get(stem)

    def is_free(self, stem):
        return fold(stem) not in self.foreign | {fold(one) for one in self.made}

    def can_replace(self, stem):
        return stem in self.made


def list_pictures(contents, folder="/in"):
    return [Source(name, Path(folder, name), member=str(content)) for name, content in contents.items()]


def name_all(contents, shelf, folder="/in"):
    sources = list_pictures(contents, folder)
    found = name_results(sources, shelf, lambda source: source.member)
    for source, name in zip(sources, found, strict=True):
        where = location(source).partition("#")[0]
        shelf.made[name.stem] = Result(source.member, source.name, where)
    return {source.name: name.stem for source, name in zip(sources, found, strict=True)}


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, st.integers(0, 3)), st.lists(NAMES), st.dictionaries(NAMES, st.integers(0, 3)))
def test_no_two_results_meet_in_one_file_and_each_picture_keeps_its_own(contents, foreign, more):
    shelf = Shelf(stem.rpartition(".")[0] for stem in foreign)
    first = name_all(contents, shelf)
    stems = list(first.values())
    assert len({fold(stem) for stem in stems}) == len(stems), "also where the system folds case and accents"
    assert not {fold(stem) for stem in stems} & shelf.foreign, "somebody else's file is in the way"
    assert all(not Path(stem).is_absolute() and ".." not in Path(stem).parts for stem in stems)
    assert all(Path(stem).parts[0] != "_run" for stem in stems)
    assert name_all(contents, shelf) == first, "the same command finds the same answers"
    later = name_all({**contents, **{name: content for name, content in more.items() if name not in contents}}, shelf)
    assert {name: later[name] for name in first} == first, "and with more pictures it does, too"


def test_of_equal_pictures_each_keeps_its_own_result():
    shelf, pictures = Shelf(), {"a/A.png": 1, "A.png": 1}
    first = name_all(pictures, shelf)
    assert name_all(pictures, shelf) == first == {"a/A.png": "a/A", "A.png": "A"}


def test_a_picture_is_known_by_its_content_and_an_edited_one_by_its_place():
    shelf = Shelf()
    assert name_all({"a.png": 1}, shelf, "/mon") == {"a.png": "a"}
    assert name_all({"a.png": 2}, shelf, "/tue") == {"a.png": "a~2"}, "another picture of the same name"
    assert name_all({"a.png": 1}, shelf, "/moved") == {"a.png": "a"}
    assert name_all({"b.png": 1}, shelf, "/mon") == {"b.png": "b"}, "a drawn hole depends on the name"


def test_a_name_that_is_too_long_is_cut_and_stays_its_own():
    names = {f"f/{'é' * 150}{i}.png": i for i in (1, 2)}
    one, other = name_all(names, Shelf()).values()
    assert one != other and all(len(stem.encode()) <= LONGEST for stem in (one, other))
