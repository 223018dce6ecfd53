"""Two processes that speak to each other, forked once for all tests here: torch is imported already."""

import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import pytest
import torch
import torch.utils.tensorboard  # slow, and once is enough for all

Both = Callable[..., list[Any]]
PROCESSES = 2


def work(rank: int, port: int, orders: Connection) -> None:
    from latentfill.runs.distributed import join

    torch.set_num_threads(1)
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": PROCESSES, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in place.items()}
    distributed = join("cpu")
    while order := orders.recv():
        act, arguments = order
        try:
            orders.send((act(distributed, *arguments), None))
        except Exception as error:
            orders.send((None, error))
    distributed.close()


@pytest.fixture(scope="session")
def both() -> Iterator[Both]:
    """Has both processes act with its place among them and these arguments; returns both results, or raises."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    pipes = [context.Pipe() for _ in range(PROCESSES)]
    processes = [context.Process(target=work, args=(i, port, theirs)) for i, (_, theirs) in enumerate(pipes)]
    for process in processes:
        process.start()

    def ask(act: Callable[..., Any], *arguments: Any) -> list[Any]:
        for ours, _ in pipes:
            ours.send((act, arguments))
        answers = []
        for ours, _ in pipes:
            for _ in range(1_200):
                if ours.poll(0.1):
                    break
                assert all(process.is_alive() for process in processes), "a process has died"
            assert ours.poll(), "a process does not answer"
            answer, error = ours.recv()
            if error:
                for other, _ in pipes:
                    if other is not ours and other.poll(5):  # it has mostly met the same
                        other.recv()
                raise error
            answers.append(answer)
        return answers

    yield ask
    for ours, _ in pipes:
        ours.send(None)
    for process in processes:
        process.join(10)
        process.kill()
