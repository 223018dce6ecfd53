import numpy as np
import pytest
from PIL import Image

from latentfill.figures import post as distributions


def test_the_density_integrates_to_one_and_is_the_normals():
    x = np.arange(-8, 8, 0.001)
    assert np.sum(distributions.normal(x)) * 0.001 == pytest.approx(1)
    assert distributions.normal(np.array(0.0)) == pytest.approx(0.3989423)
    assert distributions.normal(np.array(1.0)) == pytest.approx(0.2419707)


def test_given_x_the_most_probable_y_is_marked_at_the_mean():
    plane, along = distributions.most_probable().axes
    (point,) = [line.get_xydata()[0] for line in plane.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(point, (1, 0), atol=1e-9)
    curve = along.lines[0].get_xydata()
    assert curve[:, 1].max() == pytest.approx(0.2419707 * 0.3989423)


def test_the_samples_are_those_of_the_post_in_number_and_limits():
    figure = distributions.samples()
    assert tuple(figure.get_size_inches()) == (7, 3)
    (axes,) = figure.axes
    assert axes.get_xlim() == (-3, 3)
    assert len(axes.lines[0].get_xdata()) == 35
    assert len(distributions.two_dimensions().axes[0].lines[0].get_xdata()) == 200


def test_four_files_are_written_the_same_each_time_without_touching_the_global_generator(tmp_path):
    before = np.random.get_state()[1].tolist()
    first = list(distributions.draw_distributions(tmp_path / "a", ("png", "svg")))
    second = list(distributions.draw_distributions(tmp_path / "b", ("png", "svg")))
    assert np.random.get_state()[1].tolist() == before
    assert [path.name for path in first if path.suffix == ".png"] == [
        "normal-pdf.png",
        "normal-samples.png",
        "normal-2d.png",
        "normal-2d-slice.png",
    ]
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes()
    assert Image.open(first[2]).size == (1050, 450)
