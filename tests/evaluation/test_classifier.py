import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from latentfill.evaluation import judge as classifier
from latentfill.evaluation.judge import Verdict, classify

N, SIZE = 96, 24


def textures(seed):
    """Pictures of one kind: noise, a little blurred."""
    noise = np.random.default_rng(seed).integers(0, 256, (N, SIZE, SIZE, 3), dtype=np.uint8)
    return uniform_filter(noise, (0, 2, 2, 0))


@pytest.fixture
def holes():
    hole = np.zeros((N, SIZE, SIZE), np.uint8)
    hole[:, 6:18, 6:18] = 255
    return hole


def paste(inside, original, holes):
    return np.where(holes[..., None] > 0, inside, original)


def test_reals_are_not_told_from_reals_and_noise_is(holes, monkeypatch):
    monkeypatch.setattr(classifier, "STEPS", 40)
    original = textures(0)
    alike = classify(original, paste(textures(1), original, holes), holes)
    fog = classify(original, paste(uniform_filter(original, (0, 5, 5, 0)), original, holes), holes)
    noise = classify(
        original, paste(np.random.default_rng(2).integers(0, 256, original.shape, np.uint8), original, holes), holes
    )
    assert 0.3 < alike.auc(0).value < 0.7 and 0.3 < alike.p_ids.mean() < 0.7 and 0.3 < alike.accuracy.mean() < 0.7
    for seen in (fog, noise):
        assert seen.auc(0).value > 0.95 and seen.accuracy.mean() > 0.85
        assert seen.p_ids.mean() < 0.05 and seen.u_ids.mean() < 0.2


def test_equal_pictures_look_alike_and_a_seed_is_a_judge(holes, monkeypatch):
    monkeypatch.setattr(classifier, "STEPS", 5)
    original = textures(0)
    same = classify(original, original, holes)
    assert (
        (same.p_ids == 0.5).all() and (same.accuracy == 0.5).all() and same.auc(0).value == pytest.approx(0.5, abs=0.1)
    )
    one, again, other = (classify(original, original // 2, holes, seed) for seed in (3, 3, 4))
    assert np.array_equal(one.made, again.made) and not np.array_equal(one.made, other.made)


def test_nobody_is_judged_by_a_network_that_has_seen_them(holes, monkeypatch):
    original, learnt, asked = textures(0), [], []
    rows = {picture.tobytes(): i for i, picture in enumerate(classifier._inputs(original, holes).numpy())}

    def number(pictures):
        return [rows[picture.tobytes()] for picture in pictures.numpy()]

    monkeypatch.setattr(classifier._Network, "learn", lambda self, real, made: learnt.append(number(real)))
    forward = classifier._Network.logits
    monkeypatch.setattr(classifier._Network, "logits", lambda self, x: asked.append(number(x)) or forward(self, x))
    classify(original, original, holes)
    assert len(learnt) == classifier.FOLDS * classifier.NETWORKS == len(asked) // 2
    for i, known in enumerate(learnt):
        assert asked[2 * i] == asked[2 * i + 1], "a picture and its completion are asked about together"
        assert not set(known) & set(asked[2 * i]) and sorted(known + asked[2 * i]) == list(range(N))


def test_only_what_is_near_the_hole_is_looked_at(holes, monkeypatch):
    monkeypatch.setattr(classifier, "STEPS", 5)
    original = textures(0)
    holes[:, :, 10:] = 0
    elsewhere = original.copy()
    elsewhere[:, :, 22:] = 0
    assert (classify(original, elsewhere, holes).p_ids == 0.5).all()


def test_the_figures_are_those_of_a_case_by_hand():
    real, made = np.array([2.0, 1.0, -1.0, 3.0]), np.array([-1.0, 2.0, -1.0, 1.0])
    found = Verdict(real, made, np.array([0, 0, 1, 1]))
    assert found.p_ids.tolist() == [0, 1, 0.5, 0] and found.u_ids.tolist() == [0, 1, 0, 1]
    assert found.accuracy.tolist() == [1, 0.5, 0.5, 0.5]
    # Of the first half 2 > -1, 2 = 2, 1 > -1 but not 1 > 2; of the second -1 = -1, not -1 > 1, 3 > -1, 3 > 1.
    assert found.auc(0).value == (1 + 0.5 + 1 + 0 + 0.5 + 0 + 1 + 1) / 8


def test_the_interval_of_an_auc_is_that_of_hanley_and_mcneil():
    rng = np.random.default_rng(0)
    found = Verdict(rng.normal(1, 1, 400), rng.normal(0, 1, 400), np.zeros(400, int)).auc(0)
    a = found.value
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    variance = (a * (1 - a) + 399 * (q1 - a * a + q2 - a * a)) / 400**2
    assert found.interval[1] - found.interval[0] == pytest.approx(2 * 1.96 * variance**0.5, rel=0.15)
