import math

import pytest

from labelaudit.codes import CODES
from labelaudit.errors import UsageError
from labelaudit.report import gate
from labelaudit.report.gate import TITLES, ChosenCodes, Config, Limits, check, selection_of
from tests.report.helpers import class_noise, noise


def outcome(name, limits, **changes):
    (found,) = (found for found in check(noise(**changes), limits) if found.name == name)
    return found


def classes(*rates):
    return [class_noise(f"class {k}", rate, samples) for k, (rate, samples) in enumerate(rates)]


def outcomes(limits, **changes):
    return [found.outcome for found in check(noise(**changes), limits)]


def test_without_limits_every_check_is_there_and_skipped():
    checks = check(noise(noise_rate=None, unreadable=2), Limits())
    assert [found.name for found in checks] == list(TITLES)
    assert {found.outcome for found in checks} == {"skipped"}
    assert checks[3].text == "no --max-unreadable (2 unreadable images)"


def reviewed(rate, low, high, *classes):
    counts = {"right": 180, "wrong": 20, "skipped": 0, "reviews_left": None}
    own = [{**_rate(*found), "class": name, "reviews": 40} for name, *found in classes]
    return {**_rate(rate, low, high), "classes": own, **counts}


def _rate(rate, low, high):
    return {"noise_rate": rate, "noise_rate_interval": [low, high]}


def test_a_reviewed_interval_decides_in_the_place_of_the_estimated_one():
    # By the estimate the gate would pass, by the review it fails.
    found = {"noise_rate_interval": [0.0, 0.2], "reviewed": reviewed(0.1, 0.06, 0.14)}
    failed = outcome("noise_rate", Limits(max_noise=0.05), **found)
    assert failed.outcome == "failed"
    assert failed.text == "reviewed noise rate 10.00% (6.00% to 14.00%): the lower end 6.00% is above 5.00%"
    assert outcome("noise_rate", Limits(max_noise=0.07), **found).outcome == "passed"
    strict = outcome("noise_rate", Limits(max_noise=0.07, judge="estimate"), **found)
    assert strict.text.endswith("(6.00% to 14.00%): the estimate itself 10.00% is above 7.00%")
    # An audit without an estimate has one now.
    assert outcome("noise_rate", Limits(max_noise=0.05), **{**found, "noise_rate": None}).outcome == "failed"


def test_a_class_with_a_reviewed_rate_is_judged_by_it():
    review = reviewed(0.1, 0.06, 0.14, ("bee", 0.3, 0.02, 0.5))
    limits = Limits(max_class_noise=0.1)
    assert outcome("class_noise_rate", limits).outcome == "failed"
    assert outcome("class_noise_rate", limits, reviewed=review).outcome == "passed"
    for judge, end in (("estimate", "at least 2.00%"), ("upper", "at most 50.00%")):
        failed = outcome("class_noise_rate", Limits(max_class_noise=0.25, judge=judge), reviewed=review)
        assert failed.subjects == (("bee", f"30.00% of 100 images, {end}"),)
    assert outcome("class_noise_rate", Limits(max_class_noise=0.5, judge="upper"), reviewed=review).outcome == "passed"


def test_each_check_that_fails_is_a_sentence():
    limits = Limits(max_noise=0.0999, max_class_noise=0.1, max_suspicious=6, max_unreadable=1, fail_on_warning=True)
    checks = check(noise(warnings=["a", "b"], unreadable=2), limits)
    assert {found.outcome for found in checks} == {"failed"}
    assert [found.sentence for found in checks] == [
        "noise rate 10.00% is above 9.99% (the estimate itself: this audit has no interval)",
        "1 of 2 classes is above a noise rate of 10.00% by the lower end of its 95% interval (1 by the estimate itself)"
        ": 'bee' 20.00% of 100 images, at least 13.34%",
        "7 suspicious labels are more than 6",
        "2 unreadable images are more than 1",
        "2 warnings, 2 unreadable images",
    ]
    assert checks[-1].subjects == (("", "a"), ("", "b"))


def test_limits_may_be_reached_and_zero_is_a_limit():
    limits = Limits(max_noise=0.1, max_class_noise=0.2, max_suspicious=7, max_unreadable=0, fail_on_warning=True)
    assert outcomes(limits) == ["passed"] * 5
    assert outcomes(Limits(max_noise=0.1, max_class_noise=0.2, judge="estimate"))[:2] == ["passed"] * 2
    zero = Limits(max_noise=0.0, max_class_noise=0.0, max_suspicious=0)
    assert outcomes(zero)[:3] == ["failed"] * 3
    clean = classes((0.0, 7), (0.0, 1000))
    assert outcomes(zero, noise_rate=0.0, suspicious=0, classes=clean)[:3] == ["passed"] * 3


@pytest.mark.parametrize(
    ("limit", "judge", "expected", "why"),
    [
        (0.05, "lower", "failed", "lower end 6.00% is above 5.00%"),
        (0.07, "lower", "passed", "lower end 6.00% is not above 7.00%; the upper end 14.00% is"),
        (0.07, "estimate", "failed", "estimate itself 10.00% is above 7.00%"),
        (0.12, "estimate", "passed", "estimate itself 10.00% is not above 12.00%; the upper end 14.00% is"),
        (0.12, "upper", "failed", "upper end 14.00% is above 12.00%"),
        (0.14, "upper", "passed", "upper end 14.00% is not above 14.00%"),
    ],
)
def test_the_noise_check_says_which_figure_it_takes(limit, judge, expected, why):
    found = outcome("noise_rate", Limits(max_noise=limit, judge=judge), noise_rate_interval=[0.06, 0.14])
    assert (found.outcome, found.text) == (expected, f"noise rate 10.00% (6.00% to 14.00%): the {why}")


def test_without_an_interval_nobody_can_be_sure():
    failed = outcome("noise_rate", Limits(max_noise=0.5, judge="upper"))
    assert (failed.outcome, "no interval, so its upper end is unknown" in failed.text) == ("failed", True)


def test_figures_that_differ_look_different():
    assert "10.00001% is above 10.00000%" in outcome("noise_rate", Limits(max_noise=0.1), noise_rate=0.1000001).text
    assert "10.00% is not above 10.00%" in outcome("noise_rate", Limits(max_noise=0.1)).text


CLASSES = [
    # Three images of which one looks wrong say little, four of which all look wrong say enough.
    ("lower", [(1 / 3, 3), (1.0, 4), (0.4, 1000)], ["class 1", "class 2"], "2 of 3 classes are above", "(3 by the"),
    ("lower", [(1 / 3, 3)], [], "0 of 1 class are above", "(1 by the estimate itself)"),
    ("lower", [(0.0, 0), (0.0, 5)], [], "0 of 1 class ", "(0 by the estimate itself)"),
    ("estimate", [(0.2, 1000), (1 / 3, 3), (0.15, 10)], ["class 1", "class 0"], "2 of 3 classes", "estimate itself"),
    # Of five clean images nobody knows that less than 15% of more would be wrong; of a thousand, yes.
    ("upper", [(0.0, 5), (0.1, 1000)], ["class 0"], "1 of 2 classes is", "by the upper end of its 95% interval (0 by"),
]


@pytest.mark.parametrize(("judge", "rates", "named", "start", "end"), CLASSES)
def test_classes_fail_on_strong_evidence_or_by_another_figure(judge, rates, named, start, end):
    limits = Limits(max_class_noise=0.15, judge=judge)
    found = outcome("class_noise_rate", limits, classes=classes(*rates))
    assert [name for name, _ in found.subjects] == named
    assert found.outcome == ("failed" if named else "passed")
    assert found.text.startswith(start)
    assert end in found.text


def test_of_many_classes_the_worst_are_named_and_names_cannot_break_the_sentence():
    rates = classes(*((k / 10, 500) for k in range(2, 10)))
    found = outcome("class_noise_rate", Limits(max_class_noise=0.1), classes=rates)
    assert [name for name, _ in found.subjects] == [f"class {k}" for k in reversed(range(8))]
    assert "'class 3'" in found.sentence
    assert "'class 2'" not in found.sentence
    assert found.sentence.endswith("; and 3 more")
    hostile = outcome("class_noise_rate", Limits(max_class_noise=0.1), classes=[class_noise("a\nb\x1b[2J'")]).sentence
    assert hostile.isprintable()
    assert r'"a\nb\x1b[2J' in hostile


def test_limits_that_cannot_be_meant_are_refused():
    for option, value in (("max_noise", math.nan), ("max_class_noise", -0.01), ("max_class_noise", 1.01)):
        with pytest.raises(UsageError, match=f"--{option.replace('_', '-')} {value} is not a share"):
            Limits(**{option: value})
    with pytest.raises(UsageError, match="--max-suspicious -1 is negative"):
        Limits(max_suspicious=-1)


def test_an_image_that_is_left_out_fails_like_a_warning_and_notes_beside_the_images_do_not():
    for reason, expected in (("in a format that is not read", "failed"), ("not an image by its name", "passed")):
        left_out = [{"reason": reason, "suffix": ".x", "files": 3, "example": "ant/a.x"}]
        assert outcome("warnings", Limits(fail_on_warning=True), left_out=left_out).outcome == expected


ALL = {each.code for each in CODES}


@pytest.fixture
def folder(tmp_path):
    """A folder within the one that has the file, and how to write that."""
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)

    def write(text, name="labelaudit.toml"):
        (tmp_path / name).write_text(text)
        return inner

    return write


def test_the_nearest_file_upwards_is_read(folder):
    inner = folder('select = ["LA006"]\nmax-noise = 0.1\nmax = { LA006 = 0 }\n')
    config = gate.read_config(inner)
    assert (config.select, config.max_noise, config.max, config.ignore) == (("LA006",), 0.1, {"LA006": 0}, None)
    # A pyproject.toml without a table of ours is not the nearest; with one it is.
    (inner / "pyproject.toml").write_text('[project]\nname = "x"\n')
    assert gate.read_config(inner).select == ("LA006",)
    (inner / "pyproject.toml").write_text('[tool.labelaudit]\nignore = ["ambiguous"]\njudge = "upper"\n')
    config = gate.read_config(inner)
    assert (config.select, config.ignore, config.judge) == (None, ("ambiguous",), "upper")
    assert config.where == f"{inner}/pyproject.toml"
    # The other file in the folder hides it; a baseline is beside the file.
    (inner / "labelaudit.toml").write_text('baseline = "x/labels.parquet"\n')
    config = gate.read_config(inner)
    assert (config.baseline_file, config.judge) == (inner / "x/labels.parquet", "lower")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "selekt = []",
            r"labelaudit.toml: .*unknown field `selekt`; the keys are baseline, fail-on-warning, ignore, judge,",
        ),
        ("max = { LA006 = 'no' }", r"labelaudit.toml: Expected `int`, got `str`"),
        ("select = [", "labelaudit.toml is not TOML"),
    ],
)
def test_a_wrong_file_is_one_clear_line(folder, text, said):
    with pytest.raises(UsageError, match=said) as caught:
        gate.read_config(folder(text))
    assert "\n" not in str(caught.value)


def test_what_is_selected_and_not_ignored_counts():
    assert selection_of(Config()) == ChosenCodes()
    assert selection_of(Config(), ["LA001,near-duplicate"]).codes == {"LA001", "LA006"}
    assert selection_of(Config(), [], ["LA001", "LA002"]).codes == ALL - {"LA001", "LA002"}
    config = Config(select=("LA001", "LA006"), ignore=("LA006",), where="file")
    assert selection_of(config).codes == {"LA001"}
    assert selection_of(config, ["LA006"], ["LA002"]).codes == {"LA006"}  # options replace both


def test_paths_are_ignored_by_glob():
    selection = selection_of(Config(per_path_ignores={"old/*": ("LA001", "duplicate"), "*.png": ("LA002",)}))
    assert not selection.takes("LA001", "old/a/b.jpg")
    assert not selection.takes("LA004", "old/b.jpg")
    assert selection.takes("LA006", "old/b.jpg")
    assert selection.takes("LA001", "new/old/b.jpg")
    assert not selection.takes("LA002", "new/b.png")


def test_limits_of_codes_are_those_of_the_file_and_of_the_options():
    config = Config(max={"LA006": 3, "corrupted": 1}, where="file")
    assert gate.limits_of_codes(config, ["LA006=0"]) == {"LA006": 0, "LA002": 1}
    for wrong in ("LA006", "LA006=-1", "LA006=x"):
        with pytest.raises(UsageError, match="is no CODE=NUMBER; give for example --max LA006=0"):
            gate.limits_of_codes(config, [wrong])
    with pytest.raises(UsageError, match="file: the limit LA001 = -2 is negative"):
        gate.limits_of_codes(Config(max={"LA001": -2}, where="file"))
