"""A headless Chromium driven over its DevTools pipe, with the standard library alone.

What a page must do is for the tests; this opens it, sends mouse, keys and touches, and listens.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page in one browser; `problems` collects exceptions, console errors and requests."""

    def __init__(self, width: int = 1200, height: int = 800, touch: bool = False) -> None:
        self.problems: list[str] = []
        self.requests: list[str] = []
        self._next, self._replies, self._events, self._rest = 0, {}, set(), b""
        self._profile = tempfile.mkdtemp()
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()

        def pipes() -> None:  # DevTools reads from 3 and writes to 4
            read, write = os.dup(to_read), os.dup(to_write)
            os.dup2(read, 3)
            os.dup2(write, 4)

        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
                 "--no-first-run", "--disable-dev-shm-usage", "--disable-background-networking",
                 f"--user-data-dir={self._profile}", "--hide-scrollbars"]  # fmt: skip
        self._process = subprocess.Popen(
            [find(), *flags, "about:blank"],
            preexec_fn=pipes, close_fds=False, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_read)
        os.close(to_write)
        self._session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride",
                  width=width, height=height, deviceScaleFactor=1, mobile=touch)  # fmt: skip
        still = {"name": "prefers-reduced-motion", "value": "reduce"}  # nothing scrolls by itself
        self.call("Emulation.setEmulatedMedia", features=[still])
        if touch:
            self.call("Emulation.setTouchEmulationEnabled", enabled=True)

    def open(self, path) -> None:
        self._events.discard("Page.loadEventFired")
        self.call("Page.navigate", url=path.resolve().as_uri())
        self._until(lambda: "Page.loadEventFired" in self._events)

    def value(self, expression: str):
        """Evaluate JavaScript; a promise is waited for."""
        reply = self.call("Runtime.evaluate",
                          expression=expression, returnByValue=True, awaitPromise=True)  # fmt: skip
        if "exceptionDetails" in reply:
            raise AssertionError(reply["exceptionDetails"]["exception"].get("description"))
        return reply["result"].get("value")

    def frame(self) -> None:
        """Wait until what was asked for has been drawn."""
        self.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def place(self, selector: str, x: float, y: float) -> dict[str, float]:
        """Scroll to an element; return the point at those shares of its width and height."""
        box = self.value(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; })()"
        )
        return {"x": box[0] + x * box[2], "y": box[1] + y * box[3]}

    def drag(self, selector: str, *points: tuple[float, float]) -> None:
        places = [self.place(selector, *point) for point in points]
        kinds = ["mousePressed", *["mouseMoved"] * (len(places) - 1)]
        for kind, place in zip(kinds, places, strict=True):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", buttons=1,
                      clickCount=1, **place)  # fmt: skip
        self.call("Input.dispatchMouseEvent", type="mouseReleased", button="left", clickCount=1,
                  **places[-1])  # fmt: skip
        self.frame()

    def swipe(self, selector: str, *points: tuple[float, float]) -> None:
        places = [self.place(selector, *point) for point in points]
        kinds = ["touchStart", *["touchMove"] * (len(places) - 1)]
        for kind, place in zip(kinds, places, strict=True):
            self.call("Input.dispatchTouchEvent", type=kind, touchPoints=[place])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        self.frame()

    def key(self, name: str, text: str | None = None) -> None:
        extra = {} if text is None else {"text": text}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=name, code=name, **extra)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=name, code=name)
        self.frame()

    def call(self, method: str, **params):
        self._next += 1
        message = {"id": self._next, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        number = self._next
        self._until(lambda: number in self._replies)
        reply = self._replies.pop(number)
        if "error" in reply:
            raise AssertionError(f"{method}: {reply['error']}")
        return reply["result"]

    def _until(self, done, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not done():
            if not select.select([self._read], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError(f"the browser was silent for {seconds:.0f} s")
            part = os.read(self._read, 1 << 20)
            if not part:
                raise ConnectionError("the browser has gone")
            *messages, self._rest = (self._rest + part).split(b"\0")
            for message in map(json.loads, messages):
                self._note(message)

    def _note(self, message: dict) -> None:
        if "id" in message:
            self._replies[message["id"]] = message
            return
        method, params = message["method"], message.get("params", {})
        self._events.add(method)
        if method == "Runtime.exceptionThrown":
            self.problems.append(str(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.problems.append(str(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.problems.append(str(params["entry"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"][:200])

    def close(self) -> None:
        os.close(self._write)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        os.close(self._read)
        shutil.rmtree(self._profile, ignore_errors=True)
