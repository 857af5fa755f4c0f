"""How fast the explorer's page follows a drag, and how close its numbers are to NumPy's.

    python bench/explore.py RUN [--data PATH] [--screenshot FILE.png]

The page runs in headless Chromium; each figure stands with what was measured. No part of the tests.
"""

from __future__ import annotations

import argparse
import base64
import json
import platform
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from browser import Browser, find

from minivae import load, load_data
from minivae.looking.explore import explore_page

# Wall-clock time from moving the point to the end of the redraw, then to the next painted frame.
DRAG = """(async () => {
  const reach = minivae.facts.reach, work = [], painted = [];
  for (let k = 0; k < 100; k++) {
    const begin = performance.now();
    minivae.space.moveTo(reach * Math.cos(k / 7), reach * Math.sin(k / 5));
    minivae.space.redraw();
    work.push(performance.now() - begin);
    await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
    painted.push(performance.now() - begin);
  }
  return {work, painted};
})()"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--screenshot", help="write what the page looks like at first")
    arguments = parser.parse_args()
    if find() is None:
        sys.exit("no Chromium or Chrome here")
    vae, data = load(arguments.run), load_data(arguments.data)
    page = explore_page(vae, data, Path(arguments.run).resolve().stem).encode()
    x = data.pixels(rows=slice(arguments.images))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "page.html")
        path.write_bytes(page)
        browser = Browser(1200, 712)
        try:
            browser.open(path)
            if arguments.screenshot:
                browser.frame()
                picture = browser.call("Page.captureScreenshot", format="png")["data"]
                Path(arguments.screenshot).write_bytes(base64.b64decode(picture))
            times = browser.value(DRAG)
            ours = browser.value(
                f"{json.dumps(x.tolist())}.map((x) => {{ const {{mu, logvar}} = minivae.encode(x);"
                "return [[...mu], [...logvar], [...minivae.decode(mu)]]; })"
            )
            version = browser.call("Browser.getVersion")["product"]
        finally:
            browser.close()
    mu, logvar = vae.encode(x)
    print(f"{version}, Python {platform.python_version()}, NumPy {np.__version__}")
    print(f"page: {len(page) / 1e6:.2f} MB, {vae.parameters.size:,} parameters")
    for name, what in (("work", "decode and redraw"), ("painted", "until two frames later")):
        ordered = sorted(times[name])
        print(
            f"drag, {what}: median {statistics.median(ordered):.1f} ms, "
            f"95 of 100 below {ordered[94]:.1f} ms, worst {ordered[-1]:.1f} ms"
        )
    for i, (name, array) in enumerate(
        (("mu", mu), ("log variance", logvar), ("pixels", vae.decode(mu)))
    ):
        theirs = np.array([image[i] for image in ours])
        print(f"{name} of {len(x)} images: at most {abs(theirs - array).max():.1e} from NumPy's")


if __name__ == "__main__":
    main()
