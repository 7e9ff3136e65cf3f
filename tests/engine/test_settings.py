import json
import math
from dataclasses import replace

import pytest

from labelaudit.data.pixels import PixelFormat
from labelaudit.engine.inputs import Augment
from labelaudit.engine.settings import TrainingSettings, settings_from_json
from labelaudit.errors import RunError
from tests.engine.helpers import loop_settings

SETTINGS = TrainingSettings(
    kind="train",
    model="labelaudit_probe",
    weights="scratch",
    preset="fast",
    image_size=24,
    channels=1,
    resize="crop",
    **vars(loop_settings(augment="crop", crop_pad=3, epochs=11, schedule="cosine", precision="bfloat16")),
)


def test_the_parts_take_their_values_from_the_settings():
    assert SETTINGS.pixel_format == PixelFormat(size=24, channels=1, resize="crop")
    assert SETTINGS.augmentation == Augment(name="crop", pad=3)


def test_settings_survive_json():
    adam = replace(SETTINGS, optimizer="adam", schedule="milestones", milestones=((0.5, 0.1), (0.75, 0.01)))
    for settings in (SETTINGS, adam):
        assert settings_from_json(json.loads(json.dumps(settings.as_json())), "run.json") == settings
    older = {name: value for name, value in SETTINGS.as_json().items() if name != "beta2"}
    assert settings_from_json(older, "run.json") == SETTINGS


@pytest.mark.parametrize("other", [{}, None, [], {**SETTINGS.as_json(), "more": 1}], ids=str)
def test_settings_of_another_version_are_refused(other):
    with pytest.raises(RunError, match=r"run\.json has settings that this version does not read"):
        settings_from_json(other, "run.json")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("epochs", True),
        ("lr", math.nan),
        ("seed", -1),
        ("kind", "none"),
        ("milestones", [[0.5]]),
        ("late_momentum", "0.1"),
    ],
)
def test_damaged_settings_are_refused(name, value):
    with pytest.raises(RunError, match=rf"run\.json is damaged \(.*{name}"):
        settings_from_json({**SETTINGS.as_json(), name: value}, "run.json")
