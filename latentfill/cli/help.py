"""Help in two sizes: `-h` is one screen with examples, `--help-all` has every option, those for experts last."""

import ast
import inspect
import re
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal, Union, final, get_args, get_origin, get_type_hints

import tyro
from tyro.conf import Positional

COLUMN = 26  # column at which the text of a flag begins
WIDEST = 100
EXPERT = ("limits", "where")  # option groups that come last
# For each verb the options that most people need, and two calls with what they do.
SHORT: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "align": (
        "paths size margin landmarks faces everyone format split identity workers overwrite",
        (
            ("photos/ faces/ --size 128", "cut the best face out of every photo"),
            ("photos/ squares/ --no-faces", "of other subjects, take the central squares"),
        ),
    ),
    "train": (
        "data run kind preset size images_seen batch_size model begin dry_run device",
        (
            ("faces/ --run runs/faces", "train on a folder of pictures; the same command goes on"),
            ("faces/ --run runs/faces --dry-run", "only say how long it would take"),
        ),
    ),
    "sample": (
        "model out count class_name separate nice walk sweep directions arithmetic seed device",
        (
            ("faces-128 samples/", "draw a grid of 64 pictures"),
            ("faces-128 samples/ --walk", "draw a walk through the latent space"),
        ),
    ),
    "complete": (
        "images out hole grow model preset candidates observe format overwrite seed device",
        (
            ("photo.jpg --hole hole.png --out done/", "fill what is white in hole.png"),
            ("photos/ --hole eyes --preset fast --out done/", "fill the eyes of all faces in a folder, quickly"),
        ),
    ),
    "calibrate": (
        "data out model presets count part device",
        (
            ("faces/ --model runs/faces --out calibrated.safetensors", "calibrate a model of your own"),
            ("faces/ --count 200 --presets fast --out calibrated.safetensors", "one preset, by few pictures"),
        ),
    ),
    "evaluate": (
        "data out holes methods count part model again json device",
        (
            ("faces/ --out report/", "try all methods and holes on 256 pictures"),
            ("faces/ --holes center,thick --methods best,fast,telea --out report/", "some of them"),
        ),
    ),
    "serve": (
        "host port models token_file hosts workers queue device threads",
        (
            ("", "open http://127.0.0.1:8000 and paint a hole"),
            ("--host 0.0.0.0 --token-file token.txt", "for other machines too"),
        ),
    ),
    "verify": (
        "before after hole invert grow seed json",
        (
            ("photo.jpg done/photo.png hole.png", "compare a photo and its completion"),
            ("photos/ done/ eyes", "compare a folder with what complete wrote"),
        ),
    ),
    "report": (
        "run out",
        (("runs/faces", "write runs/faces/report.html"), ("runs/faces --out page.html", "write it elsewhere")),
    ),
    "plot": (
        "runs out rolling formats",
        (("runs/faces", "draw the curves of a run"), ("runs/a runs/b --out compared/", "compare two runs")),
    ),
    "figures": (
        "out formats",
        (("figures/", "draw all as PNG and GIF"), ("figures/ --formats pdf svg", "the stills ready to print")),
    ),
    "info": (
        "model json",
        (("", "describe the model that comes with the package"), ("runs/faces --json", "one of your own, as JSON")),
    ),
    "export": (
        "model out onnx",
        (("faces-128 onnx/ --onnx", "write the model as ONNX files"), ("runs/faces onnx/ --onnx", "one of your own")),
    ),
    "push": (
        "model to license card public",
        (
            ("runs/faces shared/", "write model, configuration and card into a folder"),
            ("runs/faces hf://me/faces --license mit", "into a repository of the Hugging Face hub"),
        ),
    ),
    "doctor": ("json", (("", "see whether all is in order"), ("--json", "the same, as JSON"))),
}

BRIEF = {  # for options whose full text does not begin with what users ask first
    "hole": "a picture (white = to be found), a folder of them, or center (the default), half, thick, eyes, alpha ...",
    "kind": "gan, or what is trained beside or instead of one",
    "begin": "a model to begin with",
}


@final
@dataclass(frozen=True)
class Option:
    """One option of a verb, as its help shows it; `group` is "" for the verb's own."""

    name: str
    flag: str
    text: str
    group: str
    positional: bool
    needed: bool


def format_help(verb: str, default: Any, *, everything: bool = False) -> str:
    """The help of a verb: one screen, or all of its options. `default` is an instance that holds its defaults."""
    options = list(list_options(default))
    about, _, more = (inspect.getdoc(default) or "").partition("\n\n")
    names, examples = SHORT[verb]
    lines = [_usage(verb, options), "", *_wrap(about)]
    if everything and more:
        lines += ["", more]
    lines += [""]
    for words, effect in examples:
        lines.append(f"  latentfill {verb} {words}".rstrip())
        lines.append(f"      {effect}")
    if everything:
        groups = sorted(dict.fromkeys(option.group for option in options), key=lambda group: group in EXPERT)
        for group in groups:
            lines += ["", f"{_title(default, group)}:"]
            for option in options:
                lines += _format(option) if option.group == group else []
        end = "Any of the options may stand in a file: --config FILE.yaml. The command line wins."
    else:
        shown = [option for name in names.split() for option in options if option.name == name]
        lines += [""]
        for option in shown:
            lines += _format(option, brief=True)
        left = len(options) - len(shown)
        end = f"latentfill {verb} --help-all says more{f', and has {left} other options' if left else ''}. "
        end += "Any may stand in a file: --config FILE.yaml."
    return "\n".join([*lines, "", *_wrap(end)])


def list_options(options: Any, group: str = "") -> Iterator[Option]:
    """All options of a verb, those of its groups after its own."""
    texts, hints = _texts(type(options)), get_type_hints(type(options), include_extras=True)
    nested = []
    for f in fields(options):
        value = getattr(options, f.name)
        if is_dataclass(value):
            nested.append((f.name, value))
            continue
        kind, metadata = _unwrap(hints[f.name])
        given = next((one for one in metadata if hasattr(one, "metavar")), None)
        positional = any(one in metadata for one in get_args(Positional[int])[1:])
        name = (given and given.name) or f.name.replace("_", "-")
        metavar = (given and given.metavar) or _metavar(kind, name)
        if positional:
            flag = metavar
        elif kind is bool:
            flag = f"--{'[no-]' if value is True else ''}{name}"
        else:
            flag = f"--{name} {metavar}"
        needed = value is tyro.MISSING
        text = f"{texts[f.name]}{_default(value, texts[f.name])}"
        yield Option(f.name, flag, text, group, positional, needed)
    for name, value in nested:
        yield from list_options(value, name)


def completion_script(options: Mapping[str, Sequence[Option]]) -> str:
    """A script by which bash and zsh complete verbs, their flags, choices of a flag, and files."""
    cases, choices = [], []
    for verb, its in options.items():
        flags = [option.flag.split()[0].replace("[no-]", "no-") for option in its if not option.positional]
        cases.append(f'    {verb}) words="{" ".join(flags)}" ;;')
        for option in its:
            if found := re.fullmatch(r"(--\S+) \{(.+)\}", option.flag):
                choices.append(f'    "{verb} {found[1]}") choices="{found[2].replace(",", " ")}" ;;')
    of_verbs, of_flags = "\n".join(cases), "\n".join(choices)
    return f"""\
[ -n "$ZSH_VERSION" ] && autoload -U +X bashcompinit && bashcompinit
_latentfill() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" words="" choices=""
  if [ "$COMP_CWORD" = 1 ]; then
    COMPREPLY=($(compgen -W "{" ".join(options)} --help --version" -- "$current"))
    return
  fi
  case "${{COMP_WORDS[1]}}" in
{of_verbs}
  esac
  case "${{COMP_WORDS[1]}} ${{COMP_WORDS[COMP_CWORD-1]}}" in
{of_flags}
  esac
  case "$choices$current" in
    -*) COMPREPLY=($(compgen -W "$words --config --help --help-all" -- "$current")) ;;
    "$current") local IFS=$'\\n'; COMPREPLY=($(compgen -f -- "$current")) ;;
    *) COMPREPLY=($(compgen -W "$choices" -- "$current")) ;;
  esac
}}
complete -o filenames -F _latentfill latentfill"""


def _texts(cls: type) -> dict[str, str]:
    """The docstring below each field of a class."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    texts = {f.name: "" for f in fields(cls)}
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    for before, node in pairwise(body):
        if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name) and isinstance(node, ast.Expr):
            texts[before.target.id] = " ".join(str(ast.literal_eval(node.value)).split())
    return texts


def _unwrap(kind: Any) -> tuple[Any, list[Any]]:
    """A type without its metadata and without None, and the metadata."""
    metadata: list[Any] = []
    while True:
        if get_origin(kind) is Annotated:
            metadata += kind.__metadata__
            kind = get_args(kind)[0]
        elif get_origin(kind) in (Union, type(int | None)):
            kind = next(one for one in get_args(kind) if one is not type(None))
        else:
            return kind, metadata


def _metavar(kind: Any, name: str) -> str:
    kind, _ = _unwrap(kind)
    if get_origin(kind) is Literal:
        return "{" + ",".join(map(str, get_args(kind))) + "}"
    if get_origin(kind) is tuple:
        first, *rest = get_args(kind)
        inner = _metavar(first, name)
        return f"{inner}..." if rest == [Ellipsis] else " ".join([inner] * (1 + len(rest)))
    return "N" if kind is int else "X" if kind is float else name.upper()


def _default(value: Any, text: str) -> str:
    if value is tyro.MISSING or value is None or value in ("", ()) or value is False:
        return ""
    if value is True:
        return " (default: yes)"
    if value == 0 and re.search(r"\b0 (takes|shares)", text):
        return " (default: all)"
    if isinstance(value, tuple):
        said = " ".join(map(str, value))
    elif isinstance(value, float):
        said = f"{value:g}"
    else:
        said = f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)
    return f" (default: {said})"


def _usage(verb: str, options: Sequence[Option]) -> str:
    words = [option.flag if option.needed else f"[{option.flag}]" for option in options if option.positional]
    words += [option.flag for option in options if option.needed and not option.positional]
    return " ".join(["usage: latentfill", verb, *words, "[options]"])


def _title(default: Any, group: str) -> str:
    if not group:
        return "options"
    return (inspect.getdoc(getattr(default, group)) or group).split(". ")[0].split("\n")[0].rstrip(".")


def _format(option: Option, *, brief: bool = False) -> list[str]:
    width = _width() - COLUMN - 2
    lines = textwrap.wrap(_shorten(option, width) if brief else option.text, width) or [""]
    flag = f"  {option.flag}"
    if len(flag) > COLUMN:
        return [flag, *(f"{'':{COLUMN + 2}}{line}" for line in lines)]
    return [f"{flag:{COLUMN + 2}}{lines[0]}", *(f"{'':{COLUMN + 2}}{line}" for line in lines[1:])]


def _shorten(option: Option, width: int) -> str:
    """As many clauses of a text as fit into two lines, at least one, and the default."""
    text, found, default = option.text.partition(" (default: ")
    text = BRIEF.get(option.name, text)
    ends = [match.start() for match in re.finditer(r"[.;:](?= )|$", text)]
    fitting = [end for end in ends if len(text[:end] + found + default) < 2 * width - 8]
    return f"{text[: max(fitting, default=ends[0])]}{found}{default}"


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, _width())


def _width() -> int:
    return min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns)
