"""Options of the verbs that several processes or a cluster can share."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, final

from annotated_types import Ge, Gt, Le
from tyro.conf import Positional, arg

from .bounds import DEFAULT_MODEL, Kind
from .completion import CompleteOptions, PhotoOptions, ReadLimits, choose_search
from .serving import EngineOptions
from .training import GAN_PRESETS, TRAIN_KINDS, EncoderOptions, NetworkOptions, RunOptions, TrainOptions


@final
@dataclass(frozen=True)
class TrainCommand:
    """Learn what a kind of picture looks like, from a folder of them.

    The run folder holds the options, losses, samples, checkpoints and the model file RUN/model.safetensors. Ctrl-C
    saves and leaves; the same command continues. `torchrun ... -m -- latentfill train ...` shares each batch among as
    many processes as wanted; so does --engine ray among --workers.
    """

    data: Positional[tuple[str, ...]]
    """pictures: folders of any depth, .zip or .tar archives, files, or any of these in an object store (s3://..., as
    fsspec names them), fetched into the cache once. An encoder needs no pictures: its generator draws them"""
    run: Path
    """folder of this training; made, or continued"""
    kind: Kind = "gan"
    """what to train: a GAN; a Laplacian pyramid of GANs, one for each size (lapgan); a variational autoencoder (vae);
    an encoder, which guesses a finished GAN's latent for an incomplete picture; a completer, which begins with a
    finished GAN and completes pictures in one pass, in as many ways as wanted; an upsampler, which redraws completions
    at twice their size, for large faces; a context encoder, which completes pictures without a GAN. Some defaults
    depend on it"""
    preset: Literal["modern", "seed"] = "modern"
    """gan: networks and recipe to start from: modern (residual networks, a loss of pairs, penalties on D's slopes, an
    encoder) or seed (the original)"""
    model: str = DEFAULT_MODEL
    """encoder: the GAN it is for, by name, model file or run folder"""
    begin: str | None = None
    """completer, upsampler: the model it is for, by name, model file or run folder. gan and vae: a model of the same
    networks to begin with; its size counts unless --size is given, and a model of half the size is grown first. A GAN
    may begin with an autoencoder. After a GAN --redraw-first is 0, --learning-rate 0 is 1e-4"""
    network: NetworkOptions = field(default_factory=NetworkOptions)
    train: TrainOptions = field(default_factory=TrainOptions)
    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    record: RunOptions = field(default_factory=RunOptions)
    where: EngineOptions = field(default_factory=EngineOptions)

    CHOSEN_BY = ("kind", "preset")

    @staticmethod
    def preset_defaults(kind: str | None, preset: str | None) -> dict[str, Any]:
        """The settings by which a kind is trained; an unknown kind or preset is refused later."""
        network, train = GAN_PRESETS.get(preset or "modern", GAN_PRESETS["modern"])
        if kind == "vae":
            return {"network": replace(network, critic=False), "train": TRAIN_KINDS["vae"]}
        if kind == "lapgan":
            return {"network": NetworkOptions(networks="pyramid"), "train": TRAIN_KINDS["lapgan"]}
        if kind in TRAIN_KINDS:
            return {"train": TRAIN_KINDS[kind]}
        return {"network": network, "train": train}


@final
@dataclass(frozen=True)
class CompleteCommand:
    """Fill the holes of photos by searching the latent space of a model.

    Photos may have any size: the faces that the hole touches are found, aligned, completed, and put back at the photo's
    own resolution. Pictures of the model's size are completed as they are. Outside the hole nothing changes, to the
    bit. 16 bits per channel, alpha, colour profile and EXIF data are kept.

    With --observe, grey, small, noisy or quantised pictures and JPEGs are coloured, enlarged or cleaned.

    Writes OUT/NAME.png and OUT/NAME.json for every photo, and into OUT/_run the grids of each batch (before, masked,
    hats, completed), the losses and latents of each, and the candidates. Finished results are skipped if photo, hole,
    model and options are the same; so the same command continues where it was stopped.

    With --engine ray actors share the work, on this machine or on a cluster. Pictures may then come as Parquet files
    too (columns path and bytes, and if wanted hole, a picture of it). No grids are drawn. OUT/_run/manifest.parquet has
    one row for each picture: its losses and errors, where it went, or why it could not be completed.
    """

    images: Positional[tuple[Path, ...]]
    """pictures: files, folders of any depth, .zip or .tar archives"""
    out: Path
    """folder for the results"""
    hole: str | None = None
    """what to fill, if not given the center, or with --observe and --extend nothing: center[:scale], left, half,
    random[:fraction missing], grid, full, lowres, pattern, thin, medium, thick, brush, ellipses, of aligned faces eyes,
    nose, mouth, of the faces in a photo face:eyes, face:nose, face:mouth, face:glasses, face:left, face:right, alpha,
    colour:#ff00ff[:tolerance], rectangle:LEFT,TOP,WIDTH,HEIGHT, ellipse:X,Y,RADIUS_X,RADIUS_Y (pixels or %), a picture
    (white = to be found), or a folder of such paired by file name"""
    invert: bool = False
    """exchange hole and known pixels: for hole pictures in which black is to be found"""
    hole_threshold: Annotated[int, Ge(1), Le(255)] = 128
    """least brightness at which a grey pixel of a hole's picture is to be found, 1 to 255"""
    observe: str | None = None
    """what the pictures are: grey, lowres:FACTOR (FACTOR times smaller), noise:SIGMA (in grey levels), levels:COUNT
    (per channel), jpeg:QUALITY, or some joined by +, such as grey+lowres:4. All of each picture is found anew, and
    agrees with the given one. In the hole, if there is one, nothing was seen"""
    degrade: str | None = None
    """make such pictures out of whole ones first, and complete those: to try it out"""
    model: str = DEFAULT_MODEL
    """name of a model in the package, a model file, or a run folder"""
    class_name: Annotated[str | None, arg(name="class")] = None
    """kind of picture to find, of a model that was trained with --labels; default: the one most of its pictures had"""
    preset: Literal["best", "fast", "seed", "paper"] = "best"
    """settings to start from: best (one pass of the completer, and a short search where known pixels are everywhere),
    fast (one pass), seed (the original repository's), paper (those of Yeh et al.)"""
    search: CompleteOptions = field(default_factory=CompleteOptions)
    photo: PhotoOptions = field(default_factory=PhotoOptions)
    landmarks: Path | None = None
    """landmarks of faces that are too hidden to be found: a CSV with a line path,x1,y1,x2,y2,x3,y3 for each face,
    CelebA's list, or JSON. The model in the package wants the inner corners of the eyes and the bottom of the lower
    lip"""
    limits: ReadLimits = field(default_factory=ReadLimits)
    max_images: Annotated[int, Gt(0)] | None = None
    """complete only the first N pictures"""
    fit: bool = False
    """crop photos to their central square and resize them to the model's size, instead of completing them in place"""
    format: Literal["png", "same", "jpeg", "webp", "tiff"] = "png"
    """kind of file to write; same is the photo's own. A JPEG changes known pixels a little; webp is without loss"""
    batch_size: Annotated[int, Gt(0)] = 64
    """pictures searched side by side"""
    every: Annotated[int, Ge(0)] = 50
    """write the grids every N steps, and at the last; 0 for the last alone"""
    edits: Annotated[int, Ge(0)] = 0
    """draw N ways to change the completion, a row for each (_run/edits/NAME.png)"""
    gif: bool = False
    """join the grids of each batch to an animation"""
    overwrite: bool = False
    """make finished results anew"""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps, or auto for the first GPU if there is one"""
    threads: Annotated[int, Ge(0)] = 0
    """processor threads; 0 takes all cores"""
    where: EngineOptions = field(default_factory=EngineOptions)
    write: Literal["files", "tar"] = "files"
    """ray: OUT/NAME.png and OUT/NAME.json for every photo, or tar shards of these (WebDataset) in OUT/shards"""

    @staticmethod
    def preset_defaults(name: str | None) -> dict[str, Any]:
        """The search of a preset. Raises LatentfillError for a name that is none."""
        return {"search": choose_search(name or None)}


@final
@dataclass(frozen=True)
class EvaluateCommand:
    """Cover parts of pictures, complete them by several methods, and compare the results with the originals.

    Writes OUT/report.json, and from it report.csv, report.md, report.html with the pictures side by side, and
    contact.png. OUT/_run keeps the completed pictures. They are not made again unless the model or its options have
    changed; so the same command continues where it was stopped, and methods can be added later.
    """

    data: Positional[tuple[Path, ...]]
    """pictures that no method has learnt from: files, folders of any depth, .zip or .tar archives; their central square
    is brought to the model's size"""
    out: Path
    """folder for the results"""
    holes: str = "center,pattern,random:0.8,half,thin,medium,thick"
    """holes, with commas between: all that `complete --hole` takes but alpha, colour and lowres"""
    methods: str = "all"
    """with commas between: presets of `complete`, context-encoder, mean, nearest, linear, telea, navier-stokes,
    biharmonic, total-variation; or all that can be had"""
    count: Annotated[int, Gt(0)] = 256
    """pictures to try, the first in a shuffled order that never changes"""
    part: Literal["all", "test", "choose"] = "all"
    """use all pictures, or one of two halves of them: test to report on, choose to choose by"""
    model: str = DEFAULT_MODEL
    """name of a model in the package, a model file, or a run folder"""
    train: tuple[Path, ...] = ()
    """pictures that methods may learn from: for nearest, mean and linear; without, mean and linear use the model's
    samples"""
    context: Path | None = None
    """model file of a context encoder"""
    again: str = ""
    """methods whose completions to make anew, with commas between, or all"""
    limits: ReadLimits = field(default_factory=ReadLimits)
    batch_size: Annotated[int, Gt(0)] = 64
    """pictures completed side by side"""
    seed: Annotated[int, Ge(0), Le(2**31 - 1)] = 0
    """seed of the holes, the trained judge and the intervals"""
    json: bool = False
    """print report.json"""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps, or auto for the first GPU if there is one"""
    threads: Annotated[int, Ge(0)] = 0
    """processor threads; 0 takes all cores"""
    where: EngineOptions = field(default_factory=EngineOptions)
    cache: Path | None = None
    """where the decoded training pictures are kept; default: ~/.cache/latentfill"""
