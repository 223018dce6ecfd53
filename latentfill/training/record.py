"""What a run tells: metrics.csv, TensorBoard, and sample grids."""

import csv
import os
import warnings
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, final

import torch
from PIL import Image
from torch import nn

from ..gan.dcgan import DcganDiscriminator, DcganGenerator
from ..images.grids import grid
from ..images.pixels import to_pixels
from ..types import Images, Latents, PerImage
from .checkpoints import MAKING

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

# The columns of metrics.csv after `images_seen`, and the names of the same curves in TensorBoard (the original's).
CURVES = {
    "discriminator_loss": "d_loss",
    "generator_loss": "g_loss",
    "real_logit": "logit/real",
    "fake_logit": "logit/fake",
    "images_per_second": "images_per_second",
    "discriminator_loss_real": "d_loss_real",
    "discriminator_loss_fake": "d_loss_fake",
    "learning_rate": "learning_rate",
}
COLUMNS = ("images_seen", *CURVES)


@final
class Record:
    """The growing files of one run. Rows after `images_seen` belong to a future that was lost, and are dropped."""

    def __init__(self, folder: Path, images_seen: int) -> None:
        self.folder = folder
        (folder / "samples").mkdir(parents=True, exist_ok=True)
        path = folder / "metrics.csv"
        making = path.with_name(f"{path.name}{MAKING}")
        with making.open("w", newline="") as new:
            csv.writer(new).writerows([COLUMNS, *_rows(path, images_seen)])
        making.replace(path)
        self._file = path.open("a", newline="")
        self._csv = csv.writer(self._file)
        self._board = _board(folder / "tensorboard", images_seen)

    def metrics(self, images_seen: int, values: Mapping[str, float]) -> None:
        """One row, and one point of each curve. `values` has every column but the first."""
        self._csv.writerow([images_seen, *(f"{values[name]:.8g}" for name in CURVES)])
        self._file.flush()
        for name, curve in CURVES.items():
            self._board.add_scalar(curve, values[name], images_seen)

    def samples(self, images_seen: int, averaged: Images, raw: Images) -> None:
        """What the averaged and the last generator make of the fixed latents, as grids; TensorBoard shows the first."""
        for kind, images in (("", averaged), ("-raw", raw)):
            sheet = grid(to_pixels(images))
            Image.fromarray(sheet).save(self.folder / "samples" / f"{images_seen:010}{kind}.png")
            if not kind:  # a grid takes half a megabyte: once is enough there
                self._board.add_image("G", sheet, images_seen, dataformats="HWC")

    def histograms(self, images_seen: int, z: Latents, real: PerImage, fake: PerImage) -> None:
        """How the latents of a batch are spread, and D's probabilities for its real and its fake images."""
        for name, values in (("z", z), ("D/real", real.sigmoid()), ("D/fake", fake.sigmoid())):
            self._board.add_histogram(name, values.float().cpu(), images_seen)

    def graph(self, generator: DcganGenerator, discriminator: DcganDiscriminator) -> None:
        """Both networks as TensorBoard draws them: z to G, its image to D."""
        game = _Game(deepcopy(generator), deepcopy(discriminator)).cpu().eval()
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # tracing is deprecated, but the only thing that TensorBoard can draw
            try:
                self._board.add_graph(game, generator.prior.sample([0, 1]))
            except RuntimeError as error:
                warnings.simplefilter("default")
                warnings.warn(f"TensorBoard shows no graph of the networks: {error}", stacklevel=2)

    def flush(self) -> None:
        """Let nothing that was recorded depend on this process, nor on the machine's power."""
        os.fsync(self._file.fileno())
        self._board.flush()

    def close(self) -> None:
        self._file.close()
        self._board.close()


@final
class _Game(nn.Module):
    def __init__(self, generator: DcganGenerator, discriminator: DcganDiscriminator) -> None:
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        generator.precision = discriminator.precision = torch.float32  # the tracer cannot follow the paths for bf16

    def forward(self, z: Latents) -> PerImage:
        logits: PerImage = self.discriminator(self.generator(z))
        return logits


def _rows(path: Path, images_seen: int) -> Iterator[list[str]]:
    """The rows to keep; those of an earlier version have fewer columns, and a power cut may have left half a line."""
    if not path.exists():
        return
    lines = (line.replace("\0", "") for line in path.read_text(errors="replace").splitlines())
    for row in csv.DictReader(lines):
        try:
            if int(row["images_seen"]) <= images_seen:
                yield [row.get(name) or "" for name in COLUMNS]
        except (KeyError, TypeError, ValueError):
            continue


def _board(folder: Path, images_seen: int) -> "SummaryWriter":
    from torch.utils.tensorboard import SummaryWriter  # slow to import, and only training needs it

    # Points of a lost future are not erased but marked as such; a fresh run has none.
    return SummaryWriter(str(folder), purge_step=images_seen + 1 if images_seen else None)
