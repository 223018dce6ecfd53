"""The choices of those who have more than one machine, or more than one core."""

from dataclasses import dataclass
from typing import Annotated, Literal, final

from annotated_types import Ge


@final
@dataclass(frozen=True)
class EngineOptions:
    """Who does the work."""

    engine: Literal["plain", "ray"] = "plain"
    """plain, this machine; or ray (extra `ray`), actors on this machine or, with RAY_ADDRESS=HOST:6379 in the
    environment, on a cluster whose machines all see the same files"""
    workers: Annotated[int, Ge(0)] = 0
    """processes that share the work and the --threads, of ray its actors; 0 takes one for each GPU or core, if there
    is enough to do"""
    dashboard: bool = False
    """of ray on this machine: its page of what goes on, http://127.0.0.1:8265"""
