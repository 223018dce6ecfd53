"""What is measured while a training runs: means of its losses, and its pace."""

import time
from collections.abc import Mapping
from typing import final

import torch


@final
class Means:
    """Means of what the steps return, summed where it was computed: only who reads them waits for the device."""

    def __init__(self) -> None:
        self.count = 0
        self.names: tuple[str, ...] = ()
        self.sums: torch.Tensor | float = 0.0

    def add(self, values: Mapping[str, torch.Tensor]) -> None:
        """Count one batch."""
        self.names, self.count = tuple(values), self.count + 1
        self.sums = self.sums + torch.stack([value.mean() for value in values.values()])

    def read(self) -> dict[str, float]:
        """The means of all batches added."""
        means = torch.as_tensor(self.sums) / max(1, self.count)
        return dict(zip(self.names, means.tolist(), strict=True))


@final
class Clock:
    """Images per second, since the start and since the last lap."""

    def __init__(self, images_seen: int) -> None:
        self.start = self.last = (time.perf_counter(), images_seen)

    def rate(self, images_seen: int) -> float:
        """Since the start."""
        return (images_seen - self.start[1]) / (time.perf_counter() - self.start[0])

    def lap(self, images_seen: int) -> float:
        """Since the last lap, and a new one begins."""
        then, self.last = self.last, (time.perf_counter(), images_seen)
        return (images_seen - then[1]) / (self.last[0] - then[0])
