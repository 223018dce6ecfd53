import pytest

from latentfill.cli.configuration import read_options
from latentfill.cli.main import run
from latentfill.cli.serve import Options, check_options
from latentfill.errors import LatentfillError
from latentfill.options import ServeOptions

TOKEN = "correct-horse-battery"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_this_machine_alone_needs_no_token(host):
    assert check_options(ServeOptions(host=host)).token is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.9", "fill.example.org", ""])
def test_beyond_this_machine_a_token_is_needed_unless_told(host):
    with pytest.raises(LatentfillError, match="--allow-remote-without-token"):
        check_options(ServeOptions(host=host))
    assert check_options(ServeOptions(host=host, token=TOKEN)).token == TOKEN
    assert check_options(ServeOptions(host=host, allow_remote_without_token=True)).token is None


def test_a_token_comes_from_a_file_or_the_environment(tmp_path, monkeypatch):
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\nmore\n")
    read = check_options(ServeOptions(token_file=file))
    assert read.token == TOKEN and read.token_file is None
    monkeypatch.setenv("LATENTFILL_TOKEN", f"{TOKEN}-2")
    assert check_options(ServeOptions()).token == f"{TOKEN}-2"
    assert check_options(ServeOptions(token_file=file)).token == TOKEN  # what stands on the command line wins


@pytest.mark.parametrize("token", ["", "short", "x" * 15, "ünicode-is-no-header", "with\nnewline-and-more", "x y" * 6])
def test_a_token_that_can_be_guessed_or_not_be_sent_is_refused(token):
    with pytest.raises(LatentfillError, match=r"secrets\.token_urlsafe"):
        check_options(ServeOptions(token=token))


def test_a_token_file_that_is_empty_is_no_token(tmp_path):
    (tmp_path / "token").write_text("\n")
    with pytest.raises(LatentfillError, match="the token is not"):
        check_options(ServeOptions(host="0.0.0.0", token_file=tmp_path / "token"))
    with pytest.raises(LatentfillError, match="cannot be read"):
        check_options(ServeOptions(token_file=tmp_path / "nowhere"))
    with pytest.raises(LatentfillError, match="both given"):
        check_options(ServeOptions(token=TOKEN, token_file=tmp_path / "token"))


def test_the_token_is_in_no_error(capsys):
    assert run(["serve", "--token", "guessable"]) == 2
    assert "guessable" not in capsys.readouterr().err


def test_a_missing_library_is_said_in_two_lines(monkeypatch, capsys):
    import builtins

    real = builtins.__import__

    def without(name, *rest):
        if name == "fastapi":
            raise ModuleNotFoundError("No module named 'fastapi'", name="fastapi")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert run(["serve"]) == 2
    assert capsys.readouterr().err == (
        "latentfill serve: fastapi is needed to serve, and is not installed\n"
        "Install it: pip install 'latentfill[web]'.\n"
    )


def test_flags_are_the_fields_of_the_options():
    words = ["--port", "0", "--models", "a", "b", "--hosts", "x.org", "--max-seconds", "5", "--workers", "3"]
    read = read_options(Options, "serve", words).serve
    assert (read.port, read.models, read.hosts, read.max_seconds, read.workers) == (0, ("a", "b"), ("x.org",), 5.0, 3)
    with pytest.raises(LatentfillError, match="--port 65536"):
        read_options(Options, "serve", ["--port", "65536"])


def test_a_root_path_is_a_path():
    assert check_options(ServeOptions(root_path="/fill/")).root_path == "/fill"
    for path in ("fill", "/fill it", "/a//b", "/a?b", "https://fill.example.org"):
        with pytest.raises(LatentfillError, match="is not a path"):
            check_options(ServeOptions(root_path=path))
