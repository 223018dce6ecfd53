import io

import pytest
from PIL import Image

from latentfill.errors import HoleError
from latentfill.jobs.reader import _given
from latentfill.options import ReadLimits


def test_a_hole_that_came_with_its_picture_is_within_the_limits_that_were_given():
    file = io.BytesIO()
    Image.new("L", (40, 30), 255).save(file, "PNG")
    assert _given(file.getvalue(), (30, 40), "a", ReadLimits(), invert=False).all()
    with pytest.raises(HoleError, match=r"a: its hole: 40 x 30 = 1,200 pixels, more than the limit of 1,000"):
        _given(file.getvalue(), (30, 40), "a", ReadLimits(max_pixels=1000), invert=False)
