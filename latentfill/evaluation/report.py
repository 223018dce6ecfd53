"""What the benchmark found: JSON, and from it CSV and tables."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import combinations
from pathlib import Path
from typing import Any, final

from ..files import records
from .benchmark import Answers, Task
from .bootstrap import DRAWINGS, FEW, Estimate
from .judges.classifier import NETWORKS, STEPS
from .scores import METRICS, Judged, Name, by_area

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
    "rim": "squared differences of neighbours across the hole's border, summed over the pictures, as a share of the "
    "originals': more than 1 is a seam, less a smear",
}
NAMES = {
    "judge-auc": "AUC of a trained judge",
    "judge-accuracy": "Accuracy of a trained judge",
    "detail": "Finest detail",
    "rim": "Gradient across the border",
}
ORDER = (*JUDGE, *DISTANCES, *SHARES, *METRICS)  # of the tables
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


def findings(task: Task, judged: Mapping[str, Judged], answers: Mapping[str, Answers], seed: int) -> dict[str, Any]:
    """What is to be said of one kind of hole: the lists `rows`, `seconds_per_image`, `differences`, `by_area`."""
    estimates = {method: dict(j.estimates(seed)) for method, j in judged.items()}
    rows = [
        {"method": method, "hole": task.hole, **_named(name), **_told(estimate)}
        for method, own in estimates.items()
        for name, estimate in sorted(own.items(), key=_rank)
    ]
    differences = [
        {"method": one, "minus": other, "hole": task.hole, **_named(name), **_told(own - estimates[other][name])}
        for one, other in combinations(estimates, 2)
        for name, own in estimates[one].items()
    ]
    areas = [
        {"method": method, "hole": task.hole, "area": area, **_named(name), **_told(estimate)}
        for method, j in judged.items()
        for name, area, estimate in by_area(task, j, seed)
    ]
    seconds = [
        {
            "method": method,
            "hole": task.hole,
            "value": float(a.seconds.mean()),
            "processor": float(a.processor_seconds.mean()),
            "batch_sizes": list(a.batch_sizes),
        }
        for method, a in answers.items()
    ]
    return {"rows": rows, "seconds_per_image": seconds, "differences": differences, "by_area": areas}


def metrics(spaces: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """What each metric is, given the feature spaces and what they are."""
    told = {name: {"unit": m.unit, "better": m.better, "about": ""} for name, m in METRICS.items()}
    for name, (better, about) in JUDGE.items():
        told[name] = {"unit": "share", "better": better, "about": about}
    told |= {name: {"unit": "share of the originals'", "better": "1", "about": about} for name, about in SHARES.items()}
    for kind, about in DISTANCES.items():
        for space, features in spaces.items():
            told[f"{kind}:{space}"] = {"unit": "", "better": "lower", "about": f"{about}; {features}"}
    return told


def write(folder: Path, report: Mapping[str, Any]) -> None:
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
    """How it was measured, and what was left out and why."""
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
    """As precise as is worth reading."""
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


def _rank(found: tuple[Name, Estimate]) -> int:
    """What says most about how completions look comes first."""
    return ORDER.index(found[0][0].partition(":")[0])


def _named(name: Name) -> dict[str, str]:
    return {"metric": name[0], "region": name[1]}


def _told(estimate: Estimate) -> dict[str, Any]:
    low, high = estimate.interval
    return {"value": estimate.value, "low": low, "high": high, "n": estimate.n}


def _put(path: Path, text: str) -> None:
    records.save(path, lambda file: file.write(text.encode(errors="backslashreplace")))
