"""latentfill serve: the page to paint on, and the HTTP API."""

import os
import re
from dataclasses import dataclass, field, replace

from ..errors import ExtraError, LatentfillError, cure
from ..options import ServeOptions

VARIABLE = "LATENTFILL_TOKEN"
SHORTEST = 16  # characters of a token: too many to be guessed at any speed


@dataclass(frozen=True)
class Options:
    """Serve a page to paint and fill holes on, and an HTTP API, on this machine alone unless --host is given.

    Open the address that it prints. /docs describes the API, /metrics is for Prometheus, /healthz is a sign of life.
    Ctrl-C or SIGTERM stops it once running searches are done. Behind a proxy, give the proxy's name with --hosts.
    """

    serve: ServeOptions = field(default_factory=ServeOptions)


def run(options: Options) -> int:
    """Serve until told to stop."""
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        what = f"{error.name} is needed to serve, and is not installed"
        raise ExtraError(what, "Install it: pip install 'latentfill[web]'.") from error
    from ..web.serving import serve

    return serve(check_options(options.serve))


def check_options(options: ServeOptions) -> ServeOptions:
    """The options with their token, from wherever it is given.

    Raises LatentfillError for a token that can be guessed, and for a server that anybody could use.
    """
    from ..web.security import is_loopback

    token = _token(options)
    if token is not None and (len(token) < SHORTEST or not token.isascii() or not token.isprintable() or " " in token):
        cure = "Make one: python -c 'import secrets; print(secrets.token_urlsafe())'."
        raise LatentfillError(f"the token is not {SHORTEST} or more letters and digits", cure)
    if token is None and not options.allow_remote_without_token and not is_loopback(options.host):
        what = f"--host {options.host} can be reached from other machines, and there is no token"
        raise LatentfillError(what, "Give --token-file FILE, or --allow-remote-without-token if all may use it.")
    root = options.root_path.rstrip("/")
    if root and not re.fullmatch(r"(/[\w.~-]+)+", root, re.ASCII):
        raise LatentfillError(f"--root-path {options.root_path!r} is not a path", "Give one such as /fill.")
    return replace(options, token=token, token_file=None, root_path=root)


def _token(options: ServeOptions) -> str | None:
    if options.token is not None and options.token_file is not None:
        raise LatentfillError("--token and --token-file are both given", "Give one.")
    if options.token_file is None:
        return options.token if options.token is not None else os.environ.get(VARIABLE) or None
    try:
        lines = options.token_file.read_text().split("\n")
    except OSError as error:
        raise LatentfillError(f"{options.token_file} cannot be read: {error.strerror}", cure(error)) from error
    except UnicodeDecodeError as error:
        raise LatentfillError(f"{options.token_file} cannot be read: {error}", "Give a file with the token.") from error
    return lines[0].strip()
