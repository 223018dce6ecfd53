"""Metrics for Prometheus: requests, how long they took, how many wait, and what was refused."""

import os
from pathlib import Path
from typing import final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

from ..batch.workers import is_alive

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # where the processes of one server collect their counts
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
SQUARES = (1, 2, 4, 8, 16, 32, 64, 128)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@final
class Metrics:
    """Counts of one process; `text` has those of all processes of the server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        here = self._registry
        self.requests = Counter(
            "latentfill_requests", "requests answered", ("route", "method", "status"), registry=here
        )
        self.seconds = Histogram(
            "latentfill_request_seconds",
            "from the request to its last byte",
            ("route",),
            buckets=SECONDS,
            registry=here,
        )
        self.received = Counter("latentfill_received_bytes", "bytes of requests", registry=here)
        self.refused = Counter("latentfill_refused", "requests refused, and why", ("reason",), registry=here)
        self.open = Gauge("latentfill_open_requests", "being answered now", multiprocess_mode="livesum", registry=here)
        self.waiting = Gauge(
            "latentfill_queue_length", "requests that wait for the device", multiprocess_mode="livesum", registry=here
        )
        self.batches = Histogram(
            "latentfill_batch_squares", "squares searched side by side", buckets=SQUARES, registry=here
        )
        self.searches = Histogram("latentfill_search_seconds", "of one search", buckets=SECONDS, registry=here)
        self.frames = Counter("latentfill_frames", "frames streamed", registry=here)
        self.cancelled = Counter("latentfill_cancelled", "searches whose client has left", registry=here)

    def text(self) -> bytes:
        """All counts, as Prometheus reads them."""
        folder = os.environ.get(FOLDER)
        if not folder:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        multiprocess.MultiProcessCollector(together, folder)  # type: ignore[no-untyped-call]
        return generate_latest(together)


def remove_dead(folder: Path) -> None:
    """Remove the gauges of processes that have ended: they have no present."""
    for path in folder.glob("gauge_live*_*.db"):
        pid = path.stem.rsplit("_", 1)[1]
        if pid.isdigit() and not is_alive(int(pid)):
            path.unlink(missing_ok=True)
