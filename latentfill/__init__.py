"""Complete the missing parts of images by searching the latent space of a GAN."""

from importlib import import_module
from typing import TYPE_CHECKING

from .version import __version__ as __version__

if TYPE_CHECKING:  # for type checkers; at run time `_HOME` decides, and nothing is imported before it is used
    from .completion.complete import complete as complete
    from .completion.complete import watch as watch
    from .completion.completion import Completion as Completion
    from .errors import LatentfillError as LatentfillError
    from .gan.directions import find_directions as find_directions
    from .gan.directions import find_edits as find_edits
    from .gan.gan import Gan as Gan
    from .images.blending import overlay as overlay
    from .images.blending import poisson as poisson
    from .images.incomplete import Incomplete as Incomplete
    from .models import from_pretrained as from_pretrained
    from .models import load as load
    from .options import COMPLETE_PRESETS as COMPLETE_PRESETS
    from .options import CompleteOptions as CompleteOptions
    from .options import PhotoOptions as PhotoOptions
    from .options import TrainOptions as TrainOptions
    from .photo.model_sized import blend as blend
    from .photo.model_sized import fill_crops as fill_crops
    from .photo.model_sized import pose as pose
    from .photo.put_back import Filled as Filled
    from .pipeline import fill as fill

_HOME = {
    "completion.complete": ["complete", "watch"],
    "completion.completion": ["Completion"],
    "errors": ["LatentfillError"],
    "gan.directions": ["find_directions", "find_edits"],
    "gan.gan": ["Gan"],
    "images.blending": ["overlay", "poisson"],
    "images.incomplete": ["Incomplete"],
    "models": ["from_pretrained", "load"],
    "options": ["COMPLETE_PRESETS", "CompleteOptions", "PhotoOptions", "TrainOptions"],
    "photo.model_sized": ["blend", "fill_crops", "pose"],
    "photo.put_back": ["Filled"],
    "pipeline": ["fill"],
}
__all__ = sorted(name for names in _HOME.values() for name in names)


def __getattr__(name: str) -> object:
    for module, names in _HOME.items():
        if name in names:
            return globals().setdefault(name, getattr(import_module(f".{module}", __name__), name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
