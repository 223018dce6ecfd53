"""What `latentfill train` does, in one process or in each of several: read the pictures, learn, and show how far."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from ...errors import LatentfillError
from ...options import NetworkOptions
from .given import beginning, local, opened
from .output import name_process

if TYPE_CHECKING:
    from ...gan.gan import Gan
    from ...training.dataset import Dataset
    from ...training.distributed.team import Team
    from ...training.record import Progress
    from ...training.watching.learner import Caller
    from ..train import Options

Wish = Callable[[], bool]
SIGNS = {"discriminator": "D", "generator": "G", "hole": "hole", "latent": "z"}  # of the losses beside the bar


def learn(options: "Options") -> int:
    """As one of the processes that torchrun started, or alone."""
    from ...stopping import StopSignal
    from ...training.distributed.team import enroll

    name_process("train", options.run)
    team, parent = enroll(options.record.device), os.getppid()
    if options.record.dry_run:
        return _rehearse(options, team)
    stop: StopSignal | None = None

    def wish() -> bool:
        # Whoever started several processes and was killed cannot stop them any more.
        return (stop is not None and stop.came) or (team.crew.size > 1 and os.getppid() != parent)

    steps = STEPS[options.kind](options, team, wish)
    stop = StopSignal("this batch", quiet=not team.leads)  # from here on there is something to save
    try:
        show(options, team, steps)
    finally:
        stop.restore()
    team.leave()
    return 0


def show(options: "Options", team: "Team", steps: "Iterator[Progress]") -> None:
    """Train until done, or until a process of the team wishes to stop. The leader shows how far it is."""
    from .progress import Bar

    title = f"train {options.run.name}"
    first = last = None
    try:
        with Bar(title, "images") if team.leads else nullcontext() as bar:
            for last in steps:
                if bar is not None:
                    if first is None:
                        print(_banner(last, team, options.train.batch_size), file=sys.stderr)
                    for line in last.told:
                        print(line, file=sys.stderr)
                    bar.update(last.images_seen, last.total, _losses(last))
                first = first or last
                if last.stopped:
                    break
    finally:
        steps.close()  # type: ignore[attr-defined]
    if not team.leads:
        return
    if last is not None and last.stopped:
        print(f"Stopped and saved. The same command goes on: {options.run}", file=sys.stderr)
    if first is None:
        print("Nothing to do: it has seen as many images already. Give a larger --images-seen.", file=sys.stderr)
    print(options.run / "model.safetensors")


def _rehearse(options: "Options", team: "Team") -> int:
    """Say what a training would take. Of the pictures a few are decoded, to where nothing of them stays."""
    from tempfile import TemporaryDirectory

    from ...files.listing import find

    batch, n = options.train.batch_size, options.network
    places = local(options, team) if options.data else []
    total = min(len(list(find(places))), options.record.max_images or sys.maxsize) if places else 0
    few = 10 * batch // 9 + 2  # so many that a tenth may be held out
    temporary = TemporaryDirectory()
    try:
        record = replace(options.record, cache=temporary.name, max_images=few)
        train = options.train
        if train.epochs and total:
            train = replace(train, images_seen=max(1, round(train.epochs * total)), epochs=None)
        tried = replace(options, record=record, train=train, data=tuple(map(str, places)))
        told = [line for step in STEPS[options.kind](tried, team, lambda: False) for line in step.told]
    finally:
        temporary.cleanup()
    if not team.leads:
        return 0
    size = total * n.size**2 * n.channels / 1e6
    print("\n".join([*told, f"pictures    {total:,} in all, {size:,.1f} MB decoded in the cache; {few} were tried"]))
    return 0


def _train_gan(options: "Options", team: "Team", wish: Wish) -> "Iterator[Progress]":
    from ...training.gan import train

    begin = beginning(options, team)
    data, held_out = opened(options, team), options.encoder.held_out if options.record.score_every else 0
    caller = _caller(data, team, wish)
    return train(data, options.run, options.network, options.train, options.record, begin, caller, held_out)


def _train_vae(options: "Options", team: "Team", wish: Wish) -> "Iterator[Progress]":
    from ...training.reconstructing.vae import train_vae

    begin, data = beginning(options, team), opened(options, team)
    caller = _caller(data, team, wish)
    return train_vae(data, options.run, options.network, options.train, options.record, begin, caller)


def _train_pyramid(options: "Options", team: "Team", wish: Wish) -> "Iterator[Progress]":
    from ...training.pyramid.run import train_pyramid

    data = opened(options, team)
    return train_pyramid(data, options.run, options.network, options.train, options.record, _caller(data, team, wish))


def _train_encoder(options: "Options", team: "Team", wish: Wish) -> "Iterator[Progress]":
    from ...training.encoder import train_encoder

    gan = _finished(options, options.model)
    data = opened(replace(options, network=gan.network), team) if options.data else None
    return train_encoder(
        gan, data, options.run, options.train, options.encoder, options.record, _caller(data, team, wish)
    )


def _train_completer(options: "Options", team: "Team", wish: Wish) -> "Iterator[Progress]":
    from ...training.completing.run import train_completer

    gan = _finished(options, options.begin or "")
    data = opened(replace(options, network=gan.network), team)
    caller = _caller(data, team, wish)
    caller = replace(caller, scorer=caller.completer_scorer)
    return train_completer(gan, data, options.run, options.train, options.encoder, options.record, caller)


def _train_context(options: "Options", team: "Team", wish: Wish) -> "Iterator[Progress]":
    from ...gan.options import ContextOptions
    from ...training.context import train_context

    o = options.network
    if o != NetworkOptions(size=o.size, channels=o.channels, base=o.base):
        raise LatentfillError(
            "a context encoder has no latent space", "Leave out --widths, --latent and --prior, or train a GAN."
        )
    network = ContextOptions(o.size, o.channels, o.base, options.encoder.skips)
    data = opened(options, team)
    return train_context(
        data, options.run, network, options.train, options.encoder, options.record, _caller(data, team, wish)
    )


STEPS = {
    "gan": _train_gan,
    "vae": _train_vae,
    "lapgan": _train_pyramid,
    "encoder": _train_encoder,
    "context-encoder": _train_context,
    "completer": _train_completer,
}


def _finished(options: "Options", model: str) -> "Gan":
    """The model that something is trained for."""
    from ...models import load

    gan = load(model)
    if options.network not in (NetworkOptions(), gan.network):
        raise LatentfillError(
            f"the networks of {model} are made, and cannot be others",
            "Leave out --size, --channels, --widths, --base, --latent and --prior; an encoder has --encoder-base.",
        )
    return gan


def _caller(data: "Dataset | None", team: "Team", wish: Wish) -> "Caller":
    """What a training is lent: the command as it was given, the machine, and how to score a model."""
    from ...evaluation.judges.embedding import file
    from ...jobs.judging import CompleterScorer, CompletionScorer
    from ...training.watching.learner import Caller
    from .layers import command
    from .machine import machine

    spaces = ["pixels"]
    if data and data.alignment is not None:
        try:
            file()
            spaces.append("dlib-face")
        except LatentfillError:
            pass  # without dlib's file there is no such space
    scorers = CompletionScorer(spaces), CompleterScorer(spaces[-1])
    return Caller(command.get(), machine(), *scorers, team, wish)


def _banner(first: "Progress", team: "Team", batch_size: int) -> str:
    lines = [f"{path} cannot be read and is passed over" for path in first.broken]
    if (size := team.crew.size) > 1:
        lines.append(f"{size} processes, {batch_size // size} images of a batch each, on {team.device}")
    went_on = f"training continues at {first.resumed_from:,} images" if first.resumed_from else "a new model begins"
    return "\n".join([*lines, went_on])


def _losses(progress: "Progress") -> str:
    return "  ".join(f"{sign} {progress.losses[name]:.3f}" for name, sign in SIGNS.items() if name in progress.losses)
