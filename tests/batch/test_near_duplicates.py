import csv
import io

import numpy as np
import pytest
from PIL import Image

from latentfill.batch.near_duplicates import NEAR, STEPS, groups, signature, write_duplicates


def picture(i, size=64):
    """Soft blobs, other ones for every number."""
    rng = np.random.Generator(np.random.Philox(key=i))
    small = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
    return np.asarray(small.resize((size, size), Image.Resampling.BICUBIC))


def jpeg(pixels, quality):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def distance(a, b):
    return np.linalg.norm(signature(a).astype(float) - signature(b)) / STEPS


@pytest.mark.parametrize(
    "change",
    [
        lambda p: jpeg(p, 50),
        lambda p: np.asarray(Image.fromarray(p).resize((128, 128), Image.Resampling.BICUBIC)),
        lambda p: np.asarray(Image.fromarray(p).resize((32, 32), Image.Resampling.BOX)),
        lambda p: (p * 0.7 + 30).astype(np.uint8),
        lambda p: np.clip(p.astype(int) + np.arange(3) * 8, 0, 255).astype(np.uint8),
    ],
    ids=["jpeg", "larger", "smaller", "paler", "colder"],
)
def test_the_same_photograph_is_near_and_another_is_far(change):
    for i in range(20):
        assert distance(picture(i), change(picture(i))) < NEAR / 2
        assert distance(picture(i), picture(i + 1)) > 3 * NEAR


def test_a_mirrored_picture_is_no_duplicate():
    assert distance(picture(0), picture(0)[:, ::-1].copy()) > NEAR


@pytest.mark.parametrize("count", [700, 3000])
def test_groups_are_those_of_all_pairs(count):
    rng = np.random.Generator(np.random.Philox(key=5))
    points = rng.normal(0, 50, (count, 64))
    points[200:300] = points[:100] + rng.normal(0, 3, (100, 64))  # pairs
    points[300:350] = points[:50] + rng.normal(0, 3, (50, 64))  # threes
    points[400:500] = points[400]  # the very same
    signatures = np.clip(np.round(points), -127, 127).astype(np.int8)
    differences = (np.linalg.norm(signatures.astype(np.float32) - one, axis=1) for one in signatures)
    expected = [i for i, difference in enumerate(differences) if (difference < NEAR * STEPS).sum() > 1]
    found = groups(signatures)
    assert sorted(i for group in found for i in group) == expected
    assert [i for i in found[0] if i] == [200, 300] and list(range(400, 500)) in found
    assert len(found) == 101 and all(group == sorted(group) for group in found)


def test_two_of_three_crops_are_found():
    for i in range(30):
        rng = np.random.Generator(np.random.Philox(key=i))
        one, other = rng.normal(0, 40, (2, 64))
        three = np.stack([one, other, one + rng.normal(0, 8, 64)]).round().clip(-127, 127)
        assert groups(three.astype(np.int8)) == [[0, 2]]


def test_plain_and_few_pictures_have_groups_too():
    plain = signature(np.full((64, 64, 3), 7, np.uint8))
    assert not plain.any()
    assert groups(np.stack([plain, signature(picture(1)), plain])) == [[0, 2]]
    assert groups(np.zeros((1, 64), np.int8)) == [] == groups(np.zeros((0, 64), np.int8))
    assert signature(picture(1, 8)).shape == (64,)


def test_the_table_names_each_group(tmp_path):
    a, b = (signature(picture(i)).tobytes().hex() for i in (1, 2))
    crops = {tmp_path / "x" / "1.png": a, tmp_path / "2.png": b, tmp_path / "3.png": a}
    assert write_duplicates(tmp_path / "t.csv", crops, tmp_path) == [["x/1.png", "3.png"]]
    rows = list(csv.reader((tmp_path / "t.csv").open()))
    assert rows == [["group", "path"], ["1", "x/1.png"], ["1", "3.png"]]
    assert write_duplicates(tmp_path / "t.csv", {}, tmp_path) == []
