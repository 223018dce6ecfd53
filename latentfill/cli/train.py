"""latentfill train: from a folder of pictures to a model file."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import Positional

from ..errors import LatentfillError
from ..gan.options import EncoderOptions
from ..models import DEFAULT
from ..options import GAN_PRESETS, TRAIN_KINDS, Kind, NetworkOptions, RunOptions, TrainOptions

if TYPE_CHECKING:
    from ..training.dataset import Dataset
    from ..training.record import Progress
    from ..training.watching.learner import Caller


SIGNS = {"discriminator": "D", "generator": "G", "hole": "hole", "latent": "z"}  # of the losses beside the bar


@dataclass(frozen=True)
class Options:
    """Learn what a kind of picture looks like, from a folder of them.

    The run folder holds the options, losses, samples, checkpoints and the model file RUN/model.safetensors. Ctrl-C
    saves and leaves; the same command goes on.
    """

    data: Positional[tuple[Path, ...]]
    """pictures: folders of any depth, .zip or .tar archives, files. An encoder needs none: its generator draws them"""
    run: Path
    """folder of this training; made, or continued"""
    kind: Kind = "gan"
    """what to train: a GAN; a Laplacian pyramid of GANs, one for each size (lapgan); an encoder, which gives a finished
    GAN's latent for an incomplete picture in one pass; a context encoder, which completes pictures without a GAN. Some
    defaults depend on it"""
    preset: Literal["modern", "seed"] = "modern"
    """gan: networks and recipe to start from: modern has residual networks, a loss of pairs, penalties on D's slopes
    and an encoder beside the two; seed is the original"""
    model: str = DEFAULT
    """encoder: the GAN it is for, by name, model file or run folder"""
    begin: str | None = None
    """gan and vae: model of the same networks to begin with, by name, model file or run folder; a GAN may begin with an
    autoencoder's"""
    network: NetworkOptions = field(default_factory=NetworkOptions)
    train: TrainOptions = field(default_factory=TrainOptions)
    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    record: RunOptions = field(default_factory=RunOptions)

    CHOSEN_BY = ("kind", "preset")

    @staticmethod
    def preset_defaults(kind: str | None, preset: str | None) -> dict[str, Any]:
        """How such a kind is trained; what is no kind or preset is refused later."""
        network, train = GAN_PRESETS.get(preset or "modern", GAN_PRESETS["modern"])
        if kind == "vae":
            return {"network": replace(network, critic=False), "train": TRAIN_KINDS["vae"]}
        if kind == "lapgan":
            return {"network": NetworkOptions(networks="pyramid"), "train": TRAIN_KINDS["lapgan"]}
        if kind in TRAIN_KINDS:
            return {"train": TRAIN_KINDS[kind]}
        return {"network": network, "train": train}


def run(options: Options) -> int:
    """Train until done or stopped. Returns 0, also when stopped: nothing is lost."""
    from setproctitle import setproctitle

    from .console.progress import Bar
    from .console.stopping import StopSignal

    setproctitle(f"latentfill train {options.run.name}")
    if options.begin and options.kind not in ("gan", "vae"):
        raise LatentfillError(f"--kind {options.kind} begins anew, not with --begin {options.begin}", "Leave it out.")
    if options.record.dry_run:
        return _rehearse(options)
    steps = _STEPS[options.kind](options)
    stop = StopSignal()
    first = None
    try:
        with Bar(f"train {options.run.name}", "images") as bar:
            for progress in steps:
                if first is None:
                    first = progress
                    print(_banner(first), file=sys.stderr)
                for line in progress.told:
                    print(line, file=sys.stderr)
                bar.update(progress.images_seen, progress.total, _losses(progress))
                if stop.came:
                    break
    finally:
        steps.close()  # type: ignore[attr-defined]
        stop.restore()
    if stop.came:
        print(f"Stopped and saved. The same command goes on: {options.run}", file=sys.stderr)
    if first is None:
        print("Nothing to do: it has seen as many images already. Give a larger --images-seen.", file=sys.stderr)
    print(options.run / "model.safetensors")
    return 0


def _rehearse(options: Options) -> int:
    """Say what a training would take. Of the pictures a few are decoded, to where nothing of them stays."""
    from tempfile import TemporaryDirectory

    from ..images import photos

    batch, n = options.train.batch_size, options.network
    total = min(len(list(photos.find(options.data))), options.record.max_images or sys.maxsize) if options.data else 0
    few = 10 * batch // 9 + 2  # so many that a tenth may be held out
    temporary = TemporaryDirectory()
    try:
        record = replace(options.record, cache=temporary.name, max_images=few)
        train = options.train
        if train.epochs and total:
            train = replace(train, images_seen=max(1, round(train.epochs * total)), epochs=None)
        told = [
            line for step in _STEPS[options.kind](replace(options, record=record, train=train)) for line in step.told
        ]
    finally:
        temporary.cleanup()
    size = total * n.size**2 * n.channels / 1e6
    print("\n".join([*told, f"pictures    {total:,} in all, {size:,.1f} MB decoded in the cache; {few} were tried"]))
    return 0


def _train_gan(options: Options) -> "Iterator[Progress]":
    from ..gan.checkpoint import load
    from ..models import find
    from ..training.gan import train

    begin = load(find(options.begin)) if options.begin else None
    data, held_out = _open(options), options.encoder.held_out if options.record.score_every else 0
    caller = _caller(data)
    return train(data, options.run, options.network, options.train, options.record, begin, caller, held_out)


def _train_vae(options: Options) -> "Iterator[Progress]":
    from ..gan.checkpoint import load
    from ..models import find
    from ..training.reconstructing.vae import train_vae

    begin, data = load(find(options.begin)) if options.begin else None, _open(options)
    return train_vae(data, options.run, options.network, options.train, options.record, begin, _caller(data))


def _train_pyramid(options: Options) -> "Iterator[Progress]":
    from ..training.pyramid.run import train_pyramid

    data = _open(options)
    return train_pyramid(data, options.run, options.network, options.train, options.record, _caller(data))


def _train_encoder(options: Options) -> "Iterator[Progress]":
    from ..models import load
    from ..training.encoder import train_encoder

    gan = load(options.model)
    if options.network not in (NetworkOptions(), gan.network):
        raise LatentfillError(
            f"the networks of {options.model} are made, and cannot be others",
            "Leave out --size, --channels, --widths, --base, --latent and --prior; the encoder has --encoder-base.",
        )
    data = _open(replace(options, network=gan.network)) if options.data else None
    return train_encoder(gan, data, options.run, options.train, options.encoder, options.record, _caller(data))


def _train_context(options: Options) -> "Iterator[Progress]":
    from ..gan.options import ContextOptions
    from ..training.context import train_context

    o = options.network
    if o != NetworkOptions(size=o.size, channels=o.channels, base=o.base):
        raise LatentfillError(
            "a context encoder has no latent space", "Leave out --widths, --latent and --prior, or train a GAN."
        )
    network = ContextOptions(o.size, o.channels, o.base, options.encoder.skips)
    data = _open(options)
    return train_context(data, options.run, network, options.train, options.encoder, options.record, _caller(data))


_STEPS = {
    "gan": _train_gan,
    "vae": _train_vae,
    "lapgan": _train_pyramid,
    "encoder": _train_encoder,
    "context-encoder": _train_context,
}


def _caller(data: "Dataset | None") -> "Caller":
    """What a training is lent: the command as it was given, the machine, and how to score a model."""
    from ..evaluation.embedding import file
    from ..jobs.judging import CompletionScorer
    from ..training.watching.learner import Caller
    from .console.layers import command
    from .console.machine import machine

    spaces = ["pixels"]
    if data and data.alignment is not None:
        try:
            file()
            spaces.append("dlib-face")
        except LatentfillError:
            pass  # without dlib's file there is no such space
    return Caller(command.get(), machine(), CompletionScorer(spaces))


def _open(options: Options) -> "Dataset":
    if not options.data:
        raise LatentfillError("no pictures named", "Write latentfill train PICTURES... --run FOLDER.")
    from ..training.dataset import Dataset, build, write_rejected
    from .console.progress import Bar

    o = options.record
    cache = Path(o.cache) if o.cache else None
    network = options.network
    with Bar("reading pictures", "pictures") as bar:
        for step in build(options.data, network.size, network.channels, cache, o.max_images):
            if isinstance(step, Dataset):
                data = step
            else:
                bar.update(*step)
    if data.rejected and not o.dry_run:
        where = options.run / "rejected.csv"
        options.run.mkdir(parents=True, exist_ok=True)
        write_rejected(where, data.rejected)
        print(f"left out, because they cannot be read: {len(data.rejected)}, listed in {where}", file=sys.stderr)
    print(f"{len(data)} pictures", file=sys.stderr)
    return data


def _banner(first: "Progress") -> str:
    lines = [f"{path} cannot be read and is passed over" for path in first.broken]
    went_on = f"training continues at {first.resumed_from:,} images" if first.resumed_from else "a new model begins"
    return "\n".join([*lines, went_on])


def _losses(progress: "Progress") -> str:
    return "  ".join(f"{sign} {progress.losses[name]:.3f}" for name, sign in SIGNS.items() if name in progress.losses)
