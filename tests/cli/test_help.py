import subprocess
from importlib import import_module

import pytest

from latentfill.cli.configuration import make_default
from latentfill.cli.help import SHORT, format_help, list_options
from latentfill.cli.main import VERBS, run


def default_of(verb):
    return make_default(import_module(f"latentfill.cli.{verb}").Options)


@pytest.mark.parametrize("verb", VERBS)
def test_the_short_help_is_one_screen_with_two_examples(verb, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    text = format_help(verb, default_of(verb))
    assert len(text.splitlines()) <= 40 and max(map(len, text.splitlines())) <= 100
    assert text.count(f"\n  latentfill {verb}") == 2
    assert {name for name in SHORT[verb][0].split()} <= {option.name for option in list_options(default_of(verb))}


@pytest.mark.parametrize("verb", VERBS)
def test_the_long_help_has_every_option_and_what_it_says(verb):
    text, options = format_help(verb, default_of(verb), everything=True), list(list_options(default_of(verb)))
    for option in options:
        assert option.text and f"  {option.flag}" in text
    assert "MISSING" not in text and "default: None" not in text and "default: False" not in text


def test_options_of_experts_come_last(capsys):
    with pytest.raises(SystemExit) as end:
        run(["complete", "--help-all"])
    text = capsys.readouterr().out
    assert end.value.code == 0
    assert text.index("--out OUT") < text.index("--learning-rate") < text.index("--max-bytes")


def test_defaults_are_those_of_what_was_chosen(capsys):
    for words, default in ((["--preset", "seed"], "1000"), (["--preset=paper"], "1500")):
        with pytest.raises(SystemExit):
            run(["complete", *words, "--help-all"])
        assert f"(default: {default})" in " ".join(capsys.readouterr().out.split())


def test_examples_are_commands_that_can_be_read():
    from latentfill.cli.configuration import read_options

    for verb, (_, examples) in SHORT.items():
        for words, _ in examples:
            read_options(import_module(f"latentfill.cli.{verb}").Options, verb, words.split())


def test_the_shell_completes_verbs_flags_and_files(capsys, tmp_path):
    assert run(["--completion", "bash"]) == 0
    script = capsys.readouterr().out
    (tmp_path / "my photo.png").touch()
    for words, completed in (
        ("comp", "complete"),
        ("complete --cand", "--candidates"),
        ("complete --preset pa", "paper"),
        ("complete --preset", "--preset"),
        ("info my", "my photo.png"),
    ):
        words = ["latentfill", *words.split()]
        ask = f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _latentfill"
        ask += "; complete -p latentfill | grep -q -- '-F _latentfill' && printf '%s\\n' \"${COMPREPLY[@]}\""
        done = subprocess.run(
            ["bash", "-c", f"{script}\n{ask}"], capture_output=True, text=True, cwd=tmp_path, check=True
        )
        assert done.stdout.strip() == completed
    assert run(["--completion", "fish"]) == 2


def test_the_doctor_tells_what_is_missing_and_how_to_get_it(capsys, monkeypatch, tmp_path):
    from latentfill.cli import doctor

    real = doctor.version
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "latentfill").mkdir()
    (tmp_path / "latentfill" / "pictures").write_bytes(bytes(2_500_000))

    def version(name):
        if name == "ray":
            raise doctor.PackageNotFoundError
        return real(name)

    monkeypatch.setattr(doctor, "version", version)
    assert run(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "ray missing: pip install 'latentfill[ray]'" in text and "extra       hub" in text
    assert "faces-128" in text and f"2.5 MB; to clear it: rm -r {tmp_path}/latentfill" in text
