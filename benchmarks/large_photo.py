"""Photo to photo at 12 megapixels: read, find and cut, complete, put back, write.

    python benchmarks/large_photo.py [--repeat 5]

The photo is the astronaut of scikit-image enlarged to 4000x3000, with noise, as a JPEG; an ellipse over her nose and
mouth, 345 x 420 pixels, is painted over. The first pass, which also loads the detector's models (100 MB), is told
apart from the later ones. On a busy machine the processor's seconds say more than those of the clock.
"""

import argparse
import os
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
    gan, options = latentfill.load(), latentfill.COMPLETE_PRESETS["best"]
    astronaut = Image.fromarray(np.asarray(skimage.data.astronaut())[:384])  # type: ignore[no-untyped-call]
    large = np.asarray(astronaut.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    noise = np.random.Generator(np.random.Philox(key=0)).normal(0, 4, large.shape)
    hole = draw(parse(HOLE), (HEIGHT, WIDTH), seed=0).hole
    rows: list[list[tuple[float, float]]] = []
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "large.jpg")
        Image.fromarray(np.clip(large + noise, 0, 255).astype(np.uint8)).save(path, quality=92)
        for _ in range(repeat + 1):
            marks = [(time.perf_counter(), time.process_time())]

            def mark(marks: list[tuple[float, float]] = marks) -> None:
                marks.append((time.perf_counter(), time.process_time()))

            original = photos.read_original(Source(path.name, path))
            original = replace(original, values=np.where(hole[..., None] > 0, np.uint8(255), original.values))
            mark()
            question = cut(original, hole, gan, PhotoOptions())
            mark()
            answer = complete(gan, pose(gan, question.crops, question.crop_holes), options)
            mark()
            filled = put_back(question, answer.candidates, options, PhotoOptions(), gan)
            mark()
            photos.write_original(Path(name, "done.png"), filled.candidates[0])
            mark()
            rows.append([(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(marks)])
            rows[-1].append((marks[-1][0] - marks[0][0], marks[-1][1] - marks[0][1]))
            changed = (filled.candidates[0].values != original.values).any(-1)[hole == 0].sum()
    print(heading(f"A photo of {WIDTH} x {HEIGHT} from file to file; known pixels changed: {changed}"))
    print(f"Seconds of the clock / of the processor; load of the machine {os.getloadavg()[0]:.1f}\n")
    head = ["", "read", "find and cut", "complete", "put back", "write", "all"]
    named = [("first", np.array(rows[0])), ("median of the later ones", np.median(rows[1:], 0))]
    print(table(head, [[name, *(f"{wall:.2f} / {cpu:.2f}" for wall, cpu in row)] for name, row in named]))


if __name__ == "__main__":
    main()
