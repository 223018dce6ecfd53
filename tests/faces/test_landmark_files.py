import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from latentfill.errors import LatentfillError
from latentfill.faces.landmark_files import read_landmarks
from latentfill.faces.templates import FIVE, place, shear
from latentfill.options import Alignment, LandmarkSet

INNER: LandmarkSet = "inner-eyes-and-bottom-lip"
COLUMNS = "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y"
HEADER = "path,x1,y1,x2,y2,x3,y3"
LIST = f"""2
{COLUMNS}
000001.jpg 69  109  106  113   77  142   73  152  108  154
000002.jpg 69  110  107  112   81  135   70  151  108  153
"""


def written(folder: Path, text: str, name: str = "points.txt") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("landmarks", [INNER, "outer-eyes-and-nose"])
def test_celebas_list_gives_the_points_of_either_set(tmp_path: Path, landmarks: LandmarkSet) -> None:
    given = read_landmarks(written(tmp_path, LIST), landmarks)
    assert list(given) == ["000001.jpg", "000002.jpg"] and len(given) == 2
    crop = place(given["000002.jpg"][0], 64, Alignment(landmarks))
    assert shear(crop) == pytest.approx(1)
    five = np.reshape([69, 110, 107, 112, 81, 135, 70, 151, 108, 153], (5, 2)) + 0.5
    assert np.linalg.norm(crop.to_crop(five) - 64 * np.array(FIVE), axis=1).max() < 5


def test_a_csv_gives_its_points_as_middles_of_pixels(tmp_path: Path) -> None:
    given = read_landmarks(written(tmp_path, f"{HEADER}\na b.png, 10,11,30.5,12,20,40\n\n"), INNER)
    np.testing.assert_array_equal(given["a b.png"], [[[10.5, 11.5], [31, 12.5], [20.5, 40.5]]])


def test_columns_may_stand_in_any_order_and_a_mark_before_them(tmp_path: Path) -> None:
    text = "\ufeffscore,x3,y3,x1,y1,x2,y2,path\n0.5,20,40,10,11,30,12,a.png\n"
    given = read_landmarks(written(tmp_path, text), INNER)
    np.testing.assert_array_equal(given["a.png"], [[[10.5, 11.5], [30.5, 12.5], [20.5, 40.5]]])


def test_celebas_csv_is_as_its_list(tmp_path: Path) -> None:
    rows = ["image_id," + COLUMNS.replace(" ", ",")] + [",".join(line.split()) for line in LIST.splitlines()[2:]]
    table = read_landmarks(written(tmp_path, "\n".join(rows), "list.csv"), INNER)
    np.testing.assert_array_equal(table["000001.jpg"], read_landmarks(written(tmp_path, LIST), INNER)["000001.jpg"])


def test_json_has_one_face_or_several(tmp_path: Path) -> None:
    face = [[10, 11], [30, 12], [20, 40]]
    given = read_landmarks(written(tmp_path, json.dumps({"a": face, "b": [face, np.add(face, 5).tolist()]})), INNER)
    np.testing.assert_array_equal(given["a"], np.add([face], 0.5))
    np.testing.assert_array_equal(given["b"], [np.add(face, 0.5), np.add(face, 5.5)])


def test_several_rows_are_several_faces(tmp_path: Path) -> None:
    given = read_landmarks(
        written(tmp_path, f"{HEADER}\na.png,1,1,5,1,3,9\nb.png,1,1,5,1,3,9\na.png,11,1,15,1,13,9\n"), INNER
    )
    assert len(given["a.png"]) == 2 and len(given["b.png"]) == 1


def names(folder: Path, *rows: str) -> Path:
    lines = [f"{row},{i},0,{i + 1},0,{i},1" for i, row in enumerate(rows)]
    return written(folder, "\n".join([HEADER, *lines]))


@pytest.mark.parametrize(
    ("rows", "photo", "which"),
    [
        (["a.jpg", "people/a.jpg"], "people/a.jpg", 1),
        (["a.jpg", "people/a.jpg"], "shard.tar/people/a.jpg", 1),
        (["a.jpg", "people/a.jpg"], "others/a.jpg", 0),
        (["a.png", "a.jpg"], "people/a.jpg", 1),
        (["a.png", "people/a.png"], "people/a.jpg", 1),
        (["all/people/a.jpg"], "a.jpg", 0),
        ([r"C:\all\people\a.jpg"], "people/a.jpg", 0),
        (["./a.jpg"], "a.jpg", 0),
        (["a"], "a.jpg", 0),
        (["others/a.jpg"], "people/a.jpg", None),
        (["aa.jpg"], "a.jpg", None),
        (["a.jpg"], "aa.jpg", None),
    ],
)
def test_which_row_is_a_photos(tmp_path: Path, rows: list[str], photo: str, which: int | None) -> None:
    given = read_landmarks(names(tmp_path, *rows), INNER)
    assert (photo in given) == (which is not None)
    assert [face[0, 0] - 0.5 for face in given.get(photo, ())] == ([] if which is None else [which])


def test_rows_that_suit_equally_well_are_told(tmp_path: Path) -> None:
    given = read_landmarks(names(tmp_path, "one/a.jpg", "two/a.jpg"), INNER)
    with pytest.raises(LatentfillError, match=r"points.txt: .*one/a.jpg and two/a.jpg suit a.jpg\nWrite the paths"):
        given.get("a.jpg")


def test_landmarks_go_to_other_processes(tmp_path: Path) -> None:
    given = pickle.loads(pickle.dumps(read_landmarks(names(tmp_path, "a.jpg"), INNER)))
    assert len(given["x/a.jpg"]) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no known format, line 1"),
        ("a.jpg,1,2,3,4,5,6\n", "no known format, line 1"),
        (f"{HEADER}\na.jpg,1,1,5,1,3,9\na.jpg,1,1,5,1,3\n", "line 3: expected a name and 6 numbers"),
        (f"{HEADER}\na.jpg,1,1,5,x,3,9\n", "line 2: expected a name and 6 numbers"),
        (f"{HEADER}\na.jpg,1,1,5,nan,3,9\n", "line 2: expected a name and 6 numbers"),
        (f"{HEADER}\n ,1,1,5,1,3,9\n", "line 2: expected a name and 6 numbers"),
        (f"{HEADER}\n\na.jpg,1,1,5,1,9,1\n", "line 3: the points of a.jpg are on one line"),
        (f"{HEADER}\na.jpg,5,1,1,1,3,9\n", "line 2: the points of a.jpg are mirrored"),
        (LIST.replace("2\n", "3\n", 1), "2 rows, but the first line says 3"),
        (LIST.replace("  113 ", ""), "line 3: expected a name and 10 numbers"),
        (LIST.replace("69  110  107", "107  110  69"), "line 4: the points of 000002.jpg are mirrored"),
        ('{"a": ', "not JSON"),
        ('{"a": [[1, 2], [3, 4]]}', "a has no three points"),
        ('{"a": {"x": 3}}', "a has no three points"),
        ('{"a": [[1, 1], [5, 1], [9, 1]]}', "points.txt, a: the points of a are on one line"),
    ],
)
def test_what_cannot_be_understood_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(LatentfillError, match=message) as told:
        read_landmarks(written(tmp_path, text), INNER)
    assert "points.txt" in told.value.what


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(LatentfillError, match="No such file"):
        read_landmarks(tmp_path / "none.csv", INNER)
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF")
    with pytest.raises(LatentfillError, match="not a text file"):
        read_landmarks(tmp_path / "photo.jpg", INNER)
