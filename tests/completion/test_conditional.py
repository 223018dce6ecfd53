"""Completions by a completer: known pixels, candidates, and the search from there."""

from dataclasses import replace

import pytest
import torch

from latentfill.completion.complete import complete, watch
from latentfill.gan.completer import build_completer
from latentfill.gan.gan import Gan
from latentfill.gan.model_file import build, build_residual_encoder
from latentfill.images.blending import overlay
from latentfill.images.incomplete import Incomplete
from latentfill.options import COMPLETE_PRESETS, CompleteOptions, NetworkOptions
from latentfill.uncertainty.features import extract_features

OPTIONS = NetworkOptions(size=16, latent=6, prior="normal", networks="residual")
FAST = replace(COMPLETE_PRESETS["fast"], precision="fp32")
BEST = replace(COMPLETE_PRESETS["best"], precision="fp32", tune_steps=6)


@pytest.fixture(scope="module")
def gan() -> Gan:
    made = replace(build(OPTIONS, 1), encoder=build_residual_encoder(OPTIONS, hidden=7, seed=2).eval())
    completer = build_completer(made).eval().requires_grad_(False)
    rng = torch.Generator().manual_seed(3)
    for parameter in completer.parameters():
        parameter += 0.03 * torch.randn(parameter.shape, generator=rng)
    return replace(made, completer=completer)


def question(count: int = 3) -> Incomplete:
    rng = torch.Generator().manual_seed(5)
    known = torch.ones(count, 1, 16, 16)
    known[:, :, 4:12:2, 3:9] = 0
    return Incomplete(torch.rand(count, 3, 16, 16, generator=rng) * 2 - 1, known)


def test_the_first_pass_is_the_completers(gan: Gan) -> None:
    asked = question()
    assert gan.completer is not None
    found = list(watch(gan, asked, FAST))
    assert [one.number for one in found] == [0]
    with torch.no_grad():
        drawn = gan.completer.draw(found[0].z, gan.completer.encode(asked.images, asked.known))
    assert torch.equal(found[0].images, drawn)


@pytest.mark.parametrize("options", [FAST, BEST, replace(BEST, steps=3, candidates=2)])
def test_an_image_is_completed_as_if_it_were_the_only_one(gan: Gan, options: CompleteOptions) -> None:
    asked = question()
    together = complete(gan, asked, options)
    alone = complete(gan, asked.select([1]), options)
    assert torch.allclose(together.images[1:2], alone.images, atol=1e-5)


def test_candidates_differ_in_what_is_drawn_and_come_in_the_order_the_critic_prefers(gan: Gan) -> None:
    asked = question()
    assert gan.completer is not None
    found = complete(gan, asked, replace(FAST, candidates=4))
    made = [overlay(asked, one.images) for one in found.candidates]
    assert len(made) == 4 and found.spread is not None and (found.spread > 0).any()
    for other in made[1:]:
        changed = (other != made[0]).any(1, keepdim=True)
        assert changed.any() and not (changed & (asked.known == 1)).any()
    with torch.no_grad():
        condition = gan.completer.encode(asked.images, asked.known)
        assert torch.equal(condition.mean, gan.completer.encode(asked.images, asked.known).mean)
    assert {one.attempt[0].item() for one in found.candidates} == {0, 1, 2, 3}


def test_more_candidates_leave_the_noise_of_the_others(gan: Gan) -> None:
    asked = question(1)
    few = complete(gan, asked, replace(FAST, candidates=2))
    many = complete(gan, asked, replace(FAST, candidates=3))
    drawn = {one.attempt.item(): one.images for one in many.candidates}
    for one in few.candidates:
        assert torch.allclose(drawn[one.attempt.item()], one.images, atol=1e-6)


def test_the_search_meets_the_known_pixels_better(gan: Gan) -> None:
    asked = question()
    steps = list(watch(gan, asked, replace(BEST, tune_steps=59)))  # it makes half as many
    assert [one.number for one in steps] == list(range(31)) and steps[0].total == 30
    assert (steps[-1].terms["contextual"] < steps[0].terms["contextual"]).all()


def test_a_deep_hole_stays_as_one_pass_fills_it(gan: Gan) -> None:
    asked = question(2)
    asked.known[1, :, 2:14, 2:14] = 0
    once, best, alone = (complete(gan, one, o) for one, o in ((asked, FAST), (asked, BEST), (asked.select([1]), BEST)))
    assert torch.equal(best.images[1], once.images[1]) and not torch.equal(best.images[0], once.images[0])
    assert alone.total == 0 and torch.allclose(alone.images[0], once.images[1], atol=1e-6)


def test_hidden_pixels_choose_among_candidates(gan: Gan) -> None:
    found = complete(gan, question(), replace(FAST, candidates=3, held_out=0.3))
    errors = torch.stack([one.held_out for one in found.candidates])
    assert (errors.diff(dim=0) >= 0).all() and (errors > 0).all()


@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_a_hole_of_everything_or_of_nothing(gan: Gan, fill: float) -> None:
    asked = question()
    asked = Incomplete(asked.images, torch.full_like(asked.known, fill))
    for options in (FAST, BEST):
        made = complete(gan, asked, options)
        assert made.images.isfinite().all()
        assert torch.equal(overlay(asked, made.images), asked.images) == bool(fill)


def test_random_starts_and_the_posts_presets_leave_the_completer_alone(gan: Gan) -> None:
    asked, without = question(1), replace(gan, completer=None)
    for preset in ("seed", "paper"):
        options = replace(COMPLETE_PRESETS[preset], steps=2, precision="fp32")
        assert torch.equal(complete(gan, asked, options).images, complete(without, asked, options).images)


def test_clues_of_a_completer_look_at_what_the_model_itself_draws(gan: Gan) -> None:
    asked = question()
    for options in (FAST, BEST):
        found = extract_features(gan, asked, complete(gan, asked, options), options)
        assert all(values.isfinite().all() for values in found.numbers.values())
        assert gan.encoder is not None
        assert (found.spread is None) == (options is FAST)
