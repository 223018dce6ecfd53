"""The choices of those who have photos."""

from dataclasses import dataclass
from typing import Annotated, Literal, final

from annotated_types import Interval

from .bounds import LandmarkSet, Positive


@final
@dataclass(frozen=True)
class Alignment:
    """How the square around a face is cut from a photo. A data folder and a model file can carry it."""

    landmarks: LandmarkSet = "inner-eyes-and-bottom-lip"
    """the three points that are brought to their places. inner-eyes-and-bottom-lip needs dlib's 68-point model, whose
    training pictures exclude commercial use; outer-eyes-and-nose uses its 5-point model, free for any use"""
    similarity: bool = False
    """only turn, shift and scale, so that a face keeps its shape; by default the three points are met exactly, as by
    OpenFace, which can shear"""
    margin: Annotated[float, Interval(ge=0.5, le=8)] = 1.0
    """how much wider than OpenFace's framing, which ends at the chin: 2.0 shows a face as large as in CelebA's aligned
    pictures, 1.7 as in FFHQ's"""


@final
@dataclass(frozen=True)
class ReadLimits:
    """What a picture file may demand before it is decoded."""

    max_bytes: Positive = 256 * 2**20
    """the largest file, in bytes as it is stored (256 MiB)"""
    max_pixels: Annotated[int, Interval(gt=0, le=178_000_000)] = 100_000_000
    """the largest picture, width times height; above 178 million the decoder itself refuses"""


@final
@dataclass(frozen=True)
class PhotoOptions:
    """How a photo of another size than the model's is cut for it, and put together again."""

    place: Literal["auto", "faces", "center"] = "auto"
    """where the model looks: at the faces that the hole touches, or at the central square; auto is faces for models of
    aligned faces. A picture of the model's size is taken whole"""
    upsample: Annotated[int, Interval(ge=0, le=3)] = 1
    """how often to double a photo's size in the search for small faces"""
    outside: Literal["biharmonic", "telea"] = "biharmonic"
    """what fills the part of a hole that the model does not see: the smoothest continuation, or Telea's method"""
    grain: bool = True
    """give the filled part the grain of the photo around it"""
    grow: Annotated[int, Interval(ge=0, le=500)] = 0
    """widen the hole by so many pixels on all sides: for soft edges, and for the rest of a mark that is painted out"""
