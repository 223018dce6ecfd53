"""How long the sentences of the docs are: median and 90th percentile, in words, for each page.

    python benchmarks/prose.py [PAGES...]

Code, tables, headings and pictures are left out. Exits with 1 if README or a tutorial is above the limits.
"""

import argparse
import re
from pathlib import Path

import numpy as np
from machine import heading

MEDIAN, P90 = 15, 25  # words
PROJECT = Path(__file__).parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", type=Path, nargs="*")
    pages = parser.parse_args().pages
    pages = pages or [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*/*.md"))]
    print(heading("Words in a sentence: median, 90th percentile, number of sentences"))
    long = False
    for page in pages:
        lengths = [len(sentence.split()) for sentence in sentences(page.read_text())]
        if not lengths:
            continue
        median, p90 = np.percentile(lengths, [50, 90])
        limited = page.name == "README.md" or page.parent.name == "tutorials"
        above = limited and (median > MEDIAN or p90 > P90)
        long |= above
        print(f"{page.name:24} {median:5.0f} {p90:5.0f} {len(lengths):5}{'  too long' if above else ''}")
    return int(long)


def sentences(markdown: str) -> list[str]:
    """The sentences of a page, without code, tables, headings and pictures."""
    text = re.sub(r"^```.*?^```", "", markdown, flags=re.S | re.M)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)|<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"`[^`]*`", "code", text)
    parts = []
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )", text):
        if not block.strip() or block.lstrip().startswith(("#", "|")):
            continue
        parts += re.split(r"(?<=[.!?:;])\s+", re.sub(r"\s+", " ", block).strip(" -*"))
    return [part for part in parts if len(part.split()) > 1]


if __name__ == "__main__":
    raise SystemExit(main())
