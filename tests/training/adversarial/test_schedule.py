"""What is in force when."""

from dataclasses import replace

import pytest

from latentfill.options import GAN_PRESETS, TrainOptions
from latentfill.training.adversarial.schedule import settings

ANNEALED = TrainOptions(1000, learning_rate=4e-4, beta2=0.99, average_half_life=20, annealed=True)


def test_nothing_changes_unless_asked() -> None:
    options = TrainOptions(1000, average_half_life=10)
    for seen in (300, 900, 1000, 5000):
        assert settings(options, seen) == (2e-4, 0.999, 1.0, 10, False)


def test_annealed_goes_along_half_a_cosine() -> None:
    assert settings(ANNEALED, 0)[:3] == pytest.approx((4e-4, 0.9, 1.0))
    middle = settings(ANNEALED, 500)
    assert middle == pytest.approx((4e-4 * 0.625, 0.945, 0.55, 10, False))
    for seen in (1000, 2000):
        assert settings(ANNEALED, seen) == pytest.approx((1e-4, 0.99, 0.1, 20, False))


def test_the_half_life_is_at_most_a_twentieth_of_the_past() -> None:
    assert settings(replace(ANNEALED, average_half_life=1000), 1000).half_life == 50
    assert settings(replace(ANNEALED, average_half_life=0), 1000).half_life == 0


def test_the_anneal_begins_with_the_game() -> None:
    options = replace(ANNEALED, reconstruct=1.0, redraw_first=200)
    assert [settings(options, seen).alone for seen in (0, 199, 200, 900)] == [True, True, False, False]
    assert settings(options, 200)[:3] == pytest.approx((4e-4, 0.9, 1.0))
    assert settings(options, 600).learning_rate == pytest.approx(4e-4 * 0.625)
    assert not settings(replace(options, reconstruct=0.0), 0).alone
    assert settings(replace(options, redraw_first=900), 249).alone
    assert not settings(replace(options, redraw_first=900), 250).alone


def test_modern_is_annealed_and_penalised() -> None:
    network, train = GAN_PRESETS["modern"]
    assert network.networks == "residual" and train.annealed and train.r1 and train.r2 and train.beta1 == 0
