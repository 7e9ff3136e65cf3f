"""The audit in the terminal."""

import io
from typing import Any

import msgspec
from rich.console import Console

from labelaudit.report.console import show_estimators, show_summary, show_suspicious
from labelaudit.run.documents import Noise

NOISE = {
    "noise_rate": 0.123,
    "noise_rate_interval": [0.1, 0.15],
    "suspicious": 1234,
    "samples": 20000,
    "readable": 20000,
    "epochs": 20,
    "fit": {"rank_by": "aul", "estimator": "gmm"},
    "classes": [
        {"class": "ant", "samples": 9000, "noise_rate": 0.01, "suspicious": 90},
        {"class": "bee", "samples": 11000, "noise_rate": 0.2, "suspicious": 1144},
    ],
    "confusion": [{"given": "bee", "suggested": "ant", "count": 1100}],
    "estimators": {
        "controls": {
            "rank_by": "aum",
            "noise_rate": 0.11,
            "suspicious": 900,
            "by_kind": {"look-alike": {"noise_rate": 0.2, "interval": [0.18, 0.22]}},
        },
        "gmm": {"rank_by": "aul", "noise_rate": 0.123, "suspicious": 1234},
    },
    "power": {
        "kinds": [
            {"kind": "random", "class": None, "planted": 500, "found": 487},
            {"kind": "random", "class": "ant", "planted": 240, "found": 233},
        ],
        "review": [{"top": 300, "caught": 0.25}, {"top": 1200, "caught": 0.9}, {"top": 2400, "caught": 1.0}],
    },
    "warnings": ["The two groups overlap."],
}


def shown(noise: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=200, highlight=False)
    show_summary(console, msgspec.convert(noise, Noise))
    return console.file.getvalue()  # type: ignore[attr-defined]


def table_of(**cells: str) -> str:
    row = {
        "rank": "1",
        "path": "ant/1.png",
        "given_label": "ant",
        "suggested_label": "bee",
        "p_mislabeled": "0.987654",
        "aul": "12.345",
    }
    console = Console(file=io.StringIO(), width=200)
    show_suspicious(console, [{**row, **cells}])
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_summary_has_counts_rate_confusion_and_warnings() -> None:
    text = shown(NOISE)
    assert "1,234 of 20,000 labels are suspicious; estimated noise rate 12.3% (10.0% to 15.0%), by gmm on aul" in text
    assert "Most frequent given → suggested: bee → ant (1,100)" in text
    assert "Warning: The two groups overlap." in text


def test_the_noisiest_class_comes_first() -> None:
    text = shown(NOISE)
    assert text.index("bee  ") < text.index("ant  ")
    assert "20.0%" in text


def test_of_many_classes_the_noisiest_are_shown() -> None:
    classes = [{"class": f"class{k:02d}", "samples": 10, "noise_rate": k / 100, "suspicious": k} for k in range(20)]
    text = shown({**NOISE, "classes": classes})
    assert "class19" in text
    assert "class08" in text
    assert "class07" not in text
    assert "and 8 classes with less noise" in text


def test_in_a_narrow_window_similar_long_names_stay_apart() -> None:
    classes = [{**NOISE["classes"][0], "class": f"{'long name ' * 6}{end}"} for end in ("left", "right")]
    console = Console(file=io.StringIO(), width=60)
    show_summary(console, msgspec.convert({**NOISE, "classes": classes}, Noise))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "left" in text
    assert "right" in text
    assert "…" not in text


def test_an_unknown_rate_is_called_unknown() -> None:
    assert "estimated noise rate unknown" in shown({**NOISE, "noise_rate": None, "confusion": [], "warnings": []})


def test_the_table_shows_a_row() -> None:
    text = table_of()
    assert all(cell in text for cell in ("ant/1.png", "ant", "bee", "0.988", "12.3"))


def test_in_a_narrow_window_paths_and_figures_are_whole() -> None:
    console = Console(file=io.StringIO(), width=40)
    row = {"rank": "1", "path": f"a long path/{'x' * 60}.png", "given_label": "longer", "suggested_label": "longest"}
    show_suspicious(console, [{**row, "p_mislabeled": "0.987654", "aul": "123.456"}])
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert row["path"] in text
    assert "longer → longest" in text
    assert "0.988" in text
    assert "123.5" in text


def test_names_cannot_steer_the_terminal_or_the_markup() -> None:
    text = table_of(path="[red]a[/red]\x1b[2J/1.png", given_label="x\ny", suggested_label="[/]")
    assert "[red]a[/red]\\x1b[2J/1.png" in text
    assert "\x1b[2J" not in text
    assert "x\\x0ay" in text
    assert "[/]" in text
    noise = {**NOISE, "classes": [{"class": "\x1b]0;t", "samples": 1, "noise_rate": 0, "suspicious": 0}]}
    assert "\\x1b]0;t" in shown(noise)


def test_the_interval_stands_beside_the_rate() -> None:
    assert "estimated noise rate 12.3% (10.0% to 15.0%), by gmm on aul" in shown(NOISE)
    assert "unknown, by gmm" in shown({**NOISE, "noise_rate": None, "noise_rate_interval": None})


def test_power_is_told_for_all_classes_together_and_reviews_that_add_something() -> None:
    text = shown(NOISE)
    assert "this audit ranks above the cut: of 500 random ones 487\n" in text
    assert (
        "Of the errors that the noise rate counts, the top 300 hold about 25%, the top 1,200 hold about 90%\n" in text
    )
    silent = shown({**NOISE, "power": {"kinds": [], "review": []}})
    assert "on purpose" not in silent
    assert "hold about" not in silent


def test_every_estimator_is_shown_and_the_chosen_one_marked() -> None:
    console = Console(file=io.StringIO(), width=200, highlight=False)
    show_estimators(console, msgspec.convert(NOISE, Noise))
    lines = [line.split() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert ["→", "gmm", "aul", "12.3%", "1,234"] in lines
    assert ["controls", "aum", "11.0%", "900"] in lines
    assert ["like", "look-alike", "20.0%", "(18.0%", "to", "22.0%)"] in lines
