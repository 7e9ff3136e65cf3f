import math
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from labelaudit.methods.table import METHODS as TABLE
from labelaudit.reproduce.table1.experiment import METHODS
from labelaudit.reproduce.table1.markdown import as_markdown, name_of
from labelaudit.reproduce.table1.paper import NOISES, ROWS, figure_of
from labelaudit.reproduce.table1.records import Audit, Cell, Run, as_plain, from_plain, write_table
from labelaudit.reproduce.table1.scales import SCALES, parameters_for
from labelaudit.reproduce.table1.summary import summarise


def run(method: str, error: float, *, seed: int = 0, noise: str = "uniform:0.4", epoch: float = 1.0, **changes) -> Run:
    values = {
        "noise": noise,
        "rate": 0.4,
        "seed": seed,
        "method": method,
        "status": "trained",
        "error": error,
        "best_error": error / 2,
        "train_error": 0.1,
        "epochs": 10,
        "epoch_seconds": epoch,
        "seconds": 10 * epoch,
        "noise_rate": math.nan,
    }
    return Run(**{**values, **changes})


AUDIT = Audit(noise="uniform:0.4", rate=0.4, seed=0, noise_rate=0.42, precision=0.9, recall=math.nan, seconds=math.nan)


def test_a_cell_has_mean_and_deviation_over_the_seeds_in_percent_beside_the_papers_figure():
    summary = summarise([run("aul", 0.10), run("aul", 0.14, seed=1), run("standard", 0.4)])
    cell = summary.cell("aul", "uniform:0.4")
    assert cell.error == pytest.approx(12.0)
    assert cell.deviation == pytest.approx(math.sqrt(8))
    assert (cell.seeds, cell.diverged) == (2, 0)
    assert (cell.paper_error, cell.paper_deviation) == (11.5, 0.2)
    assert math.isnan(summary.cell("standard", "uniform:0.4").deviation)
    assert summary.cell("oracle", "uniform:0.4") is None
    assert summary.best["aul", "uniform:0.4"] == pytest.approx(6.0)


def test_times_are_multiples_of_standards_with_the_same_noise_and_seed():
    runs = [
        run("standard", 0.4, epoch=2.0),
        run("standard", 0.4, seed=1, epoch=4.0),
        run("incv", 0.2, epoch=4.0, seconds=60.0),
        run("incv", 0.2, seed=1, epoch=4.0, seconds=60.0),
    ]
    cell = summarise(runs).cell("incv", "uniform:0.4")
    assert cell.relative_epoch == pytest.approx((4 / 2 + 4 / 4) / 2)
    assert cell.relative_time == pytest.approx((60 / 20 + 60 / 40) / 2)
    assert math.isnan(summarise(runs[2:]).cell("incv", "uniform:0.4").relative_epoch)


def expectations(**errors: float) -> dict[tuple[str, ...], bool | None]:
    found = summarise([run(method.replace("_", "-"), error) for method, error in errors.items()])
    return {one.methods: one.came_out for one in found.expectations}


def test_the_papers_orders_come_out_or_do_not():
    right = expectations(oracle=0.1, aul=0.12, standard=0.4, random=0.2, reed_hard=0.35)
    assert right == {("oracle", "aul", "standard"): True, ("aul", "random"): True, ("aul", "reed-hard"): True}
    wrong = expectations(oracle=0.13, aul=0.12, standard=0.4, random=0.11, reed_hard=0.12)
    assert wrong == {("oracle", "aul", "standard"): False, ("aul", "random"): False, ("aul", "reed-hard"): False}
    assert expectations(oracle=0.1, aul=math.nan, standard=0.4) == {("oracle", "aul", "standard"): None}
    assert expectations(oracle=0.1, standard=0.4) == {}


def test_each_noise_has_its_own_orders():
    runs = [run("aul", 0.1), run("random", 0.2), run("aul", 0.5, noise="n:2"), run("random", 0.4, noise="n:2")]
    assert [(one.noise, one.came_out) for one in summarise(runs).expectations] == [
        ("uniform:0.4", True),
        ("n:2", False),
    ]


def test_divergence_is_told():
    diverged = {"status": "diverged", "best_error": math.nan, "epoch_seconds": math.nan, "seconds": math.nan}
    runs = [
        run("d2l", math.nan, noise="uniform:0.8", **diverged),
        run("d2l", 0.2),
        run("d2l", math.nan, seed=1, **diverged),
    ]
    summary = summarise(runs)
    assert summary.cell("d2l", "uniform:0.8").diverged == 1
    page = as_markdown("photos", "About.", summary, [])
    assert "| D2L | diverged | diverged | 20.00 (1 of 2, others diverged) | 15.6 ± 0.6 |" in page


def test_the_page_has_all_tables_with_even_rows():
    runs = [run(method, 0.1 + place / 100) for place, method in enumerate(METHODS)]
    page = as_markdown("photos", "About.", summarise(runs), [AUDIT])
    assert page.startswith("# Robust training on noisy labels: photos\n\nAbout.\n")
    assert re.findall(r"^## (.*)", page, re.MULTILINE) == [
        "Test error",
        "Do the paper's orders come out?",
        "With early stopping on the test images",
        "Time",
        "Audits",
    ]
    for table in page.split("## ")[1:]:
        columns = {line.count("|") for line in table.splitlines() if line.startswith("|")}
        assert len(columns) == 1
    assert "| uniform:0.4 | 0 | 0.400 | 0.420 | 0.90 / – | – |" in page
    assert "nan" not in page


def test_the_papers_figures_are_there():
    assert [figure_of("aul", noise).error for noise in NOISES] == [9.2, 11.5, 16.0, 37.8, 11.1]
    assert figure_of("d2l", "uniform:0.8").note == "diverged"
    for noise in ("uniform:0.6", "pair-flip:0.4"):
        assert figure_of("mentornet", noise).error is None
        assert figure_of("mentornet", noise).note == ""
    assert figure_of("dividemix", NOISES[0]).error is figure_of("aul", "uniform:0.3").error is None


def test_every_row_is_a_method_of_the_table_and_every_method_a_row():
    names = {entry.name for entry in TABLE}
    assert set(METHODS) == names
    assert METHODS[: len(ROWS)] == ROWS
    assert all(name_of(method) != method for method in METHODS)


def test_scales_name_methods_and_the_papers_noises():
    for scale in SCALES.values():
        assert set(scale.parameters) <= set(METHODS)
        assert set(scale.noises) <= set(NOISES)
    assert parameters_for(SCALES["small"], "mentornet", 0.8)["percentile"] == 0.5
    assert "percentile" not in parameters_for(SCALES["small"], "mentornet", 0.6)


def test_records_survive_files(tmp_path: Path):
    cells = summarise([run("aul", 0.1)]).cells
    write_table(tmp_path / "cells.parquet", Cell, cells)
    write_table(tmp_path / "none.parquet", Audit, [])
    (row,) = pq.read_table(tmp_path / "cells.parquet").to_pylist()
    assert row["paper_error"] == 11.5
    assert pq.read_table(tmp_path / "none.parquet").column_names == list(as_plain(AUDIT))
    assert as_plain(AUDIT)["recall"] is None
    assert str(from_plain(Audit, as_plain(AUDIT))) == str(AUDIT)
    with pytest.raises(KeyError):
        from_plain(Run, as_plain(AUDIT))
