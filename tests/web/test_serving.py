"""Processes as they are started: one server for all questions here, since each takes seconds to start."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from shutil import which
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from uvicorn.supervisors import Multiprocess

from latentfill.errors import LatentfillError, ModelError
from latentfill.gan.model_file import save
from latentfill.options import ServeOptions
from latentfill.web import serving
from latentfill.web.serving import address, bind, load, serve, settings, shipped

PROJECT = Path(__file__).parents[2]
TOKEN = "correct-horse-battery"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(autouse=True)
def _handlers():
    """Puts the handlers of signals back: what runs here in place of a process sets its own."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def model(gan, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    save(gan, path)
    return path


@pytest.fixture(scope="module")
def server(model, tmp_path_factory):
    """Two processes on one port; the port, and the process that watches them."""
    command = [sys.executable, "-m", "latentfill", "serve", "--port", "0", "--workers", "2", "--models", str(model)]
    log = tmp_path_factory.mktemp("log") / "log"
    environment = {**os.environ, "LATENTFILL_TOKEN": TOKEN, "OMP_NUM_THREADS": "1"}
    with log.open("wb") as file:
        process = subprocess.Popen(command, stderr=file, env=environment)
    try:
        for _ in range(600):
            found = re.search(r"http://127\.0\.0\.1:(\d+)/, 2 processes", log.read_text())
            if found and answers(int(found[1])):
                break
            time.sleep(0.1)
        yield int(found[1]), process, log
    finally:
        process.terminate()
        process.wait(60)


def answers(port):
    try:
        return get(port, "/healthz")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def refuses(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
        return False
    except ConnectionRefusedError:
        return True


def get(port, path, method="GET", body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, body, BEARER)
    answer = connection.getresponse()
    return answer.status, answer.read()


def metric(port, line):
    found = re.search(rf"^{re.escape(line)} (\S+)$", get(port, "/metrics")[1].decode(), re.M)
    return float(found[1]) if found else 0.0


def test_two_processes_answer_on_one_port_and_count_together(server):
    port, _, _ = server
    line = 'latentfill_requests_total{method="GET",route="/api/v1/models",status="200"}'
    before = metric(port, line)
    for _ in range(12):
        status, body = get(port, "/api/v1/models")
        assert status == 200 and json.loads(body)["default"] == "tiny"
    assert metric(port, line) == before + 12


def test_a_client_that_sends_slowly_holds_nobody_up(server):
    port, _, _ = server
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(8)]
    for one in slow:
        one.sendall(b"POST /api/v1/sample HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    assert get(port, "/api/v1/sample", "POST", json.dumps({"images": [{"1": 1}]}))[0] == 200
    for one in slow:
        one.close()


def test_headers_without_end_are_refused(server):
    port, _, _ = server
    with socket.create_connection(("127.0.0.1", port), timeout=20) as one:
        try:
            one.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 200_000 + b"\r\n\r\n")
            assert one.recv(100).split(b" ")[1][:1] == b"4"
        except ConnectionError:
            pass


def documented(language):
    """The examples of one language in docs/how-to/serving.md."""
    return re.findall(rf"^```{language}\n(.*?)^```", (PROJECT / "docs/how-to/serving.md").read_text(), re.M | re.S)


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """What the examples expect where they are run."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    hole = np.zeros((20, 30), np.uint8)
    hole[5:12, 10:18] = 255
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    Image.fromarray(hole).save(tmp_path / "hole.png")
    monkeypatch.chdir(tmp_path)
    return pixels, hole


def is_completed(pixels, hole, file="done.png"):
    done = np.asarray(Image.open(file))
    return np.array_equal(done[hole == 0], pixels[hole == 0]) and not np.array_equal(done, pixels)


@pytest.mark.skipif(which("curl") is None, reason="curl is not here")
def test_the_example_for_curl_completes_a_photo(server, pictures):
    port, _, _ = server
    (line,) = [one for one in documented("sh") if one.startswith("curl")]
    shown = line.replace(":8000", f":{port}").replace("curl ", f"curl -sS -H 'Authorization: Bearer {TOKEN}' ", 1)
    subprocess.run(shown, shell=True, check=True)
    assert is_completed(*pictures)


def test_the_clients_in_python_complete_and_watch(server, pictures, capsys):
    port, _, _ = server
    complete, stream = documented("python")
    for example in (complete, stream):
        shown = example.replace(":8000", f":{port}").replace(
            "timeout=120", f"timeout=120, headers={{'Authorization': 'Bearer {TOKEN}'}}"
        )
        exec(compile(shown, "docs/how-to/serving.md", "exec"), {})
    assert all(is_completed(*pictures, f"done-{number}.png") for number in (1, 2, 3))
    events = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    start = events.index("queued")
    assert events[start + 1] == "started" and events[-1] == "done"


def test_the_container_asks_whether_the_server_lives(server):
    port, _, _ = server
    (check,) = re.findall(r"^HEALTHCHECK .* CMD (\[.*\])$", (PROJECT / "Containerfile").read_text(), re.M)
    command = [word.replace(":8000", f":{port}") for word in json.loads(check)]
    assert subprocess.run([sys.executable, *command[1:]], check=False).returncode == 0
    assert subprocess.run(
        [sys.executable, *json.loads(check.replace(":8000", ":9"))[1:]], check=False, stderr=subprocess.DEVNULL
    ).returncode


def test_what_runs_is_finished_when_the_server_is_told_to_stop(server):
    """The last one: after it there is no server any more."""
    port, process, log = server
    body = json.dumps({"images": [{"1": 1}]}).encode()
    one = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    one.putrequest("POST", "/api/v1/sample")
    one.putheader("Authorization", f"Bearer {TOKEN}")
    one.putheader("Content-Length", str(len(body)))
    one.endheaders(body[:10])
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    for _ in range(600):
        if refuses(port):
            break
        time.sleep(0.05)
    assert refuses(port) and process.poll() is None  # nobody else, but this one
    one.send(body[10:])
    answer = one.getresponse()
    assert answer.status == 200 and len(json.loads(answer.read())["images"]) == 1
    assert process.wait(20) == 0
    told = log.read_text()
    assert "Traceback" not in told and TOKEN not in told


def test_a_port_that_is_taken_is_said():
    with bind(ServeOptions(port=0)) as taken, pytest.raises(LatentfillError, match=r"127.0.0.1 port \d+: .* in use"):
        bind(ServeOptions(port=taken.getsockname()[1]))
    with pytest.raises(LatentfillError, match="Give another --port, or --host"):
        bind(ServeOptions(host="203.0.113.7"))
    with pytest.raises(LatentfillError, match="Give another --port, or --host"):
        bind(ServeOptions(host="no such host"))


def test_several_processes_that_cannot_start_say_why_and_are_not_started_again(capsys, monkeypatch):
    options = ServeOptions(models=("no-such-model",), workers=2, port=0)

    def run(watch):  # as uvicorn's own, which gives up at this code alone
        with pytest.raises(SystemExit) as ended:
            watch.config.app()
        watch.processes = [SimpleNamespace(exitcode=ended.value.code)]

    monkeypatch.setattr(Multiprocess, "__init__", lambda watch, config, sockets: setattr(watch, "config", config))
    monkeypatch.setattr(Multiprocess, "run", run)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    assert serve(options) == 1
    told = capsys.readouterr().err
    assert "no model 'no-such-model'" in told and "Give a model file" in told


def test_the_address_is_one_that_a_browser_can_open():
    assert address(ServeOptions()) == "http://127.0.0.1:8000/"
    assert address(ServeOptions(host="::1", port=1)) == "http://[::1]:1/"
    assert address(ServeOptions(host="0.0.0.0")) == "http://localhost:8000/"


def test_nothing_that_a_proxy_claims_is_believed():
    told = settings(ServeOptions())
    assert told["proxy_headers"] is False and told["server_header"] is False and told["access_log"] is False


def test_a_process_that_is_slow_to_start_is_not_taken_for_one_that_hangs(monkeypatch):
    patience = []
    starting = SimpleNamespace(is_alive=lambda timeout: patience.append(timeout) or timeout > 15)
    watch = serving.ProcessSupervisor(serving.uvicorn.Config("x", **settings(ServeOptions())), [])
    watch.processes = [starting]
    watch.keep_subprocess_alive()
    assert watch.processes == [starting] and patience == [30]


def test_models_are_known_by_their_names(model, tmp_path):
    found = load(ServeOptions(models=(str(model),)))
    assert list(found.gans) == ["tiny"] and found.cards["tiny"].startswith("# tiny")
    with pytest.raises(ModelError, match="two models are called 'tiny'"):
        load(ServeOptions(models=(str(model), str(model))))
    with pytest.raises(ModelError, match="no such file"):
        load(ServeOptions(models=(str(tmp_path / "other.safetensors"),)))


def test_the_models_of_the_package_are_offered_the_default_first():
    from latentfill.models import DEFAULT, names

    assert shipped()[0] == DEFAULT and sorted(shipped()) == names()


def test_what_was_written_of_a_model_is_its_card(model, gan, tmp_path):
    from latentfill.models import hub as pushed

    pushed.write(model, tmp_path / "shared", "shared", text="---\nlicense: mit\n---\n\n# Written by hand\n")
    assert load(ServeOptions(models=(str(tmp_path / "shared"),))).cards == {"shared": "# Written by hand\n"}


def test_a_process_ends_when_the_first_one_was_killed(monkeypatch):
    ended = []
    monkeypatch.setattr(serving.os, "kill", lambda pid, number: ended.append((pid, number)))
    monkeypatch.setattr(serving, "parent_process", lambda: SimpleNamespace(join=lambda: ended.append("the first")))
    serving._follow_parent()
    assert ended == ["the first", (os.getpid(), signal.SIGTERM)]


@pytest.mark.parametrize("started", ["in a terminal", "with nohup"])
def test_a_closed_terminal_ends_one_process_or_several_unless_it_is_to_be_outlived(started, monkeypatch):
    numbers = (*serving.uvicorn.supervisors.multiprocess.SIGNALS, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    nohup, ended = started == "with nohup", []
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN if nohup else signal.SIG_DFL)
        serving.end_with_terminal()
        signal.signal(signal.SIGTERM, lambda number, frame: ended.append(number))
        signal.raise_signal(signal.SIGHUP)
        assert ended == ([] if nohup else [signal.SIGTERM])
        watch = serving.ProcessSupervisor(serving.uvicorn.Config("x"), [])
        signal.raise_signal(signal.SIGHUP)
        watch.handle_signals()
        assert watch.should_exit.is_set() is not nohup
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
