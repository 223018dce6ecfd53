"""Images per second of our trainer against a plain loop with the same networks and the same number of updates.

The plain loop is written as the well-known PyTorch DCGAN example: fp32, modules of torch.nn, every gradient computed.
Both are run in turn, so that a noisy machine disturbs both alike.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from machine import heading, table
from torch import nn

from latentfill.device import choose_precision
from latentfill.gan.dcgan import DcganDiscriminator, DcganGenerator, initialise
from latentfill.gan.gan import UniformPrior
from latentfill.options import TrainOptions
from latentfill.training.trainer import GanTrainer

WIDTHS = (512, 256, 128, 64)


def plain_networks() -> tuple[nn.Sequential, nn.Sequential]:
    """The post's networks at 64 px, layer by layer."""
    up: list[nn.Module] = [nn.Linear(100, 8192), nn.Unflatten(1, (512, 4, 4)), nn.BatchNorm2d(512), nn.ReLU(True)]
    for a, b in zip(WIDTHS, (*WIDTHS[1:], 3), strict=True):
        up += [nn.ConvTranspose2d(a, b, 5, 2, 2, output_padding=1)]
        up += [nn.BatchNorm2d(b), nn.ReLU(True)] if b > 3 else [nn.Tanh()]
    down: list[nn.Module] = []
    for a, b in zip((3, *WIDTHS[:0:-1]), WIDTHS[::-1], strict=True):
        down += [nn.Conv2d(a, b, 5, 2, 2)] + ([nn.BatchNorm2d(b)] if a > 3 else []) + [nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*up), nn.Sequential(*down, nn.Flatten(), nn.Linear(8192, 1), nn.Flatten(0))


def plain_step(options: TrainOptions, autocast: bool = False) -> Callable[[torch.Tensor], None]:
    """One D update and two of G, as the tutorial writes them; with `autocast`, in bf16 as torch offers it."""
    bf16 = partial(torch.autocast, "cpu", torch.bfloat16, enabled=autocast)
    generator, discriminator = plain_networks()
    criterion = nn.BCEWithLogitsLoss()
    betas = (options.beta1, options.beta2)
    optimizer_d = torch.optim.Adam(discriminator.parameters(), options.rate, betas)
    optimizer_g = torch.optim.Adam(generator.parameters(), options.rate, betas)

    def step(real: torch.Tensor) -> None:
        ones, zeros = torch.ones(len(real)), torch.zeros(len(real))
        noise = torch.rand(len(real), 100) * 2 - 1
        discriminator.zero_grad()
        with bf16():
            loss = criterion(discriminator(real), ones)
        loss.backward()
        with bf16():
            fake = generator(noise)
            loss = criterion(discriminator(fake.detach()), zeros)
        loss.backward()
        optimizer_d.step()
        for update in range(options.generator_steps):
            generator.zero_grad()
            with bf16():
                loss = criterion(discriminator(generator(noise) if update else fake), ones)
            loss.backward()
            optimizer_g.step()

    return step


def our_step(options: TrainOptions) -> Callable[[torch.Tensor], object]:
    generator, discriminator = DcganGenerator(UniformPrior()), DcganDiscriminator()
    initialise(generator, 0)
    initialise(discriminator, 1)
    generator.precision = discriminator.precision = choose_precision(options.precision, torch.device("cpu"))
    return GanTrainer(generator, discriminator, options).step


def images_per_second(step: Callable[[torch.Tensor], object], real: torch.Tensor, seconds: float) -> float:
    step(real)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        step(real)
        count += len(real)
    return count / (time.perf_counter() - start)


def peak_gflops(dtype: torch.dtype, size: int = 4096, device: torch.device | str = "cpu") -> float:
    """What a large square matrix product reaches."""
    a, b = (torch.randn(size, size).to(device, dtype) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        (a @ b)[0, 0].item()  # which waits for a GPU
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e9


def gflop_per_image(generator_steps: int) -> float:
    """Products that one image's updates need at 64 px; a multiply and an add count two.

    Each hidden layer of either network is 52.4 million multiply-adds, the layer with 3 channels 4.9 million. A
    gradient with respect to inputs, and one with respect to weights, costs as much as going forward.
    """
    network = 2 * (3 * 52.4288e6 + 4.9152e6) / 1e9
    forward_g, backward_g = 1 + (generator_steps - 1), 2 * generator_steps
    forward_d, backward_d = 2 + generator_steps, 2 * 2 + generator_steps
    return network * (forward_g + backward_g + forward_d + backward_d)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--batch-size", type=int, default=64)
    arguments = parser.parse_args()
    options = TrainOptions()
    real = torch.rand(arguments.batch_size, 3, 64, 64) * 2 - 1
    steps = {
        "plain loop, fp32": plain_step(options),
        "plain loop, autocast bf16": plain_step(options, autocast=True),
        "latentfill, fp32": our_step(TrainOptions(precision="fp32")),
        "latentfill, auto": our_step(options),
    }
    rates: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(arguments.rounds):
        for name, step in steps.items():
            rates[name].append(images_per_second(step, real, arguments.seconds))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    plain = medians["plain loop, fp32"]
    work = gflop_per_image(options.generator_steps)
    peaks = {dtype: peak_gflops(dtype) for dtype in (torch.float32, torch.bfloat16)}
    print(heading("Training throughput, 64 px, the post's widths, one D and two G updates per batch"))
    rows = []
    for name, values in rates.items():
        bf16 = "fp32" not in name and choose_precision("auto", torch.device("cpu")) == torch.bfloat16
        peak = peaks[torch.bfloat16 if bf16 else torch.float32]
        spread = f"{min(values):.1f} to {max(values):.1f}"
        share = f"{medians[name] * work / peak:.0%} of {peak:.0f} GFLOP/s"
        rows.append((name, f"{medians[name]:.1f}", spread, f"{medians[name] / plain:.2f}", share))
    print(
        table(("loop", "images/s (median)", "range", "times the plain loop", "share of the matrix-product peak"), rows)
    )
    print(f"\nCounted: {work:.2f} GFLOP per image.")


if __name__ == "__main__":
    main()
