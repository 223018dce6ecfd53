"""The losses against the formulas of the post."""

import torch

from latentfill.training.losses import LOSSES, fake_loss, real_loss

REAL, FAKE = torch.tensor([-2.0, 0.0, 3.0], dtype=torch.float64), torch.tensor([1.0, -4.0, 0.5], dtype=torch.float64)


def test_non_saturating_is_the_posts_cross_entropy() -> None:
    loss = LOSSES["non-saturating"]
    d_real, d_fake = REAL.sigmoid(), FAKE.sigmoid()
    torch.testing.assert_close(loss.discriminator(REAL, FAKE), -d_real.log() - (1 - d_fake).log())
    torch.testing.assert_close(loss.generator(REAL, FAKE), -d_fake.log())


def test_its_two_halves_add_up() -> None:
    halves = real_loss(REAL) + fake_loss(FAKE)
    torch.testing.assert_close(halves, LOSSES["non-saturating"].discriminator(REAL, FAKE))


def test_sure_logits_cost_what_they_are_and_never_infinity() -> None:
    sure = torch.tensor([1000.0])
    assert fake_loss(sure).item() == 1000.0 and fake_loss(-sure).item() == 0.0


def test_minimax_is_the_games_own_formula() -> None:
    loss = LOSSES["minimax"]
    torch.testing.assert_close(loss.generator(REAL, FAKE), (1 - FAKE.sigmoid()).log())
    torch.testing.assert_close(loss.discriminator(REAL, FAKE), LOSSES["non-saturating"].discriminator(REAL, FAKE))


def test_relativistic_asks_which_of_the_two_is_real() -> None:
    loss = LOSSES["relativistic"]
    torch.testing.assert_close(loss.discriminator(REAL, FAKE), -(REAL - FAKE).sigmoid().log())
    torch.testing.assert_close(loss.generator(REAL, FAKE), -(FAKE - REAL).sigmoid().log())
    assert loss.pairs and not LOSSES["non-saturating"].pairs


def test_wasserstein_is_a_difference_of_means() -> None:
    loss = LOSSES["wasserstein"]
    assert float(loss.discriminator(REAL, FAKE).mean()) == float(FAKE.mean() - REAL.mean())
    assert torch.equal(loss.generator(REAL, FAKE), -FAKE)
