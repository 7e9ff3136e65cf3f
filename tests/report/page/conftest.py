"""A browser and its tabs; the tests that need one are skipped where there is none."""

import os
import shutil

import pytest
from playwright.sync_api import sync_playwright

from tests.report.page.browser import Tab

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "headless_shell")
MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"


@pytest.fixture(scope="package")
def browser():
    """A Chromium or Chrome of this machine: the one that LABELAUDIT_BROWSER names, or one on the PATH."""
    named = os.environ.get("LABELAUDIT_BROWSER")
    found = next(filter(None, map(shutil.which, (named,) if named else (*NAMES, MAC))), None)
    if found is None:
        why = "no Chromium or Chrome on the PATH, and LABELAUDIT_BROWSER names none"
        (pytest.fail if os.environ.get("LABELAUDIT_REQUIRE_BROWSER") else pytest.skip)(why)
    with sync_playwright() as playwright:
        # In a container the browser's own sandbox has no leave to work.
        sandboxed = os.geteuid() != 0 and not os.environ.get("CI")
        started = playwright.chromium.launch(executable_path=found, chromium_sandbox=sandboxed)
        yield started
        started.close()


@pytest.fixture
def tab(browser):
    with browser.new_context() as context:
        yield Tab(context.new_page())
