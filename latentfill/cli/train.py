"""latentfill train: from a folder of pictures to a model file."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from ..errors import LatentfillError
from ..models import DEFAULT
from ..options import GAN_PRESETS, TRAIN_KINDS, EngineOptions, Kind, NetworkOptions, RunOptions, TrainOptions
from ..options.training import EncoderOptions


@dataclass(frozen=True)
class Options:
    """Learn what a kind of picture looks like, from a folder of them.

    The run folder holds the options, losses, samples, checkpoints and the model file RUN/model.safetensors. Ctrl-C
    saves and leaves; the same command goes on. `torchrun ... -m -- latentfill train ...` shares each batch among as
    many processes as wanted; so does --engine ray among --workers.
    """

    data: Positional[tuple[str, ...]]
    """pictures: folders of any depth, .zip or .tar archives, files, or any of these in an object store (s3://..., as
    fsspec names them), fetched into the cache once. An encoder needs none: its generator draws them"""
    run: Path
    """folder of this training; made, or continued"""
    kind: Kind = "gan"
    """what to train: a GAN; a Laplacian pyramid of GANs, one for each size (lapgan); an encoder, which gives a finished
    GAN's latent for an incomplete picture in one pass; a completer, which completes pictures in one pass, in as many
    ways as wanted, and begins with a finished GAN; a context encoder, which completes them without a GAN. Some defaults
    depend on it"""
    preset: Literal["modern", "seed"] = "modern"
    """gan: networks and recipe to start from: modern has residual networks, a loss of pairs, penalties on D's slopes
    and an encoder beside the two; seed is the original"""
    model: str = DEFAULT
    """encoder: the GAN it is for, by name, model file or run folder"""
    begin: str | None = None
    """completer: the model it is for, by name, model file or run folder. gan and vae: one of the same networks to begin
    with; a GAN may begin with an autoencoder's. One of half the size is grown first. After a GAN --redraw-first is 0,
    --learning-rate 0 is 1e-4"""
    network: NetworkOptions = field(default_factory=NetworkOptions)
    train: TrainOptions = field(default_factory=TrainOptions)
    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    record: RunOptions = field(default_factory=RunOptions)
    where: EngineOptions = field(default_factory=EngineOptions)

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
    if options.kind == "completer" and not options.begin:
        raise LatentfillError("a completer begins with a finished GAN", "Give it with --begin.")
    if options.begin and options.kind not in ("gan", "vae", "completer"):
        raise LatentfillError(f"--kind {options.kind} begins anew, not with --begin {options.begin}", "Leave it out.")
    if options.where.engine == "ray":
        from ..cluster.train import train

        return train(options)
    if options.where.workers:
        raise LatentfillError(
            "--workers is for --engine ray; other processes are started by torchrun",
            f"Or write torchrun --standalone --nproc-per-node {options.where.workers} -m -- latentfill train ...",
        )
    from .training import learn

    return learn(options)
