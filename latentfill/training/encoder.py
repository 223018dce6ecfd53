"""The training of an encoder for a finished GAN: on G's own endless samples, and on real pictures if there are any.

E(M * x, M) should be the latent whose image is the whole x. So the error is that of G(E(M * x, M)), G being frozen, and
for samples also that of the latent, which is known.
"""

import hashlib
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from ..device import choose_precision
from ..gan import model_file
from ..gan.encoder import ResidualEncoder
from ..gan.fused import fuse
from ..gan.gan import Encoder, Gan, Generator
from ..gan.model_file import AnyEncoder
from ..options import RunOptions, TrainOptions
from ..options.training import EncoderOptions
from ..options.validation import check_bounds
from ..process_group import own_share, process_group, weighted_mean
from ..runs.data import Dataset, check_pictures, split
from ..runs.folder import Subject, check_unused
from ..runs.holes import HOLE_STREAM, SCORES, STATISTICS_STREAM, check_hole, draw_known, score_completions
from ..runs.interfaces import DEFAULT_CONTEXT, TrainingContext
from ..runs.logs import PACE, Curve, Curves, Progress, Summary
from ..runs.loop import epochs_to_images, run_training
from ..seeds import Stream
from ..types import Images, Known, Latents
from .optimiser import descend_alone, frozen_average, regression_network
from .trainer import NetworksTrainer

SAMPLES = (Stream.ENCODER_SAMPLES, HOLE_STREAM)  # streams of G's samples and of their holes, for training
STATISTICS = (Stream.ENCODER_STATISTICS, STATISTICS_STREAM)  # and for batch-norm statistics
JUDGED_SAMPLES = 64  # samples for scores, if no pictures can be held out
CURVES: Curves = {
    "image_l1": Curve("image", "l1/image"),
    "hole_l1": Curve("hole", "l1/hole"),
    "latent_mse": Curve("latent", "mse/latent"),
    **SCORES,
    **PACE,
}


def train_encoder(
    gan: Gan,
    data: Dataset | None,
    folder: Path,
    options: TrainOptions,
    special: EncoderOptions,
    run: RunOptions,
    context: TrainingContext = DEFAULT_CONTEXT,
) -> Iterator[Progress]:
    """Train an encoder until `options.images_seen`, as `run.follow` does; the model files hold G, D and the encoder.

    Without data, or with a real share of 0, it learns from G's samples alone. Raises ValueError as `run.train` does.
    """
    check_bounds(options, special, run)
    check_unused(options, "an encoder for a finished GAN is", "Leave that out, or give --kind gan.")
    network, share = gan.network, special.real_share if data else 0.0
    check_hole(special.hole, network.size)
    real_images = round(share * options.batch_size)
    learnt, held_out = split(data, special.held_out)
    learnt = learnt if real_images else None
    if learnt:
        check_pictures(learnt, network.size, network.channels, options.batch_size, real_images)
        options = epochs_to_images(options, len(learnt) * options.batch_size // real_images)
    elif options.epochs:
        raise ValueError("epochs are counted in pictures, of which there are none")

    def trainer(device: torch.device, options: TrainOptions) -> EncoderTrainer:
        encoder: AnyEncoder = model_file.build_encoder(
            network, special.encoder_base, special.encoder_hidden, options.seed
        )
        if isinstance(gan.encoder, ResidualEncoder):  # an encoder that was trained beside the game continues, by itself
            encoder = deepcopy(gan.encoder).requires_grad_(True)
        encoder.precision = choose_precision(options.precision, device)
        return EncoderTrainer(copy_to(gan, device), encoder.to(device), options, special, learnt, held_out)

    about = {"network": asdict(network), "encoder": asdict(special), "model": {"generator": fingerprint(gan)}}
    yield from run_training(trainer, learnt, folder, Subject("encoder", about), options, run, context)


def copy_to(gan: Gan, device: torch.device) -> Gan:
    """A copy of the two networks on a device."""
    generator, discriminator = deepcopy(gan.generator), deepcopy(gan.discriminator)
    for part in (generator, discriminator):
        if isinstance(part, nn.Module):
            part.to(device)
    return replace(gan, generator=generator, discriminator=discriminator)


def fingerprint(gan: Gan) -> str:
    """A digest that identifies a generator."""
    if not isinstance(gan.generator, nn.Module):
        raise TypeError(f"expected a generator with weights, not {type(gan.generator)}")
    digest = hashlib.sha256()
    for tensor in gan.generator.state_dict().values():
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


@final
class EncoderTrainer(NetworksTrainer):
    """An encoder, its optimiser and its running average; the generator stays as it is."""

    curves = CURVES

    def __init__(
        self,
        gan: Gan,
        encoder: AnyEncoder,
        options: TrainOptions,
        special: EncoderOptions,
        data: Dataset | None = None,
        held_out: Images | None = None,
    ) -> None:
        self.gan, self.options, self.special, self.data = gan, options, special, data
        self.device = next(encoder.parameters()).device
        self.generator = fuse(gan, encoder.precision).generator
        self.encoder = regression_network(encoder, options)
        self.networks = (self.encoder,)
        self.images_seen = 0
        samples = self._samples(range(JUDGED_SAMPLES), Stream.ENCODER_JUDGED_SAMPLES)[1]
        self.held_out = samples if held_out is None else held_out

    @property
    def real_images(self) -> int:
        """The number of real images in a step; samples of G fill the batch."""
        return round(self.special.real_share * self.options.batch_size) if self.data else 0

    def step(self, real: Images) -> dict[str, Tensor]:
        """Learn from a batch of real images and samples, each with a hole of its own.

        Returns, detached, mean absolute errors of the `image` and in the `hole`, values being in [-1, 1], and the mean
        squared one of the `latent`.
        """
        batch = range(self.images_seen, self.images_seen + self.options.batch_size)
        numbers = own_share(batch)
        images, known, latents = self._batch(real, numbers, *SAMPLES)
        samples = len(batch) - self.real_images
        errors = inversion_errors(self.generator, self.encoder.network, images, known, latents, samples)
        loss = errors["image"] + errors["hole"] + self.special.latent_weight * errors["latent"]
        descend_alone(self.encoder, self.options, loss, self.images_seen)
        self.images_seen = batch.stop
        return {name: error.detach() for name, error in errors.items()}

    def averaged_encoder(self, images: int = 2048) -> AnyEncoder:
        """A copy of the averaged encoder with statistics of its own, ready to use."""
        return frozen_average(self.encoder, self._statistics_batch, images)

    def summary(self, values: Mapping[str, Tensor]) -> Summary:
        """Held-out pictures completed by the averaged encoder and G."""
        encoder = fuse(replace(self.gan, encoder=self.averaged_encoder(512)), self.precision).encoder
        if encoder is None:
            raise TypeError("fusing an encoder leaves one")
        held_out = self.held_out.to(self.device)
        shown = score_completions(lambda images, known: self.generator(encoder(images, known)), held_out)
        return replace(shown, histograms={"z": encoder(held_out, torch.ones_like(held_out[:, :1]))})

    def models(self, about: Mapping[str, Any]) -> dict[str, Gan]:
        """The finished GAN with the averaged encoder."""
        facts = {**about, "options": asdict(self.options) | asdict(self.special)}
        encoder = self.averaged_encoder()
        encoder.precision = torch.float32
        return {"": replace(self.gan, encoder=encoder, about={**self.gan.about, "encoder": facts})}

    def _batch(
        self, real: Tensor, numbers: range, sample_stream: Stream, hole_stream: Stream
    ) -> tuple[Images, Known, Tensor]:
        """Real images, then samples; where all are known; the latents of the samples, whose numbers are the last."""
        latents, samples = self._samples(numbers[len(real) :], sample_stream)
        images = torch.cat([real, samples]) if len(real) else samples
        known = draw_known(images.shape[-1], numbers, self.options.seed, self.special.hole, hole_stream)
        return images, known.to(self.device), latents

    def _samples(self, numbers: range, stream: Stream) -> tuple[Latents, Images]:
        seeds = [stream.key(self.options.seed, number) for number in numbers]
        latents = self.gan.generator.prior.sample(seeds).to(self.device)
        if not numbers:
            return latents, latents.new_empty(0, self.gan.network.channels, *[self.gan.network.size] * 2)
        with torch.no_grad():
            return latents, self.generator(latents)

    def _statistics_batch(self, numbers: range) -> tuple[Tensor, ...]:
        real = torch.empty(0, 0, 0, 0)
        count = round(len(numbers) * self.special.real_share)
        if self.data and count:
            first = numbers.start // len(numbers) * count
            real = self.data.batch(first, count, seed=self.options.seed, flip=self.options.flip).to(self.device)
        return self._batch(real, numbers, *STATISTICS)[:2]


def inversion_errors(
    generator: Generator, encoder: Encoder, images: Images, known: Known, latents: Tensor, samples: int
) -> dict[str, Tensor]:
    """G(E(M * x, M)) against x, G being frozen; the last images are those of these `latents`.

    `samples` is how many such images the batch has, of which other processes may have more than this one.
    Returns means over the batch: the absolute errors of the `image` and in the `hole`, values being in [-1, 1], and the
    squared error of the `latent` of samples, which is known.
    """
    z = encoder(images, known)
    error = (generator(z) - images).abs().mean(1, keepdim=True)
    image_error, hole_error = error.mean(), weighted_mean(error, 1 - known)
    share = len(latents) * process_group().size / max(1, samples)
    sampled = z[len(images) - len(latents) :]
    latent_error = share * (sampled - latents).square().mean() if len(latents) else image_error.new_zeros(())
    return {"image": image_error, "hole": hole_error, "latent": latent_error}
