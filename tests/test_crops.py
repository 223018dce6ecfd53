import numpy as np
import pytest
import torch

import latentfill
from latentfill.completion.operators import parse_operator
from latentfill.gan.model_file import build
from latentfill.images.pixels import to_images
from latentfill.options import NetworkOptions
from latentfill.photo.model_sized import pose

GAN = build(NetworkOptions(size=16, base=4, latent=6))
GREY = build(NetworkOptions(size=16, base=4, latent=6, channels=1))
OPTIONS = latentfill.CompleteOptions(steps=3, precision="fp32")


def question(count):
    rng = np.random.default_rng(0)
    crops = list(rng.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8))
    holes = [np.zeros((16, 16), np.uint8) for _ in crops]
    for i, hole in enumerate(holes):
        hole[2 + i : 8 + i, 3:9] = 255
    return crops, holes


@pytest.mark.parametrize("blend", ["overlay", "poisson"])
def test_outside_the_hole_nothing_changes(blend):
    crops, holes = question(3)
    options = latentfill.CompleteOptions(steps=3, precision="fp32", blend=blend)
    for crop, hole, filled in zip(crops, holes, latentfill.fill_crops(GAN, crops, holes, options), strict=True):
        assert np.array_equal(filled[hole == 0], crop[hole == 0])
        assert not np.array_equal(filled[hole > 0], crop[hole > 0])


def test_the_default_options_are_those_of_the_preset_seed():
    from latentfill.options import COMPLETE_PRESETS

    assert COMPLETE_PRESETS["seed"] == latentfill.CompleteOptions()


def test_a_grey_model_completes_what_it_sees_as_grey():
    crops, holes = question(1)
    (filled,) = latentfill.fill_crops(GREY, crops, holes, OPTIONS)
    assert (filled[..., 0] == filled[..., 1]).all() and (filled[..., 1] == filled[..., 2]).all()
    luma = np.round(crops[0] @ np.array([0.299, 0.587, 0.114]))
    assert np.array_equal(filled[holes[0] == 0][:, 0], luma[holes[0] == 0])


def test_the_low_resolution_question_gives_every_block_mean():
    crops, holes = question(2)
    posed = pose(GAN, crops, holes, lowres=True)
    assert posed.lowres.shape == (2, 1, 2, 2) and (posed.lowres == 1).all()
    assert pose(GAN, crops, holes).lowres is None
    assert torch.equal(posed.known[:, 0].bool(), torch.from_numpy(np.stack(holes) == 0))


def test_what_does_not_fit_is_told():
    crops, holes = question(2)
    with pytest.raises(ValueError, match="16x16 pixels, not 16x12"):
        latentfill.fill_crops(GAN, [crops[0][:12]], holes[:1], OPTIONS)
    with pytest.raises(ValueError, match="2 pictures and 1 holes"):
        latentfill.fill_crops(GAN, crops, holes[:1], OPTIONS)


@pytest.mark.parametrize("how", ["overlay", "poisson"])
def test_what_was_observed_is_blended_in_too(how):
    crops, holes = question(2)
    sight = parse_operator("grey")
    asked = pose(GAN, crops, holes, sights=[sight, sight])
    made = latentfill.blend(asked, latentfill.complete(GAN, asked, OPTIONS), how)
    seen = sight.linear(torch.cat([to_images(crop) for crop in crops]))
    off = (sight.linear(made) - seen).abs()[:, 0].numpy()
    assert off[np.stack(holes) == 0].max() < 1e-4 and off[np.stack(holes) > 0].mean() > 0.1
