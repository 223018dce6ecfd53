from pathlib import Path

import tyro
from PIL import Image

from latentfill.cli.figures import Options, run


def test_every_figure_is_drawn_and_named(tmp_path, capsys):
    assert run(Options(tmp_path / "figures")) == 0
    said = [Path(line) for line in capsys.readouterr().out.split()]
    assert sorted(said) == sorted((tmp_path / "figures").glob("[!.]*"))
    assert len(said) == 8
    frames = {}
    for path in said:
        with Image.open(path) as picture:
            frames[path.name] = getattr(picture, "n_frames", 1)
    assert frames.pop("convolution.gif") == 9
    assert frames.pop("fractionally-strided-convolution.gif") == 25
    assert set(frames.values()) == {1}


def test_options_are_written_as_users_would():
    options = tyro.cli(Options, args=["out", "--formats", "svg"])
    assert (options.out, options.formats) == (Path("out"), ("svg",))
