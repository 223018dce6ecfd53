"""The whole main job, offline: complete faces of nobody and of an astronaut with the model in the package.

    python examples/demo.py FOLDER [flags of latentfill complete]

The faces of nobody are samples of the model, so it can complete them well. Eileen Collins (a NASA photograph in the
public domain, from scikit-image) was never seen in training: that is the honest test.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from latentfill.cli.main import run
from latentfill.images import photos
from latentfill.images.grids import grid
from latentfill.types import Pixels

SEEDS = (0, 1, 2, 3, 4, 5, 6)
SIZE = 64
MARK = ".latentfill-demo"  # what is in a folder with this file may be made anew
# Inner corners of the eyes and the bottom of the lower lip: in the photograph (as a landmark detector finds them), and
# in OpenFace's template `innerEyesAndBottomLip` at 64 px, to which the model's faces are aligned.
LANDMARKS = ((212.0, 104.0), (237.0, 106.0), (222.0, 156.0))
TEMPLATE = ((23.28, 11.39), (39.61, 11.06), (32.01, 48.04))


def astronaut() -> Pixels:
    """The aligned face, uint8 [64, 64, 3]: warped at four times the size and averaged, so that nothing sparkles."""
    times = 4
    there = np.array([(times * x, times * y, 1) for x, y in TEMPLATE])
    matrix = np.linalg.solve(there, np.array(LANDMARKS)).T
    photo = Image.fromarray(np.asarray(skimage.data.astronaut()))  # type: ignore[no-untyped-call]
    large = photo.transform(
        (times * SIZE, times * SIZE), Image.Transform.AFFINE, tuple(matrix.flatten()), Image.Resampling.BICUBIC
    )
    return np.asarray(large.reduce(times))


def main(folder: Path, *more: str) -> int:
    """Make the inputs, complete them, and lay out what came of it. Returns the exit code of the completion.

    `more` are flags of `latentfill complete`, such as --steps 200.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        print(f"{folder} is not a folder of this demo\nGive one that does not exist yet.", file=sys.stderr)
        return 2
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARK).touch()
    samples = ["sample", "faces-64-dcgan", str(folder), "--separate", "--count", str(len(SEEDS))]
    if code := run([*samples, "--seed", str(SEEDS[0])]):
        return code
    (folder / "samples").rename(folder / "faces")
    photos.write(folder / "faces" / "astronaut.png", astronaut())
    words = ["complete", str(folder / "faces"), "--out", str(folder / "completed"), "--hole", "center"]
    code = run([*words, "--blend", "poisson", "--gif", *more])
    before = [read(path) for path in sorted((folder / "faces").glob("*.png"))]
    asked = [picture.copy() for picture in before]
    for picture in asked:
        picture[SIZE // 4 : -SIZE // 4, SIZE // 4 : -SIZE // 4] = 255
    after = [read(path) for path in sorted((folder / "completed").glob("*.png"))]
    sheet = Image.fromarray(grid([*before, *asked, *after], len(before)))
    sheet.resize((2 * sheet.width, 2 * sheet.height), Image.Resampling.BICUBIC).save(folder / "sheet.png")
    print(f"\nOriginals, holes and completions, one above the other: {folder / 'sheet.png'}")
    print(f"Each picture by itself: {folder / 'completed'}; the search as it went: {folder / 'completed' / '_run'}")
    return code


def read(path: Path) -> Pixels:
    return photos.read(photos.Source(path.name, path)).pixels


if __name__ == "__main__":
    words = sys.argv[1:] or ["demo"]
    sys.exit(main(Path(words[0]), *words[1:]))
