import weakref
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from latentfill.completion.objective import CompletionLoss
from latentfill.completion.search import Step, adam, nesterov, search
from latentfill.gan.gan import UniformPrior
from latentfill.images.incomplete import Incomplete


@dataclass
class Linear:
    """G(z) = W z: a generator whose inverse is known."""

    prior: UniformPrior = field(default_factory=lambda: UniformPrior(5))
    side: int = 4

    def __post_init__(self):
        rng = torch.Generator().manual_seed(0)
        self.weight = torch.randn(3 * self.side**2, self.prior.dim, generator=rng) / 4

    def __call__(self, z):
        return (z @ self.weight.T).view(-1, 3, self.side, self.side)


@dataclass
class LinearDiscriminator:
    """D(x) = u x, as a logit."""

    weight: torch.Tensor

    def __call__(self, images):
        return images.flatten(1) @ self.weight


def a_search(optimizer, *, steps, lam=5.0, start_scale=1.0):
    """Two latents on their way, and their loss and its gradient written out in NumPy."""
    generator = Linear()
    discriminator = LinearDiscriminator(torch.linspace(-1, 1, 48))
    known = torch.ones(2, 1, 4, 4)
    known[..., 1:3, 1:3] = 0
    incomplete = Incomplete(generator(generator.prior.sample([1, 2])), known)
    z0 = generator.prior.sample([7, 8]) * start_scale
    objective = CompletionLoss(incomplete, discriminator, lam=lam)
    w, u = generator.weight.double().numpy(), discriminator.weight.double().numpy()
    m, y = (np.broadcast_to(t, (2, 3, 4, 4)).reshape(2, -1).astype(float) for t in (known, incomplete.images))

    def gradient(zhats):
        drawn = zhats @ w.T
        from_perceptual = -1 / (1 + np.exp(drawn @ u))  # of softplus(-logit)
        return (m * np.sign(m * drawn - m * y) + lam * from_perceptual[:, None] * u) @ w

    found = list(search(generator, objective, z0, steps=steps, optimizer=optimizer))
    return found, z0.double().numpy(), gradient


def test_nesterov_is_the_update_of_the_post():
    found, zhats, gradient = a_search(nesterov(0.01, 0.9), steps=30)
    v, lr, momentum, clipped = 0, 0.01, 0.9, False
    for step in found:
        np.testing.assert_allclose(step.z, zhats, atol=2e-5)
        g = gradient(zhats)
        v_prev = np.copy(v)
        v = momentum * v - lr * g
        zhats += -momentum * v_prev + (1 + momentum) * v
        clipped |= bool((np.abs(zhats) > 1).any())
        zhats = np.clip(zhats, -1, 1)
    assert clipped


def test_adam_is_the_update_of_the_repository():
    settings = dict(learning_rate=0.05, beta1=0.8, beta2=0.95, epsilon=1e-3)
    found, zhats, gradient = a_search(adam(**settings), steps=30)
    lr, beta1, beta2, eps = settings.values()
    m = v = 0
    clipped = False
    for i, step in enumerate(found):
        np.testing.assert_allclose(step.z, zhats, atol=2e-5)
        g = gradient(zhats)
        m_prev, v_prev = np.copy(m), np.copy(v)
        m = beta1 * m_prev + (1 - beta1) * g
        v = beta2 * v_prev + (1 - beta2) * np.multiply(g, g)
        m_hat = m / (1 - beta1 ** (i + 1))
        v_hat = v / (1 - beta2 ** (i + 1))
        zhats += -np.true_divide(lr * m_hat, (np.sqrt(v_hat) + eps))
        clipped |= bool((np.abs(zhats) > 1).any())
        zhats = np.clip(zhats, -1, 1)
    assert clipped  # and the moments never were


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (adam(0.05, 0.8, 0.95, 1e-6), lambda z: torch.optim.Adam([z], 0.05, (0.8, 0.95), 1e-6)),
        (nesterov(0.05, 0.9), lambda z: torch.optim.SGD([z], 0.05, momentum=0.9, nesterov=True)),
        (nesterov(0.05, 0.0), lambda z: torch.optim.SGD([z], 0.05)),
    ],
)
def test_a_descent_is_to_the_bit_that_of_torch_also_when_rows_are_dropped(ours, theirs):
    rng = torch.Generator().manual_seed(0)
    z = torch.randn(4, 7, generator=rng)
    same, descent = z.clone(), ours()
    optimizer = theirs(z)
    for number in range(20):
        gradient, factor = torch.randn(4, 7, generator=rng), 1 / (1 + number)
        z.grad = gradient.clone()
        optimizer.param_groups[0]["lr"] = 0.05 * factor
        optimizer.step()
        if number >= 10:
            gradient = gradient[[0, 2]]
        if number == 10:
            same = same[[0, 2]]
            descent.select(torch.tensor([0, 2]))
        descent.step(same, gradient, factor)
        assert torch.equal(same, z if number < 10 else z[[0, 2]])


def test_without_momentum_nesterov_is_plain_descent():
    found, z0, gradient = a_search(nesterov(0.01, 0.0), steps=1)
    np.testing.assert_allclose(found[1].z, np.clip(z0 - 0.01 * gradient(z0), -1, 1), atol=1e-6)


def test_every_step_is_yielded_the_start_included_and_keeps_what_it_was():
    found, z0, _ = a_search(adam(), steps=5)
    assert [step.number for step in found] == list(range(6))
    np.testing.assert_array_equal(found[0].z, z0.astype(np.float32))
    generator = Linear()
    for step in found:
        torch.testing.assert_close(step.images, generator(step.z))
        torch.testing.assert_close(step.loss, step.terms["contextual"] + step.terms["perceptual"])
        assert not (step.z.requires_grad or step.images.requires_grad or step.loss.requires_grad)


def test_the_start_is_not_moved():
    z0 = torch.zeros(1, 5)
    incomplete = Incomplete(torch.ones(1, 3, 4, 4), torch.ones(1, 1, 4, 4))
    objective = CompletionLoss(incomplete, LinearDiscriminator(torch.zeros(48)))
    *_, last = search(Linear(), objective, z0, steps=3, optimizer=adam())
    assert z0.abs().sum() == 0 and last.z.abs().sum() > 0


@dataclass
class Watched:
    """A generator that remembers how it was called, and whether what it computed is still alive."""

    prior: UniformPrior = field(default_factory=lambda: UniformPrior(2))
    differentiated: list[bool] = field(default_factory=list)
    hidden: weakref.ref | None = None

    def __call__(self, z):
        hidden = z.repeat(1, 24).view(-1, 3, 4, 4) * 2
        self.hidden = weakref.ref(hidden)
        self.differentiated.append(torch.is_grad_enabled() and z.requires_grad)
        return hidden * hidden  # its backward needs hidden


def to_zero(z, images):
    return {"only": images.square().sum((1, 2, 3))}


def test_the_last_step_is_not_differentiated():
    generator = Watched()
    list(search(generator, to_zero, torch.ones(1, 2), steps=3, optimizer=adam()))
    assert generator.differentiated == [True, True, True, False]


def test_nothing_of_a_step_is_kept_while_the_caller_looks_at_it():
    generator = Watched()
    for _ in search(generator, to_zero, torch.ones(1, 2), steps=3, optimizer=adam()):
        assert generator.hidden() is None


def test_a_search_works_where_gradients_are_switched_off():
    with torch.no_grad():
        *_, last = search(Watched(), to_zero, torch.ones(1, 2), steps=3, optimizer=adam(0.1))
    assert last.z.max() < 0.8


def test_a_broken_latent_does_not_harm_its_neighbours():
    z0 = torch.tensor([[0.5, 0.5], [float("nan"), 0.5]])
    *_, last = search(Watched(), to_zero, z0, steps=5, optimizer=adam())
    *_, alone = search(Watched(), to_zero, z0[:1], steps=5, optimizer=adam())
    assert torch.equal(last.z[:1], alone.z)


def test_the_loss_of_a_step_is_the_sum_of_its_terms():
    terms = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([10.0, 20.0])}
    assert Step(0, torch.zeros(2, 1), torch.zeros(2, 3, 1, 1), terms).loss.tolist() == [11, 22]


@pytest.mark.parametrize("optimizer", [adam(), nesterov()])
def test_no_step_is_one_look_at_the_start(optimizer):
    (only,) = search(Watched(), to_zero, torch.ones(1, 2), steps=0, optimizer=optimizer)
    assert only.number == 0 and only.z.tolist() == [[1, 1]]
