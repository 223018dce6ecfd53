import numpy as np
import torch

from latentfill.images.pixels import batch_to_images
from latentfill.runs.data import Dataset
from latentfill.runs.validation import Neighbours

PIXELS = np.random.Generator(np.random.Philox(key=1)).integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
DATA = Dataset(PIXELS, [str(i) for i in range(30)], [])


def test_a_copy_is_found_mirrored_too_and_shown_as_the_sample_is() -> None:
    originals = batch_to_images(PIXELS[[3, 17]])
    asked = torch.stack([originals[0] * 0.99, originals[1].flip(-1)])
    found = Neighbours(DATA).nearest(asked)
    assert torch.equal(found.images, torch.stack([originals[0], originals[1].flip(-1)]))
    assert found.distances[0] < 0.01 and found.distances[1] == 0


def test_unseen_pictures_tell_what_is_usual_and_without_any_training_pictures_but_for_themselves() -> None:
    near = Neighbours(DATA)
    unseen = torch.zeros(8, 3, 8, 8)
    assert torch.allclose(near.usual_distance(unseen, 8), near.nearest(unseen).distances)
    own = near.usual_distance(None, 10)
    assert len(own) == 10 and bool((own > 0.3).all()) and bool(own.isfinite().all())
