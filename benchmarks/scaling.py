"""How training scales: N processes of one thread each against one process of N threads, on generated pictures.

Both learn from batches of the same size, for the same steps; the first few are not timed. Efficiency is the ratio of
their images per second: what the exchange of gradients and the waiting for each other leave of it. They take turns, so
that what else the machine does meets both, and medians are shown. On a busy machine the processor's time for an image,
over all processes, says more: waiting for each other costs none of it, exchanging does.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

import torch
from machine import heading, table
from throughput import FOREVER, new_trainer, noise

from latentfill.device import choose_device
from latentfill.options import GAN_PRESETS
from latentfill.process_group import use_process_group
from latentfill.runs.distributed import join

WARM_UP = 2  # steps


def measure(preset: str, size: int, batch_size: int, threads: int, steps: int) -> dict[str, float]:
    """Images per second of this process's distributed, and this process's own processor seconds for each of them."""
    torch.set_num_threads(threads)
    distributed = join("cpu")
    chosen, recipe = GAN_PRESETS[preset]
    network: Any = replace(chosen, size=size)  # type: ignore[arg-type]
    options = replace(recipe, images_seen=FOREVER, batch_size=batch_size, redraw_first=0)  # the game alone
    trainer = new_trainer(preset, network, options, choose_device("cpu"))
    real = noise(network, trainer.real_images, torch.device("cpu"))[distributed.rows]
    begun = processor = 0.0
    with use_process_group(distributed.group):
        for step in range(WARM_UP + steps):
            if step == WARM_UP:
                begun, processor = time.perf_counter(), time.process_time()
            distributed.gather_metrics(trainer.step(real), False)
    images = steps * trainer.real_images
    found = {"rate": images / (time.perf_counter() - begun), "cost": (time.process_time() - processor) / images}
    distributed.close()
    return found


def started(processes: int, arguments: list[Any]) -> tuple[float, float]:
    """Images per second of so many processes, and the processor's seconds for each, over all of them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = []
    for rank in range(processes):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1"}
        environment = os.environ | {name: str(value) for name, value in (place | {"MASTER_PORT": port}).items()}
        words = [sys.executable, __file__, "--one", json.dumps(arguments)]
        running.append(subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True))
    said = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise SystemExit("a process failed; see above")
    found = [json.loads(text.splitlines()[-1]) for text in said]
    return float(found[0]["rate"]), float(sum(one["cost"] for one in found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--presets", nargs="+", choices=GAN_PRESETS, default=["modern", "seed"])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64])
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=16, help="timed in each turn; a multiple of 8 has all penalties")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(*json.loads(arguments.one))))
        return
    n, rows = arguments.processes, []
    for preset in arguments.presets:
        for size in arguments.sizes:
            rates: dict[int, list[tuple[float, float]]] = {1: [], n: []}
            for _ in range(arguments.turns):
                for count in rates:
                    given = [preset, size, arguments.batch_size, n // count, arguments.steps]
                    rates[count].append(started(count, given))
            (one, cost), (many, costs) = (map(statistics.median, zip(*rates[count], strict=True)) for count in (1, n))
            times = f"{1000 * cost:.1f} and {1000 * costs:.1f}"
            rows.append([preset, size, f"{one:.1f}", f"{many:.1f}", f"{many / one:.2f}", times, f"{cost / costs:.2f}"])
            print(rows[-1], flush=True)
    print(heading(f"Training in {n} processes of one thread against one of {n}, batches of {arguments.batch_size}"))
    head = ("preset", "px", f"1 x {n} threads, images/s", f"{n} x 1 thread, images/s", "efficiency")
    print(table((*head, "processor ms per image", "ratio"), rows))


if __name__ == "__main__":
    main()
