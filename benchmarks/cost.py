"""The costs that docs/explanation/scale.md uses: processor time and bytes of a picture, and what a driver keeps of it.

Times are the processor's, of one thread, so other work on the machine changes them little. Generated pictures are
completed as an actor does it, without grids and logs; photos are generated pictures, enlarged, and a face looked for.
"""

import argparse
import json
import shutil
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import torch
from generated import generate
from machine import heading, table
from PIL import Image

from latentfill import load
from latentfill.batch.complete import metadata
from latentfill.batch.inputs import Plan
from latentfill.batch.outputs import Input, digest_model, list_pictures, name_inputs, write_result
from latentfill.cli.configuration import read_options
from latentfill.cluster.tables import Manifest, make_row
from latentfill.errors import ExtraError
from latentfill.faces.detector import detect_faces
from latentfill.files.naming import FolderResults
from latentfill.gan.gan import Gan
from latentfill.images.photos import encode
from latentfill.models import DEFAULT
from latentfill.options.commands import CompleteCommand
from latentfill.pipeline import Done, Failed, Placed, Step, run

NAMES = 10_000  # of questions whose memory is measured
SLOW, FEWER = "seed", 24  # this preset completes so many times fewer pictures


def phases(options: CompleteCommand, gan: Gan, inputs: list[Input]) -> tuple[float, float, float]:
    """Processor seconds of all inputs: to read and cut, to search, to judge, blend and write."""
    plan, spent, before = Plan.of(options, gan), [0.0, 0.0, 0.0], time.process_time()
    given = {item.number: item for item in inputs}
    requests = (plan.read(item)[1] for item in inputs)
    for event in run(requests, gan, options.search, options.photo, options.limits, batch_size=options.batch_size):
        phase = {Placed: 0, Step: 1}.get(type(event), 2)
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Done):
            item, facts = given[event.key], {**metadata(event), **digest_model(gan)}
            write_result(item, options, plan.digest_contents(item), facts, encode(event.filled.candidates[0]))
        now = time.process_time()
        spent[phase], before = spent[phase] + now - before, now
    return spent[0], spent[1], spent[2]


def sizes(questions: list[Input], out: Path) -> list[tuple[str, str]]:
    """Mean bytes of what is read and written, as answers lie in `out`."""
    stories = [q.file(".json").read_text() for q in questions]
    digits = sum(_digits(json.loads(story)) for story in stories) / sum(map(len, stories))
    asked = np.mean([q.source.path.stat().st_size for q in questions])
    answer = np.mean([q.file(".png").stat().st_size for q in questions])
    return [
        ("a picture as PNG", f"{asked:,.0f} bytes"),
        ("its answer as PNG", f"{answer:,.0f} bytes"),
        ("its story as JSON", f"{np.mean([len(s) for s in stories]):,.0f} bytes, of which the latent is {digits:.0%}"),
    ]


def ask(place: Path, out: Path) -> list[Input]:
    """The questions of a command that completes these pictures."""
    return name_inputs(list_pictures([place], out, {}).sources, out, FolderResults(out))


def _digits(make_row: object) -> int:
    """Characters of the latents in a story."""
    if isinstance(make_row, list):
        return sum(map(_digits, make_row))
    if not isinstance(make_row, dict):
        return 0
    return sum(len(json.dumps(value)) if name == "z" else _digits(value) for name, value in make_row.items())


def kept(place: Path, out: Path, story: dict[str, Any]) -> list[tuple[str, str]]:
    """What a driver holds of each picture: its question while the job runs, its row at the end, when it is written."""
    tracemalloc.start()
    questions = ask(place, out)[:NAMES]
    held = tracemalloc.get_traced_memory()[0] / len(questions)
    tracemalloc.stop()
    rng, manifest = np.random.Generator(np.random.Philox(key=0)), Manifest(out)
    rows = [make_row(q, story, q.stem.relative_to(out).as_posix(), 8_000) for q in questions]
    for row in rows:  # numbers that are all equal would take no room
        row["output_bytes"] = int(rng.integers(6_000, 10_000))
        for name in ("held_out_error", "predicted_error", "seconds"):
            row[name] = row[name] and row[name] * rng.uniform(0.5, 1.5)
        row["losses"] = [loss * rng.uniform(0.5, 1.5) for loss in row["losses"]]
    manifest.merge({row["stem"]: row for row in rows})
    tracemalloc.start()
    again = manifest.rows()
    of_row = tracemalloc.get_traced_memory()[0] / len(again)
    tracemalloc.stop()
    return [
        (f"its row, of {len(rows):,} in a manifest", f"{manifest.file.stat().st_size / len(rows):,.0f} bytes"),
        ("its question in the driver's memory", f"{held:,.0f} bytes"),
        ("its row there at the end", f"{of_row:,.0f} bytes"),
    ]


def looks(place: Path, pixels: int) -> float:
    """Processor milliseconds to look for a face in a photo of so many pixels a side."""
    photos = []
    for path in sorted(place.rglob("*.png"))[:8]:
        photos.append(np.asarray(Image.open(path).convert("RGB").resize((pixels, pixels), Image.Resampling.BICUBIC)))
    detect_faces(photos[0])
    before = time.process_time()
    for photo in photos:
        detect_faces(photo)
    return 1000 * (time.process_time() - before) / len(photos)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--presets", nargs="*", default=["fast", "best", SLOW])
    parser.add_argument("--count", type=int, default=192, help=f"pictures; of {SLOW} 1 for each {FEWER} of them")
    parser.add_argument("--photos", type=int, nargs="*", default=[512, 1024], help="sides in pixels")
    parser.add_argument("--model", default=DEFAULT)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    gan = load(arguments.model)
    place = generate(arguments.out / "faces", max(NAMES, arguments.count), arguments.model)
    rows, told_sizes = [], list[tuple[str, str]]()
    for preset in arguments.presets:
        out = arguments.out / preset
        shutil.rmtree(out, ignore_errors=True)
        words = [str(place), "--out", str(out), "--preset", preset, "--model", arguments.model, "--every", "0"]
        options = read_options(CompleteCommand, "complete", words)
        count = max(1, arguments.count // (FEWER if preset == SLOW else 1))
        questions = ask(place, out)[:count]
        phases(options, gan, ask(place, arguments.out / "warm")[:1])
        spent = phases(options, gan, questions)
        each = [f"{1000 * seconds / count:.1f} ms" for seconds in (*spent, sum(spent))]
        rows.append((preset, count, *each, f"{count / sum(spent):.3g}"))
        print(rows[-1], flush=True)
        told_sizes = told_sizes or [
            *sizes(questions, out),
            *kept(place, out, json.loads(questions[0].file(".json").read_text())),
        ]
    print(heading(f"What one picture costs, {gan.network.size} pixels, {arguments.model}"))
    head = ("preset", "pictures", "read and cut", "search", "judge, blend, write", "in all", "pictures/s and core")
    print(table(head, rows), "\n")
    print(table(("of a picture", ""), told_sizes), "\n")
    try:
        looked = [(f"{side} x {side}", f"{looks(place, side):.0f} ms") for side in arguments.photos]
        print(table(("a face looked for in a photo of", "processor time"), looked))
    except ExtraError as error:
        print(f"No face was looked for: {error.what}.")


if __name__ == "__main__":
    main()
