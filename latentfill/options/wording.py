"""Messages speak of the command line's flags; these functions put them as `fill` has them, for users of Python."""

import re

from ..errors import LatentfillError
from .completion import CompleteOptions, PhotoOptions, ReadLimits

FLAG = re.compile(r"( \()?--([a-z][a-z-]*)(?: (\d+|center|faces|biharmonic|[A-Z]+(?:,[A-Z]+)+))?(\))?")
ARGUMENTS = ("landmarks", "observe")  # of `fill` itself


def in_python(words: str) -> str:
    """The same with `PhotoOptions(place="center")` for `--place center`; a flag in brackets that `fill` lacks goes."""
    return FLAG.sub(_write, words)


def error_in_python(error: LatentfillError) -> LatentfillError:
    """An error of the same kind in these words."""
    return type(error)(in_python(error.what), in_python(error.cure))


def _write(found: re.Match[str]) -> str:
    before, flag, value, after = found.groups(default="")
    name = flag.replace("-", "_")
    written = value if value.isdigit() else f'"{value}"'
    given = f"{name}={written if value else '...'}"
    for kind in (PhotoOptions, CompleteOptions, ReadLimits):
        if name in kind.__dataclass_fields__:
            return f"{before}{kind.__name__}({given}){after}"
    if name in ARGUMENTS:
        return f"{before}{given}{after}"
    return "" if before and after else found[0]
