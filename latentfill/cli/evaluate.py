"""latentfill evaluate: how well each method completes pictures that it has never seen."""

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import LatentfillError, name_place
from ..options.commands import EvaluateCommand as Options
from .configuration import command
from .output import name_process
from .progress import describe_machine

if TYPE_CHECKING:
    from ..evaluation.benchmark import Trial
    from ..evaluation.methods import Resources
    from ..types import PixelBatch

ALL = "all"
MORE = re.compile(r"-?\d*\.?\d+%?(\+.*)?")  # a number after a comma continues a rectangle


def run(options: Options) -> int:
    """Try every method on every hole. Returns 1 if some pictures could not be read, each named."""
    import torch

    from ..evaluation.benchmark import FILES
    from ..files.provenance import check_free, claim_run
    from ..images.photos import remove_partial

    name_process("evaluate", options.out)
    if not options.data:
        raise LatentfillError("no pictures named", "Write latentfill evaluate PICTURES... --out FOLDER.")
    if options.where.engine == "ray":
        from ..cluster.connection import check_installed

        check_installed()
    if options.threads:
        torch.set_num_threads(options.threads)
    trial, rejected = _prepare(options)
    for name in FILES:
        check_free(options.out / name)
    claim_run(options.out)
    for name, reason in rejected:
        print(f"{name}: {reason}", file=sys.stderr)
    with name_place(options.out):
        remove_partial(options.out)
        trial.remove_results(list(trial.methods) if options.again == ALL else split_names(options.again))
        _show_progress("complete", _complete(options, trial))
        _show_progress("judge", trial.score())
    if options.json:
        print(json.dumps(trial.report(), indent=1))
    else:
        print(*(options.out / name for name in FILES), sep="\n")
    return 1 if rejected else 0


def _complete(options: Options, trial: "Trial") -> Iterator[tuple[int, int, str]]:
    if options.where.engine == "plain":
        return trial.complete()
    from ..cluster.evaluate import complete

    return complete(options, trial, partial(load_resources, options))


def split_names(text: str) -> list[str]:
    """Words between commas; the numbers of rectangle:1,2,3,4 stay together."""
    words: list[str] = []
    for word in text.split(","):
        if words and MORE.fullmatch(word.strip()) and words[-1].rpartition("+")[2].startswith(("rectangle", "ellipse")):
            words[-1] += f",{word.strip()}"
        elif word.strip():
            words.append(word.strip())
    return list(dict.fromkeys(words))


def _prepare(options: Options) -> "tuple[Trial, list[tuple[str, str]]]":
    """Prepare the benchmark, and list the pictures that cannot be read. Prints what has to be left out."""
    from ..evaluation import benchmark as trial
    from ..evaluation.methods import METHODS, choose
    from ..files.listing import list_sources, print_omissions

    resources = load_resources(options)
    names = list(METHODS) if options.methods == ALL else split_names(options.methods)
    methods, lacking = choose(names, resources)
    if lacking and options.methods != ALL:
        raise next(iter(lacking.values()))
    for name in split_names(options.again):
        if name != ALL and name not in methods:
            raise LatentfillError(f"--again {name} is not among the methods", f"They are {', '.join(methods)}.")
    spaces, without = trial.spaces(resources.gan)
    left_out = [{"name": name, "reason": f"{e.what}. {e.cure}"} for name, e in [*lacking.items(), *without.items()]]
    for one in left_out:
        print(f"without {one['name']}: {one['reason']}", file=sys.stderr)
    listed = list_sources(options.data, _roles(options))
    print_omissions(listed)
    pictures, rejected = trial.read_pictures(listed.sources, resources.gan, options.count, options.part, options.limits)
    settings = {
        "data": ", ".join(map(str, options.data)),
        "count": len(pictures),
        "part": options.part,
        "model": f"{options.model} ({resources.digests['gan'][:12]})",
        "size": resources.gan.network.size,
        "batch_size": options.batch_size,
        "seed": options.seed,
        "training_pictures": 0 if resources.train is None else len(resources.train),
    }
    about = {"command": command.get(), "machine": describe_machine(), "settings": settings, "left_out": left_out}
    made = trial.Trial(
        options.out,
        pictures,
        methods,
        split_names(options.holes),
        spaces,
        resources.digests["gan"],
        options.seed,
        options.batch_size,
        about,
        options.limits,
    )
    return made, rejected


def _roles(options: Options) -> dict[Path, str]:
    """Files in the places of the pictures that are none: holes and results."""
    from ..files.input_digests import hole_roles
    from ..images.holes import parse

    roles = {options.out: f"in {options.out}, the folder for the results"}
    for hole in split_names(options.holes):
        roles |= hole_roles(parse(hole), options.data, options.out)
    return roles


def load_resources(options: Options) -> "Resources":
    """The model, and what else methods need; each told by a digest of what it holds."""
    from ..evaluation.methods import Resources
    from ..gan.model_file import digest_weights
    from ..models import find, load, load_context

    gan = load(options.model, options.device)
    # Adding an encoder to a model's file does not change searches that do not use it.
    digests = {
        "gan": digest_weights(gan.generator, gan.discriminator),
        "encoder": digest_weights(gan.encoder, gan.completer),
    }
    context = train = None
    if options.context is not None:
        context = load_context(options.context, options.device)
        digests["context"] = _digest([find(options.context).read_bytes()])
        theirs, ours = ((n.size, n.channels) for n in (context.network, gan.network))
        if theirs != ours:
            raise LatentfillError(
                f"{options.context} is for (size, channels) {theirs}, the model for {ours}", "Train one like the model."
            )
    if options.train:
        train = _decode(options, gan.network.size)
        digests["train"] = _digest(train[i : i + 1024] for i in range(0, len(train), 1024))
    return Resources(gan, train, context, digests)


def _decode(options: Options, size: int) -> "PixelBatch":
    from ..runs.data import Dataset, load_dataset
    from .progress import Bar

    with Bar("decode", "pictures") as bar:
        for step in load_dataset(options.train, size, 3, options.cache):
            if isinstance(step, Dataset):
                print(*(f"{line}\n" for line in step.left_out), sep="", end="", file=sys.stderr)
                return step.pixels
            bar.update(*step)
    raise LatentfillError(f"no pictures in {', '.join(map(str, options.train))}", "Give others with --train.")


def _show_progress(title: str, steps: Iterator[tuple[int, int, str]]) -> None:
    from .progress import Bar

    with Bar(title, "pictures") as bar:
        for done, total, note in steps:
            bar.update(done, total, note)


def _digest(parts: Iterable[Any]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
