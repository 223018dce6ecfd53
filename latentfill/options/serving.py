"""Options of the processes that share the work, and of the server."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, final

from annotated_types import Ge, Gt, Interval, Le

from .bounds import Positive


@final
@dataclass(frozen=True)
class EngineOptions:
    """The processes or machines that share the work."""

    engine: Literal["plain", "ray"] = "plain"
    """plain, this machine; or ray (extra `ray`), actors on this machine or, with RAY_ADDRESS=HOST:6379 in the
    environment, on a cluster whose machines all see the same files"""
    workers: Annotated[int, Ge(0)] = 0
    """processes that share the work and the --threads; with ray its actors. 0 takes one for each GPU or core, if there
    is enough to do"""
    dashboard: bool = False
    """show Ray's page of this machine, http://127.0.0.1:8265"""


@final
@dataclass(frozen=True)
class ServeOptions:
    """Address of the server, its clients, and limits of a request."""

    host: str = "127.0.0.1"
    """address to listen on; beyond this machine (0.0.0.0, ::) it needs a token, or --allow-remote-without-token"""
    port: Annotated[int, Interval(ge=0, le=65535)] = 8000
    """port to listen on; 0 for any that is free"""
    models: tuple[str, ...] = ()
    """models to serve, the first one by default: names of models in the package, model files or run folders; default:
    all in the package"""
    token: str | None = None
    """word that clients must show (Authorization: Bearer ...). Other users of this machine can see the command line:
    rather give --token-file, or the variable LATENTFILL_TOKEN"""
    token_file: Path | None = None
    """file whose first line is the token"""
    hosts: tuple[str, ...] = ()
    """further names of the server, such as that of a proxy before it: fill.example.org"""
    root_path: str = ""
    """path below which a proxy shows this server, such as /fill: for the description of the API, and for proxies that
    leave it in the addresses they pass on"""
    allow_remote_without_token: bool = False
    """listen beyond this machine without a token: whoever reaches the port may use it"""
    workers: Positive = 1
    """processes that share the port, each with its own models and its own queue"""
    queue: Positive = 64
    """requests that may wait in each process; further ones get status 429"""
    batch: Positive = 16
    """crops searched side by side"""
    max_bytes: Positive = 64 * 2**20
    """the largest request, in bytes (64 MiB)"""
    max_pixels: Annotated[int, Interval(gt=0, le=178_000_000)] = 50_000_000
    """the largest picture, width times height; phones take 12 to 50 million pixels"""
    max_steps: Positive = 2000
    """gradients of one completion, at most"""
    max_seconds: Annotated[float, Gt(0)] = 60.0
    """seconds of one search, at most"""
    max_images: Positive = 64
    """images of one sample or walk, at most"""
    upload_seconds: Annotated[float, Gt(0)] = 60.0
    """seconds for a request to arrive, at most"""
    grace_seconds: Annotated[float, Ge(0), Le(3600)] = 75.0
    """seconds for running searches when the server is told to stop"""
    connections: Positive = 512
    """open connections of each process; further ones get status 503"""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps, or auto for the first GPU if there is one"""
    threads: Annotated[int, Ge(0)] = 0
    """processor threads of each process; 0 shares all cores among them"""
