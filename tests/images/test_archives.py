import io
import os
import shutil
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentfill.errors import DataError, ImageError
from latentfill.files.listing import find_pictures
from latentfill.files.provenance import claim_run
from latentfill.images.photos import read


def picture(level):
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2), (level, level, level)).save(buffer, "PNG")
    return buffer.getvalue()


def put(path, level=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture(level))
    return path


def tar(path, *parts, mode="w"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as file:
        for name, content in parts:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def zipped(path, *parts):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in parts:
            file.writestr(name, content)
    return path


def names(*places):
    return [source.name for source in find_pictures(places)]


def level(source):
    return int(read(source).pixels[0, 0, 0])


def test_a_folder_of_any_depth_is_listed_by_name(tmp_path):
    for name in ("b/z/2.JPG", "a.png", "b/1.Jpeg", "b/notes.txt", "c.WebP", "B.gif"):
        put(tmp_path / name)
    assert names(tmp_path) == ["B.gif", "a.png", "b/1.Jpeg", "b/z/2.JPG", "c.WebP"]


def test_hidden_files_are_passed_over(tmp_path):
    for name in (".a.png", "._b.png", ".git/c.png", "__MACOSX/d.png", "x/__MACOSX/._e.png", "f.png"):
        put(tmp_path / "here" / name)
    zipped(tmp_path / "here" / "g.zip", ("__MACOSX/._a.png", b""), ("in/.b.png", b""), ("in/c.png", picture(1)))
    assert names(tmp_path / "here") == ["f.png", "g.zip/in/c.png"]


def test_a_hidden_folder_may_be_asked_for(tmp_path):
    put(tmp_path / ".data" / "a.png")
    assert names(tmp_path / ".data") == ["a.png"]


def test_links_are_followed_but_not_in_circles(tmp_path):
    put(tmp_path / "elsewhere" / "a.png")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "here" / "circle").symlink_to(tmp_path / "here")
    (tmp_path / "here" / "dangling.png").symlink_to(tmp_path / "nothing")
    assert names(tmp_path / "here") == ["linked/a.png", "dangling.png"]
    with pytest.raises(ImageError, match=r"dangling\.png: a broken link"):
        read(list(find_pictures([tmp_path / "here"]))[1])


def test_archives_are_read_in_their_order_wherever_they_are(tmp_path):
    tar(tmp_path / "d" / "t.tar", ("z.png", picture(1)), ("y.json", b"{}"), ("./deep/a.PNG", picture(2)))
    zipped(tmp_path / "u.zip", ("q.png", picture(3)), ("deep/b.png", picture(4)))
    put(tmp_path / "e.png", 5)
    expected = ["d/t.tar/z.png", "d/t.tar/deep/a.PNG", "e.png", "u.zip/q.png", "u.zip/deep/b.png"]
    assert names(tmp_path) == expected
    assert [level(source) for source in find_pictures([tmp_path])] == [1, 2, 5, 3, 4]
    assert names(tmp_path / "u.zip") == ["u.zip/q.png", "u.zip/deep/b.png"]
    assert names(tmp_path / "d" / "t.tar") == ["t.tar/z.png", "t.tar/deep/a.PNG"]


def test_of_equal_names_in_an_archive_the_last_counts(tmp_path):
    path = tar(tmp_path / "t.tar", ("a.png", picture(1)), ("b.png", picture(2)), ("./a.png", picture(3)))
    assert [(source.name, level(source)) for source in find_pictures([path])] == [
        ("t.tar/a.png", 3),
        ("t.tar/b.png", 2),
    ]
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = zipped(tmp_path / "z.zip", ("a.png", picture(1)), ("a.png", picture(3)))
    assert [(source.name, level(source)) for source in find_pictures([path])] == [("z.zip/a.png", 3)]


def test_names_in_archives_cannot_lead_outside(tmp_path):
    parts = [("../../a.png", picture(1)), ("/etc/b.png", picture(2)), ("c\\d.png", picture(3))]
    for path in (tar(tmp_path / "t.tar", *parts), zipped(tmp_path / "t.zip", *parts)):
        found = list(find_pictures([path]))
        assert [source.name for source in found] == [f"{path.name}/{n}" for n in ("a.png", "etc/b.png", "c/d.png")]
        assert [level(source) for source in found] == [1, 2, 3]


def test_archives_are_read_by_many_threads_at_once(tmp_path):
    path = zipped(tmp_path / "z.zip", *((f"{i}.png", picture(i)) for i in range(100)))
    with ThreadPoolExecutor(8) as workers:
        assert list(workers.map(level, find_pictures([path]))) == list(range(100))


def test_a_changed_archive_is_opened_anew(tmp_path):
    assert level(next(find_pictures([zipped(tmp_path / "z.zip", ("a.png", picture(1)))]))) == 1
    zipped(tmp_path / "z.zip", ("longer.png", picture(0)), ("a.png", picture(2)))
    os.utime(tmp_path / "z.zip", (1, 1))
    assert [level(source) for source in find_pictures([tmp_path / "z.zip"])] == [0, 2]


def test_names_from_several_places_are_plain_while_they_differ(tmp_path):
    one, two = put(tmp_path / "x" / "a.png"), put(tmp_path / "y" / "b.png")
    assert names(one, two) == ["a.png", "b.png"] == names(tmp_path / "x", tmp_path / "y")


def test_names_from_several_places_begin_with_the_place_when_they_collide(tmp_path):
    for name in ("x/a.png", "x/b.png", "y/a.png", "deep/x/a.png"):
        put(tmp_path / name)
    x, y, deep = tmp_path / "x", tmp_path / "y", tmp_path / "deep" / "x"
    assert names(x, y) == ["x/a.png", "x/b.png", "y/a.png"]
    assert names(x, deep) == ["x/a.png", "x/b.png", "x-2/a.png"]
    assert names(y / "a.png", x / "a.png", x / "b.png") == ["y/a.png", "x/a.png", "x/b.png"]


def test_a_picture_named_twice_counts_once(tmp_path):
    a, b = put(tmp_path / "x" / "a.png"), put(tmp_path / "x" / "b.png")
    assert names(a, a) == ["a.png"]
    assert names(b, tmp_path / "x") == ["b.png", "a.png"]


def test_the_working_folder_has_a_name(tmp_path, monkeypatch):
    put(tmp_path / "x" / "a.png")
    put(tmp_path / "y" / "a.png")
    monkeypatch.chdir(tmp_path / "x")
    assert names(Path("."), Path("../y")) == ["x/a.png", "y/a.png"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "no such file or folder"),
        ("notes.txt", "its name is not that of a picture"),
        ("t.tar.gz", "a compressed tar"),
        ("gz.tar", "a compressed tar"),
        ("broken.tar", "a broken archive"),
        ("empty.tar", "a broken archive"),
        ("broken.zip", "a broken archive"),
        ("short.tar", "a broken archive"),
        ("middle.tar", "a broken archive .damaged at byte 1,024"),
    ],
)
def test_a_place_that_cannot_be_used_is_named_with_a_cure(tmp_path, name, message):
    (tmp_path / "notes.txt").write_text("dear diary")
    tar(tmp_path / "t.tar.gz", ("a.png", picture(1)), mode="w:gz")
    shutil.copy(tmp_path / "t.tar.gz", tmp_path / "gz.tar")
    damaged(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        names(tmp_path / name)
    assert caught.value.what.startswith(str(tmp_path / name)) and caught.value.cure


def damaged(folder):
    folder.mkdir(exist_ok=True)
    for name in ("broken.tar", "broken.zip"):
        (folder / name).write_bytes(b"rubbish" * 200)
    (folder / "empty.tar").write_bytes(b"")
    whole = tar(folder / "whole.tar", ("a.png", picture(1)), ("b.png", picture(2)), ("c.png", picture(3))).read_bytes()
    (folder / "short.tar").write_bytes(whole[: 3 * 512 + 60])  # b.png is cut
    (folder / "middle.tar").write_bytes(whole[:1024] + b"\xff" * 512 + whole[1536:])  # the header of b.png


def test_what_is_broken_in_a_folder_does_not_stop_the_rest(tmp_path):
    damaged(tmp_path / "here")
    put(tmp_path / "here" / "z.png", 9)
    good, bad = [], []
    for source in find_pictures([tmp_path / "here"]):
        try:
            good.append((source.name, level(source)))
        except ImageError as error:
            assert error.what.startswith(source.name)
            bad.append(source.name)
    assert good == [
        ("middle.tar/a.png", 1),
        ("short.tar/a.png", 1),
        *((f"whole.tar/{n}.png", i + 1) for i, n in enumerate("abc")),
        ("z.png", 9),
    ]
    assert bad == ["broken.tar", "broken.zip", "empty.tar", "middle.tar", "short.tar/b.png", "short.tar"]


def test_a_damaged_part_of_a_zip_is_an_image_error(tmp_path):
    path = zipped(tmp_path / "z.zip", ("a.png", bytes(range(256)) * 9), ("b.png", picture(7)))
    content = bytearray(path.read_bytes())
    content[60:90] = bytes(30)
    path.write_bytes(content)
    first, second = find_pictures([path])
    with pytest.raises(ImageError, match=r"z\.zip/a\.png: "):
        read(first)
    assert level(second) == 7


def test_a_tar_without_its_end_is_whole(tmp_path):
    content = tar(tmp_path / "t.tar", ("a.png", picture(1))).read_bytes()
    (tmp_path / "t.tar").write_bytes(content[: 512 + 512 * ((len(picture(1)) + 511) // 512)])
    assert names(tmp_path / "t.tar") == ["t.tar/a.png"]


def test_the_bytes_are_those_in_the_tar(tmp_path):
    content = np.random.default_rng(0).bytes(5000)
    (source,) = find_pictures([tar(tmp_path / "t.tar", ("a.png", content))])
    assert source.bytes() == content == source.bytes(5000)
    with pytest.raises(ImageError, match="5,000 bytes are more than the limit of 4,999"):
        source.bytes(4999)


def test_what_verbs_keep_beside_their_results_is_no_result(tmp_path):
    claim_run(tmp_path)
    claim_run(tmp_path / "people")
    for name in ("a.png", "_run/contact.png", "people/_run/mean.png", "people/b.png", "_runs/c.png", "my/_run/d.png"):
        put(tmp_path / name)
    assert names(tmp_path) == ["_runs/c.png", "a.png", "my/_run/d.png", "people/b.png"]
    assert names(tmp_path / "_run") == ["contact.png"]
