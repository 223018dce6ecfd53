"""What training costs, by kind, size, scale and number of threads: images per second, products, memory, core-hours.

Kinds are the presets of a GAN, the completer, which learns from pictures of its GAN's size, and the upsampler, which
learns from pictures of twice that size.

Each is measured in a process of its own, on noise that is already where it is computed. Counted are products of
matrices and convolutions, a multiplication and an addition being two; penalties that come now and then are shared out.
Core-hours are the processor's time, over all cores: what else the machine was busy with hardly counts.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from itertools import product
from typing import Any, final

import torch
from machine import heading, table
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry as FORMULAS
from training import peak_gflops

from latentfill.device import choose_device, choose_precision
from latentfill.gan import model_file
from latentfill.gan.completer import build_completer, build_upsampler
from latentfill.gan.gan import Gan
from latentfill.options import GAN_PRESETS, NetworkOptions, TrainOptions
from latentfill.options.training import TRAIN_KINDS
from latentfill.training.completer import CompleterTrainer, draw_hole
from latentfill.training.trainer import GanTrainer
from latentfill.training.upsampler import PatchCritic, UpsamplerTrainer

CONVOLUTION_BACKWARD = torch.ops.aten.convolution_backward
FOREVER = 10**9  # images of a run of which so few are measured that it does not anneal
COUNTED = 4  # images in a batch whose products are counted
KINDS = {
    **GAN_PRESETS,
    "completer": (GAN_PRESETS["modern"][0], TRAIN_KINDS["completer"]),
    "upsampler": (GAN_PRESETS["modern"][0], TRAIN_KINDS["upsampler"]),
}
AnyTrainer = GanTrainer | CompleterTrainer | UpsamplerTrainer
PEAK_SIDE = {"cpu": 2048, "cuda": 8192}


def new_trainer(kind: str, network: NetworkOptions, options: TrainOptions, device: torch.device) -> AnyTrainer:
    """As `latentfill train` makes it."""
    precision = choose_precision(options.precision, device)

    def move(part: Any) -> Any:
        part.precision = precision
        return part.to(device)

    if kind == "upsampler":
        network = replace(network, size=network.size // 2)  # type: ignore[arg-type]
    g, d = (move(part) for part in model_file.build_networks(network, 0))
    encoder = move(model_file.build_residual_encoder(network)) if network.networks == "residual" else None
    if kind in GAN_PRESETS:
        return GanTrainer(g, d, options, network, encoder if options.reconstruct else None)
    gan = Gan(g, d, network, encoder=encoder)
    completer = move(build_completer(gan))
    if kind == "completer":
        return CompleterTrainer(gan, completer, options, draw_hole)
    gan, critic = replace(gan, completer=completer.requires_grad_(False)), PatchCritic(network.channels)
    return UpsamplerTrainer(gan, move(build_upsampler(network.channels)), move(critic), options, draw_hole)


def noise(network: NetworkOptions, count: int, device: torch.device) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    return (torch.rand(count, network.channels, network.size, network.size, generator=rng) * 2 - 1).to(device)


@final
class Products(TorchDispatchMode):
    """Counts multiplications and additions. Torch's own counter cannot follow a gradient that is differentiated."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        packet = func._overloadpacket
        if packet not in FORMULAS and packet is not CONVOLUTION_BACKWARD:
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        found = func(*args, **kwargs)
        if packet is CONVOLUTION_BACKWARD:
            self.count += backward_products(*args)
        elif packet in FORMULAS:
            self.count += FORMULAS[packet](*args, **kwargs, out_val=found)
        return found


def backward_products(grad: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, *rest: Any) -> int:
    """Each gradient of a convolution costs as much as the convolution; torch's own formula forgets its groups."""
    transposed, mask = rest[4], rest[7]
    places = (x if transposed else grad)[:, :1].numel()
    return 2 * places * weight.numel() * sum(map(bool, mask[:2]))


def gflop_per_image(kind: str, network: NetworkOptions, options: TrainOptions, device: torch.device) -> float:
    """Products for each real image, on average over as many steps as a penalty needs to come round."""
    counted = new_trainer(kind, network, replace(options, batch_size=COUNTED), device)
    real = noise(network, counted.real_images, device)
    with Products() as products:
        for _ in range(options.penalty_every):
            counted.step(real)
    return float(products.count) / (options.penalty_every * len(real)) / 1e9


def measure(
    kind: str, size: int, scale: str, threads: int, device_name: str, batch_size: int, seconds: float
) -> dict[str, float | str]:
    """One row, in the time given but for three steps at least: the first, and one with the penalty and one without."""
    begun = time.perf_counter()
    torch.set_num_threads(threads)
    device = choose_device(device_name)
    chosen, recipe = KINDS[kind]
    network: NetworkOptions = replace(chosen, size=size, **({"scale": scale} if scale else {}))  # type: ignore[arg-type]
    batch_size = batch_size or recipe.batch_size
    options = replace(recipe, images_seen=FOREVER, batch_size=batch_size, redraw_first=0)  # of a GAN the game alone
    trainer = new_trainer(kind, network, options, device)
    real = noise(network, trainer.real_images, device)
    precision = choose_precision(options.precision, device)
    peak = peak_gflops(precision, PEAK_SIDE.get(device.type, 2048), device)
    work = gflop_per_image(kind, network, options, device)
    timed(trainer, real, 0)
    steps = range(min(2, options.penalty_every))  # steps that count as the first of a run, and as the second
    taken: dict[int, list[tuple[float, float]]] = {step: [] for step in steps}
    while not taken[0] or time.perf_counter() - begun < seconds:
        for step in steps:
            taken[step].append(timed(trainer, real, step * len(real)))
    share = 1 / options.penalty_every
    weights = (share, 1 - share) if len(steps) > 1 else (1.0,)
    wall, processor = (
        sum(w * statistics.median(times[which] for times in taken[k]) for k, w in zip(steps, weights, strict=True))
        / len(real)
        for which in range(2)
    )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if device.type == "cuda":
        memory = torch.cuda.max_memory_allocated(device)
    return {
        "rate": 1 / wall,
        "work": work,
        "precision": str(precision).removeprefix("torch."),
        "peak": peak,
        "share": work / wall / peak,
        "memory": memory / 2**20,
        "cost": 1e6 / 3600 * (processor if device.type == "cpu" else wall),
    }


def timed(trainer: AnyTrainer, real: torch.Tensor, images_seen: int) -> tuple[float, float]:
    """The seconds of one step, by the clock and of all cores together."""
    trainer.images_seen = images_seen
    wall, processor = time.perf_counter(), time.process_time()
    next(iter(trainer.step(real).values())).sum().item()  # which waits for a GPU
    return time.perf_counter() - wall, time.process_time() - processor


def apart(kind: tuple[str, int, str, int], device: str, batch_size: int, seconds: float) -> dict[str, Any]:
    """The same in a process of its own, whose memory is nobody else's."""
    words = [sys.executable, __file__, "--one", json.dumps([*kind, device, batch_size, seconds])]
    process = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["modern", "seed", "completer"])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--scales", nargs="+", default=["tiny", "small"], help="of residual networks")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int, default=0, help="0: that of the recipe")
    parser.add_argument("--seconds", type=float, default=300, help="for all of it, in equal parts")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(*json.loads(arguments.one))))
        return
    kinds = [
        kind
        for kind in product(arguments.kinds, arguments.sizes, [*arguments.scales, ""], arguments.threads)
        if (KINDS[kind[0]][0].networks == "residual") == bool(kind[2])  # others have no scale
    ]
    stop = time.perf_counter() + arguments.seconds
    rows = []
    for number, kind in enumerate(kinds):
        left = max(0.0, stop - time.perf_counter()) / (len(kinds) - number)
        f = apart(kind, arguments.device, arguments.batch_size, left)
        numbers = (f"{f['rate']:.1f}", f"{f['work']:.2f}", f"{f['share']:.0%} of {f['peak']:.0f} ({f['precision']})")
        name, size, scale, threads = kind
        rows.append([name, size, scale, threads, *numbers, f"{f['memory']:.0f}", f"{f['cost']:.1f}"])
        print(rows[-1], flush=True)
    unit = "core-hours" if choose_device(arguments.device).type == "cpu" else "device-hours"
    print(heading(f"What training costs, device {arguments.device}"))
    head = ("kind", "px", "scale", "threads", "images/s", "GFLOP per image", "share of the matrix product's GFLOP/s")
    print(table((*head, "peak MiB", f"{unit} per million images"), rows))


if __name__ == "__main__":
    main()
