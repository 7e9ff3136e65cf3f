import re
from pathlib import Path

from labelaudit.auditing import demo as recipe
from labelaudit.auditing.options import TrainingOptions
from tests.cli.helpers import file_bytes, modified, read_rows, run, succeed


def test_the_demo_finds_planted_errors_compares_with_the_truth_and_is_only_read_again(monkeypatch) -> None:
    monkeypatch.setattr(recipe, "TrainingOptions", lambda **asked: TrainingOptions(**{**asked, "epochs": 3}))
    outcome = succeed("demo", "folder", "--seed", "3")
    told = re.search(r"AUROC ([\d.]+), .* (\d+) of (\d+) planted errors are among the (\d+) suspicious", outcome.out)
    assert told is not None, outcome.out
    found, planted, suspicious = map(int, told.groups()[1:])
    assert float(told[1]) >= 0.98
    assert found >= 0.7 * planted
    assert found >= 0.5 * suspicious
    truth = read_rows(Path("folder/truth.csv").read_text())
    wrong = {row["path"] for row in truth if row["label"] != row["given"]}
    assert len(list(Path("folder/images").rglob("*.png"))) == len(truth) == 1797
    assert len(wrong) == planted == 180
    ranked = [row["path"] for row in read_rows(Path("folder/audit/suspicious.csv").read_text())]
    assert (len(ranked), len(wrong.intersection(ranked))) == (suspicious, found)
    before, images = modified(Path("folder/audit")), file_bytes(Path("folder/images"))
    assert succeed("demo", "folder", "--seed", "3").out == outcome.out
    assert modified(Path("folder/audit")) == before
    assert file_bytes(Path("folder/images")) == images


def test_the_demo_refuses_a_folder_of_other_files_and_a_file() -> None:
    Path("mine").mkdir()
    Path("mine/letter.txt").write_text("dear")
    assert run("demo", "mine").only_error == "mine holds other files; give a new folder for the demo"
    assert [path.name for path in Path("mine").iterdir()] == ["letter.txt"]
    Path("file").write_text("in the way")
    assert run("demo", "file/below").only_error.startswith("cannot write file/below")
