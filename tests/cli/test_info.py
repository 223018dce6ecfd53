import json
from dataclasses import replace

import pytest

from latentfill.cli.main import run
from latentfill.gan.model_file import build, build_encoder, save
from latentfill.options import NetworkOptions


def with_header(path, header):
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    return str(path)


@pytest.mark.parametrize("header", [[1, 2], {}, {"__metadata__": {}}, {"__metadata__": {"latentfill": "{}"}}])
def test_a_file_of_something_else_is_named(tmp_path, capsys, header):
    assert run(["info", with_header(tmp_path / "odd.safetensors", header)]) == 2
    assert "odd.safetensors: not a latentfill model" in capsys.readouterr().err


def test_a_run_without_a_model_says_so(tmp_path, capsys):
    assert run(["info", str(tmp_path)]) == 2
    assert "holds no model.safetensors" in capsys.readouterr().err


@pytest.mark.parametrize("encoder", [False, True])
def test_whether_a_model_has_an_encoder_is_said(tmp_path, capsys, encoder):
    options = NetworkOptions(size=8, base=2, latent=3)
    gan = replace(build(options), encoder=build_encoder(options, 2, 4) if encoder else None)
    save(gan, tmp_path / "m.safetensors")
    assert run(["info", str(tmp_path / "m.safetensors")]) == 0
    told = capsys.readouterr().out
    count = sum(p.numel() for p in gan.encoder.parameters()) if encoder else None
    assert f"encoder        {count:,} parameters" in told if encoder else "encoder        none" in told
