"""Model files: what goes in comes out, and what does not fit is named."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from latentfill.errors import ModelError
from latentfill.gan.dcgan import DcganGenerator
from latentfill.gan.encoder import DcganEncoder
from latentfill.gan.gan import Discriminator, Encoder, Gan, Generator, UniformPrior
from latentfill.gan.model_file import FORMAT, build, build_encoder, load, save
from latentfill.options import NetworkOptions

OPTIONS = NetworkOptions(size=16, channels=1, widths="repository", base=2, latent=5, prior="normal")


class Flat:
    """Both players, without a network."""

    prior = UniformPrior(2)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return x


def made(seed: int = 1) -> Gan:
    gan = build(OPTIONS, seed)
    assert isinstance(gan.generator, DcganGenerator)
    gan.generator.norms[0].get_buffer("running_mean").fill_(0.3)
    return Gan(gan.generator, gan.discriminator, gan.network, {"images_seen": 12, "averaged": True})


def rewrite(path: Path, change: Any, about: Any = None) -> None:
    """Save the tensors again after `change(tensors)`, with another header if one is given."""
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        header = file.metadata()
    change(tensors)
    save_file(tensors, path, {"latentfill": json.dumps(about)} if about else header)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_model_comes_back_as_it_went(tmp_path: Path, dtype: torch.dtype) -> None:
    gan, path = made(), tmp_path / "deep" / "model.safetensors"
    save(gan, path, dtype)
    back = load(path)
    assert back.network == OPTIONS and back.about == {"images_seen": 12, "averaged": True}
    assert back.generator.prior == gan.generator.prior
    for before, after in ((gan.generator, back.generator), (gan.discriminator, back.discriminator)):
        assert isinstance(before, torch.nn.Module) and isinstance(after, torch.nn.Module)
        for name, tensor in before.state_dict().items():
            if tensor.is_floating_point():
                stored = tensor.to(dtype).float() if tensor.dim() > 1 else tensor  # statistics are kept whole
                assert torch.equal(after.state_dict()[name], stored), name
    assert isinstance(back.generator, Generator) and isinstance(back.discriminator, Discriminator)
    assert [p.name for p in path.parent.iterdir()] == ["model.safetensors"]


def test_a_loaded_model_is_frozen_and_in_inference_mode(tmp_path: Path) -> None:
    gan = made()
    for part in (gan.generator, gan.discriminator):
        assert isinstance(part, torch.nn.Module)
        part.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    save(gan, tmp_path / "m.safetensors")
    back = load(tmp_path / "m.safetensors")
    for part in (back.generator, back.discriminator):
        assert isinstance(part, torch.nn.Module)
        assert not any(module.training for module in part.modules())
        assert not any(parameter.requires_grad for parameter in part.parameters())
        assert {parameter.dtype for parameter in part.parameters()} == {torch.float32}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_an_encoder_comes_back_as_it_went(tmp_path: Path, dtype: torch.dtype) -> None:
    gan = replace(made(), encoder=build_encoder(OPTIONS, base=3, hidden=6, seed=4))
    assert isinstance(gan.encoder, DcganEncoder)
    gan.encoder.norms[0].get_buffer("running_var").fill_(0.3)
    save(gan, tmp_path / "m.safetensors", dtype)
    back = load(tmp_path / "m.safetensors").encoder
    assert isinstance(back, DcganEncoder) and isinstance(back, Encoder) and back.prior == gan.generator.prior
    assert not back.training and not any(p.requires_grad for p in back.parameters())
    before, after = gan.encoder.state_dict(), back.state_dict()
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        if tensor.is_floating_point():
            assert torch.equal(after[name], tensor.to(dtype).float() if tensor.dim() > 1 else tensor), name


def test_a_model_without_an_encoder_has_none_and_its_file_says_nothing_of_one(tmp_path: Path) -> None:
    save(made(), tmp_path / "m.safetensors")
    assert load(tmp_path / "m.safetensors").encoder is None
    with safe_open(tmp_path / "m.safetensors", "pt") as file:
        assert "encoder" not in json.loads(file.metadata()["latentfill"])


@pytest.mark.parametrize("fields, said", [
    ({"kind": "dcgan", "base": 2, "hidden": 6}, r"encoder\.blocks\.0.*should be"),
    ({"kind": "dcgan", "base": 3}, "its encoder cannot be built .KeyError"),
    ({"kind": "vit", "base": 3, "hidden": 6}, "its encoder cannot be built .*'vit'"),
    ({"kind": "dcgan", "base": 0, "hidden": 6}, "its encoder cannot be built .*base 0"),
    ({"kind": "dcgan", "base": "3", "hidden": 6}, "its encoder cannot be built"),
    (None, r"encoder\.answer\.bias is unknown"),
    (7, "its encoder cannot be built"),
])  # fmt: skip
def test_an_encoder_that_does_not_fit_is_named(tmp_path: Path, fields: Any, said: str) -> None:
    path = tmp_path / "m.safetensors"
    save(replace(made(), encoder=build_encoder(OPTIONS, base=3, hidden=6)), path)
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["latentfill"])
    rewrite(path, lambda _: None, about | {"encoder": fields})
    with pytest.raises(ModelError, match=f"m.safetensors: .*{said}"):
        load(path)


@pytest.mark.parametrize("change, said", [
    (lambda t: t.pop("generator.ups.1.bias"), "generator.ups.1.bias is missing"),
    (lambda t: t.update({"generator.more": torch.zeros(1)}), "generator.more is unknown"),
    (lambda t: t.update({"discriminator.judge.bias": torch.zeros(3)}),
     r"discriminator.judge.bias is \(3,\) and should be \(1,\)"),
    (lambda t: [t.pop(name) for name in list(t) if "norms" in name], "is missing; .*is missing; .*and [0-9]+ more"),
])  # fmt: skip
def test_tensors_that_do_not_fit_are_named(tmp_path: Path, change: Any, said: str) -> None:
    path = tmp_path / "m.safetensors"
    save(made(), path)
    rewrite(path, change)
    with pytest.raises(ModelError, match=f"m.safetensors: .*{said}"):
        load(path)


def test_files_of_other_kinds_are_refused_by_name(tmp_path: Path) -> None:
    def refused(path: Path, said: str) -> None:
        with pytest.raises(ModelError, match=said) as caught:
            load(path)
        assert str(path) in caught.value.what and caught.value.cure

    path = tmp_path / "m.safetensors"
    refused(path, "not a model file")
    refused(tmp_path, "not a model file")
    path.write_bytes(b"\x89PNG....................")
    refused(path, "not a model file")
    save(made(), path)
    path.write_bytes(path.read_bytes()[:-100])
    refused(path, "not a model file")
    save_file({"weight": torch.zeros(2)}, path)
    refused(path, "a safetensors file, but not a latentfill model")
    save_file({"weight": torch.zeros(2)}, path, {"latentfill": "{"})
    refused(path, "not a latentfill model")


@pytest.mark.parametrize("about, said", [
    ({"format": "latentfill-99"}, f"model format 'latentfill-99', not '{FORMAT}'"),
    ({"format": FORMAT}, "its networks cannot be built"),
    ({"format": FORMAT, "network": {"size": 65}}, "its networks cannot be built .size: "),
    ([], "model format None"),
    (7, "not a latentfill model"),
])  # fmt: skip
def test_headers_that_cannot_be_followed_are_explained(tmp_path: Path, about: Any, said: str) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"weight": torch.zeros(2)}, path, {"latentfill": json.dumps(about)})
    with pytest.raises(ModelError, match=said):
        load(path)


def test_a_model_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save(made(), path)
    before = path.read_bytes()
    path.chmod(0o644)
    with pytest.raises(ModelError, match="cannot be written"):
        save(made(), tmp_path / "m.safetensors" / "below.safetensors")
    assert path.read_bytes() == before
    save(made(2), path)
    assert path.read_bytes() != before


def test_only_networks_of_torch_can_be_saved(tmp_path: Path) -> None:
    flat: Any = Flat()
    with pytest.raises(TypeError, match="only networks made of torch modules can be saved"):
        save(Gan(flat, flat), tmp_path / "m.safetensors")
    with pytest.raises(TypeError, match="Linear"):
        save(replace(made(), encoder=torch.nn.Linear(2, 2)), tmp_path / "m.safetensors")


@pytest.mark.parametrize("batch_norm, norm", [(True, "batch"), (False, "none"), (None, "batch")])
def test_older_headers_are_understood(tmp_path: Path, batch_norm: bool | None, norm: str) -> None:
    path = tmp_path / "m.safetensors"
    save(build(NetworkOptions(size=8, base=2, latent=3, norm=norm)), path)  # type: ignore[arg-type]
    fields = {"size": 8, "base": 2, "latent": 3} | ({} if batch_norm is None else {"batch_norm": batch_norm})
    rewrite(path, lambda tensors: None, {"format": FORMAT, "network": fields, "about": {}})
    assert load(path).network == NetworkOptions(size=8, base=2, latent=3, norm=norm)  # type: ignore[arg-type]
