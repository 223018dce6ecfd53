"""The report of a training: one HTML page that needs no other file."""

import base64
import io
import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import ModelError, RunError
from ..evaluation.report import STYLE
from ..files import provenance
from ..gan import model_file
from . import curves

FRAMES = 60  # frames of the animation, evenly spaced over the training
SIDE = 512  # most pixels a side of its frames: rows of eight samples of 64
MILLISECONDS, LAST = 150, 2000  # how long a frame is shown, and the last one
STILLS = 4  # still pictures beside the animation
COMPLETERS = ("encoder", "context-encoder", "completer", "upsampler")  # kinds whose sheets are completions
SMALL = 512  # pixels a side that small sheets are enlarged to
WIDE = 1024  # most pixels a side of a sheet
MORE = """
img.plot, img.sheet { max-width: 100%; height: auto; display: block } img.sheet { image-rendering: pixelated }
figure { display: inline-block; margin: 0 1rem 1rem 0; vertical-align: top; max-width: 100% }
code { overflow-wrap: anywhere }
figcaption { font-size: 12px; color: #555 } .warning td { text-align: left; vertical-align: top }
"""


def write_page(run: Path, out: Path) -> Path:
    """Write the page of a run folder. Raises RunError if no training was begun there."""
    starts = _lines(run / "history.jsonl")
    if not starts:
        cure = "Give the folder that `latentfill train --run` wrote."
        raise RunError(f"{run}: no training was begun there", cure)
    draws = starts[-1].get("kind", "gan") not in COMPLETERS
    samples = _samples(run, "Samples over time" if draws else "Completions of held-out pictures over time")
    parts = [_head(run, starts), _warnings(run), _curves(run), samples, _sheets(run), _options(starts[-1])]
    title = escape(f"Training {run.resolve().name}")
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}{MORE}</style>'
        f"<h1>{title}</h1>{''.join(parts)}</html>\n"
    )
    provenance.save(out, lambda file: file.write(text.encode(errors="backslashreplace")))
    return out


def _head(run: Path, starts: Sequence[Mapping[str, Any]]) -> str:
    last = starts[-1]
    commands = {start["command"]: None for start in starts if start.get("command")}
    planned = last.get("train", {}).get("images_seen")
    facts = [
        f"kind: {last.get('kind', 'gan')}",
        f"images seen: {_images_seen(run):,}" + (f" of {planned:,}" if planned else ""),
        f"pictures: {last.get('pictures', 0):,}",
        f"begun {starts[0].get('date', '?')}, last started {last.get('date', '?')} ({len(starts)} starts)",
        f"machine: {last.get('machine') or 'not recorded'}",
        f"computed on {last.get('device', '?')} in {last.get('precision', '?')}, torch {last.get('torch', '?')}",
        *_best(run),
    ]
    lines = "".join(f"<p><code>{escape(command)}</code></p>" for command in commands)
    return f"{lines}<ul>{''.join(f'<li>{escape(fact)}</li>' for fact in facts)}</ul>"


def _best(run: Path) -> list[str]:
    try:
        about = model_file.read_about(run / "best.safetensors")
        at = f"at {about['images_seen']:,} images, {about['score']:.2f} dB in the hole"
        return [f"best model: best.safetensors, {at}"]
    except (ModelError, KeyError):
        return []


def _warnings(run: Path) -> str:
    warnings = _lines(run / "warnings.jsonl")
    if not warnings:
        return "<h2>Warnings</h2><p>The watchdog had nothing to say.</p>"
    rows = "".join(
        f"<tr><td>{one.get('images_seen', 0):,}</td><td>{escape(str(one.get('saw', '')))}</td>"
        f"<td>{one.get('measured', 0):.3g}</td><td>{one.get('limit', 0):.3g}</td>"
        f"<td>{escape(str(one.get('done', '')))}</td></tr>"
        for one in warnings
    )
    head = "".join(
        f"<th>{name}</th>" for name in ("images seen", "what was seen", "measured", "limit", "what was done")
    )
    return f'<h2>Warnings</h2><div class="scroll"><table class="warning"><tr>{head}</tr>{rows}</table></div>'


def _curves(run: Path) -> str:
    try:
        figure = curves.draw([curves.read(run)])
    except RunError as error:
        return f"<h2>Curves</h2><p>{escape(error.what)}</p>"
    drawn = curves.render(figure, format="png", dpi=150)
    note = "Every value faintly, a rolling average over it."
    return f'<h2>Curves</h2><p class="note">{note}</p>{_embed(drawn, "png", "plot", "curves")}'


def _samples(run: Path, title: str) -> str:
    """Sheets of the averaged model over time, as an animation, and some as still pictures."""
    kept = _list_sheets(run, "")
    if not kept:
        return ""
    chosen = _choose_evenly(kept, FRAMES)
    frames = [Image.fromarray(_read_small(path, SIDE)) for path in chosen]
    times = [MILLISECONDS] * (len(frames) - 1) + [LAST]
    file = io.BytesIO()
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:], duration=times, loop=0, quality=80)
    moving = _figure(
        _embed(file.getvalue(), "webp", "sheet", "samples", frames[0].width), f"{len(frames)} of {len(kept)} sheets"
    )
    return f"<h2>{title}</h2>{moving}{''.join(map(_sheet_figure, _choose_evenly(kept, STILLS)))}"


def _sheets(run: Path) -> str:
    """The last completions and the last samples with their nearest training pictures."""
    kinds = {
        "completed-": ("Completions", "Held-out pictures; for each hole what was known, and the completion."),
        "nearest-": ("Nearest training pictures", "Rows of samples, each over the training pictures nearest to them."),
    }
    parts = ""
    for name, (title, note) in kinds.items():
        if found := _list_sheets(run, name):
            parts += f'<h2>{title}</h2><p class="note">{note}</p>{_sheet_figure(found[-1])}'
    return parts


def _options(start: Mapping[str, Any]) -> str:
    groups = {name: part for name, part in start.items() if isinstance(part, Mapping)}
    tables = ""
    for name, group in groups.items():
        rows = "".join(f"<tr><td>{escape(str(k))}</td><td>{escape(str(v))}</td></tr>" for k, v in group.items())
        tables += f"<figure><figcaption>{escape(name)}</figcaption><table>{rows}</table></figure>"
    return f"<h2>Options</h2>{tables}"


def _lines(path: Path) -> list[Mapping[str, Any]]:
    """The objects of a file of JSON lines; what is half written is left out."""
    found: list[Mapping[str, Any]] = []
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return []
    for line in text.splitlines():
        try:
            one = json.loads(line)
        except ValueError:
            continue
        if isinstance(one, dict):
            found.append(one)
    return found


def _images_seen(run: Path) -> int:
    try:
        return int(curves.read(run).images_seen[-1])
    except RunError:
        return 0


def _list_sheets(run: Path, name: str) -> list[Path]:
    """The sheets of one kind, in the order of images seen."""
    return sorted(p for p in run.glob(f"samples/{name}*.png") if re.fullmatch(r"\d{10}", p.stem.removeprefix(name)))


def _choose_evenly(paths: Sequence[Path], count: int) -> list[Path]:
    places = np.unique(np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int))
    return [paths[place] for place in places]


def _read_small(path: Path, side: int) -> np.ndarray:
    with Image.open(path) as image:
        picture = image.convert("RGB")
    if max(picture.size) > side:
        picture.thumbnail((side, side), Image.Resampling.BOX)
    return np.asarray(picture)


def _sheet_figure(path: Path) -> str:
    file, picture = io.BytesIO(), _read_small(path, WIDE)
    Image.fromarray(picture).save(file, "PNG")
    image = _embed(file.getvalue(), "png", "sheet", path.stem, picture.shape[1])
    return _figure(image, f"{int(path.stem[-10:]):,} images")


def _figure(image: str, below: str) -> str:
    return f"<figure>{image}<figcaption>{escape(below)}</figcaption></figure>"


def _embed(data: bytes, kind: str, style: str, what: str, width: int | None = None) -> str:
    """A picture inside the page; one of `width` pixels is enlarged if it is small, each pixel a square."""
    coded = base64.b64encode(data).decode()
    wide = f' width="{width * max(1, SMALL // width)}"' if width else ""
    return f'<img class="{style}"{wide} alt="{escape(what)}" src="data:image/{kind};base64,{coded}">'
