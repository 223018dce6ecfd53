"""A pushed model comes back to the bit, and files that do not belong together are refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import latentfill
from latentfill import models
from latentfill.errors import ModelError
from latentfill.gan.encoder import ContextEncoder
from latentfill.gan.gan import Gan
from latentfill.gan.model_file import build, build_context_module, build_encoder, save
from latentfill.models import find, from_pretrained
from latentfill.models import hub as pushed
from latentfill.options import NetworkOptions
from latentfill.options.training import ContextOptions

OPTIONS = NetworkOptions(size=8, base=2, latent=3)


def model(folder: Path, seed: int = 1, **about: Any) -> Path:
    gan = replace(build(OPTIONS, seed), encoder=build_encoder(OPTIONS, 2, 4), about={"images_seen": 1200, **about})
    save(gan, folder / "run" / "model.safetensors", torch.float16)
    return folder / "run" / "model.safetensors"


def pushed_to(folder: Path) -> Path:
    pushed.write(model(folder), folder / "out", "mine")
    return folder / "out"


def change_config(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def numbers(gan: Gan) -> list[torch.Tensor]:
    parts: list[Any] = [gan.generator, gan.discriminator, gan.encoder]
    return [tensor for part in parts for tensor in part.state_dict().values()]


def test_it_comes_back_to_the_bit(tmp_path: Path) -> None:
    source = model(tmp_path, trust={"best": {}})
    made = pushed.write(source, tmp_path / "deep" / "out", "mine")
    assert [path.name for path in made] == ["model.safetensors", "config.json", "README.md"]
    assert sorted(made) == sorted((tmp_path / "deep" / "out").iterdir())
    assert made[0].read_bytes() == source.read_bytes()
    back, before = from_pretrained(tmp_path / "deep" / "out"), models.load(source)
    assert back.about == before.about and back.network == before.network
    assert all(torch.equal(a, b) for a, b in zip(numbers(before), numbers(back), strict=True))


def test_everywhere_a_model_may_be_a_pushed_folder(tmp_path: Path) -> None:
    folder = pushed_to(tmp_path)
    assert find(folder) == folder / "model.safetensors"
    assert models.load(folder).network == OPTIONS


def test_the_config_says_what_the_model_is_and_not_its_calibration(tmp_path: Path) -> None:
    pushed.write(model(tmp_path, trust={"best": {}}), tmp_path / "out", "mine")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["library_name"] == "latentfill" and config["network"]["size"] == 8
    assert config["about"] == {"images_seen": 1200} and config["encoder"]["kind"] == "dcgan"


def test_the_card_has_front_matter_and_says_what_the_model_is(tmp_path: Path) -> None:
    source = model(tmp_path, options={"batch_size": 64})
    pushed.write(source, tmp_path / "out", "mine", "cc-by-4.0")
    _, matter, body = (tmp_path / "out" / "README.md").read_text().split("---\n", 2)
    read = yaml.safe_load(matter)
    assert read["license"] == "cc-by-4.0" and read["library_name"] == "latentfill" and "inpainting" in read["tags"]
    assert "# mine" in body and "images seen | 1,200" in body and "batch size | 64" in body
    assert "3 numbers, uniform" in body and "from_pretrained" in body


def test_a_text_beside_the_model_goes_to_the_end_of_the_card_without_its_pictures(tmp_path: Path) -> None:
    source = model(tmp_path)
    source.with_suffix(".md").write_text("# old\n\n![S](a.png)\n\nFor research only, see [log](../log.md).\n")
    pushed.write(source, tmp_path / "out", "mine")
    told = (tmp_path / "out" / "README.md").read_text()
    assert told.endswith("\n\nFor research only, see log.\n") and "# old" not in told and "a.png" not in told


def test_a_text_of_ones_own_is_the_card_with_our_front_matter_if_it_has_none(tmp_path: Path) -> None:
    source = model(tmp_path)
    pushed.write(source, tmp_path / "out", "mine", text="# Mine\n")
    told = (tmp_path / "out" / "README.md").read_text()
    assert told.startswith("---\nlibrary_name") and told.endswith("---\n\n# Mine\n")
    own = "---\nlicense: mit\n---\n# Mine\n"
    pushed.write(source, tmp_path / "out", "mine", text=own)
    assert (tmp_path / "out" / "README.md").read_text() == own


def test_pushing_again_replaces_the_model_and_leaves_the_card(tmp_path: Path) -> None:
    folder = pushed_to(tmp_path)
    (folder / "README.md").write_text("by hand")
    made = pushed.write(model(tmp_path, seed=2), folder, "mine")
    assert [path.name for path in made] == ["model.safetensors", "config.json"]
    assert (folder / "README.md").read_text() == "by hand"
    from_pretrained(folder)
    pushed.write(find(folder), folder, "mine")  # onto itself
    from_pretrained(folder)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    source = model(tmp_path)
    before = source.read_bytes()
    with pytest.raises(ModelError, match=r"holds model\.safetensors already"):
        pushed.write(model(tmp_path / "other"), source.parent, "mine")
    assert source.read_bytes() == before and len(list(source.parent.iterdir())) == 1
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelError, match="not of a latentfill model"):
        pushed.write(source, tmp_path / "foreign", "mine")
    with pytest.raises(ModelError, match="is a file"):
        pushed.write(source, source, "mine")


def test_a_clone_of_an_empty_repository_may_be_pushed_to(tmp_path: Path) -> None:
    (tmp_path / "out" / ".git").mkdir(parents=True)
    (tmp_path / "out" / "LICENSE").write_text("")
    pushed.write(model(tmp_path), tmp_path / "out", "mine")


def flip_a_bit(folder: Path) -> None:
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)


@pytest.mark.parametrize("tamper, said", [
    (flip_a_bit, "model.safetensors is not the file that config.json describes"),
    (lambda f: (f / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "Git LFS"),
    (lambda f: (f / "model.safetensors").unlink(), "holds no model.safetensors"),
    (lambda f: (f / "config.json").write_text("{"), "config.json: not of a latentfill model"),
    (lambda f: (f / "config.json").write_text("[]"), "config.json: not of a latentfill model"),
    (lambda f: change_config(f, format="other"), "config.json: not of a latentfill model"),
    (lambda f: change_config(f, network={"size": 16}), "config.json and model.safetensors differ in network"),
    (lambda f: change_config(f, encoder=None, about={}), "differ in encoder, about"),
    (lambda f: change_config(f, file={"sha256": "0"}), "is not the file that config.json describes"),
])  # fmt: skip
def test_files_that_do_not_belong_together_are_refused_everywhere(tmp_path: Path, tamper: Any, said: str) -> None:
    folder = pushed_to(tmp_path)
    tamper(folder)
    for read in (from_pretrained, find):
        with pytest.raises(ModelError, match=said) as caught:
            read(folder)
        assert caught.value.cure


def test_a_folder_without_a_config_was_not_pushed(tmp_path: Path) -> None:
    run = model(tmp_path).parent
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        from_pretrained(run)
    assert find(run) == run / "model.safetensors"  # a run is a model all the same


def test_a_context_encoder_can_be_pushed_too(tmp_path: Path) -> None:
    options = ContextOptions(size=8, base=2)
    save(ContextEncoder(build_context_module(options).eval(), options, {}), tmp_path / "c.safetensors")
    pushed.write(tmp_path / "c.safetensors", tmp_path / "out", "mine")
    assert "context encoder" in (tmp_path / "out" / "README.md").read_text()
    assert models.load_context(tmp_path / "out").network == options
    with pytest.raises(ModelError, match="a context encoder, not a GAN"):
        from_pretrained(tmp_path / "out")


def test_the_public_name_reads_folders_and_the_names_of_the_package(tmp_path: Path) -> None:
    assert latentfill.from_pretrained(str(pushed_to(tmp_path))).network == OPTIONS
    assert latentfill.from_pretrained(models.DEFAULT).about["images_seen"] > 0
