import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from latentfill.batch.calibrate import draw_tasks, draw_test_hole, gather_evidence
from latentfill.completion.complete import complete
from latentfill.completion.operators import parse_operator
from latentfill.gan import model_file
from latentfill.images.incomplete import Incomplete
from latentfill.options import COMPLETE_PRESETS, NetworkOptions
from latentfill.photo.model_sized import pose
from latentfill.pipeline import fill
from latentfill.uncertainty.calibration import write_calibrations
from latentfill.uncertainty.fitting import calibrate, join_evidence
from latentfill.uncertainty.predict import ANOTHER, NOTHING, OBSERVED, UNLIKE, Uncertainty, _describe, predict_error

SIZE = 16
OPTIONS = replace(COMPLETE_PRESETS["fast"], precision="fp32")


@pytest.fixture(scope="module")
def gan():
    """A model that is asked about pictures of its own, slightly changed, and its calibration by them."""
    network = NetworkOptions(size=SIZE, base=4, latent=6)
    encoder = model_file.build_encoder(network, 4, 8).requires_grad_(False).eval()
    gan = replace(model_file.build(network), encoder=encoder)
    pictures = draw(80)
    found = [evidence for _, evidence in gather_evidence(gan, pictures, draw_tasks(80, 5, SIZE), OPTIONS)]
    return replace(gan, about=write_calibrations(gan, {"fast": calibrate(join_evidence(found), OPTIONS)}))


def draw(count, first=0):
    rng = np.random.Generator(np.random.Philox(key=first))
    coarse = rng.integers(60, 200, (count, 4, 4, 3))
    return np.clip(coarse.repeat(4, 1).repeat(4, 2) + rng.integers(-9, 9, (count, SIZE, SIZE, 3)), 0, 255).astype(
        np.uint8
    )


def ask(gan, count=6, first=1):
    return pose(gan, list(draw(count, first)), [draw_test_hole(1000 + i, SIZE) for i in range(count)])


def test_every_image_is_told_what_to_expect(gan):
    incomplete = ask(gan)
    trust = predict_error(gan, incomplete, complete(gan, incomplete, OPTIONS), OPTIONS)
    assert (trust.low < trust.predicted).all() and (trust.predicted < trust.high).all()
    assert ((trust.band > 0) == (incomplete.known == 0)).all()
    for row, words in enumerate(trust.words):
        told = (trust.predicted[row], trust.low[row], trust.high[row])
        expected = "expect the hole to be off by about {:.0f} grey levels ({:.0f} to {:.0f} in 8 of 10 cases)"
        assert min(told) > 10
        assert expected.format(*(value.item() for value in told)) in words
        story = trust.to_json(row)
        assert json.loads(json.dumps(story)) == story
        assert story["predicted"] == pytest.approx(trust.predicted[row].item(), abs=1e-4)
        assert story["held_out"] is None and story["words"] == list(words)


def test_each_is_judged_as_if_it_were_alone(gan):
    incomplete = ask(gan)
    together = predict_error(gan, incomplete, complete(gan, incomplete, OPTIONS), OPTIONS)
    for row in range(6):
        one = incomplete.select(slice(row, row + 1))
        alone = predict_error(gan, one, complete(gan, one, OPTIONS), OPTIONS)
        chosen = together.select(slice(row, row + 1))
        assert alone.predicted == pytest.approx(chosen.predicted, rel=1e-3) and alone.words == chosen.words
        assert torch.allclose(alone.band, chosen.band, rtol=1e-2)


def test_a_picture_that_agrees_less_than_any_is_called_unlike(gan):
    incomplete = ask(gan, 3)
    completion = complete(gan, incomplete, OPTIONS)
    negative = replace(completion, images=-incomplete.images)
    trust = predict_error(gan, incomplete, negative, OPTIONS)
    assert trust.unlike == (True, True, True)
    assert all(words[0].startswith("unlike what the model has learnt") for words in trust.words)
    assert [warning[:11] for warning in trust.warnings] == [f"square {k} of" for k in "123"]
    assert trust.select(slice(1, 2)).warnings == (trust.words[1][0],)


def test_other_options_and_other_observations_are_owned_up_to(gan):
    incomplete = ask(gan, 2)
    options = replace(OPTIONS, steps=3)
    trust = predict_error(gan, incomplete, complete(gan, incomplete, options), options)
    assert all("calibrated for the preset fast, not for these options" in words[-1] for words in trust.words)
    besides = replace(incomplete, lowres=torch.ones(2, 1, 2, 2))
    trust = predict_error(gan, besides, complete(gan, besides, OPTIONS), OPTIONS)
    assert all("calibrated for holes" in words[-1] for words in trust.words)


def test_a_model_without_calibration_says_so_and_tells_what_it_can(gan):
    incomplete, bare = ask(gan, 2), replace(gan, about={})
    options = replace(OPTIONS, tune_steps=1)
    trust = predict_error(bare, incomplete, complete(bare, incomplete, options), options)
    assert trust.predicted is None and trust.band is None and trust.unlike == (None, None)
    assert trust.held_out is not None and trust.spread is not None
    assert all(words == (trust.words[0][0],) and "latentfill calibrate" in words[0] for words in trust.words)
    assert trust.to_json(0)["predicted"] is None and trust.to_json(0)["held_out"] > 0


def test_with_nothing_known_or_nothing_missing_the_words_say_so(gan):
    known = torch.stack([torch.zeros(1, SIZE, SIZE), torch.ones(1, SIZE, SIZE)])
    incomplete = Incomplete(torch.zeros(2, 3, SIZE, SIZE), known)
    trust = predict_error(gan, incomplete, complete(gan, incomplete, OPTIONS), OPTIONS)
    assert trust.words == ((NOTHING,), ("nothing is missing",))
    assert trust.to_json(0)["predicted"] is None and trust.to_json(1)["predicted"] == 0
    assert trust.unlike == (None, None)
    assert trust.band is not None and trust.band[1].eq(0).all()
    assert (
        predict_error(gan, incomplete.select([0]), complete(gan, incomplete.select([0]), OPTIONS), OPTIONS).band is None
    )


def observed(gan, sight):
    whole = [np.zeros((SIZE, SIZE), np.uint8)] * 3
    incomplete = pose(gan, list(draw(3)), whole, sights=[parse_operator(sight)] * 3)
    completion = complete(gan, incomplete, OPTIONS)
    return incomplete, replace(completion, images=to_rgb(incomplete.shown[0]))


def to_rgb(images):
    """As if the model had drawn what was seen."""
    return images + 0.1 * torch.tensor([1.0, -0.5, 0.0]).view(1, 3, 1, 1)


@pytest.mark.parametrize("sight", ["grey", "grey+lowres:4"])
def test_of_an_observed_picture_it_is_told_whether_it_is_unlike_and_no_error(gan, sight):
    incomplete, completion = observed(gan, sight)
    if sight != "grey":  # of which blocks of a sixteenth would be the largest
        trust = predict_error(gan, incomplete, completion, OPTIONS)
        assert trust.unlike == (None,) * 3 and all("nor whether it is unlike" in words[0] for words in trust.words)
        return
    for sign, unlike in ((1, False), (-1, True)):
        trust = predict_error(gan, incomplete, replace(completion, images=sign * completion.images), OPTIONS)
        assert trust.unlike == (unlike,) * 3 and trust.band is None and trust.to_json(0)["predicted"] is None
        assert all(words == ((UNLIKE, OBSERVED) if unlike else (OBSERVED,)) for words in trust.words)
        assert trust.agreement.sign().tolist() == [sign] * 3


@pytest.mark.parametrize("sight", ["noise:20", "levels:3", "jpeg:5"])
def test_of_noise_and_the_like_it_is_not_told_and_that_is_describe(gan, sight):
    incomplete, completion = observed(gan, sight)
    trust = predict_error(gan, incomplete, completion, OPTIONS)
    assert trust.unlike == (None,) * 3 and "nor whether it is unlike" in trust.words[0][0]
    lowres = Incomplete(torch.zeros(1, 3, SIZE, SIZE), torch.zeros(1, 1, SIZE, SIZE), torch.ones(1, 1, 2, 2))
    trust = predict_error(gan, lowres, complete(gan, lowres, OPTIONS), OPTIONS)
    assert trust.words[0][0].startswith(OBSERVED) and trust.unlike == (None,)


def test_samples_are_promised_no_error(gan):
    incomplete = ask(gan, 1)
    trust = predict_error(gan, incomplete, complete(gan, incomplete, OPTIONS), replace(OPTIONS, method="hmc"))
    assert trust.predicted is None and trust.words[0] == (ANOTHER,) and trust.unlike == (None,)


def test_small_errors_have_a_decimal(gan):
    trust = Uncertainty(((),), *(torch.tensor([x]) for x in (0.9, 1.04, 0.96, 9.97)), None, torch.ones(1))
    assert _describe(trust, 0, observed=False) == (
        "expect the hole to be off by about 1.0 grey levels (1.0 to 10 in 8 of 10 cases)",
    )


def test_a_filled_photo_carries_it(gan):
    filled = fill(draw(1, 5)[0], "center", gan, OPTIONS)
    assert filled.trust.words[0][0].startswith("expect the hole to be off") and filled.notes == ()
    never = replace(gan, about={"trust": json.loads(json.dumps(gan.about["trust"]))})
    never.about["trust"]["fast"]["ladder"] = [[0.0, 99.0], [1.0, 100.0]]  # nothing would agree enough
    assert fill(draw(1, 5)[0], "center", never, OPTIONS).notes == (UNLIKE,)


def test_what_the_search_says_itself_comes_first(gan):
    incomplete = ask(gan, 2)
    completion = complete(gan, incomplete, OPTIONS)
    own = replace(completion, held_out=torch.tensor([3.0, 4.0]), spread=torch.ones(2, 1, SIZE, SIZE))
    trust = predict_error(gan, incomplete, own, OPTIONS)
    assert trust.held_out is own.held_out and trust.spread is own.spread
