from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import labelaudit
from labelaudit.errors import UsageError
from labelaudit.text import csv_lines, guarded, require_local, require_local_words, unguarded
from tests.cli.helpers import run

ADDRESSES = ("https://example.org/a/photos.zip?x=1", "s3://bucket/photos", "hf://datasets/x")
DANGEROUS = "=+-@\t\r\n＝＋－＠"
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")) | st.text("';=-\r\n\ta", max_size=8)


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_no_path(address: str) -> None:
    expected = f"{address} is an address, where a path of this machine is meant"
    for place in (address, Path(address)):
        with pytest.raises(UsageError) as error:
            require_local(place)
        assert error.value.what == expected
    for words in (("score", "photos", f"--labels={address}"), ("report", "audit", "--write", f"json={address}")):
        assert run(*words).only_error.startswith(expected)
    with pytest.raises(UsageError, match="is an address"):
        labelaudit.audit("photos", run=address)
    with pytest.raises(UsageError, match="is an address"):
        labelaudit.open_run(address)


def test_paths_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd:" / "photos").mkdir(parents=True)
    for place in ("photos", "/data/photos", "c:/photos", "c://photos", "a:b/c", "", "x=s3", Path("odd:/photos")):
        require_local(place)
    require_local_words(["export", "audit", "--url-prefix", "https://h/x"], but=["--url-prefix"])
    require_local_words(["export", "audit", "--url-prefix=https://h/x"], but=["--url-prefix"])
    with pytest.raises(UsageError):
        require_local_words(["export", "https://h/x", "--url-prefix", "https://h/x"], but=["--url-prefix"])


def test_an_apostrophe_goes_before_what_looks_like_a_formula_and_harmless_cells_stay():
    for text in ("=1+1", "'=1+1", "''=1+1", "+1.png", "-1.png", "@me", "\tx", "\rx", "＝1"):
        assert guarded(text) == f"'{text}"
        assert guarded(f"a;{text};-2\n{text}") == f"a;'{text};'-2\n'{text}"
    for text in ("", "'", "'tis/1.png", "plain = fine", "a\tb"):
        assert guarded(text) == unguarded(text) == text


@given(texts)
@example("'=")
@example(";'\r\n''=")
def test_every_text_comes_back(text):
    assert unguarded(guarded(text)) == text


@given(texts)
def test_no_guarded_cell_begins_like_a_formula_whatever_splits_the_line(text):
    for split in (guarded(text).split(";"), guarded(text).replace("\r", "\n").split("\n")):
        assert not [part for part in split if part.startswith(tuple(DANGEROUS.replace("\r", "").replace("\n", "")))]
    assert not guarded(text).startswith(tuple(DANGEROUS))


def test_numbers_stay_numbers_and_lines_end_as_on_unix():
    lines = csv_lines(("path", "aum", "rank"), [("-3", "-3", -3), ("=1", "-0.5", None)], numbers={"aum"})
    assert list(lines) == ["path,aum,rank\n", "'-3,-3,-3\n", "'=1,-0.5,\n"]
    lines = csv_lines(("a",), [("x\ny",), ("x\ry",), ("x\r\ny",)])
    assert list(lines) == ["a\n", '"x\ny"\n', '"x\ry"\n', '"x\r\'\ny"\n']
