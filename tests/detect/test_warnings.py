import numpy as np
import pytest

from labelaudit.detect.estimators import ESTIMATORS
from labelaudit.detect.warnings import find_warnings
from tests.detect.helpers import certain, evidence_of

STRUCTURED = "not spread evenly"
FEW = "fewer than 20 images"
NO_CONTROLS = "No controls were planted"


def warned(evidence, estimator="confident-joint"):
    rank_by = ESTIMATORS[estimator].rank_by
    estimate = ESTIMATORS[estimator].estimate(evidence, rank_by)
    flagged_N = np.zeros(len(evidence.label_N), dtype=bool)
    return " ".join(find_warnings(evidence, estimate, flagged_N, estimator, rank_by))


def labelled(true_N, label_N, classes):
    """Evidence of a probe that knows the truth."""
    aul_N = np.where(true_N == label_N, 1.0, 9.0) + np.arange(len(label_N)) / len(label_N)
    return evidence_of(aul_N, label_N=label_N, beliefs=certain(label_N, true_N), classes=classes)


def noisy(kind, classes=6, samples=3000, rate=0.2):
    generator = np.random.default_rng(0)
    true_N = generator.integers(0, classes, samples).astype(np.int32)
    step_N = 1 if kind == "pair flip" else generator.integers(1, classes, samples)
    return labelled(true_N, np.where(generator.random(samples) < rate, (true_N + step_N) % classes, true_N), classes)


@pytest.mark.parametrize(("kind", "expected"), [("uniform", False), ("pair flip", True)])
def test_errors_between_few_classes_are_told(kind, expected):
    text = warned(noisy(kind))
    assert (STRUCTURED in text) is expected
    assert not expected or "of 30 pairs of classes" in text


def test_nothing_is_said_of_a_handful_of_errors():
    assert STRUCTURED not in warned(noisy("pair flip", rate=0.005))


@pytest.mark.parametrize(("least", "expected"), [(19, True), (20, False)])
def test_small_classes_are_told(least, expected):
    label_N = np.repeat([0, 1, 2], [500, 500, least]).astype(np.int32)
    text = warned(labelled(label_N, label_N, 3))
    assert (FEW in text) is expected
    assert not expected or "1 of 3 classes" in text


def test_controls_that_were_not_planted_are_told_with_what_to_do():
    text = warned(noisy("uniform"), "controls")
    assert NO_CONTROLS in text
    assert "--controls" in text


def test_a_probe_that_learns_by_heart_is_told_once_with_what_to_do():
    text = warned(evidence_of(np.arange(100.0), memorised_from=9))
    assert "From epoch 9 on" in text
    assert "Audit again with --epochs 8." in text
    assert "By its last epoch" not in text
    assert "--epochs 1." in warned(evidence_of(np.arange(100.0), memorised_from=1))
    assert "by heart" not in warned(evidence_of(np.arange(100.0)))
