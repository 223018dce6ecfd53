"""The events of a search as plain values, with pictures as data URLs; its result as a text that edits start from."""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from hashlib import sha256
from typing import Any

import numpy as np
import torch

from ..batch.complete import to_json_number
from ..batch.sheets import BRIGHTER
from ..completion.complete import Completion
from ..completion.one_pass import uses_completer
from ..faces.placement import Placement
from ..images.incomplete import Incomplete
from ..images.photos import Original, encode
from ..images.pixels import to_pixels
from ..photo.crop import NO_ESTIMATE
from ..photo.model_sized import blend
from ..photo.put_back import Filled, put_back
from ..pipeline import SearchResult
from ..uncertainty.predict import Uncertainty
from .device_tasks import CompletionRequest, Frame
from .errors import RequestError
from .forms import TEXT_BYTES

FLOAT = np.dtype("<f4")
DIGEST_BYTES = 32


def data_url(picture: bytes, kind: str = "image/png") -> str:
    """A picture file as a page and JSON can hold it."""
    return f"data:{kind};base64,{b64encode(picture).decode()}"


def png_url(values: np.ndarray) -> str:
    """A PNG of these values, uint8 or uint16 [H, W, 1 | 3], as a data URL."""
    return data_url(encode(Original(np.ascontiguousarray(values))))


def describe_start(request: CompletionRequest, total: int) -> dict[str, Any]:
    """The facts before the first step."""
    height, width = request.placed.cut.hole.shape
    squares = [{"outline": outline(placement)} for placement in request.placed.cut.placements]
    return {"size": [width, height], "total": total, "placements": squares, "notes": list(request.placed.cut.notes)}


def describe_step(request: CompletionRequest, frame: Frame) -> dict[str, Any]:
    """A step of the search, and the squares drawn so far, side by side."""
    own = frame.completion.select(frame.rows)
    if request.placed.incomplete is None:
        raise ValueError("there is no search of nothing")
    squares = to_pixels(blend(request.placed.incomplete, own, request.options.blend))
    return {
        "number": own.number,
        "total": own.total,
        "loss": to_json_number(own.loss.mean().item()),
        "terms": {name: to_json_number(term.mean().item()) for name, term in own.terms.items()},
        "seconds_left": frame.seconds_left,
        "image": png_url(np.concatenate(squares, 1)),
    }


def fill(request: CompletionRequest, found: SearchResult) -> Filled:
    """The photo with each candidate in its hole."""
    candidates = found.completion.candidates if found.completion is not None else ()
    return put_back(request.placed.cut, candidates, request.options, request.photo_options, request.gan, found.trust)


def describe_found(request: CompletionRequest, found: SearchResult) -> dict[str, Any]:
    """The end: every candidate at the photo's own resolution, and how far it may be trusted."""
    filled, best, trust = fill(request, found), found.completion, found.trust
    losses = [candidate.loss.mean().item() for candidate in best.candidates] if best else [0.0] * len(filled.candidates)
    pictures = [
        {"image": data_url(encode(original)), "loss": to_json_number(loss)}
        for original, loss in zip(filled.candidates, losses, strict=True)
    ]
    return {
        "candidates": pictures,
        "spread": None if trust is None or trust.spread is None else png_url(_draw_deviation(request, trust.spread)),
        "trust": _trust_without_model(request) if trust is None else describe_trust(trust),
        "notes": [*filled.notes, *_note_stop(found)],
        "seconds": round(found.seconds, 3),
        "state": None if best is None else encode_state(request, best),
    }


def describe_trust(trust: Uncertainty) -> dict[str, Any]:
    """The numbers of the square that is least sure, and the words of all."""
    squares = [trust.to_json(row) for row in range(len(trust.words))]
    worst = squares[trust.least_certain]
    if len(squares) > 1:
        of_all = [word for word in squares[0]["words"] if all(word in one["words"] for one in squares)]
        words = [
            f"square {i} of {len(squares)}: {word}"
            for i, one in enumerate(squares, 1)
            for word in one["words"]
            if word not in of_all
        ]
        worst = {**worst, "words": [*words, *of_all]}
    return {**worst, "unlike": any(one["unlike"] for one in squares)}


def _trust_without_model(request: CompletionRequest) -> dict[str, Any] | None:
    cut = request.placed.cut
    return None if cut.placements or not cut.hole.any() else NO_ESTIMATE


def outline(placement: Placement) -> list[list[float]]:
    """The corners of a square in the photo, x and y in pixels."""
    side = float(placement.size)
    corners = np.array([[0.0, 0.0], [side, 0.0], [side, side], [0.0, side]])
    return [[round(float(v), 2) for v in point] for point in placement.to_photo(corners)]


def encode_state(request: CompletionRequest, completion: Completion) -> str | None:
    """The latents and images of the best candidate, for edits; None where there are none to be had."""
    incomplete = request.placed.incomplete
    if incomplete is None or not _can_be_edited(incomplete) or not (incomplete.known == 0).any():
        return None
    values = np.concatenate([part.float().cpu().flatten(1).numpy() for part in (completion.z, completion.images)], 1)
    data = b64encode(_digest(request.model, incomplete) + values.astype(FLOAT).tobytes()).decode()
    return data if len(data) <= TEXT_BYTES else None


def decode_state(request: CompletionRequest, state: str) -> Completion:
    """The inverse of `encode_state`. Raises RequestError (422) for the state of anything but this request."""
    gan, incomplete = request.gan, request.placed.incomplete
    if incomplete is None or not _can_be_edited(incomplete):
        raise RequestError(422, "edits need known pixels to keep and a hole to change", "Send a photo with a hole.")
    n, c, h, w = incomplete.images.shape
    prior = gan.generator.prior
    foreign = RequestError(
        422, "state: not that of a completion of this photo", "Send what `done` has told, unchanged."
    )
    try:
        data = b64decode(state, validate=True)
        if data[:DIGEST_BYTES] != _digest(request.model, incomplete):
            raise foreign
        values = np.frombuffer(data[DIGEST_BYTES:], FLOAT)
    except (Base64Error, ValueError) as error:
        raise foreign from error
    if values.size != n * (prior.dim + c * h * w) or not np.isfinite(values).all():
        raise foreign
    rows = torch.from_numpy(values.astype(np.float32).reshape(n, -1)).to(gan.device)
    z = prior.project(rows[:, : prior.dim].clamp(-1e3, 1e3))
    images = rows[:, prior.dim :].reshape(n, c, h, w).clamp(-1, 1)
    conditional = uses_completer(gan, incomplete, request.options)
    return Completion(0, images, z, {}, z.new_zeros(n), torch.zeros(n, dtype=torch.long), conditional=conditional)


def _can_be_edited(incomplete: Incomplete) -> bool:
    return not incomplete.observations and incomplete.lowres is None


def _digest(model: str, incomplete: Incomplete) -> bytes:
    """A completion's identity, by content: the model, and the known pixels of its squares."""
    digest = sha256(model.encode(errors="surrogateescape"))
    for values in (incomplete.images * incomplete.known, incomplete.known):
        digest.update(values.float().cpu().numpy().tobytes())
    return digest.digest()


def _draw_deviation(request: CompletionRequest, deviation: torch.Tensor) -> np.ndarray:
    """How far answers differ at each pixel of the hole, as grey: black is not at all, white 64 grey levels and more."""
    hole = request.placed.cut.hole
    drawn = np.zeros(hole.shape, np.float32)
    for placement, values in zip(request.placed.cut.placements, deviation.nan_to_num(0.0).cpu().numpy(), strict=True):
        box = placement.box(*hole.shape)
        if 0 in box.shape:
            continue
        part = np.where(placement.covers(box), placement.uncrop(values.transpose(1, 2, 0), box)[..., 0], 0)
        drawn[box.slices] = np.maximum(drawn[box.slices], part)
    return np.where(hole > 0, np.clip(BRIGHTER * drawn, 0, 255), 0).astype(np.uint8)[..., None]


def _note_stop(found: SearchResult) -> tuple[str, ...]:
    best = found.completion
    if best is None or best.number == best.total:
        return ()
    return (f"stopped after {found.seconds:.0f} s, at step {best.number} of {best.total}",)
