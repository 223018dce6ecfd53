"""What lies beside the ONNX files: the same facts for programs and for people."""

from collections.abc import Mapping, Sequence
from typing import Any

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
    for file, named in shapes.items():
        *inputs, output = [(name, tensor(name, shape)) for name, shape in named.items()]
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
        lines += ["", f"The pictures it has learnt from were aligned: {_told(described['alignment'])}."]
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
        find = [
            'completer = ort.InferenceSession("completer.onnx")',
            *image,
            f"noise = np.zeros((1, {described['latent']}), np.float32)",
        ]
        generate = ['(generated,) = completer.run(None, {"images": images, "known": known, "noise": noise})']
    elif "encoder.onnx" in files:
        find = [
            'encoder = ort.InferenceSession("encoder.onnx")',
            *image,
            '(z,) = encoder.run(None, {"images": images, "known": known})',
        ]
    else:
        drawn = "rng.uniform(-1, 1" if described["prior"] == "uniform" else "rng.normal(0, 1"
        find = ["rng = np.random.default_rng(0)", f"z = {drawn}, (1, {described['latent']})).astype(np.float32)"]
        last = []
    code = [
        "import numpy as np",
        "import onnxruntime as ort",
        "",
        *find,
        *generate,
        *last,
    ]
    lines += ["", "## In Python", "", "```python", *code, "```"]
    return "\n".join(lines) + "\n"


def _exactness(difference: float | None) -> str:
    if difference is None:
        return "Not compared with PyTorch: onnxruntime was not installed."
    return f"Largest difference from PyTorch, in onnxruntime: {difference:.1e}."


def _told(alignment: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in alignment.items())
