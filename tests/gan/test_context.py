"""The context encoder's network and its file."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from latentfill.errors import ModelError
from latentfill.gan.dcgan import SIZES
from latentfill.gan.encoder import ChannelDense, ContextEncoder
from latentfill.gan.model_file import build_context_module, load_context, save
from latentfill.models import load_context as load_by_name
from latentfill.options import Size
from latentfill.options.training import ContextOptions


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("skips", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_every_size_gives_images_of_that_size(size: Size, channels: int, skips: bool) -> None:
    options = ContextOptions(size, 1 if channels == 1 else 3, base=2, skips=skips)
    made = build_context_module(options)(drawn(0, 2, channels, size, size), torch.ones(2, 1, size, size))
    assert made.shape == (2, channels, size, size) and made.dtype == torch.float32
    assert made.abs().max() <= 1 and made.std() > 0.01


@pytest.mark.parametrize("skips", [False, True])
@pytest.mark.parametrize("hidden", [0.0, 7.0, float("nan")])
def test_what_is_in_the_hole_never_matters_and_the_rest_does(skips: bool, hidden: float) -> None:
    model = ContextEncoder(build_context_module(ContextOptions(16, base=2, skips=skips)).eval())
    images, known = drawn(0, 2, 3, 16, 16), (drawn(1, 2, 1, 16, 16) > 0).float()
    made = model.predict(images, known)
    assert torch.equal(model.predict(torch.where(known == 1, images, torch.tensor(hidden)), known), made)
    assert not torch.equal(model.predict(-images, known), made)


def test_the_dense_layer_mixes_places_and_not_maps() -> None:
    layer = ChannelDense(3)
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    maps = drawn(0, 1, 3, 4, 4).requires_grad_()
    grads = torch.autograd.grad(layer(maps)[0, 1].sum(), maps)[0]
    assert (grads[0, 1] != 0).all() and (grads[0, [0, 2]] == 0).all()
    expected = maps[0, 2].flatten() @ layer.weight[2]
    torch.testing.assert_close(layer(maps)[0, 2].flatten(), expected)


def test_only_with_skips_does_detail_pass_around_the_middle() -> None:
    for skips, names in ((False, 0), (True, 1)):
        module = build_context_module(ContextOptions(16, base=2, skips=skips))
        assert len(module.last) == names and len(module.ups) == 2


def test_first_weights_depend_on_the_seed_alone() -> None:
    before = torch.get_rng_state()
    states = [build_context_module(ContextOptions(8, base=2, skips=True), seed).state_dict() for seed in (1, 1, 2)]
    assert all(torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values(), strict=True))
    assert not torch.equal(states[0]["dense.weight"], states[2]["dense.weight"])
    assert torch.equal(torch.get_rng_state(), before)


def test_a_context_encoder_comes_back_as_it_went(tmp_path: Path) -> None:
    options = ContextOptions(16, base=3, skips=True)
    model = ContextEncoder(build_context_module(options).eval(), options, {"images_seen": 5})
    save(model, tmp_path / "model.safetensors")
    for back in (load_context(tmp_path / "model.safetensors"), load_by_name(tmp_path)):
        assert back.network == options and back.about == {"images_seen": 5} and back.device.type == "cpu"
        assert not back.module.training and not any(p.requires_grad for p in back.module.parameters())
        images, known = drawn(0, 2, 3, 16, 16), torch.ones(2, 1, 16, 16)
        assert torch.equal(back.predict(images, known), model.predict(images, known))
    (tmp_path / "none.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="not a model file"):
        load_context(tmp_path / "none.safetensors")
