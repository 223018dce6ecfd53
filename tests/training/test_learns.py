"""The default recipe, on drawn shapes: in half a minute of a processor it draws them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from latentfill.gan.model_file import load
from latentfill.images.pixels import batch_to_images
from latentfill.options import GAN_PRESETS, RunOptions
from latentfill.runs.data import Dataset
from latentfill.training.gan_run import train

SIZE, LEARNT = 16, 512


def discs(count: int, seed: int) -> np.ndarray:
    """Light discs of a colour on dark grounds of another, their edges soft: [n, 16, 16, 3]."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    centre, radius = rng.uniform(5, 11, (2, count, 1, 1)), rng.uniform(3, 5, (count, 1, 1))
    inside = np.clip(radius - np.hypot(y - centre[0], x - centre[1]) + 0.5, 0, 1)[..., None]
    light, dark = rng.uniform(150, 240, (count, 1, 1, 3)), rng.uniform(15, 100, (count, 1, 1, 3))
    return np.round(light * inside + dark * (1 - inside)).astype(np.uint8)


def test_it_learns_to_draw(tmp_path: Path) -> None:
    network, options = GAN_PRESETS["modern"]
    options = replace(options, images_seen=1600, batch_size=16, learning_rate=1e-3, augment="none", precision="fp32")
    options = replace(options, completer=False, reconstruct_last=0)  # tests of its own see what a completer learns
    run = RunOptions(sample_every=10**6, checkpoint_every=10**6, log_every=10**6, device="cpu", score_every=0)
    pixels = discs(LEARNT, 1)
    data = Dataset(pixels, [str(i) for i in range(LEARNT)], [])
    list(train(data, tmp_path, replace(network, size=SIZE, latent=16), options, run))
    gan = load(tmp_path / "model.safetensors")

    with torch.no_grad():
        samples = gan.generator(gan.generator.prior.sample(range(64)))
    real = torch.pdist(batch_to_images(pixels[:64]).flatten(1)).mean()
    assert 0.6 * real < torch.pdist(samples.flatten(1)).mean() < 1.4 * real  # as different as the pictures are
    nearest = [
        torch.cdist(some.flatten(1), batch_to_images(pixels).flatten(1)).min(1).values.mean()
        for some in (samples, batch_to_images(discs(64, 2)))  # and those never seen
    ]
    assert nearest[0] < 1.8 * nearest[1]  # hardly farther from them than others of their kind; noise is 3 times as far
