import torch

from latentfill.uncertainty.features import agreement


def blobs(n=2, side=64, seed=0):
    coarse = torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size=side, mode="bicubic").clamp(-1, 1)


def test_an_image_agrees_with_itself_whatever_its_contrast_and_brightness():
    images, known = blobs(), torch.ones(2, 1, 64, 64)
    assert (agreement(images, images, known) > 0.95).all()
    assert (agreement(images * 0.5 + 0.2, images, known) > 0.85).all()
    assert (agreement(-images, images, known) < -0.95).all()


def test_another_image_does_not_agree():
    images, known = blobs(8), torch.ones(8, 1, 64, 64)
    assert agreement(blobs(8, seed=1), images, known).abs().mean() < 0.2


def test_what_is_in_the_hole_does_not_count():
    images, known = blobs(), torch.ones(2, 1, 64, 64)
    known[..., 20:40, 10:50] = 0
    other = torch.where(known == 1, images, torch.nan)
    drawn = torch.where(known == 1, blobs(seed=1), -9.0)
    assert torch.equal(agreement(drawn, images, known), agreement(blobs(seed=1), other, known))


def test_flat_pictures_have_no_structure_to_agree_in():
    flat, known = torch.full((1, 1, 32, 32), 0.3), torch.ones(1, 1, 32, 32)
    noise = 0.001 * torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    assert agreement(flat + noise, flat + noise, known).abs() < 0.02


def test_where_nothing_is_known_nothing_can_be_told():
    assert agreement(blobs(1), blobs(1), torch.zeros(1, 1, 64, 64)).isnan()
