"""Where a photo shows a completed square enlarged, the model's upsampler redraws it at twice the size."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import latentfill
from latentfill.batch.outputs import digest_model
from latentfill.completion.complete import complete
from latentfill.faces.placement import Placement
from latentfill.gan.completer import build_upsampler
from latentfill.gan.gan import Gan
from latentfill.gan.model_file import build
from latentfill.images.blending import poisson_like
from latentfill.images.photos import Original
from latentfill.options import CompleteOptions, NetworkOptions, PhotoOptions
from latentfill.photo.crop import cut
from latentfill.photo.model_sized import pose
from latentfill.photo.upsample import draw_pieces
from latentfill.types import Hole, Images, Known, Pixels

OPTIONS = CompleteOptions(steps=2, precision="fp32")


def picture(side: int) -> tuple[Pixels, Hole]:
    hole = np.zeros((side, side), np.uint8)
    hole[side // 4 : side // 2, side // 3 : side // 2] = 255
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8), hole


class Recorder:
    """An upsampler that draws one level of grey, and keeps what it was given."""

    def __init__(self) -> None:
        self.given: list[tuple[Images, Images, Known]] = []

    def __call__(self, completed: Images, images: Images, known: Known) -> Images:
        self.given.append((completed, images, known))
        return torch.full_like(images, 0.2)


def model(channels: Any = 3) -> tuple[Gan, Recorder]:
    recorder = Recorder()
    return replace(build(NetworkOptions(size=16, base=4, latent=6, channels=channels)), upsampler=recorder), recorder


@pytest.mark.parametrize(("side", "times"), [(16, 0), (19, 0), (24, 1), (50, 1), (90, 1)])
def test_only_what_is_enlarged_is_redrawn(side: int, times: int) -> None:
    (photo, hole), (gan, recorder) = picture(side), model()
    filled = latentfill.fill(photo, hole, gan, OPTIONS)
    assert len(recorder.given) == times
    assert np.array_equal(filled.photo[hole == 0], photo[hole == 0])
    assert (filled.photo[hole > 0] != latentfill.fill(photo, hole, model()[0], OPTIONS).photo[hole > 0]).any() == 0
    plain = latentfill.fill(photo, hole, replace(gan, upsampler=None), OPTIONS)
    assert np.array_equal(filled.photo, plain.photo) == (times == 0)
    for completed, images, known in recorder.given:
        assert completed.shape == (1, 3, 16, 16) and images.shape == (1, 3, 32, 32) and known.shape == (1, 1, 32, 32)


def test_it_is_given_the_joined_completion_and_the_known_pixels_and_its_drawing_is_the_piece() -> None:
    (photo, hole), (gan, recorder) = picture(32), model()
    question = cut(Original(photo), hole, gan, PhotoOptions())
    incomplete = pose(gan, question.crops, question.crop_holes)
    completion = complete(gan, incomplete, OPTIONS)
    (piece,) = draw_pieces(question, completion, gan)
    ((completed, images, known),) = recorder.given
    assert torch.equal(completed, poisson_like(incomplete.images, incomplete.known, completion.images))
    assert torch.equal(known[0, 0] > 0, torch.from_numpy(hole == 0))  # a pixel of 32 is a pixel of the photo
    assert np.array_equal(((images[0].permute(1, 2, 0) + 1) * 127.5).round().numpy()[hole == 0], photo[hole == 0])
    assert piece.placement == Placement.square(0, 0, 32, 32) and np.allclose(piece.values, 0.2 * 127.5 + 127.5)


def test_a_grey_model_redraws_grey_pictures() -> None:
    (photo, hole), (gan, recorder) = picture(40), model(channels=1)
    filled = latentfill.fill(photo[..., :1].repeat(3, 2), hole, gan, OPTIONS)
    assert recorder.given[0][1].shape == (1, 1, 32, 32)
    assert not np.ptp(filled.photo[hole > 0], axis=1).any()


def test_what_was_observed_is_not_redrawn_since_the_result_must_agree_with_it() -> None:
    (photo, hole), (gan, recorder) = picture(40), model()
    latentfill.fill(photo, hole, gan, OPTIONS, observe="grey")
    assert not recorder.given


def test_results_of_another_upsampler_are_not_taken_for_finished() -> None:
    gan = build(NetworkOptions(size=16, base=4, latent=6))
    models = [replace(gan, upsampler=one) for one in (None, build_upsampler(3, 1), build_upsampler(3, 2))]
    assert len({digest_model(model)["weights"] for model in models}) == 3


def test_a_resized_placement_is_the_same_square() -> None:
    placement = Placement(((1.5, 0.4, 7.0), (-0.4, 1.5, 9.0)), 16)
    large = placement.resize(32)
    corners = np.array([[0.0, 0.0], [16.0, 0.0], [3.0, 11.0]])
    assert np.allclose(large.to_photo(2 * corners), placement.to_photo(corners))
    assert large.size == 32 and large.scale == pytest.approx(placement.scale / 2)
