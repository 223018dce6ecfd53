"""Near-duplicates among crops, by a signature of 64 low frequencies. Time and memory grow about linearly.

A near-duplicate is the same photograph: saved again, resized, with other colours, a fraction of a pixel off. Another
photograph of the same person is not a near-duplicate, and neither is a mirrored one.
"""

from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path

import numpy as np
from jaxtyping import Int, Int8
from PIL import Image
from scipy.fft import dct
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..images.photos import write_csv
from ..seeds import Stream, philox
from ..types import Pixels

Signature = Int8[np.ndarray, "64"]
Signatures = Int8[np.ndarray, "n 64"]
Pairs = Int[np.ndarray, "2 _"]

SIDE = 32  # pixels that a crop is shrunk to first, as in the usual perceptual hash
WAVES = dct(np.eye(SIDE), axis=0, norm="ortho")[:11]
ROWS, COLUMNS = np.array(sorted(((u, v) for u in range(11) for v in range(11) if u + v), key=sum)[:64]).T
STEPS = 400  # steps of int8 for a length of 1: one frequency of a face varies by 20 to 60 of them
# The length of a signature is 1. Of 3,000 faces, different people were 0.26 and more apart (1.2 in the middle), a photo
# in two colours 0.22, a JPEG of quality 50 from its original at most 0.05, a copy of half the size 0.01.
NEAR = 0.23
# Candidates agree in all the signs that a table uses. A near-duplicate changes up to 5 of 64 signs. A table of 14 signs
# then finds it with a probability of 0.28, and any of 16 tables with 0.995.
TABLES, SIGNS = 16, 14
FEW = 1000  # up to this many crops, all pairs are compared, in 50 ms; medians of so few say little
AT_ONCE = 2**18  # pairs compared in one step: 64 MB


def signature(crop: Pixels) -> Signature:
    """The signature of a crop [H, W, 3], independent of its size, brightness and contrast."""
    grey = Image.fromarray(crop).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    spectrum = WAVES @ np.asarray(grey, float) @ WAVES.T
    values = spectrum[ROWS, COLUMNS] * (ROWS + COLUMNS)  # amplitudes fall as one over the frequency
    length = float(np.linalg.norm(values))
    if length < 1:  # the crop has one plain colour
        return np.zeros(64, np.int8)
    return np.asarray(np.clip(np.round(values / length * STEPS), -127, 127), np.int8)


def groups(signatures: Signatures, near: float = NEAR) -> list[list[int]]:
    """The crops that are near-duplicates of each other: lists of two or more of their numbers, each crop in one list.

    `near` is a length, that of a signature being 1. Two crops are also in one list if a third is near to both.
    """
    if len(signatures) < 2:
        return []
    distinct, of = np.unique(signatures, axis=0, return_inverse=True)  # a thousand copies would make a million pairs
    groups_of_distinct = _label_groups(len(distinct), _near_pairs(distinct, near * STEPS))
    group = groups_of_distinct[of.reshape(-1)]
    order = np.argsort(group, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    return sorted(part.tolist() for part in parts if len(part) > 1)


def write_duplicates(path: Path, crops: Mapping[Path, str], folder: Path) -> list[list[str]]:
    """A CSV of near-duplicates: a number for each group, and its crops by their names in `folder`. Returns the groups.

    `crops` has the signature of each in hexadecimal.
    """
    names = [crop.relative_to(folder).as_posix() for crop in crops]
    signatures = np.frombuffer(bytes.fromhex("".join(crops.values())), np.int8).reshape(-1, 64)
    found = [[names[i] for i in group] for group in groups(signatures)]
    lines = [(number, name) for number, group in enumerate(found, 1) for name in group]
    write_csv(path, [("group", "path"), *lines])
    return found


def _near_pairs(signatures: Signatures, distance: float) -> Iterator[Pairs]:
    n = len(signatures)
    signs = signatures > np.median(signatures, 0)  # so that each sign splits the crops in halves
    rng = philox(Stream.DUPLICATES.key())
    for _ in range(TABLES if n > FEW else 1):
        looked_at = rng.choice(64, SIGNS if n > FEW else 0, replace=False)
        keys = signs[:, looked_at] @ (1 << np.arange(len(looked_at)))
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        here = np.arange(n)
        for gap in count(1):  # pairs with the next crop of the same key, the next but one ...
            here = here[: np.searchsorted(here, n - gap)]
            here = here[keys[here] == keys[here + gap]]
            if not len(here):
                break
            for first in range(0, len(here), AT_ONCE):
                part = here[first : first + AT_ONCE]
                one, other = order[part], order[part + gap]
                apart = signatures[one].astype(np.float32) - signatures[other]
                close = np.einsum("ij,ij->i", apart, apart) < distance**2
                if close.any():
                    yield np.stack([one[close], other[close]])


def _label_groups(n: int, pairs: Iterator[Pairs]) -> Int[np.ndarray, " n"]:
    """A number for each, the same for those that pairs join."""
    labels = np.arange(n)
    kept: list[Pairs] = []

    def join() -> Int[np.ndarray, " n"]:
        one, other = np.concatenate([*kept, np.stack([np.arange(n), labels])], 1)
        graph = coo_array((np.ones(len(one), bool), (one, other)), shape=(n, n))
        return np.asarray(connected_components(graph, directed=False)[1])

    for some in pairs:
        kept.append(some)
        if sum(part.shape[1] for part in kept) > 4 * AT_ONCE:  # bounds the memory
            labels = join()
            kept.clear()
    return join()
