"""The tables: mean ± spread over seeds, how often the interval held, and Parquet."""

import math
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from labelaudit.reproduce.detection.markdown import Heading, as_markdown, even_epochs, figure
from labelaudit.reproduce.detection.records import (
    AuditRecord,
    ControlRecord,
    EpochRecord,
    EstimateRecord,
    NetworkRecord,
    RankingRecord,
    Tables,
)

NAN = math.nan
AUDIT = AuditRecord(
    noise="uniform:0.2",
    model="net",
    seed=0,
    samples=100,
    wrong=20,
    noise_rate=0.2,
    low=0.1,
    high=0.3,
    held=1.0,
    suggestion=0.9,
    epochs=2,
    seconds=NAN,
)
SAME = {"noise": "uniform:0.2", "model": "net", "seed": 0}
ESTIMATE = EstimateRecord(
    **SAME,  # type: ignore[arg-type]
    source="labelaudit",
    estimator="gmm",
    chosen=False,
    true_rate=0.2,
    noise_rate=0.25,
    error=0.05,
    flagged=0.3,
    precision=0.5,
    recall=1.0,
    f1=0.75,
    calibration_error=0.01,
)


def tables() -> Tables:
    """Two seeds of one setting."""
    found = Tables.empty()
    for seed, auroc, held in ((0, 0.9, 1.0), (1, 0.8, 0.0)):
        found.audits.append(replace(AUDIT, seed=seed, held=held))
        where = {**SAME, "seed": seed}
        found.ranking.append(
            RankingRecord(  # type: ignore[arg-type]
                **where, source="labelaudit", statistic="aul", chosen=True, auroc=auroc, average_precision=NAN
            )
        )
        found.estimates.append(replace(ESTIMATE, seed=seed))
        found.estimates.append(replace(ESTIMATE, seed=seed, estimator="controls", chosen=True, noise_rate=0.21))
        found.controls.append(ControlRecord(**where, kind="random", planted=10, found=9 - seed))  # type: ignore[arg-type]
        for epoch in (1, 2):
            found.epochs.append(EpochRecord(**where, epoch=epoch, loss_auroc=0.7, aul_auroc=auroc))  # type: ignore[arg-type]
    return found


def page(found: Tables) -> str:
    return as_markdown(found, Heading(data="photos", lines=("What it is.",)))


def line(text: str, *beginning: str) -> str:
    """The only table line that begins with these cells."""
    (found,) = [row for row in text.splitlines() if row.startswith("| " + " | ".join(beginning) + " |")]
    return found


def test_figures_are_means_with_their_spread() -> None:
    assert figure([0.9, 0.8]) == "0.8500 ± 0.0707"
    assert figure([0.5], 2) == "0.50"
    assert figure([NAN, 0.5, 0.5], 1) == "0.5 ± 0.0 (2 of 3)"
    assert figure([NAN]) == figure([]) == "–"


def test_the_page_says_what_the_rows_say() -> None:
    text = page(tables())
    assert text.startswith("# Detection of wrong labels: photos\n\nWhat it is.\n")
    auroc, precision = text.split("## Ranking: Average precision")
    assert line(auroc, "uniform:0.2") == "| uniform:0.2 | 0.8500 ± 0.0707 |"
    assert "| uniform:0.2 | – |" in precision
    assert "| noise | **aul** |" in auroc
    cells = line(text, "uniform:0.2", "gmm").split(" | ")[2:]
    assert [cell.split(" ")[0] for cell in cells] == [
        *("0.200", "0.250", "0.050", "0.300", "0.500", "1.000", "0.750", "0.010")
    ]
    assert "| uniform:0.2 | **controls** |" in text
    assert line(text, "uniform:0.2", "random") == "| uniform:0.2 | random | 10 ± 0 | 0.850 ± 0.071 |"


def test_how_often_the_interval_held_the_truth() -> None:
    found = tables()
    assert "| 1 of 2 |" in page(found)
    found.audits[1] = replace(found.audits[1], held=NAN, low=NAN, high=NAN)
    assert "| 1 of 1 |" in page(found)
    assert "0.100 (1 of 2)" in page(found)


def test_tables_without_rows_are_left_out_and_networks_are_named_when_there_are_several() -> None:
    found = tables()
    text = page(found)
    assert "Agreement of networks" not in text
    assert "Over noise rates" not in text
    found.audits.append(replace(AUDIT, model="other"))
    found.networks.append(NetworkRecord(**SAME, other_model="other", aul=0.98, last_loss=0.8))  # type: ignore[arg-type]
    text = page(found)
    assert line(text, "uniform:0.2", "net", "other").endswith("| 0.980 | 0.800 |")
    assert "| uniform:0.2 (net) |" in text


def test_several_rates_of_a_kind_are_put_side_by_side() -> None:
    found = tables()
    found.estimates.append(replace(ESTIMATE, noise="uniform:0.4", true_rate=0.4, noise_rate=0.5))
    found.estimates.append(replace(ESTIMATE, noise="random1", true_rate=0.1))
    text = page(found).split("## Over noise rates")[1]
    assert "| uniform:0.2 | 0.200 ± 0.000 | 0.250 ± 0.000 | 0.500 ± 0.000 | 1.000 ± 0.000 | 0.210 ± 0.000 |" in text
    assert "| uniform:0.4 |" in text
    assert "random1" not in text


def test_epochs_are_spaced_evenly_with_both_ends() -> None:
    assert even_epochs(3) == [1, 2, 3]
    assert even_epochs(150, 4) == [1, 51, 100, 150]
    assert len(set(even_epochs(9))) == 8


def test_every_table_is_a_file_also_without_rows(tmp_path: Path) -> None:
    tables().write(tmp_path)
    assert sorted(path.stem for path in tmp_path.iterdir()) == [
        *("audits", "controls", "epochs", "estimates", "networks", "ranking")
    ]
    ranking = pq.read_table(tmp_path / "ranking.parquet")
    assert ranking["auroc"].to_pylist() == [0.9, 0.8]
    assert ranking["seed"].to_pylist() == [0, 1]
    assert pq.read_table(tmp_path / "networks.parquet").column_names == [
        *("noise", "model", "seed", "other_model", "aul", "last_loss")
    ]
    assert not list(tmp_path.glob(".*"))
