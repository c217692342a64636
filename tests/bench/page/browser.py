"""A headless Chromium, driven over a pipe by its DevTools protocol: no port, no library."""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    *("--remote-debugging-pipe", "--host-resolver-rules=MAP * ~NOTFOUND", "--lang=en"),
)

# The browser reads from descriptor 3 and writes to 4.
_LAUNCH = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
for end, place in zip(ends, (3, 4)):
    os.dup2(end, place)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """One page of one browser; every request and every policy violation is recorded."""

    def __init__(self, folder):
        inward, self._out = os.pipe()
        self._in, outward = os.pipe()
        launch = (sys.executable, "-S", "-c", _LAUNCH, str(inward), str(outward))
        self._process = subprocess.Popen(
            [*launch, CHROMIUM, *_FLAGS, f"--user-data-dir={folder}", "about:blank"],
            pass_fds=(inward, outward),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(inward)
        os.close(outward)
        self._buffer, self._events, self._count, self._session = b"", [], 0, None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        """Send a command and return its result."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]
            self._events.append(answer)

    def open(self, path, *, query="", wide=1280, high=900, script=True, **media):
        """Load a file and return the seconds until its load event was handled.

        ``media`` are features such as ``prefers_color_scheme="dark"``.
        """
        self.call("Emulation.setScriptExecutionDisabled", value=not script)
        self.resize(wide, high)
        features = [{"name": n.replace("_", "-"), "value": v} for n, v in media.items()]
        self.call("Emulation.setEmulatedMedia", media="", features=features)
        self._events.clear()
        start = time.perf_counter()
        self.call("Page.navigate", url=path.resolve().as_uri() + query)
        self.wait("Page.loadEventFired")
        if script:
            self.run("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
        return time.perf_counter() - start

    def resize(self, wide, high):
        """Set the size of the window in pixels."""
        metrics = {"width": wide, "height": high, "deviceScaleFactor": 1, "mobile": wide < 600}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)

    def wait(self, event):
        """Wait for an event."""
        while all(e.get("method") != event for e in self._events):
            self._events.append(self._read())

    def run(self, expression):
        """Await an expression and return its value."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, *keys):
        """Press keys by name; a single character is typed."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowDown": 40, "ArrowRight": 39, " ": 32}
        for key in keys:
            text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
            event = {"key": key, "windowsVirtualKeyCode": codes.get(key, 0), "text": text}
            event["code"] = "Space" if key == " " else key
            self.call("Input.dispatchKeyEvent", type="keyDown", **event)
            self.call("Input.dispatchKeyEvent", type="keyUp", **{**event, "text": ""})

    def dom(self):
        """Return the current DOM, whether scripts are allowed or not."""
        root = self.call("DOM.getDocument", depth=0)["root"]["nodeId"]
        return self.call("DOM.getOuterHTML", nodeId=root)["outerHTML"]

    def picture(self, path, *, whole=False):
        """Write a screenshot of the window or of the whole page."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=whole, format="png")
        path.write_bytes(base64.b64decode(shot["data"]))
        return path

    def printed(self):
        """Return the page as PDF."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])

    @property
    def requests(self):
        """Addresses requested since the page was opened."""
        sent = [e for e in self._events if e.get("method") == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]

    @property
    def complaints(self):
        """Errors and policy violations since the page was opened."""
        logged = [e["params"]["entry"] for e in self._events if e.get("method") == "Log.entryAdded"]
        thrown = [e for e in self._events if e.get("method") == "Runtime.exceptionThrown"]
        return [entry["text"] for entry in logged] + thrown

    def close(self):
        """Close the browser."""
        os.close(self._out)
        os.close(self._in)
        self._process.terminate()
        self._process.wait(10)

    def _read(self, seconds=30):
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], seconds)
            assert ready, "the browser does not answer"
            data = os.read(self._in, 1 << 20)
            assert data, "the browser is gone"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)
