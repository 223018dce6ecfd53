"""All pieces in one training: they do what they are for, and a run that was stopped does not notice."""

import io
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch

from latentfill.errors import LatentfillError
from latentfill.gan.model_file import build_networks
from latentfill.options import NetworkOptions, TrainOptions
from latentfill.training.augment import FEW, IMAGES_TO_RISE, Regularisers, check_regularisers, resolve_augment
from latentfill.training.trainer import GanTrainer

DCGAN = NetworkOptions(size=16, base=2, latent=6, norm="virtual", minibatch_kernels=3)
RESIDUAL = NetworkOptions(size=16, networks="residual", latent=6, prior="normal", classes=2, minibatch_kernels=3)
ALL = TrainOptions(
    images_seen=100,
    augment="adaptive",
    label_smoothing=0.1,
    feature_matching=0.5,
    history=0.01,
    noise=0.1,
    r1=0.5,
    r2=0.5,
    annealed=True,
    discriminator_steps=2,
    batch_size=4,
)


def new_trainer(network: NetworkOptions, options: TrainOptions = ALL) -> GanTrainer:
    return GanTrainer(*build_networks(network, 3), options, network)


def real(i: int, n: int = 8) -> torch.Tensor:
    return torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(i)) * 2 - 1


def steps(trainer: GanTrainer, numbers: range) -> dict[str, torch.Tensor]:
    values: dict[str, torch.Tensor] = {}
    for i in numbers:
        labels = torch.arange(8) % 2 if trainer.network.classes else None
        values = trainer.step(real(i), labels)
    return values


@pytest.mark.parametrize("network", [DCGAN, RESIDUAL], ids=["dcgan", "residual"])
def test_with_every_piece_resuming_is_to_the_bit(network: NetworkOptions, equal: Callable[[Any, Any], bool]) -> None:
    straight, first, second = new_trainer(network), new_trainer(network), new_trainer(network)
    for trainer in (straight, first):
        trainer.regularisers.probability = 0.5
    steps(straight, range(4))
    steps(first, range(2))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert second.regularisers.probability == first.regularisers.probability != 0.0
    steps(second, range(2, 4))
    assert equal(straight.state_dict(), second.state_dict())
    assert straight.is_finite()


@pytest.mark.parametrize("network", [DCGAN, RESIDUAL], ids=["dcgan", "residual"])
@pytest.mark.parametrize(
    "piece, value",
    [("augment", "fixed"), ("label_smoothing", 0.2), ("feature_matching", 1.0), ("history", 0.1), ("noise", 0.3)],
)
def test_every_piece_changes_what_is_learnt(network: NetworkOptions, piece: str, value: Any) -> None:
    plain = TrainOptions(images_seen=100, batch_size=4, discriminator_steps=2, augment="none")
    learners = [new_trainer(network, options) for options in (plain, replace(plain, **{piece: value}))]
    for trainer in learners:
        steps(trainer, range(3))
    weights = [torch.cat([p.detach().flatten() for p in trainer.generator.parameters()]) for trainer in learners]
    assert (weights[0] - weights[1]).abs().max() > 1e-6


def test_the_strength_follows_d() -> None:
    for logits, sign in ((torch.ones(8), 1), (-torch.ones(8), -1)):
        trainer = new_trainer(RESIDUAL)
        trainer.regularisers.probability = 0.5
        told = trainer.regularisers.adapt(logits, torch.zeros(8))
        assert trainer.regularisers.probability == pytest.approx(0.5 + sign * 8 / IMAGES_TO_RISE)
        assert told["augment"].item() == pytest.approx(trainer.regularisers.probability)


def test_for_losses_of_differences_the_fakes_are_the_zero() -> None:
    trainer = new_trainer(RESIDUAL, replace(ALL, loss="relativistic", label_smoothing=0.0))
    trainer.regularisers.probability = 0.5
    trainer.regularisers.adapt(
        torch.full((8,), -3.0), torch.full((8,), -5.0)
    )  # below zero, and above the fakes all the same
    assert trainer.regularisers.probability > 0.5


def test_images_are_shown_alike_for_the_same_reason_alone() -> None:
    pieces = Regularisers(replace(ALL, augment="fixed"), *build_networks(RESIDUAL))
    images = real(0)
    pieces.begin(images, 16)
    numbers = range(16, 16 + len(images))
    again = pieces.apply(images, numbers, "fake")
    assert torch.equal(pieces.apply(images, numbers, "fake"), again)
    assert torch.equal(
        pieces.apply(images[3:], range(19, 16 + len(images)), "fake"), again[3:]
    )  # whatever else is in the batch
    others = [
        pieces.apply(images, numbers, "real"),
        pieces.apply(images, range(8, 8 + len(images)), "fake"),
        pieces.apply(images, numbers, "update", 1),
    ]
    assert not torch.equal(others[-1], pieces.apply(images, numbers, "update", 0))
    assert not any(torch.equal(other, again) for other in [*others, pieces.apply(images, numbers, "update", 0)])


def test_few_pictures_are_augmented_as_far_as_it_takes() -> None:
    assert (
        resolve_augment(TrainOptions(), FEW - 1).augment == "adaptive"
        and resolve_augment(TrainOptions(), FEW).augment == "none"
    )
    assert resolve_augment(TrainOptions(augment="fixed"), FEW).augment == "fixed"


def test_the_references_are_latents_of_the_prior_and_the_first_pictures() -> None:
    trainer = new_trainer(DCGAN)
    steps(trainer, range(2))
    g, d = trainer.generator, trainer.discriminator
    assert torch.equal(d.reference, real(0)[:4]) and g.reference.shape == (4, 6)
    assert torch.equal(trainer.averaged.reference, g.reference)
    # What is drawn and saved has statistics of its own, those of its weights.
    z = trainer.fixed_latents(3)
    raw, averaged = trainer.raw_generator(), trainer.averaged_generator(64)
    torch.testing.assert_close(raw(z), deepcopy(g).train()(z))
    assert not torch.equal(raw.norms[1].running_mean, averaged.norms[1].running_mean)
    torch.testing.assert_close(averaged(z), deepcopy(averaged).train()(z))


def test_a_training_may_take_up_pieces_that_it_began_without() -> None:
    plain = new_trainer(RESIDUAL, TrainOptions(batch_size=4, augment="none"))
    plain.step(real(0), torch.zeros(8, dtype=torch.long))
    state = plain.state_dict()
    assert not {"pieces", "generator_history"} & set(state)
    trainer = new_trainer(RESIDUAL)
    trainer.load_state_dict(state)
    assert trainer.g.history is not None and torch.equal(trainer.g.history.means[0], trainer.g.parameters[0])
    steps(trainer, range(1, 3))


def test_the_class_matters_to_both() -> None:
    one, other = new_trainer(RESIDUAL), new_trainer(RESIDUAL)
    one.step(real(0), torch.zeros(8, dtype=torch.long))
    other.step(real(0), torch.ones(8, dtype=torch.long))
    vectors = [trainer.generator.classes.weight for trainer in (one, other)]
    start = build_networks(RESIDUAL, 3)[0].classes.weight
    assert (vectors[0][0] != start[0]).any() and torch.equal(vectors[0][1], start[1])
    assert (vectors[1][1] != start[1]).any() and torch.equal(vectors[1][0], start[0])


@pytest.mark.parametrize(
    "options, network, said",
    [
        (TrainOptions(label_smoothing=0.1, loss="wasserstein"), RESIDUAL, "--label-smoothing"),
        (TrainOptions(labels="folders"), DCGAN, "residual"),
    ],
)
def test_what_does_not_go_together_is_said(options: TrainOptions, network: NetworkOptions, said: str) -> None:
    with pytest.raises(LatentfillError, match=said):
        check_regularisers(options, network)
