"""Given labels against the truth, and what the losses say over the epochs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from labelaudit.data.folder import scan
from labelaudit.errors import DataError, RunError
from labelaudit.reproduce.detection import write_noisy_labels, write_truth
from labelaudit.reproduce.detection.curves import read_loss_curves
from labelaudit.reproduce.detection.labels import keep_noisy_labels, true_labels
from labelaudit.run.layout import RunFolder
from labelaudit.run.losses import EpochLosses, write_epoch
from labelaudit.run.tables import write_samples


def test_true_labels_go_by_path_and_by_the_names_of_classes(image_folder: Callable[..., Path], tmp_path: Path) -> None:
    root = image_folder(classes=("ant", "bee", "cat"), per_class=1)
    given = tmp_path / "given.csv"
    # In another order, without one of the pictures, and with a class that nothing is given.
    given.write_text("path,label\ncat/000.png,bee\nant/000.png,cat\n")
    found = scan(root, labels_file=given)
    assert found.classes == ("bee", "cat")
    assert found.paths == ("ant/000.png", "cat/000.png")
    assert true_labels(found, scan(root)).tolist() == [-1, 1]
    with pytest.raises(DataError, match="1 of 3 labelled images have no true label"):
        true_labels(scan(root), found)


def test_planted_labels_stay_as_they_are(image_folder: Callable[..., Path], tmp_path: Path) -> None:
    clean, file, other = scan(image_folder(per_class=10)), tmp_path / "labels.csv", tmp_path / "other.csv"
    keep_noisy_labels(clean, file, kind="uniform", rate=0.2, seed=3)
    before = file.stat().st_mtime_ns
    keep_noisy_labels(clean, file, kind="uniform", rate=0.2, seed=3)
    assert file.stat().st_mtime_ns == before
    write_noisy_labels(clean, other, kind="uniform", rate=0.2, seed=3)
    assert other.read_bytes() == file.read_bytes()
    assert (scan(clean.root, labels_file=file).label_N != clean.label_N).sum() == 4
    write_truth(clean, file)
    assert (scan(clean.root, labels_file=file).label_N == clean.label_N).all()
    with pytest.raises(RunError, match="holds other labels"):
        keep_noisy_labels(clean, file, kind="uniform", rate=0.2, seed=3)


def test_loss_and_aul_over_the_epochs_by_hand(image_folder: Callable[..., Path], tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.root.mkdir()
    write_samples(run.samples, scan(image_folder(per_class=2)))
    sample_R = np.arange(4, dtype=np.int32)
    for epoch, loss in enumerate(([3.0, 1.0, 2.0, 0.5], [0.1, 0.3, 0.2, 0.25])):
        zero_R = np.zeros(4, dtype=np.int32)
        write_epoch(
            run.losses,
            EpochLosses(
                epoch=epoch,
                sample_R=sample_R[::-1].copy(),
                loss_R=np.array(loss, dtype=np.float32)[::-1].copy(),
                margin_R=np.zeros(4, dtype=np.float32),
                predicted_R=zero_R,
                alternative_R=zero_R,
            ),
        )
    found = read_loss_curves(run, np.array([True, False, True, False]))
    # Epoch 1: both wrong labels on top. Epoch 2: none of the four pairs is in order. Sums 3.1, 1.3, 2.2, .75: all are.
    assert found.loss_auroc == (1.0, 0.0)
    assert found.aul_auroc == (1.0, 1.0)
    np.testing.assert_allclose(found.aul_N, [3.1, 1.3, 2.2, 0.75], rtol=1e-6)
    np.testing.assert_allclose(found.last_loss_N, [0.1, 0.3, 0.2, 0.25], rtol=1e-6)
