"""An upsampler begins by enlarging, and redraws from the completion and the known pixels alone."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from latentfill.gan import model_file
from latentfill.gan.completer import Upsampler, build_completer, build_upsampler
from latentfill.gan.model_file import build
from latentfill.gan.residual import double
from latentfill.options import NetworkOptions
from latentfill.types import Images, Known


def question(side: int = 16, channels: int = 3) -> tuple[Images, Images, Known]:
    rng = torch.Generator().manual_seed(5)
    known = torch.ones(2, 1, 2 * side, 2 * side)
    known[:, :, 4:20, 6:15] = 0
    completed, images = (torch.rand(2, channels, n, n, generator=rng) * 2 - 1 for n in (side, 2 * side))
    return completed, images, known


def stirred(channels: int = 3) -> Upsampler:
    upsampler, rng = build_upsampler(channels), torch.Generator().manual_seed(3)
    for parameter in upsampler.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=rng)
    return upsampler.requires_grad_(False)


@pytest.mark.parametrize(("side", "channels"), [(8, 3), (16, 1), (20, 3), (64, 3)])
def test_it_begins_with_lines_between_the_pixels(side: int, channels: int) -> None:
    completed, images, known = question(side, channels)
    with torch.no_grad():
        assert torch.equal(build_upsampler(channels)(completed, images, known), double(completed))


def test_it_looks_at_all_that_it_is_given_but_not_into_the_hole() -> None:
    upsampler, (completed, images, known) = stirred(), question()
    drawn = upsampler(completed, images, known)
    assert torch.equal(upsampler(completed, torch.where(known > 0, images, torch.nan), known), drawn)
    other = images.clone()
    other[:, :, 0, 0] += 0.5
    assert not torch.equal(upsampler(completed, other, known), drawn)
    assert not torch.equal(upsampler(completed, images * known, torch.ones_like(known)), drawn)
    assert not torch.equal(upsampler(completed.flip(-1), images, known) - double(completed.flip(-1)), drawn)


def test_a_model_file_keeps_it_and_without_it_stays_as_it_was(tmp_path: Path) -> None:
    gan = build(NetworkOptions(size=16, latent=6, prior="normal", networks="residual"), 1)
    gan, upsampler = replace(gan, completer=build_completer(gan)), stirred()
    model_file.save(gan, tmp_path / "without.safetensors")
    model_file.save(replace(gan, upsampler=upsampler), tmp_path / "with.safetensors")
    assert model_file.load(tmp_path / "without.safetensors").upsampler is None
    read = model_file.load(tmp_path / "with.safetensors").upsampler
    assert isinstance(read, Upsampler)
    assert torch.equal(read(*question()), upsampler(*question()))
