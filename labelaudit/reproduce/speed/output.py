"""What a benchmark leaves behind: a Markdown table, and JSON that says where the figures come from."""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from labelaudit.reproduce.speed.timing import Row

_PACKAGES = (
    "labelaudit",
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "pillow",
    "pyarrow",
    "scikit-learn",
    "aum",
    "cleanlab",
)


def as_markdown(rows: Sequence[Row]) -> str:
    """A table with a line for each row."""
    lines = ["| what | value | unit | note |", "|---|--:|---|---|"]
    lines += [f"| {row.name} | {_figure(row.value)} | {row.unit} | {row.note} |" for row in rows]
    return "\n".join(lines)


def as_json(benchmark: str, asked: argparse.Namespace, rows: Sequence[Row]) -> dict[str, Any]:
    """Plain values: the rows, the options, and what the figures depend on."""
    options = {name: str(value) if isinstance(value, Path) else value for name, value in vars(asked).items()}
    return {
        "benchmark": benchmark,
        "options": options,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "processor": processor_name(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "rows": [asdict(row) for row in rows],
    }


def processor_name() -> str:
    """What the processor calls itself, or at least its family."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
