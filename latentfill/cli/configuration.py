"""Options of a verb: defaults < preset < YAML file < command line."""

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import MISSING, fields, is_dataclass, replace
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import tyro

from ..errors import LatentfillError, explain
from ..options import refuse_removed
from ..options.validation import adapter_of

T = TypeVar("T")
command: ContextVar[str] = ContextVar("command", default="latentfill")  # the command as it was given, for reports
COUNTS = {  # flags that take 600k or 2M
    "--images-seen",
    "--sample-every",
    "--checkpoint-every",
    "--snapshot-every",
    "--score-every",
    "--log-every",
    "--max-images",
}
GROWN = (None, "gan", "vae")  # kinds whose --begin takes a model of their own size, or of half of it
PLACES = {"hole", "holes", "model", "models", "data", "begin", "cache", "to"}  # these may name a file or a folder


def read_options(options: type[T], verb: str, argv: Sequence[str]) -> T:
    """Read the options of one verb from its arguments, and check them against the bounds that their types state.

    A class may have a static method `preset_defaults(name | None) -> dict`; `--preset` then chooses among them, or the
    flags that its attribute `CHOSEN_BY` names, each giving an argument.
    Raises LatentfillError for a flag that there is not and for a value out of bounds; SystemExit after printing help,
    and, with 2, where tyro cannot read the rest.
    """
    command.set(shlex.join(["latentfill", verb, *argv]))
    argv = _expand_counts(argv)
    config = _take(argv, "--config")
    from_file = _read_yaml(Path(_expand(config))) if config else {}
    refuse_removed({name: _find_value(name, argv, from_file) for name in ("method", "preset")})
    default = make_default(options, argv, from_file)
    for key, value in from_file.items():
        default = _set(default, key, value, config or "")
    if asked := {"-h", "--help", "--help-all"} & set(_before_dashes(argv)):
        from .help import format_help

        print(format_help(verb, default, everything="--help-all" in asked))
        raise SystemExit(0)
    _check_flags(argv, list_names(default), verb)
    parsed = tyro.cli(
        options,
        prog=f"latentfill {verb}",
        description="",
        args=argv,
        default=default,
        add_help=False,
        config=(tyro.conf.OmitArgPrefixes,),
    )
    return check(_expand_home(parsed), default)


def make_default(options: type[T], argv: Sequence[str] = (), from_file: Mapping[str, Any] | None = None) -> T:
    """The defaults of a verb, with those of the preset that was chosen; what has none is left to the command line."""
    default = _blank(options)
    preset_defaults = getattr(options, "preset_defaults", None)
    if preset_defaults is None:
        return default
    flags = getattr(options, "CHOSEN_BY", ("preset",))
    found = {flag: _find_value(flag, argv, from_file or {}) for flag in (*flags, "begin", "size")}
    default = replace(default, **preset_defaults(*(found[flag] for flag in flags)))  # type: ignore[type-var]
    if found["begin"] and not found["size"] and hasattr(options, "begin") and found.get("kind") in GROWN:
        default = _set(default, "size", _read_size(_expand(found["begin"])), found["begin"])
    return default


def _read_size(model: str) -> int:
    """The side of a model's pictures, in pixels."""
    from ..models import find
    from ..models.card import facts

    return int(facts(find(model))["network"]["size"])


def check(options: T, default: Any = None) -> T:
    """The same options, if they keep the bounds that their types state; LatentfillError, naming the flag, if not.

    Values that are those of `default` are not looked at.
    """
    hints = get_type_hints(type(options), include_extras=True)
    for f in fields(options):  # type: ignore[arg-type]
        value, usual = getattr(options, f.name), getattr(default, f.name, tyro.MISSING)
        if is_dataclass(value):
            check(value, usual)
        elif value != usual:
            validate(hints[f.name], value, f"--{f.name.replace('_', '-')}")
    return options


def validate(kind: Any, value: Any, what: str) -> Any:
    """The value as one of that type. Raises LatentfillError, which calls it `what`, if it is out of its bounds."""
    from pydantic import ValidationError  # takes 50 ms, which --help should not wait for

    try:
        return adapter_of(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        wrong = value if isinstance(first["input"], dict) else first["input"]
        why = f"{first['msg'][0].lower()}{first['msg'][1:]}"
        raise LatentfillError(f"{what} {wrong}: {why}", "See --help for what it takes.") from error


def _blank(options: type[T]) -> T:
    """The defaults; what has none is left for the command line to give."""

    def default(f: Any) -> Any:
        if f.default is not MISSING:
            return f.default
        return tyro.MISSING if f.default_factory is MISSING else f.default_factory()

    return options(**{f.name: default(f) for f in fields(options)})  # type: ignore[arg-type]


def _find_value(name: str, argv: Sequence[str], from_file: Mapping[str, Any]) -> str | None:
    values = [value for flag, value in pairwise(argv) if flag == f"--{name}"]
    values += [word.removeprefix(f"--{name}=") for word in argv if word.startswith(f"--{name}=")]
    return values[-1] if values else str(from_file[name]) if name in from_file else None


def _expand_counts(argv: Sequence[str]) -> list[str]:
    """Counts of images may be written 600k or 2M."""
    words = list(argv)
    for i, (flag, value) in enumerate(pairwise(argv)):
        if flag in COUNTS and (match := re.fullmatch(r"(\d+(?:\.\d+)?)([kM])", value)):
            words[i + 1] = str(round(float(match[1]) * {"k": 10**3, "M": 10**6}[match[2]]))
    return words


def _before_dashes(argv: Sequence[str]) -> Sequence[str]:
    return argv[: argv.index("--") if "--" in argv else None]


def _check_flags(argv: Sequence[str], names: Sequence[str], verb: str) -> None:
    """Raise LatentfillError for a flag that there is not, or a file that would be taken for one, as of *.png."""
    flags = [name.replace("_", "-") for name in names]
    for word in _before_dashes(argv):
        flag = word.lstrip("-").split("=")[0].replace("_", "-")
        if not word.startswith("-") or flag.removeprefix("no-") in flags:
            continue
        if os.path.lexists(word):
            what = f"{word} is a file, but a word that begins with a dash is read as an option"
            raise LatentfillError(what, f"Write ./{word}, or put -- before all of the files.")
        if word.startswith("--"):
            near = get_close_matches(flag, flags, 1)
            cure = f"Did you mean --{near[0]}? " if near else ""
            raise LatentfillError(f"there is no option --{flag}", f"{cure}See latentfill {verb} --help-all.")


def _expand_home(options: T) -> T:
    """The same options, with the home folder for a ~ that the shell has left: in --out=~/done, in quotes, in YAML."""
    changed = {}
    for f in fields(options):  # type: ignore[arg-type]
        value = getattr(options, f.name)
        changed[f.name] = _expand_home(value) if is_dataclass(value) else _expand_value(value, f.name)
    return replace(options, **changed)  # type: ignore[type-var]


def _expand_value(value: Any, name: str) -> Any:
    if isinstance(value, tuple):
        return tuple(_expand_value(one, name) for one in value)
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
    changed = _replace(options, key, value, source)
    if changed is None:
        names = list_names(options)
        near = get_close_matches(key, names, 1)
        cure = f"Did you mean {near[0]}?" if near else f"It is one of: {', '.join(names)}."
        raise LatentfillError(f"{source}: there is no option {key!r}", cure)
    return changed


def _replace(options: Any, key: str, value: Any, source: str) -> Any:
    for f in fields(options):
        nested = getattr(options, f.name)
        if f.name in (key, f"{key}_name") and not is_dataclass(nested):
            kind = get_type_hints(type(options), include_extras=True)[f.name]
            return replace(options, **{f.name: validate(kind, value, f"{source}: {key}")})
        if is_dataclass(nested) and (inner := _replace(nested, key, value, source)) is not None:
            return replace(options, **{f.name: inner})
    return None


def list_names(options: Any) -> list[str]:
    """The options of a verb, by name; those of its groups too."""
    names: list[str] = []
    for f in fields(options):
        nested = getattr(options, f.name)
        names += list_names(nested) if is_dataclass(nested) else ["class" if f.name == "class_name" else f.name]
    return names
