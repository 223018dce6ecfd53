"""Names and addresses: which reach this machine alone, and which name this server."""

import ipaddress
from urllib.parse import urlsplit

from ..options import ServeOptions


def knows(options: ServeOptions, host: str) -> bool:
    """Whether a Host header names this server: a page on a name of its own must not reach it by rebinding that name.

    Numbers cannot be rebound, so a server that listens on every address answers to any.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if host != host.strip() or any(c in host for c in "/\\@?#") or not name:
        return False
    known = {"localhost", options.host.lower(), *(one.lower() for one in options.hosts)}
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name in known
    return address.is_loopback or name in known or options.host in ("0.0.0.0", "::")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
