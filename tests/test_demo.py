import runpy
from pathlib import Path

import numpy as np
from PIL import Image

DEMO = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "demo.py"))


def read(path):
    return np.asarray(Image.open(path)).astype(int)


def test_the_demo_completes_faces_of_nobody_and_an_astronaut(tmp_path):
    assert DEMO["main"](tmp_path / "demo", "--steps", "2") == 0
    made = sorted((tmp_path / "demo" / "completed").glob("*.png"))
    assert len(made) == 8 and made[-1].name == "astronaut.png"
    for path in made:
        before, after = read(tmp_path / "demo" / "faces" / path.name), read(path)
        assert np.array_equal(before[:16], after[:16]) and not np.array_equal(before, after)
    assert read(tmp_path / "demo" / "sheet.png").shape == (2 * 3 * 64, 2 * 8 * 64, 3)


def test_the_astronaut_is_cut_where_her_face_is():
    face = DEMO["astronaut"]().astype(float)
    assert face.shape == (64, 64, 3)
    red, _, blue = face[25:45, 20:44].mean((0, 1))
    assert red > blue + 20, "skin is in the middle"
    eyes = face[8:14, 12:52].mean()
    assert eyes < face[18:24, 26:38].mean(), "eyes are darker than the nose and stand where the template has them"
