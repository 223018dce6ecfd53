"""latentfill report: one page about a training, that needs no other file."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional


@dataclass(frozen=True)
class Options:
    """Write one page about a training: curves, samples over time, completions, warnings, options.

    Works at any time, also while the training goes on. The pictures are inside the page; nothing is loaded.
    """

    run: Positional[Path]
    """run folder"""
    out: Path | None = None
    """file to write; default: RUN/report.html"""


def run(options: Options) -> int:
    """Write the page, and print its path."""
    from ..figures.training_report import write_page

    print(write_page(options.run, options.out or options.run / "report.html"))
    return 0
