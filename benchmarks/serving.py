"""A real `latentfill serve` under load: many clients at once against one that asks again and again.

Requests for whole photos (a face is looked for) and for crops of the model's size, each checked: its status, its size,
and for some that all known pixels are there to the bit. Memory of the server while it is busy, how soon a stream shows
its first frame, what the page takes to load.
"""

import argparse
import io
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, final
from urllib.parse import urlsplit

import numpy as np
from machine import heading, table
from PIL import Image
from skimage import data

BOUNDARY = "------------------------latentfill"
CHECKED = 20  # of so many answers the pixels of one are compared
FACE = (100, 190, 190, 270)  # of the astronaut: top, bottom, left, right
REFERENCES = re.compile(r"""(?:src|href)=["']([^"'#:]+)["']|@import ["']([^"']+)["']|from ["']([^"']+)["']""")


@final
@dataclass(frozen=True)
class Request:
    """A body ready to be sent, and what must come back."""

    body: bytes
    photo: np.ndarray
    hole: np.ndarray


@final
@dataclass
class Load:
    """What clients saw: seconds of each answer, what went wrong, and the seconds in all."""

    took: list[float] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    refused: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        return len(self.took) / self.seconds

    def percentile(self, share: float) -> float:
        return float(np.percentile(self.took, share)) if self.took else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="of each load with many clients")
    parser.add_argument("--alone-seconds", type=float, help="of one client alone; default a quarter of that")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--presets", nargs="+", default=["best", "fast"])
    parser.add_argument("--work", nargs="+", default=["photos", "crops"], choices=["photos", "crops"])
    parser.add_argument("--frames", type=int, default=10, help="streams to measure the first frame of")
    parser.add_argument("--address", help="of a server that runs already; its memory is not measured then")
    parser.add_argument("serve", nargs="*", help="what `latentfill serve` is told besides, after --")
    arguments = parser.parse_args()
    alone_seconds = arguments.alone_seconds or arguments.seconds / 4
    with server(arguments.address, arguments.serve) as (address, pid):
        rows, memory = [], []
        for preset in arguments.presets:
            for kind in arguments.work:
                requests = photos(preset) if kind == "photos" else crops(preset)
                run(address, requests, 1, min(5.0, alone_seconds))  # warm
                alone = run(address, requests, 1, alone_seconds)
                before = searched(address)
                watching = Memory(pid)
                many = run(address, requests, arguments.clients, arguments.seconds)
                rows.append(row(preset, kind, alone, many, before, searched(address)))
                memory.append((preset, kind, *watching.told()))
                print(".", end="", file=sys.stderr, flush=True)
                for line in many.lost[:3]:
                    print(f"\nlost: {line}", file=sys.stderr)
        frames = [first_frame(address, photos("best")[i % 4]) for i in range(arguments.frames)]
        loads = [page(address) for _ in range(5)]
    print(heading(f"Serving: {arguments.clients} clients at once, {arguments.seconds:.0f} s each"))
    head = ("preset", "pictures", "alone /s", f"{arguments.clients} at once /s", "times", "p50 s", "p95 s", "p99 s")
    print(table((*head, "squares per search", "answers", "refused (429)", "lost"), rows))
    print()
    print(table(("preset", "pictures", "MB at a quarter", "at the half", "at the end", "most"), memory))
    first, last = np.percentile(frames, (50, 100))
    print(f"\nFirst frame of a stream, warm, {len(frames)} times: median {first:.3f} s, slowest {last:.3f} s.")
    count, size, _ = loads[0]
    milliseconds = sorted(1000 * one[2] for one in loads)[len(loads) // 2]
    print(f"Page: {count} requests, {size / 1000:.0f} kB, {milliseconds:.0f} ms one after the other (median of 5).")


@contextmanager
def server(address: str | None, words: Sequence[str]) -> Iterator[tuple[str, int | None]]:
    """The address and process of a server, which ends with the `with`."""
    if address is not None:
        yield address, None
        return
    command = [sys.executable, "-m", "latentfill", "serve", "--port", "0", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        if process.stderr is None:
            raise RuntimeError("the server has no error stream")
        said = next((found for line in process.stderr if (found := re.search(r"http://\S+", line))), None)
        if said is None:
            raise RuntimeError("the server did not start")
        threading.Thread(target=process.stderr.read, daemon=True).start()  # else it would wait for its log to be read
        yield said.group().rstrip("/"), process.pid
    finally:
        process.terminate()
        process.wait(90)


def photos(preset: str) -> list[Request]:
    """The astronaut, with eight holes in her face."""
    picture: np.ndarray = data.astronaut()  # type: ignore[no-untyped-call]
    return [request(picture, hole_in(picture.shape[:2], FACE, i), preset) for i in range(8)]


def crops(preset: str) -> list[Request]:
    """Her face at the model's size, moved a little, with eight holes."""
    found, whole = [], photos(preset)[0].photo
    for i in range(8):
        part = Image.fromarray(whole[85 + i : 185 + i, 175 + i : 275 + i])
        picture = np.asarray(part.resize((64, 64), Image.Resampling.BOX))
        found.append(request(picture, hole_in((64, 64), (10, 54, 10, 54), i), preset))
    return found


def hole_in(shape: tuple[int, int], within: tuple[int, int, int, int], number: int) -> np.ndarray:
    """A rectangle of a quarter of the part, elsewhere for each number."""
    top, bottom, left, right = within
    height, width = (bottom - top) // 2, (right - left) // 2
    y, x = top + height * (number % 3) // 2, left + width * (number // 3) // 2
    hole = np.zeros(shape, np.uint8)
    hole[y : y + height, x : x + width] = 255
    return hole


def request(photo: np.ndarray, hole: np.ndarray, preset: str) -> Request:
    parts = [("photo", png(photo), "; filename=photo.png"), ("hole", png(hole), "; filename=hole.png")]
    parts.append(("preset", preset.encode(), ""))
    body = b"".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"
        for name, value, more in parts
    )
    return Request(body + f"--{BOUNDARY}--\r\n".encode(), photo, hole)


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def run(address: str, requests: Sequence[Request], clients: int, seconds: float) -> Load:
    """So many clients, each with a connection of its own, that ask without a pause."""
    load, lock, end = Load(), threading.Lock(), time.monotonic() + seconds

    def ask(number: int) -> None:
        connection, asked = connect(address), number
        while time.monotonic() < end:
            one = requests[asked % len(requests)]
            begun = time.perf_counter()
            try:
                status, answer, wait = post(connection, "/api/v1/complete", one.body)
                wrong = wrongs(one, answer, thorough=asked % CHECKED == 0) if status == 200 else f"status {status}"
            except OSError as error:
                status, wrong, wait = 0, repr(error), 0.0
                connection.close()
                connection = connect(address)
            with lock:
                if status == 429:
                    load.refused += 1
                elif wrong:
                    load.lost.append(wrong)
                else:
                    load.took.append(time.perf_counter() - begun)
            if status == 429:
                time.sleep(min(wait, 1.0))
            asked += clients
        connection.close()

    begun = time.monotonic()
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    load.seconds = time.monotonic() - begun
    return load


def wrongs(one: Request, answer: bytes, *, thorough: bool) -> str:
    """What is wrong with an answer; empty if nothing is."""
    size = int.from_bytes(answer[20:24], "big"), int.from_bytes(answer[16:20], "big")
    if not answer.startswith(b"\x89PNG") or size != one.hole.shape:
        return f"{answer[:60]!r}"
    if thorough:
        made = np.asarray(Image.open(io.BytesIO(answer)))
        if not np.array_equal(made[one.hole == 0], one.photo[one.hole == 0]):
            return "known pixels have changed"
    return ""


def connect(address: str) -> HTTPConnection:
    return HTTPConnection(urlsplit(address).netloc, timeout=300)


def post(connection: HTTPConnection, path: str, body: bytes) -> tuple[int, bytes, float]:
    """Status, answer, and after how many seconds to come again if it says so."""
    connection.request("POST", path, body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
    answer = connection.getresponse()
    return answer.status, answer.read(), float(answer.headers.get("Retry-After", 0))


def first_frame(address: str, one: Request) -> float:
    """Seconds from the request to the first frame; then the client leaves."""
    connection = connect(address)
    begun = time.perf_counter()
    connection.request(
        "POST", "/api/v1/complete/stream", one.body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    )
    answer = connection.getresponse()
    while json.loads(answer.readline())["event"] != "step":
        pass
    seconds = time.perf_counter() - begun
    connection.close()
    time.sleep(0.5)  # for its search to stop
    return seconds


def page(address: str) -> tuple[int, int, float]:
    """Requests, bytes and seconds of the page and of all that it names, each once."""
    connection, begun, size = connect(address), time.perf_counter(), 0
    wanted, seen = ["/"], {"/"}
    for path in wanted:
        connection.request("GET", path, headers={"Accept-Encoding": "identity"})
        answer = connection.getresponse()
        body = answer.read()
        size += len(body)
        if "text" not in answer.headers.get("Content-Type", ""):
            continue
        for groups in REFERENCES.findall(body.decode()):
            name = os.path.normpath("/" + next(filter(None, groups)).lstrip("./"))
            if name not in seen:
                seen.add(name)
                wanted.append(name)
    connection.close()
    return len(wanted), size, time.perf_counter() - begun


def searched(address: str) -> tuple[float, float]:
    """Searches so far, and their squares in all."""
    connection = connect(address)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    found = dict(re.findall(r"^latentfill_batch_squares_(count|sum) (\S+)$", text, re.MULTILINE))
    return float(found.get("count", 0)), float(found.get("sum", 0))


@final
class Memory:
    """What a process keeps in memory, once a second until it is told."""

    def __init__(self, pid: int | None) -> None:
        self._pid, self._end, self._seen = pid, threading.Event(), list[float]()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def told(self) -> tuple[Any, ...]:
        """MB at a quarter of the time, at the half, at the end, and the most."""
        self._end.set()
        self._thread.join()
        if not self._seen:
            return ("-",) * 4
        at = [self._seen[len(self._seen) // 4], self._seen[len(self._seen) // 2], self._seen[-1], max(self._seen)]
        return tuple(f"{one:.0f}" for one in at)

    def _watch(self) -> None:
        while self._pid is not None and not self._end.wait(1.0):
            text = Path(f"/proc/{self._pid}/status").read_text()
            found = re.search(r"VmRSS:\s+(\d+) kB", text)
            if found:
                self._seen.append(int(found.group(1)) / 1000)


def row(
    preset: str, kind: str, alone: Load, many: Load, before: tuple[float, float], after: tuple[float, float]
) -> tuple[object, ...]:
    searches, squares = after[0] - before[0], after[1] - before[1]
    times = [f"{many.percentile(share):.2f}" for share in (50, 95, 99)]
    together = f"{squares / searches:.1f}" if searches else "-"
    rates = f"{alone.rate:.2f}", f"{many.rate:.2f}", f"{many.rate / alone.rate:.2f}" if alone.rate else "-"
    return (preset, kind, *rates, *times, together, len(many.took), many.refused, len(many.lost) + len(alone.lost))


if __name__ == "__main__":
    main()
