import numpy as np
import pytest
from PIL import Image, ImageSequence

from latentfill.errors import ImageError
from latentfill.figures.gif import write_gif


def read(path):
    with Image.open(path) as gif:
        return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(gif)]


def noise(seed, height=20, width=30):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def smooth(shift):
    y, x = np.mgrid[:40, :60]
    return np.stack([x * 4, y * 6, np.full_like(x, shift)], axis=2).astype(np.uint8)


def test_frames_of_few_colours_come_back_to_the_bit(tmp_path):
    few = noise(0)[0, :4]
    frames = [few[np.random.default_rng(i).integers(0, 4, (17, 23))] for i in range(5)]
    write_gif(tmp_path / "a.gif", frames)
    back = read(tmp_path / "a.gif")
    assert len(back) == 5
    for before, after in zip(frames, back, strict=True):
        np.testing.assert_array_equal(after, before)


def test_a_rare_colour_is_not_lost_to_sampling(tmp_path):
    frame = np.zeros((300, 300, 3), np.uint8)
    frame[123, 45] = 255, 0, 7
    write_gif(tmp_path / "a.gif", [frame])
    np.testing.assert_array_equal(read(tmp_path / "a.gif")[0], frame)


def test_frames_of_many_colours_come_back_nearly(tmp_path):
    frames = [smooth(shift) for shift in (0, 120, 250)]
    write_gif(tmp_path / "a.gif", frames)
    for before, after in zip(frames, read(tmp_path / "a.gif"), strict=True):
        assert np.abs(before.astype(int) - after).mean() < 12


def test_a_background_among_many_colours_is_kept_to_the_bit(tmp_path):
    frames = [np.full((40, 60, 3), (254, 253, 255), np.uint8) for _ in range(2)]
    frames[1][:20, :30] = 225 + noise(3)[:, :30] // 9  # much that is nearly white
    write_gif(tmp_path / "a.gif", frames)
    back = read(tmp_path / "a.gif")
    np.testing.assert_array_equal(back[0], frames[0])
    np.testing.assert_array_equal(back[1][20:], frames[1][20:])


@pytest.mark.parametrize("frames", [[1, 1, 1, 1], [1, 1, 2, 1], [1, 2, 3, 2]])
def test_every_frame_has_its_time_and_the_file_plays_for_ever(tmp_path, frames):
    write_gif(tmp_path / "a.gif", [noise(seed) for seed in frames], seconds_per_frame=0.25)
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.info["loop"] == 0
        assert sum(frame.info["duration"] for frame in ImageSequence.Iterator(gif)) == 1000


@pytest.mark.parametrize("shape", [(1, 1), (15, 15), (16, 16), (64, 1), (1, 70)])
def test_any_shape_and_a_generator_will_do(tmp_path, shape):
    frames = [noise(i, *shape) for i in range(3)]
    write_gif(tmp_path / "folder" / "a.gif", (frame for frame in frames))
    back = read(tmp_path / "folder" / "a.gif")
    assert [frame.shape for frame in back] == [(*shape, 3)] * 3


def test_the_palette_is_one_for_all_frames(tmp_path):
    frames = [np.full((32, 32, 3), level, np.uint8) for level in range(256)]
    write_gif(tmp_path / "a.gif", frames)
    assert [int(frame[0, 0, 0]) for frame in read(tmp_path / "a.gif")] == list(range(256))
    assert (tmp_path / "a.gif").stat().st_size < 256 * 400  # a palette per frame would take 768 bytes each


def test_a_thousand_frames_are_sampled_thinly(tmp_path, monkeypatch):
    monkeypatch.setattr("latentfill.figures.gif.SAMPLES", 2000)
    frames = [noise(i) for i in range(60)]
    write_gif(tmp_path / "a.gif", frames)
    assert len(read(tmp_path / "a.gif")) == 60


def test_sizes_that_differ_are_refused_and_nothing_is_left_behind(tmp_path):
    with pytest.raises(ValueError, match=r"frame 1 is \(9, 8, 3\), not \(8, 8, 3\)"):
        write_gif(tmp_path / "a.gif", [noise(0, 8, 8), noise(0, 9, 8)])
    assert not list(tmp_path.iterdir())


def test_an_old_file_survives_a_failure(tmp_path):
    write_gif(tmp_path / "a.gif", [noise(0)])
    before = (tmp_path / "a.gif").read_bytes()

    def broken():
        yield noise(1)
        raise RuntimeError("the search was stopped")

    with pytest.raises(RuntimeError):
        write_gif(tmp_path / "a.gif", broken())
    assert (tmp_path / "a.gif").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]


def test_no_frames_and_no_time_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one frame"):
        write_gif(tmp_path / "a.gif", [])
    with pytest.raises(ValueError, match=r"0\.01 to 655 seconds, not 0"):
        write_gif(tmp_path / "a.gif", [noise(0)], seconds_per_frame=0.0)


def test_a_place_that_cannot_be_written_to_is_said(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ImageError, match=r"file/a\.gif: cannot be written"):
        write_gif(tmp_path / "file" / "a.gif", [noise(0)])
