import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from latentfill.errors import DataError, LatentfillError
from latentfill.evaluation import judge as classifier
from latentfill.evaluation import report, scores
from latentfill.evaluation import report as page
from latentfill.evaluation.benchmark import FILES, Pictures, Trial, make_task, read_pictures, spaces
from latentfill.evaluation.distances import frechet, kernel
from latentfill.evaluation.feature_spaces import SPACES
from latentfill.evaluation.methods import Method
from latentfill.evaluation.scores import score_method, score_once
from latentfill.files.listing import find_pictures
from latentfill.gan.model_file import build
from latentfill.images.pixels import to_grey
from latentfill.options import NetworkOptions

SIZE, N = 8, 6


def gan(**more):
    return build(NetworkOptions(size=SIZE, base=2, latent=4, **more))


def pictures(n=N):
    pixels = np.random.default_rng(0).integers(0, 256, (n, SIZE, SIZE, 3), dtype=np.uint8)
    return Pictures(pixels, [f"{i}.png" for i in range(n)], [(SIZE, SIZE)] * n)


def towards(share):
    """A method that knows the answers, and mixes them with grey."""
    truth = {p[0].tobytes(): p for p in pictures().pixels}

    def complete(shown, holes):
        right = np.stack([truth.get(p[0].tobytes(), p) for p in shown])  # the hole leaves the first row
        return np.rint(right * share + 128 * (1 - share)).astype(np.uint8)

    return Method(complete, {"share": share})


@pytest.fixture
def trial(tmp_path):
    found, _ = spaces(gan())
    methods = {"good": towards(0.9), "bad": towards(0.1), "<perfect>": towards(1.0)}
    about = {"command": "latentfill evaluate", "machine": "one", "settings": {"count": N}, "left_out": []}
    return Trial(tmp_path, pictures(), methods, ["center", "rectangle:2,2,3,5"], found, "model", 0, 4, about)


def run(trial):
    *_, (done, total, _) = trial.complete()
    assert done == total == 6 * 2 * 3
    assert [step[0] for step in trial.score()] == [6, 12, 18, 24, 30, 36]
    return trial.report()


def row(found, **wanted):
    (one,) = [r for r in found if all(r[key] == value for key, value in wanted.items())]
    return one


def test_the_report_is_what_its_readers_rely_on(trial):
    told = run(trial)
    assert json.loads((trial.folder / "report.json").read_text()) == told and list(told)[:2] == ["command", "machine"]
    assert set(told) >= {"command", "machine", "rows", "seconds_per_image"}
    keys = {"method", "hole", "metric", "region", "value", "low", "high", "n"}
    assert all(set(r) == keys and r["region"] in ("hole", "image") and r["n"] == N for r in told["rows"])
    assert all(r["low"] <= r["value"] <= r["high"] for r in told["rows"])
    assert all({"method", "hole", "value"} <= set(s) and s["value"] >= 0 for s in told["seconds_per_image"])
    assert {r["metric"] for r in told["rows"]} == {
        *("detail", "chroma", "rim", "psnr", "ssim", "l1"),
        *(f"{kind}:{space}" for kind in ("frechet", "kernel") for space in ("pixels", "discriminator")),
    }


def test_the_numbers_are_those_of_scikit_image_on_the_hole_and_the_picture(trial):
    told = run(trial)["rows"]
    original = pictures().pixels
    made = original.copy()
    made[:, 2:6, 2:6] = np.rint(original[:, 2:6, 2:6] * 0.9 + 128 * (1 - 0.9))
    cut = np.s_[:, 2:6, 2:6]
    for region, where in (("hole", cut), ("image", np.s_[:])):
        expected = np.mean([peak_signal_noise_ratio(a, b) for a, b in zip(original[where], made[where], strict=True)])
        found = row(told, method="good", hole="center", metric="psnr", region=region)
        assert found["value"] == pytest.approx(expected)
    l1 = row(told, method="good", hole="center", metric="l1", region="hole")["value"]
    assert l1 == pytest.approx(abs(made[cut].astype(float) - original[cut]).mean())
    measure = SPACES["pixels"](gan()).measure
    for kind, distance in (("frechet", frechet), ("kernel", kernel)):
        found = row(told, method="good", hole="center", metric=f"{kind}:pixels")["value"]
        assert found == pytest.approx(distance(measure(made), measure(original)), rel=1e-6)


def test_a_picture_without_an_error_has_the_best_of_all_scores(trial):
    told = run(trial)["rows"]
    best = {r["metric"]: r["value"] for r in told if r["method"] == "<perfect>" and r["region"] == "image"}
    assert best["psnr"] == scores.BEST_PSNR and best["ssim"] == pytest.approx(1) and best["l1"] == 0
    assert best["frechet:pixels"] == pytest.approx(0, abs=1e-6) and best["kernel:pixels"] == pytest.approx(0, abs=1e-6)


def test_the_judge_leads_where_there_are_enough_pictures_and_else_is_left_out_with_a_word(trial, monkeypatch):
    few = run(trial)
    assert [one["name"] for one in few["left_out"]] == [f"trained judge, {hole}" for hole in trial.holes]
    assert "it needs 64 pictures or more to learn from, not 6" in (trial.folder / "report.md").read_text()
    monkeypatch.setattr(classifier, "LEAST", N)
    monkeypatch.setattr(classifier, "STEPS", 2)
    many = run(replace(trial, seed=1))
    assert not many["left_out"] and run(replace(trial, seed=1)) == many
    order = list(dict.fromkeys(r["metric"] for r in many["rows"]))
    assert order[:4] == ["judge-auc", "p-ids", "u-ids", "judge-accuracy"] and order[-6:-3] == [
        "detail",
        "chroma",
        "rim",
    ]
    assert order[-3:] == ["psnr", "ssim", "l1"]
    assert next(report.tables(many)).title == "AUC of a trained judge in the hole (share, 0.5 is right)"
    assert row(many["rows"], method="<perfect>", hole="center", metric="p-ids")["value"] == 0.5
    assert set(order) <= set(many["metrics"])


def test_the_best_share_of_detail_is_the_one_nearest_1(trial):
    told = run(trial)
    shares = {m: row(told["rows"], method=m, hole="center", metric="detail")["value"] for m in trial.methods}
    assert shares["bad"] < 0.1 < shares["good"] < 0.9 and shares["<perfect>"] == 1
    told["rows"] = [
        {**r, "value": 1.5} if r["metric"] == "detail" and r["method"] == "bad" else r for r in told["rows"]
    ]
    (table,) = (
        t for t in report.tables(told) if t.title == "Finest detail in the hole (share of the originals', 1 is right)"
    )
    assert {method: cells[0][1] for method, cells in table.rows} == {"good": False, "bad": False, "<perfect>": True}


def test_differences_are_those_of_the_rows_and_tell_apart_what_differs(trial):
    told = run(trial)
    found = row(told["differences"], method="good", minus="bad", hole="center", metric="psnr", region="hole")
    good, bad = (row(told["rows"], method=m, hole="center", metric="psnr", region="hole") for m in ("good", "bad"))
    assert found["value"] == pytest.approx(good["value"] - bad["value"]) and found["low"] > 0
    assert len({(d["method"], d["minus"]) for d in told["differences"]}) == 3


def test_a_hole_of_a_quarter_is_in_the_bin_up_to_30(trial):
    areas = run(trial)["by_area"]
    assert {(a["hole"], a["area"]) for a in areas} == {("center", "20-30 %"), ("rectangle:2,2,3,5", "20-30 %")}
    assert row(areas, method="good", hole="center", metric="psnr", region="hole")["n"] == N


def test_a_picture_on_the_edge_of_a_bin_counts_once():
    task = make_task("left", pictures(), 0)
    areas = [area for name, area, _ in scores.by_area(task, score_method(task, task.shown, {}, {}, 0), 0)]
    assert set(areas) == {"40-50 %"}


def test_pictures_are_sorted_by_how_much_is_missing():
    task = make_task("center", pictures(), 0)
    task.holes[:3] = 0
    task.holes[:3, :, 0] = 255
    judged = score_method(task, task.original // 2, {}, {}, 0)
    found = {area: e for name, area, e in scores.by_area(task, judged, 0) if name == ("l1", "hole")}
    assert {area: e.n for area, e in found.items()} == {"10-20 %": 3, "20-30 %": 3}
    assert found["10-20 %"].value == pytest.approx(judged.each["l1", "hole"][:3].mean())


def test_the_tables_hold_the_rows_and_the_best_stand_out(trial):
    told = run(trial)
    with (trial.folder / "report.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(told["rows"]) and float(lines[0]["value"]) == told["rows"][0]["value"]
    assert list(lines[0])[-1] == "seconds_per_image"
    for table in report.tables(told):
        marked = {method: [best for _, best in cells] for method, cells in table.rows}
        if table.title.startswith(("PSNR", "L1")):
            assert marked == {"good": [False, False], "bad": [False, False], "<perfect>": [True, True]}
    text = (trial.folder / "report.md").read_text()
    assert (
        "| <perfect> | **100.00 (100.00 to 100.00)** |" in text and "## PSNR in the hole (dB, higher is better)" in text
    )
    assert "Fréchet distance, pixels (lower is better)" in text


def test_the_page_needs_no_other_file_and_shows_every_method(trial):
    run(trial)
    text = (trial.folder / "report.html").read_text()
    assert "&lt;perfect&gt;" in text and "<perfect>" not in text
    assert text.count("data:image/png;base64,") == 2 * N * 5  # original, given, three methods
    assert "http" not in text and 'src="data' in text
    sheet = Image.open(trial.folder / "contact.png")
    assert sheet.size == (5 * page.TILE, 2 * (20 + 3 * page.TILE))
    column = np.asarray(sheet)[20 : 20 + page.TILE, : page.TILE]
    assert np.array_equal(column[:: page.TILE // SIZE, :: page.TILE // SIZE], pictures().pixels[0])


def test_a_trial_that_is_done_asks_nobody_and_judges_nothing_anew(trial, monkeypatch):
    first = run(trial)
    silent = {name: replace(m, complete=lambda shown, holes: 1 / 0) for name, m in trial.methods.items()}
    monkeypatch.setattr(scores, "score_method", None)
    again = run(replace(trial, methods=silent))
    assert again == first
    assert all((trial.folder / name).stat().st_size for name in FILES)


def test_judging_is_remembered_by_all_that_it_depends_on(tmp_path, monkeypatch):
    task = make_task("center", pictures(), 0)
    made = task.shown
    found, _ = spaces(gan())
    real = {name: space.measure(task.original) for name, space in found.items()}
    calls = []
    monkeypatch.setattr(scores, "score_method", lambda *given: calls.append(given) or score_method(*given))
    first = score_once(tmp_path, task, made, found, real, 0, "model")
    same = score_once(tmp_path, task, made, found, real, 0, "model")
    assert len(calls) == 1 and {k: v.tolist() for k, v in same.each.items()} == {
        k: v.tolist() for k, v in first.each.items()
    }
    assert {k: (e.value, e.interval, e.n) for k, e in same.together.items()} == {
        k: (e.value, e.interval, e.n) for k, e in first.together.items()
    }
    score_once(tmp_path, task, made, found, real, 1, "model")
    score_once(tmp_path, task, made, found, real, 0, "other")
    score_once(tmp_path, task, made + 1, found, real, 0, "model")
    assert len(calls) == 4


def save(path, size=(16, 12), seed=0):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)


def test_the_first_so_many_are_the_same_every_time_and_the_halves_share_none(tmp_path):
    for i in range(9):
        save(tmp_path / f"{i}.png", seed=i)
    (tmp_path / "4.png").write_bytes(b"no picture")
    every, bad = read_pictures(list(find_pictures([tmp_path])), gan(), 100)
    assert [name for name, _ in bad] == ["4.png"] and len(every) == 8 and every.shapes[0] == (16, 12)
    few, _ = read_pictures(list(find_pictures([tmp_path])), gan(), 3)
    assert few.names == every.names[:3]
    assert every.names != sorted(every.names)
    halves = [read_pictures(list(find_pictures([tmp_path])), gan(), 100, part)[0].names for part in ("test", "choose")]
    assert sorted(halves[0] + halves[1]) == sorted(every.names) and not set(halves[0]) & set(halves[1])
    with pytest.raises(DataError, match=r"no picture can be read; the first: 4\.png"):
        read_pictures(list(find_pictures([tmp_path / "4.png"])), gan(), 3)


def test_a_grey_model_is_tried_on_grey_pictures(tmp_path):
    save(tmp_path / "a.png")
    grey = read_pictures(list(find_pictures([tmp_path])), gan(channels=1), 1)[0].pixels
    colour = read_pictures(list(find_pictures([tmp_path])), gan(), 1)[0].pixels[0]
    assert np.array_equal(grey[0], np.repeat(to_grey(colour), 3, 2))
    features = {name: space.measure(grey).shape for name, space in spaces(gan(channels=1))[0].items()}
    assert features == {"pixels": (1, 256), "discriminator": (1, 2)}


def test_faces_are_told_apart_where_the_model_is_of_faces():
    found, lacking = spaces(replace(gan(), about={"alignment": {"margin": 1.0}}))
    assert "dlib-face" in found and not set(lacking) - {"mobilenet"}
    task = make_task("center", pictures(3), 0)
    real = {name: space.measure(task.original) for name, space in found.items()}
    judged = score_method(task, task.shown, found, real, 0)
    distances = judged.each["identity:dlib-face", "image"]
    made = found["dlib-face"].measure(task.shown)
    np.testing.assert_allclose(distances, np.linalg.norm(made - real["dlib-face"], axis=1), rtol=1e-5)
    assert "the model was not trained on aligned faces" in spaces(gan())[1]["dlib-face"].what


def test_there_is_something_to_try(trial):
    with pytest.raises(LatentfillError, match="nothing to try"):
        replace(trial, holes=[])
