"""Inputs of `complete`: pictures with their holes, landmarks and measurement operators, as requests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, final

from ..completion.operators import Operator
from ..errors import LatentfillError
from ..faces import landmark_files as landmarks
from ..files.input_digests import Contents, check_apart
from ..files.provenance import digest
from ..gan.gan import Gan
from ..images import holes
from ..images.holes import HoleSpec
from ..options import Alignment
from ..photo.crop import alignment_of
from ..pipeline import Request
from .outputs import Input, digest_contents, hole_seed, hole_text, operator_of

if TYPE_CHECKING:
    from ..options.commands import CompleteCommand


@final
@dataclass(frozen=True)
class Plan:
    """The plan of one `complete` command for every input: its options, and hole, operator and landmarks, read once."""

    options: "CompleteCommand"
    hole: HoleSpec
    operator: Operator | None
    landmarks: Mapping[str, Sequence[Any]]
    """of each picture's faces, by its name"""

    @classmethod
    def of(cls, options: "CompleteCommand", gan: Gan) -> "Plan":
        """Raises LatentfillError for options that go ill together, and for what cannot be read."""
        hole = holes.parse(hole_text(options), invert=options.invert, threshold=options.hole_threshold)
        operator = operator_of(options)
        if operator is not None and hole.kind == "lowres":
            raise LatentfillError("--hole lowres and --observe do not go together", "Give --observe lowres:8 alone.")
        if operator is not None and options.fit and options.degrade is None and operator.noise.name:
            cure = "Leave --fit out, or give pictures of the model's size."
            raise LatentfillError(f"--fit would average away the {operator.noise.name}", cure)
        points: Mapping[str, Sequence[Any]] = {}
        if options.landmarks is not None:
            alignment = alignment_of(gan) or Alignment()
            points = landmarks.read_landmarks(options.landmarks, alignment.landmarks)
        return cls(options, hole, operator, points)

    def read(self, item: Input) -> tuple[Input, Request]:
        """An input with the digest of its photo, and its request. Raises ImageError and HoleError."""
        options, source = self.options, item.source
        check_apart(self.hole, source)
        data = source.bytes(options.limits.max_bytes)
        request = Request(
            data,
            self.hole if item.hole is None else item.hole,
            self.operator,
            self.landmarks.get(source.name, ()),
            source.name,
            item.number,
            hole_seed(options.search.seed, PurePosixPath(source.name).name),
            invert=options.invert,
            threshold=options.hole_threshold,
            fit=options.fit,
            degrade=options.degrade is not None,
        )
        return replace(item, photo=digest(data)), request

    def digest_contents(self, item: Input) -> Contents:
        """Digest all that the result of an input depends on."""
        return digest_contents(item, self.hole, self.landmarks)
