import base64
import io
import json
import os
import re
import shutil
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from latentfill.images.hole_pictures import grow
from latentfill.images.photos import FORMATS
from latentfill.web.app import FOLDER

PAGE = sorted(path for path in FOLDER.rglob("*") if path.is_file())
TEXTS = {path.name: path.read_text() for path in PAGE if path.suffix in (".js", ".css", ".html", ".svg")}
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
]
WIDTH, HEIGHT = 96, 80
DESKTOP, PHONE = {"width": 1000, "height": 700}, {"width": 360, "height": 740}
BAR = 56  # as in view.js
NUMBERS = count(1)
PATIENCE = 30_000  # milliseconds; a machine may be busy


# Of the files, without a browser


def test_a_file_of_the_page_is_short_and_asks_nobody_else():
    for name, text in TEXTS.items():
        assert len(text.splitlines()) <= 250, name
        addresses = set(re.findall(r"https?://[\w.]+", text)) - {"http://www.w3.org"}
        assert not addresses, f"{name} names another host: {addresses}"


def test_no_markup_is_made_of_text():
    for name, text in TEXTS.items():
        found = re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
        assert not found, f"{name} has {found}"
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script>", TEXTS["index.html"]), "the content policy forbids it"


def test_what_the_modules_look_for_is_in_the_page():
    ids = set(re.findall(r'\bid="([\w-]+)"', TEXTS["index.html"]))
    for name, text in TEXTS.items():
        if name.endswith(".js"):
            assert set(re.findall(r'\$\("([\w-]+)"\)', text)) <= ids, name
            for module in re.findall(r'from "\./([\w.]+)"', text):
                assert module in TEXTS, f"{name} imports {module}"
    assert set(re.findall(r'href="#([\w-]+)"', TEXTS["index.html"])) <= ids
    preloaded = re.findall(r'modulepreload" href="([\w.]+)"', TEXTS["index.html"])
    assert {*preloaded, "main.js", "theme.js"} == {name for name in TEXTS if name.endswith(".js")}


def test_every_address_is_relative_so_that_the_page_works_below_a_path():
    for name, text in TEXTS.items():
        assert not re.search(r"""(href|src)=["']/|["'`(]/(api|docs|samples|$)""", text), name


def test_the_samples_are_small():
    assert sum(path.stat().st_size for path in FOLDER.glob("samples/*")) < 80_000


# In a browser


def find_chromium():
    names = (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if name and (path := shutil.which(name))), None)


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed, which drives a browser")
    executable = find_chromium()
    if executable is None:
        pytest.skip("no chromium is found: apt-get install chromium, or name one in CHROMIUM")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def stubbed():
    from .stub import Stub, create, served

    stub = Stub()
    with served(create(stub)) as address:
        yield stub, address


@pytest.fixture
def stub(stubbed):
    """The stub as it is at first."""
    stub, address = stubbed
    stub.__init__()
    return SimpleNamespace(of=stub, address=address)


@pytest.fixture(scope="module")
def visiting(browser):
    """Open the page in a browser of its own; and what has gone wrong in any of them."""
    contexts, said = [], []

    def go(address, **options):
        context, host = browser.new_context(**{"viewport": DESKTOP, **options}), address.split("#")[0]
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("console", lambda one: one.type in ("error", "warning") and said.append(one.text))
        page.on("requestfailed", lambda one: said.append(f"{one.url} {one.failure}"))
        page.on("request", lambda one: one.url.startswith((host, "blob:", "data:")) or said.append(one.url))
        page.goto(address)
        ready(page)
        return page

    yield go, said
    for context in contexts:
        context.close()


@pytest.fixture
def visit(visiting):
    """Open the page; at the end there was no error on the console, and no request for another host."""
    go, said = visiting
    said.clear()
    yield go
    allowed = ("net::ERR_ABORTED", "status of 4")  # a search that is stopped; an answer that is refused, and told
    assert not [words for words in said if not any(one in words for one in allowed)]


@pytest.fixture(scope="module")
def desk(stubbed, visiting):
    return visiting[0](stubbed[1])


@pytest.fixture
def page(desk, stub, visit):
    """A page that others have used before, loaded anew: nothing of theirs goes on in it."""
    desk.goto(f"{stub.address}/icon.svg")
    desk.evaluate("sessionStorage.removeItem('latentfill-tab')")  # what it has kept is of another tab
    desk.goto(stub.address)
    ready(desk)
    yield desk


def ready(page):
    """Wait until the page listens: it knows its models, or asks for a token."""
    page.locator("#models:visible, dialog[open]").first.wait_for(state="visible")


def expecting(locator):
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE)
    return expect(locator)


def photo(height=HEIGHT, width=WIDTH, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def file_of(pixels, name="photo.png", kind="PNG", **more):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **more)
    return {"name": name, "mimeType": f"image/{kind.lower()}", "buffer": stream.getvalue()}


def read(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def open_photo(page, pixels=None):
    name = f"photo-{next(NUMBERS)}"  # no label of an earlier one is taken for this one's
    page.locator("#file").set_input_files(file_of(photo() if pixels is None else pixels, f"{name}.png"))
    expecting(page.locator("#canvas")).to_have_attribute("aria-label", re.compile(f"{name}, 1 face outlined"))


def at(page, x, y):
    """Where on the screen a point of the photo is."""
    box = page.locator("#canvas").bounding_box()
    margin = min(24, box["width"] / 30)
    room = box["width"] - 2 * margin, box["height"] - 2 * margin - BAR
    scale = min(room[0] / WIDTH, room[1] / HEIGHT, 12)
    left, top = (margin + (free - scale * side) / 2 for free, side in zip(room, (WIDTH, HEIGHT), strict=True))
    return box["x"] + left + scale * x, box["y"] + top + scale * y


def stroke(page, *points, button="left"):
    page.mouse.move(*at(page, *points[0]))
    page.mouse.down(button=button)
    for point in points[1:]:
        page.mouse.move(*at(page, *point), steps=3)
    page.mouse.up(button=button)


def tool(page, name):
    page.get_by_role("button", name=name, exact=True).click()


def kept(page, selector):
    """The file that a button hands over."""
    with page.expect_download() as download:
        page.locator(selector).click()
    return Path(download.value.path()).read_bytes()


def hole_of(page):
    """What is painted, as the page saves it: bool [H, W]."""
    if page.locator("#hole-menu").get_attribute("open") is None:
        page.locator("#hole-menu summary").click()
    if page.locator("#save-hole").is_disabled():
        return np.zeros((HEIGHT, WIDTH), bool)
    saved = read(kept(page, "#save-hole"))
    assert set(np.unique(saved)) <= {0, 255}
    return saved[..., 0] > 0


def test_an_object_is_selected_by_a_stroke_as_one_step(page, stub):
    from .stub import box_of

    open_photo(page)
    page.locator("#hole-menu summary").click()
    select = page.get_by_role("button", name="Select object", exact=True)
    expecting(select).to_be_disabled()
    stroke(page, (20, 20), (50, 50))
    before = hole_of(page)
    select.click()
    expecting(page.locator("#said")).to_have_text("The object is selected.")
    assert np.array_equal(hole_of(page), box_of(before) > 0)
    page.keyboard.press("Control+z")
    assert np.array_equal(hole_of(page), before)
    stub.of.nothing = True
    page.keyboard.press("s")
    expecting(page.locator("#notice")).to_contain_text("No object stands out there. Paint more of it.")
    expecting(select).to_be_enabled()
    assert np.array_equal(hole_of(page), before)


def test_a_part_of_a_face_that_is_pressed_joins_the_hole(page, stub):
    open_photo(page)
    stroke(page, (10, 10), (20, 10))
    before = hole_of(page)
    tool(page, "Part of a face")
    page.mouse.click(*at(page, 50, 40))
    page.get_by_role("button", name="Mouth").click()
    expecting(page.locator("#said")).to_have_text("It is part of the hole.")
    expecting(page.locator("#parts")).to_be_hidden()
    part = np.zeros_like(before)
    part[37:43, 45:55] = True
    assert np.array_equal(hole_of(page), before | part)
    assert (
        stub.of.asked[0]["part"] == "mouth"
        and np.abs(np.subtract(json.loads(stub.of.asked[0]["at"]), (50, 40))).max() < 0.5
    )
    page.keyboard.press("Control+z")
    assert np.array_equal(hole_of(page), before), "it is one step"
    stub.of.nothing = True
    page.keyboard.press("a")
    page.mouse.click(*at(page, 10, 70))
    page.get_by_role("button", name="Left half").click()
    expecting(page.locator("#notice")).to_contain_text("No object stands out there.")


def test_a_photo_is_opened_painted_completed_and_downloaded(page, stub):
    original = photo()
    open_photo(page, original)
    expecting(page.locator("#run")).to_be_disabled()
    stroke(page, (40, 30), (60, 50))
    page.locator("#run").click()
    expecting(page.locator("#answers")).to_be_visible()
    assert int(page.locator("#frames").text_content()) >= 5
    expecting(page.locator("#trust")).to_contain_text("Likely close to the truth")
    page.get_by_role("button", name="Answer 2 of 4").click()
    expecting(page.get_by_role("button", name="Answer 2 of 4")).to_have_attribute("aria-pressed", "true")
    made, hole = read(kept(page, "#download")), hole_of(page)
    assert 100 < hole.sum() < 1000, "the hole is kept after a run"
    assert np.array_equal(made[~hole], original[~hole])
    assert (made[hole] == (220, 140, 80)).all(), "the second answer"
    sent = stub.of.asked[0]
    assert sent["preset"] == "best" and json.loads(sent["options"]) == {"candidates": 4, "seed": 0}
    moving = Image.open(io.BytesIO(kept(page, "#gif")))
    assert moving.format == "GIF" and moving.n_frames >= 7
    moving.seek(moving.n_frames - 1)
    last = np.asarray(moving.convert("RGB")).reshape(-1, 3).astype(int)
    assert (np.abs(last - (220, 140, 80)).max(1) < 12).mean() > 0.05, "it ends with the answer"


def test_a_photo_is_extended_and_its_margins_are_found(page, stub):
    original = photo()
    open_photo(page, original)
    stroke(page, (40, 30), (60, 50))
    painted = hole_of(page)
    left, _, _, bottom = page.locator("#margins input").all()
    left.fill("25")
    left.blur()
    bottom.fill("300")
    bottom.blur()
    expecting(page.locator("#said")).to_have_text("120 × 160 pixels.")
    expecting(bottom).to_have_value("100")
    assert np.array_equal(hole_of(page), painted), "the hole that is saved is that of the photo as it was"
    page.locator("#undo").click()
    assert not hole_of(page).any(), "margins do not end the history"
    page.locator("#redo").click()
    assert np.array_equal(hole_of(page), painted)
    page.locator("#clear").click()
    expecting(page.locator("#canvas")).to_have_attribute("aria-label", re.compile("60.0 % painted"))  # the margins
    stub.of.share = 0.0
    page.locator("#run").click()
    expecting(page.locator("#trust strong")).to_have_text("Filled from the photo; no estimate.")
    stub.of.share = 0.6
    page.locator("#run").click()
    expecting(page.locator("#trust strong")).to_have_text("For 60 % of the hole: Likely close to the truth")
    expecting(page.locator("#trust")).not_to_contain_text("speaks for")
    assert json.loads(stub.of.asked[0]["photo_options"])["extend"] == "24,0,0,80"
    made = read(kept(page, "#download"))
    assert made.shape == (160, 120, 3) and np.array_equal(made[:80, 24:], original)
    assert (made[:, :24] == (200, 120, 60)).all() and (made[80:] == (200, 120, 60)).all()
    page.reload()
    expecting(page.locator("#margins input").first).to_have_value("25")
    expecting(page.locator("#run")).to_be_enabled()
    page.locator("#hole-menu summary").click()
    left.fill("0")
    left.blur()
    bottom.fill("0")
    bottom.blur()
    expecting(page.locator("#said")).to_have_text("96 × 80 pixels.")
    expecting(page.locator("#run")).to_be_disabled()


def test_a_search_is_stopped_and_the_server_notices(page, stub):
    stub.of.pause, stub.of.steps = 0.05, 1000
    open_photo(page)
    stroke(page, (40, 30), (60, 50))
    painted = hole_of(page)
    page.locator("#run").click()
    expecting(page.locator("#state")).to_contain_text("Step")
    page.keyboard.press("Escape")
    expecting(page.locator("#run")).to_have_text("Complete")
    expecting(page.locator("#answers")).to_be_hidden()
    assert stub.of.left.wait(30)
    assert painted.any() and np.array_equal(hole_of(page), painted)


def test_strokes_are_undone_and_done_again(page):
    open_photo(page)
    stroke(page, (20, 20), (30, 20))
    first = hole_of(page)
    stroke(page, (60, 50), (70, 60))
    both = hole_of(page)
    page.locator("#undo").click()
    assert np.array_equal(hole_of(page), first) and first.sum() < both.sum()
    page.keyboard.press("Control+z")
    assert not hole_of(page).any()
    expecting(page.locator("#undo")).to_be_disabled()
    page.keyboard.press("Control+Shift+z")
    page.locator("#redo").click()
    assert np.array_equal(hole_of(page), both)
    page.locator("#invert").click()
    assert np.array_equal(hole_of(page), ~both)
    page.locator("#clear").click()
    assert not hole_of(page).any()
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    assert np.array_equal(hole_of(page), both)


def test_rectangle_lasso_fill_eraser_and_the_right_button(page):
    open_photo(page)
    tool(page, "Rectangle")
    stroke(page, (10.2, 20.1), (29.9, 40.3))
    wanted = np.zeros((HEIGHT, WIDTH), bool)
    wanted[20:40, 10:30] = True
    assert np.array_equal(hole_of(page), wanted)
    stroke(page, (12, 22), (16, 26), button="right")
    wanted[22:26, 12:16] = False
    assert np.array_equal(hole_of(page), wanted)
    tool(page, "Fill what is enclosed")
    stroke(page, (14, 24))
    wanted[22:26, 12:16] = True
    assert np.array_equal(hole_of(page), wanted)
    tool(page, "Lasso")
    stroke(page, (50, 10), (90, 10), (50, 50))
    triangle = hole_of(page) & ~wanted
    assert abs(triangle.sum() - 800) < 60 and triangle[12, 52] and not triangle[48, 88]
    tool(page, "Eraser")
    stroke(page, (60, 15))
    assert 0 < triangle.sum() - (hole_of(page) & ~wanted).sum() < 100


def test_the_wheel_and_brackets_change_the_brush_and_keys_paint(page):
    open_photo(page)
    size = page.locator("#size-words")
    expecting(size).to_have_text("10 px")  # a fifth of the face
    page.mouse.move(*at(page, 48, 40))
    page.mouse.wheel(0, -100)
    expecting(size).to_have_text("11 px")
    for _ in range(6):
        page.keyboard.press("[")
    expecting(size).to_have_text("5 px")
    page.locator("#canvas").focus()
    page.keyboard.press(" ")
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")
    page.keyboard.press("ArrowDown")
    hole = hole_of(page)
    assert hole[40, 48:58].all() and not hole[:, 62:].any() and not hole[:36].any() and not hole[44:].any()
    page.keyboard.press("?")
    expecting(page.get_by_role("heading", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Delete")
    assert not hole_of(page).any()


def test_a_hole_comes_from_a_file_or_from_transparency(page):
    hole = np.zeros((HEIGHT, WIDTH), np.uint8)
    hole[5:15, 60:80] = 255
    open_photo(page)
    page.locator("#hole-file").set_input_files(file_of(hole[:40], "small.png"))
    expecting(page.locator("#notice")).to_contain_text("The hole is 96 x 40 pixels, but the photo is 96 x 80.")
    page.locator("#hole-file").set_input_files(file_of(hole, "hole.png"))
    expecting(page.locator("#run")).to_be_enabled()
    assert np.array_equal(hole_of(page), hole > 0)
    with page.expect_download() as saved:
        page.locator("#save-hole").click()
    name = page.locator("#canvas").get_attribute("aria-label").split(",")[0]
    assert saved.value.suggested_filename == f"{name}.png", "which pairs it with the photo in a folder of holes"
    open_photo(page, np.dstack([photo(), 255 - hole]))
    expecting(page.locator("#notice")).to_contain_text("What is transparent is the hole.")
    assert np.array_equal(hole_of(page), hole > 0)


def test_what_the_server_notes_of_a_hole_is_told_and_soft_edges_are_widened(page):
    hole = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    hole[5:15, 60:80] = 0, 255, 0
    notice = page.locator("#notice")
    open_photo(page)
    page.locator("#hole-file").set_input_files(file_of(hole, "green.png"))
    expecting(notice).to_contain_text("200 pixels of the hole are coloured")
    assert np.array_equal(hole_of(page), hole[..., 1] > 0)
    page.locator("#hole-file").set_input_files(file_of(np.full((HEIGHT, WIDTH), 1, np.uint8), "ones.png"))
    expecting(notice).to_contain_text("its largest value is 1; white is 128 and above")
    assert not hole_of(page).any()
    grey = hole[..., 1].copy()
    grey[15:18, 60:80] = 100
    page.locator("#hole-file").set_input_files(file_of(grey, "soft.png"))
    expecting(notice).to_contain_text("60 pixels are grey")
    notice.get_by_role("button", name="Widen by 3 px").click()
    assert np.array_equal(hole_of(page), grow(hole[..., 1], 3) > 0)
    stroke(page, (20, 60), (30, 66))
    before = hole_of(page)
    page.evaluate("""for (const [kind, value] of [["input", 7], ["input", 2], ["input", 4], ["change", 4]]) {
        document.getElementById("widen").value = value;
        document.getElementById("widen").dispatchEvent(new Event(kind));
    }""")
    assert np.array_equal(hole_of(page), grow(np.uint8(255) * before, 4) > 0)
    page.keyboard.press("Control+z")
    assert np.array_equal(hole_of(page), before)


@pytest.mark.parametrize("kind", ["WEBP", *(["AVIF"] if "AVIF" in FORMATS else []), "TIFF"])
def test_what_is_shown_is_what_the_server_sees_and_fills(page, kind):
    upright = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    upright[:, : WIDTH // 2] = 250, 120, 0
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side
    page.locator("#file").set_input_files(file_of(np.rot90(upright), f"{kind}.file", kind, exif=exif))
    expecting(page.locator("#canvas")).to_have_attribute("aria-label", re.compile(f"{kind}, 1 face outlined"))
    shown = np.asarray(Image.open(io.BytesIO(page.locator("#canvas").screenshot())).convert("RGB"))
    box = page.locator("#canvas").bounding_box()
    for x, y, orange in ((6, 6, True), (6, HEIGHT - 6, True), (WIDTH - 6, 6, False), (WIDTH - 6, HEIGHT - 6, False)):
        column, row = (int(a - b) for a, b in zip(at(page, x, y), (box["x"], box["y"]), strict=True))
        assert (shown[row, column, 0] > 200) == orange


KEPT = """async () => {
    const done = (request) => new Promise((resolve) => (request.onsuccess = () => resolve(request.result)));
    const stores = (await done(indexedDB.open("latentfill"))).transaction(["photos", "holes"]);
    return Promise.all(["photos", "holes"].map((name) => done(stores.objectStore(name).count())));
}"""


def test_a_reload_keeps_photo_and_paint_until_they_are_closed(page, stub, visit):
    asked = []
    page.once("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    before = page.evaluate(KEPT)
    open_photo(page)
    stroke(page, (20, 20), (30, 20))
    stroke(page, (60, 50), (70, 60))
    painted, name = hole_of(page), page.locator("#canvas").get_attribute("aria-label").split(",")[0]
    page.reload()
    expecting(page.locator("#notice")).to_contain_text("Your photo and what you painted are here again.")
    expecting(page.locator("#canvas")).to_have_attribute("aria-label", re.compile(f"{name}, 1 face outlined"))
    assert painted.any() and np.array_equal(hole_of(page), painted)
    page.goto(f"{stub.address}/icon.svg")
    page.go_back()
    expecting(page.locator("#canvas")).to_have_attribute("aria-label", re.compile(f"{name}, 1 face outlined"))
    assert np.array_equal(hole_of(page), painted)
    page.locator("#close").click()
    expecting(page.locator("#welcome")).to_be_visible()
    page.reload()
    ready(page)
    page.wait_for_timeout(300)
    assert page.evaluate(KEPT) == before and not asked, "nothing is left, and nobody was asked"
    expecting(page.locator("#welcome")).to_be_visible()
    other = page.context.new_page()
    other.goto(stub.address)
    ready(other)
    expecting(other.locator("#welcome")).to_be_visible()
    other.close()


def test_a_tab_that_is_opened_from_another_has_a_photo_of_its_own(page):
    open_photo(page)
    name = page.locator("#canvas").get_attribute("aria-label").split(",")[0]
    page.reload()
    expecting(page.locator("#canvas")).to_have_attribute("aria-label", re.compile(f"{name}, 1 face outlined"))
    with page.context.expect_page() as opened:
        page.evaluate("window.open(location.href)")  # it is handed what the tab has in its storage
    ready(opened.value)
    opened.value.wait_for_timeout(300)
    expecting(opened.value.locator("#welcome")).to_be_visible()
    open_photo(opened.value)
    page.reload()
    expecting(page.locator("#canvas")).to_have_attribute("aria-label", re.compile(f"{name}, 1 face outlined"))
    opened.value.close()


def test_a_browser_that_keeps_nothing_asks_before_the_paint_is_lost(stub, visit):
    page = visit(stub.address)
    page.add_init_script("Object.defineProperty(window, 'indexedDB', { value: undefined })")
    page.reload()
    ready(page)
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    open_photo(page)
    stroke(page, (20, 20), (30, 20))
    assert hole_of(page).any()
    page.reload()
    ready(page)
    assert asked == ["beforeunload"]


def test_answers_are_compared_doubted_and_varied(page):
    original = photo()
    open_photo(page, original)
    stroke(page, (40, 30), (60, 50))
    page.keyboard.press("Enter")
    expecting(page.locator("#answers")).to_be_visible()
    page.keyboard.press("u")
    expecting(page.locator("#unsure")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("c")
    expecting(page.locator("#split")).to_be_visible()
    page.locator("#split").fill("250")
    page.locator("#variations summary").click()
    expecting(page.locator("#directions input")).to_have_count(4)
    page.locator("#directions input").nth(1).fill("6")
    expecting(page.locator("#directions input").nth(0)).to_have_value("4")
    made, hole = read(kept(page, "#download")), hole_of(page)
    assert (made[hole] == np.minimum(np.array((200, 120, 60)) + 90, 2**16) % 256).all(), "what the slider shows"
    page.locator("#go-on").click()
    expecting(page.locator("#answers")).to_be_hidden()
    expecting(page.locator("#run")).to_be_disabled()


def test_a_phone_has_everything_in_reach(stub, visit):
    page = visit(stub.address, viewport=PHONE, has_touch=True, is_mobile=True)
    open_photo(page)
    page.touchscreen.tap(*at(page, 48, 40))
    expecting(page.locator("#run")).to_be_enabled()
    devtools = page.context.new_cdp_session(page)
    middle, before = at(page, 48, 40), page.locator("#canvas").screenshot()
    for kind, apart in (("Start", 30), ("Move", 45), ("Move", 60), ("End", 0)):
        points = [{"x": middle[0] + side * apart, "y": middle[1]} for side in (-1, 1)] if apart else []
        devtools.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
    assert page.locator("#canvas").screenshot() != before, "two fingers zoom"
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.locator("#hole-file").set_input_files(file_of(np.full((HEIGHT, WIDTH), 1, np.uint8), "ones.png"))
    expecting(page.locator("#notice")).to_contain_text("Please look at the hole.")
    canvas, notice = (page.locator(name).bounding_box() for name in ("#canvas", "#notice"))
    assert notice["y"] >= canvas["y"] + canvas["height"], "the hole can be looked at"
    page.get_by_role("button", name="Close", exact=True).first.tap()
    page.touchscreen.tap(*middle)
    page.locator("#run").tap()
    expecting(page.locator("#download")).to_be_visible()
    page.locator("#download").scroll_into_view_if_needed()
    assert page.locator("#download").bounding_box()["height"] >= 36


def test_it_is_dark_where_the_system_is_and_can_be_told_otherwise(stub, visit):
    page = visit(stub.address, color_scheme="dark")
    expecting(page.locator("body")).to_have_css("background-color", "rgb(19, 19, 22)")
    page.locator("#theme").click()
    expecting(page.locator("body")).to_have_css("background-color", "rgb(244, 243, 241)")
    page.reload()
    expecting(page.locator("body")).to_have_css("background-color", "rgb(244, 243, 241)")


def test_what_goes_wrong_is_told_with_its_cure(page, stub):
    stub.of.busy = 1
    notice = page.locator("#notice")
    page.route("**/samples/astronaut.jpg", lambda route: route.abort("aborted"))
    page.locator("[data-sample]").first.click()
    expecting(notice).to_contain_text("The server does not answer.")
    page.unroute("**/samples/astronaut.jpg")
    page.locator("#file").set_input_files({"name": "a.txt", "mimeType": "text/plain", "buffer": b"no"})
    expecting(notice).to_contain_text("a.txt is not a picture. Choose a JPEG, PNG or WebP file.")
    page.locator("#file").set_input_files({"name": "b.png", "mimeType": "image/png", "buffer": b"\x89PNG broken"})
    expecting(notice).to_contain_text("b.png: not a picture, or of a kind that is not read.")
    page.locator("#file").set_input_files(file_of(np.zeros((1200, 1000, 3), np.uint8)))
    expecting(notice).to_contain_text("1000 x 1200 = 1,200,000 pixels, more than the limit of 1,000,000.")
    notice.get_by_role("button", name="Open a smaller copy").click()
    expecting(page.locator("#canvas")).to_be_visible()
    open_photo(page)
    stroke(page, (40, 30), (60, 50))
    page.locator("#run").click()
    expecting(page.locator("#state")).to_contain_text("The server is busy. Asking again in 1 s")
    expecting(page.locator("#answers")).to_be_visible()


def test_a_token_is_asked_for_or_comes_with_the_address(stub, visit):
    stub.of.token = "open sesame"
    page = visit(stub.address)
    page.locator("#token").fill("wrong")
    page.keyboard.press("Enter")
    expecting(page.locator("#token-wrong")).to_be_visible()
    page.locator("#token").fill("open sesame")
    page.keyboard.press("Enter")
    expecting(page.locator("#models")).to_be_visible()
    other = visit(f"{stub.address}/#token=open+sesame")
    expecting(other.locator("#models")).to_be_visible()
    assert "token" not in other.url


def test_the_latent_space_is_explored_and_a_card_is_only_text(page):
    page.get_by_role("tab", name="Explore").click()
    expecting(page.locator("#samples button")).to_have_count(24)
    page.locator("#more").click()
    expecting(page.locator("#seeds")).to_have_text("24 to 47")
    page.locator("#samples").get_by_role("button", name="Seed 30").click()
    expecting(page.get_by_role("button", name="Place 1: seed 30")).to_be_visible()
    page.get_by_role("button", name=re.compile("^Term 2")).click()
    page.locator("#samples").get_by_role("button", name="Seed 31").click()
    expecting(page.get_by_role("button", name="Term 2: seed 31")).to_be_visible()
    expecting(page.locator("#walk-at")).to_have_attribute("max", "24")
    assert Image.open(io.BytesIO(kept(page, "#walk-gif"))).n_frames == 48
    page.locator("#card-button").click()
    expecting(page.locator("#card")).to_contain_text("Knows faces, <b>no</b> markup.")
    expecting(page.locator("#card td")).to_have_text(["1", "2"])


def test_a_late_answer_of_the_model_before_is_passed_over(page, stub):
    stub.of.slow = 1.0
    page.get_by_role("tab", name="Explore").click()
    page.locator("#model").select_option("flowers")
    faces = page.locator("#samples button img")
    expecting(faces).to_have_count(24)
    page.wait_for_timeout(1500)  # by now the first model has answered too
    shown = base64.b64decode(faces.first.get_attribute("src").partition(",")[2])
    assert np.asarray(Image.open(io.BytesIO(shown)))[0, 0, 2] == 129  # the second model's blue


def test_the_server_itself_completes_what_is_painted(visit, gan):
    from latentfill.options import ServeOptions
    from latentfill.web.app import create_app

    from .stub import served

    original = photo()
    with served(create_app(ServeOptions(), {"tiny": gan})) as address:
        page = visit(address)
        expecting(page.locator("#models")).to_be_visible()
        page.locator("#file").set_input_files(file_of(original))
        expecting(page.locator("#canvas")).to_have_attribute("aria-label", re.compile("photo, 0 faces outlined"))
        stroke(page, (40, 30), (60, 50))
        page.locator("#options summary").click()
        page.locator("#steps").fill("200")
        page.locator("#count").select_option("2")
        page.locator("#run").click()
        page.get_by_role("button", name="Answer 2 of 2").click(timeout=60_000)
        assert int(page.locator("#frames").text_content()) >= 5
        made, hole = read(kept(page, "#download")), hole_of(page)
        assert hole.any() and np.array_equal(made[~hole], original[~hole])
        assert (made[hole] != original[hole]).any(1).mean() > 0.9
        page.close()
