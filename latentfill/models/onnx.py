"""A model as ONNX files, each compared with its network before it gets its name, and a description beside them.

The networks are written in operations that every runtime knows.
"""

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
from torch.nn import functional as F

from ..errors import ExtraError, ModelError, explain
from ..files import provenance
from ..gan.completer import ResidualCompleter
from ..gan.dcgan import SLOPE, START, DcganGenerator
from ..gan.encoder import DcganEncoder, ResidualEncoder, constrain, encoder_input
from ..gan.fused import FusedEncoder, FusedGenerator, fuse
from ..gan.gan import Gan, UniformPrior
from ..gan.model_file import digest_weights
from ..gan.residual import ResidualGenerator
from ..gan.stride2 import PADDING
from ..seeds import philox
from ..types import Images, Known, Latents
from ..version import __version__


@final
class PlainGenerator(nn.Module):
    """G of a DCGAN, batch norm folded in, its stride-2 convolutions torch's own: no runtime knows ours."""

    def __init__(self, network: FusedGenerator) -> None:
        super().__init__()
        self.weights, self.biases = _constants(network.weights), _constants(network.biases)

    def forward(self, z: Latents) -> Images:
        """[n, d] -> [n, channels, size, size] in [-1, 1]."""
        first, *rest = zip(self.weights, self.biases, strict=True)
        x = F.linear(z, *first).view(z.shape[0], -1, START, START)
        for weight, bias in rest:
            # The transpose of padding by one pixel before and two after. torch cannot express it, so it is one and one,
            # and one pixel less.
            x = F.conv_transpose2d(F.relu(x), weight, stride=2, padding=1)[..., :-1, :-1] + bias
        return torch.tanh(x)


@final
class PlainEncoder(nn.Module):
    """E of a DCGAN, likewise."""

    def __init__(self, network: FusedEncoder) -> None:
        super().__init__()
        self.prior = network.prior
        self.weights, self.biases = _constants(network.weights), _constants(network.biases)

    def forward(self, images: Images, known: Known) -> Latents:
        """[n, channels, size, size] in [-1, 1] and [n, 1, size, size] -> [n, d]; what is in the hole is not seen."""
        first, *rest, hidden, answer = zip(self.weights, self.biases, strict=True)
        x = _down(encoder_input(images, known), *first)
        for level in range(0, len(rest), 3):
            x = _down(x, *rest[level])
            y = F.leaky_relu(F.conv2d(x, *rest[level + 1], padding=1), SLOPE)
            x = x + F.conv2d(y, *rest[level + 2], padding=1)
        x = F.leaky_relu(F.linear(x.flatten(1), *hidden), SLOPE)
        return constrain(self.prior, F.linear(x, *answer))


def plain_generator(gan: Gan) -> nn.Module:
    """The same G, to be exported. Raises TypeError for networks of other kinds."""
    generator = fuse(gan).generator if isinstance(gan.generator, DcganGenerator) else gan.generator
    if isinstance(generator, FusedGenerator):
        return PlainGenerator(generator).eval()
    if isinstance(generator, ResidualGenerator):
        return generator.eval()
    raise TypeError(f"expected a generator that can be exported, not {type(generator).__name__}")


def plain_encoder(gan: Gan) -> nn.Module | None:
    """The same E, to be exported, if there is one. Raises TypeError for networks of other kinds."""
    encoder = fuse(gan).encoder if isinstance(gan.encoder, DcganEncoder) else gan.encoder
    if isinstance(encoder, FusedEncoder):
        return PlainEncoder(encoder).eval()
    if isinstance(encoder, ResidualEncoder):
        return encoder.eval()
    if encoder is not None:
        raise TypeError(f"expected an encoder that can be exported, not {type(encoder).__name__}")
    return None


def _down(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.leaky_relu(F.conv2d(F.pad(x, PADDING), weight, bias, stride=2), SLOPE)


def _constants(tensors: tuple[Tensor, ...]) -> nn.ParameterList:
    return nn.ParameterList(nn.Parameter(tensor.float().contiguous(), requires_grad=False) for tensor in tensors)


MEANINGS = {
    "z": "the latent, float32: {latent_range}",
    "images": "float32 in [-1, 1]; channels are {colours}, rows from the top",
    "known": "float32: 1 where a pixel is given, 0 where it is to be found",
    "noise": "float32, standard normal: another noise is another candidate; zeros are the most probable one",
    "drawn": "float32 in [-1, 1]: what completes the image; take it where `known` is 0",
    "labels": "int64: which of {classes} kinds of picture, counted from 0",
}


def describe(
    facts: Mapping[str, Any], shapes: Mapping[str, Mapping[str, Sequence[Any]]], differences: Mapping[str, float | None]
) -> dict[str, Any]:
    """The facts, and for each file its inputs and its output, what they mean, and how exact it is."""
    colours = "red, green, blue" if facts["channels"] == 3 else "one, grey"

    def tensor(name: str, shape: Sequence[Any]) -> dict[str, Any]:
        return {"shape": list(shape), "meaning": MEANINGS[name].format(**facts, colours=colours)}

    files = {}
    for file, tensors in shapes.items():
        *inputs, output = [(name, tensor(name, shape)) for name, shape in tensors.items()]
        difference = differences[file]
        files[file] = {"inputs": dict(inputs), "outputs": dict([output]), "largest_difference": difference}
    return {**facts, "files": files}


def readme(described: Mapping[str, Any]) -> str:
    """Markdown: what each file takes and gives, and how to use it."""
    size, files = described["size"], described["files"]
    lines = [
        f"# {described['model']}, as ONNX",
        "",
        f"Written by latentfill {described['latentfill']}; opset {described['opset']}, weights in float32. The batch "
        "size n may be any. The same facts are in `export.json` and in the metadata of each file.",
    ]
    if described["alignment"]:
        lines += ["", f"The pictures it has learnt from were aligned: {_pairs(described['alignment'])}."]
    for file, parts in files.items():
        lines += ["", f"## {file}", "", "| | name | shape | |", "|---|---|---|---|"]
        for side in ("inputs", "outputs"):
            for name, tensor in parts[side].items():
                shape = ", ".join(map(str, tensor["shape"]))
                lines.append(f"| {side[:-1]} | `{name}` | [{shape}] | {tensor['meaning']} |")
        lines += ["", _exactness(parts["largest_difference"])]
    labels = ', "labels": np.zeros(1, np.int64)' if described["classes"] else ""
    image = [
        f"images = np.zeros((1, {described['channels']}, {size}, {size}), np.float32)  # yours, in [-1, 1]",
        f"known = np.ones((1, 1, {size}, {size}), np.float32)",
        f"known[:, :, {size // 4}:{3 * size // 4}, {size // 4}:{3 * size // 4}] = 0  # the hole; not looked at",
    ]
    last = ["completed = known * images + (1 - known) * generated  # what is known stays as it is"]
    generate = [
        'generator = ort.InferenceSession("generator.onnx")',
        f'(generated,) = generator.run(None, {{"z": z{labels}}})',
    ]
    if "completer.onnx" in files:
        noise = f"noise = np.zeros((1, {described['latent']}), np.float32)"
        find = ['completer = ort.InferenceSession("completer.onnx")', *image, noise]
        generate = ['(generated,) = completer.run(None, {"images": images, "known": known, "noise": noise})']
    elif "encoder.onnx" in files:
        encode = '(z,) = encoder.run(None, {"images": images, "known": known})'
        find = ['encoder = ort.InferenceSession("encoder.onnx")', *image, encode]
    else:
        draw = "rng.uniform(-1, 1" if described["prior"] == "uniform" else "rng.normal(0, 1"
        find = ["rng = np.random.default_rng(0)", f"z = {draw}, (1, {described['latent']})).astype(np.float32)"]
        last = []
    code = ["import numpy as np", "import onnxruntime as ort", "", *find, *generate, *last]
    lines += ["", "## In Python", "", "```python", *code, "```"]
    return "\n".join(lines) + "\n"


def _exactness(difference: float | None) -> str:
    if difference is None:
        return "Not compared with PyTorch: onnxruntime was not installed."
    return f"Largest difference from PyTorch, in onnxruntime: {difference:.1e}."


def _pairs(alignment: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in alignment.items())


OPSET = 17  # of 2022: all current runtimes read it, and nothing here needs a later one
TOLERANCE = 1e-4  # largest difference from PyTorch in images of [-1, 1] and in latents
TRIED = 3  # examples in the larger batch of the comparison; the smaller has one
DESCRIPTION, README = "export.json", "README.md"


@final
@dataclass(frozen=True)
class Exported:
    """One file, and its largest difference from the network; None without onnxruntime."""

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
        what = "ONNX files need the library onnx, which is not installed"
        raise ExtraError(what, "Install it: pip install 'latentfill[onnx]'.") from error
    parts = _parts(gan)
    facts = _facts(gan, name)
    for file in (*parts, DESCRIPTION, README):
        provenance.check_free(folder / file)
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
                provenance.remove(folder / file)  # files of another model that was exported here before
            for file in sorted(os.listdir(making)):
                provenance.move(Path(making) / file, folder / file)
    except OSError as error:
        raise explain(error, folder) from error
    return [Exported(folder / file, difference) for file, difference in differences.items()]


def largest_difference(path: Path, network: Any, inputs: Mapping[str, Tensor]) -> float | None:
    """Between the outputs of file and network for these inputs, one example and all; None without onnxruntime."""
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    differences = []
    for count in (1, TRIED):
        given = {name: tensor[:count] for name, tensor in inputs.items()}
        with torch.inference_mode():
            expected = network(*given.values()).numpy()
        (output,) = session.run(None, {name: tensor.numpy() for name, tensor in given.items()})
        differences.append(np.abs(output - expected).max() if output.shape == expected.shape else np.inf)
    return float(np.max(differences))  # NaN if any is


def _write_part(part: _Part, path: Path, facts: Mapping[str, Any]) -> float | None:
    import onnx

    axes = {name: {0: "n"} for name in (*part.inputs, part.output)}
    with warnings.catch_warnings(), torch.inference_mode():
        # Warnings that this exporter is the older of two (it needs no further library), and that shapes become
        # constants, which the comparison at two batch sizes would notice.
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
    properties = {key: value if isinstance(value, str) else json.dumps(value) for key, value in facts.items()}
    onnx.helper.set_model_props(model, properties)
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
    rng = philox(0)
    shape = (TRIED, 1, network.size, network.size)
    known = torch.from_numpy((rng.random(shape) < 0.5).astype(np.float32))
    inputs = {"z": z}
    if network.classes:
        inputs["labels"] = torch.arange(TRIED) % network.classes
    parts = {"generator.onnx": _Part(plain_generator(gan), gan.generator, inputs, "images")}
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
    """The shapes of each input, and of the output last; the batch is n."""
    with torch.inference_mode():
        output = part.original(*part.inputs.values())
    return {name: ["n", *tensor.shape[1:]] for name, tensor in {**part.inputs, part.output: output}.items()}


def _facts(gan: Gan, name: str) -> dict[str, Any]:
    """Facts for programs that use the files: origin, shapes and ranges; written into each of them, too."""
    network = gan.network
    uniform = isinstance(gan.generator.prior, UniformPrior)
    latent_range = "each number in [-1, 1]" if uniform else f"standard normal, norm at most sqrt({network.latent})"
    return {
        "model": name,
        "latentfill": __version__,
        "opset": OPSET,
        "size": network.size,
        "channels": network.channels,
        "classes": network.classes,
        "latent": network.latent,
        "prior": network.prior,
        "latent_range": latent_range,
        "image_range": [-1, 1],
        "alignment": gan.about.get("alignment"),
        "weights_sha256": digest_weights(gan.generator, gan.encoder, gan.completer),
    }
