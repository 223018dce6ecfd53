from dataclasses import replace

import onnx
import pytest

from latentfill.cli.main import run
from latentfill.gan.encoder import ContextEncoder
from latentfill.gan.model_file import build, build_context_module, build_encoder, save
from latentfill.options import NetworkOptions
from latentfill.options.training import ContextOptions

OPTIONS = NetworkOptions(size=8, base=2, latent=3)


@pytest.fixture
def model(tmp_path):
    save(replace(build(OPTIONS), encoder=build_encoder(OPTIONS, 2, 4)), tmp_path / "mine" / "model.safetensors")
    return tmp_path / "mine"


def test_it_says_each_file_its_size_and_how_far_it_is_from_the_model(model, tmp_path, capsys):
    assert run(["export", str(model), str(tmp_path / "out"), "--onnx"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(str(tmp_path / "out" / "generator.onnx")) and "encoder.onnx" in second
    assert "MB  largest difference from PyTorch " in first
    assert float(first.split()[-1]) <= 1e-4
    props = {entry.key: entry.value for entry in onnx.load(str(tmp_path / "out" / "generator.onnx")).metadata_props}
    assert props["model"] == "mine"  # its folder's name: all runs call the file the same


def test_a_pushed_folder_is_a_model_like_any_other(model, tmp_path, capsys):
    assert run(["push", str(model), str(tmp_path / "shared")]) == 0
    assert capsys.readouterr().out.split() == [
        str(tmp_path / "shared" / name) for name in ("model.safetensors", "config.json", "README.md")
    ]
    assert run(["info", str(tmp_path / "shared")]) == 0
    assert run(["export", str(tmp_path / "shared"), str(tmp_path / "out"), "--onnx"]) == 0
    assert (tmp_path / "out" / "encoder.onnx").exists()


def test_a_card_by_hand_travels_with_its_folder(model, tmp_path):
    assert run(["push", str(model), str(tmp_path / "shared"), "--license", "mit"]) == 0
    assert "license: mit" in (tmp_path / "shared" / "README.md").read_text()
    (tmp_path / "shared" / "README.md").write_text("---\nlicense: mit\n---\nby hand\n")
    assert run(["push", str(tmp_path / "shared"), str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "README.md").read_text() == "---\nlicense: mit\n---\nby hand\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["export", "mine", "out"], "Add --onnx."),
        (["export", "nowhere", "out", "--onnx"], "there is no model 'nowhere'"),
        (["export", "hf://ann/faces", "out", "--onnx"], "models are not downloaded here"),
        (["export", "context.safetensors", "out", "--onnx"], "a context encoder, not a GAN"),
        (["push", "mine", "mine"], "holds model.safetensors already"),
        (["push", "mine", "out", "--card", "nowhere.md"], "nowhere.md cannot be read"),
        (["push", "odd.safetensors", "out"], "odd.safetensors: not a"),
    ],
)
def test_what_cannot_be_done_is_said_and_ends_with_2(model, tmp_path, monkeypatch, capsys, words, said):
    options = ContextOptions(size=8, base=2)
    save(ContextEncoder(build_context_module(options).eval(), options, {}), tmp_path / "context.safetensors")
    (tmp_path / "odd.safetensors").write_bytes(b"\x89PNG....................")
    monkeypatch.chdir(tmp_path)
    assert run(words) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
