"""How the processes of a training find each other, and nobody of an attempt before."""

import secrets
import time
from collections.abc import Callable

from torch._C._distributed_c10d import PrefixStore, Store

from ...errors import RunError

LEADER = "latentfill/leader"
PATIENCE_SECONDS = 1800.0  # with machines that are on their way
LOOK_EVERY_SECONDS = 0.05


def meet(store: Store, rank: int, size: int) -> Store:
    """A part of the store that the processes of this attempt have to themselves.

    torchrun keeps its store when it starts lost workers anew, and gloo may find the addresses of those there that are
    gone, and wait for them half an hour. So the leader opens a room under a new name, and each of the others
    believes in a room only when somebody in it has welcomed it. Raises RunError when not all come.
    """
    return _host(store, size) if rank == 0 else _guest(store, rank)


def _host(store: Store, size: int) -> Store:
    name = f"latentfill/{secrets.token_hex(8)}"
    room = PrefixStore(name, store)
    store.set(LEADER, name)
    for other in map(str, range(1, size)):
        _wait(lambda knock=other: room.check([knock]))  # type: ignore[misc]
        room.set(f"welcome {room.get(other).decode()}", "")
    return room


def _guest(store: Store, rank: int) -> Store:
    own, rooms = secrets.token_hex(8), dict[str, PrefixStore]()

    def welcome() -> bool:
        name = store.get(LEADER).decode()
        if name not in rooms:
            rooms[name] = PrefixStore(name, store)
            rooms[name].set(str(rank), own)
        return rooms[name].check([f"welcome {own}"])

    _wait(lambda: store.check([LEADER]))
    _wait(welcome)
    return rooms[store.get(LEADER).decode()]


def _wait(come: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not come():
        if time.monotonic() > until:
            raise RunError(
                "the processes of this training do not find each other: not all have come",
                "Start as many as the first was told of, on machines that reach its address and port.",
            )
        time.sleep(LOOK_EVERY_SECONDS)
