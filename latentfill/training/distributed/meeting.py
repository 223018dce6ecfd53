"""How processes that were started together find each other, and nothing that an earlier start left behind."""

import time
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

PAUSE = 0.02  # seconds between looks at the store
PATIENCE = timedelta(minutes=30)  # as torch waits for the last process


def word(store: "Store", rank: int, size: int, patience: timedelta = PATIENCE) -> str:
    """A word that those who now call this share, and no one who called it before.

    torchrun (2.13) gives workers that it starts again the same store, where the addresses of the dead still stand,
    to which the living then connect. So each calls out a word of its own, and the leader answers with the common one
    until each has shown that the answer was to him and not to one before him.

    Raises RuntimeError when some do not come.
    """
    own, deadline = uuid4().hex, time.monotonic() + patience.total_seconds()
    absent = set(range(1, size)) if rank == 0 else {rank}
    if rank:
        store.set(f"call/{rank}", own)
    while absent:
        for other in sorted(absent):
            if rank == 0:
                if store.check([f"heard/{own}/{other}"]):
                    absent.remove(other)
                elif store.check([f"call/{other}"]):
                    store.set(f"answer/{other}", f"{store.get(f'call/{other}').decode()} {own}")
            elif store.check([f"answer/{rank}"]):
                called, common = store.get(f"answer/{rank}").decode().split()
                if called == own:
                    store.set(f"heard/{common}/{rank}", "")
                    return common
        if time.monotonic() > deadline:
            raise RuntimeError(f"after {patience} process {min(absent) if rank == 0 else 0} of {size} did not answer")
        time.sleep(PAUSE)
    return own
