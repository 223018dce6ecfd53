"""What the benchmark found, to look at: a page that needs no other file, and one picture of all methods."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from PIL import Image, ImageDraw, ImageFont

from ..files import records
from ..images import photos
from ..types import PixelBatch, Pixels
from .report import Table, heading, tables, title

SHOWN = 12  # pictures of each hole on the page: with seven holes and ten methods it has 8 MB
ON_SHEET = 3  # pictures of each hole on the contact sheet: with seven holes as high as a screen is wide
TILE = 128  # pixels at least of a tile on the sheet, so that a method's name fits above it
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
    """Some pictures of one hole: as they were, as they were shown, as each method completed them; their PSNR in it."""

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
    records.save(path, lambda file: file.write(text.encode(errors="backslashreplace")))


def write_sheet(path: Path, galleries: Sequence[Gallery]) -> None:
    """contact.png: for each hole some rows of pictures, one column for each method."""
    blocks = [_sheet(gallery) for gallery in galleries]
    width = max(block.shape[1] for block in blocks)
    wide = [np.pad(b, ((0, 0), (0, width - b.shape[1]), (0, 0)), constant_values=PAPER) for b in blocks]
    records.save(path, photos.encoder(path, np.concatenate(wide)))


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
