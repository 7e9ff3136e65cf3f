"""Browsers and tabs; the tests that need one are skipped where there is none."""

import os

import pytest

from tests.report.page.browser import Tab, browser, find_browser


@pytest.fixture(scope="session")
def running(tmp_path_factory):
    executable = find_browser()
    if executable is None:
        why = "no Chromium or Chrome on the PATH, and LABELAUDIT_BROWSER names none"
        if os.environ.get("LABELAUDIT_REQUIRE_BROWSER"):
            pytest.fail(why)
        pytest.skip(why)
    with browser(executable, tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest.fixture
def tab(running):
    tab = Tab.new(running)
    yield tab
    tab.close()
