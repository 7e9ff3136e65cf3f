"""``labelaudit reproduce detection``: tables from a data folder, resumed, and refused in one line."""

import importlib.util
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from labelaudit.cli.main import app
from tests.cli.helpers import CLASSES, QUICK, interrupted, modified, run, succeed, write_images

DETECT = ("reproduce", "detection")
TABLES = ("audits", "controls", "epochs", "estimates", "networks", "ranking")


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rightly labelled pictures; to be read only."""
    return write_images(tmp_path_factory.mktemp("clean") / "photos")


def rows(folder: Path, table: str) -> list[dict[str, object]]:
    """A table's rows."""
    found: list[dict[str, object]] = pq.read_table(folder / f"{table}.parquet").to_pylist()
    return found


def test_noise_and_seeds_become_tables(clean: Path) -> None:
    asked = ("--data", clean, "--out", "out", "--noise", "uniform:0.25", "--noise", "one-class:0.5:bee", *QUICK)
    outcome = succeed(*DETECT, *asked, "--seed", 0, "--seed", 3)
    out = Path("out")
    assert outcome.out == (out / "detection.md").read_text()
    assert outcome.out.startswith("# Detection of wrong labels: photos\n")
    assert all(f"{title}\n" in outcome.out for title in ("## Ranking: AUROC", "## The audit's interval"))
    audits = rows(out, "audits")
    assert [(row["noise"], row["seed"], row["wrong"]) for row in audits] == [
        ("uniform:0.25", 0, 12),
        ("uniform:0.25", 3, 12),
        ("one-class:0.5:bee", 0, 6),
        ("one-class:0.5:bee", 3, 6),
    ]
    assert all(row["samples"] == 48 and row["epochs"] == 4 and row["seconds"] > 0 for row in audits)
    assert {row["statistic"] for row in rows(out, "ranking")} >= {"aul", "aum", "cell_margin"}
    assert {row["estimator"] for row in rows(out, "estimates")} == {"confident-joint", "gmm", "gmm-per-class", "bmm"}
    assert len(rows(out, "epochs")) == 4 * 4
    assert rows(out, "controls") == rows(out, "networks") == []
    best = [row["auroc"] for row in rows(out, "ranking") if row["statistic"] == "aul"]
    assert min(best) > 0.8
    figures = list(out.glob("*.svg"))
    assert bool(figures) == (importlib.util.find_spec("matplotlib") is not None)

    # Once more: everything is there, and only the tables are written.
    before = modified(out)
    again = succeed(*DETECT, *asked, "--seed", 0, "--seed", 3)
    changed = {name for name, when in modified(out).items() if before[name] != when}
    assert not {name for name in changed if "/" in name and not Path(name).name.startswith(".")}
    assert {name for name in changed if name.endswith(".parquet")} == {f"{table}.parquet" for table in TABLES}
    assert [row["auroc"] for row in rows(out, "ranking") if row["statistic"] == "aul"] == best
    # Also the time that the audits took.
    assert again.out == outcome.out


def test_an_interrupted_table_goes_on_where_it_stopped(clean: Path) -> None:
    asked = (*DETECT, "--data", clean, "--noise", "uniform:0.25", *QUICK, "--seed", 0, "--seed", 1)
    # Each audit writes four epochs: the second one stops after its first two.
    with interrupted("labelaudit.audit.probe.write_epoch", call=7):
        assert run(*asked, "--out", "stopped").code == 130
    first = rows(Path("stopped"), "ranking")
    assert {row["seed"] for row in first} == {0}
    outcome = succeed(*asked, "--out", "stopped")
    assert "Going on after 2 of 4 epochs" in outcome.err
    succeed(*asked, "--out", "whole")
    assert [row["seconds"] > 0 for row in rows(Path("stopped"), "audits")] == [True, False]
    for table in ("ranking", "estimates", "epochs"):
        assert str(rows(Path("stopped"), table)) == str(rows(Path("whole"), table))


def test_given_labels_are_compared_with_the_folder_or_with_a_file(clean: Path) -> None:
    given = Path("crowd.csv")
    lines = [f"{name}/{picture:03d}.png,{name}" for name in CLASSES for picture in range(12)]
    wrong = [line.replace(",ant", ",bee") if number < 6 else line for number, line in enumerate(lines)]
    given.write_text("path,label\n" + "\n".join(wrong) + "\n")
    succeed(*DETECT, "--data", clean, "--out", "one", "--labels", given, *QUICK, "--controls")
    (row,) = rows(Path("one"), "audits")
    assert (row["noise"], row["samples"], row["wrong"]) == ("crowd", 48, 6)
    controls = rows(Path("one"), "controls")
    assert {row["kind"] for row in controls} <= {"random", "confusion", "look-alike"}
    assert all(row["planted"] >= row["found"] for row in controls)
    assert "controls" in {row["estimator"] for row in rows(Path("one"), "estimates")}
    # The same errors the other way round: the folder holds them, and the file the truth.
    succeed(*DETECT, "--data", clean, "--out", "two", "--truth", given, *QUICK)
    (row,) = rows(Path("two"), "audits")
    assert (row["noise"], row["wrong"]) == ("given", 6)
    given.write_text("path,label\n" + "\n".join(wrong[:-1]) + "\n")
    outcome = run(*DETECT, "--data", clean, "--out", "three", "--truth", given, *QUICK)
    assert "1 of 48 labelled images have no true label" in outcome.error


def test_two_networks_are_correlated(clean: Path) -> None:
    succeed(
        *(*DETECT, "--data", clean, "--out", "out", "--noise", "pair-flip:0.25", *QUICK),
        *("--model", "labelaudit_probe", "--also-model", "labelaudit_probe_coarse"),
    )
    (row,) = rows(Path("out"), "networks")
    assert (row["model"], row["other_model"]) == ("labelaudit_probe", "labelaudit_probe_coarse")
    assert isinstance(row["aul"], float)
    assert 0 < row["aul"] <= 1
    assert {row["model"] for row in rows(Path("out"), "ranking")} == {"labelaudit_probe", "labelaudit_probe_coarse"}
    assert "## Agreement of networks" in Path("out/detection.md").read_text()
    outcome = run(*DETECT, "--data", clean, "--out", "out", "--noise", "pair-flip:0.25", "--also-model", row["model"])
    assert "--also-model labelaudit_probe is the network of the audit itself" in outcome.error


def test_an_audit_of_other_settings_is_not_taken_for_this_one(clean: Path) -> None:
    asked = (*DETECT, "--data", clean, "--out", "out", "--noise", "uniform:0.25")
    succeed(*asked, *QUICK)
    outcome = run(*asked, "--epochs", 5)
    assert "epochs is 4 there, 5 asked" in outcome.error


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "there is nothing to measure; give --noise"),
        (["--noise", "uniform:2"], "the rate '2' is not a number from 0 to below 1"),
        (["--noise", "typo:0.1"], "there is no noise 'typo'"),
        (["--noise", "asymmetric:0.1:ant,cow"], "does not name different classes of the data"),
        (["--noise", "uniform:0.1", "--noise", "uniform:.1"], "uniform:0.1 and uniform:0.1 would have the same name"),
        (["--noise", "uniform:0.1", "--seed", "1", "--seed", "1"], "--seed 1 is given twice"),
        (["--noise", "uniform:0.1", "--seed", "-1"], "--seed -1 is negative"),
        (["--noise", "uniform:0.1", "--also-model", "no_such_model"], "no_such_model"),
        (["--noise", "uniform:0.1", "--epochs", "0"], "--epochs 0 is too small"),
        (["--noise", "uniform:0.1", "--threads", "0"], "--threads 0 is too few"),
        (["--labels", "nowhere.csv"], "cannot read the labels file nowhere.csv"),
        (["--noise", "uniform:0.1", "--plots", "gif"], "--plots"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_makes_no_sense_is_refused_in_one_line(clean: Path, words: list[str], says: str) -> None:
    outcome = run(*DETECT, "--data", clean, "--out", "out", "--quiet", *words)
    assert says in outcome.only_error
    assert not list(Path().rglob("run.json"))


def test_the_output_may_not_lie_in_the_data(clean: Path) -> None:
    outcome = run(*DETECT, "--data", clean, "--out", clean / "out", "--noise", "uniform:0.1")
    assert "lies in the data folder; give a folder elsewhere" in outcome.only_error
    assert not (clean / "out").exists()
    assert (
        "there is no folder nowhere"
        in run(*DETECT, "--data", "nowhere", "--out", "out", "--noise", "uniform:0.1").error
    )
    assert "Missing option" in run(*DETECT, "--out", "out").error


def test_several_processes_would_get_into_each_others_way(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setenv("WORLD_SIZE", "2")
    outcome = run(*DETECT, "--data", clean, "--out", "out", "--noise", "uniform:0.1")
    assert "does not run under torchrun" in outcome.only_error


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is not None, reason="matplotlib is there")
def test_plots_need_matplotlib(clean: Path) -> None:
    outcome = run(*DETECT, "--data", clean, "--out", "out", "--noise", "uniform:0.1", "--plots", "svg")
    assert "pip install 'labelaudit[plots]'" in outcome.only_error


def test_the_group_lists_its_commands() -> None:
    (group,) = [group for group in app.registered_groups if group.name == "reproduce"]
    assert group.typer_instance is not None
    names = [str(command.name) for command in group.typer_instance.registered_commands]
    text = succeed("reproduce", "--help").out
    assert "detection" in names
    assert succeed("reproduce").out == text
    assert "No such command 'nothing'; see labelaudit reproduce --help" in run("reproduce", "nothing").only_error
    assert all(f" {name} " in text for name in names)
    for name in names:
        text = succeed("reproduce", name, "--help").out
        assert "--quiet" in text
        assert "--no-progress" in text
        assert f"$ labelaudit reproduce {name}" in text
