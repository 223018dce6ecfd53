"""The benchmark's report: JSON, CSV and tables, a page that needs no other file, and one picture of all methods."""

import base64
import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO
from itertools import combinations
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from PIL import Image, ImageDraw, ImageFont

from ..files import provenance
from ..images import photos
from ..types import PixelBatch, Pixels
from .distances import DRAWINGS, FEW, Estimate
from .judge import NETWORKS, STEPS
from .result_cache import Results, Task
from .scores import METRICS, MethodScores, Name, by_area

COLUMNS = ("method", "hole", "metric", "region", "value", "low", "high", "n", "seconds_per_image")
INTERVALS = (
    f"95 % bootstrap over the pictures, the same drawings for all methods: percentiles of {DRAWINGS}, but 1.96 "
    f"standard deviations of {DRAWINGS} for kernel distances and of {FEW} for Fréchet distances"
)
DISTANCES = {
    "frechet": "squared Fréchet distance of the completed pictures to their originals; too large for few pictures, so "
    "compare only what was measured on the same n",
    "kernel": "squared kernel distance (cubic polynomial) of the completed pictures to their originals, without bias",
    "identity": "mean Euclidean distance of a completed picture to its original: pictures of one person are about 0.46 "
    "apart, of two people 0.77",
    "perceptual": "mean distance of a completed picture to its original in a network's maps (as LPIPS, without learnt "
    "weights): 0 for equal ones",
}
JUDGE = {
    "judge-auc": (
        "0.5",
        "how often an original looks more real than a completed picture: 0.5 is chance, 1 always. The judge is a small "
        "network, the same for all methods, that learns from half of the pictures to tell completed from original "
        f"ones, and is asked about the other half; {STEPS} updates, the mean of {NETWORKS} networks. What it finds "
        "depends on that and on the number of pictures: compare only what was measured on the same n. The interval is "
        "over the pictures, not over what the networks began with",
    ),
    "p-ids": (
        "higher",
        "share of completed pictures that look more real to that judge than their own originals, 0.5 at best",
    ),
    "u-ids": ("higher", "share of completed pictures that pass for real with that judge, 0.5 at best"),
    "judge-accuracy": ("0.5", "share of originals and completed pictures that the judge recognises"),
}
SHARES = {
    "detail": "finest detail in the hole (each value minus its 2x2 mean, squared), summed over the pictures, as a "
    "share of the originals': 1 is right, 0.5 is fog, 1.5 is noise",
    "chroma": "squared differences of neighbours' colours in the hole (each value minus its pixel's mean), summed over "
    "the pictures, as a share of the originals': more than 1 is tinted blotches, less is pale",
    "rim": "squared differences of neighbours across the hole's border, summed over the pictures, as a share of the "
    "originals': more than 1 is a seam, less a smear",
}
NAMES = {
    "judge-auc": "AUC of a trained judge",
    "judge-accuracy": "Accuracy of a trained judge",
    "detail": "Finest detail",
    "chroma": "Gradient of the colour",
    "rim": "Gradient across the border",
}
ORDER = (*JUDGE, *DISTANCES, *SHARES, *METRICS)  # order of the tables
DISTANCE_NAMES = {
    **{"frechet": "Fréchet distance", "kernel": "Kernel distance"},
    **{"identity": "Identity distance", "perceptual": "Perceptual distance"},
}
TIMES = (
    ("value", "Seconds per picture", "By the clock, in batches, after a warm-up."),
    (
        "processor",
        "Processor seconds per picture",
        "Over all cores: what else the machine was busy with hardly counts.",
    ),
)


@final
@dataclass(frozen=True)
class Table:
    """Methods down, holes across. A cell is the text and whether it is the best, or not told apart from it."""

    title: str
    note: str
    holes: Sequence[str]
    rows: Sequence[tuple[str, Sequence[tuple[str, bool]]]]


def build_report(
    task: Task, scores: Mapping[str, MethodScores], results: Mapping[str, Results], seed: int
) -> dict[str, Any]:
    """The report of one kind of hole: the lists `rows`, `seconds_per_image`, `differences`, `by_area`."""
    estimates = {method: dict(own.estimates(seed)) for method, own in scores.items()}
    rows = [
        {"method": method, "hole": task.hole, **_name_of(name), **_interval_of(estimate)}
        for method, own in estimates.items()
        for name, estimate in sorted(own.items(), key=_rank)
    ]
    differences = [
        {
            "method": one,
            "minus": other,
            "hole": task.hole,
            **_name_of(name),
            **_interval_of(own - estimates[other][name]),
        }
        for one, other in combinations(estimates, 2)
        for name, own in estimates[one].items()
    ]
    areas = [
        {"method": method, "hole": task.hole, "area": area, **_name_of(name), **_interval_of(estimate)}
        for method, own in scores.items()
        for name, area, estimate in by_area(task, own, seed)
    ]
    seconds = [
        {
            "method": method,
            "hole": task.hole,
            "value": float(own.seconds.mean()),
            "processor": float(own.processor_seconds.mean()),
            "batch_sizes": list(own.batch_sizes),
        }
        for method, own in results.items()
    ]
    return {"rows": rows, "seconds_per_image": seconds, "differences": differences, "by_area": areas}


def describe_metrics(spaces: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Unit, direction and description of each metric, given the descriptions of the feature spaces."""
    metrics = {name: {"unit": m.unit, "better": m.better, "about": ""} for name, m in METRICS.items()}
    for name, (better, about) in JUDGE.items():
        metrics[name] = {"unit": "share", "better": better, "about": about}
    metrics |= {
        name: {"unit": "share of the originals'", "better": "1", "about": about} for name, about in SHARES.items()
    }
    for kind, about in DISTANCES.items():
        for space, features in spaces.items():
            metrics[f"{kind}:{space}"] = {"unit": "", "better": "lower", "about": f"{about}; {features}"}
    return metrics


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """report.json, report.csv and report.md."""
    _put(folder / "report.json", json.dumps(report, indent=1) + "\n")
    seconds = {(s["method"], s["hole"]): s["value"] for s in report["seconds_per_image"]}
    table = StringIO()
    writer = csv.DictWriter(table, COLUMNS)
    writer.writeheader()
    for row in report["rows"]:
        writer.writerow({**row, "seconds_per_image": seconds[row["method"], row["hole"]]})
    _put(folder / "report.csv", table.getvalue())
    _put(folder / "report.md", markdown(report))


def markdown(report: Mapping[str, Any]) -> str:
    """The heading, the tables, and what was left out."""
    about = "\n".join(f"- {line}" for line in heading(report))
    parts = [f"# {title(report)}", f"`{report['command']}`", about]
    for table in tables(report):
        cells = [[method, *(f"**{text}**" if best else text for text, best in row)] for method, row in table.rows]
        lines = [["method", *table.holes], ["---"] * (len(table.holes) + 1), *cells]
        body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        parts += [part for part in (f"## {table.title}", table.note, body) if part]
    return "\n\n".join(parts) + "\n"


def title(report: Mapping[str, Any]) -> str:
    """One line for all outputs."""
    return f"Completion of {report['settings']['count']} pictures"


def heading(report: Mapping[str, Any]) -> list[str]:
    """Machine, settings, intervals, and what was left out and why."""
    left_out = [f"left out: {one['name']}: {one['reason']}" for one in report["left_out"]]
    settings = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in report["settings"].items())
    return [report["machine"], settings, f"intervals: {INTERVALS}", *left_out]


def tables(report: Mapping[str, Any]) -> Iterator[Table]:
    """A table for each metric: the best of each hole stands out, with all that cannot be told from it."""
    holes = list(dict.fromkeys(row["hole"] for row in report["rows"]))
    methods = list(dict.fromkeys(row["method"] for row in report["rows"]))
    alike = {
        (frozenset((d["method"], d["minus"])), d["hole"], d["metric"], d["region"])
        for d in report["differences"]
        if d["low"] <= 0 <= d["high"]
    }
    for metric, region in dict.fromkeys((r["metric"], r["region"]) for r in report["rows"]):
        about = report["metrics"][metric]
        found = {(r["method"], r["hole"]): r for r in report["rows"] if (r["metric"], r["region"]) == (metric, region)}
        columns: list[dict[str, tuple[str, bool]]] = []
        for hole in holes:
            values = {m: _merit(found[m, hole]["value"], about["better"]) for m in methods if (m, hole) in found}
            best = max(values, key=values.__getitem__)
            columns.append(
                {
                    m: (_cell(found[m, hole]), m == best or (frozenset((m, best)), hole, metric, region) in alike)
                    for m in values
                }
            )
        rows = [(method, [column.get(method, ("", False)) for column in columns]) for method in methods]
        yield Table(_headline(metric, region, about), about["about"], holes, rows)
    for key, name, note in TIMES:
        seconds = {(s["method"], s["hole"]): f"{s[key]:.2g}" for s in report["seconds_per_image"]}
        timed = [(method, [(seconds.get((method, hole), ""), False) for hole in holes]) for method in methods]
        yield Table(name, note, holes, timed)


def number(value: float, metric: str) -> str:
    """A value with the digits worth reading."""
    digits = {"psnr": 2, "l1": 1}.get(metric, 3)
    return f"{value:.{digits}f}" if abs(value) >= 0.1 or metric in METRICS else f"{value:.2g}"


def _cell(row: Mapping[str, Any]) -> str:
    value, low, high = (number(row[key], row["metric"]) for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def _merit(value: float, better: str) -> float:
    """The larger, the better: of higher or lower values, or of those nearest a number."""
    if better in ("higher", "lower"):
        return value if better == "higher" else -value
    return -abs(value - float(better))


def _headline(metric: str, region: str, about: Mapping[str, str]) -> str:
    kind, _, space = metric.partition(":")
    name = f"{DISTANCE_NAMES[kind]}, {space}" if space else NAMES.get(kind, kind.upper())
    where = "" if space else " in the hole" if region == "hole" else " of the whole picture"
    best = about["better"] + (" is better" if about["better"] in ("higher", "lower") else " is right")
    return f"{name}{where} ({', '.join(filter(None, (about['unit'], best)))})"


def _rank(estimate: tuple[Name, Estimate]) -> int:
    """Order: first the metrics that say most about how completions look."""
    return ORDER.index(estimate[0][0].partition(":")[0])


def _name_of(name: Name) -> dict[str, str]:
    return {"metric": name[0], "region": name[1]}


def _interval_of(estimate: Estimate) -> dict[str, Any]:
    low, high = estimate.interval
    return {"value": estimate.value, "low": low, "high": high, "n": estimate.n}


def _put(path: Path, text: str) -> None:
    provenance.save(path, lambda file: file.write(text.encode(errors="backslashreplace")))


SHOWN = 12  # pictures of each hole on the page, which has 8 MB with seven holes and ten methods
ON_SHEET = 3  # pictures of each hole on the contact sheet: with seven holes it is as high as a screen is wide
TILE = 128  # least pixels of a tile on the sheet, so that a method's name fits above it
INK, PAPER = (0, 0, 0), 255
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 90rem; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: .5rem 0 1rem } th, td { padding: .2rem .6rem; text-align: right }
th:first-child, td:first-child { text-align: left } tr:nth-child(even) td { background: #f4f4f4 }
.pictures td, .pictures th { padding: 2px; text-align: center; font-size: 12px; background: none }
.pictures img { width: 96px; height: 96px; image-rendering: pixelated; display: block }
.scroll { overflow-x: auto } .note { color: #555; max-width: 60rem }
"""


@final
@dataclass(frozen=True, eq=False)
class Gallery:
    """Some pictures of one hole: originals, inputs, each method's completions, and their PSNR in the hole."""

    hole: str
    original: PixelBatch
    shown: PixelBatch
    made: Mapping[str, PixelBatch]
    psnr: Mapping[str, Float[ndarray, " n"]]


def write_page(path: Path, report: Mapping[str, Any], galleries: Sequence[Gallery]) -> None:
    """report.html: pictures side by side, and the tables."""
    head = escape(title(report))
    about = "".join(f"<li>{escape(line)}</li>" for line in heading(report))
    found = "".join(map(_table, tables(report)))
    pictures = "".join(map(_pictures, galleries))
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{head}</title><style>{STYLE}</style>'
        f"<h1>{head}</h1><p><code>{escape(report['command'])}</code></p><ul>{about}</ul>{pictures}{found}</html>\n"
    )
    provenance.save(path, lambda file: file.write(text.encode(errors="backslashreplace")))


def write_sheet(path: Path, galleries: Sequence[Gallery]) -> None:
    """contact.png: for each hole some rows of pictures, one column for each method."""
    blocks = [_sheet(gallery) for gallery in galleries]
    width = max(block.shape[1] for block in blocks)
    wide = [np.pad(b, ((0, 0), (0, width - b.shape[1]), (0, 0)), constant_values=PAPER) for b in blocks]
    provenance.save(path, photos.writer(path, np.concatenate(wide)))


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(hole)}</th>" for hole in table.holes)
    rows = ""
    for method, row in table.rows:
        cells = (f"<b>{escape(text)}</b>" if best else escape(text) for text, best in row)
        rows += f"<tr><td>{escape(method)}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    grid = f'<div class="scroll"><table><tr><th>method</th>{head}</tr>{rows}</table></div>'
    return f"<h2>{escape(table.title)}</h2>{note}{grid}"


def _pictures(gallery: Gallery) -> str:
    names = "".join(f"<th>{escape(name)}</th>" for name in ["original", "given", *gallery.made])
    rows = ""
    for i in range(len(gallery.original)):
        cells = _image(gallery.original[i]) + _image(gallery.shown[i])
        for name, made in gallery.made.items():
            cells += _image(made[i], f"{gallery.psnr[name][i]:.1f} dB")
        rows += f"<tr>{cells}</tr>"
    table = f'<div class="scroll"><table class="pictures"><tr>{names}</tr>{rows}</table></div>'
    return f"<h2>{escape(gallery.hole)}</h2>{table}"


def _image(pixels: Pixels, below: str = "") -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    return f'<td><img alt="" src="data:image/png;base64,{data}">{below}</td>'


def _sheet(gallery: Gallery) -> Pixels:
    columns = {gallery.hole: gallery.original, "given": gallery.shown, **gallery.made}
    times = max(1, -(-TILE // gallery.original.shape[1]))
    line = 20  # pixels for the names
    side = times * gallery.original.shape[1]
    head = Image.new("RGB", (side * len(columns), line), (PAPER,) * 3)
    draw, font = ImageDraw.Draw(head), ImageFont.load_default(14)
    for i, name in enumerate(columns):
        draw.text((i * side + 3, 2), name, INK, font)
    rows = [
        np.concatenate([pictures[row].repeat(times, 0).repeat(times, 1) for pictures in columns.values()], 1)
        for row in range(min(ON_SHEET, len(gallery.original)))
    ]
    return np.concatenate([np.asarray(head), *rows])
