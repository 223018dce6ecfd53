"""The guard that every request passes first: host, origin, token, size; and the headers of every answer."""

import asyncio
import hmac
import ipaddress
import logging
import time
from collections.abc import Container
from typing import final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import is_out_of_memory
from ..options import ServeOptions
from .errors import RequestError, error_response, internal_error_response, out_of_memory
from .metrics import Metrics

log = logging.getLogger("latentfill.web")
JSON_BYTES = 256 * 1024  # bytes of a request without a picture
HELD = 8  # number of the largest requests that memory holds at once
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


def is_own_host(options: ServeOptions, host: str) -> bool:
    """True if a Host header names this server: a page on a name of its own must not reach it by rebinding that name.

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
    """True if only this machine reaches an address."""
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@final
class Guard:
    """A middleware around the application. `open_paths` need no token: they hold nothing of anybody's."""

    def __init__(self, app: ASGIApp, options: ServeOptions, metrics: Metrics, open_paths: Container[str]) -> None:
        self._app, self._options, self._metrics, self._open = app, options, metrics, open_paths
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        root = self._options.root_path
        await self._respond({**scope, "root_path": root} if root else scope, receive, send)

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        start, status, body = time.monotonic(), 499, b""  # 499: the client left before the answer

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        self._metrics.open.inc()
        try:
            self._check(scope)
            body = await self._read_body(scope, receive)
            await self._app(scope, _replay(body, receive), send_guarded)
        except RequestError as error:
            self._metrics.refused.labels(error.reason).inc()
            await error_response(error)(scope, receive, send_guarded)
        except Exception as error:  # our own error: the client is told nothing else
            log.exception("%s failed", getattr(scope.get("route"), "path", "a request"))
            if status != 499:  # after 499 it is too late for another answer
                raise
            await (error_response(out_of_memory()) if is_out_of_memory(error) else internal_error_response())(
                scope, receive, send_guarded
            )
        finally:
            self._held -= len(body)
            self._metrics.open.dec()
            self._log(scope, status, time.monotonic() - start, len(body))

    def _check(self, scope: Scope) -> None:
        """Raise RequestError for a forbidden client, by its headers alone."""
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1:
            raise RequestError(400, "there is no Host header, or more than one", "Send one Host header.", "host")
        if not is_own_host(self._options, hosts[0]):
            raise RequestError(403, "this server does not answer to that name", "Start it with --hosts NAME.", "host")
        own = {f"{scheme}://{hosts[0].lower()}" for scheme in ("http", "https")}  # https may end at a proxy
        foreign, site = set(map(str.lower, headers.getlist("origin"))) - own, headers.get("sec-fetch-site", "none")
        navigates = scope["method"] in ("GET", "HEAD") and headers.get("sec-fetch-mode") == "navigate"
        is_open = self._within(scope["path"]) in self._open
        if foreign or (site in ("cross-site", "same-site") and not (navigates and is_open)):
            raise RequestError(
                403, "pages of other sites may not use this server", "Open this server's own page.", "origin"
            )
        if self._options.token is not None and not is_open:
            self._check_token(headers.get("authorization", ""), self._options.token)

    def _within(self, path: str) -> str:
        """A path as the routes have it: without that of a proxy which leaves its own before it."""
        root = self._options.root_path
        return path.removeprefix(root) if root and path.startswith(f"{root}/") else path

    def _check_token(self, shown: str, token: str) -> None:
        scheme, _, word = shown.partition(" ")
        same = hmac.compare_digest(word.strip().encode("utf-8", "surrogateescape"), token.encode())
        if scheme.lower() != "bearer" or not same:
            what = "a token is needed" if not shown else "the token is wrong"
            raise RequestError(401, what, "Send Authorization: Bearer TOKEN.", "token", {"WWW-Authenticate": "Bearer"})

    async def _read_body(self, scope: Scope, receive: Receive) -> bytes:
        """All that is sent. Raises RequestError if it is too much, or comes too slowly."""
        headers = Headers(scope=scope)
        picture = headers.get("content-type", "").lower().startswith("multipart/form-data")
        most = self._options.max_bytes if picture else min(JSON_BYTES, self._options.max_bytes)
        declared = headers.get("content-length", "0")
        if not (declared.isascii() and declared.isdigit()):
            raise RequestError(400, "Content-Length is not a number", "Leave it out, or count the bytes.", "size")
        if len(declared) > 15 or int(declared) > most:
            raise _too_large(most)
        chunks: list[bytes] = []
        size, whole = 0, False
        try:
            async with asyncio.timeout(self._options.upload_seconds):
                while not whole:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise RequestError(400, "the request ended early", "Send all of it.", "left")
                    chunks.append(message.get("body", b""))
                    whole = not message.get("more_body", False)
                    size += len(chunks[-1])
                    self._held += len(chunks[-1])
                    if size > most:
                        raise _too_large(most)
                    if self._held > HELD * self._options.max_bytes:
                        cure = "Ask again in 5 s."
                        raise RequestError(429, "too many large requests", cure, "memory", {"Retry-After": "5"})
        except BaseException as error:
            self._held -= size
            if not isinstance(error, TimeoutError):
                raise
            cure = f"Send it within {self._options.upload_seconds:g} s."
            raise RequestError(408, "the request came too slowly", cure, "slow") from error
        self._metrics.received.inc(size)
        return b"".join(chunks)

    def _log(self, scope: Scope, status: int, seconds: float, size: int) -> None:
        """Count the request, and log it: never a query, a header, or what was sent."""
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"
        self._metrics.requests.labels(route, method, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        client = scope.get("client") or ("-",)
        path = ascii(scope["path"][:100])[1:-1]
        log.info("%s %s %s %d %.3f s %d bytes in", client[0], method, path, status, seconds, size)


def _too_large(most: int) -> RequestError:
    return RequestError(413, f"more than the limit of {most:,} bytes", "Send a smaller picture.", "size")


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body at once, and then whatever comes: that the client has left."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again
