"""Samples, records, a full disk and damaged files, shared by the tests of `labelaudit.run`."""

import contextlib
import csv
import io
import resource
from pathlib import Path

import numpy as np

from labelaudit.data.catalogue import Catalogue
from labelaudit.run.losses import EpochLosses
from labelaudit.text import unguarded
from tests.data.helpers import catalogue_of as catalogue_of_labels

AWKWARD_PATHS = (
    *("cat/plain.png", "cat/a,b.png", 'cat/"quoted".png', "dog/two\nlines.png", "dog/carriage\rreturn.png"),
    *("dog/both\r\n.png", "dog/猫 ä ö.png", "dog/para\u2029graph.png", "=1+1/formula.png"),
    *("'=1+1/formula with an apostrophe.png", "'tis/an apostrophe.png", "-1;+2/three\n=formulas.png"),
    "cat/not utf-8 \\xff.png",
)


def catalogue_of(paths=AWKWARD_PATHS, *, reasons=None, root=Path("/data")) -> Catalogue:
    """Samples with these paths; the first half are cats, the others dogs, and each has a content of its own."""
    number_N = np.arange(len(paths), dtype=np.int32)
    sizes = {"width_N": number_N + 10, "height_N": number_N + 20, "grey_N": number_N % 2 == 0}
    label_N = number_N * 2 // max(len(paths), 1)
    return catalogue_of_labels(label_N, paths=tuple(paths), reasons=reasons, root=root, **sizes)


def losses_of(loss, *, epoch=0, **columns) -> EpochLosses:
    """An epoch with these losses; samples are numbered in order, and other columns are 0, unless they are given."""
    zeros = dict.fromkeys(("margin", "predicted", "alternative"), np.zeros(len(loss)))
    values = {"sample": np.arange(len(loss)), **zeros, **columns, "loss": loss}
    types = dict.fromkeys(("loss", "margin"), np.float32)
    arrays = {f"{name}_R": np.asarray(value, dtype=types.get(name, np.int32)) for name, value in values.items()}
    return EpochLosses(epoch=epoch, **arrays)


def epoch_record(epoch=0, *, count=5) -> EpochLosses:
    """Random records of an epoch."""
    generator = np.random.default_rng(epoch)
    predicted, alternative = generator.integers(0, 10, (2, count))
    columns = {"margin": generator.normal(size=count), "predicted": predicted, "alternative": alternative}
    return losses_of(generator.exponential(size=count), epoch=epoch, sample=generator.permutation(count), **columns)


@contextlib.contextmanager
def room_for(count: int):
    """Make writes beyond ``count`` bytes of a file fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def read_rows(text: str) -> list[dict[str, str]]:
    """Return the rows of a list, without the guard against formulas."""
    rows = csv.DictReader(io.StringIO(text, newline=""))
    return [{name: unguarded(cell) for name, cell in row.items()} for row in rows]


def names_in(folder: Path) -> list[str]:
    """Return the sorted names in a folder."""
    return sorted(path.name for path in folder.iterdir())
