from labelaudit.auditing.model import Data
from labelaudit.auditing.options import TrainingOptions
from labelaudit.retraining.recipe import RetrainOptions, retrain
from labelaudit.run.layout import RunFolder
from labelaudit.run.metrics import read_metrics


def test_the_error_may_be_measured_now_and_then(image_folder, tmp_path):
    images, held_out = image_folder("images"), image_folder("held-out", seed=1)
    training = TrainingOptions(probe="train", epochs=5, batch_size=2, precision="float32", device="cpu")
    options = RetrainOptions(method="standard", validation=held_out, measure_every=2, training=training)
    result = retrain(Data(root=images), RunFolder(tmp_path / "out"), options)
    errors = [row["validation_error"] for row in read_metrics(tmp_path / "out" / "metrics.parquet")]
    assert [error is None for error in errors] == [True, False, True, False, False]
    assert result["metrics"]["validation_error"] == errors[-1]


def test_what_a_method_found_is_in_the_result(image_folder, tmp_path):
    training = TrainingOptions(probe="train", epochs=2, batch_size=4, precision="float32", device="cpu")
    found = {}
    for method in ("d2l", "incv", "standard"):
        options = RetrainOptions(method=method, training=training)
        result = retrain(Data(root=image_folder(method, per_class=10)), RunFolder(tmp_path / f"out-{method}"), options)
        found[method] = result.get("found")
    assert len(found["d2l"]["dimensions"]) == 2
    assert found["d2l"]["turned_at_epoch"] is None
    assert found["incv"]["noise_type"] in ("symmetric", "asymmetric")
    assert 0 <= found["incv"]["selected"] <= 20
    assert found["standard"] is None
