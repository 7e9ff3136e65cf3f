import numpy as np
import pytest

from labelaudit.detect.controls import Controls
from labelaudit.detect.curves import CurveAccumulator
from labelaudit.detect.evidence import gather

CLASSES = 3


def curves_of(label_N, loss_N, margin_N, alternative_N, **options):
    curves = CurveAccumulator(label_N, CLASSES, **options)
    curves.add(
        np.arange(len(label_N), dtype=np.int32),
        np.asarray(loss_N, dtype=np.float32),
        np.asarray(margin_N, dtype=np.float32),
        np.asarray(alternative_N, dtype=np.int32),
    )
    return curves


def audit_with_controls(samples=300, seed=0):
    """The last ten samples are controls; five of them were wrong before, which only the pilot can tell."""
    generator = np.random.default_rng(seed)
    label_N = (np.arange(samples) % CLASSES).astype(np.int32)
    wrong_N = np.zeros(samples, dtype=bool)
    wrong_N[:30] = wrong_N[-5:] = True
    kind_N = np.full(samples, -1, dtype=np.int32)
    kind_N[-10:] = 0
    taught_N = np.where(kind_N >= 0, (label_N + 1) % CLASSES, label_N).astype(np.int32)
    noise_N = generator.random(samples)
    margin_N = np.where(wrong_N, -4.0, 4.0) + noise_N
    pilot = curves_of(label_N, np.where(wrong_N, 5.0 - noise_N, 0.01 * noise_N), margin_N, (label_N + 2) % CLASSES)
    taught_wrong_N = wrong_N | (kind_N >= 0)
    curves = curves_of(
        taught_N,
        10 * np.where(taught_wrong_N, 5.0 - noise_N, 0.01 * noise_N),
        10 * np.where(taught_wrong_N, noise_N - 5.0, 5.0 - noise_N),
        (taught_N + 2) % CLASSES,
        counted_N=kind_N < 0,
    )
    controls = Controls(kind_N=kind_N, label_N=taught_N)
    return gather(label_N, curves, controls=controls, pilot=pilot), wrong_N


def test_controls_are_judged_by_their_given_labels():
    evidence, wrong_N = audit_with_controls()
    aul_N = evidence.statistics.aul_N
    assert aul_N[-10:-5].max() < 20 < aul_N[-5:].min()
    assert aul_N[~wrong_N].max() < aul_N[wrong_N].min()
    assert evidence.statistics.beliefs.alternative_N[-10:].tolist() == [
        (label + 2) % CLASSES for label in evidence.label_N[-10:]
    ]
    assert evidence.last_wrong_N[-10:].tolist() == [False] * 5 + [True] * 5


def test_others_keep_what_was_recorded():
    evidence, _ = audit_with_controls()
    np.testing.assert_array_equal(evidence.statistics.aul_N[:-10], evidence.taught.aul_N[:-10])
    np.testing.assert_array_equal(evidence.own_N, np.arange(300) < 290)


def test_planted_labels_score_as_they_were_taught():
    evidence, _ = audit_with_controls()
    assert len(evidence.planted("random", "aul")) == 10
    assert evidence.planted("random", "aul").min() > 40
    assert len(evidence.planted("look-alike", "aul")) == 0


def test_controls_do_not_count_as_errors():
    evidence, wrong_N = audit_with_controls()
    assert evidence.statistics.joint.noise_rate == pytest.approx(wrong_N[:-10].mean())


def test_without_controls_all_samples_are_their_own():
    label_N = np.array([0, 1, 2, 0], dtype=np.int32)
    evidence = gather(label_N, curves_of(label_N, [1.0] * 4, [1.0] * 4, [1, 2, 0, 1]))
    assert evidence.own_N.all()
    assert evidence.planted("random", "aul").tolist() == []
