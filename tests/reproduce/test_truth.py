import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from labelaudit.auditing.options import TrainingOptions
from labelaudit.data.folder import scan
from labelaudit.errors import DataError, RunError, UsageError
from labelaudit.progress import QUIET
from labelaudit.reproduce import detection
from labelaudit.reproduce.detection import aum_below_threshold, measure_peers, require
from labelaudit.reproduce.runner import noisy_data, parse_noise
from labelaudit.reproduce.truth import TrueAudit, audit, calibration_error, flag_quality, rank_quality, true_labels
from labelaudit.run.layout import RunFolder
from tests.cli.helpers import write_images


def test_calibration_error_by_hand() -> None:
    # Two bins: (0, 1/2] holds .1, .3 and .5 with one wrong label, (1/2, 1] holds .9 and 1.0 with one.
    wrong_N = np.array([False, True, False, True, False])
    assert calibration_error(wrong_N, np.array([0.1, 0.3, 0.5, 0.9, 1.0]), bins=2) == pytest.approx(0.02 + 0.18)
    # In 15 bins, 1/15 belongs to the first: together with 0 its mean p is 1/30, of which half is wrong.
    assert calibration_error(np.array([True, False]), np.array([0.0, 1 / 15])) == pytest.approx(0.5 - 1 / 30)
    assert calibration_error(np.array([True, False]), np.array([0.0, 0.067])) == pytest.approx(0.5 + 0.0335)
    assert math.isnan(calibration_error(np.zeros(0, dtype=bool), np.zeros(0)))


def test_flags_and_rankings_by_hand() -> None:
    wrong_N = np.arange(10) < 4
    found = flag_quality(wrong_N, np.isin(np.arange(10), [0, 1, 2, 4]))
    assert found == {"flagged": 0.4, "precision": 0.75, "recall": 0.75, "f1": 0.75}
    nothing, everything = np.zeros(4, dtype=bool), np.ones(4, dtype=bool)
    assert math.isnan(flag_quality(everything, nothing)["precision"])
    assert math.isnan(flag_quality(nothing, everything)["recall"])
    # From the top: wrong, right, wrong, right. Pairs in the right order: 3 of 4; precision 1 and 2/3 at the wrong ones.
    ranking = rank_quality(np.array([False, True, False, True]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert ranking == {"auroc": 0.75, "average_precision": pytest.approx((1 + 2 / 3) / 2)}
    assert all(math.isnan(rank_quality(wrong, np.arange(4.0))["auroc"]) for wrong in (nothing, everything))


def test_true_labels_go_by_path_and_by_the_names_of_classes(image_folder: Callable[..., Path], tmp_path: Path) -> None:
    root, given_csv = image_folder(classes=("ant", "bee", "cat"), each=1), tmp_path / "given.csv"
    # In another order, without one of the images, and with a class that nothing is given.
    given_csv.write_text("path,label\ncat/000.png,bee\nant/000.png,cat\n")
    found = scan(root, labels_file=given_csv)
    assert (found.classes, found.paths) == (("bee", "cat"), ("ant/000.png", "cat/000.png"))
    assert true_labels(found, scan(root)).tolist() == [-1, 1]
    with pytest.raises(DataError, match="1 of 3 labeled images have no true label"):
        true_labels(scan(root), found)


def test_aums_threshold_by_hand() -> None:
    own_N, threshold_N = np.array([5.0, -1.0, 2.9, 3.1, 1.0, 3.0]), np.arange(6) > 3
    assert aum_below_threshold(own_N, threshold_N, percentile=100).tolist() == [False, True, True, False, False, False]
    # Halfway between the two: the higher one is not below it, and never counts anyway.
    assert aum_below_threshold(own_N, threshold_N, percentile=50).tolist() == [False, True, *[False] * 4]


def label_quality(label_N: np.ndarray, p_NK: np.ndarray, *, method: str) -> np.ndarray:
    """What cleanlab computes, high = right."""
    own_N, others_NK = p_NK[np.arange(len(label_N)), label_N], p_NK.copy()
    others_NK[np.arange(len(label_N)), label_N] = -1
    return own_N if method == "self_confidence" else (own_N - others_NK.max(axis=1) + 1) / 2


def test_peers_are_measured_once_and_read_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = SimpleNamespace(
        find_label_issues=lambda label_N, p_NK, **_: p_NK.argmax(axis=1) != label_N,
        get_label_quality_scores=label_quality,
    )
    monkeypatch.setattr(detection, "require", lambda *_: [stand_in, stand_in])
    truth = scan(write_images(tmp_path / "photos", classes=("ant", "bee", "cat"), each=20))
    options = TrainingOptions(
        epochs=3, batch_size=16, image_size=16, augment="none", precision="float32", device="cpu", seed=1
    )

    def audited(noise: str) -> TrueAudit:
        case, folder = parse_noise(noise, truth.classes), tmp_path / noise.replace(":", "-")
        folder.mkdir()
        return audit(noise, noisy_data(truth, case, folder, 1), RunFolder(folder / "run"), truth, options, QUIET)

    first = audited("uniform:0.1")
    peers = measure_peers(first, tmp_path / "peers", options, QUIET)
    self_confidence, margin, ranked = peers["ranking"]
    cleanlab, aum = peers["estimates"]
    assert (self_confidence["statistic"], margin["statistic"]) == ("self_confidence", "normalized_margin")
    # Beside the audit's own statistic, AUM has a ranking from the trainings that give its flags.
    assert (ranked["source"], ranked["statistic"], ranked["auroc"] > 0.8) == ("aum", "aum", True)
    assert (cleanlab["source"], aum["source"]) == ("cleanlab", "aum")
    assert cleanlab["true_rate"] == aum["true_rate"] == pytest.approx(0.1)
    assert cleanlab["flagged"] == cleanlab["noise_rate"] == pytest.approx(0.1 + cleanlab["error"])
    # An easy problem: networks that never saw a sample know better than its wrong label.
    assert self_confidence["auroc"] > 0.8
    monkeypatch.setattr(detection, "Training", None)  # nothing is trained again
    again = measure_peers(first, tmp_path / "peers", options, QUIET)
    assert str(again) == str(peers)  # NaN is not equal to itself
    with pytest.raises(RunError, match="is of other settings or data"):
        measure_peers(audited("uniform:0.2"), tmp_path / "peers", options, QUIET)


def test_the_real_cleanlab_takes_what_it_is_given() -> None:
    pytest.importorskip("cleanlab")
    filters, ranks = require("cleanlab.filter", "cleanlab.rank")
    label_N = np.repeat(np.arange(3, dtype=np.int32), 20)
    p_NK = np.random.default_rng(0).dirichlet(np.ones(3), 60).astype(np.float32)
    for method in detection.CLEANLABS:
        theirs_N = ranks.get_label_quality_scores(label_N, p_NK, method=method)
        np.testing.assert_allclose(label_quality(label_N, p_NK, method=method), theirs_N, rtol=1e-5, atol=1e-6)
    assert filters.find_label_issues(label_N, p_NK, n_jobs=1).dtype == bool


def test_a_missing_package_is_named_with_the_way_to_get_it() -> None:
    with pytest.raises(UsageError, match=r"no_such_package, not installed here; pip install 'labelaudit\[bench\]'"):
        require("no_such_package.rank")
