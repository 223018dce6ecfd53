"""A model as ONNX files, each compared with the network it was made from before it gets its name."""

import json
import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from .. import __version__
from ..errors import ExtraError, ModelError, explain
from ..files import records
from ..gan.checkpoint import weights
from ..gan.gan import Gan
from ..gan.prior import UniformPrior, random
from ..gan.residual.completer import ResidualCompleter
from .description import describe, readme
from .plain import plain_encoder, plain_generator

OPSET = 17  # of 2022: any runtime of today reads it, and nothing here needs a later one
TOLERANCE = 1e-4  # largest difference from PyTorch, in images of [-1, 1] and in latents
TRIED = 3  # examples in the larger batch that the comparison is made with; the smaller is one
DESCRIPTION, README = "export.json", "README.md"


@final
@dataclass(frozen=True)
class Exported:
    """One file, and how far its network is from the original's; None where onnxruntime is missing to tell."""

    path: Path
    difference: float | None


@final
@dataclass(frozen=True)
class _Part:
    """A network to be written, the one it must agree with, and examples of what both take."""

    plain: nn.Module
    original: Any
    inputs: Mapping[str, Tensor]
    output: str


def write_onnx(gan: Gan, folder: Path, name: str) -> list[Exported]:
    """Write generator.onnx, encoder.onnx and completer.onnx if the model has them, README.md and export.json.

    Raises ExtraError without the library onnx; LatentfillError when a file cannot be written, or when what it holds
    differs from the network by more than 1e-4: then no file of that folder has been touched.
    """
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise ExtraError(
            "ONNX files need the library onnx, which is not installed", "Install it: pip install 'latentfill[onnx]'."
        ) from error
    parts = _parts(gan)
    facts = _facts(gan, name)
    for file in (*parts, DESCRIPTION, README):
        records.check_free(folder / file)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".making-", dir=folder) as making:
            differences = {
                file: _write_part(part, Path(making) / file, facts | {"part": file.removesuffix(".onnx")})
                for file, part in parts.items()
            }
            described = describe(facts, {file: _shapes(part) for file, part in parts.items()}, differences)
            (Path(making) / DESCRIPTION).write_text(json.dumps(described, indent=2) + "\n")
            (Path(making) / README).write_text(readme(described))
            for file in {"encoder.onnx", "completer.onnx"} - parts.keys():
                records.remove(folder / file)  # of another model, exported here before
            for file in sorted(os.listdir(making)):
                records.move(Path(making) / file, folder / file)
    except OSError as error:
        raise explain(error, folder) from error
    return [Exported(folder / file, difference) for file, difference in differences.items()]


def largest_difference(path: Path, network: Any, inputs: Mapping[str, Tensor]) -> float | None:
    """Between what file and network say to these inputs, one example alone and all; None without onnxruntime."""
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    found = []
    for count in (1, TRIED):
        given = {name: tensor[:count] for name, tensor in inputs.items()}
        with torch.inference_mode():
            expected = network(*given.values()).numpy()
        (answer,) = session.run(None, {name: tensor.numpy() for name, tensor in given.items()})
        found.append(np.abs(answer - expected).max() if answer.shape == expected.shape else np.inf)
    return float(np.max(found))  # NaN if any is


def _write_part(part: _Part, path: Path, facts: Mapping[str, Any]) -> float | None:
    import onnx

    axes = {name: {0: "n"} for name in (*part.inputs, part.output)}
    with warnings.catch_warnings(), torch.inference_mode():
        # That this exporter is the older of two (it needs no further library), and that shapes become constants, which
        # the comparison at two batch sizes would notice.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            part.plain,
            tuple(tensor[:2] for tensor in part.inputs.values()),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=list(part.inputs),
            output_names=[part.output],
            dynamic_axes=axes,
        )
    model = onnx.load(str(path))
    model.producer_name, model.producer_version = "latentfill", __version__
    onnx.helper.set_model_props(
        model, {key: value if isinstance(value, str) else json.dumps(value) for key, value in facts.items()}
    )
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    difference = largest_difference(path, part.original, part.inputs)
    if difference is not None and not difference <= TOLERANCE:
        raise ModelError(
            f"{path.name} differs from the model by {difference:.1e}, more than {TOLERANCE:.0e}: nothing is written",
            "Install the versions that were tested: pip install 'latentfill[onnx]' -c constraints.txt.",
        )
    return difference


def _parts(gan: Gan) -> dict[str, _Part]:
    """The networks by the files they go to. Examples are the same for every export of a model."""
    network = gan.network
    z = gan.generator.prior.sample(range(TRIED))
    rng = random(0)
    shape = (TRIED, 1, network.size, network.size)
    known = torch.from_numpy((rng.random(shape) < 0.5).astype(np.float32))
    asked = {"z": z}
    if network.classes:
        asked["labels"] = torch.arange(TRIED) % network.classes
    parts = {"generator.onnx": _Part(plain_generator(gan), gan.generator, asked, "images")}
    with torch.inference_mode():
        incomplete = {"images": gan.generator(z).clone(), "known": known}
    encoder = plain_encoder(gan)
    if encoder is not None:
        parts["encoder.onnx"] = _Part(encoder, gan.encoder, incomplete, "z")
    if isinstance(gan.completer, ResidualCompleter):
        noise = torch.from_numpy(rng.standard_normal(tuple(z.shape), np.float32))
        parts["completer.onnx"] = _Part(gan.completer.eval(), gan.completer, {**incomplete, "noise": noise}, "drawn")
    return parts


def _shapes(part: _Part) -> dict[str, Sequence[Any]]:
    """Of each input, and of the output last: the batch is n, whatever it is."""
    with torch.inference_mode():
        output = part.original(*part.inputs.values())
    return {name: ["n", *tensor.shape[1:]] for name, tensor in {**part.inputs, part.output: output}.items()}


def _facts(gan: Gan, name: str) -> dict[str, Any]:
    """What a program must know to use the files, and where they come from: written into each of them, too."""
    network = gan.network
    uniform = isinstance(gan.generator.prior, UniformPrior)
    return {
        "model": name,
        "latentfill": __version__,
        "opset": OPSET,
        "size": network.size,
        "channels": network.channels,
        "classes": network.classes,
        "latent": network.latent,
        "prior": network.prior,
        "latent_range": "each number in [-1, 1]"
        if uniform
        else f"standard normal, norm at most sqrt({network.latent})",
        "image_range": [-1, 1],
        "alignment": gan.about.get("alignment"),
        "weights_sha256": weights(gan.generator, gan.encoder, gan.completer),
    }
