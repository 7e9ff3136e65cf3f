import json
from dataclasses import asdict, fields, replace

from labelaudit.data.pixels import PixelFormat
from labelaudit.engine.inputs import Augment
from labelaudit.engine.settings import TrainingSettings

SETTINGS = TrainingSettings(
    kind="train",
    model="labelaudit_probe",
    weights="scratch",
    preset="fast",
    image_size=24,
    channels=1,
    fit="crop",
    augment="crop",
    crop_pad=3,
    epochs=11,
    batch_size=96,
    lr=0.07,
    momentum=0.8,
    nesterov=True,
    weight_decay=3e-4,
    schedule="cosine",
    precision="bfloat16",
    seed=13,
)


def test_the_parts_take_their_values_from_the_settings():
    assert SETTINGS.pixel_format == PixelFormat(size=24, channels=1, fit="crop")
    assert SETTINGS.augmentation == Augment(name="crop", pad=3)
    loop = asdict(SETTINGS.loop)
    assert loop == {name: getattr(SETTINGS, name) for name in loop}


def test_plain_values_survive_json():
    values = json.loads(json.dumps(SETTINGS.as_json()))
    assert set(values) == {field.name for field in fields(TrainingSettings)}
    assert TrainingSettings.from_json(values) == SETTINGS
    adam = replace(SETTINGS, optimizer="adam", schedule="milestones", milestones=((0.5, 0.1), (0.75, 0.01)))
    assert TrainingSettings.from_json(json.loads(json.dumps(adam.as_json()))) == adam


def test_settings_of_before_there_was_a_choice_of_optimisers_are_read():
    values = json.loads(json.dumps(SETTINGS.as_json()))
    for name in ("optimizer", "milestones", "beta2", "late_momentum"):
        del values[name]
    assert TrainingSettings.from_json(values) == SETTINGS
