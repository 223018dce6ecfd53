"""latentfill figures: the figures of the post, redrawn."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional


@dataclass(frozen=True)
class Options:
    """Redraw the figures of the post.

    The normal distribution, its samples, two dimensions of it and the most probable y given x = 1; a convolution and
    a fractionally-strided one, as animations and as stills. Needs no model.
    """

    out: Positional[Path]
    """folder to write to"""
    formats: tuple[Literal["pdf", "svg", "png"], ...] = ("png",)
    """of the stills; the animations are GIFs"""


def run(options: Options) -> int:
    """Draw them all, and print the path of each as it is done."""
    from ..figures.post import draw

    for path in draw(options.out, options.formats):
        print(path, flush=True)
    return 0
