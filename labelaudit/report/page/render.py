"""From data and words to the text of one HTML file in which nothing can run but its own script."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from labelaudit import __version__
from labelaudit.report.page.words import Words

SCRIPTS = ("base.js", "csv.js", "review.js", "charts.js", "cards.js", "gallery.js", "filters.js", "page.js")
"""In this order they make up the page's one script."""


def render(words: Words, content: dict[str, Any], *, missing_root: str = "") -> str:
    """The whole page.

    Args:
        words: Its texts.
        content: Its data; see `labelaudit.report.page.content.content_of`.
        missing_root: The image folder, where none of the images could be had from it; else empty.
    """
    script = "\n".join(["", '"use strict";', "(() => {", *map(_asset, SCRIPTS), "})();", ""])
    style = _asset("page.css")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_asset("page.html.jinja")).render(
        words=words,
        rows=len(content["rows"]["sample"]),
        thumbnails=len(content["thumbnails"]["content"]),
        missing_root=missing_root,
        version=__version__,
        policy=_policy(style, script),
        style=Markup(style),
        script=Markup(script),
        data=Markup(embedded_json(content)),
    )


def embedded_json(value: object) -> str:
    """JSON that can stand in a script element whatever it holds: ``<`` and what else could end it is escaped."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    # A lone surrogate has no UTF-8; its escape is JSON's own.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _policy(style: str, script: str) -> str:
    """A Content-Security-Policy under which only this style and this script count, and nothing is fetched."""
    return "; ".join(
        [
            "default-src 'none'",
            "img-src data:",
            f"style-src {_source(style)}",
            f"script-src {_source(script)}",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    )


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


def _asset(name: str) -> str:
    return (resources.files("labelaudit.report.page") / "assets" / name).read_text(encoding="utf-8")
