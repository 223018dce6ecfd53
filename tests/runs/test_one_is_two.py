"""Two processes learn what one does, to rounding; in doubles, so that rounding is far below what an error would be."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from latentfill.gan import model_file, residual
from latentfill.gan.completer import build_completer, build_upsampler
from latentfill.gan.dcgan import DcganDiscriminator, initialise
from latentfill.gan.encoder import ContextModule
from latentfill.gan.gan import Gan
from latentfill.options import GAN_PRESETS, TRAIN_KINDS, NetworkOptions, TrainOptions
from latentfill.options.training import ContextOptions, EncoderOptions
from latentfill.process_group import use_process_group
from latentfill.runs.data import Dataset
from latentfill.runs.distributed import SINGLE_PROCESS, DistributedContext
from latentfill.runs.interfaces import Trainer
from latentfill.training.completer import CompleterTrainer, draw_hole
from latentfill.training.context_encoder import ContextTrainer
from latentfill.training.encoder import EncoderTrainer
from latentfill.training.lapgan import PyramidTrainer
from latentfill.training.trainer import GanTrainer
from latentfill.training.upsampler import PatchCritic, UpsamplerTrainer
from latentfill.training.vae import VaeTrainer

SIZE, BATCH, STEPS = 16, 6, 3  # at 8 pixels D has no batch norm yet
PIXELS = np.random.Generator(np.random.Philox(key=2)).integers(0, 256, (40, SIZE, SIZE, 3), dtype=np.uint8)
DATA = Dataset(
    PIXELS, [f"{'ab'[i % 2]}/{i}" for i in range(40)], [], labels=np.arange(40) % 2, classes={"a": 20, "b": 20}
)
SEED = NetworkOptions(size=SIZE, base=2, latent=5)
MODERN = replace(GAN_PRESETS["modern"][0], size=SIZE, latent=8)
GAME = replace(GAN_PRESETS["modern"][1], batch_size=BATCH, images_seen=60, redraw_first=BATCH, penalty_every=2)
PLAIN = TrainOptions(images_seen=60, batch_size=BATCH)
PIECES = replace(
    PLAIN,
    augment="adaptive",
    label_smoothing=0.1,
    feature_matching=0.5,
    history=0.01,
    noise=0.1,
    r1=0.5,
    r2=0.5,
    gradient_penalty=1.0,
    discriminator_steps=2,
)
ENCODER = EncoderOptions(encoder_base=2, encoder_hidden=4)


def gan(network: NetworkOptions, options: TrainOptions) -> Trainer:
    encoder = model_file.build_residual_encoder(network, seed=1) if options.reconstruct else None
    networks = model_file.build_networks(network, 1)
    doubled(*networks, encoder)
    return GanTrainer(*networks, options, network, encoder)


def vae() -> Trainer:
    network = replace(MODERN, critic=False)
    generator, encoder = model_file.build_networks(network, 1)[0], model_file.build_residual_encoder(network, seed=1)
    doubled(generator, encoder)
    return VaeTrainer(generator, encoder, PLAIN, network)


def encoder() -> Trainer:
    generator, discriminator = model_file.build_networks(SEED, 1)
    made = model_file.build_encoder(SEED, 2, 4, 1)
    doubled(generator, discriminator, made)
    generator.eval()
    # Five real pictures and one sample: the processes have other shares of each.
    special = replace(ENCODER, real_share=0.8)
    return EncoderTrainer(
        Gan(generator, discriminator, SEED, {}), made, PLAIN, special, DATA, torch.zeros(2, 3, SIZE, SIZE)
    )


def completer() -> Trainer:
    begun = build_completer(model_file.build(MODERN, 1))
    doubled(begun)
    options = replace(TRAIN_KINDS["completer"], images_seen=60, batch_size=BATCH, penalty_every=2)
    gan = model_file.build(MODERN, 1)
    return CompleterTrainer(gan, begun, options, draw_hole, torch.zeros(2, 3, SIZE, SIZE))


def upsampler() -> Trainer:
    made, critic = build_upsampler(3, 1), PatchCritic(3)
    residual.initialise(critic, 2)
    doubled(made, critic)
    options = replace(TRAIN_KINDS["upsampler"], images_seen=60, batch_size=BATCH, penalty_every=2)
    small = model_file.build(replace(MODERN, size=SIZE // 2), 1)
    small = replace(small, completer=build_completer(small))
    doubled(small.completer)
    return UpsamplerTrainer(small, made, critic, options, draw_hole, torch.zeros(2, 3, SIZE, SIZE))


def context() -> Trainer:
    network = ContextOptions(SIZE, 3, 2, skips=True)
    module: ContextModule = model_file.build_context_module(network, 2)
    discriminator = DcganDiscriminator(SIZE, 3, 2)
    initialise(discriminator, 3)
    doubled(module, discriminator)
    special = replace(ENCODER, adversarial=0.2, border=1)
    return ContextTrainer(module, discriminator, network, PLAIN, special, DATA, torch.zeros(2, 3, SIZE, SIZE))


def pyramid() -> Trainer:
    network = NetworkOptions(size=SIZE, base=2, latent=8, networks="pyramid")
    networks = model_file.build_pyramid(network, 1)
    doubled(*networks)
    return PyramidTrainer(*networks, PLAIN, network)


CASES: dict[str, Callable[[], Trainer]] = {
    "seed": lambda: gan(SEED, PLAIN),
    "modern": lambda: gan(MODERN, GAME),
    "modern, augmented": lambda: gan(MODERN, replace(GAME, augment="adaptive", redraw_first=0)),
    "seed with all pieces": lambda: gan(replace(SEED, minibatch_kernels=3), PIECES),
    "virtual batch norm": lambda: gan(replace(SEED, norm="virtual", minibatch_kernels=3), PIECES),
    "batch norm, redrawn pictures": lambda: gan(
        replace(SEED, prior="normal"), replace(PLAIN, reconstruct=1.0, redrawn_share=0.5, loss="relativistic", r1=0.5)
    ),
    "an encoder that comes back": lambda: gan(MODERN, replace(GAME, images_seen=16, completer=False)),
    "labels": lambda: gan(replace(MODERN, classes=2), replace(GAME, labels="folders", redraw_first=0)),
    "vae": vae,
    "encoder": encoder,
    "completer": completer,
    "upsampler": upsampler,
    "context encoder": context,
    "lapgan": pyramid,
}


def doubled(*networks: nn.Module | None) -> None:
    for network in networks:
        if network is not None:
            network.double()
            network.precision = torch.float64  # type: ignore[assignment]


@contextmanager
def doubles() -> Iterator[None]:
    single, default = torch.Tensor.float, torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = lambda tensor: tensor.double()  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        torch.set_default_dtype(default)
        torch.Tensor.float = single  # type: ignore[method-assign]


def learnt(distributed: DistributedContext, case: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What a trainer has become after a few steps, and what it told at each, as numbers."""
    told = []
    with doubles():
        trainer = CASES[case]()
        if isinstance(trainer, GanTrainer) and trainer.options.augment == "adaptive":
            trainer.regularisers.probability = 0.5
        for _ in range(STEPS):
            seen, count = trainer.images_seen, trainer.real_images
            first = seen // trainer.images_per_step * count
            real = DATA.batch(first, count, seed=0, flip=True, part=distributed.rows).double()
            labels = DATA.batch_labels(first, count, seed=0, part=distributed.rows)
            given = (torch.from_numpy(labels),) if case == "labels" else ()
            with use_process_group(distributed.group):
                values = trainer.step(real, *given)  # type: ignore[call-arg]
            told.append({name: value.tolist() for name, value in distributed.gather_metrics(values, False)[0].items()})
        state = trainer.state_dict()
    return numbers(state), told


def numbers(state: Any) -> Any:
    """A state that can be sent."""
    if isinstance(state, torch.Tensor):
        return state.double().numpy().copy()
    if isinstance(state, dict):
        return {str(key): numbers(value) for key, value in state.items()}
    return [numbers(value) for value in state] if isinstance(state, list | tuple) else state


def farthest(a: Any, b: Any) -> float:
    """The largest difference of any two numbers, however deep."""
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        return max((farthest(a[key], b[key]) for key in a), default=0.0)
    if isinstance(a, list):
        assert len(a) == len(b)
        return max(map(farthest, a, b), default=0.0)
    if isinstance(a, np.ndarray):
        return float(np.abs(a - b).max(initial=0.0))
    if isinstance(a, float):
        return abs(a - b)
    assert a == b
    return 0.0


@pytest.mark.parametrize("case", CASES)
def test_two_processes_learn_what_one_does(case: str, both: Callable[..., list[Any]]) -> None:
    one, told_one = learnt(SINGLE_PROCESS, case)
    (first, told), (second, told_too) = both(learnt, case)
    assert farthest(first, second) == 0.0 and told == told_too
    assert farthest(one, first) < 1e-9
    assert farthest(told_one, told) < 1e-9
