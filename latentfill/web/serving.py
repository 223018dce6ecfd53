"""The processes of a server: one, or several that share a port; they end when running requests are done.

Models are read when a process starts, and from then on are identified only by name.
"""

import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from multiprocessing import parent_process
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple, final

import torch
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from .. import models
from ..errors import LatentfillError, ModelError
from ..gan.gan import Gan
from ..models import hub as pushed
from ..models.card import facts, model_card
from ..options import ServeOptions

if TYPE_CHECKING:
    from fastapi import FastAPI


class ServedModels(NamedTuple):
    """Models and their cards, by name; the first is used where none is named."""

    gans: Mapping[str, Gan]
    cards: Mapping[str, str]


def load(options: ServeOptions) -> ServedModels:
    """Read every model that the options name. Raises ModelError for one that cannot be read, or two of one name."""
    gans: dict[str, Gan] = {}
    cards: dict[str, str] = {}
    for model in options.models or shipped():
        path = models.find(model)
        name = models.title(path)
        if name in gans:
            raise ModelError(f"two models are called {name!r}", "Rename the file of one.")
        gans[name] = models.load(model, options.device)
        cards[name] = _card(path, name)
    return ServedModels(gans, cards)


def shipped() -> list[str]:
    """The models in the package, the default first."""
    return sorted(models.names(), key=lambda name: name != models.DEFAULT)


def share_threads(options: ServeOptions) -> None:
    """Give this process its part of the processor."""
    torch.set_num_threads(options.threads or max(1, torch.get_num_threads() // options.workers))


def _card(path: Path, name: str) -> str:
    """The model's card, without the front matter that a hub reads; one made of its file, if it has none."""
    for beside in (path.with_suffix(".md"), path.parent / pushed.CARD):
        if beside.is_file() and (
            beside.suffix == ".md" and (beside.stem == path.stem or pushed.is_pushed(path.parent))
        ):
            return _plain(beside.read_text(errors="replace"))
    return _plain(model_card(facts(path), name))


def _plain(text: str) -> str:
    if text.startswith("---\n") and (end := text.find("\n---\n", 3)) >= 0:
        return text[end + 5 :].lstrip()
    return text


FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # read by prometheus_client when it is imported
CLOSED = getattr(signal, "SIGHUP", None)  # the signal that processes get when their terminal is closed
WAITING = 128  # connections that the kernel queues until they are accepted
STARTS_WITHIN = 30  # seconds; with uvicorn's own 5, a busy machine would restart processes during the imports for ever


def serve(options: ServeOptions) -> int:
    """Serve until SIGINT, SIGTERM or SIGHUP. Returns 0, or 1 if a process could not start."""
    end_with_terminal()
    listening = bind(options)
    options = replace(options, port=listening.getsockname()[1])
    if options.workers == 1:
        application = make_application(options)
        print(f"latentfill serves on {address(options)}  (Ctrl-C ends it)", file=sys.stderr, flush=True)
        server = uvicorn.Server(uvicorn.Config(application, **settings(options)))
        for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises these again when it has ended
            signal.signal(number, lambda number, frame: None)
        server.run([listening])
        return 0 if server.started else 1
    return _serve_processes(options, listening)


def end_with_terminal() -> None:
    """Let a closed terminal end this process as SIGTERM does, unless its starter ignores that signal (nohup)."""
    if CLOSED and signal.getsignal(CLOSED) is not signal.SIG_IGN:
        signal.signal(CLOSED, lambda number, frame: signal.raise_signal(signal.SIGTERM))


def bind(options: ServeOptions) -> socket.socket:
    """The socket to listen on. Raises LatentfillError if it cannot be had."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((options.host, options.port))
        listening.listen(WAITING)
    except OSError as error:
        listening.close()
        what = f"{options.host} port {options.port}: {error.strerror or error}"
        raise LatentfillError(what, "Give another --port, or --host.") from error
    listening.set_inheritable(True)
    return listening


def address(options: ServeOptions) -> str:
    """The address for a browser."""
    host = "localhost" if options.host in ("0.0.0.0", "::") else options.host
    return f"http://{f'[{host}]' if ':' in host else host}:{options.port}/"


def make_application(options: ServeOptions) -> "FastAPI":
    """Read the models, and make the application: what each process does first."""
    from .app import create_app
    from .metrics import remove_dead

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    if folder := os.environ.get(FOLDER):
        remove_dead(Path(folder))
    share_threads(options)
    return create_app(options, *load(options))


def settings(options: ServeOptions) -> dict[str, Any]:
    """Settings of uvicorn. Claims of a proxy about its clients are not believed; headers name no software."""
    return {
        "access_log": False,
        "log_config": None,
        "log_level": "warning",
        "proxy_headers": False,
        "server_header": False,
        "limit_concurrency": options.connections,
        "timeout_graceful_shutdown": round(options.grace_seconds),
        "timeout_worker_healthcheck": STARTS_WITHIN,
        "ws": "none",
    }


@final
class ProcessSupervisor(Multiprocess):
    """Starts the processes, replaces one that dies, and ends them."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        closed = signal.getsignal(CLOSED) if CLOSED else None
        super().__init__(config, sockets)
        if CLOSED:  # uvicorn would restart all processes, and stay
            signal.signal(CLOSED, closed)

    def terminate_all(self) -> None:
        """Close the port here as well: who comes now is refused at once, rather than kept waiting for nobody."""
        for one in self.sockets:
            one.close()
        super().terminate_all()


def _serve_processes(options: ServeOptions, listening: socket.socket) -> int:
    """Processes that uvicorn starts, watches and ends. This one imports no torch: it only waits."""
    with tempfile.TemporaryDirectory(prefix="latentfill-metrics-") as folder:
        os.environ[FOLDER] = folder
        make = partial(_make_in_process, options)
        config = uvicorn.Config(make, factory=True, workers=options.workers, **settings(options))
        print(f"latentfill serves on {address(options)}, {options.workers} processes", file=sys.stderr, flush=True)
        supervisor = ProcessSupervisor(config, sockets=[listening])
        supervisor.run()
    return 1 if any(one.exitcode == STARTUP_FAILURE for one in supervisor.processes) else 0


def _make_in_process(options: ServeOptions) -> "FastAPI":
    """The application of one of several processes; where it cannot be made, the first one gives up."""
    Thread(target=_follow_parent, daemon=True).start()
    if CLOSED:
        signal.signal(CLOSED, signal.SIG_IGN)  # the first process gets it, too, and tells this one
    try:
        return make_application(options)
    except LatentfillError as error:
        print(f"latentfill serve: {error.what}\n{error.cure}", file=sys.stderr, flush=True)
        sys.exit(STARTUP_FAILURE)


def _follow_parent() -> None:
    """End by SIGTERM, should the first process be killed: nobody else would end this one, and free the port."""
    if parent := parent_process():
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
