"""``labelaudit demo``: shortened, and whole."""

import re
from pathlib import Path

import pytest

from labelaudit.auditing import demo as recipe
from labelaudit.auditing.options import TrainingOptions
from tests.cli.helpers import file_bytes, modified, read_rows, run, succeed


def figures(text: str) -> tuple[float, int, int, int]:
    found = re.search(r"AUROC ([\d.]+), .* (\d+) of (\d+) planted errors are among the (\d+) suspicious", text)
    assert found is not None, text
    return float(found[1]), int(found[2]), int(found[3]), int(found[4])


def test_the_demo_writes_digits_and_truth_and_compares(monkeypatch: pytest.MonkeyPatch) -> None:
    def options(**asked: object) -> TrainingOptions:
        return TrainingOptions(**{**asked, "epochs": 2, "model": "labelaudit_probe"})  # type: ignore[arg-type]

    monkeypatch.setattr(recipe, "TrainingOptions", options)
    outcome = succeed("demo", "folder", "--seed", "3")
    auroc, found, planted, suspicious = figures(outcome.out)
    truth = read_rows(Path("folder/truth.csv").read_text())
    wrong = {row["path"] for row in truth if row["label"] != row["given"]}
    assert len(list(Path("folder/images").rglob("*.png"))) == len(truth) == 1797
    assert len(wrong) == planted == 180
    ranked = [row["path"] for row in read_rows(Path("folder/audit/suspicious.csv").read_text())]
    assert (len(ranked), len(wrong.intersection(ranked))) == (suspicious, found)
    assert auroc > 0.5
    before, images = modified(Path("folder/audit")), file_bytes(Path("folder/images"))
    again = succeed("demo", "folder", "--seed", "3")
    assert again.out == outcome.out
    assert modified(Path("folder/audit")) == before
    assert file_bytes(Path("folder/images")) == images


def test_the_demo_refuses_a_folder_of_other_files_and_a_file(tmp_path: Path) -> None:
    Path("mine").mkdir()
    Path("mine/letter.txt").write_text("dear")
    assert run("demo", "mine").only_error == "mine holds other files; give a new folder for the demo"
    assert [path.name for path in Path("mine").iterdir()] == ["letter.txt"]
    (tmp_path / "file").write_text("in the way")
    assert run("demo", "file/below").only_error.startswith("cannot write file/below")


@pytest.mark.slow
def test_the_whole_demo_finds_the_planted_errors() -> None:
    auroc, found, planted, suspicious = figures(succeed("demo", "folder").out)
    assert auroc >= 0.98
    assert found >= 0.7 * planted
    assert found >= 0.5 * suspicious
