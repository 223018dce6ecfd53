"""Which device and precision a word means, and what is said when there is none."""

from pathlib import Path

import pytest
import torch

from latentfill.device import bf16_pays, choose_device, choose_precision, has_bf16, is_intel
from latentfill.errors import LatentfillError


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
    assert choose_precision("auto", cpu) is (torch.bfloat16 if bf16_pays(cpu) else torch.float32)
    assert not has_bf16(torch.device("meta"))


@pytest.mark.parametrize(("avx512", "amx", "intel", "pays"), [
    (True, True, True, True),
    (True, False, True, False),  # a virtual machine that hides AMX
    (True, False, False, True),
    (False, False, False, False),
    (False, False, True, False),
])  # fmt: skip
def test_bf16_is_chosen_only_where_it_is_faster(
    monkeypatch: pytest.MonkeyPatch, avx512: bool, amx: bool, intel: bool, pays: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr("latentfill.device.is_intel", lambda: intel)
    cpu = torch.device("cpu")
    assert bf16_pays(cpu) is pays
    assert choose_precision("auto", cpu) is (torch.bfloat16 if pays else torch.float32)
    assert choose_precision("bf16", cpu) is torch.bfloat16  # who asks for it gets it


def test_the_maker_is_read_from_what_the_system_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "cpuinfo"
    told.write_bytes(b"processor: 0\nvendor_id\t: GenuineIntel\nmodel name\t: \xff\n")
    assert is_intel(told)
    told.write_text("vendor_id\t: AuthenticAMD\n")
    assert not is_intel(told)
    monkeypatch.setattr("platform.processor", lambda: "Intel64 Family 6 Model 85 Stepping 7, GenuineIntel")
    assert is_intel(tmp_path / "none")
