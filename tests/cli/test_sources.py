"""An audit of data that lie in an archive or a table, from score to the corrected labels."""

import shutil
from pathlib import Path

import pytest

from labelaudit.review.corrections import Correction
from tests.cli.helpers import QUICK, file_bytes, read_rows, run, succeed, write_images
from tests.data.test_containers import table_of, zip_of
from tests.review.helpers import write_corrections

pytestmark = pytest.mark.slow


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    zip_of(Path("photos.zip"), file_bytes(write_images(Path("photos"), each=15, wrong=1)))
    return Path("photos.zip")


def corrections(run_folder: str) -> list[Correction]:
    rows = read_rows(Path(run_folder, "suspicious.csv").read_text())
    names = ("path", "given_label", "sha256")
    return [
        Correction(**{name: row[name] for name in names}, action="change", label=row["suggested_label"], where="row")
        for row in rows
    ]


def test_a_zip_is_audited_as_its_folder_and_corrected_by_a_labels_file(photos: Path) -> None:
    succeed("score", "photos", *QUICK)
    succeed("score", photos, *QUICK)
    folder, archive = (Path("labelaudit-runs", name, "1", "suspicious.csv") for name in ("photos", "photos.zip"))
    assert archive.read_bytes() == folder.read_bytes()
    found = corrections("labelaudit-runs/photos.zip/1")
    assert {each.path for each in found} >= {f"{name}/000.png" for name in ("ant", "bee", "cat", "dog")}
    before = photos.read_bytes()
    report = succeed("report", "labelaudit-runs/photos.zip")
    assert "photos.zip" in report.out + report.err
    page = Path("labelaudit-runs/photos.zip/1/report.html").read_text()
    assert "the file has changed since the audit" not in page
    write_corrections(Path("c.csv"), found)
    wanted = "photos.zip has its labels inside, so that no file can be moved; give --out NEW.csv"
    assert wanted in run("relabel", photos, "c.csv", "--yes").error
    assert wanted in run("relabel", "labelaudit-runs/photos.zip", "c.csv", "--yes").error
    outcome = succeed("relabel", "labelaudit-runs/photos.zip", "c.csv", "--out", "labels.csv")
    assert "--labels labels.csv" in outcome.err
    rows = {row["path"]: row["label"] for row in read_rows(Path("labels.csv").read_text())}
    assert len(rows) == 60
    assert rows["ant/000.png"] == "bee"
    succeed("score", photos, "--labels", "labels.csv", *QUICK)
    assert photos.read_bytes() == before


def test_a_changed_archive_is_audited_anew_and_old_reviews_of_it_are_refused(photos: Path) -> None:
    succeed("score", photos, *QUICK)
    found = corrections("labelaudit-runs/photos.zip/1")
    write_corrections(Path("c.csv"), found)
    zip_of(photos, file_bytes(write_images(Path("others"), each=15, wrong=1, seed=1)))
    outcome = run("relabel", "labelaudit-runs/photos.zip", "c.csv", "--out", "labels.csv")
    assert outcome.code == 2
    assert "its content has changed since it was reviewed" in outcome.out + outcome.err
    assert not Path("labels.csv").exists()
    assert "has changed since" in succeed("score", photos, *QUICK).err
    assert Path("labelaudit-runs/photos.zip/2").is_dir()
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
