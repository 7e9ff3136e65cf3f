import importlib.util
import re

import pytest

from labelaudit.errors import UsageError
from labelaudit.reproduce.prioritization.estimate import forward_operations
from labelaudit.reproduce.prioritization.experiment import results
from labelaudit.reproduce.prioritization.markdown import as_markdown
from labelaudit.reproduce.prioritization.records import Tables
from labelaudit.reproduce.prioritization.settings import ALGORITHMS, DATA_SETS, PAPER, SCALES, named
from labelaudit.selectors.table import build_selector, describe_selector
from tests.reproduce.prioritization.test_speedup import curve


def tables(seeds=(0,)):
    made = Tables()
    for seed in seeds:
        for data_set, share in (("clean", 0.0), ("random-labels:0.5", 0.5)):
            made.epochs += curve("standard", [0.4, 0.2, 0.1], 100, seed=seed, data_set=data_set, share=share)
            made.epochs += curve("sb-50", [0.4, 0.13, 0.12], 50, seed=seed, data_set=data_set, share=1.5 * share)
            made.epochs += curve("sbe-50", [0.4, 0.4, 0.3], 50, seed=seed, data_set=data_set, share=share)
    made.results = results(made.epochs)
    return made


def test_the_page_has_ours_beside_the_papers():
    text = as_markdown(tables(), "photos", SCALES["small"], 1234)
    assert text.startswith("# Prioritization: photos\n")
    assert "1,234 images, 3 epochs of labelaudit_probe, batch 64, rate 0.05; seeds 0;" in text
    assert "| algorithm | clean | random-labels:0.5 |" in text
    assert "| SB, 50% selectivity | 2.00× (12.00%) | 2.00× (12.00%) |" in text
    assert "| *in the paper* | *2.0× (4.26%)* | *1.5× (14.66%)* |" in text
    assert "| SBE, 50% selectivity | – (30.00%) | – (30.00%) |" in text
    assert "| random-labels:0.5 | sb-50 | 75.0% | 75.0% | 75.0% | 1.50 |" in text
    assert "By seed" not in text
    assert "| random-labels:0.5 | sb-50 | 2.00× (12.00%) | 2.00× (12.00%) |" in as_markdown(
        tables((0, 1)), "photos", SCALES["small"], 5
    )


def test_the_papers_table_by_heart():
    assert [entry.name for entry in DATA_SETS] == [
        "clean",
        "random-labels:0.25",
        "random-labels:0.5",
        "shuffle-pixels:0.25",
        "shuffle-pixels:0.5",
        "gaussian:0.25",
        "gaussian:0.5",
    ]
    assert all(len(row) == 7 for row in PAPER.values())
    assert set(PAPER) == {entry.name for entry in ALGORITHMS} - {"sbe-50"}
    # Of the 35 cells the dashes: SB-50% under Gaussian 50%, SB-33% everywhere but on clean data, VR-50% once.
    dashes = {name: [cell[0] is None for cell in row] for name, row in PAPER.items()}
    assert dashes["sb-33"] == [False, *[True] * 6]
    assert dashes["sb-50"] == [*[False] * 6, True]
    assert sum(map(sum, dashes.values())) == 8


@pytest.mark.parametrize("entry", ALGORITHMS, ids=lambda entry: entry.name)
def test_every_algorithm_is_a_selector(entry):
    selector = build_selector(describe_selector(entry.selector, entry.parameters))
    assert (selector is None) == (entry.name == "standard")


def test_names_are_looked_up_in_the_order_of_the_table():
    assert [entry.name for entry in named("--algorithm", ALGORITHMS, ["vr-50", "sb-50"])] == ["sb-50", "vr-50"]
    assert named("--algorithm", ALGORITHMS, []) == list(ALGORITHMS)
    with pytest.raises(UsageError, match=re.escape("--data-set 'gausian:0.5' is not known; did you mean gaussian:0.5")):
        named("--data-set", DATA_SETS, ["gausian:0.5"])


def test_operations_of_the_papers_network():
    # 5.25 billion multiplications and additions a picture of 32 pixels.
    assert forward_operations("wide_resnet28_10") == pytest.approx(2 * 5.25e9, rel=0.01)


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not there")
def test_figures_are_drawn_and_always_the_same(tmp_path):
    from labelaudit.reproduce.prioritization.plots import draw

    files = draw(tables(), tmp_path, "svg")
    assert [file.name for file in files] == ["test-error.svg", "corrupted-share.svg", "entropy-and-loss.svg"]
    first = [file.read_bytes() for file in files]
    assert [file.read_bytes() for file in draw(tables(), tmp_path, "svg")] == first
