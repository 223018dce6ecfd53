"""The files of the page, read once when the server starts: what a client writes never becomes a path."""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import final

from starlette.requests import Request
from starlette.responses import Response

FOLDER = Path(__file__).parent / "page"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".gif": "image/gif",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webp": "image/webp",
}
PACKED = (".css", ".html", ".js", ".json", ".svg", ".txt")


@final
@dataclass(frozen=True)
class Asset:
    """One file: its bytes, also compressed if that is worth while, what it is, and a digest that changes with it."""

    data: bytes
    packed: bytes | None
    media_type: str
    tag: str

    def answer(self, request: Request) -> Response:
        """The file, or that it is the one that the browser has."""
        headers = {"ETag": self.tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if self.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if self.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(self.packed, headers=headers, media_type=self.media_type)
        return Response(self.data, headers=headers, media_type=self.media_type)


def asset(data: bytes, suffix: str) -> Asset:
    """One file of the kind that its suffix says."""
    packed = gzip.compress(data, 9, mtime=0) if suffix in PACKED else None
    return Asset(data, packed, TYPES[suffix], f'"{hashlib.sha256(data).hexdigest()[:16]}"')


def read(folder: Path = FOLDER) -> dict[str, Asset]:
    """All files of the page by their addresses; `index.html` is `/`."""
    found = {
        f"/{path.relative_to(folder).as_posix()}": asset(path.read_bytes(), path.suffix)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in TYPES
    }
    if "/index.html" in found:
        found["/"] = found.pop("/index.html")
    return found
