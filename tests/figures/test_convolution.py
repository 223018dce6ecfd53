from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from latentfill.figures.curves import save, to_pixels
from latentfill.figures.post import CONVOLUTION, FRACTIONAL, draw_frame, frames


def tensor(cells):
    return torch.from_numpy(cells)[None, None]


def test_the_convolution_is_torchs():
    expected = F.conv2d(tensor(CONVOLUTION.image), tensor(CONVOLUTION.kernel), stride=2, padding=1)
    np.testing.assert_array_equal(CONVOLUTION.output(), expected[0, 0])
    assert CONVOLUTION.output().shape == (3, 3)


def test_the_fractionally_strided_one_is_torchs():
    kernel = tensor(FRACTIONAL.kernel).flip(2, 3)
    expected = F.conv_transpose2d(tensor(FRACTIONAL.image), kernel, stride=2, padding=1)
    np.testing.assert_array_equal(FRACTIONAL.output(), expected[0, 0])
    assert FRACTIONAL.output().shape == (5, 5)


@pytest.mark.parametrize("example", [CONVOLUTION, FRACTIONAL])
def test_the_images_own_cells_are_told_from_the_zeros_put_there(example):
    padded = example.pad()
    own = [padded[i, j] for i, j in np.ndindex(padded.shape) if example.is_image(i, j)]
    np.testing.assert_array_equal(np.reshape(own, example.image.shape), example.image)
    assert padded.sum() == sum(own)


def test_every_frame_differs_from_the_one_before_but_the_last_stays():
    pictures = list(frames(CONVOLUTION))
    assert len(pictures) == 10
    changed = [not np.array_equal(a, b) for a, b in pairwise(pictures)]
    assert changed == [True] * 8 + [False]


def test_nothing_is_cropped():
    for example in (CONVOLUTION, FRACTIONAL):
        for done in (1, example.output().size):
            picture = to_pixels(draw_frame(example, done))
            border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
            assert (border == 255).all()


def test_the_unhappy_word_is_not_used(tmp_path):
    (path,) = save(draw_frame(FRACTIONAL, 13), tmp_path / "still", ("svg",))
    text = path.read_text()
    assert "fractionally-strided" in text
    assert "deconvolution" not in text.lower()
