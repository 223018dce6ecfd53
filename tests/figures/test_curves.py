import numpy as np
import pytest

from latentfill.errors import RunError
from latentfill.figures.curves import draw, read, read_all, rolling, write

HEADER = "images_seen,discriminator_loss,generator_loss,real_logit,fake_logit,images_per_second"


def record(folder, rows=30, end=""):
    folder.mkdir(parents=True)
    lines = [HEADER] + [f"{640 * i},{1 / i:.8f},{0.1 * i:.8f},{i}.5,-{i}.25,99.00" for i in range(1, rows + 1)]
    (folder / "metrics.csv").write_bytes(("\r\n".join(lines) + "\r\n" + end).encode())
    return folder


def test_columns_are_read_by_name(tmp_path):
    metrics = read(record(tmp_path / "run"))
    assert metrics.name == "run"
    np.testing.assert_array_equal(metrics.images_seen[:3], [640, 1280, 1920])
    np.testing.assert_array_equal(metrics.columns["fake_logit"][:2], [-1.25, -2.25])


@pytest.mark.parametrize("end", ["1", "19840,0.3", "19840,0.3,2.9,31.5,-31.25,9"])
def test_half_a_last_line_is_left_out(tmp_path, end):
    assert len(read(record(tmp_path / "run", end=end)).images_seen) == 30


def test_a_rolling_average_of_a_constant_is_the_constant_to_the_ends():
    np.testing.assert_allclose(rolling(np.arange(50.0), np.full(50, 3.7), 11.0), 3.7)


def test_a_rolling_average_is_the_mean_of_the_window_and_of_what_there_is_at_the_ends():
    values = np.random.default_rng(0).normal(size=40)
    smooth = rolling(np.arange(40.0) * 640, values, 4 * 640.0)
    assert smooth[20] == pytest.approx(values[18:23].mean())
    assert smooth[0] == pytest.approx(values[:3].mean())
    assert smooth[-1] == pytest.approx(values[-3:].mean())


def test_the_window_is_in_images_not_rows():
    seen = np.array([0.0, 10, 20, 1000, 1010])
    np.testing.assert_allclose(rolling(seen, np.array([1.0, 2, 3, 10, 20]), 40.0), [2, 2, 2, 15, 15])


def test_a_window_shorter_than_a_row_changes_nothing():
    values = np.random.default_rng(1).normal(size=9)
    np.testing.assert_allclose(rolling(np.arange(9.0), values, 0.5), values)


def test_values_that_are_not_finite_are_left_out():
    smooth = rolling(np.arange(7.0), np.array([1.0, np.nan, 3, np.inf, 5, np.nan, np.nan]), 2.0)
    np.testing.assert_allclose(smooth, [1, 2, 3, 4, 5, 5, np.nan])


def test_the_figure_has_faint_values_and_their_average(tmp_path):
    losses, logits = draw([read(record(tmp_path / "run"))]).axes
    assert losses.get_title("left") == "Loss"
    assert [text.get_text() for text in losses.get_legend().get_texts()] == ["D", "G"]
    faint, average = losses.lines[:2]
    assert faint.get_alpha() < 0.5
    assert average.get_linewidth() > faint.get_linewidth()
    assert [text.get_text() for text in logits.get_legend().get_texts()] == ["real", "generated"]
    assert logits.xaxis.get_major_formatter()(600_000) == "600,000"


def test_a_spike_does_not_flatten_the_rest(tmp_path):
    run = read(record(tmp_path / "run", rows=200))
    run.columns["generator_loss"][150] = 1e6
    assert draw([run]).axes[0].get_ylim()[1] < 100


@pytest.mark.parametrize("rows", [1, 2])
def test_the_first_rows_of_a_run_can_be_drawn(tmp_path, rows):
    (path,) = write([read(record(tmp_path / "run", rows))], tmp_path, ("png",))
    assert path.stat().st_size > 1000


def test_a_run_that_broke_down_can_be_drawn(tmp_path):
    run = read(record(tmp_path / "run"))
    run.columns["generator_loss"][:] = np.nan
    assert list(write([run], tmp_path, ("png",)))


def test_several_runs_are_told_apart_by_as_much_of_their_paths_as_it_takes(tmp_path):
    runs = [record(tmp_path / where) for where in ("a/run", "b/run", "b/other")]
    metrics = read_all(runs)
    assert [m.name for m in metrics] == ["a/run", "b/run", "b/other"]
    figure = draw(metrics)
    assert len(figure.axes) == 4
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a/run", "b/run", "b/other"]


def test_text_stays_text_and_the_file_is_the_same_each_time(tmp_path):
    run = read(record(tmp_path / "run"))
    one = list(write([run], tmp_path / "1", ("pdf", "svg")))
    two = list(write([run], tmp_path / "2", ("pdf", "svg")))
    assert "images seen</text>" in one[1].read_text()
    assert b"/Type3" not in one[0].read_bytes()
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_no_metrics_no_rows_no_columns_and_damaged_lines_are_said(tmp_path):
    with pytest.raises(RunError, match=r"none/metrics\.csv: there is none"):
        read(tmp_path / "none")
    with pytest.raises(RunError, match=r"empty/metrics\.csv has no rows yet"):
        read(record(tmp_path / "empty", rows=0))
    strange = record(tmp_path / "strange")
    (strange / "metrics.csv").write_text("step,loss\n1,2\n")
    with pytest.raises(RunError, match="no column images_seen, discriminator_loss"):
        read(strange)
    damaged = record(tmp_path / "damaged", end="abc,def\r\n")
    with pytest.raises(RunError, match=r"line 32 is damaged: 'abc,def'"):
        read(damaged)
    (damaged / "metrics.csv").write_bytes(b"")
    with pytest.raises(RunError, match="no rows yet"):
        read(damaged)


@pytest.mark.parametrize("losses", [["image_l1", "hole_l1", "latent_mse"], ["hole_mse", "discriminator_loss"]])
def test_encoders_are_drawn_with_their_scores_where_they_were_measured(tmp_path, losses):
    run = tmp_path / "run"
    run.mkdir()
    head = ["images_seen", *losses, "psnr_center", "psnr_half"]
    lines = [",".join(head)]
    for i in range(1, 31):
        lines.append(",".join([str(i), *["0.5"] * len(losses), *(["20.5", "17.5"] if i % 10 == 0 else ["", ""])]))
    (run / "metrics.csv").write_text("\n".join(lines) + "\n")
    metrics = read(run)
    _, scores = draw([metrics]).axes
    assert scores.get_title("left").startswith("PSNR")
    assert [text.get_text() for text in scores.get_legend().get_texts()] == ["center", "half"]
    assert all(list(line.get_xdata()) == [10, 20, 30] for line in scores.lines)
    assert len(draw([metrics, read(run, "other")]).axes) == len(metrics.columns)
    with pytest.raises(RunError, match="different kinds"):
        draw([metrics, read(record(tmp_path / "gan"))])
