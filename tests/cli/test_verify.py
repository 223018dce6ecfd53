import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from latentfill.batch.outputs import hole_seed
from latentfill.cli.main import run
from latentfill.cli.verify import compare
from latentfill.images import holes, photos
from latentfill.images.photos import Original, Source

HOLE = "rectangle:2,1,4,3"  # 12 of 80 pixels


def picture(channels=3, bits=8, alpha=False, seed=0, **more):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 1 << bits, (8, 10, channels), dtype=f"uint{bits}")
    return Original(values, rng.integers(0, 1 << bits, (8, 10), dtype=f"uint{bits}") if alpha else None, **more)


def completed(original, hole, at=None):
    """Other values in the hole; and at one more place, if given, a value that is one level off."""
    values = np.where(hole[..., None] > 0, original.values ^ 1, original.values)
    if at is not None:
        values[at] ^= 1
    return replace(original, values=values)


def draw(text=HOLE, size=(8, 10), seed=0):
    return holes.draw(holes.parse(text), size, seed=seed).hole


def put(path, original):
    photos.write_original(path, original)
    return str(path)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("alpha", [False, True])
def test_what_changes_in_the_hole_alone_does_not_count_and_one_level_outside_does(
    tmp_path, capsys, channels, bits, alpha
):
    before = picture(channels, bits, alpha, icc=b"a profile")
    words = ["verify", put(tmp_path / "cat.png", before), put(tmp_path / "after.png", completed(before, draw())), HOLE]
    assert run(words) == 0
    out = "cat.png: 0 of 68 known pixels differ\n1 pair: 0 of 68 known pixels differ\n"
    assert capsys.readouterr().out == out
    put(tmp_path / "after.png", completed(before, draw(), at=(7, 9, channels - 1)))
    assert run(words) == 1
    assert capsys.readouterr().out.startswith(
        f"cat.png: 1 of 68 known pixels differ, by at most 1 level{' of 65,535' if bits == 16 else ''}\n"
    )
    assert run([*words, "--invert"]) == 1
    assert "12 of 12 known pixels differ" in capsys.readouterr().out


def test_a_hole_that_was_widened_is_so_here_as_well(tmp_path, capsys):
    before, hole = picture(), draw("rectangle:2,1,2,2")
    after = completed(before, hole, at=(0, 2, 0))
    words = ["verify", put(tmp_path / "cat.png", before), put(tmp_path / "after.png", after), "rectangle:2,1,2,2"]
    assert run(words) == 1 and run([*words, "--grow", "1"]) == 0
    assert capsys.readouterr().out.endswith("0 of 68 known pixels differ\n")


def test_a_known_pixel_whose_transparency_changes_is_changed():
    before = picture(alpha=True)
    hole = draw()
    inside, outside = before.alpha.copy(), before.alpha.copy()
    inside[1, 2] ^= 255
    outside[7, 9] ^= 255
    assert compare(before, replace(before, alpha=inside), hole).changed == 0
    assert compare(before, replace(before, alpha=outside), hole).changed == 1


@pytest.mark.parametrize(
    ("after", "changed", "note"),
    [
        (picture(bits=16), 68, "8 bits per channel became 16"),
        (replace(picture(), icc=b"new"), 0, "its colour profile data are new"),
        (replace(picture(), exif=b"new"), 0, "its EXIF data are new"),
        (Original(picture().values[:, :9]), 68, "10 x 8 pixels became 9 x 8"),
        (replace(picture(), alpha=np.zeros((8, 10), np.uint8)), 68, "it has become transparent"),
        (Original(picture().values[..., :1]), 68, "colour became grey"),
    ],
)
def test_another_kind_of_picture_is_told(after, changed, note):
    found = compare(picture(), after, draw())
    assert (found.known, found.changed, found.notes) == (68, changed, (note,))
    size = "x" in note or not changed
    assert str(found).startswith(f"{changed} of 68 known pixels differ{';' if size else ', by at most '}")
    assert str(found).endswith(f"; {note}")


def test_an_alpha_that_is_full_everywhere_is_no_change():
    full = replace(picture(), alpha=np.full((8, 10), 255, np.uint8))
    assert compare(picture(), full, draw()).notes == compare(full, picture(), draw()).notes == ()


def test_what_is_lost_is_told(tmp_path, capsys):
    before = picture(alpha=True, icc=b"a profile", exif=None)
    after = Original(before.values)
    words = ["verify", put(tmp_path / "cat.png", before), put(tmp_path / "after.png", after), HOLE]
    assert run(words) == 1
    told = capsys.readouterr().out
    assert "the transparency is gone; its colour profile data are gone" in told
    put(tmp_path / "after.png", replace(before, icc=None))
    assert run(words) == 1
    assert "0 of 68 known pixels differ; its colour profile data are gone" in capsys.readouterr().out


def test_grey_that_became_equal_colours_has_not_changed_its_pixels():
    grey = picture(1)
    found = compare(grey, Original(np.repeat(grey.values, 3, 2)), draw())
    assert (found.changed, found.notes) == (0, ("grey became colour",))


def test_a_folder_is_paired_as_complete_names_its_answers(tmp_path, capsys):
    before = {"cat.png": picture(seed=1), "deep/dog.jpg": picture(seed=2), "deep/cat.png": picture(seed=3)}
    for name, after in (("cat.png", "cat"), ("deep/cat.png", "deep/cat"), ("deep/dog.jpg", "dog")):
        put(tmp_path / "before" / "x.png", before[name])
        (tmp_path / "before" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "before" / "x.png").rename(tmp_path / "before" / name)
        put(tmp_path / "after" / f"{after}.png", completed(before[name], draw()))
        (tmp_path / "after" / f"{after}.json").write_text("{}")
    put(tmp_path / "after" / "_run" / "000001" / "before.png", picture())
    words = ["verify", str(tmp_path / "before"), str(tmp_path / "after"), HOLE]
    assert run(words) == 0
    assert "3 pairs: 0 of 204 known pixels differ" in capsys.readouterr().out
    (tmp_path / "after" / "dog.png").unlink()
    (tmp_path / "before" / "deep" / "cat.png").write_bytes(b"dear diary")
    assert run([*words, "--json"]) == 1
    out, errors = capsys.readouterr()
    told = json.loads(out)
    assert (told["known"], told["changed"]) == (68, 0)
    assert told["pairs"] == [
        {
            "path": "cat.png",
            "known": 68,
            "changed": 0,
            "notes": [],
            "largest": 0,
            "bits": 8,
            "jpeg": False,
            "by_jpeg": False,
        }
    ]
    assert [failed["path"] for failed in told["failed"]] == ["deep/cat.png", "deep/dog.jpg"]
    assert "deep/dog.jpg: its completion" in errors and "deep/cat.png: not a picture" in errors


def test_a_drawn_hole_is_that_of_complete(tmp_path, capsys):
    before = picture()
    hole = draw("random:0.5", seed=hole_seed(7, "cat.png"))
    words = ["verify", put(tmp_path / "cat.png", before), put(tmp_path / "b.png", completed(before, hole))]
    assert run([*words, "random:0.5", "--seed", "7"]) == 0
    assert run([*words, "random:0.5"]) == 1


def test_the_alpha_of_the_photo_may_be_the_hole(tmp_path):
    before = picture(alpha=True)
    hole = np.where(before.alpha < 128, np.uint8(255), np.uint8(0))
    after = replace(completed(before, hole), alpha=np.where(hole > 0, 255, before.alpha).astype(np.uint8))
    assert run(["verify", put(tmp_path / "a.png", before), put(tmp_path / "b.png", after), "alpha"]) == 0


def test_a_turned_jpeg_is_equal_to_its_upright_completion(tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Cam"
    wide = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 10, 3), dtype=np.uint8))
    wide.save(tmp_path / "a.jpg", exif=exif)
    original = photos.read_original(Source("a.jpg", tmp_path / "a.jpg"))
    hole = holes.draw(holes.parse("ellipse:50%,50%,2"), (10, 8), seed=0).hole
    after = put(tmp_path / "b.png", completed(original, hole))
    assert run(["verify", str(tmp_path / "a.jpg"), after, "ellipse:50%,50%,2"]) == 0


def test_a_hole_of_another_size_is_named(tmp_path, capsys):
    Image.fromarray(np.zeros((8, 9), np.uint8)).save(tmp_path / "hole.png")
    words = [put(tmp_path / "cat.png", picture()), put(tmp_path / "after.png", picture()), str(tmp_path / "hole.png")]
    assert run(["verify", *words]) == 1
    assert "hole.png is 9 x 8 pixels, but cat.png is 10 x 8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("before", "after", "hole", "message"),
    [
        ("a.png", "a.png", "middle", "neither a kind of hole nor a file"),
        ("b.png", "a.png", HOLE, "b.png: no such file or folder"),
        ("a.png", "b.png", HOLE, "b.png: no such file or folder"),
        ("folder", "a.png", HOLE, "holds 2 pictures"),
        ("empty", "folder", HOLE, "no pictures in"),
    ],
)
def test_misuse_ends_with_2(tmp_path, capsys, before, after, hole, message):
    put(tmp_path / "a.png", picture())
    (tmp_path / "empty").mkdir()
    for name in ("a.png", "b.png"):
        put(tmp_path / "folder" / name, picture())
    assert run(["verify", str(tmp_path / before), str(tmp_path / after), hole]) == 2
    assert message in capsys.readouterr().err
