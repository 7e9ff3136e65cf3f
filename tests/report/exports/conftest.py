"""Made-up audits, written once; to be read only."""

import pytest

from labelaudit.detect.constants import FLAG_ABOVE
from labelaudit.run.tables import read_scores
from tests.report.exports.helpers import hostile_folder, made_up_audit


@pytest.fixture(scope="package")
def images(tmp_path_factory):
    """216 images with hostile names in classes with hostile names, three of which cannot be read."""
    return hostile_folder(tmp_path_factory.mktemp("data") / "pic tures")


@pytest.fixture(scope="package")
def hostile(images, tmp_path_factory):
    broken = ("cat/1.png", "cat/same.jpg", "two\nlines/1.png")
    return made_up_audit(images, tmp_path_factory.mktemp("run") / "audit", broken=broken)


@pytest.fixture(scope="package")
def truth(hostile):
    """The readable samples by their path, from the run's own files."""
    rows = [row for row in read_scores(hostile.scores).to_pylist() if row["p_mislabeled"] is not None]
    return {row["path"]: {**row, "is_suspicious": row["p_mislabeled"] > FLAG_ABOVE} for row in rows}


@pytest.fixture(scope="package")
def suspicious(truth):
    """The paths of the suspicious samples, the most suspicious first."""
    flagged = [path for path, row in truth.items() if row["is_suspicious"]]
    return sorted(flagged, key=lambda path: -float(str(truth[path]["aul"])))
