"""Every stream of random numbers has one user."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

import latentfill
from latentfill.seeds import Stream, philox

ROOT = Path(latentfill.__file__).parent


def users() -> dict[str, set[str]]:
    found = defaultdict(set)
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "Stream":
                found[node.attr].add(path.relative_to(ROOT).as_posix())
    return found


def test_every_stream_has_a_user_and_none_has_two() -> None:
    found = users()
    assert set(found) == set(Stream.__members__)
    assert not {name: files for name, files in found.items() if len(files) > 1}


def test_nobody_else_makes_generators() -> None:
    elsewhere = {path.name for path in ROOT.rglob("*.py") if "Philox(key=" in path.read_text()}
    assert elsewhere == {"seeds.py", "augment.py"}  # which sets the counter


@pytest.mark.parametrize("area", sorted({stream.value[0] for stream in Stream}))
def test_keys_of_an_area_never_meet(area: str) -> None:
    streams = [stream for stream in Stream if stream.value[0] == area]
    keys = [stream.key(seed, n) for stream in streams for seed in (0, 1, 2**16) for n in (0, 1, 2**64 - 1)]
    assert len(set(keys)) == len(keys) and max(keys) < 2**128


def test_keys_are_those_that_results_were_made_with() -> None:
    assert Stream.LATENTS.key(3, 5) == (3 << 72) + (1 << 64) + 5
    assert Stream.HOLES.key(number=7) == (0x686F6C65 << 64) + 7
    assert philox(2**70).random() == philox(2**70).random() != philox(0).random()
