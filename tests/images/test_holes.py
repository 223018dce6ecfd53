import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from latentfill.errors import HoleError, ImageError
from latentfill.images.hole_pictures import describe
from latentfill.images.holes import AT_PHOTO_SIZE, KINDS, PAINTED, HoleSpec, draw, parse, to_known
from latentfill.images.photos import Photo

DRAWN = ["center", "center:0.1", "left", "half", "random", "random:0.8", "grid", "full", "lowres", "pattern"]


def hole(text, size=(64, 64), seed=0, **more):
    return draw(parse(text), size, seed=seed, **more).hole


def a_photo(h=6, w=8, alpha=None):
    return Photo(np.random.default_rng(0).integers(0, 200, (h, w, 3), dtype=np.uint8), alpha)


def save(path, grey):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(grey, np.uint8)).save(path)
    return path


@pytest.mark.parametrize("text", DRAWN)
def test_a_hole_is_black_and_white_and_depends_on_its_seed_alone(text):
    first = hole(text, (40, 64), seed=7)
    assert first.shape == (40, 64) and first.dtype == np.uint8 and set(np.unique(first)) <= {0, 255}
    hole("random", seed=8)
    assert np.array_equal(first, hole(text, (40, 64), seed=7, photo=a_photo(40, 64), name="another"))


@pytest.mark.parametrize("text", ["half", "random", "pattern"])
def test_another_seed_is_another_hole(text):
    assert len({hole(text, seed=seed).tobytes() for seed in range(20)}) >= (4 if text == "half" else 20)


def test_center_is_rows_16_to_47_of_64():
    expected = np.zeros((64, 64), np.uint8)
    expected[16:48, 16:48] = 255
    assert np.array_equal(hole("center"), expected) and np.array_equal(hole("centre:0.25"), expected)


@given(st.integers(1, 70), st.integers(1, 70), st.floats(0, 0.5))
def test_center_is_the_definition(height, width, scale):
    found = hole(f"center:{scale}", (height, width)) == 255
    for i, side in ((0, height), (1, width)):
        middle = np.arange(side)
        inside = (middle >= np.floor(side * scale)) & (middle < np.floor(side * (1 - scale)))
        other = found.any(1 - i)
        assert np.array_equal(other, inside if found.any() else np.zeros(side, bool))
    assert found.sum() == found.any(0).sum() * found.any(1).sum()


def test_the_extremes_of_center_are_all_and_nothing():
    assert hole("center:0").all() and not hole("center:0.5").any()


def test_left_is_the_left_half():
    found = hole("left", (4, 6))
    assert found[:, :3].all() and not found[:, 3:].any()


def test_half_is_each_of_the_four_halves_about_equally_often():
    sides = {}
    for seed in range(200):
        found = hole("half", (6, 8), seed)
        sides[found.tobytes()] = sides.get(found.tobytes(), 0) + 1
    left, upper = hole("left", (6, 8)), np.zeros((6, 8), np.uint8)
    upper[:3] = 255
    assert set(sides) == {a.tobytes() for a in (left, left[:, ::-1], upper, upper[::-1])}
    assert min(sides.values()) > 30


@pytest.mark.parametrize(("text", "fraction"), [("random", 0.2), ("random:0.8", 0.8), ("random:0", 0), ("random:1", 1)])
def test_random_misses_that_fraction_each_pixel_by_itself(text, fraction):
    found = hole(text, (200, 200)) == 255
    assert abs(found.mean() - fraction) < 4 * np.sqrt(fraction * (1 - fraction)) / 200 + 1e-12
    both = (found[:, 1:] & found[:, :-1]).mean()
    assert abs(both - fraction**2) < 0.01


def test_grid_keeps_every_fourth_pixel_of_every_fourth_row():
    found = hole("grid", (10, 9))
    for row in range(10):
        for column in range(9):
            assert found[row, column] == (0 if row % 4 == 0 and column % 4 == 0 else 255)
    assert (hole("grid") == 0).mean() == 1 / 16


def test_full_misses_nothing_and_lowres_all():
    assert not hole("full").any() and hole("lowres").all()


def test_lowres_needs_whole_blocks():
    with pytest.raises(HoleError, match="sides that are multiples of 8, not 60 x 64"):
        hole("lowres", (64, 60))


@pytest.mark.parametrize("size", [(16, 16), (64, 64), (128, 128), (600, 900)])
def test_pattern_covers_20_to_30_percent(size):
    for seed in range(8):
        assert 0.2 <= (hole("pattern", size, seed) == 255).mean() <= 0.3


def test_pattern_is_made_of_blobs_as_wide_as_those_of_the_context_encoder():
    edges = [(np.diff((hole("pattern", (128, 128), seed) == 255).astype(int)) != 0).mean() for seed in range(20)]
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.random((90, 90), np.float32)).resize((1500, 1500), Image.Resampling.BICUBIC)
    sheet = (np.asarray(noise) < 0.25).astype(int)
    windows = [sheet[y : y + 128, x : x + 128] for y, x in rng.integers(0, 1372, (400, 2))]
    theirs = [(np.diff(window) != 0).mean() for window in windows if 0.2 <= window.mean() <= 0.3]
    assert abs(np.mean(edges) / np.mean(theirs) - 1) < 0.15


def test_a_pattern_that_cannot_be_is_refused(monkeypatch):
    monkeypatch.setattr("latentfill.images.hole_shapes.TRIES", 50)
    with pytest.raises(HoleError, match="no pattern covers 20 to 30 % of 1 x 1"):
        hole("pattern", (1, 1))


def test_alpha_is_where_the_picture_is_transparent():
    alpha = np.full((6, 8), 255, np.uint8)
    alpha[1, :4] = [0, 127, 128, 254]
    found = hole("alpha", (6, 8), photo=a_photo(alpha=alpha))
    assert np.argwhere(found).tolist() == [[1, 0], [1, 1]]


def test_a_picture_without_transparency_has_no_alpha_hole():
    with pytest.raises(HoleError, match=r"cat\.jpg: it has no transparency"):
        hole("alpha", (6, 8), photo=a_photo(), name="cat.jpg")
    with pytest.raises(ValueError, match="alpha needs the photo"):
        hole("alpha", (6, 8))


def test_colour_is_a_key_with_a_tolerance_per_channel():
    photo = a_photo()
    photo.pixels[0, :4] = [[255, 0, 255], [250, 5, 250], [249, 0, 255], [255, 6, 255]]
    for text, count in (
        ("colour:#ff00ff", 1),
        ("color:f0f", 1),
        ("colour:#FF00FF:5", 2),
        ("colour:#ff00ff:6", 4),
    ):
        assert np.argwhere(hole(text, (6, 8), photo=photo)).tolist() == [[0, i] for i in range(count)]
    assert hole("colour:#000000:255", (6, 8), photo=photo).all()


def test_a_file_is_white_where_a_pixel_is_to_be_found(tmp_path):
    path = save(tmp_path / "hole.png", [[0, 127, 128, 255]] * 2)
    assert hole(str(path), (2, 4)).tolist() == [[0, 0, 255, 255]] * 2


def test_what_is_transparent_in_a_hole_file_is_not_white(tmp_path):
    path = save(tmp_path / "hole.png", [[[255, 255, 255, 255], [255, 255, 255, 0], [0, 0, 0, 255]]])
    assert hole(str(path), (1, 3)).tolist() == [[255, 0, 0]]


def test_a_changed_hole_file_is_read_again(tmp_path):
    path = save(tmp_path / "hole.png", [[0, 255]])
    assert hole(str(path), (1, 2)).tolist() == [[0, 255]]
    save(path, [[255, 0]])
    os.utime(path, (1, 1))
    assert hole(str(path), (1, 2)).tolist() == [[255, 0]]


def test_a_hole_of_another_size_is_refused(tmp_path):
    path = save(tmp_path / "hole.png", np.zeros((3, 4)))
    with pytest.raises(HoleError, match=r"hole\.png is 4 x 3 pixels, but cat\.jpg is 64 x 48"):
        hole(str(path), (48, 64), name="cat.jpg")


def test_holes_in_a_folder_are_paired_by_name(tmp_path):
    for i, name in enumerate(["a.png", "b.bmp", "people/a.png", "both.png", "both.jpg", "t.tar/x.png"]):
        save(tmp_path / name, [[255] * i + [0] * (9 - i)])
    for name, count in [
        ("a.png", 0),
        ("a.jpg", 0),
        ("b.png", 1),
        ("people/a.jpeg", 2),
        ("both.png", 3),
        ("t.tar/x.jpg", 5),
    ]:
        assert (hole(str(tmp_path), (1, 9), name=name) == 255).sum() == count
    with pytest.raises(HoleError, match=r"(?s)no hole for c\.jpg.*Put it at .*c\.png"):
        hole(str(tmp_path), (1, 9), name="c.jpg")
    for name in ("people/b.png", "nowhere/b.png"):
        assert (hole(str(tmp_path), (1, 9), name=name) == 255).sum() == 1, "holes that lie flat serve as well"
    with pytest.raises(HoleError, match=r"no hole for people/c\.png"):
        hole(str(tmp_path), (1, 9), name="people/c.png")
    with pytest.raises(HoleError, match=r"both\.webp could mean both\.jpg or both\.png"):
        hole(str(tmp_path), (1, 9), name="both.webp")


def test_a_hole_in_a_folder_may_be_called_as_other_programs_call_it(tmp_path):
    for i, name in enumerate(["a_mask.png", "b-mask.jpg", "c_hole.png", "d-hole.webp", "e.png", "e_mask.png"]):
        save(tmp_path / name, [[255] * (i + 1) + [0] * (8 - i)])
    for i, name in enumerate("abcde"):
        assert (hole(str(tmp_path), (1, 9), name=f"x/{name}.jpg") == 255).sum() == i + 1, "as the photo, before others"
    save(tmp_path / "a-hole.png", [[255] * 9])
    with pytest.raises(HoleError, match=r"a\.jpg could mean a_mask\.png or a-hole\.png"):
        hole(str(tmp_path), (1, 9), name="a.jpg")


def test_a_rectangle_is_left_top_width_height():
    expected = np.zeros((6, 8), np.uint8)
    expected[2:5, 1:3] = 255
    for text in ("rectangle:1,2,2,3", "rectangle: 12.5% , 2, 25%,50%", "rectangle:0.6,1.6,2.3,3.3"):
        assert np.array_equal(hole(text, (6, 8)), expected), text


@given(*(st.floats(-20, 20) for _ in range(2)), *(st.floats(0.5, 30) for _ in range(2)), st.booleans())
def test_shapes_hold_the_pixels_whose_centres_lie_in_them(x, y, a, b, round_):
    rows, columns = np.mgrid[:13, :17] + 0.5
    if round_:
        inside = ((columns - x) / a) ** 2 + ((rows - y) / b) ** 2 <= 1
    else:
        inside = (columns >= x) & (columns < x + a) & (rows >= y) & (rows < y + b)
    text = f"{'ellipse' if round_ else 'rectangle'}:{x},{y},{a},{b}"
    if inside.any():
        assert np.array_equal(hole(text, (13, 17)) == 255, inside)
    else:
        with pytest.raises(HoleError, match=r"the picture: none of its 17 x 13 pixels lies in the"):
            hole(text, (13, 17))


def test_an_ellipse_in_percent_follows_the_picture_and_a_circle_stays_round():
    found = hole("ellipse:50%,40%,10%,15%", (200, 400)) == 255
    assert (found.any(0).sum(), found.any(1).sum()) == (80, 60) and found[80, 200]
    assert abs(found.sum() / (np.pi * 40 * 30) - 1) < 0.01
    circle = hole("ellipse:50%,50%,10%", (200, 400)) == 255
    assert circle.any(0).sum() == circle.any(1).sum() == 40, "of the shorter side"


def test_shapes_are_joined_and_cut_off_at_the_border():
    both = hole("rectangle:-3,-3,4,4+ellipse:7,5,1.2", (6, 8))
    assert np.array_equal(both, hole("rectangle:0,0,1,1", (6, 8)) | hole("ellipse:7,5,1.2", (6, 8)))
    assert both[0, 0] and not both[0, 1] and both[5, 7]
    assert parse("rectangle:1,2,3,4 + ellipse:1,2,3").kind == "rectangle"
    assert hole("rectangle:900,900,9,9+ellipse:7,5,1", (6, 8)).any(), "one of them is enough"


def notes_of(text, size=(6, 8), *, invert=False, **more):
    return " ".join(draw(parse(text, invert=invert), size, seed=0, **more).notes)


def test_shapes_are_drawn_at_the_photos_size_and_questioned_if_nothing_or_all_is_left():
    assert set(AT_PHOTO_SIZE) - set(PAINTED) == {"rectangle", "ellipse", "face"} <= set(KINDS)
    everything = "rectangle:0,0,100%,100%"
    assert "nothing is known" in notes_of(everything)
    assert "nothing is to be found" in notes_of(everything, invert=True)
    assert not notes_of("ellipse:1,1,1") and not notes_of("ellipse:1,1,1", invert=True), "asked for"


@pytest.mark.parametrize("text", [t for t in DRAWN if t != "lowres"])
def test_an_inverted_hole_is_the_rest(text):
    inverted = draw(parse(text, invert=True), (64, 64), seed=3).hole
    assert np.array_equal(inverted, 255 - hole(text, seed=3))


def test_lowres_has_no_inverse():
    with pytest.raises(HoleError, match="lowres cannot be inverted"):
        parse("lowres", invert=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "neither a kind of hole nor a file"),
        ("middle", "neither a kind of hole nor a file"),
        ("missing.png", "missing.png: no such file"),
        ("masks/cat", "masks/cat: no such file"),
        ("file", "neither a kind of hole nor a file"),
        ("center:0.6", "'0.6' is not a number from 0 to 0.5"),
        ("center:-0.1", "not a number from 0 to 0.5"),
        ("center:", "'' is not a number"),
        ("center:nan", "'nan' is not a number"),
        ("center:0.1:0.2", "center does not take '0.1:0.2'"),
        ("random:80", "'80' is not a number from 0 to 1"),
        ("left:0.5", "left does not take '0.5'"),
        ("colour", "is not a colour"),
        ("colour:red", "is not a colour"),
        ("colour:#ff00f", "is not a colour"),
        ("colour:#ff00ff:300", "'300' is not a number from 0 to 255"),
        ("colour:#ff00ff:1:2", "is not a colour"),
        ("rectangle", "'' is no number of pixels or percent"),
        ("rectangle:1,2,3", "has 3 numbers, not 4"),
        ("rectangle:1,2,3,4,5", "has 5 numbers, not 4"),
        ("ellipse:1,2", "has 2 numbers, not 3 or 4"),
        ("ellipse:1,2,x", "'x' is no number of pixels or percent"),
        ("ellipse:1,2,nan", "'nan' is no number"),
        ("ellipse:1,2,1e9", "'1e9' is no number"),
        ("ellipse:1,2,3%%", "'3%%' is no number"),
        ("rectangle:1,2,-3,4", "has no size"),
        ("ellipse:1,2,0%", "has no size"),
        ("ellipse:1,2,1e-300", "has no size"),
        ("ellipse:1,2,3+center", "'center' is neither a rectangle nor an ellipse"),
        ("ellipse:1,2,3+", "'' is neither a rectangle nor an ellipse"),
    ],
)
def test_what_is_no_hole_is_refused_with_the_way_to_write_it(text, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HoleError, match=message) as caught:
        parse(text)
    assert caught.value.cure
    if "neither a kind" in message:
        assert all(how.split(", ")[0] in caught.value.cure for how in KINDS.values())


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("muoth", r"Did you mean mouth \(of a face in a photo: face:mouth\)\?"),
        ("faces:glasses", r"Did you mean face:glasses\?"),
        ("rando:0.8", r"Did you mean random\?"),
    ],
)
def test_the_hole_that_was_meant_is_named(text, meant):
    with pytest.raises(HoleError, match=meant):
        parse(text)


def test_a_hole_file_that_is_gone_or_broken_is_named(tmp_path):
    path = save(tmp_path / "hole.png", [[0, 255]])
    spec = parse(str(path))
    path.write_bytes(b"dear diary")
    with pytest.raises(ImageError, match=r"hole\.png: not a picture"):
        draw(spec, (1, 2), seed=0)
    path.unlink()
    with pytest.raises(ImageError, match=r"hole\.png: No such file"):
        draw(spec, (1, 2), seed=0)


def test_a_file_that_is_no_picture_is_no_hole(tmp_path):
    (tmp_path / "notes.txt").write_text("dear diary")
    with pytest.raises(HoleError, match="not that of a picture"):
        parse(str(tmp_path / "notes.txt"))


def test_a_file_with_the_name_of_a_kind_is_reached_by_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "left").mkdir()
    assert parse("left").kind == "left" and parse("./left").kind == "folder"


@given(
    st.text("center:olu#f0.-/\0é", max_size=12)
    | st.text("1,.%-+e:", max_size=12).map("ellipse:".__add__)
    | st.just("x" * 9000)
)
@settings(deadline=None)
def test_any_text_is_a_hole_or_a_hole_error(text):
    try:
        assert isinstance(parse(text), HoleSpec)
    except HoleError as error:
        assert error.cure


def test_equal_texts_are_equal_specs():
    assert parse("random:0.8") == parse("random:0.80") != parse("random")
    assert hash(parse("left")) == hash(parse("left"))


def test_misuse_is_named():
    with pytest.raises(ValueError, match="at least one pixel"):
        hole("left", (0, 4))
    with pytest.raises(ValueError, match="a seed is from 0"):
        hole("left", seed=-1)
    with pytest.raises(ValueError, match=r"\(64, 64\) but the photo is \(6, 8\)"):
        hole("left", photo=a_photo())
    with pytest.raises(ValueError, match="not 'square'"):
        draw(HoleSpec("square"), (4, 4), seed=0)


def test_known_is_one_where_the_hole_is_not():
    known = to_known(hole("left", (4, 6)))
    assert known.shape == (1, 1, 4, 6) and known.dtype.is_floating_point
    assert known[0, 0].tolist() == [[0, 0, 0, 1, 1, 1]] * 4


def test_a_hole_is_described_with_its_polarity():
    assert describe(hole("center")) == "25 % to be found (white)"
    assert describe(hole("full")) == "0 % to be found (white)"
    assert describe(hole("center:0")) == "100 % to be found (white)"


def test_a_painted_hole_that_leaves_little_is_questioned(tmp_path):
    little = np.full((20, 20), 255, np.uint8)
    little[:2, :10] = 0

    def said(grey, **more):
        return notes_of(str(save(tmp_path / f"{len(list(tmp_path.iterdir()))}.png", grey)), grey.shape, **more)

    assert "95 % to be found (white): are white and black exchanged? If so, invert it (--invert)" in said(little)
    assert "do not invert it" in said(255 - little, invert=True)
    framed = little.copy()
    framed[5:14, 5:14] = 0
    assert "exchanged" in said(framed)
    beside = np.full((20, 20), 255, np.uint8)
    beside[:, :5] = 0
    assert not said(beside)  # 75 %, but one border is whole
    assert not notes_of("random:0.95") and not said(255 - little)


def test_a_painted_hole_without_white_is_questioned(tmp_path):
    nothing = save(tmp_path / "h.png", np.zeros((6, 8)))
    assert "no pixel of the hole is white; its largest value is 0; white is 128 and above" in notes_of(str(nothing))
    assert "tolerance" in notes_of("colour:#fff", photo=a_photo())
    assert "no pixel is transparent" in notes_of("alpha", photo=a_photo(alpha=np.full((6, 8), 255, np.uint8)))
    assert not notes_of("full")


@pytest.mark.parametrize(("threshold", "found"), [(1, 3), (60, 2), (128, 1), (255, 1)])
def test_the_threshold_says_from_where_on_grey_is_white(threshold, found, tmp_path):
    Image.fromarray(np.array([[0, 59, 60, 255]], np.uint8)).save(tmp_path / "hole.png")
    spec = parse(str(tmp_path / "hole.png"), threshold=threshold)
    assert (draw(spec, (1, 4), seed=0).hole > 0).sum() == found
    inverted = parse(str(tmp_path / "hole.png"), threshold=threshold, invert=True)
    assert (draw(inverted, (1, 4), seed=0).hole == 0).sum() == found
