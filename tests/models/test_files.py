"""ONNX files say what the networks say, whatever the batch, and what they are."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from latentfill.errors import ExtraError, LatentfillError, ModelError
from latentfill.gan.completer import build_completer
from latentfill.gan.fused import fuse
from latentfill.gan.gan import Gan
from latentfill.gan.model_file import build, build_encoder, build_residual_encoder
from latentfill.models import onnx as files
from latentfill.models.onnx import PlainGenerator, largest_difference, plain_encoder, plain_generator, write_onnx
from latentfill.options import NetworkOptions

DCGAN = NetworkOptions(size=16, base=2, latent=5)
RESIDUAL = NetworkOptions(size=16, latent=5, prior="normal", networks="residual")


def stir(module: Any) -> None:
    """Parameters and statistics that are not what they begin as: a norm of ones would hide one that is left out."""
    rng = torch.Generator().manual_seed(3)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            spread = 0.3 if tensor.dim() < 2 else 1.5 * tensor[0].numel() ** -0.5
            offset = 1.0 if name.endswith(("running_var", "norms.0.weight")) else 0.0
            tensor.copy_(offset + spread * (torch.rand(tensor.shape, generator=rng) * 2 - 1))


def made(options: NetworkOptions, encoder: bool = True) -> Gan:
    gan = build(options, 1)
    if encoder:
        fresh = (
            build_encoder(options, 2, 6) if options.networks == "dcgan" else build_residual_encoder(options, None, 6)
        )
        gan = replace(gan, encoder=fresh.eval())
    for part in (gan.generator, gan.encoder):
        if part is not None:
            stir(part)
            part.requires_grad_(False)
    return gan


def said(path: Path, **inputs: Tensor) -> Any:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
    return answer


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("options", [
    DCGAN,
    replace(DCGAN, size=8, channels=1, norm="none", prior="normal"),
    replace(DCGAN, channels=1, widths="repository"),
    replace(DCGAN, norm="none"),
    RESIDUAL,
    replace(RESIDUAL, channels=1, size=8, prior="uniform"),
], ids=["dcgan", "plain grey", "grey", "plain", "residual", "residual grey"])  # fmt: skip
def test_a_file_says_what_the_network_says_for_any_batch(tmp_path: Path, options: NetworkOptions) -> None:
    gan = made(options)
    assert gan.encoder is not None
    exported = write_onnx(gan, tmp_path / "deep" / "out", "mine")
    assert [one.path.name for one in exported] == ["generator.onnx", "encoder.onnx"]
    for count in (1, 2, 5):
        z, images = drawn(count, count, 5), drawn(9, count, options.channels, options.size, options.size)
        known = (drawn(7, count, 1, options.size, options.size) < 0).float()
        expected = gan.generator(z).numpy()
        assert expected.std() > 0.05
        np.testing.assert_allclose(said(exported[0].path, z=z), expected, atol=1e-4, rtol=0)
        expected = gan.encoder(images, known).numpy()
        assert expected.std() > 0.01
        np.testing.assert_allclose(said(exported[1].path, images=images, known=known), expected, atol=1e-4, rtol=0)
    assert all(one.difference is not None and one.difference < 1e-4 for one in exported)


def test_a_completer_completes_as_the_network_does_for_any_batch(tmp_path: Path) -> None:
    gan = made(RESIDUAL)
    completer = build_completer(gan).eval().requires_grad_(False)
    stir(completer.skips)
    *_, exported = write_onnx(replace(gan, completer=completer), tmp_path, "mine")
    assert exported.path.name == "completer.onnx"
    for count in (1, 3):
        images, known = drawn(9, count, 3, 16, 16), (drawn(7, count, 1, 16, 16) < 0).float()
        noise = drawn(count, count, 5)
        expected = completer(images, known, noise).numpy()
        assert np.abs(expected - completer(images, known, -noise).numpy()).max() > 1e-3
        found = said(exported.path, images=images, known=known, noise=noise)
        np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)
    assert "completer.run(" in (tmp_path / "README.md").read_text()
    write_onnx(gan, tmp_path, "mine")
    assert not (tmp_path / "completer.onnx").exists()


def test_what_is_in_the_hole_is_not_seen_even_if_it_is_no_number(tmp_path: Path) -> None:
    _, encoder = write_onnx(made(DCGAN), tmp_path, "mine")
    images, known = drawn(1, 2, 3, 16, 16), torch.ones(2, 1, 16, 16)
    known[..., 4:9] = 0
    spoilt = images.masked_fill(known == 0, float("nan"))
    assert np.array_equal(
        said(encoder.path, images=images, known=known), said(encoder.path, images=spoilt, known=known)
    )


def test_a_network_that_knows_classes_is_asked_for_one(tmp_path: Path) -> None:
    gan = made(replace(RESIDUAL, classes=3), encoder=False)
    (exported,) = write_onnx(gan, tmp_path, "mine")
    z, labels = drawn(1, 4, 5), torch.tensor([2, 0, 1, 1])
    generator: Any = gan.generator
    np.testing.assert_allclose(said(exported.path, z=z, labels=labels), generator(z, labels).numpy(), atol=1e-4, rtol=0)
    assert np.abs(said(exported.path, z=z, labels=labels) - said(exported.path, z=z, labels=labels * 0)).max() > 1e-3
    assert "labels" in (tmp_path / "README.md").read_text()


def test_each_file_and_the_two_beside_them_say_what_they_are(tmp_path: Path) -> None:
    gan = replace(made(RESIDUAL), about={"alignment": {"landmarks": "inner-eyes-and-bottom-lip"}})
    write_onnx(gan, tmp_path, "mine")
    assert sorted(path.name for path in tmp_path.glob("[!.]*")) == [
        "README.md", "encoder.onnx", "export.json", "generator.onnx"
    ]  # fmt: skip
    model = onnx.load(str(tmp_path / "generator.onnx"))
    onnx.checker.check_model(model)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert model.producer_name == "latentfill" and [entry.version for entry in model.opset_import] == [17]
    expected = {"model": "mine", "size": "16", "prior": "normal", "latent": "5", "opset": "17", "part": "generator"}
    assert expected.items() <= facts.items() and "norm at most sqrt(5)" in facts["latent_range"]
    assert {entry.data_type for entry in model.graph.initializer if len(entry.dims) > 1} == {onnx.TensorProto.FLOAT}
    described = json.loads((tmp_path / "export.json").read_text())
    assert described["files"]["encoder.onnx"]["inputs"]["known"]["shape"] == ["n", 1, 16, 16]
    assert described["image_range"] == [-1, 1] and "inner-eyes" in facts["alignment"]
    told = (tmp_path / "README.md").read_text()
    assert "| input | `known` | [n, 1, 16, 16] |" in told and "inner-eyes-and-bottom-lip" in told


@pytest.mark.parametrize("encoder", [True, False])
@pytest.mark.parametrize("options", [DCGAN, replace(RESIDUAL, classes=2)], ids=["dcgan", "residual"])
def test_the_code_in_the_readme_runs(tmp_path: Path, monkeypatch: Any, options: NetworkOptions, encoder: bool) -> None:
    write_onnx(made(options, encoder), tmp_path, "mine")
    code = (tmp_path / "README.md").read_text().split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["generated"].shape == (1, 3, 16, 16)
    if encoder:
        assert np.all(names["completed"][..., :4, :] == 0)


def test_an_encoder_of_another_model_does_not_stay(tmp_path: Path) -> None:
    write_onnx(made(DCGAN), tmp_path, "mine")
    write_onnx(made(DCGAN, encoder=False), tmp_path, "mine")
    assert not (tmp_path / "encoder.onnx").exists()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "encoder.onnx").write_text("of someone else")
    write_onnx(made(DCGAN, encoder=False), tmp_path / "foreign", "mine")
    assert (tmp_path / "foreign" / "encoder.onnx").exists()


@pytest.mark.parametrize("wrong", [3e-4, float("nan")])
def test_a_file_that_says_something_else_is_not_kept(tmp_path: Path, monkeypatch: Any, wrong: float) -> None:
    class Wrong(nn.Module):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, z: Tensor) -> Tensor:
            images: Tensor = self.network(z) + wrong
            return images

    monkeypatch.setattr(files, "plain_generator", lambda gan: Wrong(plain_generator(gan)))
    with pytest.raises(ModelError, match=r"generator\.onnx differs from the model by"):
        write_onnx(made(DCGAN), tmp_path, "mine")
    assert list(tmp_path.iterdir()) == []


def test_a_batch_that_became_a_constant_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "fixed.onnx"
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            [onnx.helper.make_node("Slice", ["z", "start", "end", "axis"], ["images"])],
            "fixed",
            [onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, ["n", 2])],
            [onnx.helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["m", 2])],
            [onnx.helper.make_tensor(key, onnx.TensorProto.INT64, [1], [value])
             for key, value in (("start", 0), ("end", 2), ("axis", 0))],
        ),
        opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8,
    )  # fmt: skip
    onnx.save(model, str(path))
    assert largest_difference(path, lambda z: z, {"z": torch.ones(3, 2)}) == float("inf")


def test_without_the_library_the_cure_is_named(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ExtraError, match=r"pip install 'latentfill\[onnx\]'"):
        write_onnx(made(DCGAN), tmp_path, "mine")


def test_without_onnxruntime_the_files_say_that_they_were_not_compared(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (exported,) = write_onnx(made(DCGAN, encoder=False), tmp_path, "mine")
    assert exported.difference is None and exported.path.exists()
    assert "Not compared with PyTorch" in (tmp_path / "README.md").read_text()


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LatentfillError, match="file cannot be written to"):
        write_onnx(made(DCGAN, encoder=False), tmp_path / "file", "mine")


def test_a_fused_model_is_exported_as_it_is_and_others_are_refused() -> None:
    gan = made(DCGAN)
    assert isinstance(plain_generator(fuse(gan)), PlainGenerator) and plain_encoder(fuse(gan)) is not None

    class Other(nn.Module):
        prior = gan.generator.prior

    other: Any = Other()
    with pytest.raises(TypeError, match="generator that can be exported, not Other"):
        plain_generator(replace(gan, generator=other))
    with pytest.raises(TypeError, match="encoder that can be exported, not Other"):
        plain_encoder(replace(gan, encoder=other))
