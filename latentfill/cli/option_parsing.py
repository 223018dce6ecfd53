"""How options come together: defaults < preset < YAML file < command line."""

import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import MISSING, asdict, fields, is_dataclass, replace
from difflib import get_close_matches
from inspect import getdoc
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import tyro

from ..errors import LatentfillError, explain
from ..options import refuse_removed

T = TypeVar("T")
command: ContextVar[str] = ContextVar("command", default="latentfill")  # as it was given, for reports
COUNTED = (
    "images-seen",
    "sample-every",
    "checkpoint-every",
    "snapshot-every",
    "score-every",
    "log-every",
    "max-images",
)
COUNTS = tuple(f"--{name}" for name in COUNTED)
PLACES = {"hole", "holes", "model", "models", "data", "begin", "cache", "to"}  # texts that may name a file or a folder


def read_options(options: type[T], verb: str, argv: Sequence[str]) -> T:
    """The options of one verb, from its arguments, checked against the bounds that their types state.

    A class may have a static method `preset_defaults(name | None) -> dict`; `--preset` then chooses among them, or the
    flags that its attribute `CHOSEN_BY` names, each giving an argument.
    Raises LatentfillError for a value out of bounds; for words it does not know, tyro prints help and exits with 2.
    """
    command.set(shlex.join(["latentfill", verb, *argv]))
    argv = _spelt_out(argv)
    config = _take(argv, "--config")
    given = _read_yaml(Path(_expand(config))) if config else {}
    refuse_removed({name: _chosen(name, argv, given) for name in ("method", "preset")})
    default = _blank(options)
    _check_dashes(argv, _names(default))
    preset_defaults = getattr(options, "preset_defaults", None)
    if preset_defaults is not None:
        chosen = [_chosen(name, argv, given) for name in getattr(options, "CHOSEN_BY", ("preset",))]
        default = replace(default, **preset_defaults(*chosen))  # type: ignore[type-var]
    for key, value in given.items():
        default = _set(default, key, value, config or "")
    about = f"{getdoc(options)}\n\nAny of the options may stand in a file: --config FILE.yaml."
    parsed = tyro.cli(
        options,
        prog=f"latentfill {verb}",
        description=about,
        args=argv,
        default=default,
        config=(tyro.conf.OmitArgPrefixes,),
    )
    return check(_at_home(parsed))


def check(options: T) -> T:
    """The same options, if they keep the bounds that their types state; LatentfillError, naming the flag, if not."""
    from pydantic import TypeAdapter, ValidationError  # takes 50 ms, which --help need not wait for

    try:
        TypeAdapter(type(options)).validate_python(asdict(options))  # type: ignore[call-overload]
    except ValidationError as error:
        first = error.errors()[0]
        flag = next((str(part) for part in reversed(first["loc"]) if isinstance(part, str)), "options")
        raise _refused(f"--{flag.replace('_', '-')} {first['input']}", first["msg"]) from error
    return options


def _blank(options: type[T]) -> T:
    """The defaults; what has none is left for the command line to give."""

    def default(f: Any) -> Any:
        if f.default is not MISSING:
            return f.default
        return tyro.MISSING if f.default_factory is MISSING else f.default_factory()

    return options(**{f.name: default(f) for f in fields(options)})  # type: ignore[arg-type]


def _chosen(name: str, argv: Sequence[str], given: Mapping[str, Any]) -> str | None:
    names = [value for flag, value in pairwise(argv) if flag == f"--{name}"]
    names += [word.removeprefix(f"--{name}=") for word in argv if word.startswith(f"--{name}=")]
    return names[-1] if names else str(given[name]) if name in given else None


def _spelt_out(argv: Sequence[str]) -> list[str]:
    """Counts of images may be written 600k or 2M."""
    words = list(argv)
    for i, (flag, value) in enumerate(pairwise(argv)):
        if flag in COUNTS and (match := re.fullmatch(r"(\d+(?:\.\d+)?)([kM])", value)):
            words[i + 1] = str(round(float(match[1]) * {"k": 10**3, "M": 10**6}[match[2]]))
    return words


def _check_dashes(argv: Sequence[str], names: Iterable[str]) -> None:
    """Raise LatentfillError for a file that would be taken for an option, as of *.png where there is a -x.png."""
    known = {"help", "h", "class", *(name.replace("_", "-") for name in names)}
    for word in argv[: argv.index("--") if "--" in argv else None]:
        flag = word.lstrip("-").split("=")[0].replace("_", "-").removeprefix("no-")
        if word.startswith("-") and flag not in known and os.path.lexists(word):
            what = f"{word} is a file, but what begins with a dash is taken for an option"
            raise LatentfillError(what, f"Write ./{word}, or put -- before all of the files.")


def _at_home(options: T) -> T:
    """The same options, with the home folder for a ~ that the shell has left: in --out=~/done, in quotes, in YAML."""
    changed = {}
    for f in fields(options):  # type: ignore[arg-type]
        value = getattr(options, f.name)
        changed[f.name] = _at_home(value) if is_dataclass(value) else _placed(value, f.name)
    return replace(options, **changed)  # type: ignore[type-var]


def _placed(value: Any, name: str) -> Any:
    if isinstance(value, tuple):
        return tuple(_placed(one, name) for one in value)
    if isinstance(value, Path):
        return Path(_expand(str(value)))
    return ",".join(map(_expand, value.split(","))) if isinstance(value, str) and name in PLACES else value


def _expand(place: str) -> str:
    return place if os.path.lexists(place) else os.path.expanduser(place)


def _take(argv: list[str], flag: str) -> str | None:
    for i, word in enumerate(argv):
        if word == flag:
            if i + 1 == len(argv):
                raise LatentfillError(f"{flag} needs a file", f"Write {flag} FILE.yaml.")
            value = argv[i + 1]
            del argv[i : i + 2]
            return value
        if word.startswith(f"{flag}="):
            del argv[i]
            return word.removeprefix(f"{flag}=")
    return None


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        read = yaml.safe_load(path.read_text()) or {}
    except OSError as error:
        raise explain(error, path) from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise LatentfillError(f"{path}: {error}", "Give a YAML file with lines such as `steps: 500`.") from error
    if not isinstance(read, dict):
        raise LatentfillError(f"{path} holds no options", "Give a YAML file with lines such as `steps: 500`.")
    return {str(key).replace("-", "_"): value for key, value in read.items()}


def _set(options: Any, key: str, value: Any, source: str) -> Any:
    changed = _replaced(options, key, value, source)
    if changed is None:
        names = list(_names(options))
        near = get_close_matches(key, names, 1)
        cure = f"Did you mean {near[0]}?" if near else f"It is one of: {', '.join(names)}."
        raise LatentfillError(f"{source}: there is no option {key!r}", cure)
    return changed


def _replaced(options: Any, key: str, value: Any, source: str) -> Any:
    from pydantic import TypeAdapter, ValidationError

    for f in fields(options):
        nested = getattr(options, f.name)
        if f.name == key and not is_dataclass(nested):
            kind = get_type_hints(type(options), include_extras=True)[key]
            try:
                return replace(options, **{key: TypeAdapter(kind).validate_python(value)})
            except ValidationError as error:
                raise _refused(f"{source}: {key} {value}", error.errors()[0]["msg"]) from error
        if is_dataclass(nested) and (inner := _replaced(nested, key, value, source)) is not None:
            return replace(options, **{f.name: inner})
    return None


def _names(options: Any) -> Sequence[str]:
    names: list[str] = []
    for f in fields(options):
        nested = getattr(options, f.name)
        names += _names(nested) if is_dataclass(nested) else [f.name]
    return names


def _refused(what: str, why: str) -> LatentfillError:
    return LatentfillError(f"{what}: {why[0].lower()}{why[1:]}", "See --help for what it takes.")
