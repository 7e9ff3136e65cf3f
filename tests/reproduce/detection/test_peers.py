"""cleanlab and AUM beside an audit, and without the packages."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from labelaudit.audit.options import TrainingOptions
from labelaudit.data.folder import scan
from labelaudit.errors import RunError, UsageError
from labelaudit.reproduce.detection import measure, peers
from labelaudit.reproduce.detection.peers import aum_below_threshold, measure_peers, require_peers
from labelaudit.reproduce.detection.settings import parse_noise
from tests.cli.helpers import write_images

OPTIONS = TrainingOptions(
    epochs=3, batch_size=16, image_size=16, augment="none", precision="float32", device="cpu", seed=1
)


def test_the_threshold_by_hand() -> None:
    own_N = np.array([5.0, -1.0, 2.9, 3.1, 1.0, 3.0])
    threshold_N = np.array([False, False, False, False, True, True])
    below_N, threshold = aum_below_threshold(own_N, threshold_N, percentile=100)
    assert threshold == 3.0
    assert below_N.tolist() == [False, True, True, False, False, False]
    # Halfway between the two: the higher one is not below it, and never counts anyway.
    below_N, threshold = aum_below_threshold(own_N, threshold_N, percentile=50)
    assert threshold == 2.0
    assert below_N.tolist() == [False, True, False, False, False, False]


def label_quality(label_N: np.ndarray, p_NK: np.ndarray, *, method: str) -> np.ndarray:
    """What cleanlab computes, high = right."""
    own_N = p_NK[np.arange(len(label_N)), label_N]
    if method == "self_confidence":
        return own_N
    others_NK = p_NK.copy()
    others_NK[np.arange(len(label_N)), label_N] = -1
    return (own_N - others_NK.max(axis=1) + 1) / 2


def find_issues(label_N: np.ndarray, p_NK: np.ndarray, *, n_jobs: int) -> np.ndarray:
    """In the place of cleanlab's: where another class is more probable."""
    assert n_jobs == 1
    return np.asarray(p_NK.argmax(axis=1) != label_N)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions with cleanlab's names, for machines without it."""
    modules = {
        "cleanlab.filter": SimpleNamespace(find_label_issues=find_issues),
        "cleanlab.rank": SimpleNamespace(get_label_quality_scores=label_quality),
    }
    monkeypatch.setattr(peers, "require", lambda *names: [modules[name] for name in names])


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("stand_in")
def test_peers_are_measured_once_and_read_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = scan(write_images(tmp_path / "photos", classes=("ant", "bee", "cat"), each=20))
    measured = measure(parse_noise("uniform:0.1", truth.classes), truth, tmp_path / "out", OPTIONS)
    found = measure_peers(measured, tmp_path / "out" / "peers", OPTIONS)
    assert [(row.source, row.statistic) for row in found.ranking] == [
        ("cleanlab", "self_confidence"),
        ("cleanlab", "normalized_margin"),
    ]
    cleanlab, aum = found.estimates
    assert (cleanlab.source, aum.source) == ("cleanlab", "aum")
    assert cleanlab.true_rate == aum.true_rate == pytest.approx(0.1)
    assert cleanlab.error == pytest.approx(cleanlab.noise_rate - 0.1)
    assert cleanlab.flagged == cleanlab.noise_rate
    assert {row.seed for row in (*found.ranking, *found.estimates)} == {1}
    # An easy problem: networks that never saw a sample know better than its wrong label.
    assert found.ranking[0].auroc > 0.8

    def nothing_is_trained(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(peers, "out_of_fold_probabilities", nothing_is_trained)
    monkeypatch.setattr(peers, "Training", nothing_is_trained)
    # Compared as text: NaN is not equal to itself.
    assert str(measure_peers(measured, tmp_path / "out" / "peers", OPTIONS)) == str(found)

    other = measure(parse_noise("uniform:0.2", truth.classes), truth, tmp_path / "other", OPTIONS)
    with pytest.raises(RunError, match="of other labels or settings than the audit beside it"):
        measure_peers(other, tmp_path / "out" / "peers", OPTIONS)
    (tmp_path / "out" / "peers" / "out-of-fold.parquet").write_bytes(b"PAR1")
    with pytest.raises(RunError, match="is damaged"):
        measure_peers(measured, tmp_path / "out" / "peers", OPTIONS)


def test_the_real_cleanlab_takes_what_it_is_given() -> None:
    pytest.importorskip("cleanlab")
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    generator = np.random.default_rng(0)
    label_N = np.repeat(np.arange(3, dtype=np.int32), 20)
    p_NK = generator.dirichlet(np.ones(3), 60).astype(np.float32)
    for method in ("self_confidence", "normalized_margin"):
        ours_N, theirs_N = (
            label_quality(label_N, p_NK, method=method),
            get_label_quality_scores(label_N, p_NK, method=method),
        )
        np.testing.assert_allclose(ours_N, theirs_N, rtol=1e-5, atol=1e-6)
    assert find_label_issues(label_N, p_NK, n_jobs=1).dtype == bool


def test_a_missing_package_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def import_module(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr("labelaudit.reproduce.speed.extras.importlib", SimpleNamespace(import_module=import_module))
    with pytest.raises(
        UsageError, match=r"compares with cleanlab, not installed here; pip install 'labelaudit\[bench\]'"
    ):
        require_peers()
