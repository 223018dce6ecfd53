"""What is told of a search: events as plain values, with pictures as data URLs."""

import json
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from hashlib import sha256
from math import inf, isfinite
from typing import Any

import numpy as np
import torch

from ...completion.completion import Completion
from ...completion.conditional import applies
from ...crops import blend
from ...images.incomplete import Incomplete
from ...images.originals import Original, encode
from ...images.pixels import to_pixels
from ...images.placement import Placement
from ...jobs.candidates import BRIGHTER
from ...pipeline import Filled, put_back
from ...trust.judge import Trust
from ..engine.question import Question
from ..engine.ticket import Found, Frame
from ..errors import Refused
from ..forms import TEXT_BYTES
from .sampling import data_url

FLOAT = np.dtype("<f4")
DIGEST = 32  # bytes


def line(event: str, **told: Any) -> bytes:
    """One line of a stream."""
    return json.dumps({"event": event, **told}).encode() + b"\n"


def started(question: Question, total: int) -> dict[str, Any]:
    """What is known before the first step."""
    height, width = question.cut.hole.shape
    squares = [{"outline": outline(placement)} for placement in question.cut.placements]
    return {"size": [width, height], "total": total, "placements": squares, "notes": list(question.cut.notes)}


def step(question: Question, frame: Frame) -> dict[str, Any]:
    """Where a search stands, and the squares that it has drawn so far, side by side."""
    own = frame.own
    if question.incomplete is None:
        raise ValueError("there is no search of nothing")
    squares = to_pixels(blend(question.incomplete, own, question.options.blend))
    return {
        "number": own.number,
        "total": own.total,
        "loss": _finite(own.loss.mean().item()),
        "terms": {name: _finite(term.mean().item()) for name, term in own.terms.items()},
        "seconds_left": frame.seconds_left,
        "image": data_url(encode(Original(np.ascontiguousarray(np.concatenate(squares, 1))))),
    }


def filled(question: Question, found: Found) -> Filled:
    """The photo with each candidate in its hole."""
    candidates = found.completion.candidates if found.completion is not None else ()
    return put_back(question.cut, candidates, question.options, question.photo_options, found.trust)


def done(question: Question, found: Found) -> dict[str, Any]:
    """The end: every candidate at the photo's own resolution, and how far it may be trusted."""
    made, best = filled(question, found), found.completion
    losses = [candidate.loss.mean().item() for candidate in best.candidates] if best is not None else [0.0]
    pictures = [
        {"image": data_url(encode(original)), "loss": _finite(loss)}
        for original, loss in zip(made.candidates, losses, strict=True)
    ]
    spread = None if found.trust is None else _spread(question, found.trust)
    return {
        "candidates": pictures,
        "spread": None if spread is None else data_url(encode(spread)),
        "trust": None if found.trust is None else trusted(found.trust),
        "notes": [*made.notes, *found.notes],
        "seconds": round(found.seconds, 3),
        "state": None if best is None else state_of(question, best),
    }


def trusted(trust: Trust) -> dict[str, Any]:
    """The numbers of the square that is least sure, and the words of all."""
    told = [trust.told(row) for row in range(len(trust.words))]
    worst = max(told, key=lambda one: inf if one["predicted"] is None else one["predicted"])
    if len(told) > 1:
        words = [f"square {i} of {len(told)}: {word}" for i, one in enumerate(told, 1) for word in one["words"]]
        worst = {**worst, "words": words}
    return {**worst, "unlike": any(one["unlike"] for one in told)}


def outline(placement: Placement) -> list[list[float]]:
    """The corners of a square in the photo, x and y."""
    side = float(placement.size)
    corners = np.array([[0.0, 0.0], [side, 0.0], [side, side], [0.0, side]])
    return [[round(float(v), 2) for v in point] for point in placement.to_photo(corners)]


def state_of(question: Question, completion: Completion) -> str | None:
    """The latents and images of the best candidate, for edits; None where there are none to be had."""
    asked = question.incomplete
    if asked is None or asked.observations or asked.lowres is not None or not (asked.known == 0).any():
        return None
    values = np.concatenate([part.float().cpu().flatten(1).numpy() for part in (completion.z, completion.images)], 1)
    data = b64encode(_digest(question, asked) + values.astype(FLOAT).tobytes()).decode()
    return data if len(data) <= TEXT_BYTES else None


def completion_of(question: Question, state: str) -> Completion:
    """The inverse of `state_of`. Raises Refused (422) for what cannot be one of this question's."""
    if question.incomplete is None or question.incomplete.observations or question.incomplete.lowres is not None:
        raise Refused(422, "edits need known pixels to keep and a hole to change", "Send a photo with a hole.")
    n, c, h, w = question.incomplete.images.shape
    prior = question.gan.generator.prior
    foreign = Refused(422, "state: not that of a completion of this photo", "Send what `done` has told, unchanged.")
    try:
        data = b64decode(state, validate=True)
        if data[:DIGEST] != _digest(question, question.incomplete):
            raise foreign
        values = np.frombuffer(data[DIGEST:], FLOAT)
    except (Base64Error, ValueError) as error:
        raise foreign from error
    if values.size != n * (prior.dim + c * h * w) or not np.isfinite(values).all():
        raise foreign
    rows = torch.from_numpy(values.astype(np.float32).reshape(n, -1)).to(question.gan.device)
    z = prior.project(rows[:, : prior.dim].clamp(-1e3, 1e3))
    images = rows[:, prior.dim :].reshape(n, c, h, w).clamp(-1, 1)
    drawn = applies(question.gan, question.incomplete, question.options)
    return Completion(0, images, z, {}, z.new_zeros(n), torch.zeros(n, dtype=torch.long), conditional=drawn)


def _digest(question: Question, asked: Incomplete) -> bytes:
    """What a completion is of, by content: the model, and the known pixels of its squares."""
    digest = sha256(question.model.encode(errors="surrogateescape"))
    for values in (asked.images * asked.known, asked.known):
        digest.update(values.float().cpu().numpy().tobytes())
    return digest.digest()


def _spread(question: Question, trust: Trust) -> Original | None:
    """How far answers differ at each pixel of the hole, grey: black is not at all, white 64 grey levels and more."""
    hole = question.cut.hole
    found = np.zeros(hole.shape, np.float32)
    if trust.spread is None:
        return None
    for placement, values in zip(question.cut.placements, trust.spread.nan_to_num(0.0).cpu().numpy(), strict=True):
        box = placement.box(*hole.shape)
        if 0 in box.shape:
            continue
        part = np.where(placement.covers(box), placement.back(values.transpose(1, 2, 0), box)[..., 0], 0)
        found[box.slices] = np.maximum(found[box.slices], part)
    grey = np.where(hole > 0, np.clip(BRIGHTER * found, 0, 255), 0).astype(np.uint8)
    return Original(grey[..., None])


def _finite(number: float) -> float | None:
    """JSON knows no other."""
    return number if isfinite(number) else None
