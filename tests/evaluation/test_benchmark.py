from dataclasses import asdict, replace

import numpy as np
import pytest
from PIL import Image

from latentfill.errors import HoleError, LatentfillError
from latentfill.evaluation import methods
from latentfill.evaluation import result_cache as benchmark
from latentfill.evaluation.methods import METHODS, Method, Resources, choose
from latentfill.evaluation.result_cache import HOLES, Pictures, ResultStore, make_task
from latentfill.gan.model_file import build
from latentfill.images import holes
from latentfill.options import COMPLETE_PRESETS, CompleteOptions, NetworkOptions

SIZE = 8
DEFAULTS = {
    **{"method": "adam", "steps": 1000, "learning_rate": 0.01, "momentum": 0.9, "beta1": 0.9, "beta2": 0.999},
    **{"epsilon": 1e-8, "hmc_beta": 0.2, "hmc_step_size": 0.001, "hmc_leapfrog_steps": 100, "hmc_anneal": 1.0},
    **{"context": "l1", "window": 7, "perceptual": "non-saturating", "lam": 0.1, "balance": "sum", "blend": "auto"},
    **{"attempts": 1, "candidates": 1, "precision": "auto", "seed": 0},
}


def pictures(n=6, shape=(16, 16)):
    pixels = np.random.default_rng(0).integers(0, 256, (n, SIZE, SIZE, 3), dtype=np.uint8)
    return Pictures(pixels, [f"{i}.png" for i in range(n)], [shape] * n)


class Counting:
    """White, and a note of what was asked; as slow as the clock says."""

    def __init__(self, **about):
        self.asked, self.method = [], Method(self.complete, about)

    def complete(self, shown, holes):
        self.asked.append((shown.copy(), holes.copy()))
        return np.full_like(shown, 255)


def finished(folder, task, counting, batch_size=4):
    store = ResultStore(folder, "white", counting.method, task)
    return list(store.fill(batch_size)), store.results()


def gan(**more):
    return build(NetworkOptions(size=SIZE, base=2, latent=4, **more))


@pytest.mark.parametrize("hole", ["center", "random:0.5", "rectangle:1,1,3,3+ellipse:6,6,1"])
def test_no_method_sees_what_is_in_the_hole_and_none_changes_what_is_around_it(tmp_path, hole):
    counting, task = Counting(), make_task(hole, pictures(), 0)
    steps, answers = finished(tmp_path, task, counting)
    assert steps == [0, 4, 6]
    for shown, where in counting.asked:
        assert (shown[where > 0] == benchmark.GREY).all()
    inside = task.holes > 0
    assert (answers.pixels[inside] == 255).all()
    assert np.array_equal(answers.pixels[~inside], task.original[~inside])


def test_what_is_done_is_not_done_again(tmp_path):
    task, first = make_task("center", pictures(), 0), Counting()
    _, answers = finished(tmp_path, task, first)
    again = Counting()
    steps, same = finished(tmp_path, task, again, batch_size=2)
    assert steps == [6] and not again.asked
    assert np.array_equal(answers.pixels, same.pixels) and np.array_equal(answers.seconds, same.seconds)
    assert answers.batch_sizes == (2, 4)


def test_more_pictures_only_add_to_those_that_are_done(tmp_path):
    finished(tmp_path, make_task("random", pictures(3), 0), Counting())
    more = Counting()
    task = make_task("random", pictures(6), 0)
    assert finished(tmp_path, task, more)[0] == [3, 6]
    assert np.array_equal(more.asked[-1][1], task.holes[3:])


def test_a_search_that_was_stopped_goes_on_where_it_was(tmp_path):
    task, counting = make_task("center", pictures(), 0), Counting()
    steps = ResultStore(tmp_path, "white", counting.method, task).fill(2)
    assert [next(steps), next(steps)] == [0, 2]
    steps.close()
    after = Counting()
    assert finished(tmp_path, task, after, 2)[0] == [2, 4, 6]


@pytest.mark.parametrize("change", ["about", "picture", "hole"])
def test_what_has_changed_is_done_anew(tmp_path, change):
    given = pictures()
    finished(tmp_path, make_task("center", given, 0), Counting(steps=1))
    if change == "picture":
        given.pixels[2, 0, 0, 0] ^= 1
    task = make_task("center:0.1" if change == "hole" else "center", given, 0)
    if change == "hole":
        task = replace(task, hole="center")
    counting = Counting(steps=2 if change == "about" else 1)
    steps, _ = finished(tmp_path, task, counting)
    assert steps[0] == (5 if change == "picture" else 0) and steps[-1] == 6


def test_answers_can_be_forgotten_and_a_damaged_file_is_no_answer(tmp_path):
    task = make_task("center", pictures(), 0)
    finished(tmp_path, task, Counting())
    for path in (tmp_path / "white" / "center").iterdir():
        path.write_bytes(path.read_bytes()[:100])
        break
    damaged = Counting()
    steps, _ = finished(tmp_path, task, damaged)
    assert steps[0] in (2, 4) and steps[-1] == 6
    store = ResultStore(tmp_path, "white", damaged.method, task)
    store.clear()
    assert next(iter(store.fill(4))) == 0


def test_the_warm_up_is_not_counted_and_gives_no_answer_away(tmp_path):
    counting, task = Counting(), make_task("random", pictures(), 0)
    finished(tmp_path, task, counting, 6)
    single, whole, asked = counting.asked
    assert len(single[0]) == 1 and len(whole[0]) == len(asked[0]) == 6
    assert np.array_equal(whole[1][:, :, ::-1], asked[1]) and not np.array_equal(whole[1], asked[1])


def test_a_method_that_returns_something_else_is_told_so(tmp_path):
    task = make_task("center", pictures(), 0)
    with pytest.raises(ValueError, match="expected uint8"):
        list(ResultStore(tmp_path, "odd", Method(lambda shown, holes: shown[:, :4]), task).fill(6))


def test_a_hole_depends_on_the_name_and_the_seed_alone():
    few, many = make_task("random", pictures(2), 1), make_task("random", pictures(6), 1)
    assert np.array_equal(few.holes, many.holes[:2]) and few.names == many.names[:2]
    assert not np.array_equal(few.holes, make_task("random", pictures(2), 2).holes)
    assert not np.array_equal(*few.holes)


@pytest.mark.parametrize("side", [8, 16])
def test_a_picture_of_a_hole_has_the_size_of_its_picture_or_the_models(tmp_path, side):
    white = np.zeros((side, side), np.uint8)
    white[: side // 2] = 255
    Image.fromarray(white).save(tmp_path / "hole.png")
    task = make_task(str(tmp_path / "hole.png"), pictures(), 0)
    assert (task.holes[:, :4] == 255).all() and (task.holes[:, 4:] == 0).all()


def test_what_is_odd_about_a_picture_of_a_hole_is_told_once(tmp_path, capsys):
    Image.fromarray(np.full((8, 8, 3), [0, 255, 0], np.uint8)).save(tmp_path / "green.png")
    for _ in range(2):
        make_task(str(tmp_path / "green.png"), pictures(), 0)
    assert capsys.readouterr().err.count("green.png: 64 pixels of the hole are coloured") == 1


def test_a_picture_that_misses_nothing_is_left_out(tmp_path):
    for i in range(3):
        Image.fromarray(np.full((8, 8), 255 * (i == 1), np.uint8)).save(tmp_path / f"{i}.png")
    task = make_task(str(tmp_path), pictures(3), 0)
    assert task.names == ["1.png"] and len(task.original) == 1
    with pytest.raises(HoleError, match="nothing is missing in any"):
        make_task("full", pictures(), 0)


@pytest.mark.parametrize("hole", ("alpha", "colour:#fff", "lowres"))
def test_a_hole_without_a_known_answer_is_refused(hole):
    with pytest.raises(HoleError, match="the pictures do not show what is in this hole"):
        make_task(hole, pictures(), 0)


def test_every_hole_of_the_list_can_be_had():
    assert {make_task(hole, pictures(2), 0).hole for hole in HOLES} == set(HOLES) and len(HOLES) == 7
    assert all(holes.parse(hole) for hole in HOLES)


def test_holes_that_are_named_alike_have_folders_of_their_own():
    names = ["random:0.8", "random:0.08", "a/b.png", "a-b.png", "rectangle:1,2,3,4", "rectangle:12,3,4", "x" * 300]
    folders = [benchmark._file_name(name) for name in names]
    assert folders[0] == "random-0.8" and len(set(folders)) == len(names)
    assert all("/" not in folder and len(folder) < 100 for folder in folders)


def test_a_new_method_is_one_entry(tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, "black", lambda resources: Method(lambda shown, holes: np.zeros_like(shown)))
    found, _ = choose(["black", "telea"], Resources(gan()))
    task = make_task("center", pictures(), 0)
    store = ResultStore(tmp_path, "black", found["black"], task)
    list(store.fill(4))
    assert (store.results().pixels[task.holes > 0] == 0).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", sorted(set(METHODS) - (set(COMPLETE_PRESETS) - {"seed", "paper"})))
def test_every_method_answers_with_pictures(tmp_path, name, channels, monkeypatch):
    class Grey:
        def predict(self, images, known):
            return images * 0

    few = {preset: replace(options, steps=2) for preset, options in COMPLETE_PRESETS.items()}
    monkeypatch.setattr(methods, "SAMPLES", 4)
    model = gan(channels=channels)
    if name in few:
        made = methods.search_method(few[name])(Resources(model))
    else:
        made = METHODS[name](Resources(model, pictures(20).pixels, Grey()))
    task = make_task("random:0.5", pictures(3), 0)
    store = ResultStore(tmp_path, name, made, task)
    assert list(store.fill(2)) == [0, 2, 3]
    assert store.results().pixels.shape == task.original.shape


def test_a_search_is_known_by_its_options_and_its_model():
    def about(options, digest, encoder=""):
        return methods.search_method(options)(Resources(gan(), digests={"gan": digest, "encoder": encoder})).about

    options = CompleteOptions()
    assert about(options, "a") == about(options, "a") != about(options, "b") != about(replace(options, steps=3), "b")
    assert about(options, "a", "e") == about(options, "a", "f")
    warm = replace(options, start="auto")
    assert about(warm, "a", "e") == about(warm, "a", "e") != about(warm, "a", "f")


def test_whoever_changes_a_default_of_the_search_raises_the_format_of_the_answers():
    now = asdict(CompleteOptions())
    assert {name: now[name] for name in DEFAULTS} == DEFAULTS and benchmark.FORMAT == 1


def test_what_a_method_lacks_is_said(monkeypatch):
    found, lacking = choose(["nearest", "context-encoder", "mean"], Resources(gan()))
    assert list(found) == ["mean"]
    assert "--train" in lacking["nearest"].cure and "--context" in lacking["context-encoder"].cure
    with pytest.raises(LatentfillError, match=r"there is no method 'telia'\nIt is one of: .*telea"):
        choose(["telia"], Resources(gan()))
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    assert "OpenCV" in choose(["telea"], Resources(gan()))[1]["telea"].what
