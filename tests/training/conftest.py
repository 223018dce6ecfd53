from collections.abc import Callable
from typing import Any

import pytest
import torch


@pytest.fixture
def equal() -> Callable[[Any, Any], bool]:
    """Whether two states agree to the bit, however deep, memory layout included."""
    return _equal


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b) and a.stride() == b.stride()
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_equal, a, b))
    return bool(a == b)
