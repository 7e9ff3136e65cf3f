import shutil

import numpy as np
import pytest

import labelaudit
from labelaudit.auditing.model import Data, read_courses
from labelaudit.auditing.options import TrainingOptions
from labelaudit.auditing.predictions import record_predictions, recorded
from labelaudit.detect.curves import Course
from labelaudit.errors import RunError, UsageError
from labelaudit.run.layout import RunFolder
from labelaudit.run.losses import read_epochs
from tests.cli.helpers import CLASSES, NEXT, QUICK, interrupted, run, succeed, write_predictions
from tests.helpers import Listener


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def photos(image_folder):
    """Four classes of twelve images, of which the first two show the next class."""
    return image_folder(classes=CLASSES, each=12, wrong=2)


@pytest.fixture
def predictions(photos, tmp_path):
    return write_predictions(tmp_path / "predictions.npy", photos, wrong=2)


@pytest.fixture
def asked(predictions):
    return TrainingOptions(predictions=predictions)


def test_what_is_recorded_by_hand():
    p_RK = np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.25, 0.25, 0.5], [0.0, 1.0, 0.0]], dtype=np.float32)
    record = recorded(p_RK, np.array([0, 2, 0, 0]), np.array([3, 5, 6, 9], dtype=np.int32))
    np.testing.assert_allclose(record.loss_R[:3], -np.log([0.5, 0.3, 0.25]), rtol=1e-6)
    np.testing.assert_allclose(record.margin_R[:3], np.log([0.5 / 0.3, 0.3 / 0.6, 0.25 / 0.5]), rtol=1e-5)
    assert record.loss_R[3] == pytest.approx(87.34, abs=0.01)
    assert record.margin_R[3] == -record.loss_R[3]
    assert record.predicted_R.tolist() == [0, 1, 2, 1]
    assert record.alternative_R.tolist() == [1, 1, 2, 1]
    assert record.sample_R.tolist() == [3, 5, 6, 9]


def test_predictions_are_an_audit_like_any_other(photos, predictions, tmp_path):
    audit = labelaudit.audit(photos, run=tmp_path / "audit", predictions=str(predictions))
    wrong = {f"{name}/{number:03d}.png" for name in CLASSES for number in (0, 1)}
    assert set(audit.suspicious["path"].to_pylist()) == wrong
    assert all(NEXT[row["given_label"]] == row["suggested_label"] for row in audit.suspicious.to_pylist())
    low, high = audit.summary.best_interval
    assert low < 8 / 48 < high
    assert audit.summary.epochs == 1
    assert read_courses(audit.run) == (Course(epochs=1, held_out=True), None)
    (epoch,) = read_epochs(audit.run.losses)
    p_N = np.load(predictions)[np.arange(48), audit.catalogue.label_N]
    np.testing.assert_allclose(epoch.loss_R, -np.log(p_N), rtol=1e-5)
    assert audit.run.pictures.exists()
    description = audit.run.read_description()
    assert description["settings"]["kind"] == "predictions"
    assert description["settings"]["weights"].startswith("sha256:")
    assert description["recording"].startswith("out-of-fold")
    assert not audit.run.checkpoint.exists()
    shutil.rmtree(audit.run.losses)
    with pytest.raises(RunError, match="does not hold 1 epochs"):
        labelaudit.fit(audit.run)


def test_a_finished_audit_is_only_read_and_other_predictions_are_refused(photos, predictions, tmp_path):
    first = succeed("score", photos, "--run", "audit", "--predictions", predictions)
    assert "The predictions agree with 83.3% of the labels" in first.err
    for options in ((), ("--predictions", predictions)):
        again = succeed("score", photos, "--run", "audit", *options)
        assert "The predictions are in audit already" in again.err
    succeed("score", "audit")
    succeed("fit", "audit", "--estimator", "gmm", "--rank-by", "aum")
    succeed("report", "audit")
    assert "predictions of your own" in (tmp_path / "audit" / "report.html").read_text()
    other = tmp_path / "other.npy"
    np.save(other, np.load(predictions).astype(np.float32))
    refused = run("score", photos, "--run", "audit", "--predictions", other).error
    assert "audit was started with other predictions: weights is sha256:" in refused
    asked = run("score", photos, "--run", "audit", "--epochs", "3").error
    assert asked.startswith("an audit of predictions trains nothing, and --epochs is about a training; leave --epochs")
    (photos / "ant" / "more.png").write_bytes((photos / "ant" / "000.png").read_bytes())
    assert "audit is the audit of other data" in run("score", photos, "--run", "audit").error
    succeed("score", photos, "--run", "trained", *QUICK)
    refused = run("score", photos, "--run", "trained", "--predictions", predictions).error
    assert refused.startswith("trained is an audit by a training (kind is train there); leave --predictions out")


def test_what_does_not_fit_leaves_nothing_behind(photos, predictions, asked, tmp_path):
    np.save(tmp_path / "short.npy", np.load(predictions)[:-1])
    for name in ("short.npy", "gone.npy"):
        assert run("score", photos, "--run", "audit", "--predictions", name).code == 2
    refused = run("score", photos, "--run", "audit", "--predictions", predictions, "--seed", "3").only_error
    assert "trains nothing, and --seed is about a training" in refused
    assert not (tmp_path / "audit").exists()
    with pytest.raises(UsageError, match="--predictions trains nothing; give it to labelaudit score"):
        labelaudit.train_probe(Data(root=photos), RunFolder(tmp_path / "audit"), asked)


def test_an_interrupted_recording_needs_its_file_again(photos, asked, tmp_path):
    run_folder, data = RunFolder(tmp_path / "audit"), Data(root=photos)
    listener = Listener()
    with interrupted("labelaudit.run.losses.write_epoch", call=1), pytest.raises(KeyboardInterrupt):
        record_predictions(data, run_folder, asked, listener)
    with pytest.raises(RunError, match=r"audited with --predictions FILE, which is needed to go on in .*; give the"):
        labelaudit.audit(photos, run=tmp_path / "audit")
    record_predictions(data, run_folder, asked, listener)
    assert labelaudit.audit(photos, run=tmp_path / "audit").flagged == 8


def test_images_that_cannot_be_decoded_are_set_aside(photos, predictions, tmp_path):
    damaged = photos / "ant" / "005.png"
    damaged.write_bytes(damaged.read_bytes()[:-30])
    (photos / "ant" / "006.png").write_bytes(b"no image")
    for lonely in sorted((photos / "dog").iterdir())[1:]:
        lonely.unlink()
    p_NK = np.load(predictions)[:37]
    p_NK[[5, 6]] = np.nan
    np.save(tmp_path / "fewer.npy", p_NK)
    listener = Listener()
    audit = labelaudit.audit(photos, run=tmp_path / "audit", predictions=tmp_path / "fewer.npy", reporter=listener)
    assert np.flatnonzero(~audit.catalogue.used_N).tolist() == [5, 6, 36]
    assert any(text.startswith("2 of 37 images cannot be read and are set aside") for text in listener.lines)
    assert audit.scores["p_mislabeled"].null_count == 3


@pytest.mark.parametrize("sharpness", [0.0, 1.0])
def test_predictions_without_any_doubt_or_any_knowledge_are_judged_too(photos, predictions, tmp_path, sharpness):
    p_NK = np.load(predictions)
    p_NK = np.eye(4)[p_NK.argmax(axis=1)] if sharpness else np.full_like(p_NK, 0.25)
    np.save(predictions, p_NK)
    audit = labelaudit.audit(photos, run=tmp_path / "audit", predictions=predictions)
    if sharpness:
        assert {row["path"][4:7] for row in audit.top(8).to_pylist()} == {"000", "001"}
    else:
        assert audit.flagged == 0
