import math

import numpy as np
import pytest
from PIL import Image

from labelaudit.data.folder import scan
from labelaudit.methods.table import METHODS as TABLE
from labelaudit.progress import QUIET
from labelaudit.reproduce import curves, prioritization, table1
from labelaudit.reproduce.prioritization import results
from labelaudit.reproduce.runner import Row, Tables, draw, parse_noise
from labelaudit.reproduce.table1 import ROWS, SCALES, cells_of, published, train_rows, with_parameters
from labelaudit.selectors.table import build_selector, describe_selector

NAN = math.nan


def trained(method: str, error: float, *, seed: int = 0, noise: str = "uniform:0.4") -> Row:
    status = "diverged" if math.isnan(error) else "trained"
    return {
        **{"noise": noise, "rate": 0.4, "seed": seed, "method": method, "status": status},
        **{"error": error, "best_error": error / 2, "seconds": 10.0},
    }


def test_a_cell_has_mean_and_deviation_in_percent_beside_the_papers() -> None:
    rows = [trained("aul", 0.10), trained("aul", 0.14, seed=1)]
    rows += [trained("standard", 0.4), trained("standard", 0.4, seed=1)]
    cell, standard = cells_of(rows, 10)
    assert (cell["error"], cell["deviation"]) == (pytest.approx(12.0), pytest.approx(math.sqrt(8)))
    assert (cell["seeds"], cell["diverged"], cell["paper_error"], cell["paper_deviation"]) == (2, 0, 11.5, 0.2)
    assert standard["deviation"] == 0


def test_table_1_has_all_methods_and_says_what_diverged() -> None:
    runs = [trained(row, 0.1 + place / 100) for place, row in enumerate(ROWS)]
    runs += [trained("d2l", NAN, seed=1), trained("d2l", NAN, noise="uniform:0.8")]
    tables = Tables("")
    tables.add({"runs": runs})
    page = "\n".join(table1.page_tables(10, 5, tables))
    assert "of the first network, measured every 5 epochs and after the last: what" in page
    assert "| d2l | 15.00 (1 of 2, others diverged) | 15.6 ± 0.6 | diverged | diverged |" in page
    assert "| aul | 17.00 | 11.5 ± 0.2 | – | – |\n| oracle " in page
    assert "| labelaudit | 19.00 | – | – | – |" in page
    assert "nan" not in page
    assert set(ROWS) == {entry.name for entry in TABLE} | {"labelaudit"}


@pytest.mark.parametrize(
    ("row", "noise", "classes", "parameters", "hyperparameters"),
    [
        ("mentornet", "uniform:0.8", 10, {"percentile": 0.5}, {}),
        ("mentornet", "uniform:0.6", 10, {}, {}),
        ("elr", "pair-flip:0.4", 10, {"beta": 0.9, "strength": 1.0}, {"schedule": "milestones", "epochs": 120}),
        ("elr", "uniform:0.4", 10, {}, {}),
        ("dividemix", "pair-flip:0.4", 10, {"noise_type": "asymmetric"}, {}),
        ("d2l", "uniform:0.4", 100, {"init_share": 0.3}, {"epochs": 200, "milestones": ((0.4, 0.1), (0.6, 0.01))}),
    ],
)
def test_what_is_published_for_some_noise_or_data_only(row, noise, classes, parameters, hyperparameters) -> None:
    assert published(row, parse_noise(noise, ()), classes) == (parameters, hyperparameters)
    with_parameters(SCALES["small"], [row], {f"{row}.{name}": value for name, value in parameters.items()})


def test_published_steps_reach_the_training_at_the_papers_scale(image_folder, tmp_path, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(table1, "train_method", lambda start, data, options, *_: asked.append(options) or [])
    clean, noise = scan(image_folder()), parse_noise("pair-flip:0.4", ())
    for scale in (SCALES["paper"], SCALES["small"]):
        list(train_rows(clean, tmp_path, ["elr"], scale, QUIET, noise, 0, tmp_path))
    preset = asked[0].presets["paper"]
    assert (preset.epochs, preset.schedule, preset.lr, asked[1].presets) == (120, "milestones", 0.02, None)


def curve(algorithm: str, errors: list[float], per_epoch: int, *, seed: int = 0, share: float = 0.5) -> list[Row]:
    same = {"data_set": "gaussian:0.5", "algorithm": algorithm, "seed": seed, "selected_share": share}
    same["guessing_error"] = 0.9
    return [
        {
            **same,
            "epoch": epoch,
            "test_error": error,
            "forwards": 100 * epoch + (per_epoch * epoch if algorithm != "standard" else 0),
            "backpropagated": per_epoch * epoch,
            "seconds": 2.0 * epoch,
        }
        for epoch, error in enumerate(errors, start=1)
    ]


CURVES = [
    *curve("standard", [0.4, 0.2, 0.1], 100),
    *curve("sb-50", [0.3, 0.12, 0.12], 50, share=0.75),
    *curve("standard", [0.4, 0.1, 0.1], 100, seed=1),
    *curve("sb-50", [0.4, 0.2, 0.16], 50, seed=1, share=0.75),
]


def test_speedups_of_the_mean_curve_of_the_seeds_by_hand() -> None:
    # The first seed alone: both reach .12, after 300 and 100.
    standard, first = results(CURVES[:6])
    assert (standard["speedup"], first["speedup"]) == (1, 3)
    # Work: standard training 3 an example; the other 100 + 50 forward and twice 50 back of each 100.
    assert first["work_speedup"] == pytest.approx(900 / 500)
    assert first["time_speedup"] == pytest.approx(6 / 4)
    # The mean curves are .4, .15, .1 and .35, .16, .14.
    _, mean = results(CURVES)
    assert (mean["target"], mean["best_error"], mean["oversampling"]) == (pytest.approx(0.12), pytest.approx(0.14), 1.5)
    assert (mean["backpropagated"], mean["forwards"], mean["seconds"]) == (150, 450, 6)
    assert math.isnan(mean["speedup"])


@pytest.mark.parametrize(("best", "speedup"), [(0.62, 2.0), (0.63, NAN)])
def test_a_weak_baseline_has_no_speedup(best: float, speedup: float) -> None:
    *_, found = results([*curve("standard", [0.8, best], 100), *curve("sb-50", [0.8, 0.73], 50)])
    assert str([found["speedup"], found["time_speedup"]]) == str([speedup, speedup / 2])
    assert str(found["target"]) == str(1.2 * best if speedup == 2 else NAN)


def tables_of(epochs: list[Row], *picks: Row) -> Tables:
    tables = Tables("")
    tables.add({"epochs": epochs, "results": results(epochs), "picks": picks})
    return tables


def test_the_prioritization_page_has_ours_beside_the_papers() -> None:
    page = "\n".join(prioritization.page_tables(tables_of(CURVES[:6])))
    assert "| SB, 50% selectivity | 3.00× (12.00%) |" in page
    assert "| *SB, 50% selectivity, paper* | *– (8.47%)* |" in page
    assert "| gaussian:0.5 | sb-50 | 75.0% | 75.0% | 75.0% |" in page
    assert "## Oversampling of corrupted samples\n" in page
    assert "| algorithm | gaussian:0.5 |\n|---|---|\n| SB, 50% selectivity | 1.50× |" in page


def test_the_papers_table_has_every_data_set_and_its_algorithms_exist() -> None:
    assert all(len(row) == len(prioritization.DATA_SETS) == 7 for row in prioritization.PAPER.values())
    for name, (_, selector, parameters) in prioritization.ALGORITHMS.items():
        assert (selector == "none") == (name == "standard")
        assert selector == "none" or build_selector(describe_selector(selector, parameters))


def test_figures_are_drawn_and_always_the_same(tmp_path) -> None:
    pytest.importorskip("matplotlib")
    entropy = [{**row, "algorithm": "sbe-50"} for row in CURVES if row["algorithm"] == "sb-50"]
    picks = pick("most", "clean"), pick("most", "clean", seed=1), pick("least", "clean")
    tables = tables_of([*CURVES, *entropy], *picks)
    (tmp_path / "clean-seed0/data").mkdir(parents=True)
    Image.new("L", (8, 8), 200).save(tmp_path / "clean-seed0/data/0.png")
    files = draw(prioritization.figures(tables, tmp_path), tmp_path)
    names = ["test-error", "corrupted-share", "entropy-and-loss", "most-picked", "least-picked"]
    assert [file.name for file in files] == [f"{name}.svg" for name in names]
    first = [file.read_bytes() for file in files]
    assert [content.count(b"<image") for content in first[3:]] == [1, 1]  # that of the first seed
    assert [file.read_bytes() for file in draw(prioritization.figures(tables, tmp_path), tmp_path)] == first
    assert not prioritization.figures(tables_of(CURVES), tmp_path)["entropy-and-loss"]


def pick(end: str, data_set: str, *, seed: int = 0, share: float = 0.5) -> Row:
    same = {"algorithm": "sb-50", "path": "0.png", "times": 3, "corrupted": True}
    return {**same, "data_set": data_set, "seed": seed, "end": end, "pool_corrupted": share}


def test_the_pools_of_the_most_and_least_picked() -> None:
    times_N = np.array([1] * 25 + [5, 0] + [2] * 23)
    found = prioritization.pools(times_N, np.random.default_rng(0))
    assert {end: sorted(times_N[pool_P]) for end, pool_P in found.items()} == {"most": [2, 5], "least": [0, 1]}
    assert len(prioritization.pools(np.zeros(100_000, dtype=np.int64), np.random.default_rng(0))["most"]) == 2_000
    tables = tables_of(
        CURVES, *(pick("most", "shuffle-pixels:0.25", seed=seed, share=0.5 + seed / 2) for seed in (0, 1))
    )
    assert "| shuffle-pixels:0.25 | sb-50 | 75.0% |" in "\n".join(prioritization.page_tables(tables))


def test_networks_are_correlated_by_what_both_have() -> None:
    one, other = ({"noise": "x", "model": model, "seed": 0} for model in ("a", "b"))
    aul_N, other_N = np.array([1.0, 2.0, 3.0, NAN]), -np.array([1.0, 3.0, 2.0, 9.0])
    row = curves.compare(one, {"aul": aul_N, "last_loss": aul_N}, other, {"aul": other_N, "last_loss": other_N**0})
    assert (row["model"], row["other_model"], row["aul"]) == ("a", "b", pytest.approx(-0.5))
    assert all(math.isnan(row[name]) for name in ("last_loss", "test_loss", "last_test_loss"))
    tables = Tables("")
    tables.add({"networks": [row]})
    assert list(curves.measured(tables)) == ["aul"]  # without --test there are no panels of held-out losses
