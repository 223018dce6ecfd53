"""The container file and the unit in the docs, as far as they can be checked without an engine."""

import configparser
import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from latentfill.cli.configuration import read_options
from latentfill.cli.serve import Options, check_options
from latentfill.errors import LatentfillError

PROJECT = Path(__file__).parents[1]
LAST = ("HEALTHCHECK", "ENTRYPOINT")


def steps():
    """The instructions of the Containerfile: a word and its arguments."""
    text = re.sub(r"\\\n", " ", (PROJECT / "Containerfile").read_text())
    return [tuple(line.split(" ", 1)) for line in text.splitlines() if line.strip() and not line.startswith("#")]


def all_of(word):
    return [rest for one, rest in steps() if one == word]


def test_the_container_begins_with_a_named_version():
    words = [word for word, _ in steps()]
    assert words[0] == "FROM" and words.count("FROM") == 1
    assert set(words) <= {
        "FROM",
        "ARG",
        "RUN",
        "WORKDIR",
        "COPY",
        "USER",
        "ENV",
        "EXPOSE",
        "STOPSIGNAL",
        "HEALTHCHECK",
        "ENTRYPOINT",
    }
    assert re.fullmatch(r"python:3\.1\d-slim-\w+", all_of("FROM")[0])


def test_the_container_runs_as_a_user_without_rights():
    words = [word for word, _ in steps()]
    (user,) = all_of("USER")
    assert user.isdigit() and int(user) > 0 and any(f"--uid {user}" in run for run in all_of("RUN"))
    last = len(words) - 1 - words[::-1].index("RUN")
    assert last < words.index("USER") < words.index("ENTRYPOINT")


def test_the_container_installs_what_is_here_in_tested_versions():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    for copied in all_of("COPY"):
        for source in copied.split()[:-1]:
            assert (PROJECT / source).exists(), source
    run = " ".join(all_of("RUN"))
    (extras,) = re.findall(r"'\.\[(.*?)\]'", run)
    assert set(extras.split(",")) == {"faces", "web"} <= set(project["project"]["optional-dependencies"])
    (torch,) = re.findall(r"torch==\S+", run)
    assert torch in (PROJECT / "constraints.txt").read_text().split() and "-c constraints.txt" in run
    wanted = {project["project"]["readme"], *project["project"]["license-files"]}
    assert wanted <= set(" ".join(all_of("COPY")).split())


def test_the_container_serves_with_a_token_alone(monkeypatch):
    (words,) = (json.loads(one) for one in all_of("ENTRYPOINT"))
    assert words[:2] == ["latentfill", "serve"]
    options = read_options(Options, "serve", words[2:]).serve
    assert options.host == "0.0.0.0" and all_of("EXPOSE") == [str(options.port)]
    with pytest.raises(LatentfillError, match="there is no token"):
        check_options(options)
    monkeypatch.setenv("LATENTFILL_TOKEN", "correct-horse-battery")
    assert check_options(options).token


def test_the_units_command_is_one_that_we_understand():
    (text,) = re.findall(r"^```ini\n(.*?)^```", (PROJECT / "docs/how-to/serving.md").read_text(), re.M | re.S)
    unit = configparser.ConfigParser(strict=True, interpolation=None)
    unit.optionxform = str
    unit.read_string(text)
    assert list(unit) == ["DEFAULT", "Unit", "Service", "Install"]
    words = shlex.split(unit["Service"]["ExecStart"])
    assert words[0].endswith("/latentfill") and words[1] == "serve"
    options = read_options(Options, "serve", words[2:]).serve
    assert options.host == "127.0.0.1" and str(options.token_file) == "%d/token"
    assert float(unit["Service"]["TimeoutStopSec"]) > options.grace_seconds > options.max_seconds


def test_every_option_that_the_docs_name_is_there():
    from dataclasses import fields

    from latentfill.options import ServeOptions

    known = {f"--{field.name.replace('_', '-')}" for field in fields(ServeOptions)}
    text = re.sub(r"^```sh.*?^```", "", (PROJECT / "docs/how-to/serving.md").read_text(), flags=re.M | re.S)
    text = re.sub(r"`python benchmarks/.*?`", "", text, flags=re.S)  # they have options of their own
    assert set(re.findall(r"--[a-z][a-z-]+", text)) <= known | {"--help-all"}
    for row in re.findall(r"^\| (`--.*?) \| (.*?) \|", text, re.M):  # the table of limits
        for name, told in zip(re.findall(r"--[a-z-]+", row[0]), row[1].split(", "), strict=True):
            default = getattr(ServeOptions(), name[2:].replace("-", "_"))
            shown = {"64 MiB": 64 * 2**20, "50 million": 50_000_000, "all": 0}.get(told, told)
            assert float(shown) == default, name
