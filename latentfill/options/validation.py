"""Check options against the bounds that their types state."""

from dataclasses import asdict
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")
_LOCK = Lock()  # pydantic parses sources, which two threads must not do at once in Python 3.11


def adapter_of(kind: type[T]) -> "TypeAdapter[T]":
    """The validator of values of this type, cached because making it takes milliseconds."""
    with _LOCK:
        # the page configures types when it is imported
        return _make_adapter(kind, hasattr(kind, "__pydantic_config__"))  # type: ignore[arg-type]


@lru_cache(64)
def _make_adapter(kind: Any, configured: bool) -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter  # takes 50 ms, which --help should not wait for

    return TypeAdapter(kind)


def check_bounds(*parts: Any) -> None:
    """Raise ValueError, which names the option, for dataclasses with a value out of the bounds of its type."""
    from pydantic import ValidationError

    for part in parts:
        try:
            adapter_of(type(part)).validate_python(asdict(part))
        except ValidationError as error:
            first = error.errors()[0]
            name, why = first["loc"][0], first["msg"]
            raise ValueError(f"option {name}: {why[0].lower()}{why[1:]}, not {first['input']!r}") from error
