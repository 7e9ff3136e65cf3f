"""The packages that labelaudit is compared with; they come with the extra ``bench``."""

from __future__ import annotations

import importlib
from typing import Any

from labelaudit.errors import UsageError


def require(*names: str) -> list[Any]:
    """Import modules that a benchmark cannot do without.

    Raises:
        UsageError: some are not installed.
    """
    modules, missing = [], []
    for name in names:
        try:
            modules.append(importlib.import_module(name))
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] != name.partition(".")[0]:
                raise
            missing.append(name.partition(".")[0])
    if missing:
        raise UsageError(
            f"this benchmark compares with {' and '.join(dict.fromkeys(missing))}, not installed here",
            fix="pip install 'labelaudit[bench]'",
        )
    return modules
