"""A toy whose errors are known: e = exp(what the features say + noise), pixel errors normal of a known deviation."""

import json
from dataclasses import replace

import pytest
import torch

from latentfill.errors import DataError, ModelError
from latentfill.gan import model_file
from latentfill.options import COMPLETE_PRESETS, NetworkOptions
from latentfill.uncertainty.calibration import choose_calibration, read_calibrations, write_calibrations
from latentfill.uncertainty.features import Features
from latentfill.uncertainty.fitting import Evidence, calibrate, join_evidence, rank_correlation

NOISE = 0.2
SEED, BEST = COMPLETE_PRESETS["seed"], COMPLETE_PRESETS["best"]


def evidence(rows=1500, seed=0, pixels=60):
    rng = torch.Generator().manual_seed(seed)
    x = {name: torch.randn(rows, generator=rng) for name in ("depth", "share", "misfit")}
    x["share"] = x["share"].abs() + 0.1
    x["agreement"] = 0.7 + 0.1 * x["depth"] + (0.02 + 0.02 * x["share"]) * torch.randn(rows, generator=rng)
    expected = 2.5 + 0.4 * x["depth"] + 0.3 * x["misfit"] + 0.1 * x["depth"] * x["misfit"]
    error = (expected + NOISE * torch.randn(rows, generator=rng)).exp()
    row = torch.arange(rows).repeat_interleave(pixels)
    depth = torch.rand(rows * pixels, generator=rng)
    size = (expected[row] + depth).exp()
    missed = (size[:, None] * torch.randn(rows * pixels, 3, generator=rng)).abs()
    return Evidence(x, error, torch.arange(rows) // 4, {"depth": depth}, row, missed)


@pytest.fixture(scope="module")
def calibration():
    return calibrate(evidence(), SEED)


def features(e, side=8):
    """Each with a map of one depth."""
    depth = torch.linspace(0, 1, side**2).view(1, 1, side, side).expand(len(e.error), 1, side, side)
    return Features(e.numbers, {"depth": depth}, torch.ones_like(depth))


def test_intervals_hold_as_much_as_they_say_of_what_was_never_seen(calibration):
    fresh = evidence(seed=1)
    predicted, low, high = calibration.predict(features(fresh))
    inside = ((low <= fresh.error) & (fresh.error <= high)).float().mean()
    assert 0.77 < inside < 0.83
    assert (high / low).log().mean() == pytest.approx(2 * 1.28 * NOISE, rel=0.1)
    assert rank_correlation(predicted, fresh.error) > 0.9
    assert calibration.measured.rank_correlation == pytest.approx(rank_correlation(predicted, fresh.error), abs=0.02)
    assert calibration.measured.off_by == pytest.approx(1 + 0.674 * NOISE, abs=0.03)
    assert calibration.measured.pictures == 375 and calibration.measured.completions == 1500


def test_it_does_not_flatter_itself():
    """Forty weights can be fitted to any 400 errors; none of that holds for pictures that were not fitted."""
    rng = torch.Generator().manual_seed(3)
    e = evidence(rows=400)
    noise = {f"noise{i}": torch.randn(400, generator=rng) for i in range(16)} | {"agreement": e.numbers["agreement"]}
    nothing = replace(e, numbers={"depth": e.numbers["share"], "share": e.numbers["share"], **noise})
    nothing = replace(nothing, error=torch.randn(400, generator=rng).exp())
    assert abs(calibrate(nothing, SEED).measured.rank_correlation) < 0.2


def test_the_band_holds_nine_tenths_where_errors_are_small_and_where_they_are_large(calibration):
    fresh = evidence(seed=2)
    c = features(fresh)
    band = calibration.band(c)
    rng = torch.Generator().manual_seed(9)
    expected = 2.5 + 0.4 * c.numbers["depth"] + 0.3 * c.numbers["misfit"]
    expected = expected + 0.1 * c.numbers["depth"] * c.numbers["misfit"]
    wrong = (expected.view(-1, 1, 1, 1) + c.maps["depth"]).exp() * torch.randn(band.shape, generator=rng).abs()
    held = (wrong <= band).float()
    assert 0.88 < held.mean() < 0.92
    order = band.mean((1, 2, 3)).argsort()
    for part in order.chunk(4):
        assert 0.85 < held[part].mean() < 0.95
    assert 0.85 < held[..., :2, :].mean() < 0.95 and 0.85 < held[..., -2:, :].mean() < 0.95


def test_rarity_is_the_share_of_pictures_that_agree_less(calibration):
    fresh = evidence(rows=4000, seed=3)
    share = calibration.rarity(features(fresh))
    for level in (0.01, 0.05, 0.2, 0.5):
        assert (share < level).float().mean() == pytest.approx(level, abs=0.3 * level + 0.004)
    odd = Features({**fresh.numbers, "agreement": fresh.numbers["agreement"] - 1}, {}, torch.ones(4000, 1, 1, 1))
    assert (calibration.rarity(odd) < 0.001).all()
    unknown = Features(
        {**fresh.numbers, "agreement": fresh.numbers["agreement"] * torch.nan}, {}, torch.ones(4000, 1, 1, 1)
    )
    assert calibration.rarity(unknown).isnan().all()


def test_where_nothing_is_missing_nothing_is_wrong(calibration):
    numbers = {"depth": torch.tensor([torch.nan, 0.0]), "share": torch.tensor([0.0, 0.2])}
    numbers |= {"misfit": torch.zeros(2), "agreement": torch.ones(2)}
    hole = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1)
    found = Features(numbers, {"depth": torch.zeros(2, 1, 1, 1)}, hole)
    assert [values[0].item() for values in calibration.predict(found)] == [0, 0, 0]
    assert calibration.band(found)[0] == 0 and calibration.band(found)[1] > 0


def test_a_model_file_carries_its_calibrations(tmp_path, calibration):
    gan = model_file.build(NetworkOptions(size=8, base=2, latent=3))
    assert read_calibrations(gan) == {}
    model_file.save(replace(gan, about={"seen": 7}), tmp_path / "a.safetensors", torch.float16)
    about = write_calibrations(model_file.load(tmp_path / "a.safetensors"), {"seed": calibration})
    model_file.rewrite_about(tmp_path / "a.safetensors", about, tmp_path / "b.safetensors")
    again = model_file.load(tmp_path / "b.safetensors")
    assert read_calibrations(again) == {"seed": calibration} and again.about["seen"] == 7
    sizes = [(tmp_path / name).stat().st_size for name in ("a.safetensors", "b.safetensors")]
    assert sizes[1] - sizes[0] == pytest.approx(len(json.dumps(about)), abs=200), "the weights have grown"


def test_a_calibration_that_cannot_be_understood_is_refused():
    gan = model_file.build(NetworkOptions(size=8, base=2, latent=3))
    with pytest.raises(ModelError, match=r"calibration cannot be understood \(best"):
        read_calibrations(replace(gan, about={"trust": {"best": {"factor": "x"}}}))


def test_the_calibration_of_the_same_options_is_taken_or_one_whose_features_are_there(calibration):
    c = features(evidence(rows=400))
    both = {"best": replace(calibration, options=BEST), "seed": calibration}
    assert choose_calibration(both, SEED, c) == ("seed", True)
    assert choose_calibration(both, replace(SEED, seed=5, candidates=3, precision="fp32"), c) == ("seed", True)
    assert choose_calibration(both, replace(SEED, steps=5), c) == ("seed", False)
    assert choose_calibration({}, SEED, c) is None
    more = replace(calibration.error, names=("depth", "share", "misfit", "moved"))
    assert choose_calibration({"best": replace(calibration, error=more)}, BEST, c) is None


def test_the_nearest_calibration_is_one_of_a_search_of_that_kind(calibration):
    c, fast = features(evidence(rows=400)), COMPLETE_PRESETS["fast"]
    both = {"best": replace(calibration, options=BEST), "fast": replace(calibration, options=fast)}
    assert choose_calibration(both, replace(fast, steps=50), c) == ("fast", False)
    assert choose_calibration(both, replace(fast, tune_steps=9), c) == ("best", False)
    assert choose_calibration(both, replace(BEST, blend="overlay", method="nesterov"), c) == ("best", False)
    assert choose_calibration({"best": both["best"]}, fast, c) == ("best", False)
    for another in (SEED, replace(BEST, method="hmc"), replace(fast, method="hmc")):
        assert choose_calibration(both, another, c) is None
    samples = replace(BEST, method="hmc")
    assert choose_calibration({"mine": replace(calibration, options=samples)}, replace(samples, steps=9), c) == (
        "mine",
        False,
    )


def test_completions_without_a_feature_are_left_out():
    one, two = evidence(rows=400), evidence(rows=400, seed=1)
    one.numbers["misfit"][3] = torch.nan
    whole = join_evidence([one, two])
    assert len(whole.error) == 799 and whole.missed.shape == (799 * 60, 3)
    assert torch.equal(whole.error[3:], torch.cat([one.error[4:], two.error]))
    assert torch.equal(whole.row, torch.arange(799).repeat_interleave(60))
    assert torch.equal(whole.missed[180:], torch.cat([one.missed[240:], two.missed]))


def test_too_few_completions_are_refused():
    with pytest.raises(DataError, match="100 completions of 25 pictures are too few"):
        calibrate(evidence(rows=100), SEED)
