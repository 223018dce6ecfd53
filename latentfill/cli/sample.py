"""latentfill sample: pictures of nobody, and ways through the latent space of a model."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt, Le
from tyro.conf import Positional, arg

from ..errors import LatentfillError

if TYPE_CHECKING:
    import torch

    from ..figures.samples import Sample
    from ..gan.gan import Gan
    from ..types import Pixels
    from .progress import Bar

SHEET = 1024  # tiles of one grid at most; more samples make more grids
INFLUENCE_LATENTS = 4  # latents for which the influence of a component is measured
SECONDS_PER_FRAME = 0.08


@dataclass(frozen=True)
class Options:
    """Draw pictures from a model: a grid of samples, or a walk, a sweep, its directions, an arithmetic.

    Sample number i has the seed SEED + i, and is the same however many are drawn; OUT/samples.csv lists them.
    """

    model: Positional[str]
    """name of a model in the package, a model file, or a run folder"""
    out: Positional[Path]
    """folder to write to"""
    count: Annotated[int, Gt(0)] = 64
    """samples to draw (grid.png)"""
    class_name: Annotated[str | None, arg(name="class")] = None
    """kind of picture to draw, of a model that was trained with --labels; default: the one most of its pictures had"""
    columns: Annotated[int, Gt(1)] = 8
    """tiles in a row, of grids, walks and sweeps; of directions an odd number, the sample in the middle"""
    separate: bool = False
    """write each sample to a file of its own too (samples/SEED.png)"""
    nice: Annotated[int, Gt(0)] = 1
    """draw N times as many, and keep those that D finds most real"""
    walk: bool = False
    """walk from latent to latent (walk.gif, walk.png)"""
    stops: Annotated[int, Ge(2)] = 6
    """latents that a walk passes"""
    frames: Annotated[int, Ge(2)] = 12
    """frames of an animation, from each stop to the next, or from end to end of a sweep"""
    way: Literal["loop", "back"] = "loop"
    """how a walk ends: on to the first stop, or back the way it came"""
    sweep: bool = False
    """move one component of a latent from end to end, a row for each (sweep.png, sweep.gif, sweep.csv)"""
    components: tuple[Annotated[int, Ge(0)], ...] = ()
    """components of a sweep, counted from 0; default: those that change the image most"""
    directions: Literal["pca", "sefa"] | None = None
    """move a sample along the model's style directions, a row for each (directions.png, .gif, .csv): pca of G's first
    activations, or sefa, from G's first layer alone"""
    rows: Annotated[int, Gt(0)] = 8
    """directions, or components of a sweep, where none are named"""
    arithmetic: tuple[str, str, str] | None = None
    """A - B + C (arithmetic.png): three lists of seeds such as 3,14,15, each averaged"""
    seed: Annotated[int, Ge(0), Le(2**31 - 1)] = 0
    """seed of the first sample"""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps, or auto for the first GPU if there is one"""


def run(options: Options) -> int:
    """Draw all that is asked for, a grid if nothing else is, and print the path of each file."""
    from ..device import choose_device
    from ..models import load

    groups = _parse_groups(options)
    device = choose_device(options.device)
    gan = load(options.model, options.device, options.class_name)
    _check_components(options, gan)
    _check_rows(options, gan)
    others = options.walk or options.sweep or options.directions or groups is not None
    if options.separate or options.nice > 1 or not others:
        _print_paths(_grid(options, gan, device))
    if options.walk:
        _print_paths(_walk(options, gan, device))
    if options.sweep:
        _print_paths(_sweep(options, gan, device))
    if options.directions is not None:
        _print_paths(_directions(options, gan, options.directions, device))
    if groups is not None:
        _print_paths(_arithmetic(options, gan, groups, device))
    return 0


def _grid(options: Options, gan: "Gan", device: "torch.device") -> list[Path]:
    from ..figures.samples import best, draw
    from ..images.pixels import grid
    from .progress import Bar

    seeds: Sequence[int] = range(options.seed, options.seed + options.count)
    candidates = range(options.seed, options.seed + options.nice * options.count)
    paths: list[Path] = []
    rows: list[tuple[int, str, str]] = []
    if options.nice > 1:
        with Bar("choosing", "samples") as bar:
            seeds = best(_watch(draw(gan, candidates, device), bar, len(candidates)), options.count)
    with Bar("drawing", "samples") as bar:
        samples = _watch(draw(gan, seeds, device), bar, len(seeds))
        while tiles := list(islice(samples, SHEET)):
            number = len(rows) // SHEET + 1
            paths.append(options.out / ("grid.png" if len(seeds) <= SHEET else f"grid-{number}.png"))
            _save(paths[-1], grid([tile.pixels for tile in tiles], options.columns))
            for tile in tiles:
                name = f"samples/{tile.seed:06}.png" if options.separate else ""
                rows.append((tile.seed, f"{tile.logit:.4f}", name))
                if name:
                    paths.append(options.out / name)
                    _save(paths[-1], tile.pixels, options.out)
    return [*paths, _table(options.out / "samples.csv", ("seed", "logit", "file"), rows)]


def _walk(options: Options, gan: "Gan", device: "torch.device") -> list[Path]:
    import torch

    from ..figures.gif import write_gif
    from ..figures.samples import enlarge, show
    from ..files.provenance import save
    from ..gan.directions import tour, walk
    from ..images.pixels import grid

    prior = gan.generator.prior
    stops = prior.sample(range(options.seed, options.seed + options.stops))
    path = tour(prior, stops, options.frames, options.way)
    moving, strip = options.out / "walk.gif", options.out / "walk.png"
    write_gif(moving, (enlarge(frame) for frame in show(gan, path, device)), SECONDS_PER_FRAME, save)
    ends = torch.cat([stops, stops[:1]]) if options.way == "loop" else stops
    legs = [walk(prior, ends[i : i + 1], ends[i + 1 : i + 2], options.columns) for i in range(len(ends) - 1)]
    _save(strip, grid(list(show(gan, torch.cat(legs), device)), options.columns))
    return [moving, strip]


def _sweep(options: Options, gan: "Gan", device: "torch.device") -> list[Path]:
    import torch

    from ..figures.gif import write_gif
    from ..figures.samples import ping_pong_frames, sweeps
    from ..files.provenance import save
    from ..gan.directions import influence, sweep_values
    from ..images.pixels import grid

    prior = gan.generator.prior
    some = prior.sample(range(options.seed, options.seed + INFLUENCE_LATENTS))
    with torch.inference_mode():
        change = influence(gan.generator, some.to(device), sweep_values(prior, 2).to(device)).tolist()
    by_influence = sorted(range(prior.dim), key=lambda component: -change[component])
    components = list(options.components) or by_influence[: options.rows]
    sheet, moving = options.out / "sweep.png", options.out / "sweep.gif"
    rows = sweeps(gan, some[:1], components, options.columns, device)
    _save(sheet, grid([tile for row in rows for tile in row], options.columns))
    write_gif(
        moving, ping_pong_frames(sweeps(gan, some[:1], components, options.frames, device)), SECONDS_PER_FRAME, save
    )
    table = [(row, component, f"{change[component]:.6f}") for row, component in enumerate(components)]
    return [sheet, moving, _table(options.out / "sweep.csv", ("row", "component", "mean_change"), table)]


def _directions(options: Options, gan: "Gan", how: Literal["pca", "sefa"], device: "torch.device") -> list[Path]:
    from ..figures.gif import write_gif
    from ..figures.samples import direction_rows, mean_change, ping_pong_frames
    from ..files.provenance import save
    from ..gan.directions import find_directions
    from ..images.pixels import grid

    found = find_directions(gan.generator, how, options.rows)
    z = gan.generator.prior.sample([options.seed])
    sheet, moving = options.out / "directions.png", options.out / "directions.gif"
    shown = direction_rows(gan, found, z, options.columns + 1 - options.columns % 2, device)
    _save(sheet, grid([tile for row in shown for tile in row], len(shown[0])))
    write_gif(moving, ping_pong_frames(direction_rows(gan, found, z, options.frames, device)), SECONDS_PER_FRAME, save)
    some = gan.generator.prior.sample(range(options.seed, options.seed + INFLUENCE_LATENTS))
    change = mean_change(gan, found, some, device)
    table = [(i, f"{found.strengths[i]:.6f}", f"{change[i]:.6f}") for i in range(len(found))]
    return [sheet, moving, _table(options.out / "directions.csv", ("row", "strength", "mean_change"), table)]


def _arithmetic(options: Options, gan: "Gan", groups: Sequence[Sequence[int]], device: "torch.device") -> list[Path]:
    from ..figures.samples import arithmetic_sheet

    path = options.out / "arithmetic.png"
    _save(path, arithmetic_sheet(gan, groups, device))
    return [path]


def _parse_groups(options: Options) -> list[list[int]] | None:
    """The seeds of A, B and C. Raises LatentfillError for what is no list of seeds."""
    if options.arithmetic is None:
        return None
    try:
        groups = [[int(seed) for seed in group.split(",")] for group in options.arithmetic]
        if min(map(min, groups)) < 0:
            raise ValueError("seeds are not negative")
    except ValueError as error:
        what = f"--arithmetic {' '.join(options.arithmetic)}: {error}"
        raise LatentfillError(what, "Give three lists of seeds, such as 3,14,15 9,2,6 5,3,5.") from error
    return groups


def _check_components(options: Options, gan: "Gan") -> None:
    last = gan.generator.prior.dim - 1
    if wrong := [c for c in options.components if not 0 <= c <= last]:
        raise LatentfillError(f"--components {wrong[0]}: there is none", f"This model has the components 0 to {last}.")


def _check_rows(options: Options, gan: "Gan") -> None:
    dim = gan.generator.prior.dim
    if options.directions is not None and options.rows > dim:
        raise LatentfillError(f"--rows {options.rows} is more than the model has directions", f"This model has {dim}.")


def _watch(samples: "Iterable[Sample]", bar: "Bar", total: int) -> "Iterator[Sample]":
    for done, sample in enumerate(samples, 1):
        yield sample
        bar.update(done, total)


def _table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    from ..files.provenance import save_table

    save_table(path, [columns, *rows])
    return path


def _save(path: Path, pixels: "Pixels", root: Path | None = None) -> None:
    """Write a picture; `root` is the folder of the results, if it is a sample alone and no sheet of several."""
    from ..files.provenance import save
    from ..images.photos import writer

    save(path, writer(path, pixels), root=root)


def _print_paths(paths: Sequence[Path]) -> None:
    for path in paths:
        print(path, flush=True)
