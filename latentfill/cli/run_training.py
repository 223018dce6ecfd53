"""The training command, in one process or in each of several: read the pictures, train, show the progress."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from ..errors import LatentfillError, ModelError
from ..options import NetworkOptions
from .output import name_process

if TYPE_CHECKING:
    from ..gan.gan import Gan
    from ..options.commands import TrainCommand
    from ..runs.data import Dataset
    from ..runs.distributed import DistributedContext
    from ..runs.interfaces import TrainingContext
    from ..runs.logs import Progress

    Steps = Iterator[Progress]


def load_initial_model(options: "TrainCommand", distributed: "DistributedContext") -> "Gan | None":
    """The model to begin with; in all processes the very same, since what differs in the last bit drifts apart."""
    import torch

    from ..gan.growing import STEPS as ENOUGH
    from ..gan.model_file import load
    from ..models import find
    from .progress import Bar

    if not options.begin:
        return None
    begin, size, record = load(find(options.begin)), options.network.size, options.record
    if begin.network.size >= size:
        return begin
    if record.threads:
        torch.set_num_threads(record.threads)

    def grow() -> "Gan":
        with Bar(f"growing to {size} pixels", "steps") as bar:
            return grow_cached(begin, size, options.train.seed, _cache(options), ENOUGH, bar.update)

    def simulate_growth() -> "Gan":
        began: list[float] = []
        gan = grow_cached(begin, size, options.train.seed, _cache(options), 2, lambda *_: began.append(monotonic()))
        minutes = (began[-1] - began[-2]) * ENOUGH / 60
        print(f"growing     from {begin.network.size} pixels first: {ENOUGH:,} steps, {minutes:.1f} min")
        return gan

    return distributed.on_rank_zero(simulate_growth if record.dry_run else grow)


def grow_cached(
    gan: "Gan", size: int, seed: int, cache: Path | None, steps: int, tell: Callable[[int, int], None]
) -> "Gan":
    """The GAN grown to `size`, kept in the cache as a model file: a training that goes on, or begins again, finds it.

    As it is if doubling does not bring it to that size. Raises ModelError as `grown` does, and when the file cannot be
    written; DataError when there is no place for it.
    """
    from ..gan.growing import grow
    from ..gan.model_file import digest_weights, load, save
    from ..runs.data import cache_path

    while gan.network.size < size and size % gan.network.size == 0:
        digest = digest_weights(gan.generator, gan.discriminator, gan.encoder, gan.completer)[:32]
        path = cache_path(f"grown-{digest}-{seed}-{steps}.safetensors", cache)
        try:
            gan = load(path)
        except ModelError:  # there is no model file, or it is incomplete
            gan = grow(gan, seed, steps, tell)
            save(gan, path)
    return gan


def open_pictures(options: "TrainCommand", distributed: "DistributedContext") -> "Dataset":
    """The pictures: on each machine one process fetches and decodes what is not there yet, and all read that."""
    if not options.data:
        raise LatentfillError("no pictures named", "Write latentfill train PICTURES... --run FOLDER.")
    places = fetch_pictures(options, distributed)
    data = distributed.once_per_machine(lambda: _decode_pictures(options, places, distributed))
    if data.rejected and not options.record.dry_run and distributed.is_rank_zero:
        from ..runs.data import write_rejected

        where = options.run / "rejected.csv"
        options.run.mkdir(parents=True, exist_ok=True)
        write_rejected(where, data.rejected)
        print(f"left out, because they cannot be read: {len(data.rejected)}, listed in {where}", file=sys.stderr)
    if distributed.is_rank_zero:
        print(*data.left_out, f"{len(data)} pictures", sep="\n", file=sys.stderr)
    return data


def fetch_pictures(options: "TrainCommand", distributed: "DistributedContext") -> list[Path]:
    """Fetch the pictures to this machine if they lie in a store, and return their places."""
    from ..runs.remote_pictures import fetch

    tell = (lambda line: print(line, file=sys.stderr)) if not distributed.local else (lambda line: None)
    return distributed.once_per_machine(lambda: fetch(options.data, _cache(options), tell))


def _decode_pictures(options: "TrainCommand", places: Sequence[Path], distributed: "DistributedContext") -> "Dataset":
    from ..runs.data import Dataset, load_dataset
    from .progress import Bar

    network = options.network
    with Bar("reading pictures", "pictures") if distributed.is_rank_zero else nullcontext() as bar:
        for step in load_dataset(places, network.size, network.channels, _cache(options), options.record.max_images):
            if isinstance(step, Dataset):
                data = step
            elif bar is not None:
                bar.update(*step)
    return data


def _cache(options: "TrainCommand") -> Path | None:
    return Path(options.record.cache) if options.record.cache else None


ShouldStop = Callable[[], bool]
SIGNS = {"discriminator": "D", "generator": "G", "hole": "hole", "latent": "z"}  # names of the losses beside the bar


def train_in_process(options: "TrainCommand") -> int:
    """Train as one of the processes that torchrun started, or alone."""
    from ..runs.distributed import join
    from ..signals import StopSignal

    name_process("train", options.run)
    distributed, parent = join(options.record.device), os.getppid()
    if options.record.dry_run:
        return _dry_run(options, distributed)
    stop: StopSignal | None = None

    def should_stop() -> bool:
        # A launcher that was killed cannot stop its processes any more.
        return (stop is not None and stop.came) or (distributed.group.size > 1 and os.getppid() != parent)

    steps = STEPS[options.kind](options, distributed, should_stop)
    stop = StopSignal("this batch", quiet=not distributed.is_rank_zero)  # from here on there is something to save
    try:
        show_progress(options, distributed, steps)
    finally:
        stop.restore()
    distributed.close()
    return 0


def show_progress(options: "TrainCommand", distributed: "DistributedContext", steps: "Steps") -> None:
    """Train until done, or until a process wants to stop. The leader shows how far it is."""
    from .progress import Bar

    title = f"train {options.run.name}"
    first = last = None
    try:
        with Bar(title, "images") if distributed.is_rank_zero else nullcontext() as bar:
            for last in steps:
                if bar is not None:
                    if first is None:
                        print(_banner(last, distributed, options.train.batch_size), file=sys.stderr)
                    for line in last.messages:
                        print(line, file=sys.stderr)
                    bar.update(last.images_seen, last.total, _losses(last))
                first = first or last
                if last.stopped:
                    break
    finally:
        steps.close()  # type: ignore[attr-defined]
    if not distributed.is_rank_zero:
        return
    if last is not None and last.stopped:
        print(f"Stopped and saved. The same command goes on: {options.run}", file=sys.stderr)
    if first is None:
        print("Nothing to do: it has seen as many images already. Give a larger --images-seen.", file=sys.stderr)
    print(options.run / "model.safetensors")


def _dry_run(options: "TrainCommand", distributed: "DistributedContext") -> int:
    """Say what a training would take. Of the pictures a few are decoded, to where nothing of them stays."""
    from tempfile import TemporaryDirectory

    from ..files.listing import find_pictures

    batch, n = options.train.batch_size, options.network
    places = fetch_pictures(options, distributed) if options.data else []
    total = min(len(list(find_pictures(places))), options.record.max_images or sys.maxsize) if places else 0
    few = 10 * batch // 9 + 2  # enough that a tenth can be held out
    temporary = TemporaryDirectory()
    try:
        record = replace(options.record, cache=temporary.name, max_images=few)
        train = options.train
        if train.epochs and total:
            train = replace(train, images_seen=max(1, round(train.epochs * total)), epochs=None)
        tried = replace(options, record=record, train=train, data=tuple(map(str, places)))
        told = [line for step in STEPS[options.kind](tried, distributed, lambda: False) for line in step.messages]
    finally:
        temporary.cleanup()
    if not distributed.is_rank_zero:
        return 0
    size = total * n.size**2 * n.channels / 1e6
    print("\n".join([*told, f"pictures    {total:,} in all, {size:,.1f} MB decoded in the cache; {few} were tried"]))
    return 0


def _train_gan(options: "TrainCommand", distributed: "DistributedContext", should_stop: ShouldStop) -> "Steps":
    from ..training.gan_run import train

    begin = load_initial_model(options, distributed)
    data, held_out = open_pictures(options, distributed), options.encoder.held_out if options.record.score_every else 0
    context = _training_context(data, distributed, should_stop)
    return train(data, options.run, options.network, options.train, options.record, begin, context, held_out)


def _train_vae(options: "TrainCommand", distributed: "DistributedContext", should_stop: ShouldStop) -> "Steps":
    from ..training.vae import train_vae

    begin, data = load_initial_model(options, distributed), open_pictures(options, distributed)
    context = _training_context(data, distributed, should_stop)
    return train_vae(data, options.run, options.network, options.train, options.record, begin, context)


def _train_pyramid(options: "TrainCommand", distributed: "DistributedContext", should_stop: ShouldStop) -> "Steps":
    from ..training.lapgan import train_pyramid

    data = open_pictures(options, distributed)
    context = _training_context(data, distributed, should_stop)
    return train_pyramid(data, options.run, options.network, options.train, options.record, context)


def _train_encoder(options: "TrainCommand", distributed: "DistributedContext", should_stop: ShouldStop) -> "Steps":
    from ..training.encoder import train_encoder

    gan = _load_finished(options, options.model)
    data = open_pictures(replace(options, network=gan.network), distributed) if options.data else None
    context = _training_context(data, distributed, should_stop)
    return train_encoder(gan, data, options.run, options.train, options.encoder, options.record, context)


def _train_completer(options: "TrainCommand", distributed: "DistributedContext", should_stop: ShouldStop) -> "Steps":
    from ..training.completer import train_completer

    gan = _load_finished(options, options.begin or "")
    data = open_pictures(replace(options, network=gan.network), distributed)
    context = _training_context(data, distributed, should_stop)
    context = replace(context, scorer=context.completer_scorer)
    return train_completer(gan, data, options.run, options.train, options.encoder, options.record, context)


def _train_upsampler(options: "TrainCommand", distributed: "DistributedContext", should_stop: ShouldStop) -> "Steps":
    from ..training.upsampler import train_upsampler, upsampled_size

    gan = _load_finished(options, options.begin or "")
    network = replace(gan.network, size=upsampled_size(gan))
    data = open_pictures(replace(options, network=network), distributed)
    context = _training_context(data, distributed, should_stop)
    return train_upsampler(gan, data, options.run, options.train, options.encoder, options.record, context)


def _train_context(options: "TrainCommand", distributed: "DistributedContext", should_stop: ShouldStop) -> "Steps":
    from ..options.training import ContextOptions
    from ..training.context_encoder import train_context

    o = options.network
    if o != NetworkOptions(size=o.size, channels=o.channels, base=o.base):
        raise LatentfillError(
            "a context encoder has no latent space", "Leave out --widths, --latent and --prior, or train a GAN."
        )
    network = ContextOptions(o.size, o.channels, o.base, options.encoder.skips)
    data = open_pictures(options, distributed)
    context = _training_context(data, distributed, should_stop)
    return train_context(data, options.run, network, options.train, options.encoder, options.record, context)


STEPS = {
    "gan": _train_gan,
    "vae": _train_vae,
    "lapgan": _train_pyramid,
    "encoder": _train_encoder,
    "context-encoder": _train_context,
    "completer": _train_completer,
    "upsampler": _train_upsampler,
}


def _load_finished(options: "TrainCommand", model: str) -> "Gan":
    """The model that something is trained for."""
    from ..models import load

    gan = load(model)
    if options.network not in (NetworkOptions(), gan.network):
        raise LatentfillError(
            f"{model} has its networks already",
            "Leave out --size, --channels, --widths, --base, --latent and --prior; an encoder has --encoder-base.",
        )
    return gan


def _training_context(
    data: "Dataset | None", distributed: "DistributedContext", should_stop: ShouldStop
) -> "TrainingContext":
    """The context of a training: the command as it was given, the machine, and how to score a model."""
    from ..evaluation.feature_spaces import find_file
    from ..evaluation.training_scores import CompleterScorer, CompletionScorer
    from ..runs.interfaces import TrainingContext
    from .configuration import command
    from .progress import describe_machine

    spaces = ["pixels"]
    if data and data.alignment is not None:
        try:
            find_file()
            spaces.append("dlib-face")
        except LatentfillError:
            pass  # without dlib's file this space is left out
    scorers = CompletionScorer(spaces), CompleterScorer(spaces[-1])
    return TrainingContext(command.get(), describe_machine(), *scorers, distributed, should_stop)


def _banner(first: "Progress", distributed: "DistributedContext", batch_size: int) -> str:
    lines = [f"{path} cannot be read and is passed over" for path in first.broken]
    if (size := distributed.group.size) > 1:
        lines.append(f"{size} processes, {batch_size // size} images of a batch each, on {distributed.device}")
    went_on = f"training continues at {first.resumed_from:,} images" if first.resumed_from else "a new model begins"
    return "\n".join([*lines, went_on])


def _losses(progress: "Progress") -> str:
    return "  ".join(f"{sign} {progress.losses[name]:.3f}" for name, sign in SIGNS.items() if name in progress.losses)
