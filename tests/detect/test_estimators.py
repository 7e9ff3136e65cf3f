from dataclasses import replace

import numpy as np
import pytest

from labelaudit.detect.confident import confident_joint
from labelaudit.detect.controls import Controls
from labelaudit.detect.estimators import confident_joint_estimate
from labelaudit.detect.evidence import Evidence

from .helpers import certain, statistics_of

CLASSES, SAMPLES, CONTROLS = 10, 6000, 300


def audit(step, *, controls=CONTROLS, seed=0):
    """A tenth is labelled ``step`` classes on (None: any other class); a probe takes 3% hard ones for wrong too.

    Wrong labels, planted ones too, have far higher scores than the hard ones.
    """
    generator = np.random.default_rng(seed)
    right_N = generator.integers(0, CLASSES, SAMPLES)
    moved_N = generator.integers(1, CLASSES, SAMPLES) if step is None else np.full(SAMPLES, step)
    other_N = (right_N + moved_N) % CLASSES
    wrong_N = np.arange(SAMPLES) % 10 == 0
    hard_N = np.arange(SAMPLES) % 33 == 5
    label_N = np.where(wrong_N, other_N, right_N).astype(np.int32)
    believed_N = np.where(wrong_N, right_N, np.where(hard_N, other_N, label_N)).astype(np.int32)
    margin_N = np.where(wrong_N, -6.0, np.where(hard_N, -1.0, 6.0)) + generator.normal(0, 0.5, SAMPLES)
    statistics = statistics_of(
        -margin_N, label_N=label_N, beliefs=certain(label_N, believed_N), classes=CLASSES, cell_margin_N=margin_N
    )
    evidence = Evidence(label_N=label_N, statistics=statistics, last_wrong_N=margin_N < 0)
    if not controls:
        return evidence, wrong_N
    planted = np.flatnonzero(~wrong_N & ~hard_N)[:controls]
    kind_N = np.full(SAMPLES, -1, dtype=np.int32)
    kind_N[planted] = 0
    taught_N = label_N.copy()
    taught_N[planted] = (taught_N[planted] + 1) % CLASSES
    taught_margin_N = margin_N.copy()
    taught_margin_N[planted] = generator.normal(-6, 0.5, len(planted))
    joint = confident_joint(label_N, statistics.beliefs, CLASSES, counted_N=kind_N < 0)
    return replace(
        evidence,
        statistics=replace(statistics, joint=joint),
        controls=Controls(kind_N=kind_N, label_N=taught_N),
        taught=replace(statistics, cell_margin_N=taught_margin_N),
    ), wrong_N


def own_rate(evidence):
    """The estimate for the samples that are no controls."""
    return confident_joint_estimate(evidence, "cell_margin").p_mislabeled_N[evidence.own_N].mean()


def test_random_controls_mend_a_rate_that_hard_samples_make_too_high():
    evidence, wrong_N = audit(None)
    truth = wrong_N[evidence.own_N].mean()
    assert evidence.statistics.joint.noise_rate > truth + 0.02
    assert own_rate(evidence) == pytest.approx(truth, abs=0.01)


def test_random_controls_say_nothing_of_errors_between_certain_classes():
    evidence, _ = audit(1)
    joint = evidence.statistics.joint
    assert joint.evenness == 0.0
    assert own_rate(evidence) == pytest.approx(joint.noise_rate)


@pytest.mark.parametrize("controls", [0, 4])
def test_without_enough_controls_the_joint_is_the_rate(controls):
    evidence, _ = audit(None, controls=controls)
    joint = evidence.statistics.joint
    assert joint.evenness > 0.5
    assert own_rate(evidence) == pytest.approx(joint.noise_rate)


def test_under_even_errors_probabilities_are_less_extreme():
    even, structured = (audit(step, controls=0)[0] for step in (None, 1))
    p_N, q_N = (confident_joint_estimate(evidence, "cell_margin").p_mislabeled_N for evidence in (even, structured))
    assert np.minimum(p_N, 1 - p_N).mean() > 2 * np.minimum(q_N, 1 - q_N).mean()
