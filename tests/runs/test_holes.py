"""The holes that completers learn from, how a network learns alone, and how completions are scored."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio
from torch import nn

from latentfill.errors import HoleError
from latentfill.options import REGRESSION
from latentfill.runs.holes import DETAILS, SCORED_HOLES, SHARES, check_hole, draw_known, psnr, score_completions
from latentfill.seeds import Stream
from latentfill.training.optimiser import WARM_UP, descend_alone, frozen_average, regression_network, regression_rate


def test_a_hole_belongs_to_the_number_of_its_image_and_to_the_seed() -> None:
    known = draw_known(16, range(40), 3)
    assert torch.equal(draw_known(16, range(7, 12), 3), known[7:12])
    assert not torch.equal(draw_known(16, range(40), 4), known)
    assert not torch.equal(draw_known(16, range(40), 3, stream=Stream.COMPLETER_HOLES), known)
    assert draw_known(16, [], 3).shape == (0, 1, 16, 16)


def test_holes_are_of_all_kinds_and_leave_something_known() -> None:
    known = draw_known(32, range(400), 0)
    assert set(known.unique().tolist()) == {0.0, 1.0} and known.shape == (400, 1, 32, 32)
    missing = 1 - known.mean((1, 2, 3))
    assert missing.min() < 0.1 and 0.8 < missing.max() < 0.99 and missing.min() > 0
    usual = draw_known(32, [0], 0, "center")[0]
    assert 0.07 < np.mean([torch.equal(k, usual) for k in known]) < 0.17  # 0.6 of a fifth
    assert sum(SHARES.values()) == pytest.approx(1)


@pytest.mark.parametrize("size", [8, 16, 128])
def test_holes_can_be_drawn_at_every_size(size: int) -> None:
    assert draw_known(size, range(30), 1).shape == (30, 1, size, size)


def test_one_kind_of_hole_may_be_asked_for() -> None:
    known = draw_known(16, range(5), 0, "center")
    assert (known[:, :, 4:12, 4:12] == 0).all() and known.sum() == 5 * (256 - 64)
    halves = draw_known(16, range(20), 0, "half")
    assert len({tuple(h.flatten().tolist()) for h in halves}) == 4
    assert 0.75 < 1 - draw_known(64, range(4), 0, "random:0.8").mean() < 0.85


@pytest.mark.parametrize("hole, said", [
    ("full", "nothing can be learnt from holes such as 'full'"),
    ("lowres", "nothing can be learnt"),
    ("alpha", "nothing can be learnt"),
    ("nonsense", "'nonsense' is neither a kind of hole nor a file"),
])  # fmt: skip
def test_holes_that_teach_nothing_are_refused(hole: str, said: str) -> None:
    with pytest.raises(HoleError, match=said):
        check_hole(hole, 16)
    check_hole("all", 16)
    check_hole("thick", 16)


def test_psnr_is_that_of_others_in_grey_levels() -> None:
    rng = np.random.Generator(np.random.Philox(key=1))
    a, b = rng.integers(0, 256, (2, 3, 8, 8, 3), dtype=np.uint8)
    images = [torch.from_numpy(x / 127.5 - 1).float().permute(0, 3, 1, 2) for x in (a, b)]
    where = torch.zeros(3, 1, 8, 8)
    where[..., 2:5, 1:7] = 1
    expected = [peak_signal_noise_ratio(x[2:5, 1:7], y[2:5, 1:7]) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(psnr(*images, where), expected, rtol=1e-4)


@pytest.mark.parametrize("n", [3, 70])
def test_a_judge_shows_what_was_known_and_what_was_made_of_it(n: int) -> None:
    images = torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8
    groups: list[int] = []

    def completed(some: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        groups.append(len(some))
        return some + 0.2

    exhibit = score_completions(completed, images)
    assert set(exhibit.scores) == {*SCORED_HOLES, *DETAILS} and max(groups) <= 64
    assert all(exhibit.scores[name] == pytest.approx(20, abs=1e-3) for name in SCORED_HOLES)  # 10 log10(4 / 0.04)
    assert all(exhibit.scores[name] == pytest.approx(1, abs=1e-4) for name in DETAILS)  # brighter, as fine
    blurred = score_completions(lambda some, known: 0.5 * some, images, lambda some, known: 0.0 * some)
    assert all(blurred.scores[name] == pytest.approx(0.25, abs=1e-4) for name in DETAILS)
    again = blurred.sheets[""].view(13, 8, 3, 16, 16)[3, : min(n, 8), :, 4:12, 4:12]
    assert (again == 0).all()  # the other way to complete
    sheet = exhibit.sheets[""].view(9, 8, 3, 16, 16)
    shown = min(n, 8)
    assert torch.equal(sheet[0, :shown], images[:shown]) and (sheet[:, shown:] == -1).all()
    middle = (slice(0, shown), slice(None), slice(4, 12), slice(4, 12))
    assert (sheet[1][middle] == 0).all() and torch.equal(sheet[2][middle], (images[:shown] + 0.2)[..., 4:12, 4:12])
    assert torch.equal(sheet[2][:shown, :, :4], images[:shown, :, :4])


def test_the_rate_rises_then_falls() -> None:
    options = replace(REGRESSION, images_seen=100_000, learning_rate=1.0, decay=0.4, batch_size=50)
    assert regression_rate(options, 0) == pytest.approx(50 / WARM_UP)
    assert regression_rate(options, WARM_UP) == regression_rate(options, 60_000) == 1.0
    assert regression_rate(options, 80_000) == pytest.approx(0.5) and regression_rate(options, 100_000) == 0.0
    assert regression_rate(replace(options, decay=0.0), 99_999) == 1.0


def toy() -> Any:
    return nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)).eval()


def test_a_network_alone_learns_by_adamw_with_clipped_gradients_and_an_average() -> None:
    options = replace(REGRESSION, images_seen=10**9, batch_size=WARM_UP, decay=0.0, average_half_life=WARM_UP)
    network, plain = toy(), toy()
    plain.load_state_dict(network.state_dict())
    before = network[0].weight.detach().clone()
    trained = regression_network(network, options)
    plain.train()
    optimizer = torch.optim.AdamW(plain.parameters(), options.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4)
    x = torch.randn(4, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    for step in range(3):
        descend_alone(trained, options, 100 * network(x).abs().sum(), step * WARM_UP)
        loss = 100 * plain(x).abs().sum()
        loss.backward()
        assert nn.utils.clip_grad_norm_(plain.parameters(), 1.0) > 1
        optimizer.step()
        optimizer.zero_grad()
    for ours, theirs in zip(network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert not torch.equal(before, network[0].weight)
    kept = trained.averaged[0].weight  # young: a twentieth of the past, far less than one batch
    torch.testing.assert_close(kept, network[0].weight, atol=1e-4, rtol=0)


def test_a_frozen_average_has_the_statistics_of_what_it_is_shown() -> None:
    trained = regression_network(toy(), REGRESSION)
    frozen = frozen_average(trained, lambda numbers: (torch.full((2, 1, 2, 2), numbers.start / 64),), 192)
    weight, bias = frozen[0].weight.flatten(), frozen[0].bias
    torch.testing.assert_close(frozen[1].running_mean, weight + bias)  # the mean of 0, 1 and 2 is 1
    assert not frozen.training and not any(p.requires_grad for p in frozen.parameters())
    assert frozen[0].weight is not trained.averaged[0].weight
