from dataclasses import replace

import numpy as np
import pytest
import torch

from latentfill.evaluation.training_scores import CompleterScorer, CompletionScorer
from latentfill.gan.completer import build_completer
from latentfill.gan.gan import Gan
from latentfill.gan.model_file import build, build_networks
from latentfill.options import NetworkOptions

NETWORK = NetworkOptions(size=16, base=2, latent=4)


def gan() -> Gan:
    generator, discriminator = (part.eval().requires_grad_(False) for part in build_networks(NETWORK, 0))
    return Gan(generator, discriminator, NETWORK)


def images(count: int, key: int) -> torch.Tensor:
    drawn = np.random.Generator(np.random.Philox(key=key)).random((count, 3, 16, 16), np.float32)
    return torch.from_numpy(drawn * 2 - 1)


def test_pictures_that_the_model_can_draw_score_higher_and_the_same_each_time() -> None:
    model, scorer = gan(), CompletionScorer()
    own = model.generator(model.generator.prior.sample(range(4))).detach()
    known, other = (scorer(model, images(8, 1), held_out, images(8, 2)) for held_out in (own, images(4, 3)))
    assert set(known.scores) == set(scorer.curves)
    assert known.scores["psnr_center"] > other.scores["psnr_center"] + 5
    assert known.scores == scorer(model, images(8, 1), own, images(8, 2)).scores
    assert known.sheets[""].shape == (5 * 8, 3, 16, 16)


def test_distances_are_small_to_the_like_and_of_a_space_by_name() -> None:
    scorer = CompletionScorer(["pixels"])
    assert list(scorer.curves) == ["psnr_center", "psnr_random", "frechet_pixels", "kernel_pixels"]
    like = scorer(gan(), images(64, 1), images(2, 3), images(64, 1)).scores
    unlike = scorer(gan(), images(64, 1) * 0.1, images(2, 3), images(64, 1)).scores
    assert like["frechet_pixels"] == pytest.approx(0, abs=1e-6) and unlike["frechet_pixels"] > 0.1


def test_of_completers_the_one_whose_completions_are_like_the_pictures_is_the_best(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = NetworkOptions(size=16, networks="residual", latent=4, prior="normal")
    gan, held_out, scorer = build(network, 1), images(8, 3), CompleterScorer("dlib-face")  # of no aligned faces
    completer = build_completer(gan)
    told = []
    for share in (1.0, 0.5, 0.0):
        monkeypatch.setattr(completer, "draw", lambda z, condition, share=share: share * held_out)
        told.append(scorer(replace(gan, completer=completer), images(0, 1), held_out, images(8, 2)))
    scores = [one.scores["score"] for one in told]
    assert scores[0] == pytest.approx(0, abs=1e-6) and scores[0] > scores[1] > scores[2]
    assert set(told[0].scores) == {*scorer.curves, "score"} and told[0].sheets[""].shape == (5 * 8, 3, 16, 16)
    with pytest.raises(ValueError, match="a model with a completer"):
        scorer(gan, images(0, 1), held_out, images(8, 2))
