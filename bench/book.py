"""Every page of the book in headless Chromium: frames a second under a drag, steps a second.

    python bench/book.py [--pictures FOLDER] [PAGE ...]

Sliders, plots and numbers are dragged by a mouse, one after another, while the page counts its
frames and those in which it changed. With --pictures each page is photographed, light and dark,
wide and narrow. No part of the tests.
"""

from __future__ import annotations

import argparse
import base64
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from browser import Browser, find

from minivae.teaching.book import book

DRAGGED = "figure.live input, figure.live svg.drags, .card input[type=range]"
SECONDS = 1.5
# Of each frame: when it came, and whether the page had changed since the one before.
COUNT = """(() => {
  const counted = window.counted = {at: [], changed: 0, going: true};
  let changed = false;
  const watch = new MutationObserver(() => { changed = true; });
  watch.observe(document.body, {subtree: true, childList: true, characterData: true, attributes: true});
  const frame = (now) => {
    if (!counted.going) return watch.disconnect();
    counted.at.push(now);
    counted.changed += changed;
    changed = false;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
})()"""  # noqa: E501
STOP = "(() => { counted.going = false; return counted; })()"


def controls(browser: Browser) -> list[str]:
    """Return a selector of everything that can be dragged; of equal ones in a table, the first."""
    return browser.value(
        f"""(() => {{ const seen = new Set(), out = [];
        for (const [i, each] of document.querySelectorAll({DRAGGED!r}).entries()) {{
          const name = each.id || (each.dataset.entry ?? "plot").split(" ")[0];
          if (!seen.has(name)) out.push([name, `[data-dragged="${{i}}"]`]);
          seen.add(name); each.dataset.dragged = i;
        }} return out; }})()"""
    )


def dragged(browser: Browser, selector: str) -> dict[str, float]:
    """Drag to and fro over a control; return what its frames were like."""
    box = browser.place(selector, 0, 0)
    wide = browser.value(f"document.querySelector('{selector}').getBoundingClientRect().width")
    high = browser.value(f"document.querySelector('{selector}').getBoundingClientRect().height")

    def mouse(kind: str, share: float) -> None:
        browser.call("Input.dispatchMouseEvent", type=kind, button="left", buttons=1, clickCount=1,
                     x=box["x"] + share * wide, y=box["y"] + high / 2)  # fmt: skip

    mouse("mousePressed", 0.5)
    browser.value(COUNT)
    begin = time.monotonic()
    while (passed := time.monotonic() - begin) < SECONDS:
        mouse("mouseMoved", 0.5 + 0.45 * (1 - 4 * abs((passed / SECONDS) % 1 - 0.5)))
        time.sleep(0.004)
    counted = browser.value(STOP)
    mouse("mouseMoved", 0.95)  # what is dragged next finds this one high: more draws, more steps
    mouse("mouseReleased", 0.95)
    return told(counted)


def told(counted: dict) -> dict[str, float]:
    gaps = [b - a for a, b in zip(counted["at"], counted["at"][1:], strict=False)]
    return {
        "rate": 1000 * len(gaps) / sum(gaps),
        "late": sum(gap > 25 for gap in gaps) / len(gaps),
        "worst": max(gaps),
        "changed": counted["changed"] / len(gaps),
    }


def line(page: str, name: str, frames: dict[str, float]) -> str:
    return (
        f"{page:<26} {name:<20} {frames['rate']:7.1f} {100 * frames['late']:6.0f} % "
        f"{frames['worst']:7.0f} ms {100 * frames['changed']:8.0f} %"
    )


def measure(browser: Browser, page: Path) -> list[float]:
    browser.open(page)
    browser.frame()
    rates = []
    for name, selector in controls(browser):
        frames = dragged(browser, selector)
        rates.append(frames["rate"])
        print(line(page.stem, name, frames))
    if page.stem == "train":
        browser.open(page)
        browser.drag("#play", (0.5, 0.5))
        browser.value("new Promise((done) => setTimeout(done, 1000))")
        steps = []
        for name, selector in ((None, None), *controls(browser)):
            first, begin = browser.value("minivae.model().steps"), time.monotonic()
            if name is None:
                browser.value(COUNT)
                browser.value("new Promise((done) => setTimeout(done, 3000))")
                frames = told(browser.value(STOP))
            else:
                frames = dragged(browser, selector)
            taken = browser.value("minivae.model().steps") - first
            steps.append(taken / (time.monotonic() - begin))
            rates.append(frames["rate"])
            print(line("train, playing", name or "nothing dragged", frames), end="")
            print(f"   {steps[-1]:.0f} steps a second")
    return rates


def photograph(site: Path, names: list[str], folder: Path) -> None:
    """Write each page as a picture: 1280 and 390 pixels wide, light and dark."""
    folder.mkdir(parents=True, exist_ok=True)
    for width in (1280, 390):
        browser = Browser(width, 844, touch=width == 390)
        for scheme in ("light", "dark"):
            feature = {"name": "prefers-color-scheme", "value": scheme}
            browser.call("Emulation.setEmulatedMedia", features=[feature])
            for name in names:
                browser.open(site / f"{name}.html")
                browser.frame()
                high = browser.value("document.documentElement.scrollHeight")
                clip = {"x": 0, "y": 0, "width": width, "height": high, "scale": 1}
                picture = browser.call("Page.captureScreenshot", captureBeyondViewport=True,
                                       clip=clip)["data"]  # fmt: skip
                file = folder / f"{name}-{width}-{scheme}.png"
                file.write_bytes(base64.b64decode(picture))
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", help="names without .html; default: all")
    parser.add_argument("--pictures", type=Path, help="a folder for pictures of the pages")
    arguments = parser.parse_args()
    if find() is None:
        sys.exit("no Chromium or Chrome here")
    with tempfile.TemporaryDirectory() as folder:
        site = book()
        for name, content in site.items():
            Path(folder, name).write_bytes(content)
        known = sorted(name[:-5] for name in site if name.endswith(".html"))
        names = arguments.pages or known
        if arguments.pictures:
            photograph(Path(folder), names, arguments.pictures)
            return
        browser = Browser(1280, 900)
        try:
            print(browser.call("Browser.getVersion")["product"])
            print(f"{'page':<26} {'dragged':<20} frames/s  late  worst gap  changed in")
            rates = [
                rate for name in names for rate in measure(browser, Path(folder, f"{name}.html"))
            ]
            print(f"of {len(rates)} drags: median {statistics.median(rates):.1f}, "
                  f"worst {min(rates):.1f} frames a second")  # fmt: skip
            print(f"said by the consoles: {browser.problems or 'nothing'}")
        finally:
            browser.close()


if __name__ == "__main__":
    main()
