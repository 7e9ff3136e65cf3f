import json
import re
from pathlib import Path

import pytest

from labelaudit.errors import RunError
from labelaudit.retraining.compare import compare

SETTINGS = {"model": "small", "epochs": 4, "lr": 0.1}


def retraining(folder: Path, *, seed=0, error=0.5, settings=None, **changes):
    folder.mkdir(parents=True)
    result = {"method": "standard", "fingerprint": "data", "validation": "test", "parameters": {}}
    result |= {"weights_csv": None, "noise_rate_from": None, "settings": {**SETTINGS, **(settings or {}), "seed": seed}}
    result["metrics"] = {"epoch": 3, "train_loss": 1.0, "train_error": 0.25, "validation_error": error}
    (folder / "result.json").write_text(json.dumps({**result, **changes}))


def test_mean_and_deviation_by_hand_and_the_best_first(tmp_path):
    for seed, error in enumerate((0.1, 0.2, 0.6)):
        retraining(tmp_path / f"a{seed}", seed=seed, error=error)
    retraining(tmp_path / "deep" / "b", method="oracle", error=0.05)
    retraining(tmp_path / "c", method="aul", error=None, weights_csv="weights.csv")
    best, standard, unmeasured = compare([tmp_path])
    assert (best.method, best.validation_error, best.validation_error_deviation, best.seeds) == (
        "oracle",
        0.05,
        None,
        (0,),
    )
    assert standard.validation_error == pytest.approx(0.3)
    assert standard.validation_error_deviation == pytest.approx(0.07**0.5)  # (0.04 + 0.01 + 0.09) / 2
    assert standard.seeds == (0, 1, 2)
    assert (unmeasured.method, unmeasured.validation_error) == ("aul", None)
    assert [row.differs for row in (best, standard, unmeasured)] == [{"weights": each} for each in ("no", "no", "yes")]


def test_what_differs_makes_another_row_and_is_named(tmp_path):
    retraining(tmp_path / "a", method="reed-hard", parameters={"beta": 0.8})
    retraining(tmp_path / "b", method="reed-hard", parameters={"beta": 0.5}, error=0.4)
    retraining(tmp_path / "c", settings={"epochs": 9}, error=0.3)
    retraining(tmp_path / "d", weights_csv="weights.csv", error=0.2)
    rows = {row.validation_error: row.differs for row in compare([tmp_path])}
    assert rows == {
        0.2: {"epochs": 4, "weights": "yes"},
        0.3: {"epochs": 9, "weights": "no"},
        0.4: {"beta": 0.5, "epochs": 4, "weights": "no"},
        0.5: {"beta": 0.8, "epochs": 4, "weights": "no"},
    }


def test_an_estimated_noise_rate_may_differ_from_seed_to_seed(tmp_path):
    for seed, rate in enumerate((0.19, 0.21)):
        for name, source in (("audit", "audit/noise.json"), ("given", "-P noise_rate")):
            labels = f"labels {seed}" if name == "audit" else "data"
            common = {"method": "co-teaching", "parameters": {"noise_rate": rate}, "noise_rate_from": source}
            retraining(tmp_path / f"{name}{seed}", seed=seed, fingerprint=labels, **common)
    assert sorted(str(row.differs["noise_rate"]) for row in compare([tmp_path])) == ["0.19", "0.21", "audit"]


def test_a_folder_named_twice_counts_once_but_a_copy_is_refused(tmp_path):
    retraining(tmp_path / "a")
    assert compare([tmp_path, tmp_path / "a"])[0].seeds == (0,)
    retraining(tmp_path / "copy")
    with pytest.raises(RunError, match=r"copy appears twice: same seed, labels and settings; leave one"):
        compare([tmp_path])


def test_folders_without_a_result_are_refused(tmp_path):
    with pytest.raises(RunError, match="holds no finished retraining; give the --out of labelaudit retrain"):
        compare([tmp_path])
    for content in ("[]", "{}", '{"method": "standard", "settings": {"seed": "x"}, "metrics": {}}', "{"):
        (tmp_path / "result.json").write_text(content)
        with pytest.raises(RunError, match=re.escape(str(tmp_path))):
            compare([tmp_path])
