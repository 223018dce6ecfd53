from pathlib import Path

import pytest
import tyro

from latentfill.cli.plot import Options, run
from latentfill.errors import LatentfillError, RunError

HEADER = "images_seen,discriminator_loss,generator_loss,real_logit,fake_logit,images_per_second"


def record(folder):
    folder.mkdir(parents=True)
    rows = [f"{640 * i},1.5,0.{i},2,-2,99" for i in range(1, 9)]
    (folder / "metrics.csv").write_text("\n".join([HEADER, *rows, "5760,1."]))
    return folder


def test_three_formats_land_in_the_run_folder(tmp_path, capsys):
    folder = record(tmp_path / "run")
    assert run(Options((folder,))) == 0
    said = capsys.readouterr().out.split()
    assert said == [str(folder / f"losses.{kind}") for kind in ("pdf", "svg", "png")]
    assert all(Path(path).stat().st_size > 1000 for path in said)


def test_several_runs_share_a_figure(tmp_path):
    runs = (record(tmp_path / "a"), record(tmp_path / "b"))
    assert run(Options(runs, out=tmp_path / "out", formats=("svg",), rolling=2000)) == 0
    text = (tmp_path / "out" / "losses.svg").read_text()
    assert ">a</text>" in text
    assert ">b</text>" in text


def test_a_missing_run_is_said_and_how_to_mend_it(tmp_path):
    with pytest.raises(RunError, match=r"metrics\.csv") as caught:
        run(Options((tmp_path,)))
    assert "latentfill train --run" in caught.value.cure
    with pytest.raises(LatentfillError, match="no run to plot"):
        run(Options(()))


def test_a_place_that_cannot_be_written_to_is_said(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LatentfillError, match=r"losses\.pdf: cannot be written"):
        run(Options((record(tmp_path / "run"),), out=tmp_path / "file"))


def test_options_are_written_as_users_would():
    line = "runs/a runs/b --out here --rolling 5000 --formats pdf png"
    options = tyro.cli(Options, args=line.split())
    assert options.runs == (Path("runs/a"), Path("runs/b"))
    assert (options.rolling, options.formats) == (5000, ("pdf", "png"))
