"""A tab of a headless Chromium."""

import json
from pathlib import Path
from typing import Any

from playwright.sync_api import Page


class Tab:
    """A tab that notes what no page may do: fail, talk, ask, or request anything but itself."""

    def __init__(self, page: Page) -> None:
        self.page, self.evaluate = page, page.evaluate
        self._heard: list[str] = []
        for event in ("pageerror", "console", "dialog", "request"):
            page.on(event, lambda what, event=event: self._hear(event, what))

    def _hear(self, event: str, what: Any) -> None:
        if event != "request":
            self._heard.append(f"{event}: {getattr(what, 'text', what)}"[:1000])
        elif what.resource_type != "document" and not what.url.startswith(("data:", "blob:")):
            self._heard.append(what.url)

    def complaints(self) -> list[str]:
        """What was noted since the page was opened."""
        self.frames()
        return self._heard

    def open(self, place: Path | str, *, width: int = 1280, height: int = 900) -> None:
        """Load a file or an address, and wait until its script has run."""
        self.page.set_viewport_size({"width": width, "height": height})
        self._heard.clear()
        self.page.goto(place if isinstance(place, str) else place.absolute().as_uri())

    def frames(self, step: str = "", count: int = 2) -> None:
        """Let the page draw so many frames; after each, run a script in which ``frame`` is the number so far."""
        self.evaluate(
            f"new Promise((done) => {{ let frame = 0; const next = () => {{ {step}; frame += 1;"
            f" if (frame <= {count}) requestAnimationFrame(next); else done(); }}; next(); }})"
        )

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def type(self, text: str) -> None:
        self.page.keyboard.insert_text(text)

    def on(self, selector: str, script: str) -> Any:
        """Run a script in which ``node`` is the first element of the selector."""
        return self.page.eval_on_selector(selector, f"(node) => {{ {script} }}")

    def click(self, selector: str) -> None:
        self.page.click(selector)

    def choose(self, selector: str, value: str) -> None:
        """Set the value of a field, as a person would, and wait for what follows."""
        self.on(
            selector, f"node.value = {json.dumps(value)}; node.dispatchEvent(new Event('input', {{bubbles: true}}))"
        )
        self.frames()

    def text(self, selector: str) -> str:
        return str(self.on(selector, "return node.textContent"))

    def texts(self, selector: str) -> list[str]:
        return list(self.page.eval_on_selector_all(selector, "(nodes) => nodes.map((node) => node.textContent)"))

    def download(self, folder: Path, selector: str) -> Path:
        """Click on something that downloads a file, and wait for it."""
        with self.page.expect_download() as begun:
            self.click(selector)
        file = folder / begun.value.suggested_filename
        begun.value.save_as(file)
        return file
