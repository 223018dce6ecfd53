import json
from dataclasses import asdict

import pytest
import torch
from pydantic import TypeAdapter

from latentfill.uncertainty.calibration import RidgeRegression, fit_ridge


def numbers(rows=400):
    rng = torch.Generator().manual_seed(0)
    return {"a": 5 + 2 * torch.randn(rows, generator=rng), "b": 0.1 * torch.randn(rows, generator=rng)}


@pytest.mark.parametrize("products", [False, True])
def test_what_is_linear_is_found(products):
    x = numbers()
    wanted = 3 + 2 * x["a"] - 7 * x["b"] + (0.5 * x["a"] ** 2 - x["a"] * x["b"] if products else 0)
    line = fit_ridge(x, ("a", "b"), wanted, products=products)
    off = line(x) - wanted
    assert off.square().mean().sqrt() < 0.01 * wanted.std()


def test_features_that_are_the_same_share_their_weight():
    x = numbers()
    line = fit_ridge({**x, "c": x["a"]}, ("a", "c"), x["a"])
    assert line.weights[1] == pytest.approx(line.weights[2], rel=1e-3) and abs(line.weights[1]) < 2


def test_far_beyond_what_was_seen_it_stays_where_it_was():
    x = numbers()
    line = fit_ridge(x, ("a",), x["a"])
    far = line({"a": torch.tensor([-1e9, 1e9])})
    reach = x["a"].max() - x["a"].min()
    assert far[0] == pytest.approx((x["a"].min() - 0.25 * reach).item(), rel=1e-2)
    assert far[1] == pytest.approx((x["a"].max() + 0.25 * reach).item(), rel=1e-2)


def test_it_takes_numbers_of_any_shape_and_comes_back_from_json():
    x = numbers()
    line = fit_ridge(x, ("b", "a"), x["a"], products=True)
    again = TypeAdapter(RidgeRegression).validate_json(json.dumps(asdict(line)))
    assert again == line
    maps = {name: values.view(4, 1, 10, 10) for name, values in x.items()}
    assert torch.equal(again(maps).flatten(), line(x))


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="5 weights cannot be fitted to 5 rows"):
        fit_ridge(numbers(5), ("a", "b"), numbers(5)["a"], products=True)
