import pydantic
import pytest

from latentfill.options import CompleteOptions, PhotoOptions
from latentfill.options.validation import check_bounds


def test_a_type_is_prepared_for_validation_once(monkeypatch):
    check_bounds(PhotoOptions(), CompleteOptions())
    monkeypatch.setattr(pydantic, "TypeAdapter", None)
    check_bounds(PhotoOptions(place="center"), CompleteOptions(steps=3))


def test_what_is_out_of_bounds_is_named():
    with pytest.raises(ValueError, match=r"option steps: .*greater than or equal to .*, not -1"):
        check_bounds(PhotoOptions(), CompleteOptions(steps=-1))
