from dataclasses import replace

import pytest

from latentfill.errors import LatentfillError
from latentfill.options import COMPLETE_PRESETS, CompleteOptions
from latentfill.web.device_tasks import count_gradients


@pytest.mark.parametrize(
    ("options", "warm", "count"),
    [
        (CompleteOptions(), False, 1000),
        (COMPLETE_PRESETS["best"], True, 40),
        (COMPLETE_PRESETS["best"], False, 140),
        (CompleteOptions("hmc", 20), False, 2000),
    ],
)
def test_what_a_search_costs_is_known_before(options, warm, count):
    assert count_gradients(options, warm=warm) == count


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"steps": 2001}, "2,001 steps"),
        ({"method": "hmc", "steps": 21}, "2,100 steps"),
        ({"attempts": 33}, "attempts"),
        ({"candidates": 9}, "candidates"),
        ({"window": 35}, "window"),
    ],
)
def test_what_would_fill_the_device_is_refused(request_of, changed, told):
    with pytest.raises(LatentfillError, match=told):
        request_of(0, replace(CompleteOptions(), **changed)).check_cost(2000)


def test_a_crowd_is_refused(request_of):
    crowd = request_of(0, replace(CompleteOptions(), attempts=32))
    squares = crowd.placed.cut.placements * 5
    crowd = replace(crowd, placed=replace(crowd.placed, cut=replace(crowd.placed.cut, placements=squares)))
    with pytest.raises(LatentfillError, match="160 searches"):
        crowd.check_cost(2000)
    request_of(0, replace(CompleteOptions(), attempts=32, candidates=8)).check_cost(2000)
