"""A real headless Chromium, driven over its own debugging pipe: no driver and no port is needed."""

import base64
import fcntl
import io
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
WAIT = 20.0


def find_chromium() -> str | None:
    """Where Chromium or Chrome is installed; CHROMIUM names another place."""
    named = os.environ.get("CHROMIUM")
    places = (named,) if named else NAMES
    return next((path for path in map(shutil.which, places) if path), None)


class Chromium:
    """One window. What pages ask for, and every complaint of theirs, is kept."""

    def __init__(self, profile: Path, width: int = 1280, height: int = 900) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._number, self._rest = 0, b""
        # Chromium reads commands from descriptor 3 and answers on 4.
        read, self._out = os.pipe()
        self._in, write = os.pipe()
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 20) for fd in (read, write)]

        def place() -> None:
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self._process = subprocess.Popen(
            [
                str(find_chromium()), "--headless", "--no-sandbox", "--disable-gpu",
                "--disable-dev-shm-usage", "--disable-background-networking", "--no-first-run",
                "--hide-scrollbars", "--remote-debugging-pipe", f"--user-data-dir={profile}",
                f"--window-size={width},{height}", "about:blank",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=place,
            close_fds=False,
        )  # fmt: skip
        for fd in (read, write, *high):
            os.close(fd)
        pages = [t for t in self._call("Target.getTargets")["targetInfos"] if t["type"] == "page"]
        self._session = ""
        attached = self._call(
            "Target.attachToTarget", targetId=pages[0]["targetId"], flatten=True
        )  # fmt: skip
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._call(f"{domain}.enable")

    def open(self, page: Path, fragment: str = "") -> None:
        """Load a page from disk and wait until it is loaded."""
        self.requests.clear()
        self.complaints.clear()
        url = page.resolve().as_uri() + fragment
        self._call("Page.navigate", url="about:blank")
        self._call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && location.protocol === 'file:'")

    def prefer(self, scheme: str) -> None:
        """As a reader who likes pages "light" or "dark"."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._call("Emulation.setEmulatedMedia", features=[feature])

    def narrow(self, width: int, height: int = 900) -> None:
        """As on a screen of so many pixels, which may be smaller than a window can be."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip

    def run(self, script: str) -> Any:
        """The value of an expression, as JSON; promises are waited for."""
        answer = self._call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise AssertionError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, script: str) -> None:
        """Until an expression is true."""
        end = time.monotonic() + WAIT
        while not self.run(f"Boolean({script})"):
            assert time.monotonic() < end, f"never true: {script}"
            time.sleep(0.02)

    def click(self, selector: str) -> None:
        """A real click at the middle of an element, scrolled into view."""
        x, y = self._middle(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def download(self, selector: str) -> bytes:
        """What a click on a link saves."""
        with TemporaryDirectory() as folder:
            self._call("Page.setDownloadBehavior", behavior="allow", downloadPath=folder)
            self.click(selector)
            end = time.monotonic() + WAIT
            while not (saved := [p for p in Path(folder).iterdir() if p.suffix != ".crdownload"]):
                assert time.monotonic() < end, f"{selector} saves nothing"
                time.sleep(0.02)
            time.sleep(0.1)  # it is renamed when it is whole
            return saved[0].read_bytes()

    def press(self, key: str) -> None:
        """A key, as if typed."""
        text = {"text": key} if len(key) == 1 else {}
        self._call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self._call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def choose(self, selector: str, value: str) -> None:
        """Set a field and tell the page so."""
        self.run(
            f"(e => {{ e.value = {json.dumps(value)}; e.dispatchEvent(new Event('input', "
            "{bubbles: true})); e.dispatchEvent(new Event('change', {bubbles: true})); })"
            f"(document.querySelector({json.dumps(selector)}))"
        )

    def see(self, selector: str) -> np.ndarray:
        """The pixels of an element as drawn, (height, width, 3)."""
        box = self._box(selector)
        box |= {"x": box["x"] + self.run("scrollX"), "y": box["y"] + self.run("scrollY")}
        shot = self._call("Page.captureScreenshot", format="png", clip={**box, "scale": 1})
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB"))

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        os.close(self._out)
        os.close(self._in)

    def _box(self, selector: str) -> dict[str, float]:
        found = json.dumps(selector)
        box: dict[str, float] = self.run(
            f"(e => {{ e.scrollIntoView({{block: 'center', behavior: 'instant'}}); "
            "const b = e.getBoundingClientRect(); "
            "return {x: b.x, y: b.y, width: b.width, height: b.height}; })"
            f"(document.querySelector({found}))"
        )
        return box

    def _middle(self, selector: str) -> tuple[float, float]:
        box = self._box(selector)
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if getattr(self, "_session", ""):
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + WAIT
        while True:
            answer = self._next(end, method)
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return dict(answer["result"])
            self._note(answer)

    def _next(self, end: float, method: str) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], max(0.0, end - time.monotonic()))
            more = os.read(self._in, 1 << 16) if ready else b""
            assert more, f"Chromium did not answer {method}"
            self._rest += more
        one, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(one))

    def _note(self, event: dict[str, Any]) -> None:
        what, told = event.get("method"), event.get("params", {})
        if what == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif what == "Runtime.exceptionThrown":
            self.complaints.append(str(told["exceptionDetails"].get("exception", told)))
        elif what == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.complaints.append(told["entry"]["text"])
