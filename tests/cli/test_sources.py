"""An audit of data that lie in an archive or a table, from score to the corrected labels."""

import shutil
from pathlib import Path

import pytest

from tests.cli.helpers import (
    CLASSES,
    HOME,
    QUICK,
    decide,
    file_bytes,
    read_rows,
    run,
    succeed,
    suspicious,
    write_images,
)
from tests.data.test_containers import table_of, zip_of

pytestmark = pytest.mark.slow


ARCHIVED = Path("labelaudit-runs/photos.zip")


@pytest.fixture
def photos() -> Path:
    zip_of(Path("photos.zip"), file_bytes(write_images(Path("photos"), each=15, wrong=1)))
    return Path("photos.zip")


def test_a_zip_is_audited_as_its_folder_and_corrected_by_a_labels_file(photos: Path) -> None:
    succeed("score", "photos", *QUICK)
    succeed("score", photos, *QUICK)
    found = suspicious(ARCHIVED / "1")
    assert found == suspicious(HOME / "1")
    assert {row["path"] for row in found} >= {f"{name}/000.png" for name in CLASSES}
    before = photos.read_bytes()
    succeed("report", ARCHIVED)
    assert "the file has changed since the audit" not in (ARCHIVED / "1/report.html").read_text()
    decide(ARCHIVED / "1", "change", *found)
    wanted = "photos.zip are not those of folders, so that no file can be moved; give --out NEW.csv"
    assert wanted in run("relabel", photos, ARCHIVED / "1/decisions.csv", "--yes").error
    assert wanted in run("relabel", ARCHIVED, "--yes").error
    outcome = succeed("relabel", ARCHIVED, "--out", "labels.csv")
    assert "--labels labels.csv" in outcome.err
    rows = {row["path"]: row["label"] for row in read_rows(Path("labels.csv").read_text())}
    assert len(rows) == 60
    assert rows["ant/000.png"] == "bee"
    succeed("score", photos, "--labels", "labels.csv", *QUICK)
    assert photos.read_bytes() == before


def test_a_changed_archive_is_audited_anew_and_old_reviews_of_it_are_refused(photos: Path) -> None:
    succeed("score", photos, *QUICK)
    decide(ARCHIVED / "1", "change", *suspicious(ARCHIVED / "1"))
    zip_of(photos, file_bytes(write_images(Path("others"), each=15, wrong=1, seed=1)))
    outcome = run("relabel", ARCHIVED, "--out", "labels.csv")
    assert outcome.code == 2
    assert "its content has changed since it was reviewed" in outcome.out + outcome.err
    assert not Path("labels.csv").exists()
    assert "has changed since" in succeed("score", photos, *QUICK).err
    assert (ARCHIVED / "2").is_dir()
    photos.unlink()
    assert "there is no folder photos.zip" in run("score", photos, *QUICK).error


def test_rows_of_a_table_are_named_by_file_and_number(photos: Path) -> None:
    images = file_bytes(Path("photos"))
    Path("data").mkdir()
    for number in range(2):
        part = dict(list(images.items())[number::2])
        labels = [path.partition("/")[0] for path in part]
        table_of(Path(f"data/train-0000{number}-of-00002.parquet"), labels, list(part.values()), row_group_size=8)
    succeed("score", "data", *QUICK, "-o", "s.csv")
    found = read_rows(Path("s.csv").read_text())
    wrong = {row["path"] for row in found}
    assert "data/train-00000-of-00002.parquet" not in wrong
    assert {"train-00000-of-00002.parquet/000000", "train-00001-of-00002.parquet/000007"} <= wrong
    assert "are not in" in run("export", "labelaudit-runs/data", "--to", "fiftyone").error
    shutil.rmtree("photos")
    assert "no class folders of files" in run("corrupt", "data", "copy", "--kind", "uniform", "--rate", "0.1").error
