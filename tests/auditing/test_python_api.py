import json

import pytest
import torch

import labelaudit
from labelaudit.auditing.model import Data
from labelaudit.auditing.options import TrainingOptions
from labelaudit.auditing.plan import plan
from labelaudit.auditing.prepare import Source, prepare
from labelaudit.data.folder import scan
from labelaudit.progress import QUIET
from labelaudit.retraining.recipe import RetrainOptions, retrain
from labelaudit.run.documents import as_json
from labelaudit.run.layout import RunFolder
from labelaudit.run.metrics import read_metrics

QUICK = labelaudit.TrainingOptions(epochs=2, batch_size=4, image_size=8, precision="float32")


@pytest.fixture
def photos(image_folder):
    return image_folder(each=8)


def test_the_steps_give_what_they_write(photos, tmp_path, capfd):
    run = labelaudit.RunFolder(tmp_path / "audit")
    labelaudit.train_probe(labelaudit.Data(root=photos), run, QUICK)
    fitted = labelaudit.fit(run)
    assert as_json(fitted.summary) == json.loads(run.noise.read_text())
    assert fitted.csv() == run.suspicious.read_text()
    assert len(fitted.catalogue) == len(fitted.verdicts.weight_N) == 16
    options = labelaudit.RetrainOptions(weights_csv=run.weights_csv, validation=photos, training=QUICK)
    out = run.retraining("aul", 0)
    result = labelaudit.retrain(labelaudit.Data(root=photos), out, options)
    assert result == json.loads(out.result.read_text())
    assert capfd.readouterr() == ("", "")  # nothing is printed without a reporter


SOURCE = Source(device=torch.device("cpu"))


def prepared(photos, **asked):
    catalogue = scan(photos)
    settings = plan(catalogue, TrainingOptions(**asked), SOURCE.device).settings
    return prepare(catalogue, settings, SOURCE, QUIET), settings


def test_a_validation_split_is_normalised_like_the_training_data(photos):
    ready, settings = prepared(photos, image_size=8)
    other = prepare(scan(photos), settings, SOURCE, QUIET, statistics=((0.0,), (1.0,)))
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in ready.statistics)
    ours, theirs = (data.inputs.batch(torch.arange(3), None) for data in (ready, other))
    torch.testing.assert_close(ours, (theirs - mean) / std, rtol=1e-4, atol=1e-4)


def test_the_error_may_be_measured_now_and_then_and_what_a_method_found_is_in_the_result(image_folder, tmp_path):
    images, held_out = image_folder("images", each=6), image_folder("held-out", seed=1)
    training = TrainingOptions(probe="train", epochs=3, batch_size=4, precision="float32", augment="none", device="cpu")
    found = {}
    for method in ("d2l", "incv", "standard"):
        out = RunFolder(tmp_path / method)
        options = RetrainOptions(method=method, validation=held_out, measure_every=2, training=training)
        result = retrain(Data(root=images), out, options)
        found[method] = result.get("found")
        errors = [row["validation_error"] for row in read_metrics(out.metrics)]
        assert [error is None for error in errors] == [True, False, False]
        assert result["metrics"]["validation_error"] == errors[-1]
    assert len(found["d2l"]["dimensions"]) == 3
    assert 0 <= found["incv"]["selected"] <= 12
    assert found["standard"] is None
