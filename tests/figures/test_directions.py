from dataclasses import replace

import numpy as np
import pytest
import torch

from latentfill.completion.complete import complete
from latentfill.completion.one_pass import ConditionalGenerator
from latentfill.figures.samples import EDIT_STEPS, direction_rows, edit_images, edit_sheet, mean_change, show
from latentfill.gan.completer import build_completer
from latentfill.gan.directions import Directions, find_edits
from latentfill.gan.model_file import build
from latentfill.images.incomplete import Incomplete
from latentfill.images.pixels import to_pixels
from latentfill.options import COMPLETE_PRESETS, CompleteOptions, NetworkOptions
from latentfill.photo.model_sized import blend

CPU = torch.device("cpu")
GAN = build(NetworkOptions(size=8, base=4, latent=5), seed=3)
for weights in GAN.generator.parameters():
    weights.data.mul_(20)  # an untrained G draws grey on grey
ANY = torch.randint(0, 256, (2, 3, 8, 8), generator=torch.Generator().manual_seed(1)) / 127.5 - 1
KNOWN = torch.ones(2, 1, 8, 8)
KNOWN[..., 2:6, 2:6] = 0
QUESTION = Incomplete(ANY, KNOWN)
# Tuned, so that what is edited is not quite what G alone draws.
ANSWER = complete(GAN, QUESTION, CompleteOptions(steps=5, learning_rate=0.1, tune_steps=10, precision="fp32"))


def test_a_row_for_each_direction_goes_through_the_sample():
    z = GAN.generator.prior.sample([0])
    made = direction_rows(GAN, Directions(torch.eye(5)[:2], torch.ones(2)), z, 3, CPU)
    assert [len(row) for row in made] == [3, 3]
    (sample,) = show(GAN, z, CPU)
    for row in made:
        np.testing.assert_array_equal(row[1], sample)
        assert not np.array_equal(row[0], row[2])


def test_the_mean_change_is_from_end_to_end():
    z = GAN.generator.prior.sample([0, 1])
    directions = Directions(torch.eye(5)[:2], torch.ones(2))
    ends = [directions.path(GAN.generator.prior, one, 1, 2) for one in z.split(1)]
    with torch.no_grad():
        expected = np.mean([(GAN.generator(end)[1] - GAN.generator(end)[0]).abs().mean().item() for end in ends])
    assert mean_change(GAN, directions, z, CPU)[1] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("how", ["overlay", "poisson"])
def test_an_edit_keeps_known_pixels_to_the_bit_and_its_middle_is_the_completion(how):
    sheet = edit_sheet(GAN, QUESTION, ANSWER, 2, how)
    columns = 2 * EDIT_STEPS + 1
    assert sheet.shape == (4 * 8, columns * 8, 3)
    tiles = sheet.reshape(2, 2, 8, columns, 8, 3).swapaxes(2, 3)  # image, edit, column, pixels
    completed = to_pixels(blend(QUESTION, ANSWER, how))
    for i, original in enumerate(to_pixels(QUESTION.images)):
        outside = (KNOWN[i, 0] == 1).numpy()
        assert (tiles[i][:, :, outside] == original[outside]).all()
        for edit in tiles[i]:
            assert np.abs(edit[EDIT_STEPS].astype(int) - completed[i]).max() <= 1
            assert (edit[0] != edit[-1]).any()
    assert (tiles[:, 0] != tiles[:, 1]).any()


def test_edits_are_those_of_the_tuned_picture():
    one = QUESTION.select([0])
    made = edit_images(GAN, one, ANSWER.select(slice(0, 1)), 1)[0]
    torch.testing.assert_close(made[EDIT_STEPS], ANSWER.images[0], rtol=0, atol=1e-5)


def test_a_picture_whose_hole_has_vanished_has_no_edits():
    whole = Incomplete(ANY, torch.ones_like(KNOWN))
    assert edit_sheet(GAN, whole, ANSWER, 1, "overlay") is None
    half = Incomplete(ANY, torch.cat([torch.ones_like(KNOWN[:1]), KNOWN[1:]]))
    sheet = edit_sheet(GAN, half, ANSWER, 1, "overlay")
    assert sheet is not None and sheet.shape[0] == 8


def test_edits_of_a_completers_answer_are_its_own():
    options = NetworkOptions(size=16, latent=6, prior="normal", networks="residual")
    gan = build(options, 1)
    completer = build_completer(gan, 2).eval().requires_grad_(False)
    rng = torch.Generator().manual_seed(3)
    for parameter in completer.parameters():
        parameter += 0.05 * torch.randn(parameter.shape, generator=rng)
    known = torch.ones(1, 1, 16, 16)
    known[..., 4:12, 4:12] = 0
    one = Incomplete(torch.rand(1, 3, 16, 16, generator=rng) * 2 - 1, known)
    answer = complete(replace(gan, completer=completer), one, replace(COMPLETE_PRESETS["fast"], precision="fp32"))
    assert answer.conditional
    with_it, without = (edit_images(g, one, answer, 1)[0] for g in (replace(gan, completer=completer), gan))
    torch.testing.assert_close(with_it[EDIT_STEPS], answer.images[0], atol=1e-5, rtol=0)
    assert not torch.allclose(with_it, without)
    condition = completer.encode(one.images, one.known)
    drawn = completer.draw(find_edits(ConditionalGenerator(completer, condition), answer.z, known, 1)
                           .paths(ConditionalGenerator(completer, condition))[0], condition)  # fmt: skip
    torch.testing.assert_close(with_it, drawn, atol=1e-4, rtol=0)
