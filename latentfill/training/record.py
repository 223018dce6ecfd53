"""What a run tells: metrics.csv, TensorBoard, and sample grids."""

import csv
from pathlib import Path

import torch
from PIL import Image

from ..images.grids import grid
from ..images.pixels import to_pixels
from ..types import Images

COLUMNS = ("images_seen", "discriminator_loss", "generator_loss", "real_logit", "fake_logit", "images_per_second")


class Record:
    """The growing files of one run. Rows after `images_seen` belong to a future that was lost, and are dropped."""

    def __init__(self, folder: Path, images_seen: int) -> None:
        self.folder = folder
        (folder / "samples").mkdir(parents=True, exist_ok=True)
        path = folder / "metrics.csv"
        rows = []
        if path.exists():
            with path.open(newline="") as old:
                rows = [row for row in list(csv.reader(old))[1:] if row and int(row[0]) <= images_seen]
        making = path.with_suffix(".making")
        with making.open("w", newline="") as new:
            csv.writer(new).writerows([COLUMNS, *rows])
        making.replace(path)
        self._file = path.open("a", newline="")
        self._csv = csv.writer(self._file)

    def losses(self, images_seen: int, losses: dict[str, float], rate: float, values: dict[str, torch.Tensor]) -> None:
        numbers = [losses[name] for name in ("discriminator", "generator", "real", "fake")]
        self._csv.writerow([images_seen, *(f"{number:.8f}" for number in numbers), f"{rate:.2f}"])
        self._file.flush()

    def samples(self, images_seen: int, averaged: Images, raw: Images) -> None:
        for kind, images in (("", averaged), ("-raw", raw)):
            path = self.folder / "samples" / f"{images_seen:010}{kind}.png"
            Image.fromarray(grid(to_pixels(images))).save(path)

    def close(self) -> None:
        self._file.close()
