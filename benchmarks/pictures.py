"""The pictures in the README and on the models' cards, drawn anew: demo's photos, presets side by side, samples.

Shown are two public-domain photos from scikit-image, and faces and flowers of nobody and nowhere, drawn by the models.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import skimage.data
from machine import heading
from PIL import Image, ImageDraw, ImageFont

from latentfill import Gan, blend, fill_crops, load, pose, watch
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
FRAMES, LAST, LARGER = (0, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 400), 2.5, 3  # steps; seconds; times


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
    drawn = Image.open(sheet).convert("RGB").resize((1152, 1152), Image.Resampling.LANCZOS)
    drawn.crop((0, 0, 1152, 768)).save(arguments.out / "astronaut.jpg", quality=90)
    drawn.crop((0, 768, 1152, 1152)).save(arguments.out / "removed.jpg", quality=85)
    Image.fromarray(presets(load(arguments.model))).save(arguments.out / "presets.png", optimize=True)
    first, *others = converge(load(arguments.model))
    durations = [200] * len(others) + [round(1000 * LAST)]
    first.save(
        arguments.out / "search.webp", save_all=True, append_images=others, duration=durations, loop=0, quality=85
    )
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


def converge(gan: Gan) -> list[Image.Image]:
    """Her face with its left half erased, and what the paper's search has found after more and more steps."""
    face = astronaut(gan)
    hole = holes.draw(holes.parse("left"), face.shape[:2], seed=0, name="astronaut").hole
    question = pose(gan, [face], [hole])
    options = replace(COMPLETE_PRESETS["paper"], steps=FRAMES[-1])
    shown = {step.number: step for step in watch(gan, question, options) if step.number in FRAMES}
    rows = [np.where(hole[..., None] > 0, np.uint8(128), face)]
    rows += [to_pixels(blend(question, shown[number], "poisson"))[0] for number in FRAMES]
    names = ["given", *(f"step {number}" for number in FRAMES)]
    size = (LARGER * face.shape[1], LARGER * face.shape[0])
    tiles = [np.asarray(Image.fromarray(row).resize(size, Image.Resampling.BICUBIC)) for row in rows]
    return [Image.fromarray(headed(name, np.hstack([tiles[0], tile]))) for name, tile in zip(names, tiles, strict=True)]


def headed(word: str, tile: Pixels) -> Pixels:
    """A tile with its name above it."""
    line = Image.new("RGB", (tile.shape[1], LINE), "white")
    ImageDraw.Draw(line).text((3, 3), word, "black", ImageFont.load_default(14))
    return np.vstack([np.asarray(line), tile])


def worded(word: str, tile: Pixels) -> Pixels:
    """A tile twice as large, its name above it."""
    return headed(word, np.kron(tile, np.ones((TWICE, TWICE, 1), np.uint8)))


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
