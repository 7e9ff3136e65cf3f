"""An audit as a notebook shows it, and as the prompt does."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import TYPE_CHECKING, Any

from PIL import Image
from rich.console import Console

from labelaudit.data.catalogue import Catalogue
from labelaudit.data.folder import read_file
from labelaudit.data.images import UnreadableImageError, decode_small
from labelaudit.report.console import show_suspicious
from labelaudit.report.unused import unreadable_sentence
from labelaudit.text import printable

if TYPE_CHECKING:
    from labelaudit.audit.results import Audit

_TEXT_ROWS = 5
_HTML_ROWS = 10
_THUMBNAIL_PIXELS = 64


def as_text(audit: Audit) -> str:
    """The figures and the most suspicious labels, for a prompt."""
    rows = audit.top(min(_TEXT_ROWS, audit.flagged)).to_pylist()
    lines = [_headline(audit)]
    if rows:
        drawn = io.StringIO()
        # In a notebook rich would display what it prints.
        console = Console(file=drawn, width=100, color_system=None, highlight=False, force_jupyter=False)
        show_suspicious(console, [{name: str(value) for name, value in row.items()} for row in rows])
        lines += [line.rstrip() for line in drawn.getvalue().splitlines() if line.strip()]
    lines += [f"Warning: {printable(warning)}" for warning in _warnings(audit)]
    return "\n".join([*lines, f"Run folder: {printable(str(audit.run.root))}"])


def as_html(audit: Audit) -> str:
    """The same with thumbnails, where the images are still in their place; every name is escaped."""
    rows = audit.top(min(_HTML_ROWS, audit.flagged)).to_pylist()
    parts = [f"<p><b>{_safe(_headline(audit))}</b></p>"]
    parts += [f"<p>⚠ {_safe(warning)}</p>" for warning in _warnings(audit)]
    if rows:
        head = "".join(f"<th>{name}</th>" for name in ("rank", "", "given", "suggested", "P(mislabeled)", "path"))
        body = "".join(_row(audit.catalogue, row) for row in rows)
        parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
    if audit.flagged > len(rows):
        parts.append(f"<p>… and {audit.flagged - len(rows):,} more in <code>.suspicious</code></p>")
    parts.append(f"<p>Run folder: <code>{_safe(str(audit.run.root))}</code></p>")
    return f"<div>{''.join(parts)}</div>"


def _warnings(audit: Audit) -> list[str]:
    unreadable = unreadable_sentence(audit.summary)
    return [*([unreadable] if unreadable else []), *audit.warnings]


def _headline(audit: Audit) -> str:
    rate, interval = audit.noise_rate, audit.summary.get("noise_rate_interval")
    shown = "unknown" if rate is None else f"{rate:.1%}"
    if interval:
        shown += f" ({interval[0]:.1%} to {interval[1]:.1%})"
    audited = len(audit.order_U)
    return f"{audit.flagged:,} of {audited:,} labels are suspicious; estimated noise rate {shown}"


def _row(catalogue: Catalogue, row: dict[str, Any]) -> str:
    names = (row["given_label"], row["suggested_label"])
    cells = (
        f"{row['rank']}",
        _thumbnail(catalogue, row["path"]),
        *(f"<bdi>{_safe(str(name))}</bdi>" for name in names),
        f"{row['p_mislabeled']:.3f}",
        f"<bdi>{_safe(row['path'])}</bdi>",
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _thumbnail(catalogue: Catalogue, path: str) -> str:
    try:
        content = read_file(catalogue.root / path)
        pixels_HWC = decode_small(content, side=_THUMBNAIL_PIXELS, rendering=catalogue.rendering)
    except UnreadableImageError:
        return ""
    encoded = io.BytesIO()
    Image.fromarray(pixels_HWC).save(encoded, format="JPEG", quality=85)
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(encoded.getvalue()).decode("ascii")}">'


def _safe(text: str) -> str:
    return escape(printable(text))
