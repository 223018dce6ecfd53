import numpy as np
import pytest

from latentfill.images.hole_pictures import interpret_array


@pytest.mark.parametrize(("count", "says"), [(1, "1 pixel is grey"), (2, "2 pixels are grey")])
def test_notes_count_in_plain_words(count, says):
    hole = np.zeros((20, 20), np.uint8)
    hole[5:10, 5:10] = 255
    hole[10, 5 : 5 + count] = 100
    assert interpret_array(hole).notes == (
        f"{says} (below 128) and {'stays as it is' if count == 1 else 'stay as they are'}: widening the hole by 1 "
        f"(--grow 1) fills those at its edge, too",
    )


@pytest.mark.parametrize("kind", [np.uint8, bool])
def test_an_array_that_is_nearly_all_hole_is_asked_about(kind):
    hole = np.ones((20, 20), np.uint8)
    hole[8:10, 8:10] = 0
    (note,) = interpret_array((255 * hole).astype(kind)).notes
    assert "are white and black exchanged?" in note
