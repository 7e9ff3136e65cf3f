"""The benchmark of statistics at scale, small."""

import argparse
from pathlib import Path

import numpy as np
import pytest

from labelaudit.audit.judge import fit
from labelaudit.detect.mixture import fit_gaussian_mixture
from labelaudit.detect.verdicts import FitSettings
from labelaudit.reproduce.speed import scale
from labelaudit.reproduce.speed.made_up import CLASSES, SCORE_SHAPES, WRONG, write_run
from labelaudit.reproduce.speed.timing import Row
from labelaudit.run.layout import RunFolder
from labelaudit.run.losses import read_epochs


def measured(*arguments: object) -> dict[str, Row]:
    parser = argparse.ArgumentParser()
    scale.add_arguments(parser)
    rows = scale.measure(parser.parse_args([str(argument) for argument in arguments]))
    assert len({row.name for row in rows}) == len(rows)
    return {row.name: row for row in rows}


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = RunFolder(tmp_path_factory.mktemp("scale") / "made-up")
    write_run(run, samples=5000, epochs=12)
    return run


def test_all_figures_of_a_small_run(tmp_path: Path) -> None:
    work = tmp_path / "new" / "work"
    options = ("--samples", 20_000, "--epochs", 5, "--scores", 100_000, "--exact-scores", 20_000)
    found = measured(*options, "--work", work)
    memory = found["scoring: peak memory"]
    assert memory.unit == "MB"
    assert 30 < memory.value < 300  # neither that of this process, nor with torch
    assert memory.note == "100,000 records"
    assert found["scoring"].value > 10_000
    assert 0 < found["scoring: decoding of Parquet"].value < 100
    for shape in SCORE_SHAPES:
        assert 0 < found[f"mixture, {shape}"].value < 2
        assert found[f"mixture, {shape}: off the exact fit"].value < 1e-3
    ours, plain, csv = (
        found[f"a record {how}"].value
        for how in ("as labelaudit writes it", "in Parquet as pyarrow writes it", "in CSV")
    )
    assert 4 < ours < 9 < plain < 24 < csv < 60
    assert list(work.iterdir()) == []


def test_bytes_are_those_of_the_losses_that_are_given(made_up: RunFolder, tmp_path: Path) -> None:
    ours, plain, csv = scale.size_rows(made_up.losses, tmp_path / "sizes", whose="here")
    # Every second of 12 epochs: at most 10 are counted.
    assert {row.note for row in (ours, plain, csv)} == {"30,000 records here"}
    written = sum(file.stat().st_size for file in made_up.losses.iterdir())
    assert ours.value == pytest.approx(written / 60_000, rel=0.02)


def test_the_made_up_run_is_one_that_can_be_scored(made_up: RunFolder) -> None:
    fitted = fit(made_up, FitSettings.chosen(estimator="gmm"))
    assert fitted.noise["epochs"] == 12
    assert len(set(fitted.catalogue.paths)) == len(set(fitted.catalogue.sha256)) == 5000
    assert fitted.noise["noise_rate"] == pytest.approx(WRONG, abs=0.1)
    flagged = fitted.verdicts.order[: fitted.verdicts.flagged]
    assert len(flagged) > 0.5 * WRONG * 5000
    assert (fitted.catalogue.label_N[flagged] != fitted.statistics.beliefs.alternative_N[flagged]).all()


def test_made_up_records_agree_with_themselves(made_up: RunFolder) -> None:
    means = []
    for record in read_epochs(made_up.losses):
        assert (record.loss_R > np.log1p(np.exp(-record.margin_R.astype(np.float64))) - 1e-5).all()
        assert ((record.margin_R > 0) == (record.predicted_R != record.alternative_R)).all()
        assert {0, CLASSES - 1} <= set(record.alternative_R.tolist()) <= set(range(CLASSES))
        means.append(float(record.loss_R.mean()))
    assert means[-1] < 0.8 * means[0]


def test_deviation_is_that_of_the_histogram() -> None:
    score_N = SCORE_SHAPES["well apart"](3000, np.random.default_rng(0))
    weight, mean = scale.deviation(score_N)
    exact = fit_gaussian_mixture(score_N)
    assert exact is not None
    assert 0 < weight < 1e-4
    assert 0 < mean < 1e-4
    assert np.isnan(scale.deviation(score_N[:5])).all()
