"""A headless Chromium, driven over its DevTools protocol through two pipes: nothing but the standard library."""

import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "headless_shell")
MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
DEADLINE_SECONDS = 60.0

KEYS = {"ArrowRight": 39, "Enter": 13, "Escape": 27}


def find_browser() -> str | None:
    """A Chromium or Chrome on this machine: the one that LABELAUDIT_BROWSER names, or one on the PATH."""
    named = os.environ.get("LABELAUDIT_BROWSER")
    found = [shutil.which(name) for name in ((named,) if named else (*NAMES, MAC))]
    return next((path for path in found if path), None)


class BrowserError(AssertionError):
    """The browser, or a script in it, failed."""


class Browser:
    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._held = b""
        self._last = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            answer = self._read(deadline)
            if answer.get("id") == message["id"]:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']}")
                return dict(answer["result"])
            self.events.append(answer)

    def wait_for(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The parameters of the next event of this name with these values."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            for event in self.events:
                if event.get("method") == method and parameters.items() <= event["params"].items():
                    self.events.remove(event)
                    return dict(event["params"])
            self.events.append(self._read(deadline))

    def _read(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._held:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise BrowserError("the browser does not answer")
            part = os.read(self._answers, 1 << 20)
            if not part:
                raise BrowserError("the browser has ended")
            self._held += part
        message, _, self._held = self._held.partition(b"\0")
        return dict(json.loads(message))


@contextlib.contextmanager
def browser(executable: str, folder: Path) -> Iterator[Browser]:
    """Start a browser with a profile of its own in this folder; ended with the context."""
    read_commands, commands = os.pipe()
    answers, write_answers = os.pipe()
    switches = (
        "headless remote-debugging-pipe no-first-run no-default-browser-check disable-gpu disable-dev-shm-usage "
        "disable-background-networking disable-component-update disable-sync force-color-profile=srgb"
    )
    # In a container the browser's own sandbox has no leave to work, and root may not use it.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 or os.environ.get("CI") else []
    arguments = [executable, f"--user-data-dir={folder / 'profile'}", *sandbox, "about:blank"]
    arguments[1:1] = [f"--{switch}" for switch in switches.split()]
    # The browser's ends of the pipes are its descriptors 3 and 4, numbers that Popen cannot give them.
    start = f'exec "$@" 98<&{read_commands} 99>&{write_answers} 3<&98 4>&99 98<&- 99>&-'
    with open(folder / "browser.log", "wb") as log:
        process = subprocess.Popen(
            ["bash", "-c", start, "bash", *arguments],
            pass_fds=(read_commands, write_answers),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    os.close(read_commands)
    os.close(write_answers)
    try:
        running = Browser(commands, answers)
        yield running
        with contextlib.suppress(BrowserError, OSError):
            running.call("Browser.close")
            process.wait(10)
    finally:
        process.kill()
        process.wait()
        os.close(commands)
        os.close(answers)


@dataclass
class Tab:
    browser: Browser
    session: str
    target: str

    @classmethod
    def new(cls, running: Browser) -> "Tab":
        target = running.call("Target.createTarget", url="about:blank")["targetId"]
        session = running.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = cls(running, session, target)
        for domain in ("Page", "Runtime", "Network", "Log"):
            tab.call(f"{domain}.enable")
        return tab

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self.browser.call(method, self.session, **parameters)

    def close(self) -> None:
        self.browser.call("Target.closeTarget", targetId=self.target)

    def open(self, path: Path, *, width: int = 1280, height: int = 900) -> None:
        """Load a file and wait until its script has run."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.browser.events.clear()
        self.call("Page.navigate", url=path.absolute().as_uri())
        self.browser.wait_for("Page.loadEventFired")

    def evaluate(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise BrowserError(json.dumps(answer["exceptionDetails"])[:2000])
        return answer["result"].get("value")

    def frames(self, step: str = "", count: int = 2) -> None:
        """Let the page draw so many frames; after each, run a script in which ``frame`` is the number so far."""
        self.evaluate(
            f"new Promise((done) => {{ let frame = 0; const next = () => {{ {step}; frame += 1;"
            f" if (frame <= {count}) requestAnimationFrame(next); else done(); }}; next(); }})"
        )

    def press(self, key: str, *, modifiers: int = 0) -> None:
        text = key if len(key) == 1 and not modifiers else ""
        code = KEYS.get(key, ord(key.upper()[0]))
        common = {"key": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def on(self, selector: str, script: str) -> Any:
        """Run a script in which ``node`` is the first element of the selector."""
        return self.evaluate(f"((node) => {{ {script} }})(document.querySelector({json.dumps(selector)}))")

    def click(self, selector: str) -> None:
        """Click into the middle of an element, as a mouse would."""
        self.on(selector, "node.scrollIntoView({block: 'nearest', behavior: 'instant'})")
        box = self.on(selector, "return node.getBoundingClientRect().toJSON()")
        x, y = box["left"] + box["width"] / 2, box["top"] + box["height"] / 2
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def choose(self, selector: str, value: str) -> None:
        """Set the value of a field, as a person would, and wait for what follows."""
        change = "node.dispatchEvent(new Event('input', {bubbles: true}))"
        self.on(selector, f"node.value = {json.dumps(value)}; {change}")
        self.frames()

    def script_seconds(self) -> float:
        """The processor's seconds in scripts since the page was opened."""
        self.call("Performance.enable", timeDomain="threadTicks")
        metrics = self.call("Performance.getMetrics")["metrics"]
        return next(float(entry["value"]) for entry in metrics if entry["name"] == "ScriptDuration")

    def text(self, selector: str) -> str:
        return str(self.on(selector, "return node.textContent"))

    def texts(self, selector: str) -> list[str]:
        nodes = f"[...document.querySelectorAll({json.dumps(selector)})]"
        return list(self.evaluate(f"{nodes}.map((node) => node.textContent)"))

    def scheme(self, name: str) -> None:
        """Be a system with a light or dark theme."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def download(self, folder: Path, selector: str) -> Path:
        """Click on something that downloads a file, and wait for it."""
        folder.mkdir(exist_ok=True)
        self.browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder), eventsEnabled=True)
        self.click(selector)
        begun = self.browser.wait_for("Browser.downloadWillBegin")
        self.browser.wait_for("Browser.downloadProgress", guid=begun["guid"], state="completed")
        return folder / begun["suggestedFilename"]

    def complaints(self) -> list[str]:
        """Exceptions, console and log messages, dialogs, and requests for anything but the page itself, so far."""
        self.frames()
        noisy = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")

        def is_complaint(method: str, params: dict[str, Any]) -> bool:
            if method != "Network.requestWillBeSent":
                return method in (*noisy, "Page.javascriptDialogOpening")
            return params.get("type") != "Document" and not params["request"]["url"].startswith(("data:", "blob:"))

        events = self.browser.events
        return [json.dumps(event)[:1000] for event in events if is_complaint(event["method"], event["params"])]
