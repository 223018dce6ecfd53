"""latentfill VERB ...: finds the verb's module, reads its options, runs it, and says what went wrong in two lines."""

import gc
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from signal import SIGINT

from ..errors import LatentfillError, explain, is_out_of_memory
from ..signals import Stopped, stoppable
from ..version import __version__
from .output import close, is_closed, open_streams, take_any_name

VERBS = {
    "align": "find faces in photos, and cut them out aligned",
    "train": "learn what a kind of picture looks like, from a folder of them",
    "sample": "draw pictures from a model: grids, walks, sweeps, arithmetic",
    "complete": "fill holes in photos and other pictures",
    "calibrate": "measure how far to trust a model's completions",
    "evaluate": "compare methods of completing pictures, in numbers and side by side",
    "serve": "serve a page to paint and fill holes on, and an HTTP API",
    "verify": "count known pixels that a completion has changed",
    "report": "write one page about a training",
    "plot": "draw the loss curves of a training, ready to print",
    "figures": "draw the figures of the post",
    "info": "describe a model file",
    "export": "write a model as ONNX files, for other programs",
    "push": "share a model: a folder of three files, or a repository of the Hugging Face hub",
    "doctor": "check the installation and the size of the cache",
}
FIRST_STEPS = """\
latentfill completes pictures. Try first:

  latentfill doctor                                         check the installation
  latentfill complete PHOTO --hole eyes --out FOLDER        fill the eyes of the faces in a photo
  latentfill complete PHOTO --hole HOLE.png --out FOLDER    fill what is white in a picture of the same size
  latentfill serve                                          paint holes in a browser

latentfill --help lists all verbs, latentfill VERB --help says what each takes."""
LESS_MEMORY = {
    "align": "Give a smaller --upsample or --workers",
    "train": "Give a smaller --batch-size, or smaller networks (--size, --base, --scale)",
    "sample": "Give a smaller --count, --columns or --frames",
    "complete": "Give a smaller --batch-size, --attempts, --candidates or --workers",
    "calibrate": "Give a smaller --batch-size or --count",
    "evaluate": "Give a smaller --batch-size, --count or --workers",
    "serve": "Give a smaller --workers, --batch or --max-pixels",
}
GOES_ON = ("align", "train", "complete", "evaluate")
ENDED_BY_PIPE = 141  # the status that shells report for a command whose output was closed


def main(argv: Sequence[str] | None = None) -> None:
    """The entry point of the `latentfill` command; leaves with the verb's exit code."""
    # Libraries allocate a million objects that stay; to walk through them again and again took a quarter of a start.
    # Steps of trainings and searches leave no cycles to collect.
    gc.set_threshold(50_000, 20, 20)
    open_streams()
    take_any_name(sys.stdout)
    sys.exit(run(list(sys.argv[1:] if argv is None else argv)))


def run(argv: Sequence[str]) -> int:
    """Run one command line. Returns 0 when done, 1 when some inputs failed, 2 on misuse, 128 and more if stopped."""
    if not argv:
        print(FIRST_STEPS, file=sys.stderr)
        return 2
    if argv[0] in ("-h", "--help", "--help-all", "help"):
        print(_format_help())
        return 0
    if argv[0] in ("-V", "--version"):
        print(f"latentfill {__version__}")
        return 0
    verb, *rest = argv
    if verb == "--completion":
        return _completion(rest[0] if rest else "bash")
    if verb not in VERBS:
        near = get_close_matches(verb, VERBS, 1)
        cure = f"Did you mean {near[0]}?" if near else f"It is one of: {', '.join(VERBS)}."
        print(f"latentfill: there is no verb {verb!r}\n{cure}", file=sys.stderr)
        return 2
    try:
        with stoppable():
            from .configuration import read_options

            module = import_module(f".{verb}", __package__)
            code: int = module.run(read_options(module.Options, verb, rest))
            if sys.stdout:
                sys.stdout.flush()
            return code
    except KeyboardInterrupt as error:
        how = "; the same command goes on" if verb in GOES_ON else ""
        print(f"\nlatentfill {verb}: stopped{how}", file=sys.stderr)
        return 128 + (error.number if isinstance(error, Stopped) else SIGINT)
    except Exception as error:
        if isinstance(error, OSError) and any(map(is_closed, filter(None, (sys.stdout, sys.stderr)))):
            close()  # the reader has ended, as in `latentfill ... | head`
            return ENDED_BY_PIPE
        known = _explain(error, verb)
        if known is None:
            raise
        print(f"latentfill {verb}: {known.what}\n{known.cure}", file=sys.stderr)
        return 2


def _explain(error: Exception, verb: str) -> LatentfillError | None:
    """An error in two lines, if somebody can do something about it."""
    if isinstance(error, LatentfillError):
        return error
    if is_out_of_memory(error):
        words = (str(error).splitlines() or [type(error).__name__])[0]
        cure = f"{LESS_MEMORY.get(verb, 'End other programs')}, or take a machine with more memory."
        return LatentfillError(f"there is not enough memory ({words[:200]})", cure)
    return explain(error, "standard output") if isinstance(error, OSError) else None


def _completion(shell: str) -> int:
    from .configuration import make_default
    from .help import completion_script, list_options

    if shell not in ("bash", "zsh"):
        print(f"latentfill: there is no completion for {shell!r}\nIt is one of: bash, zsh.", file=sys.stderr)
        return 2
    modules = {verb: import_module(f".{verb}", __package__) for verb in VERBS}
    print(completion_script({verb: list(list_options(make_default(modules[verb].Options))) for verb in VERBS}))
    return 0


def _format_help() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:{width}}  {text}" for verb, text in VERBS.items())
    return (
        "usage: latentfill VERB ... [--help]\n\n"
        "Complete pictures with generative models: find the latent code whose image agrees with the known pixels.\n\n"
        f"{verbs}\n\n"
        "latentfill VERB --help shows what most people need, --help-all every option. --config FILE.yaml reads the\n"
        "options of any verb from a file; the command line wins.\n"
        'For completion in the shell: eval "$(latentfill --completion bash)", or zsh.'
    )
