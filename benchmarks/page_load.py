"""The page from the first request to the first frame: requests, bytes, milliseconds, on loopback in a real browser."""

import argparse
import statistics
import time
from typing import Any

from machine import heading, table
from playwright.sync_api import expect, sync_playwright
from screenshots import DESKTOP, FLAGS, chromium, open_astronaut, screen, served

PRESSED_UNTIL_DRAWN = """() => new Promise((resolve) => {
  const frames = document.getElementById("frames"), begun = performance.now();
  const observer = new MutationObserver(() => {
    if (!(Number(frames.textContent) > 0)) return;
    observer.disconnect();
    requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - begun)));
  });
  observer.observe(frames, { childList: true, characterData: true, subtree: true });
  document.getElementById("run").click();
})"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    loads, frames = [], []
    with served() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        for _ in range(arguments.rounds):
            loads.append(load(browser, address))
        page = browser.new_page(viewport=DESKTOP)
        page.goto(address)
        open_astronaut(page)
        page.mouse.click(*screen(page, 222, 140))
        for _ in range(arguments.rounds + 1):  # the first one warms up what runs
            frames.append(first_frame(page))
        browser.close()
    print(heading("Page"))
    middles = [statistics.median(column) for column in zip(*loads, strict=True)]
    rows = [
        ("requests", f"{middles[0]:.0f}"),
        ("kB, compressed as they are sent", f"{middles[1] / 1000:.0f}"),
        ("ms until it can be used, nothing cached", f"{middles[2]:.0f}"),
        ("ms from Run to the first frame, cold", f"{frames[0]:.0f}"),
        ("ms from Run to the first frame, warm", f"{statistics.median(frames[1:]):.0f}"),
    ]
    print(table(("", f"median of {arguments.rounds}"), rows))


def load(browser: Any, address: str) -> tuple[int, int, float]:
    """Requests, bytes of their answers, and milliseconds, in a browser that has seen nothing yet."""
    context = browser.new_context(viewport=DESKTOP)
    page = context.new_page()
    done: list[Any] = []
    page.on("requestfinished", lambda request: done.append(request))
    begun = time.perf_counter()
    page.goto(address)
    expect(page.locator("#models")).to_be_visible()
    taken = 1000 * (time.perf_counter() - begun)
    sizes = [request.sizes() for request in done]
    context.close()
    return len(sizes), sum(size["responseBodySize"] + size["responseHeadersSize"] for size in sizes), taken


def first_frame(page: Any) -> float:
    """Milliseconds from pressing Run until the first frame is on the screen, by the page's own clock.

    Playwright looks at a page now and then only, after half a second at the latest.
    """
    taken: float = page.evaluate(PRESSED_UNTIL_DRAWN)
    expect(page.locator("#answers")).to_be_visible(timeout=120_000)
    return taken


if __name__ == "__main__":
    main()
