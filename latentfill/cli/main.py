"""latentfill VERB ...: finds the verb's module, reads its options, runs it, and says what went wrong in two lines."""

import sys
from collections.abc import Sequence
from importlib import import_module

from .. import __version__
from ..errors import LatentfillError

VERBS = {
    "align": "find faces in photos, and cut them out aligned",
    "train": "learn what a kind of picture looks like, from a folder of them",
    "sample": "draw pictures from a model: grids, walks, sweeps, arithmetic",
    "complete": "fill the holes of pictures by searching the latent space of a model",
    "calibrate": "measure how far completions can be trusted, so that each says what error to expect",
    "evaluate": "compare methods of completing pictures, with numbers and side by side",
    "serve": "open a page on which holes are painted and filled, and an HTTP API",
    "verify": "count known pixels that a completion has changed",
    "report": "put all that a training has told on one page",
    "plot": "draw the loss curves of a training, ready to print",
    "figures": "redraw the figures of the post",
    "info": "say what a model file holds",
    "export": "write a model as ONNX files, for other programs",
    "push": "share a model: a folder of three files, or a repository of the Hugging Face hub",
}


def main(argv: Sequence[str] | None = None) -> None:
    """The entry point of the `latentfill` command; leaves with the verb's exit code."""
    sys.exit(run(list(sys.argv[1:] if argv is None else argv)))


def run(argv: Sequence[str]) -> int:
    """Run one command line. Returns 0 when done, 1 when some inputs failed, 2 on misuse."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if argv else 2
    if argv[0] in ("-V", "--version"):
        print(f"latentfill {__version__}")
        return 0
    verb, *rest = argv
    if verb not in VERBS:
        print(f"latentfill: there is no verb {verb!r}\nIt is one of: {', '.join(VERBS)}.", file=sys.stderr)
        return 2
    try:
        from .console.layers import read_options

        module = import_module(f".{verb}", __package__)
        code: int = module.run(read_options(module.Options, verb, rest))
        return code
    except LatentfillError as error:
        print(f"latentfill {verb}: {error.what}\n{error.cure}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nlatentfill {verb}: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `latentfill ... | head` has seen enough
        sys.stderr.close()
        return 0


def _help() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:{width}}  {text}" for verb, text in VERBS.items())
    return (
        "usage: latentfill VERB ... [--help]\n\n"
        "Complete pictures with generative models: search the latent code whose image agrees with what is known.\n\n"
        f"{verbs}\n\n"
        "latentfill VERB --help says what each takes. --config FILE.yaml gives any verb its options from a file;\n"
        "what stands on the command line wins."
    )
