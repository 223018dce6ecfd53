import subprocess
import sys

import pytest

from latentfill.cli.configuration import read_options
from latentfill.cli.main import VERBS, run
from latentfill.errors import LatentfillError


def options(verb, *words):
    from importlib import import_module

    return read_options(import_module(f"latentfill.cli.{verb}").Options, verb, words)


def test_help_names_every_verb(capsys):
    assert run(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(verb in told for verb in VERBS)


def test_no_verb_and_no_such_verb_are_misuse(capsys):
    assert run([]) == 2 and run(["frobnicate"]) == 2
    said = capsys.readouterr().err
    assert "latentfill complete PHOTO" in said and "there is no verb 'frobnicate'" in said
    assert run(["trian"]) == 2
    assert "Did you mean train?" in capsys.readouterr().err


def test_the_version_is_that_of_the_package(capsys):
    import latentfill

    assert run(["--version"]) == 0
    assert latentfill.__version__ in capsys.readouterr().out


def test_a_flag_it_does_not_know_ends_with_2():
    for flag in ("--frobnicate", "-q"):
        command = [sys.executable, "-m", "latentfill", "complete", "x.png", "--out", "y", flag]
        assert subprocess.run(command, capture_output=True, check=False).returncode == 2


@pytest.mark.parametrize(
    ("flag", "near"), [("--stepz", "--steps"), ("--overwite=1", "--overwrite"), ("--klass", "--class")]
)
def test_a_mistyped_flag_gets_the_nearest_one(flag, near):
    with pytest.raises(LatentfillError, match=f"Did you mean {near}?"):
        options("complete", "x.png", "--out", "y", flag, "3")


@pytest.mark.parametrize("flag", ["--no-grain", "--batch_size=3", "--class=cat"])
def test_flags_in_all_their_spellings_are_known(flag):
    assert options("complete", "x.png", "--out", "y", flag).out.name == "y"


def test_the_command_line_wins_over_yaml_and_yaml_over_the_preset(tmp_path):
    config = tmp_path / "options.yaml"
    config.write_text("preset: paper\nlearning-rate: 3e-3\nsteps: 70\n")
    read = options("complete", "x.png", "--out", "y", "--config", str(config), "--steps", "9").search
    assert (read.steps, read.learning_rate, read.context, read.lam) == (9, 0.003, "weighted", 0.003)
    again = options("complete", "x.png", "--out", "y", f"--config={config}", "--preset", "seed").search
    assert (again.steps, again.context) == (70, "l1")


def test_yaml_may_give_what_is_required(tmp_path):
    config = tmp_path / "options.yaml"
    config.write_text("out: there\nimages: [a.png, b.png]\n")
    read = options("complete", "--config", str(config))
    assert str(read.out) == "there" and [str(path) for path in read.images] == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("stepz: 3", "Did you mean steps"),
        ("steps: many", "steps many"),
        ("batch_size: 0", "batch_size 0"),
        ("- steps", "holds no options"),
        ("a: [", "options.yaml"),
    ],
)
def test_a_wrong_yaml_file_is_named(tmp_path, text, told):
    config = tmp_path / "options.yaml"
    config.write_text(text)
    with pytest.raises(LatentfillError) as caught:
        options("complete", "x.png", "--out", "y", "--config", str(config))
    assert told in str(caught.value) and "options.yaml" in str(caught.value)


def test_a_preset_that_is_none_is_told(tmp_path):
    config = tmp_path / "options.yaml"
    config.write_text("preset: [seed]")
    with pytest.raises(LatentfillError, match="there is no preset"):
        options("complete", "x.png", "--out", "y", "--config", str(config))


def test_a_missing_yaml_file_is_named():
    with pytest.raises(LatentfillError, match=r"nowhere\.yaml"):
        options("train", "x", "--run", "y", "--config", "nowhere.yaml")
    with pytest.raises(LatentfillError, match="--config needs a file"):
        options("train", "x", "--run", "y", "--config")


def test_counts_of_images_may_be_written_short():
    read = options("train", "x", "--run", "y", "--images-seen", "2M", "--sample-every", "1.5k")
    assert (read.train.images_seen, read.record.sample_every) == (2_000_000, 1_500)


def test_the_help_of_a_verb_names_the_file_of_options(capsys):
    with pytest.raises(SystemExit):
        options("complete", "--help-all")
    assert "--config FILE.yaml" in capsys.readouterr().out


def test_numbers_out_of_bounds_are_refused():
    with pytest.raises(LatentfillError, match="--batch-size 0"):
        options("train", "x", "--run", "y", "--batch-size", "0")


def test_no_option_of_a_verb_hides_another():
    from dataclasses import fields, is_dataclass

    from latentfill.cli.complete import Options as Complete
    from latentfill.cli.train import Options as Train

    def names(cls):
        for f in fields(cls):
            kind = f.default_factory if not isinstance(f.default_factory, type(f.default)) else None
            yield from names(kind) if isinstance(kind, type) and is_dataclass(kind) else [f.name]

    for cls in (Complete, Train):
        found = list(names(cls))
        assert len(found) == len(set(found))
