"""The processes of one training: their rendezvous, and a leader that writes and decides while all train."""

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast, final
from uuid import uuid4

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from ..errors import LatentfillError, RunError
from ..process_group import ALONE, ProcessGroup

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

PAUSE = 0.02  # seconds between requests to the store
PATIENCE = timedelta(minutes=30)  # torch waits as long for the last process


def rendezvous_key(store: "Store", rank: int, size: int, patience: timedelta = PATIENCE) -> str:
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


T = TypeVar("T")
COLLECTIVE_PATIENCE = timedelta(
    days=1
)  # the leader may decode, score or save for long; a process that dies meanwhile is noticed at once
LAUNCHED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # what torchrun tells each process
LOST = "Give `torchrun --max-restarts N` or `--engine ray`, and the rest goes on from the newest checkpoint by itself."


@final
class ProcessLostError(RunError):
    """A process of the training is lost, and with it the current step."""


@final
@dataclass(frozen=True)
class DistributedContext:
    """This process's place among those of a training. Alone, everything happens as if there were no distributed."""

    group: ProcessGroup = ALONE
    device: torch.device | None = None
    """that was given to this process, if it is one of several"""
    local: int = 0
    """its rank among those of this machine"""
    gloo: Any = field(default=None, compare=False)
    """through what plain objects are sent, never by a GPU"""

    @property
    def is_rank_zero(self) -> bool:
        return self.group.rank == 0

    @property
    def rows(self) -> slice:
        """The images of a batch that are this process's."""
        return slice(self.group.rank, None, self.group.size)

    def on_rank_zero(self, act: Callable[[], T]) -> T:
        """Run an act on rank zero; all processes return or raise what it does, and wait for it as long as it takes."""
        if self.group.size == 1:
            return act()
        told: list[Any] = [None, None]
        try:
            if self.is_rank_zero:
                told[0] = act()
        except (LatentfillError, OSError) as error:
            told[1] = error
        except BaseException as error:
            self._broadcast([None, RunError(f"the first process stopped: {error!r}", "Its own message says why.")])
            raise
        told = self._broadcast(told)
        if told[1] is not None:
            raise told[1]
        return cast(T, told[0])

    def once_per_machine(self, act: Callable[[], T]) -> T:
        """The same act in all processes, but on each machine one goes first: what it leaves there the others find.

        Raises in all of them what any of the first raised.
        """
        if self.group.size == 1:
            return act()
        found: list[T] = []
        failed: LatentfillError | OSError | None = None
        try:
            found = [act()] if not self.local else []
        except (LatentfillError, OSError) as error:
            failed = error
        errors = [error for error in self._all(failed) if error is not None]
        if errors:
            raise errors[0]
        return found[0] if found else act()

    def gather_metrics(self, values: Mapping[str, Tensor], stop: bool) -> tuple[dict[str, Tensor], bool]:
        """Join all processes' measurements of a step, and tell whether anybody wants to stop.

        Numbers are means, vectors have one value for each image in the order of the images.
        """
        if self.group.size == 1:
            return dict(values), stop
        stops = torch.tensor([int(stop)])
        dist.all_reduce(stops, dist.ReduceOp.MAX, group=self.gloo)
        if not values:
            return {}, bool(stops)
        flat = torch.cat([value.detach().float().flatten() for value in values.values()])
        rows = [torch.empty_like(flat) for _ in range(self.group.size)]
        dist.all_gather(rows, flat, group=self.group.group)
        sizes = [value.numel() for value in values.values()]
        parts = torch.split(torch.stack(rows), sizes, 1)
        pairs = zip(values.items(), parts, strict=True)
        return {name: part.T.flatten() if value.dim() else part.mean() for (name, value), part in pairs}, bool(stops)

    def check_same(self, what: str, *things: object) -> None:
        """Raise RunError unless all processes say the same."""
        if self.group.size == 1:
            return
        digest = hashlib.sha256(repr(things).encode(errors="surrogateescape")).hexdigest()
        if len(set(self._all(digest))) > 1:
            raise RunError(
                f"the processes of this training were not given the same {what}",
                "Start all of them with the same command, on machines that hold the same files.",
            )

    def check_batch(self, batch_size: int) -> None:
        """Raise LatentfillError for a batch that cannot be shared out evenly."""
        size = self.group.size
        if batch_size % size:
            near = max(size, round(batch_size / size) * size)
            raise LatentfillError(
                f"a batch of {batch_size} cannot be shared evenly among {size} processes",
                f"Train with --batch-size {near}, or start another number of processes.",
            )

    def explain_loss(self, error: RuntimeError) -> RuntimeError | ProcessLostError:
        """The exception for an error of a step: plain words if it says that another process is gone."""
        text = str(error)
        if self.group.size > 1 and (isinstance(error, dist.DistError) or "gloo" in text or "NCCL" in text):
            return ProcessLostError(f"another process of this training was lost ({text.splitlines()[0]})", LOST)
        return error

    def close(self) -> None:
        """Speak to the others no more."""
        if self.group.size > 1 and dist.is_initialized():
            dist.destroy_process_group()

    def _broadcast(self, values: list[Any]) -> list[Any]:
        try:
            dist.broadcast_object_list(values, src=0, group=self.gloo)
        except RuntimeError as error:
            raise self.explain_loss(error) from error
        return values

    def _all(self, thing: Any) -> list[Any]:
        things: list[Any] = [None] * self.group.size
        try:
            dist.all_gather_object(things, thing, group=self.gloo)
        except RuntimeError as error:
            raise self.explain_loss(error) from error
        return things


SINGLE_PROCESS = DistributedContext()


def join(device: str = "auto", environment: Mapping[str, str] = os.environ) -> DistributedContext:
    """The place of this process in the distributed that torchrun made it a part of; without one it is alone.

    Raises LatentfillError when there are more processes than devices, or when they do not find each other.
    """
    if not all(name in environment for name in LAUNCHED) or environment["WORLD_SIZE"] == "1":
        return SINGLE_PROCESS
    local = int(environment.get("LOCAL_RANK", 0))
    here = own_device(device, local)
    try:
        store, rank, size = next(rendezvous("env://"))
        store = PrefixStore(rendezvous_key(store, rank, size), store)
        dist.init_process_group("nccl" if here.type == "cuda" else "gloo", store=store, rank=rank, world_size=size)
    except (RuntimeError, ValueError) as error:
        raise RunError(
            f"the processes of this training do not find each other: {str(error).splitlines()[0]}",
            "See that all machines reach the address and the port given to torchrun.",
        ) from error
    return current_context(here, local)


def current_context(device: torch.device, local: int) -> DistributedContext:
    """The place in a distributed whose processes speak already."""
    if dist.get_world_size() == 1:
        return SINGLE_PROCESS
    if device.type == "cuda":
        torch.cuda.set_device(device)
    words = dist.new_group(backend="gloo", timeout=COLLECTIVE_PATIENCE)
    return DistributedContext(
        ProcessGroup(dist.get_rank(), dist.get_world_size(), dist.group.WORLD), device, local, words
    )


def own_device(name: str, local: int) -> torch.device:
    """The device of one of several processes on a machine: each its own GPU, or all the processor."""
    if name not in ("auto", "cuda", "cpu"):
        raise LatentfillError(
            f"--device {name} cannot be shared by several processes", "Give auto, cuda or cpu: each takes its own GPU."
        )
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if local >= torch.cuda.device_count():
        raise LatentfillError(
            f"process {local} of this machine has no GPU: there are {torch.cuda.device_count()}",
            "Start as many processes as GPUs, or give --device cpu.",
        )
    return torch.device("cuda", local)
