"""Networks by their options, fresh or blank, and model files: tensors, and JSON in the header of one safetensors file.

Reading a file never runs code.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from ..errors import LatentfillError, ModelError, cure, explain, is_out_of_memory
from ..options import NetworkOptions, Scale, update_names
from ..options.training import ContextOptions
from ..options.validation import adapter_of
from . import residual
from .completer import ResidualCompleter, Upsampler
from .dcgan import DcganDiscriminator, DcganGenerator, initialise
from .encoder import BASE, HIDDEN, ContextEncoder, ContextModule, DcganEncoder, ResidualEncoder
from .encoder import RESIDUAL_HIDDEN as RESIDUAL_HIDDEN
from .encoder import initialise as initialise_encoder
from .encoder import initialise_context_encoder as initialise_context
from .gan import PRIORS, Gan, NormalPrior, UniformPrior
from .lapgan import PyramidDiscriminator, PyramidGenerator
from .lapgan import initialise as initialise_pyramid
from .residual import SCALES, ConstantDiscriminator, ResidualDiscriminator, ResidualGenerator

AnyGenerator = DcganGenerator | ResidualGenerator | PyramidGenerator
AnyDiscriminator = DcganDiscriminator | ResidualDiscriminator | PyramidDiscriminator | ConstantDiscriminator
AnyEncoder = DcganEncoder | ResidualEncoder


def build(network: NetworkOptions, seed: int = 0) -> Gan:
    """Two fresh networks, initialised as their authors do."""
    generator, discriminator = build_networks(network, seed)
    return Gan(generator.eval(), discriminator.eval(), network)


def build_networks(network: NetworkOptions, seed: int = 0) -> tuple[AnyGenerator, AnyDiscriminator]:
    """The two networks of `build`, ready to be trained."""
    if network.networks == "pyramid":
        return build_pyramid(network, seed)
    generator, discriminator = blank_networks(network)
    fill = residual.initialise if network.networks == "residual" else initialise
    fill(generator, 2 * seed)
    fill(discriminator, 2 * seed + 1)
    return generator, discriminator


def build_pyramid(network: NetworkOptions, seed: int = 0) -> tuple[PyramidGenerator, PyramidDiscriminator]:
    """The two networks of a Laplacian pyramid, ready to be trained."""
    generator, discriminator = _blank_pyramid(network)
    initialise_pyramid(generator, 2 * seed)
    initialise_pyramid(discriminator, 2 * seed + 1)
    return generator, discriminator


def build_encoder(network: NetworkOptions, base: int = BASE, hidden: int = HIDDEN, seed: int = 0) -> DcganEncoder:
    """A fresh encoder for a generator of these options, ready to be trained."""
    fresh = DcganEncoder(prior_of(network), network.size, network.channels, base, hidden)
    initialise_encoder(fresh, seed)
    return fresh


def build_residual_encoder(
    network: NetworkOptions, scale: Scale | None = None, hidden: int = RESIDUAL_HIDDEN, seed: int = 0
) -> ResidualEncoder:
    """A fresh encoder of residual blocks, by default as wide as the generator, ready to be trained."""
    fresh = ResidualEncoder(prior_of(network), network.size, network.channels, scale or network.scale, hidden)
    residual.initialise(fresh, seed)
    return fresh


def build_context_module(network: ContextOptions, seed: int = 0) -> ContextModule:
    """A fresh context encoder, ready to be trained."""
    module = ContextModule(network)
    initialise_context(module, seed)
    return module


def blank_networks(network: NetworkOptions) -> tuple[AnyGenerator, AnyDiscriminator]:
    """Two networks whose parameters have no values yet."""
    n = network
    discriminator: AnyDiscriminator
    if n.networks == "residual":
        generator: AnyGenerator = ResidualGenerator(prior_of(n), n.size, n.channels, n.scale, n.classes)
        discriminator = ResidualDiscriminator(n.size, n.channels, n.scale, n.classes, n.minibatch_kernels)
    elif n.networks == "pyramid":
        generator, discriminator = _blank_pyramid(n)
    else:
        generator = DcganGenerator(prior_of(n), n.size, n.channels, n.base, n.widths, n.norm)
        discriminator = DcganDiscriminator(n.size, n.channels, n.base, n.norm, n.minibatch_kernels)
    return generator, discriminator if n.critic else ConstantDiscriminator()


def blank_completer(n: NetworkOptions, encoder: ResidualEncoder) -> ResidualCompleter:
    """A completer with that encoder, whose other parameters have no values yet."""
    generator = ResidualGenerator(prior_of(n), n.size, n.channels, n.scale)
    return ResidualCompleter(encoder, generator, ResidualDiscriminator(n.size, n.channels + 1, n.scale))


def prior_of(network: NetworkOptions) -> UniformPrior | NormalPrior:
    """The distribution of these networks' latents."""
    return PRIORS[network.prior](network.latent)


def _blank_pyramid(n: NetworkOptions) -> tuple[PyramidGenerator, PyramidDiscriminator]:
    if n.norm == "virtual" or n.minibatch_kernels:
        what = "a pyramid has neither virtual batch norm nor minibatch discrimination"
        raise LatentfillError(what, "Leave out --norm virtual and --minibatch-kernels.")
    generator = PyramidGenerator(prior_of(n), n.size, n.channels, n.base, n.norm)
    return generator, PyramidDiscriminator(n.size, n.channels, n.base, n.norm)


FORMAT = "latentfill-1"
ENCODER, RESIDUAL_ENCODER = "dcgan", "residual"  # the kinds of encoders
CONTEXT = "context-encoder"  # the kind in a context encoder's file; other files hold a GAN
Options = TypeVar("Options")
DERIVED = "num_batches_tracked"  # counters that nothing reads


def save(model: Gan | ContextEncoder, path: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write the model to one file, all at once: under its name there is never half a model.

    `dtype` is that of the weights; biases and batch-norm statistics take little room and stay in float32.
    Raises ModelError when it cannot be written; what was there before stays.
    """
    about: dict[str, Any] = {"network": asdict(model.network), "about": dict(model.about)}
    if isinstance(model, ContextEncoder):
        _write(path, {"context": model.module}, about | {"kind": CONTEXT}, dtype)
        return
    if isinstance(model.encoder, DcganEncoder):
        about["encoder"] = {"kind": ENCODER, "base": model.encoder.base, "hidden": model.encoder.width}
    completer = model.completer.encoder if isinstance(model.completer, ResidualCompleter) else None
    for name, e in (("encoder", model.encoder), ("completer", completer)):
        if isinstance(e, ResidualEncoder):
            about[name] = {"kind": RESIDUAL_ENCODER, "scale": e.scale, "hidden": e.width}
    if model.upsampler is not None:
        about["upsampler"] = {"kind": RESIDUAL_ENCODER}
    _write(path, _parts(model), about, dtype)


def load(path: Path, device: torch.device | str = "cpu") -> Gan:
    """Read a model back, ready to complete: parameters in float32, frozen, batch norm in inference mode.

    Raises ModelError, saying which, when tensors are missing, unknown or of another shape.
    """
    about, tensors = _read(path)
    if about.get("kind") == CONTEXT:
        raise ModelError(f"{path}: a context encoder, not a GAN", "Give a model that has a latent space to search.")
    network = _network(path, NetworkOptions, about.get("network"))
    generator, discriminator = blank_networks(network)
    encoder = _encoder(path, network, about["encoder"]) if about.get("encoder") else None
    completer = _completer(path, network, about["completer"]) if about.get("completer") else None
    upsampler = Upsampler(network.channels) if about.get("upsampler") else None
    gan = Gan(generator, discriminator, network, about.get("about", {}), encoder, completer, upsampler)
    _fill(path, _parts(gan), tensors, device)
    return gan


def load_context(path: Path, device: torch.device | str = "cpu") -> ContextEncoder:
    """Read a context encoder back, ready to predict. Raises ModelError, as `load` does."""
    about, tensors = _read(path)
    if about.get("kind") != CONTEXT:
        cure = "Give one made by `latentfill train --kind context-encoder`."
        raise ModelError(f"{path}: not a context encoder", cure)
    network = _network(path, ContextOptions, about.get("network"))
    module = ContextModule(network)
    _fill(path, {"context": module}, tensors, device)
    return ContextEncoder(module, network, about.get("about", {}))


def read_about(path: Path) -> dict[str, Any]:
    """The description in a model file; its tensors are not read. Raises ModelError."""
    try:
        with _open(path) as file:
            return dict(_about(path, file.metadata()).get("about", {}))
    except (OSError, SafetensorError) as error:
        raise _explain_unreadable(path, error, "Delete it, or get it again.") from error


def digest_weights(*networks: object) -> str:
    """A hexadecimal digest of the tensors of those that are torch modules: the same for the same weights alone."""
    digest = hashlib.sha256()
    for network in networks:
        for tensor in network.state_dict().values() if isinstance(network, nn.Module) else ():
            digest.update(tensor.cpu().contiguous().view(-1).numpy())
    return digest.hexdigest()


def rewrite_about(path: Path, about: Mapping[str, Any], out: Path) -> None:
    """Write a copy of a model file with another description, its tensors to the bit. Raises ModelError."""
    header, tensors = _read(path)
    _store(out, tensors, {**header, "about": dict(about)})


def have_same_weights(path: Path, other: Path) -> bool:
    """Compare the tensors of two model files, by name and to the bit. Raises ModelError."""
    (_, these), (_, those) = _read(path), _read(other)
    return these.keys() == those.keys() and all(torch.equal(these[name], those[name]) for name in these)


def _write(path: Path, parts: Mapping[str, nn.Module], about: Mapping[str, Any], dtype: torch.dtype) -> None:
    """Save the tensors of all parts and a description in one file."""
    tensors = {
        name: tensor.detach().to("cpu", dtype if tensor.dim() > 1 else torch.float32).contiguous()
        for name, tensor in _tensors(parts).items()
    }
    _store(path, tensors, {"format": FORMAT, **about})


def _tensors(parts: Mapping[str, nn.Module]) -> dict[str, torch.Tensor]:
    """All that a file holds of these networks, by its name there."""
    return {
        f"{part}.{name}": tensor
        for part, network in parts.items()
        for name, tensor in network.state_dict().items()
        if not name.endswith(DERIVED)
    }


def _store(path: Path, tensors: Mapping[str, torch.Tensor], header: Mapping[str, Any]) -> None:
    making: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, making = tempfile.mkstemp(prefix=".", suffix=".making", dir=path.parent)
        os.close(handle)
        save_file(dict(tensors), making, {"latentfill": json.dumps(header)})
        os.chmod(making, 0o644)
        os.replace(making, path)
    except (OSError, SafetensorError) as error:
        mend = cure(error) if isinstance(error, OSError) else "Make room on that disk, or choose another."
        raise ModelError(f"{path} cannot be written: {error}", mend) from error
    finally:
        if making:
            Path(making).unlink(missing_ok=True)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The description in a file, and all its tensors."""
    try:
        with _open(path) as file:
            about = _about(path, file.metadata())
            return about, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise _explain_unreadable(path, error, "Give a .safetensors file made by `latentfill train`.") from error


def _open(path: Path) -> Any:
    """The tensors of a file, mapped, whatever its name: safetensors takes none that is not UTF-8."""
    if str(path).encode(errors="replace").decode() == str(path):
        return safe_open(path, "pt", device="cpu")
    with path.open("rb") as file:
        return safe_open(f"/dev/fd/{file.fileno()}", "pt", device="cpu")


def _explain_unreadable(path: Path, error: Exception, advice: str) -> Exception:
    """The error to raise for a file that cannot be read: it is no model, unless the system says otherwise."""
    if is_out_of_memory(error):
        return MemoryError(f"{path}: {error}")
    if isinstance(error, PermissionError):
        return explain(error, path, ModelError)
    return ModelError(f"{path}: not a model file ({error})", advice)


def _fill(
    path: Path, parts: Mapping[str, nn.Module], tensors: Mapping[str, torch.Tensor], device: torch.device | str
) -> None:
    """Give the networks their values, and freeze them; ModelError if they do not fit."""
    _compare(path, _tensors(parts), tensors)
    for part, module in parts.items():
        own = {name.removeprefix(f"{part}."): t for name, t in tensors.items() if name.startswith(f"{part}.")}
        values = {name: tensor.to(torch.float32, copy=True) for name, tensor in own.items()}  # not the file's pages
        module.load_state_dict(values, strict=False, assign=True)
        module.requires_grad_(False).eval().to(device)


def _encoder(path: Path, network: NetworkOptions, fields: Any) -> AnyEncoder:
    """The encoder that a header describes, its parameters without values."""
    try:
        kind, hidden = fields["kind"], fields["hidden"]
        if kind == RESIDUAL_ENCODER and fields["scale"] in SCALES and hidden >= 1:
            return ResidualEncoder(prior_of(network), network.size, network.channels, fields["scale"], hidden)
        base = fields.get("base", 0)
        if kind != ENCODER or min(base, hidden) < 1:
            raise ValueError(f"kind {kind!r}, base {base!r}, hidden {hidden!r}")
        return DcganEncoder(prior_of(network), network.size, network.channels, base, hidden)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: its encoder cannot be built ({error!r})", "Update latentfill.") from error


def _completer(path: Path, network: NetworkOptions, fields: Any) -> ResidualCompleter:
    """The completer that a header describes, its parameters without values."""
    if isinstance(encoder := _encoder(path, network, fields), ResidualEncoder):
        return blank_completer(network, encoder)
    raise ModelError(f"{path}: its completer cannot be built ({fields!r})", "Update latentfill.")


def _about(path: Path, metadata: dict[str, str] | None) -> dict[str, Any]:
    try:
        about: dict[str, Any] = dict(json.loads((metadata or {})["latentfill"]))
    except (KeyError, ValueError, TypeError) as error:
        cure = "Use one made by `latentfill train`."
        raise ModelError(f"{path}: a safetensors file, but not a latentfill model", cure) from error
    if about.get("format") != FORMAT:
        raise ModelError(f"{path}: model format {about.get('format')!r}, not {FORMAT!r}", "Update latentfill.")
    return about


def _network(path: Path, options: type[Options], fields: Any) -> Options:
    try:
        return adapter_of(options).validate_python(update_names(fields) if isinstance(fields, dict) else fields)
    except ValidationError as error:
        where = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ModelError(f"{path}: its networks cannot be built ({where})", "Update latentfill.") from error


def _compare(path: Path, expected: Mapping[str, torch.Tensor], actual: Mapping[str, torch.Tensor]) -> None:
    wrong = [f"{name} is missing" for name in expected.keys() - actual.keys()]
    wrong += [f"{name} is unknown" for name in actual.keys() - expected.keys()]
    wrong += [
        f"{name} is {tuple(actual[name].shape)} and should be {tuple(expected[name].shape)}"
        for name in expected.keys() & actual.keys()
        if expected[name].shape != actual[name].shape
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        cure = "The file is damaged or was changed; get it again."
        raise ModelError(f"{path}: {'; '.join(sorted(wrong)[:3])}{more}", cure)


def _parts(gan: Gan) -> dict[str, nn.Module]:
    names = ("generator", "discriminator", "encoder", "completer", "upsampler")
    parts = {name: part for name in names if (part := getattr(gan, name)) is not None}
    modules = {name: part for name, part in parts.items() if isinstance(part, nn.Module)}
    if len(modules) < len(parts) or not isinstance(gan.encoder, AnyEncoder | None):
        raise TypeError(f"only networks made of torch modules can be saved, not {[type(p) for p in parts.values()]}")
    return modules
