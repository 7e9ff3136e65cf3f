import json
import math
from dataclasses import replace

import pytest

from labelaudit.engine.settings import settings_from_json
from labelaudit.errors import RunError
from tests.engine.helpers import training_settings

SETTINGS = training_settings(augment="crop", crop_pad=3, epochs=11, schedule="cosine", precision="bfloat16")


def test_settings_survive_json():
    adam = replace(SETTINGS, optimizer="adam", schedule="milestones", milestones=((0.5, 0.1), (0.75, 0.01)))
    for settings in (SETTINGS, adam):
        assert settings_from_json(json.loads(json.dumps(settings.as_json())), "run.json") == settings
    older = {name: value for name, value in SETTINGS.as_json().items() if name not in ("beta2", "border")}
    assert settings_from_json(older, "run.json") == SETTINGS


def test_bad_settings_are_refused():
    for value, error in (
        ([], "has settings that this version does not read"),
        ({"more": 1}, "has settings that this version does not read"),
        ({"epochs": 0}, r"is damaged \(epochs is 0\)"),
        ({"lr": math.nan}, r"is damaged \(lr is nan\)"),
        ({"seed": -1}, r"is damaged \(seed is -1\)"),
        ({"kind": "none"}, r"is damaged \(.*kind"),
        ({"milestones": [[0.5]]}, r"is damaged \(.*milestones"),
    ):
        with pytest.raises(RunError, match=rf"run\.json {error}"):
            settings_from_json({**SETTINGS.as_json(), **value} if value else value, "run.json")
