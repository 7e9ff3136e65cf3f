"""Run by torchrun from test_parallel.py: the first process meets an error, and every process keeps what it got."""

import json
import os
import sys
from pathlib import Path

from labelaudit.engine.parallel import joined
from labelaudit.errors import DataError
from tests.engine.helpers import CPU


def fail() -> None:
    raise DataError("no images", fix="look elsewhere")


def main(folder: Path) -> None:
    with joined(CPU) as world:
        try:
            world.once(fail)
        except DataError as error:
            content = {"text": str(error), "told": error.told}
            (folder / f"rank-{os.environ['RANK']}.json").write_text(json.dumps(content))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
