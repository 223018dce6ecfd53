"""The networks that options describe: fresh ones to be trained, and blank ones that a file will fill."""

from ..errors import LatentfillError
from ..options import NetworkOptions, Scale
from .context import ContextModule
from .context import initialise as initialise_context
from .dcgan import DcganDiscriminator, DcganGenerator, initialise
from .encoder import BASE, HIDDEN, DcganEncoder
from .encoder import initialise as initialise_encoder
from .gan import Gan
from .options import ContextOptions
from .prior import PRIORS, NormalPrior, UniformPrior
from .pyramid.networks import PyramidDiscriminator, PyramidGenerator
from .pyramid.networks import initialise as initialise_pyramid
from .residual import blocks as residual
from .residual.completer import ResidualCompleter
from .residual.encoder import HIDDEN as RESIDUAL_HIDDEN
from .residual.encoder import ResidualEncoder
from .residual.networks import ResidualDiscriminator, ResidualGenerator, Uncritical

AnyGenerator = DcganGenerator | ResidualGenerator | PyramidGenerator
AnyDiscriminator = DcganDiscriminator | ResidualDiscriminator | PyramidDiscriminator | Uncritical
AnyEncoder = DcganEncoder | ResidualEncoder


def build(network: NetworkOptions, seed: int = 0) -> Gan:
    """Two fresh networks, initialised as their authors do."""
    generator, discriminator = networks(network, seed)
    return Gan(generator.eval(), discriminator.eval(), network)


def networks(network: NetworkOptions, seed: int = 0) -> tuple[AnyGenerator, AnyDiscriminator]:
    """What `build` puts into a Gan, ready to be trained."""
    if network.networks == "pyramid":
        return pyramid(network, seed)
    generator, discriminator = blank_networks(network)
    fill = residual.initialise if network.networks == "residual" else initialise
    fill(generator, 2 * seed)
    fill(discriminator, 2 * seed + 1)
    return generator, discriminator


def pyramid(network: NetworkOptions, seed: int = 0) -> tuple[PyramidGenerator, PyramidDiscriminator]:
    """The two networks of a Laplacian pyramid, ready to be trained."""
    generator, discriminator = _blank_pyramid(network)
    initialise_pyramid(generator, 2 * seed)
    initialise_pyramid(discriminator, 2 * seed + 1)
    return generator, discriminator


def fresh_encoder(network: NetworkOptions, base: int = BASE, hidden: int = HIDDEN, seed: int = 0) -> DcganEncoder:
    """A fresh encoder for a generator of these options, ready to be trained."""
    fresh = DcganEncoder(prior_of(network), network.size, network.channels, base, hidden)
    initialise_encoder(fresh, seed)
    return fresh


def fresh_residual_encoder(
    network: NetworkOptions, scale: Scale | None = None, hidden: int = RESIDUAL_HIDDEN, seed: int = 0
) -> ResidualEncoder:
    """A fresh encoder of residual blocks, as wide as the generator unless told, ready to be trained."""
    fresh = ResidualEncoder(prior_of(network), network.size, network.channels, scale or network.scale, hidden)
    residual.initialise(fresh, seed)
    return fresh


def fresh_context(network: ContextOptions, seed: int = 0) -> ContextModule:
    """A fresh context encoder, ready to be trained."""
    module = ContextModule(network)
    initialise_context(module, seed)
    return module


def blank_networks(network: NetworkOptions) -> tuple[AnyGenerator, AnyDiscriminator]:
    """Two networks whose parameters have no values yet."""
    generator, discriminator = _blank(network)
    return generator, discriminator if network.critic else Uncritical()


def blank_completer(n: NetworkOptions, encoder: ResidualEncoder) -> ResidualCompleter:
    """A completer with that encoder, whose other parameters have no values yet."""
    generator = ResidualGenerator(prior_of(n), n.size, n.channels, n.scale)
    return ResidualCompleter(encoder, generator, ResidualDiscriminator(n.size, n.channels + 1, n.scale))


def prior_of(network: NetworkOptions) -> UniformPrior | NormalPrior:
    """How the latents of these networks are distributed."""
    return PRIORS[network.prior](network.latent)


def _blank(n: NetworkOptions) -> tuple[AnyGenerator, AnyDiscriminator]:
    if n.networks == "residual":
        generator = ResidualGenerator(prior_of(n), n.size, n.channels, n.scale, n.classes)
        return generator, ResidualDiscriminator(n.size, n.channels, n.scale, n.classes, n.minibatch_kernels)
    if n.networks == "pyramid":
        return _blank_pyramid(n)
    dcgan = DcganGenerator(prior_of(n), n.size, n.channels, n.base, n.widths, n.norm)
    return dcgan, DcganDiscriminator(n.size, n.channels, n.base, n.norm, n.minibatch_kernels)


def _blank_pyramid(n: NetworkOptions) -> tuple[PyramidGenerator, PyramidDiscriminator]:
    if n.norm == "virtual" or n.minibatch_kernels:
        what = "a pyramid has neither virtual batch norm nor minibatch discrimination"
        raise LatentfillError(what, "Leave out --norm virtual and --minibatch-kernels.")
    generator = PyramidGenerator(prior_of(n), n.size, n.channels, n.base, n.norm)
    return generator, PyramidDiscriminator(n.size, n.channels, n.base, n.norm)
