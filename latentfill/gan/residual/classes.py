"""A GAN of many classes, asked for one: then it is a plain GAN, which everybody can search.

The class's vector is added to z before the first layer of G, and multiplies the features before the last of D: both are
affine, so it goes into a bias of the one and the weights of the other, and nothing is left to be told.
"""

from copy import deepcopy
from dataclasses import replace

import torch

from ...errors import ModelError
from ..gan import Gan
from .networks import ResidualDiscriminator, ResidualGenerator


def class_names(gan: Gan) -> list[str]:
    """What it can be asked for, by number; nothing if it was not told any."""
    names = list(gan.about.get("classes", {}))
    return names if len(names) == gan.network.classes else [str(n) for n in range(gan.network.classes)]


def usual_class(gan: Gan) -> str:
    """The class of most of the pictures that it learnt from."""
    counts = gan.about.get("classes", {})
    return max(class_names(gan), key=lambda name: counts.get(name, 0))


def of_class(gan: Gan, name: str | None = None) -> Gan:
    """The GAN of one class, of the usual one if no name is given; without classes it stays as it is.

    Raises ModelError for a name that it does not know.
    """
    names = class_names(gan)
    if not names and name is None:
        return gan
    if name is not None and name not in names:
        known = f"it knows {', '.join(names)}" if names else "it was told none"
        raise ModelError(f"the model has no class {name!r}: {known}", "Give one of those, or leave --class out.")
    number = names.index(name or usual_class(gan))
    g, d = deepcopy(gan.generator), deepcopy(gan.discriminator)
    if not isinstance(g, ResidualGenerator) or not isinstance(d, ResidualDiscriminator):
        raise TypeError(f"networks of one class are residual, not {type(g)} and {type(d)}")
    if g.classes is None or d.classes is None:
        raise ValueError("the networks know no classes")
    with torch.no_grad():
        vector = g.classes.get_parameter("weight")[number]
        g.project.get_parameter("bias").add_(g.project.get_parameter("weight") @ vector)
        d.judge.get_parameter("weight")[0, : d.trunk.maps].add_(d.classes.get_parameter("weight")[number])
    g.classes = d.classes = None
    return replace(gan, generator=g, discriminator=d, network=replace(gan.network, classes=0))
