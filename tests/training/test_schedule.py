"""What is in force when."""

from dataclasses import replace

import pytest

from latentfill.options import GAN_PRESETS, TrainOptions
from latentfill.training.optimiser import schedule

ANNEALED = TrainOptions(
    1000,
    learning_rate=4e-4,
    beta2=0.99,
    average_half_life=20,
    annealed=True,
)


def test_nothing_changes_unless_asked() -> None:
    options = TrainOptions(1000, average_half_life=10)
    for seen in (300, 900, 1000, 5000):
        assert schedule(options, seen) == (2e-4, 0.999, 1.0, 10, "game")


def test_annealed_goes_along_half_a_cosine() -> None:
    assert schedule(ANNEALED, 0)[:3] == pytest.approx((4e-4, 0.9, 1.0))
    middle = schedule(ANNEALED, 500)
    assert middle[:4] == pytest.approx((4e-4 * 0.625, 0.945, 0.55, 10)) and middle.phase == "game"
    for seen in (1000, 2000):
        assert schedule(ANNEALED, seen)[:4] == pytest.approx((1e-4, 0.99, 0.1, 20))


def test_the_half_life_is_at_most_a_twentieth_of_the_past() -> None:
    assert schedule(replace(ANNEALED, average_half_life=1000), 1000).half_life == 50
    assert schedule(replace(ANNEALED, average_half_life=0), 1000).half_life == 0


def test_the_anneal_begins_with_the_game() -> None:
    options = replace(ANNEALED, reconstruct=1.0, redraw_first=200, reconstruct_last=100)
    seen = {"redraw": (0, 199), "game": (200, 899), "both": (900, 1000)}
    for phase, moments in seen.items():
        assert [schedule(options, moment).phase for moment in moments] == [phase, phase]
    assert schedule(options, 200)[:3] == pytest.approx((4e-4, 0.9, 1.0))
    assert schedule(options, 600).learning_rate == pytest.approx(4e-4 * 0.625)


def test_before_a_completer_learns_nothing_is_redrawn_in_the_game() -> None:
    options = TrainOptions(
        48_000, batch_size=32, learning_rate=1e-4, beta2=0.99, average_half_life=2000, annealed=True, reconstruct=1.0,
        redraw_first=8_000, reconstruct_last=16_000, completer=True
    )  # fmt: skip
    assert [schedule(options, seen).phase for seen in (7_999, 8_000, 47_999)] == ["redraw", "game", "game"]
    assert schedule(options, 48_000 - 1)[:3] == pytest.approx((1e-4 / 4, 0.99, 0.1), rel=1e-3)
    played = replace(options, completer=False)
    assert schedule(played, 36_000).phase == "both" and schedule(options, 36_000).phase == "game"
    assert schedule(replace(options, reconstruct_last=0), 36_000).phase == "both"
    assert schedule(replace(options, reconstruct=0.0), 36_000).phase == "game"


def test_the_rate_of_an_annealed_training_rises_first_and_again_when_the_game_begins() -> None:
    options = replace(ANNEALED, images_seen=64_000, batch_size=32, reconstruct=1.0, redraw_first=16_000)
    rates = [schedule(options, seen).learning_rate / 4e-4 for seen in (0, 1568, 3168, 15_968)]
    assert rates == pytest.approx([0.01, 0.5, 1.0, 1.0])
    again = [schedule(options, seen).learning_rate / 4e-4 for seen in (16_000, 17_568, 19_168)]
    assert again == pytest.approx([0.01, 0.5, 1.0], rel=0.03) and again[2] < 1
    long = replace(options, images_seen=2_000_000)
    assert schedule(long, 2468).learning_rate == pytest.approx(4e-4 / 2)  # of 5,000 images


def test_a_rate_of_0_is_the_larger_the_shorter_the_training() -> None:
    for images, times in ((1000, 3), (200_000, 3), (300_000, 2), (600_000, 1), (2_000_000, 1)):
        options = TrainOptions(images, learning_rate=0.0, annealed=True, batch_size=5_000)
        assert options.rate == pytest.approx(times * 4e-4)
        assert schedule(options, 0).learning_rate == pytest.approx(times * 4e-4)
        assert schedule(options, images).learning_rate == pytest.approx(times * 1e-4)
        given = replace(options, learning_rate=1e-4)  # one that is given is what it says
        assert schedule(given, 0).learning_rate == pytest.approx(1e-4)


def test_the_encoders_parts_are_a_quarter_at_most_and_none_without_one() -> None:
    options = replace(ANNEALED, reconstruct=1.0, redraw_first=900, reconstruct_last=900)
    assert [schedule(options, seen).phase for seen in (249, 250, 749, 750)] == ["redraw", "game", "game", "both"]
    assert schedule(replace(options, reconstruct_last=0), 250).phase == "both"
    alone = replace(options, reconstruct=0.0)
    assert not alone.trains_encoder and {schedule(alone, seen).phase for seen in (0, 500, 999, 1000)} == {"game"}


def test_modern_is_annealed_and_penalised() -> None:
    network, train = GAN_PRESETS["modern"]
    assert network.networks == "residual" and train.annealed and train.r1 and train.r2 and train.beta1 == 0
