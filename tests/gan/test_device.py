"""Which device and precision a word means, and what is said when there is none."""

import pytest
import torch

from latentfill.errors import LatentfillError
from latentfill.gan.device import choose_device, choose_precision, has_bf16


def test_auto_is_a_device_that_computes() -> None:
    torch.zeros(1, device=choose_device("auto")).item()
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["banana", "", "cpu:x", "meta", "cuda:99"])
def test_a_device_that_is_not_there_is_named_with_a_cure(name: str) -> None:
    with pytest.raises(LatentfillError, match=f"device '{name}' cannot be used: .+\nTry --device auto") as caught:
        choose_device(name)
    assert "\n" not in caught.value.what


def test_precision_is_what_is_asked_for_and_auto_what_the_processor_has() -> None:
    cpu = torch.device("cpu")
    assert choose_precision("fp32", cpu) is torch.float32
    assert choose_precision("bf16", cpu) is torch.bfloat16
    assert choose_precision("auto", cpu) is (torch.bfloat16 if has_bf16(cpu) else torch.float32)
    assert not has_bf16(torch.device("meta"))
