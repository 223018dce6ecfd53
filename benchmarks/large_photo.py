"""Photo to photo at 12 megapixels, all but the search: read, find and cut, put back, write.

    python benchmarks/large_photo.py [--repeat 5]

The photo is the astronaut of scikit-image enlarged to 4000x3000, with noise, as a JPEG; an ellipse over her nose and
mouth, 345 x 420 pixels, is painted over. The first pass, which also loads the detector's models (100 MB), is told
apart from the later ones.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import skimage.data
from machine import heading, table
from PIL import Image

import latentfill
from latentfill.completion.complete import complete
from latentfill.images import photos
from latentfill.images.archives import Source
from latentfill.images.holes import draw, parse
from latentfill.options import PhotoOptions
from latentfill.photo.crop import cut
from latentfill.photo.model_sized import pose
from latentfill.photo.put_back import put_back

WIDTH, HEIGHT = 4000, 3000
HOLE = "ellipse:1750,1094,172,210"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    gan, options = latentfill.load(), latentfill.CompleteOptions(steps=2)
    astronaut = Image.fromarray(np.asarray(skimage.data.astronaut())[:384])  # type: ignore[no-untyped-call]
    large = np.asarray(astronaut.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    noise = np.random.Generator(np.random.Philox(key=0)).normal(0, 4, large.shape)
    hole = draw(parse(HOLE), (HEIGHT, WIDTH), seed=0).hole
    rows: list[list[float]] = []
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "large.jpg")
        Image.fromarray(np.clip(large + noise, 0, 255).astype(np.uint8)).save(path, quality=92)
        for _ in range(repeat + 1):
            times = [time.perf_counter()]
            original = photos.read_original(Source(path.name, path))
            times.append(time.perf_counter())
            painted = replace(original, values=np.where(hole[..., None] > 0, np.uint8(255), original.values))
            skipped = time.perf_counter()
            question = cut(painted, hole, gan, PhotoOptions())
            times.append(times[-1] + time.perf_counter() - skipped)
            answer = complete(gan, pose(gan, question.crops, question.crop_holes), options)
            skipped = time.perf_counter()
            filled = put_back(question, answer.candidates, options, PhotoOptions())
            times.append(times[-1] + time.perf_counter() - skipped)
            skipped = time.perf_counter()
            photos.write_original(Path(name, "done.png"), filled.candidates[0])
            times.append(times[-1] + time.perf_counter() - skipped)
            rows.append([b - a for a, b in pairwise(times)] + [times[-1] - times[0]])
            changed = (filled.candidates[0].values != original.values).any(-1)[hole == 0].sum()
    print(heading(f"A photo of {WIDTH} x {HEIGHT}, without the search; known pixels changed: {changed}"))
    head = ["", "read, s", "find and cut, s", "put back, s", "write, s", "all, s"]
    named = [("first", rows[0]), ("median of the later ones", list(np.median(rows[1:], 0)))]
    print(table(head, [[name, *(f"{value:.2f}" for value in row)] for name, row in named]))


if __name__ == "__main__":
    main()
