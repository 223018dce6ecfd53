"""The screenshots in the docs: the page against a server with the model in the package, on scikit-image's astronaut."""

import argparse
import io
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import uvicorn
from machine import heading, table
from PIL import Image
from playwright.sync_api import Page, ViewportSize, expect, sync_playwright

from latentfill.options import ServeOptions
from latentfill.web.app import create_app
from latentfill.web.serving import load

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run", "--hide-scrollbars"),
)
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 844}
# Over nose, mouth and one eye, in pixels of the photo.
STROKE = ((204, 118), (222, 124), (226, 138), (212, 150), (236, 150), (228, 162), (216, 160))
COLOURS, WIDTH = 128, 960  # of what is kept
OWN = (
    "5b3df5",
    "ece8ff",
    "8a72f8",
    "b7a6ff",
    "9d8cff",
    "2b2547",
    "6b5eb0",
    "f4f3f1",
    "ffffff",
    "1d1d22",
    "a78ae0",
    "8f66d6",
)
FRAMES = re.compile(r"^([4-9]|\d\d+)$")  # of the search, seen before it is photographed
CLOSER = 1  # turns of the wheel


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images"), help="where the pictures go")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with served() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        for name, shot in {**desktop(browser, address), **others(browser, address)}.items():
            picture = Image.open(io.BytesIO(shot)).convert("RGB")
            if picture.width > WIDTH:
                picture = picture.resize((WIDTH, WIDTH * picture.height // picture.width), Image.Resampling.LANCZOS)
            small(picture).save(arguments.out / f"page-{name}.png", optimize=True)
        browser.close()
    rows = [(path.name, f"{path.stat().st_size / 1000:.0f}") for path in sorted(arguments.out.glob("page-*.png"))]
    print(heading("Screenshots"))
    print(table(("file", "kB"), rows))


def small(picture: Image.Image) -> Image.Image:
    """With a palette: most of it chosen by the photo, the page's own colours as they are."""
    chosen = picture.quantize(COLOURS - len(OWN), dither=Image.Dither.NONE).getpalette() or []
    palette = bytes(chosen[: 3 * (COLOURS - len(OWN))]) + bytes.fromhex("".join(OWN))
    colours = np.frombuffer(palette, np.uint8).reshape(-1, 3).astype(np.int32)
    pixels, where = np.unique(np.asarray(picture).reshape(-1, 3), axis=0, return_inverse=True)
    parts = np.array_split(pixels.astype(np.int32), 1 + len(pixels) // 1000)
    nearest = np.concatenate([((part[:, None] - colours) ** 2).sum(2).argmin(1) for part in parts])
    made = Image.fromarray(nearest[where].reshape(picture.height, picture.width).astype(np.uint8), "P")
    made.putpalette(palette)
    return made


def desktop(browser: Any, address: str) -> dict[str, bytes]:
    """One photo from opening to comparing, and the second tab."""
    page = browser.new_page(viewport=DESKTOP)
    page.goto(address)
    expect(page.locator("#models")).to_be_visible()
    shots = {"empty": page.screenshot()}
    open_astronaut(page)
    paint(page)
    shots["painted"] = page.screenshot()
    choose(page, preset="paper", steps="100")  # best has but one step
    page.locator("#run").click()
    expect(page.locator("#frames")).to_have_text(FRAMES, timeout=60_000)
    shots["running"] = page.screenshot()
    page.keyboard.press("Escape")
    expect(page.locator("#run")).to_have_text("Complete")
    choose(page, preset="best", steps="")
    page.locator("#run").click()
    done(page)
    shots["done"] = page.screenshot()
    page.locator("#unsure").click()
    shots["unsure"] = settled(page)
    page.locator("#unsure").click()
    page.locator("#compare").click()
    page.locator("#split").fill("430")
    shots["compare"] = settled(page)
    page.locator("#compare").click()
    page.locator("#variations summary").click()
    expect(page.locator("#directions input").first).to_be_visible(timeout=60_000)
    page.locator("#directions input").first.fill("8")
    shots["vary"] = settled(page)
    page.get_by_role("tab", name="Explore").click()
    expect(page.locator("#samples button").nth(23)).to_be_visible(timeout=60_000)
    expect(page.locator("#walk-at")).to_have_attribute("max", "24", timeout=60_000)
    page.locator("#walk-at").fill("7")
    shots["explore"] = settled(page)
    page.close()
    return shots


def others(browser: Any, address: str) -> dict[str, bytes]:
    """The same in the dark, and on a phone."""
    shots = {}
    page = browser.new_page(viewport=DESKTOP, color_scheme="dark")
    page.goto(address)
    open_astronaut(page)
    paint(page)
    page.locator("#run").click()
    done(page)
    shots["dark"] = page.screenshot()
    page.close()
    page = browser.new_page(viewport=PHONE, has_touch=True, is_mobile=True)
    page.goto(address)
    open_astronaut(page)
    paint(page)
    shots["phone"] = page.screenshot()
    page.close()
    return shots


def open_astronaut(page: Page) -> None:
    """The photo itself, not the sample, which is made small; as close as its face is."""
    stream = io.BytesIO()
    Image.fromarray(skimage.data.astronaut()).save(stream, "PNG")  # type: ignore[no-untyped-call]
    page.locator("#file").set_input_files(
        {"name": "astronaut.png", "mimeType": "image/png", "buffer": stream.getvalue()}
    )
    expect(page.locator("#canvas")).to_have_attribute("aria-label", re.compile("1 face outlined"), timeout=60_000)


def choose(page: Page, **options: str) -> None:
    """Options, which are out of sight."""
    change = "(one, value) => { one.value = value; one.dispatchEvent(new Event('change', { bubbles: true })); }"
    for name, value in options.items():
        page.locator(f"#{name}").evaluate(change, value)


def paint(page: Page) -> None:
    """Over a part of the face, and look at it from nearby."""
    places = [screen(page, *point) for point in STROKE]
    page.mouse.move(*places[0])
    page.mouse.down()
    for x, y in places[1:]:
        page.mouse.move(x, y, steps=4)
    page.mouse.up()
    page.keyboard.down("Control")
    for _ in range(CLOSER):
        page.mouse.wheel(0, -60)
    page.keyboard.up("Control")


def screen(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where on the screen a pixel of the photo is, while all of it is shown."""
    box = page.locator("#canvas").bounding_box()
    if box is None:
        raise RuntimeError("there is no stage")
    margin = min(24, box["width"] / 30)
    width, height = box["width"] - 2 * margin, box["height"] - 2 * margin - 56
    scale = min(width / 512, height / 512)
    left, top = box["x"] + margin + (width - 512 * scale) / 2, box["y"] + margin + (height - 512 * scale) / 2
    return left + x * scale, top + y * scale


def done(page: Page) -> None:
    expect(page.locator("#answers")).to_be_visible(timeout=120_000)
    settled(page)


def settled(page: Page) -> bytes:
    """A screenshot when nothing moves any more."""
    before = b""
    while (now := page.screenshot()) != before:
        before = now
        time.sleep(0.2)
    return now


def chromium() -> str:
    """Debian's browser, or another that is there."""
    found = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    if found is None:
        raise SystemExit("no chromium is found: apt-get install chromium")
    return found


@contextmanager
def served() -> Iterator[str]:
    """The address of a server with the model in the package, which answers until this is left."""
    options = ServeOptions(port=0)
    server = uvicorn.Server(uvicorn.Config(create_app(options, *load(options)), port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()


if __name__ == "__main__":
    main()
