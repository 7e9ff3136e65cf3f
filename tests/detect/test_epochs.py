import numpy as np
import pytest

from labelaudit.detect.epochs import Course, EpochTrust

SAMPLES = 200
WRONG = 40


def trusts(*epochs, present_N=None, **options):
    """The trust in each of these epochs of margins, and what was made of them."""
    judge = EpochTrust(len(epochs[0]), **options)
    present_N = np.ones(len(epochs[0]), dtype=bool) if present_N is None else present_N
    return [judge.add(present_N, np.asarray(margins, dtype=np.float32)) for margins in epochs], judge


def margins(right, wrong):
    """160 samples with the one margin, then 40 with the other."""
    return np.where(np.arange(SAMPLES) < SAMPLES - WRONG, right, wrong)


def test_epochs_that_stand_by_their_doubt_are_all_trusted():
    found, judge = trusts(*[margins(epoch, -epoch) for epoch in (1.0, 2.0, 3.0, 3.0, 3.5)])
    assert found == [1.0] * 5
    assert judge.memorised_from is None


def test_the_trust_is_what_is_left_of_the_doubt():
    found, judge = trusts(*[margins(3.0, wrong) for wrong in (-2.0, -2.0, -1.5, -0.5, -0.4, 1.0, 2.0)])
    assert found[:5] == pytest.approx([1.0, 1.0, 0.75, 0.25, 0.2])
    assert 0.0 < found[5] < 1e-5
    assert judge.memorised_from == 5


def test_doubt_that_comes_back_is_not_taken_back():
    found, judge = trusts(*[margins(3.0, wrong) for wrong in (-2.0, -2.0, -0.2, -2.0)])
    assert found == pytest.approx([1.0, 1.0, 0.1, 1.0])
    assert judge.memorised_from is None


def test_what_was_said_later_decides_who_is_doubted():
    # −3 and then twice 2: by the second epoch these are no longer doubted, so that nothing is taken back in the fourth.
    found, _ = trusts(*[margins(3.0, wrong) for wrong in (-3.0, 2.0, -1.0, 3.0)])
    assert found == [1.0] * 4


def test_learning_is_no_memorising():
    # Nothing is known at first; then most pictures are learned within a few epochs, and the hard ones one by one.
    learned_N = 2.0 - 2.0 * np.log1p(-np.arange(SAMPLES) / SAMPLES)
    found, judge = trusts(*[np.clip(epoch - learned_N, -2.0, 6.0) for epoch in range(16)])
    assert min(found) > 0.5
    assert judge.memorised_from is None


def test_a_network_that_has_learned_nothing_yet_doubts_nothing():
    found, _ = trusts(np.full(SAMPLES, -5.0), np.full(SAMPLES, -5.0), margins(2.0, -1.0), margins(2.0, -1.0))
    # All were doubted in the second epoch, and so it does not count as doubt that the third takes it back.
    assert found == [1.0] * 4


def test_little_doubt_may_be_taken_back():
    slight = np.where(np.arange(SAMPLES) < SAMPLES - 1, 3.0, -1.0)  # of one picture: .005 a sample
    found, _ = trusts(slight, slight, np.full(SAMPLES, 3.0))
    assert found == pytest.approx([1.0, 1.0, 0.9], abs=0.001)


def test_one_sample_that_diverges_does_not_speak_for_all():
    spoiled = margins(3.0, -2.0)
    spoiled[-1] = -1e6
    found, _ = trusts(margins(3.0, -2.0), margins(3.0, -2.0), spoiled, margins(3.0, -2.0))
    assert found[3] > 0.9


def test_samples_without_a_record_have_no_say():
    present_N = np.arange(SAMPLES) >= SAMPLES // 2
    half = [margins(3.0, wrong)[SAMPLES // 2 :] for wrong in (-2.0, -2.0, -1.5, -0.5)]
    padded = [np.concatenate([np.zeros(SAMPLES // 2), values]) for values in half]
    assert trusts(*padded, present_N=present_N)[0] == trusts(*half)[0]


def test_doubt_is_counted_among_those_with_a_record():
    judge, half_N = EpochTrust(SAMPLES), np.arange(SAMPLES) % 2 == 0
    for _ in range(2):
        judge.add(np.ones(SAMPLES, dtype=bool), margins(3.0, -2.0).astype(np.float32))
    assert judge.add(half_N, np.where(half_N, margins(3.0, -2.0), 0.0).astype(np.float32)) == pytest.approx(1.0)


def test_an_epoch_without_records_is_trusted():
    assert trusts([0.0, 0.0], present_N=np.zeros(2, dtype=bool))[0] == [1.0]


def test_a_later_training_is_judged_by_itself_and_told_by_its_own_numbers():
    unknown, good, memorised = np.full(SAMPLES, -0.1), margins(3.0, -2.0), margins(3.0, 2.0)
    found, judge = trusts(good, good, memorised, unknown, good, good, epochs=3)
    assert found[2] < 1e-5
    assert found[3:] == [1.0] * 3
    assert judge.memorised_from is None
    assert trusts(good, good, good, good, good, memorised, epochs=3)[1].memorised_from == 3


def test_a_course_knows_how_many_epochs_were_recorded():
    assert Course(epochs=16, members=3).recorded == 48
