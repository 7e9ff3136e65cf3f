import pytest

from labelaudit.codes import CODES
from labelaudit.errors import UsageError
from labelaudit.report.config import Config, limits_of_codes, read_config, selection_of
from labelaudit.report.gate import ChosenCodes

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
    config = read_config(inner)
    assert (config.select, config.max_noise, config.max, config.ignore) == (("LA006",), 0.1, {"LA006": 0}, None)
    # A pyproject.toml without a table of ours is not the nearest; with one it is.
    (inner / "pyproject.toml").write_text('[project]\nname = "x"\n')
    assert read_config(inner).select == ("LA006",)
    (inner / "pyproject.toml").write_text('[tool.labelaudit]\nignore = ["ambiguous"]\njudge = "upper"\n')
    config = read_config(inner)
    assert (config.select, config.ignore, config.judge) == (None, ("ambiguous",), "upper")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("selekt = []", r"labelaudit.toml: .*unknown field `selekt`; the keys are fail-on-warning, ignore, judge,"),
        ("max = { LA006 = 'no' }", r"labelaudit.toml: Expected `int`, got `str`"),
        ("select = [", "labelaudit.toml is not TOML"),
    ],
)
def test_a_wrong_file_is_one_clear_line(folder, text, said):
    with pytest.raises(UsageError, match=said) as caught:
        read_config(folder(text))
    assert "\n" not in str(caught.value)


def test_what_is_selected_and_not_ignored_counts():
    assert selection_of(Config()) == ChosenCodes()
    assert selection_of(Config()).is_all
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
    assert not selection.is_all


def test_limits_of_codes_are_those_of_the_file_and_of_the_options():
    config = Config(max={"LA006": 3, "corrupted": 1}, where="file")
    assert limits_of_codes(config, ["LA006=0"]) == {"LA006": 0, "LA002": 1}
    for wrong in ("LA006", "LA006=-1", "LA006=x"):
        with pytest.raises(UsageError, match="is no CODE=NUMBER; give for example --max LA006=0"):
            limits_of_codes(config, [wrong])
    with pytest.raises(UsageError, match="file: the limit LA001 = -2 is negative"):
        limits_of_codes(Config(max={"LA001": -2}, where="file"))
