import os
import subprocess
import sys

from latentfill.web.metrics import FOLDER, Metrics, remove_dead


def sample(text, name):
    return {
        line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name)
    }


def test_requests_are_counted_by_route_and_never_by_path(serve):
    client = serve()
    for path in ("/healthz", "/healthz", "/nowhere", "/another"):
        client.get(path)
    client.request("BREW", "/healthz")
    told = client.get("/metrics")
    assert told.headers["content-type"].startswith("text/plain; version=0.0.4")
    counted = sample(told.text, "latentfill_requests_total")
    assert counted['latentfill_requests_total{method="GET",route="/healthz",status="200"}'] == 2
    assert counted['latentfill_requests_total{method="GET",route="other",status="404"}'] == 2
    assert "nowhere" not in told.text and "BREW" not in told.text
    assert sample(told.text, "latentfill_request_seconds_count")['latentfill_request_seconds_count{route="other"}'] == 2
    assert sample(told.text, "latentfill_open_requests") == {"latentfill_open_requests": 1}  # this one


def test_what_is_refused_is_counted_with_its_reason(serve):
    client = serve(token="correct-horse-battery", max_bytes=10)
    client.get("/healthz", headers={"host": "evil.example"})
    client.get("/metrics")
    client.post("/api/v1/sample", content=b"x" * 11, headers={"authorization": "Bearer correct-horse-battery"})
    told = client.get("/metrics", headers={"authorization": "Bearer correct-horse-battery"}).text
    for reason in ("host", "token", "size"):
        assert sample(told, "latentfill_refused_total")[f'latentfill_refused_total{{reason="{reason}"}}'] == 1


def test_all_is_there_before_anything_has_happened():
    told = Metrics().text().decode()
    for name in ("queue_length", "batch_squares_count", "search_seconds_count", "frames_total", "cancelled_total"):
        assert sample(told, f"latentfill_{name}") == {f"latentfill_{name}": 0}


COUNT = """
from latentfill.web.metrics import Metrics
metrics = Metrics()
metrics.frames.inc({count})
metrics.waiting.set({count})
if {show}: print(metrics.text().decode())
"""


def test_processes_count_together_and_the_dead_do_not_wait(tmp_path):
    def run(count, show):
        command = [sys.executable, "-c", COUNT.format(count=count, show=show)]
        told = subprocess.run(command, env={**os.environ, FOLDER: str(tmp_path)}, check=True, capture_output=True)
        return told.stdout.decode()

    run(3, False)
    remove_dead(tmp_path)
    told = run(4, True)
    assert sample(told, "latentfill_frames_total") == {"latentfill_frames_total": 7}
    assert sample(told, "latentfill_queue_length") == {"latentfill_queue_length": 4}
