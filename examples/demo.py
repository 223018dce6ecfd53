"""The whole main job, offline: complete an astronaut's face of which a part is hidden; take a rocket out of a photo.

    python examples/demo.py FOLDER [flags of latentfill complete]

Eileen Collins (a NASA photograph in the public domain, from scikit-image) was never seen in training. What is hidden is
erased from the photo before anything looks at it. The rocket's photo (SpaceX, in the public domain, from scikit-image)
has no face: the photo itself fills its hole. FOLDER/faces are small faces to try other commands on: seven of
nobody, drawn by the model, and hers, cut out as the model wants it.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from latentfill.cli.main import run
from latentfill.images import holes, photos
from latentfill.images.pixels import grid
from latentfill.models import DEFAULT, find
from latentfill.models.card import facts
from latentfill.types import Pixels

MARK = ".latentfill-demo"  # what is in a folder with this file may be made anew
HIDDEN = "ellipse:224,133,21,27"  # her nose, most of her mouth, and the inner halves of her eyes
REMOVED = "rectangle:300,122,42,290"  # the rocket
SQUARE = np.s_[:, 107:534]  # the part of its photo that the sheet shows
CLOSE = np.s_[20:244, 112:336]  # the part of the photo that the sheet shows enlarged


def main(folder: Path, *more: str) -> int:
    """Make the inputs, complete the photo, and lay out what came of it. Returns the exit code of the completion.

    `more` are flags of `latentfill complete`, such as --steps 200.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        print(f"{folder} is not a folder of this demo\nGive one that does not exist yet.", file=sys.stderr)
        return 2
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARK).touch()
    original = np.asarray(skimage.data.astronaut())  # type: ignore[no-untyped-call]
    photos.write(folder / "original" / "astronaut.png", original)
    torn, hole = tear(original)
    photos.write(folder / "astronaut.png", torn, alpha=255 - hole)
    out = folder / "completed"
    if code := run(["complete", str(folder / "astronaut.png"), "--out", str(out), "--hole", "alpha", *more]):
        return code
    after = photos.read(photos.Source("astronaut.png", out / "astronaut.png")).pixels
    wholes = [original, asked(torn, hole), after]
    rocket, code = remove_rocket(folder)
    if code:
        return code
    rows = [*wholes, *(resized(photo[CLOSE], original) for photo in wholes)]
    photos.write(folder / "sheet.png", grid([*rows, *(resized(photo[SQUARE], original) for photo in rocket)], 3))
    code = small_faces(folder)
    print(f"\nOriginal, hole and completion, below them enlarged, then a rocket removed: {folder / 'sheet.png'}")
    print(f"The completed photo: {out / 'astronaut.png'}; the search as it went: {out / '_run'}")
    return code


def remove_rocket(folder: Path) -> tuple[list[Pixels], int]:
    """The photo of a rocket, its hole, and the photo without the rocket; and the exit code of the completion."""
    original = np.asarray(skimage.data.rocket())  # type: ignore[no-untyped-call]
    photos.write(folder / "rocket.png", original)
    out = folder / "removed"
    code = run(["complete", str(folder / "rocket.png"), "--out", str(out), "--hole", REMOVED])
    if code:
        return [], code
    after = photos.read(photos.Source("rocket.png", out / "rocket.png")).pixels
    return [original, asked(*tear(original, REMOVED)), after], 0


def tear(photo: Pixels, hidden: str = HIDDEN) -> tuple[Pixels, np.ndarray]:
    """The photo with the hidden part gone, and where it was: uint8 [H, W], 255 in the hole."""
    hole = holes.draw(holes.parse(hidden), (photo.shape[0], photo.shape[1]), seed=0).hole
    return np.where(hole[..., None] > 0, np.uint8(0), photo), hole


def asked(photo: Pixels, hole: np.ndarray) -> Pixels:
    return np.where(hole[..., None] > 0, np.uint8(255), photo)


def resized(part: Pixels, like: Pixels) -> Pixels:
    size = like.shape[1], like.shape[0]
    return np.asarray(Image.fromarray(part).resize(size, Image.Resampling.BICUBIC))


def small_faces(folder: Path) -> int:
    """Seven samples of the model, and the astronaut's face aligned as the model's are, in FOLDER/faces."""
    drawn = run(["sample", DEFAULT, str(folder), "--separate", "--count", "7", "--seed", "0"])
    (folder / "samples").rename(folder / "faces")
    size = str(facts(find(DEFAULT))["network"]["size"])
    aligned = run(["align", str(folder / "original"), str(folder / "aligned"), "--size", size])
    shutil.copy(folder / "aligned" / "astronaut.png", folder / "faces")
    return drawn or aligned


if __name__ == "__main__":
    words = sys.argv[1:] or ["demo"]
    sys.exit(main(Path(words[0]), *words[1:]))
