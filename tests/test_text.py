"""Paths and addresses."""

from pathlib import Path

import pytest

import labelaudit
from labelaudit.errors import UsageError
from labelaudit.text import require_local, require_local_words
from tests.cli.helpers import run

ADDRESSES = ("https://example.org/a/photos.zip?x=1", "http://h/x", "s3://bucket/photos", "gs://b/x", "hf://datasets/x")


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_no_path(address: str) -> None:
    expected = f"{address} is an address, and labelaudit takes paths of this machine only"
    for place in (address, Path(address)):
        with pytest.raises(UsageError) as error:
            require_local(place)
        assert error.value.what == expected
    for words in (
        ("score", address),
        ("score", "photos", "--run", address),
        ("score", "photos", f"--labels={address}"),
        ("report", address),
        ("report", "audit", "--write", f"json={address}"),
        ("relabel", "photos", address),
    ):
        assert run(*words).only_error.startswith(expected)
    with pytest.raises(UsageError, match="is an address"):
        labelaudit.audit(address)
    with pytest.raises(UsageError, match="is an address"):
        labelaudit.open_run(address)


def test_paths_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("photos", "/data/photos", "c:/photos", "c://photos", "a:b/c", "", "x=s3", Path("/")):
        require_local(place)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd:" / "photos").mkdir(parents=True)
    require_local(Path("odd:/photos"))


def test_where_images_are_served_is_an_address() -> None:
    require_local_words(["export", "audit", "--url-prefix", "https://h/x"], but="--url-prefix")
    require_local_words(["export", "audit", "--url-prefix=https://h/x"], but="--url-prefix")
    with pytest.raises(UsageError):
        require_local_words(["export", "https://h/x", "--url-prefix", "https://h/x"], but="--url-prefix")
