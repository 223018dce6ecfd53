"""Store a trained model with half-precision weights, and see that completions do not change by it.

With --encoder, the model gets the encoder of another model file, or of a PyTorch file with its weights, and with
--upsampler another model's upsampler. With --calibrate, it then learns from the half of the pictures to choose by how
far its completions can be trusted.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import torch
from faces import completed, holes_for, read_faces, scores
from machine import heading, table

from latentfill import Gan, load
from latentfill.cli.main import run
from latentfill.gan import model_file
from latentfill.gan.model_file import AnyEncoder
from latentfill.options import COMPLETE_PRESETS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="model file of a run")
    parser.add_argument("out", type=Path, help="model file to write")
    parser.add_argument("data", type=Path, help="folder or archive of aligned, unseen faces")
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--encoder", type=Path, help="model file, or .pt with weights, whose encoder to take")
    parser.add_argument("--mean", help="model whose completer's weights to average with, in equal parts")
    parser.add_argument("--upsampler", help="model whose upsampler to take")
    parser.add_argument("--bits", type=int, default=10, help="of each weight's mantissa; fewer make a smaller wheel")
    parser.add_argument("--calibrate", action="store_true", help="measure the errors of best and fast on DATA")
    arguments = parser.parse_args()
    gan = load(arguments.model)
    if arguments.encoder:
        gan = dataclasses.replace(gan, encoder=read_encoder(arguments.encoder, gan))
    if arguments.mean:
        average_completers(gan, load(arguments.mean))
    if arguments.upsampler:
        other = load(arguments.upsampler)
        about = {**gan.about, "upsampler": other.about["upsampler"]}
        gan = dataclasses.replace(gan, upsampler=other.upsampler, about=about)
    round_weights(gan, arguments.bits)
    model_file.save(gan, arguments.out, torch.float16)
    if arguments.calibrate:
        calibrate = ["calibrate", arguments.data, "--part", "choose", "--model", arguments.out, "--out", arguments.out]
        if code := run([str(word) for word in calibrate]):
            raise SystemExit(code)
    names, crops = read_faces(arguments.data, gan.network.size, "choose", arguments.count)
    where = holes_for("center", names, gan.network.size)
    options = dataclasses.replace(COMPLETE_PRESETS["seed"], steps=arguments.steps)
    made = [completed(load(path), crops, where, options)["overlay"] for path in (arguments.model, arguments.out)]
    difference = np.abs(np.stack(made[0]).astype(int) - np.stack(made[1]))
    rows = [
        (path.name, f"{path.stat().st_size / 1e6:.1f}", f"{scores(pictures, crops, where)[0]:.3f}")
        for path, pictures in zip((arguments.model, arguments.out), made, strict=True)
    ]
    print(heading(f"Half-precision weights, {arguments.count} unseen faces, {arguments.steps} steps"))
    print(table(("file", "MB", "PSNR in the hole, dB"), rows))
    hole = np.stack(where) > 0
    print(
        f"\nDifference in the hole: mean {difference[hole].mean():.2f}, largest {difference[hole].max()} grey levels."
    )


@torch.no_grad()
def average_completers(gan: Gan, other: Gan) -> None:
    """Give a model's completer the mean of its weights and another's."""
    assert isinstance(gan.completer, torch.nn.Module) and isinstance(other.completer, torch.nn.Module)
    for one, two in zip(gan.completer.parameters(), other.completer.parameters(), strict=True):
        one.lerp_(two, 0.5)


def round_weights(gan: Gan, bits: int) -> None:
    """Round all but biases to half precision with so many bits of mantissa: a wheel packs the rest, which are 0."""
    dropped = 10 - bits
    for network in (gan.generator, gan.discriminator, gan.encoder, gan.completer, gan.upsampler):
        weights = network.parameters() if isinstance(network, torch.nn.Module) else ()
        for weight in (one for one in weights if one.dim() > 1):
            stored = weight.data.half().view(torch.int16).int() & 0xFFFF
            rounded = (stored + (1 << dropped >> 1)) >> dropped << dropped
            weight.data.copy_(
                torch.where(rounded > 0x7FFF, rounded - 0x10000, rounded).to(torch.int16).view(torch.float16)
            )


def read_encoder(path: Path, gan: Gan) -> AnyEncoder:
    """The encoder of a model file; or of a .pt file with its weights, averaged ones first, for the generator of gan."""
    if path.suffix == ".safetensors":
        found = load(path).encoder
        if not isinstance(found, AnyEncoder):
            raise SystemExit(f"{path} holds no encoder")
        return found
    kept = torch.load(path, map_location="cpu", weights_only=True)
    weights = next((kept[name] for name in ("avg", "averaged") if name in kept), kept)
    base, hidden = len(weights["downs.0.weight"]), len(weights["hidden.weight"])
    encoder = model_file.build_encoder(gan.network, base, hidden)
    encoder.load_state_dict(weights)
    return encoder.requires_grad_(False).eval()


if __name__ == "__main__":
    main()
