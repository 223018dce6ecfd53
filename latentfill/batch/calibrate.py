"""Evidence for a calibration: cover parts of whole pictures, complete them, compare."""

from collections.abc import Iterator, Sequence

from ..completion.complete import complete
from ..gan.gan import Gan
from ..images import holes
from ..options import CompleteOptions
from ..photo.model_sized import blend, pose
from ..seeds import Stream, philox
from ..types import Hole, PixelBatch
from ..uncertainty.features import extract_features
from ..uncertainty.fitting import Evidence, measure_errors

KINDS = ("center", "half", "random", "pattern", "thin", "medium", "thick", "rectangle", "ellipse", "scattered")


def gather_evidence(
    gan: Gan,
    pictures: PixelBatch,
    questions: Sequence[tuple[int, Hole]],
    options: CompleteOptions,
    batch_size: int = 64,
) -> Iterator[tuple[int, Evidence]]:
    """Complete pictures [n, size, size, 3], each question being a picture's number and a hole in it.

    Yields, batch by batch, how many are done, and what they were like.
    """
    for first in range(0, len(questions), batch_size):
        asked = questions[first : first + batch_size]
        numbers = [number for number, _ in asked]
        incomplete = pose(gan, [pictures[number] for number in numbers], [hole for _, hole in asked])
        original = incomplete.images
        found = complete(gan, incomplete, options)
        features = extract_features(gan, incomplete, found, options)
        yield first + len(asked), measure_errors(features, blend(incomplete, found, options.blend), original, numbers)


def draw_tasks(pictures: int, each: int, size: int) -> list[tuple[int, Hole]]:
    """`each` holes for each picture, so that all kinds and sizes of hole come up equally often."""
    return [(i, draw_test_hole(i * each + k, size)) for i in range(pictures) for k in range(each)]


def draw_test_hole(number: int, size: int) -> Hole:
    """A hole of the next of many kinds, at a random size and place."""
    rng = philox(Stream.CALIBRATION_HOLES.key(number=number))
    kind = KINDS[number % len(KINDS)]
    match kind:
        case "center":
            kind = f"center:{rng.uniform(0.08, 0.42):.3f}"
        case "random":
            kind = f"random:{rng.uniform(0.1, 0.95):.3f}"
        case "scattered":  # holes of the post and the papers
            kind = "random:0.8"
        case "rectangle":
            width, height = rng.uniform(0.1, 0.7, 2)
            left, top = rng.uniform(0, 1 - width), rng.uniform(0, 1 - height)
            kind = "rectangle:" + ",".join(f"{100 * share:.1f}%" for share in (left, top, width, height))
        case "ellipse":
            x, y, across, down = *rng.uniform(0.15, 0.85, 2), *rng.uniform(0.06, 0.4, 2)
            kind = "ellipse:" + ",".join(f"{100 * share:.1f}%" for share in (x, y, across, down))
    return holes.draw(holes.parse(kind), (size, size), seed=number, name=f"picture {number}").hole
