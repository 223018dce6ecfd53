"""The processing of a photo: read, place, crop, search, estimate, paste. Requests in, events out.

`run` is all of it; `place`, `search` and `put_back` are its parts, for callers with a thread for each.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from math import inf
from pathlib import Path
from time import perf_counter
from typing import Any, final

import numpy as np
import torch
from PIL import Image

from .completion.complete import Completion, watch
from .completion.operators import Operator, parse_operator
from .errors import ExtraError, HoleError, LatentfillError, is_out_of_memory, out_of_memory
from .gan.gan import Gan
from .images.hole_pictures import WHITE, DrawnHole
from .images.holes import AT_PHOTO_SIZE, HoleSpec, parse
from .images.incomplete import Incomplete, concatenate
from .images.photos import Original, open_photo
from .images.pixels import fit, fit_hole
from .images.png import encode_image
from .models import load
from .options import CompleteOptions, PhotoOptions, ReadLimits, choose_search
from .options.wording import error_in_python, in_python
from .photo.crop import EMPTY, INVENTED, Cut, cut, cut_observed
from .photo.data_consistency import degrade
from .photo.locate import draw_hole
from .photo.model_sized import pose
from .photo.put_back import Filled, put_back
from .types import Hole, Pixels
from .uncertainty.predict import Uncertainty, predict_error

PIXELS_AT_ONCE = 50_000_000  # pixels of photos that wait together for one search: 150 MB
WHOLE = "full", "lowres"  # holes that request the whole picture, though no pixel is missing


@final
@dataclass(frozen=True, eq=False)
class Request:
    """A photo, and what of it is to be found.

    `photo` is a file, its bytes, or what `fill` takes as an array. `hole` is what `fill` takes, a parsed or a drawn
    hole, or the bytes of a picture of it. `operator` says what the photo is a measurement of; with `degrade` such a
    measurement is made of it first, with `fit` its central square is resized to the model's size. `seed` is that of
    random holes and of the noise; levels from `threshold` on are white. Events carry the `key`, errors the `name`.
    """

    photo: Original | np.ndarray | Path | str | bytes
    hole: HoleSpec | DrawnHole | np.ndarray | Path | str | bytes | None = None
    operator: Operator | str | Sequence[str] | None = None
    landmarks: Sequence[Any] | np.ndarray = ()
    name: str = "the photo"
    key: Any = None
    seed: int = 0
    invert: bool = False
    threshold: int = WHITE
    fit: bool = False
    degrade: bool = False


@final
@dataclass(frozen=True, eq=False)
class Placed:
    """A photo that was read, its hole, and its squares; `incomplete` is what the model is to complete, None if nothing.

    `original` is the photo as it was read, fitted and degraded.
    """

    request: Request
    original: Original
    drawn: DrawnHole
    cut: Cut
    incomplete: Incomplete | None

    @property
    def key(self) -> Any:
        return self.request.key


@final
@dataclass(frozen=True, eq=False)
class Step:
    """A step of the search for a batch of photos, whose squares are the rows of the completion, one after the other."""

    batch: tuple[Placed, ...]
    incomplete: Incomplete
    completion: Completion

    @property
    def keys(self) -> tuple[Any, ...]:
        return tuple(placed.key for placed in self.batch)


@final
@dataclass(frozen=True, eq=False)
class SearchResult:
    """The result of a search for a batch, with its duration in seconds; empty if no model was needed."""

    batch: tuple[Placed, ...]
    completion: Completion | None = None
    trust: Uncertainty | None = None
    seconds: float = 0.0


@final
@dataclass(frozen=True, eq=False)
class Split:
    """A batch that memory does not hold: it is searched anew, `size` photos at a time."""

    batch: tuple[Placed, ...]
    size: int


@final
@dataclass(frozen=True, eq=False)
class Done:
    """A completed photo, with the candidates for its squares and how far these may be trusted."""

    placed: Placed
    filled: "Filled"
    candidates: tuple[Completion, ...]
    trust: Uncertainty | None
    found: SearchResult

    @property
    def key(self) -> Any:
        return self.placed.key


@final
@dataclass(frozen=True, eq=False)
class Failed:
    """A photo that cannot be completed, and why."""

    request: Request
    error: LatentfillError

    @property
    def key(self) -> Any:
        return self.request.key


Event = Placed | Step | Split | Done | Failed


def fill(
    photo: Pixels | np.ndarray | Original | Image.Image | Path | str,
    hole: Hole | np.ndarray | Image.Image | Path | str | None = None,
    gan: Gan | Path | str | None = None,
    options: CompleteOptions | str | None = None,
    *,
    observe: str | Sequence[str] | None = None,
    photo_options: PhotoOptions | None = None,
    landmarks: Sequence[Any] | np.ndarray = (),
    limits: ReadLimits | None = None,
) -> Filled:
    """Complete a photo of any size; outside the hole it stays as it is, to the bit, unless it was only observed.

    `photo` is a file, a PIL image, or uint8 or uint16 [H, W], [H, W, 3] (RGB) or [H, W, 4] (with alpha). `hole` is bool
    [H, W], True where a pixel is to be found, uint8 [H, W], white (128 and above) there, a PIL image, white there, or
    what `latentfill complete --hole` takes.
    Without `gan`, which may be a name or a file too, it is the model in the package, read anew by each call:
    `gan=latentfill.load()` is read once. `options` may be the name of a preset: best (the default), fast, paper or
    seed. `landmarks` [n, 3, 2] are three points (x, y) for each of n faces
    that cannot be found, in the order of the model's alignment; the centre of the first pixel is (0.5, 0.5). `limits`
    hold for files.

    With `observe`, such as "grey" or "lowres:4+noise:10", the photo is what was so seen of the one that is wanted, and
    the answer agrees with it; in a hole, which may then be left out, nothing was seen.

    Without a face at the hole it is filled from the photo itself, and a note says so; PhotoOptions(place="faces")
    refuses such a photo. Raises LatentfillError for what its user can mend: `what` is wrong, and the `cure`. Of its
    kinds in `latentfill.errors`, ImageError and HoleError are for a photo or a hole that cannot be used, ModelError for
    a model, ExtraError for a missing library. Misuse is TypeError or ValueError.
    """
    gan = gan if isinstance(gan, Gan) else load(gan) if gan is not None else load()
    options = choose_search(options)
    source = Path(photo) if isinstance(photo, str | Path) else None
    name = "the photo" if source is None else source.name
    given = encode_image(photo) if isinstance(photo, Image.Image) else photo
    drawn = encode_image(hole) if isinstance(hole, Image.Image) else hole
    request = Request(given, drawn, observe, landmarks, name, seed=options.seed)
    for event in run([request], gan, options, photo_options, limits):
        if isinstance(event, Failed):
            raise error_in_python(event.error)
        if isinstance(event, Done):
            return replace(event.filled, notes=tuple(map(in_python, event.filled.notes)), source=source)
    raise RuntimeError("a request had no answer")


def run(
    requests: Iterable[Request],
    gan: Gan,
    options: CompleteOptions | str | None = None,
    photo_options: PhotoOptions | None = None,
    limits: ReadLimits | None = None,
    *,
    batch_size: int = 64,
) -> Iterator[Event]:
    """Complete photos, about `batch_size` squares side by side: each is Placed, searched in Steps, and Done or Failed.

    Requests are taken as they are needed; a photo's answer does not depend on its neighbours. Close the iterator to
    stop the search. Where memory does not hold a batch, it is Split, and later ones are smaller. Raises TypeError and
    ValueError for misuse, ExtraError for a library that is missing.
    """
    options = choose_search(options)
    photo_options, limits = photo_options or PhotoOptions(), limits or ReadLimits()
    batch: list[Placed] = []
    for request in requests:
        event = _try_to_place(request, gan, photo_options, limits)
        if batch and isinstance(event, Failed) and is_out_of_memory(event.error):
            batch_size = yield from _complete(batch, gan, options, photo_options, batch_size)
            batch = []
            event = _try_to_place(request, gan, photo_options, limits)  # there may be memory now
        yield event
        if isinstance(event, Placed):
            batch.append(event)
        squares, pixels = sum(len(p.cut.placements) for p in batch), sum(p.cut.hole.size for p in batch)
        if squares >= batch_size or pixels >= PIXELS_AT_ONCE:
            batch_size = yield from _complete(batch, gan, options, photo_options, batch_size)
            batch = []
    if batch:
        yield from _complete(batch, gan, options, photo_options, batch_size)


def place(request: Request, gan: Gan, options: PhotoOptions, limits: ReadLimits) -> Placed:
    """Read a photo, draw its hole, and cut the squares of it that the model is to complete.

    What is wanted of a measurement may have as many pixels as a file may. Raises as `fill` does.
    """
    operator, name = request.operator, request.name
    if operator is not None and not isinstance(operator, Operator):
        operator = parse_operator(operator)
    if request.hole is None and operator is None and not options.extend:
        raise ValueError("nothing is asked: give a hole, or say with observe what the photo is")
    hole = "full" if request.hole is None else request.hole
    if isinstance(hole, str | Path):
        hole = parse(str(hole), invert=request.invert, threshold=request.threshold)
    original = open_photo(request.photo, limits, name)
    original, drawn = _fit_and_draw(original, hole, request, operator, gan.network.size, limits)
    landmarks, asked = request.landmarks, drawn.hole
    if operator is None:
        made = cut(original, asked, gan, options, landmarks, name, most=limits.max_pixels)
        if not (isinstance(hole, HoleSpec) and hole.kind in WHOLE) and not drawn.lowres:
            made = _drop_idle_squares(made)
    else:
        if request.degrade:
            factor, (height, width) = operator.linear.factor, original.values.shape[:2]
            original = degrade(original, operator, request.seed, name)
            asked = asked[: height // factor * factor, : width // factor * factor]
            landmarks = [np.asarray(points, float) / factor for points in landmarks]
        made = cut_observed(original, asked, operator, gan, options, landmarks, name, most=limits.max_pixels)
        if not drawn.hole.any():  # an empty hole is no mistake here
            drawn = replace(drawn, notes=())
    if drawn.notes and not drawn.hole.any():  # the notes say why it is empty
        made = replace(made, notes=tuple(note for note in made.notes if note != EMPTY))
    made = replace(made, notes=(*drawn.notes, *made.notes))
    operators = made.operators
    incomplete = pose(gan, made.crops, made.crop_holes, lowres=drawn.lowres, sights=operators) if made.crops else None
    return Placed(replace(request, photo=original), original, drawn, made, incomplete)  # frees the encoded bytes


def search(
    batch: Sequence[Placed], gan: Gan, options: CompleteOptions, max_seconds: float = inf
) -> Generator[Step, None, SearchResult]:
    """Search what a batch of photos lacks, all squares side by side, and estimate its error; returns what was found.

    After `max_seconds` that is what was found until then.
    """
    batch = tuple(batch)
    parts = [placed.incomplete for placed in batch if placed.incomplete is not None]
    if not parts:
        return SearchResult(batch)
    incomplete = concatenate(parts)
    start = perf_counter()
    for completion in watch(gan, incomplete, options):
        yield Step(batch, incomplete, completion)
        if perf_counter() - start > max_seconds:
            break
    seconds = perf_counter() - start
    shares = [placed.cut.seen for placed in batch for _ in placed.cut.placements]
    trust = predict_error(gan, incomplete, completion, options).of_shares(shares)
    return SearchResult(batch, completion, trust, seconds)


def rows_of(batch: Sequence[Placed]) -> list[slice]:
    """The rows of a batch's completion that are each photo's."""
    ends = accumulate(len(placed.cut.placements) for placed in batch)
    return [slice(end - len(placed.cut.placements), end) for placed, end in zip(batch, ends, strict=True)]


def _try_to_place(request: Request, gan: Gan, options: PhotoOptions, limits: ReadLimits) -> Placed | Failed:
    try:
        return place(request, gan, options, limits)
    except ExtraError:
        raise
    except LatentfillError as error:
        return Failed(request, error)
    except Exception as error:  # any error of a library that decodes, finds faces, or fills
        if not is_out_of_memory(error):
            raise
        return Failed(request, out_of_memory(request.name))


def _fit_and_draw(
    original: Original,
    hole: HoleSpec | DrawnHole | np.ndarray | bytes,
    request: Request,
    operator: Operator | None,
    size: int,
    limits: ReadLimits,
) -> tuple[Original, DrawnHole]:
    """The photo, at the size that is asked for, and its hole."""

    def draw(photo: Original) -> DrawnHole:
        invert, threshold = request.invert, request.threshold
        return draw_hole(hole, photo, request.seed, request.name, limits, invert=invert, threshold=threshold)

    def fit_original(side: int) -> Original:
        return Original(fit(original.photo().opaque(), side))

    here = original.values.shape[:2] == (size, size)
    if operator is not None and request.fit:
        original = fit_original(size if request.degrade else size // operator.linear.factor)
        return original, draw(original)
    if here or not request.fit:
        lowres = hole.kind == "lowres" if isinstance(hole, HoleSpec) else getattr(hole, "lowres", False)
        if lowres and not here:
            what = f"{request.name}: lowres is for pictures of the model's size"
            raise HoleError(what, "Resize it (--fit), or choose another hole.")
        return original, draw(original)
    if isinstance(hole, HoleSpec) and hole.kind not in AT_PHOTO_SIZE:
        original = fit_original(size)
        return original, draw(original)
    drawn = draw(original)
    return fit_original(size), replace(drawn, hole=fit_hole(drawn.hole, size))


def _drop_idle_squares(made: Cut) -> Cut:
    """Drop the squares if nothing is missing; add a note if everything is missing."""
    if made.placements and not made.hole.any():
        return replace(made, placements=(), crops=(), crop_holes=(), seen=0.0)
    if made.hole.all():
        return replace(made, notes=(*made.notes, INVENTED))
    return made


def _complete(
    batch: Sequence[Placed], gan: Gan, options: CompleteOptions, photo_options: PhotoOptions, batch_size: int
) -> Generator[Event, None, int]:
    """Search and finish a batch, in halves where memory does not hold it. Returns what size batches may have now."""
    waiting = [list(batch)]
    while waiting:
        some = waiting.pop(0)
        found: SearchResult | None = None
        try:
            found = yield from search(some, gan, options)
        except Exception as error:
            if isinstance(error, LatentfillError) or not is_out_of_memory(error):
                raise
        if found is not None:
            yield from _finish(found, gan, options, photo_options)
            continue
        if gan.device.type == "cuda":  # only here does the error's traceback hold no memory
            torch.cuda.empty_cache()
        if len(some) == 1:
            yield Failed(some[0].request, out_of_memory(some[0].request.name))
            continue
        half = (len(some) + 1) // 2
        batch_size = max(1, sum(len(placed.cut.placements) for placed in some) // 2)
        yield Split(tuple(some), half)
        left = [*some, *chain.from_iterable(waiting)]
        waiting = [left[first : first + half] for first in range(0, len(left), half)]
    return batch_size


def _finish(
    found: SearchResult, gan: Gan, options: CompleteOptions, photo_options: PhotoOptions
) -> Iterator[Done | Failed]:
    """Paste the completions back into each photo of a batch, one after the other."""
    for placed, rows in zip(found.batch, rows_of(found.batch), strict=True):
        needed = placed.incomplete is not None
        candidates = found.completion.select(rows).candidates if found.completion and needed else ()
        trust = found.trust.select(rows) if found.trust and needed else None
        try:
            filled = put_back(placed.cut, candidates, options, photo_options, gan, trust)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            yield Failed(placed.request, out_of_memory(placed.request.name))
            continue
        yield Done(placed, filled, candidates, trust, found)
