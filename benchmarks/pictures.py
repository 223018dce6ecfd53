"""The pictures in the README and on the models' cards, drawn anew: demo's photo, presets side by side, samples.

Shown are a public-domain photo from scikit-image, and faces and flowers of nobody and nowhere, drawn by the models.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import skimage.data
from machine import heading
from PIL import Image, ImageDraw, ImageFont

from latentfill import Gan, fill_crops, load
from latentfill.cli.main import run
from latentfill.evaluation.baselines import biharmonic
from latentfill.images import holes, photos
from latentfill.images.pixels import grid, to_pixels
from latentfill.models import DEFAULT, names
from latentfill.options import COMPLETE_PRESETS
from latentfill.types import Pixels

HOLES = {"center": "center", "random:0.8": "random:0.8", "half": "half", "thick": "thick"}
PRESETS = ("seed", "fast", "best")
LINE, TWICE = 20, 2  # pixels for a row's words; tiles are shown twice as large
COUNT, COLUMNS = 64, 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="?", default=Path("docs/pictures"))
    parser.add_argument("--demo", type=Path, default=Path("demo"), help="what `make demo` left")
    parser.add_argument("--model", default=DEFAULT)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    sheet = arguments.demo / "sheet.png"
    if not sheet.is_file():
        raise SystemExit(f"{sheet} is missing\nRun `make demo` first, or give its folder with --demo.")
    Image.open(sheet).convert("RGB").resize((1152, 768), Image.Resampling.LANCZOS).save(
        arguments.out / "astronaut.jpg", quality=90
    )
    Image.fromarray(presets(load(arguments.model))).save(arguments.out / "presets.png", optimize=True)
    for name in names():
        Image.fromarray(samples(load(name))).save(arguments.out / f"samples-{name}.png", optimize=True)
    print(heading(f"Pictures in {arguments.out}"))


def presets(gan: Gan) -> Pixels:
    """For each hole a row: the face, what is given of it, and what each way makes of that."""
    face, rows = astronaut(gan), []
    for label, spec in HOLES.items():
        hole = holes.draw(holes.parse(spec), face.shape[:2], seed=0, name="astronaut").hole
        given = np.where(hole[..., None] > 0, np.uint8(128), face)
        made = {name: fill_crops(gan, [face], [hole], COMPLETE_PRESETS[name])[0] for name in PRESETS}
        ways = {"seed": made["seed"], "biharmonic": biharmonic(face, hole), "fast": made["fast"], "best": made["best"]}
        rows.append(np.hstack([worded(label, face), worded("given", given), *(worded(*way) for way in ways.items())]))
    return np.vstack(rows)


def worded(word: str, tile: Pixels) -> Pixels:
    """A tile twice as large, its name above it."""
    large = np.kron(tile, np.ones((TWICE, TWICE, 1), np.uint8))
    line = Image.new("RGB", (large.shape[1], LINE), "white")
    ImageDraw.Draw(line).text((3, 3), word, "black", ImageFont.load_default(14))
    return np.vstack([np.asarray(line), large])


def astronaut(gan: Gan) -> Pixels:
    """Her face, cut out as the model's are."""
    with TemporaryDirectory() as folder:
        place = Path(folder)
        photos.write(place / "in" / "astronaut.png", np.asarray(skimage.data.astronaut()))  # type: ignore[no-untyped-call]
        if run(["align", str(place / "in"), str(place / "out"), "--size", str(gan.network.size)]):
            raise SystemExit("no face found")
        return photos.read(photos.Source("astronaut.png", place / "out" / "astronaut.png")).pixels


def samples(gan: Gan) -> Pixels:
    """The first samples of the prior, none left out; of larger ones fewer."""
    share = max(1, gan.network.size // 64)
    z = gan.generator.prior.sample(list(range(COUNT // share)))
    return grid(to_pixels(gan.generator(z).float()), COLUMNS // share)


if __name__ == "__main__":
    main()
