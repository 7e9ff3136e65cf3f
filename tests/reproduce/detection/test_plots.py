"""The figures, where matplotlib is installed."""

from dataclasses import replace
from pathlib import Path

import pytest

from labelaudit.reproduce.detection.plots import draw
from labelaudit.reproduce.detection.records import NetworkRecord
from tests.reproduce.detection.test_tables import AUDIT, ESTIMATE, tables

pytest.importorskip("matplotlib")


def test_each_figure_is_drawn_where_there_are_rows_and_always_the_same(tmp_path: Path) -> None:
    found = tables()
    assert [file.name for file in draw(found, tmp_path, "svg")] == ["loss-and-aul.svg"]
    found.networks.append(
        NetworkRecord(noise="uniform:0.2", model="net", seed=0, other_model="other", aul=0.98, last_loss=float("nan"))
    )
    found.audits.append(replace(AUDIT, noise="uniform:0.4"))
    found.estimates.append(replace(ESTIMATE, noise="uniform:0.4", true_rate=0.4, precision=float("nan")))
    files = draw(found, tmp_path, "svg")
    assert [file.name for file in files] == ["loss-and-aul.svg", "networks.svg", "noise-rates.svg"]
    first = [file.read_bytes() for file in files]
    assert all(b"</svg>" in content for content in first)
    draw(found, tmp_path, "svg")
    assert [file.read_bytes() for file in files] == first
    (png, *_) = draw(found, tmp_path, "png")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.glob(".*"))
