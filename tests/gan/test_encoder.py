"""The encoder: latents of its prior, from what is known alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from latentfill.gan.dcgan import SIZES
from latentfill.gan.encoder import DcganEncoder
from latentfill.gan.gan import UniformPrior
from latentfill.gan.model_file import build_encoder
from latentfill.options import NetworkOptions, PriorName, Size

OPTIONS = NetworkOptions(size=8, base=2, latent=5)
ENCODER = build_encoder(OPTIONS, base=4, hidden=9).eval()


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def given_pixels(seed: int, *shape: int) -> Tensor:
    return (drawn(seed, *shape) < 0.3).float()


@pytest.mark.parametrize("prior", ["uniform", "normal"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_every_size_gives_latents_of_the_prior(size: Size, channels: int, prior: PriorName) -> None:
    options = NetworkOptions(size, 1 if channels == 1 else 3, latent=5, prior=prior)
    encoder = build_encoder(options, base=1, hidden=9)
    with torch.no_grad():
        encoder.answer.get_parameter("weight").mul_(100)  # as far out as it gets
        z = encoder(drawn(0, 4, channels, size, size), given_pixels(1, 4, 1, size, size))
    assert z.shape == (4, 5) and z.dtype == torch.float32 and z.std() > 0.1
    torch.testing.assert_close(encoder.prior.project(z), z)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 1.0, -7.0, 1e30, float("nan"), float("inf")]))
def test_what_is_in_the_hole_never_matters(seed: int, hidden: float) -> None:
    images, known = drawn(seed, 3, 3, 8, 8), given_pixels(seed + 1, 3, 1, 8, 8)
    other = torch.where(known == 1, images, torch.tensor(hidden))
    assert torch.equal(ENCODER(images, known), ENCODER(other, known))


def test_what_is_known_and_where_both_matter() -> None:
    images, known = drawn(0, 1, 3, 8, 8), given_pixels(1, 1, 1, 8, 8)
    z = ENCODER(images, known)
    assert (ENCODER(-images, known) - z).abs().max() > 1e-3
    grey = torch.zeros_like(images)
    assert (ENCODER(grey, 1 - known) - ENCODER(grey, known)).abs().max() > 1e-3


def test_an_image_does_not_depend_on_its_neighbours() -> None:
    images, known = drawn(0, 4, 3, 8, 8), given_pixels(1, 4, 1, 8, 8)
    z = ENCODER(images, known)
    for i in range(4):
        torch.testing.assert_close(ENCODER(images[i : i + 1], known[i : i + 1])[0], z[i], atol=1e-6, rtol=0)


def test_blocks_begin_as_nothing_and_first_weights_depend_on_the_seed_alone() -> None:
    states = [build_encoder(OPTIONS, 4, 9, seed).state_dict() for seed in (1, 1, 2)]
    assert all(torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values(), strict=True))
    assert not torch.equal(states[0]["answer.weight"], states[2]["answer.weight"])
    fresh = build_encoder(NetworkOptions(size=16, latent=5), 4, 9).eval()
    maps = drawn(3, 2, 8, 4, 4)
    assert torch.equal(fresh.blocks[0](maps), maps)
    assert all(p.isfinite().all() for p in fresh.parameters())


def test_making_one_touches_no_global_generator() -> None:
    before = torch.get_rng_state()
    build_encoder(OPTIONS)
    assert torch.equal(torch.get_rng_state(), before)


def test_it_learns_where_a_linear_generator_was_asked() -> None:
    """A toy: three numbers, each the brightness of a strip; half of each strip is hidden."""
    encoder = build_encoder(NetworkOptions(size=8, channels=1, latent=2), base=8, hidden=16)
    known = torch.ones(64, 1, 8, 8)
    known[..., 2:6, :] = 0
    optimizer = torch.optim.Adam(encoder.parameters(), 3e-3)
    for step in range(60):
        z = drawn(step, 64, 2)
        images = z[:, None, None, :].repeat_interleave(4, 3).expand(64, 1, 8, 8)
        loss = (encoder(images, known) - z).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.03  # a guess of 0 has 1/3


def test_bf16_changes_latents_little() -> None:
    encoder = build_encoder(NetworkOptions(size=32, latent=5), 8, 32).eval()
    images, known = drawn(0, 4, 3, 32, 32), given_pixels(1, 4, 1, 32, 32)
    z = encoder(images, known)
    encoder.precision = torch.bfloat16
    assert (encoder(images, known) - z).abs().max() < 0.02
    assert {p.dtype for p in encoder.parameters()} == {torch.float32}


@pytest.mark.parametrize("size, channels, said", [(48, 3, "not 48"), (64, 2, "1 or 3 channels, not 2")])
def test_other_shapes_are_refused(size: int, channels: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        DcganEncoder(UniformPrior(3), size, channels)
