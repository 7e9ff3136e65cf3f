import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from labelaudit.auditing.options import TrainingOptions
from labelaudit.auditing.plan import (
    FINE_TUNED,
    HEAD,
    HEADS_SIZE,
    PRESETS,
    agree,
    check_method,
    heads_beside,
    network_beside,
    plan,
    plan_probe,
)
from labelaudit.engine.settings import SCRATCH
from labelaudit.errors import RunError, UsageError
from labelaudit.methods.table import METHODS, find_method
from labelaudit.retraining.recipe import presets_of
from tests.data.helpers import catalogue_of

CPU = torch.device("cpu")


def catalogue(side=32, *, images=10_000, grey=False):
    sizes = {"width_N": np.full(images, side + 10), "height_N": np.full(images, side), "grey_N": np.full(images, grey)}
    return catalogue_of([0] * images, **sizes)


def test_what_is_asked_for_beats_the_preset():
    asked = {"epochs": 3, "batch_size": 7, "lr": 0.5, "momentum": 0.0, "augment": "none", "seed": 4}
    settings = plan(catalogue(), TrainingOptions(**asked), CPU).settings
    assert asked.items() <= vars(settings).items()
    assert not settings.nesterov  # its step needs momentum


def test_the_paper_preset_of_a_method_has_its_published_settings():
    def settings_of(method, **options):
        asked = TrainingOptions(preset="paper", **options)
        return plan(catalogue(), asked, CPU, presets=presets_of(find_method(method))).settings

    standard, pair = (settings_of(method) for method in ("standard", "co-teaching"))
    assert (standard.epochs, standard.schedule, standard.optimizer, standard.milestones) == (300, "step", "sgd", ())
    published = {"epochs": 200, "batch_size": 128, "optimizer": "adam", "lr": 0.001, "schedule": "late-linear"}
    published |= {"late_momentum": 0.1, "augment": "none", "nesterov": False}
    assert published.items() <= vars(pair).items()
    asymmetric = settings_of("elr", epochs=120, schedule="milestones")
    assert (asymmetric.lr, asymmetric.milestones) == (0.02, ((1 / 3, 0.01), (2 / 3, 0.0001)))
    changed = settings_of("co-teaching", optimizer="sgd", schedule="linear")
    assert (changed.optimizer, changed.lr, changed.late_momentum) == ("sgd", 0.1, None)
    assert settings_of("elr", schedule="linear").milestones == ()
    fast = {plan(catalogue(), TrainingOptions(), CPU, presets=presets_of(entry)).settings for entry in METHODS}
    assert len(fast) == 1  # only the paper's preset differs from method to method


def test_the_papers_preset_computes_in_float32_unless_asked_otherwise(monkeypatch):
    monkeypatch.setattr("labelaudit.engine.devices._cpu_multiplies_bfloat16", lambda: True)
    found = {
        (preset, asked): plan(catalogue(), TrainingOptions(preset=preset, precision=asked), CPU).settings.precision
        for preset in ("fast", "paper")
        for asked in (None, "auto", "bfloat16")
    }
    exact = {key for key, precision in found.items() if precision == "float32"}
    assert exact == {("paper", None), ("paper", "auto")}


def test_little_data_gets_small_batches_unless_they_are_asked_for():
    sizes = [plan(catalogue(images=images), TrainingOptions(), CPU).settings.batch_size for images in (100, 3000, 9000)]
    assert sizes == [16, 64, 128]
    few = catalogue(images=100)
    assert plan(few, TrainingOptions(batch_size=128), CPU).settings.batch_size == 128
    assert plan(few, TrainingOptions(preset="paper"), CPU).settings.batch_size == 64


def test_own_embeddings_are_planned_as_those_of_the_frozen_backbone(tmp_path):
    (tmp_path / "own.npy").write_bytes(b"content")
    own = TrainingOptions(embeddings=tmp_path / "own.npy")
    weights = f"sha256:{hashlib.sha256(b'content').hexdigest()}"
    for side, size in ((8, 16), (40, 40), (500, 224)):
        frozen, planned = (
            plan_probe(catalogue(side), options, CPU) for options in (TrainingOptions(probe="frozen"), own)
        )
        expected = replace(frozen.settings, model="own-embeddings", weights=weights, image_size=size)
        assert planned.settings == expected
        assert planned.settings.takes_embeddings
        assert not frozen.settings.takes_embeddings
    both = plan_probe(catalogue(), replace(own, probe="both", model="resnet18"), CPU)
    assert (both.settings.model, both.settings.weights, both.settings.heads_weights) == ("resnet18", SCRATCH, weights)
    beside = heads_beside(both.settings, catalogue(), CPU, own.embeddings)
    assert (beside.kind, beside.model, beside.weights, beside.folds) == ("frozen", "own-embeddings", weights, 5)
    for settings in (planned.settings, both.settings):
        agree(settings, own, "run")
        agree(settings, TrainingOptions(), "run")
    (tmp_path / "own.npy").write_bytes(b"other")
    for settings, name in ((planned.settings, "weights"), (both.settings, "heads_weights")):
        with pytest.raises(RunError, match=f"{name} is {weights} there, sha256:"):
            agree(settings, own, "run")
    with pytest.raises(UsageError, match="--probe both is"):
        check_method(find_method("standard"), TrainingOptions(probe="both"))


def test_auto_takes_a_frozen_backbone_above_64_pixels_whose_head_has_settings_of_its_own():
    for side, kind in ((64, "train"), (65, "frozen")):
        planned = plan(catalogue(side), TrainingOptions(), CPU)
        assert planned.settings.kind == kind
        assert f"images of {side} pixels" in planned.why
    settings = plan(catalogue(300), TrainingOptions(offline=True), CPU).settings
    assert (settings.model, settings.weights) == ("tf_efficientnet_lite2", "embedded")
    assert (settings.image_size, settings.channels, settings.augment, settings.folds) == (224, 3, "none", 5)
    other = plan(catalogue(300), TrainingOptions(offline=True, model="tf_efficientnet_lite0"), CPU).settings
    assert (other.model, other.weights, other.image_size) == ("tf_efficientnet_lite0", "embedded", 224)


@pytest.mark.parametrize(
    ("images", "classes", "batch_size", "weight_decay"),
    [(2000, 2, 32, 0.5), (2000, 64, 32, 0.5), (20480, 80, 256, 0.4), (20479, 80, 64, 0.4)],
)
def test_heads_take_large_batches_of_large_classes_and_a_small_weight_decay_for_many(
    images, classes, batch_size, weight_decay
):
    many = replace(catalogue(300, images=images), classes=tuple(map(str, range(classes))))
    settings = plan(many, TrainingOptions(offline=True), CPU).settings
    assert (settings.batch_size, settings.weight_decay) == (batch_size, weight_decay)


def test_channels_follow_the_data_and_pretrained_networks_see_colour():
    for grey, side, channels in ((True, 32, 1), (False, 32, 3), (True, 300, 3)):
        assert plan(catalogue(side, grey=grey), TrainingOptions(), CPU).settings.channels == channels


def test_fine_tuning_has_its_own_settings_and_needs_no_download():
    settings = plan(catalogue(images=20_000), TrainingOptions(pretrained=True), CPU).settings
    assert (settings.kind, settings.model, settings.weights) == ("train", "tf_efficientnet_lite0", "embedded")
    assert (settings.epochs, settings.lr, settings.image_size) == (FINE_TUNED.epochs, FINE_TUNED.lr, 64)
    assert settings.precision == "float32"
    agree(settings, TrainingOptions(pretrained=True), "run")
    asked = TrainingOptions(pretrained=True, preset="balanced", epochs=3, precision="bfloat16")
    settings = plan(catalogue(images=20_000), asked, CPU).settings
    assert (settings.epochs, settings.lr, settings.precision) == (3, PRESETS["balanced"].lr, "bfloat16")
    settings = plan(catalogue(), TrainingOptions(pretrained=True, model="resnet18"), CPU).settings
    assert (settings.model, settings.weights, settings.epochs) == ("resnet18", "timm", FINE_TUNED.epochs)


def test_the_image_size_is_that_of_the_data_within_bounds():
    for side, size in ((4, 16), (28, 28), (64, 64)):
        assert plan(catalogue(side), TrainingOptions(), CPU).settings.image_size == size
        assert plan(catalogue(side), TrainingOptions(image_size=40), CPU).settings.image_size == 40


def test_an_audit_from_the_weights_of_an_earlier_probe_has_its_network(tmp_path):
    (tmp_path / "probe.safetensors").write_bytes(b"")
    for grey in (True, False):
        images = catalogue(grey=grey)
        first = plan(images, TrainingOptions(probe="train"), CPU).settings
        asked = TrainingOptions(model=first.model, network_weights=tmp_path / "probe.safetensors", probe="train")
        again = plan(images, asked, CPU).settings
        assert (again.channels, again.image_size) == (first.channels, first.image_size) == (1 if grey else 3, 32)


def test_weights_of_a_file_are_known_by_their_content(tmp_path):
    (tmp_path / "a.pt").write_bytes(b"one")
    (tmp_path / "b.pt").write_bytes(b"one")
    asked = TrainingOptions(model="resnet18", network_weights=tmp_path / "a.pt", probe="train")
    settings = plan(catalogue(), asked, CPU).settings
    assert settings.weights.startswith("sha256:7692c3ad")
    agree(settings, replace(asked, network_weights=tmp_path / "b.pt"), "run")
    (tmp_path / "b.pt").write_bytes(b"two")
    with pytest.raises(RunError, match="weights is sha256:7692c3ad"):
        agree(settings, replace(asked, network_weights=tmp_path / "b.pt"), "run")


def test_both_trains_a_network_and_heads_that_are_planned_like_a_frozen_probe():
    small, asked = catalogue(32), TrainingOptions(probe="both", seed=7, lr=0.3, epochs=5)
    settings = plan_probe(small, asked, CPU).settings
    assert (settings.kind, settings.probe, settings.epochs, settings.heads_epochs) == ("train", "both", 5, HEAD.epochs)
    heads = heads_beside(settings, small, CPU)
    frozen = plan(small, TrainingOptions(probe="frozen", seed=7, image_size=HEADS_SIZE), CPU).settings
    assert heads == frozen
    assert heads_beside(settings, catalogue(300), CPU).image_size == 224
    agree(settings, asked, "run")


def test_small_images_get_both_unless_there_are_too_many_or_the_paper_is_followed():
    for images, preset, probe in ((10_000, None, "both"), (200_001, None, "train"), (10_000, "paper", "train")):
        assert plan_probe(catalogue(images=images), TrainingOptions(preset=preset), CPU).settings.probe == probe
    assert plan_probe(catalogue(65), TrainingOptions(), CPU).settings.probe == "frozen"


def test_heads_may_get_a_network_beside_them_unless_more_is_asked_for():
    def may(images=100, **asked):
        return plan_probe(catalogue(200, images=images), TrainingOptions(**asked), CPU).settings.network_if_doubted

    assert may()
    assert may(images=20_000, seed=3, device="cpu", threads=1, resize="crop", probe="auto")
    assert not may(images=20_001)
    assert not any((may(probe="frozen"), may(epochs=3), may(members=2), may(image_size=96), may(folds=3)))
    heads = plan_probe(catalogue(200), TrainingOptions(seed=3, resize="crop"), CPU).settings
    network = network_beside(heads, catalogue(200), TrainingOptions(), CPU)
    assert (network.probe, network.image_size, network.seed, network.resize) == ("both", 64, 3, "crop")
    assert heads_beside(network, catalogue(200), CPU) == replace(heads, network_if_doubted=False)


def test_what_is_not_asked_for_agrees_with_anything_and_a_difference_is_named_alone():
    settings = plan(catalogue(), TrainingOptions(epochs=3, seed=9, lr=0.3), CPU).settings
    agree(settings, TrainingOptions(), "run")
    agree(settings, TrainingOptions(epochs=3, seed=9, probe="auto", precision="auto", device="cpu"), "run")
    for name, asked in (
        ("seed", TrainingOptions(seed=0)),
        ("probe", TrainingOptions(probe="frozen")),
        ("probe", TrainingOptions(probe="both")),
        ("weights", TrainingOptions(pretrained=True)),
        ("preset", TrainingOptions(preset="balanced")),
    ):
        with pytest.raises(RunError, match=f"^run was started with different settings: {name} is [^;]*;[^;]*$"):
            agree(settings, asked, "run")
