import json

import pytest

from latentfill.cli.main import run


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
