"""Labels are the names of folders."""

import numpy as np
import pytest

from latentfill.errors import DataError
from latentfill.runs.data import Dataset, label_by_folder


def named(*names: str) -> Dataset:
    pixels = np.zeros((len(names), 8, 8, 3), np.uint8) + np.arange(len(names), dtype=np.uint8)[:, None, None, None]
    return Dataset(pixels, names, [])


def test_a_picture_has_the_class_of_its_first_folder() -> None:
    data = label_by_folder(named("owls/a.png", "cats/b/c.png", "more.tar/owls/d.png", "owls/e.zip/f.png"))
    assert data.classes == {"cats": 1, "owls": 3} and data.labels is not None
    assert data.labels.tolist() == [1, 0, 1, 1]


@pytest.mark.parametrize(
    "names, what", [(("a/1.png", "2.png", "b/3.png"), "2.png"), (("a/1.png", "a/2.png"), "folder a")]
)
def test_pictures_that_cannot_be_told_apart_are_named(names: tuple[str, ...], what: str) -> None:
    with pytest.raises(DataError, match=what):
        label_by_folder(named(*names))


def test_a_batch_has_the_labels_of_its_pictures() -> None:
    data = label_by_folder(named(*(f"{'ab'[i % 2]}/{i}.png" for i in range(7))))
    images, labels = data.batch(5, 9, seed=3, flip=True), data.batch_labels(5, 9, seed=3)
    assert labels is not None
    assert labels.tolist() == [round((float(image.mean()) + 1) * 127.5) % 2 for image in images]
    assert named("a/1.png").batch_labels(0, 1, seed=0) is None
