"""A GAN of many classes, asked for one, is a plain one with the same answers."""

from dataclasses import replace

import pytest
import torch

from latentfill.errors import ModelError
from latentfill.gan.gan import Gan
from latentfill.gan.model_file import build
from latentfill.gan.residual import class_names, select_class, usual_class
from latentfill.options import NetworkOptions


def many(kernels: int = 0) -> Gan:
    network = NetworkOptions(size=8, latent=5, networks="residual", classes=3, minibatch_kernels=kernels)
    return replace(build(network, 1), about={"classes": {"cats": 4, "dogs": 9, "owls": 2}})


@pytest.mark.parametrize("kernels", [0, 4])
@pytest.mark.parametrize("number, name", list(enumerate(["cats", "dogs", "owls"])))
def test_one_class_is_the_same_function_as_asking_for_it(number: int, name: str, kernels: int) -> None:
    gan = many(kernels)
    one = select_class(gan, name)
    z = gan.generator.prior.sample(range(4))
    labels = torch.full((4,), number)
    images = gan.generator(z, labels)  # type: ignore[call-arg]
    torch.testing.assert_close(one.generator(z), images, atol=1e-5, rtol=1e-4)
    judged = gan.discriminator(images, labels)  # type: ignore[call-arg]
    torch.testing.assert_close(one.discriminator(images), judged, atol=1e-4, rtol=1e-4)
    assert (gan.generator(z, (labels + 1) % 3) - images).abs().max() > 0.01  # type: ignore[call-arg]
    assert one.network.classes == 0 and class_names(one) == []


def test_the_usual_class_is_that_of_most_pictures() -> None:
    gan = many()
    assert class_names(gan) == ["cats", "dogs", "owls"] and usual_class(gan) == "dogs"
    z = gan.generator.prior.sample(range(2))
    assert torch.equal(select_class(gan).generator(z), select_class(gan, "dogs").generator(z))
    plain = build(NetworkOptions(size=8, base=4))
    assert select_class(plain) is plain


@pytest.mark.parametrize("gan, what", [(many(), "cats, dogs, owls"), (build(NetworkOptions(size=8, base=4)), "none")])
def test_an_unknown_class_is_named(gan: Gan, what: str) -> None:
    with pytest.raises(ModelError, match=f"no class 'apes'.*{what}"):
        select_class(gan, "apes")
