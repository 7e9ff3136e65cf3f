from pathlib import Path

from labelaudit.run.layout import RunFolder
from labelaudit.run.series import earlier_runs, judged_before, newest, next_run, runs_in


def begin(folder: Path, *, judged: bool = False) -> RunFolder:
    run = RunFolder(folder)
    folder.mkdir(parents=True)
    run.write_description({})
    if judged:
        run.noise.write_text("{}")
    return run


def test_runs_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    assert runs_in(tmp_path / "nowhere") == []
    runs = {number: begin(tmp_path / number) for number in ("10", "2", "9")}
    for other in ("0", "02", "1b", "²", "retrain"):
        (tmp_path / other).mkdir()
        (tmp_path / other / "run.json").write_text("{}")
    (tmp_path / "11").mkdir()  # not begun
    assert runs_in(tmp_path) == [runs["2"], runs["9"], runs["10"]]
    assert next_run(tmp_path).root == tmp_path / "11"
    assert next_run(tmp_path / "nowhere").root == tmp_path / "nowhere/1"


def test_a_path_means_the_newest_run_with_verdicts_or_the_newest(tmp_path: Path) -> None:
    assert newest(tmp_path / "nowhere").root == tmp_path / "nowhere"
    first = begin(tmp_path / "photos/1")
    assert newest(tmp_path / "photos") == first
    second = begin(tmp_path / "photos/2", judged=True)
    third = begin(tmp_path / "photos/3")
    assert newest(tmp_path / "photos") == second
    assert newest(tmp_path / "photos", judged=False) == third
    assert newest(first.root) == first
    assert earlier_runs(third) == [first, second]
    assert (judged_before(third), judged_before(second)) == (second, None)
    assert earlier_runs(RunFolder(tmp_path / "photos")) == []
