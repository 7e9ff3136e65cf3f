"""The review in a real browser, from the server: whole reviews by keys, many at once, reload, two windows, a phone."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from labelaudit.auditing.fit import fit
from labelaudit.auditing.model import Audit, recorded_data
from labelaudit.auditing.sample import draw_sample
from labelaudit.detect.verdicts import FitSettings
from labelaudit.report.gate import Limits, make_report
from labelaudit.report.page.examples import choose_examples
from labelaudit.report.page.write import served_page
from labelaudit.review.decisions import Decision, Ledger, append_decisions, read_decisions
from labelaudit.review.server import Site, serving
from labelaudit.run.caches import Embedded, EmbeddingCache
from labelaudit.run.lists import rows_of
from labelaudit.run.tables import write_near
from tests.cli.helpers import QUICK, edit, reviewing, run, succeed, write_images
from tests.data.helpers import write_files
from tests.report.page.browser import Tab
from tests.report.page.helpers import MadeUp, make_run, noise_png, page_of, write_noise_images
from tests.report.page.test_browser import STORED, download

CLASSES = ("ant", "bee", "cat")
SERIOUS = ("serious", "critical")


def make(folder: Path, *, each: int, wrong: int) -> MadeUp:
    """A run in which the first images of each class are suspicious; with `COPIES` where it has more than 12 of each."""
    names = [f"{name}/{number:03d}.png" for name in CLASSES for number in range(each)]
    root = write_noise_images(folder / "zoo", names)
    copies = COPIES if each > 12 else ()
    for copy, number, size in (("ant/large", 11, (24, 20)), ("ant/same", 12, (12, 10)), ("bee/same", 12, (12, 10)))[
        : len(copies)
    ]:
        write_files(root, {f"{copy}.png": noise_png(number, size)})
    made = make_run(folder / "run", root, wrong=[name for name in names if int(name[4:7]) < wrong])
    pairs = [(made.catalogue.paths.index(one), made.catalogue.paths.index(other)) for one, other in copies]
    write_near(
        made.run.near, np.array(pairs, dtype=np.int32).reshape(-1, 2), np.full(len(pairs), 0.9, dtype=np.float32)
    )
    fit(made.run, FitSettings.chosen(estimator="gmm"))
    return made


COPIES = (
    ("ant/011.png", "ant/large.png"),
    ("ant/012.png", "ant/same.png"),
    ("ant/same.png", "bee/same.png"),
    ("bee/011.png", "cat/011.png"),
)
"""Taken for copies: a smaller one, three equal files, of which one has another label, and a false pair."""


@dataclass
class Served:
    """A run behind a server."""

    made: MadeUp
    address: str

    @property
    def decided(self) -> list[tuple[str, str, str]]:
        return [(one.path, one.action, one.label) for one in read_decisions(self.made.run.decisions).values()]


@pytest.fixture
def served(tmp_path: Path, request: pytest.FixtureRequest, tab: Tab) -> Iterator[Served]:
    each, wrong = getattr(request, "param", (25, 10))
    made = make(tmp_path, each=each, wrong=wrong)
    audit, recorded = Audit(made.run), recorded_data(made.run)
    page, policy = served_page(audit, make_report(audit, Limits(), top=0).listed, "labelaudit relabel ZOO", recorded)
    ledger = Ledger(file=made.run.decisions, catalogue=audit.catalogue, reviewer="ann")
    with serving(Site(page, policy, ledger, recorded.root)) as address:
        yield Served(made, address)
        assert [text for text in tab.complaints() if not text.startswith(address)] == []


def shows(tab: Tab, selector: str, text: str) -> None:
    """Wait until a node has this text."""
    expect(tab.page.locator(selector)).to_have_text(text)


def written(served: Served, decisions: int, last: str = "") -> None:
    """Wait until so many decisions are in the file, and the last of them is this action."""
    until = time.monotonic() + 20
    while len(served.decided) != decisions or (last and served.decided[-1][1] != last):
        assert time.monotonic() < until, served.decided
        time.sleep(0.02)


def test_thirty_images_are_reviewed_by_keys_in_the_large_view_and_applied(served: Served, tab: Tab) -> None:
    tab.open(served.address)
    assert tab.text("#reviewed") == "0"
    tab.press("ArrowRight", "ArrowLeft", "Enter")
    tab.frames(count=20)
    assert tab.on("#focus", "return node.open")
    assert tab.text("#focus-place") == "1 of 30"
    assert tab.evaluate("document.getElementById('large').src").endswith(f"/image/{sample_of(tab, 0)}")
    assert len(tab.texts(".of-class:first-child .examples img")) == 4
    assert tab.text(".of-class:first-child h3 bdi") == "ant"
    tab.press(*"ccckd")
    assert tab.text("#focus-place") == "6 of 30"
    tab.press("u")
    assert tab.text("#focus-place") == "5 of 30"
    tab.press("d", *"c" * 24)
    assert "minute" in tab.text("#left")
    tab.press("c")
    assert tab.on("#focus", "return node.open") is False
    assert tab.text("#end-title") == "All 30 labels reviewed"
    assert tab.text("#end-counts") == "On this page: 28 labels are changed, 1 image dropped, 1 kept"
    assert tab.text("#end-open") == "3 groups of copies undecided (tab Duplicates)"
    assert tab.text("#command") == "labelaudit relabel ZOO"
    written(served, 30)
    assert sorted(action for _, action, _ in served.decided) == ["change"] * 28 + ["drop", "keep"]
    tab.click("#plan")
    tab.page.wait_for_selector("#apply:not([hidden])")
    assert tab.text("#plan-text") == f"{PLAN}28 labels are changed, 1 image dropped, 1 kept."
    assert tab.text("#apply") == "Move 29 files"
    lines = tab.texts("#plan-list li")
    assert len(lines) == 29
    assert "ant/000.png → bee/000-2.png (renamed, since the name is taken)" in lines
    (dropped,) = [action[0] for action in served.decided if action[1] == "drop"]
    assert f"{dropped} → zoo-dropped/{dropped} (dropped)" in lines
    assert tab.on("#plan-list", "return node.scrollHeight > node.clientHeight")
    tab.click("#apply")
    root = served.made.catalogue.root
    shows(tab, "#applied-text", f"Moved 29 files. 1 dropped image is in {root}-dropped.")
    assert tab.text("#undo-command") == f"labelaudit relabel {root} --undo"
    assert tab.text("#again-command") == f"labelaudit score {root}"
    assert len(tab.page.locator("#end .copy").filter(visible=True).all()) == 2
    for selector in ("#plan", "#apply", "#command"):
        assert not tab.page.is_visible(selector)
    tab.press("Escape")
    tab.click("#finish")
    assert tab.page.is_visible("#applied")
    tab.press("Escape", "u")
    tab.click("#finish")  # what was decided since then is not applied
    assert tab.page.is_visible("#plan")
    assert not tab.page.is_visible("#applied")
    assert not (root / "ant/000.png").exists()
    assert (root / "bee/000-2.png").exists()


PLAN = "The plan, of all that was decided in this audit and its sample: "


def open_copies(tab: Tab, address: str | Path) -> None:
    tab.open(address)
    tab.click("#tab-copies")
    assert tab.texts(".copies .path") == [
        *("bee/same.png", "ant/same.png", "ant/012.png"),
        *("cat/011.png", "bee/011.png"),
        *("ant/large.png", "ant/011.png"),  # last, as both have the same label
    ]


def test_of_copies_the_best_stays_or_another_and_a_false_group_is_not_shown_again(served: Served, tab: Tab) -> None:
    made, root = served.made, served.made.catalogue.root
    open_copies(tab, served.address)
    tab.evaluate("document.getElementById('copies').style.paddingTop = '2000px'")
    tab.press("b")  # the group is out of sight: it is scrolled to, and nothing is decided
    tab.evaluate("document.getElementById('copies').style.paddingTop = ''")
    assert tab.texts(".copies .state") == ["", "", ""]
    tab.press("1", "ArrowDown", "ArrowDown", "b")  # of the first group the best goes, the others stay
    assert tab.texts(".copies .state") == ["1 to drop", "", "1 to drop"]
    assert tab.text("#copies-open") == "1 to decide"
    tab.press("ArrowUp", "ArrowUp", "3", "ArrowUp", "2")  # nothing is left to decide; the last file has to stay
    assert tab.text("#copies-tally") == "3 copies to drop"
    assert tab.page.locator(".copies li button:disabled").count() == 2
    assert tab.on("#end", "return node.open") is False
    tab.press("ArrowDown", "x")
    assert tab.text("#end-title") == "0 labels reviewed, 30 to go"
    assert tab.text("#end-open") == ""
    tab.press("Escape")
    shows(tab, "#copies-decided", "3 of 3 groups")
    written(served, 7, "no-copy")
    tab.press("u", "u")
    shows(tab, "#copies-tally", "2 copies to drop")
    open_copies(tab, served.address)
    shows(tab, "#copies-decided", "2 of 3 groups")
    tab.press("ArrowUp", "3", "ArrowUp", "n", "x")  # it begins at the open group
    assert tab.text("#copies-tally") == "3 copies to drop · 1 group without copies"
    written(served, 7, "no-copy")
    assert tab.text("#reviewed") == "0"
    assert tab.text("#end-counts").endswith("0 labels are changed, 3 images dropped, 0 kept · 1 group without copies")
    tab.click("#plan")
    tab.page.wait_for_selector("#apply:not([hidden])")
    tab.click("#apply")
    shows(tab, "#applied-text", f"Moved 3 files. 3 dropped images are in {root}-dropped.")
    dropped = sorted(str(path.relative_to(f"{root}-dropped")) for path in Path(f"{root}-dropped").rglob("*.png"))
    assert dropped == ["ant/011.png", "ant/012.png", "bee/same.png"]
    fit(made.run)
    assert {row["path"] for row in rows_of(Audit(made.run).findings) if row["code"] == "LA006"} == {
        *("ant/large.png", "ant/011.png", "ant/012.png", "ant/same.png", "bee/same.png")
    }


@pytest.mark.parametrize("served", [(25, 12)], indirect=True)
def test_the_correction_of_a_dropped_copy_passes_to_the_one_that_stays(served: Served, tab: Tab) -> None:
    root = served.made.catalogue.root
    tab.open(served.address)
    tab.choose("#words", "ant/011.png")  # suspicious, and its larger copy is not
    tab.on("article", "node.focus()")
    tab.press("c")
    tab.click("#tab-copies")
    assert tab.texts(".copies .changed") == ["bee"]
    tab.press("ArrowDown", "ArrowDown", "b")
    assert tab.texts(".copies .changed") == ["bee", "bee"]
    tab.click("#copies-finish")
    changed = "1 label is changed (1 as decided for a dropped copy), 1 image dropped, 0 kept"
    assert tab.text("#end-counts") == f"On this page: {changed}; 1 changed image is dropped as a copy"
    assert tab.texts("#end-pairs li") == ["ant → bee (1)"]
    written(served, 3)
    tab.click("#plan")
    shows(tab, "#plan-text", f"{PLAN}{changed}.")
    assert "ant/large.png → bee/large.png (as its copy)" in tab.texts("#plan-list li")
    assert f"{changed}\n" in succeed("relabel", served.made.run.root, "--dry-run").out
    tab.click("#apply")
    shows(tab, "#applied-text", f"Moved 2 files. 1 dropped image is in {root}-dropped.")
    assert (root / "bee/large.png").exists()
    assert "2 done before" in succeed("relabel", served.made.run.root, "--dry-run").out
    succeed("relabel", root, "--undo", "--yes")
    assert (root / "ant/large.png").exists()
    assert (root / "ant/011.png").exists()
    # A decision of its own counts.
    large = served.made.catalogue.paths.index("ant/large.png")
    Ledger(file=served.made.run.decisions, catalogue=served.made.catalogue, reviewer="").add([[(large, "keep", "")]])
    assert (
        "0 labels are changed, 1 image dropped, 1 kept\n" in succeed("relabel", served.made.run.root, "--dry-run").out
    )


def test_the_file_decides_on_copies_too_and_its_csv_says_all(tmp_path: Path, tab: Tab) -> None:
    made = make(tmp_path, each=25, wrong=1)
    edit(made.run.noise, unreadable=3)
    page_of(made.run)
    open_copies(tab, made.run.page)
    tab.press("x")
    tab.click("#copies-rest")
    assert "To drop the 3 files that cannot be read (tab Overview):" in tab.texts("#end p")
    assert tab.text("#drop-unreadable") == f"labelaudit relabel {made.catalogue.root} {made.run.unreadable}"
    tab.click("#drop-unreadable + .copy")
    assert tab.evaluate("getSelection().toString()") == tab.text("#drop-unreadable")
    tab.press("Escape")
    tab.click(".copies:nth-of-type(1) [data-action=drop][data-at='1']")
    assert tab.texts(".copies .state") == ["1 to drop", "1 to drop", "1 to drop"]
    tab.press("u", "k")  # a key of the other part means nothing here
    tab.evaluate(STORED)
    open_copies(tab, made.run.page)
    states = ["No copies: will not be shown again", "1 to drop", "1 to drop"]
    assert tab.texts(".copies .state") == states
    tab.click("#copies-finish")
    file = tab.download(tmp_path / "out", "#download")
    assert (
        "0 labels are changed, 2 images dropped, 0 kept\n"
        in succeed("relabel", made.catalogue.root, file, "--dry-run").out
    )
    made.run.decisions.write_bytes(file.read_bytes())
    tab.evaluate("localStorage.clear()")
    page_of(made.run)
    open_copies(tab, made.run.page)
    assert tab.texts(".copies .state") == states
    tab.click("#forget")
    assert tab.text("#ask-title").startswith("Clear 7 decisions?")
    tab.click("#ask .close")
    assert tab.texts(".copies .state") == states
    tab.click("#forget")
    tab.click("#ask-yes")
    assert tab.texts(".copies .state") == ["", "", ""]
    tab.press("Control+z")
    assert tab.texts(".copies .state") == states
    tab.click("#forget")
    tab.click("#ask-yes")
    tab.click("#copies-finish")
    tab.page.set_input_files("#open", file)
    assert tab.text("#end-title") == "7 decisions taken from decisions.csv."
    assert tab.texts(".copies .state") == states


def sample_of(tab: Tab, position: int) -> int:
    return int(tab.evaluate(f"document.querySelectorAll('article img')[{position}].src.split('/').at(-1)"))


@pytest.mark.parametrize("served", [(400, 170)], indirect=True)
def test_five_hundred_in_bulk_with_exceptions_and_one_undo(served: Served, tab: Tab) -> None:
    tab.open(served.address)
    assert tab.text("#reviewed") == "0"
    assert tab.on("#group", "return node.hidden")
    tab.press("a")  # without one suggested label for all it has no meaning
    assert tab.text("#reviewed") == "0"
    for pair in (1, 2, 3):
        tab.click(f"#pairs li:nth-child({pair}) button")
        tab.frames(count=3)
        tab.on("article", "node.focus()")
        tab.press("x", "ArrowRight", "ArrowRight", "x")
        assert tab.text("#group-text") == "2 exceptions marked, 168 others to review"
        tab.press("a")
    assert tab.text("#reviewed") == "504"
    written(served, 504)
    tab.press("u")
    assert tab.text("#reviewed") == "336"
    written(served, 336)
    tab.open(served.address)
    shows(tab, "#reviewed", "336")
    tab.click("#finish")
    tab.click("#plan")
    tab.page.wait_for_selector("#plan-list:not([hidden])")
    lines = tab.texts("#plan-list li")
    assert (len(lines), lines[-1]) == (201, "… and 136 more")
    tab.press("Escape", "u", "u")
    assert tab.text("#reviewed") == "0"
    assert tab.on("#undo", "return node.disabled")
    written(served, 0)


def test_after_a_reload_everything_is_there_and_can_be_undone(served: Served, tab: Tab) -> None:
    tab.open(served.address)
    tab.on("article", "node.focus()")
    tab.press(*"kc")
    tab.press("ArrowLeft", "d")  # another decision about the second
    written(served, 2, "drop")
    tab.open(served.address)
    shows(tab, "#reviewed", "2")
    assert tab.text("#tally") == "0 changed · 1 kept · 1 dropped"
    for tally in ("1 changed · 1 kept", "0 changed · 1 kept", "0 changed · 0 kept"):
        tab.press("u")
        assert tab.text("#tally") == tally
    written(served, 0)
    tab.open(served.address)
    tab.frames(count=10)
    assert tab.on("#undo", "return node.disabled")


def test_a_review_that_is_continued_opens_at_the_first_undecided_image(served: Served, tab: Tab) -> None:
    tab.open(served.address)
    tab.press("Enter", *"kd" * 7)
    written(served, 14)
    before = served.decided
    tab.open(served.address)
    shows(tab, "#reviewed", "14")
    assert tab.text("article.active .numbers").startswith("#15 ")
    assert tab.evaluate("scrollY") > 0
    tab.press("c")
    written(served, 15, "change")
    assert served.decided[:14] == before


def test_answers_to_the_sample_are_decided_in_the_review_where_nothing_later_is(tmp_path: Path, tab: Tab) -> None:
    made = make(tmp_path, each=12, wrong=2)
    flagged = Audit(made.run).flagged_S.tolist()
    suggested = CLASSES[(made.catalogue.label_N[flagged[0]] + 1) % 3]
    decisions, answers = (
        Ledger(file=file, catalogue=made.catalogue, reviewer="ann") for file in (made.run.decisions, made.run.answers)
    )
    decisions.add([[(flagged[0], "drop", "")]])
    answers.add([[(flagged[0], "change", suggested), (flagged[1], "keep", ""), (flagged[2], "wrong", "")]])
    page_of(made.run)
    tab.open(made.run.page)
    assert tab.text("#tally") == "1 changed · 1 kept"
    with reviewing(made.run.root) as (address, _):
        tab.open(address)
        shows(tab, "#tally", "1 changed · 1 kept")
        assert tab.text("article.active .numbers").startswith("#3 ")
        assert tab.on("#undo", "return node.disabled")
        tab.press("ArrowLeft", "d")  # later decisions count
        assert tab.text("#tally") == "1 changed · 0 kept · 1 dropped"
        tab.press("u")
        tab.open(address)
        shows(tab, "#tally", "1 changed · 1 kept")
        assert "1 label is changed, 0 images dropped, 1 kept" in succeed("relabel", made.run.root, "--dry-run").out
        tab.click("article:first-child [data-action=suggested]")  # takes it back
        tab.open(address)
        shows(tab, "#tally", "0 changed · 1 kept")
        assert "0 labels are changed, 0 images dropped, 1 kept" in succeed("relabel", made.run.root, "--dry-run").out
        tab.page.goto("about:blank")


def test_what_was_decided_just_before_a_reload_is_not_lost(served: Served, tab: Tab) -> None:
    tab.open(served.address)
    tab.on("article", "node.focus()")
    tab.press(*"kkkkk")
    tab.open(served.address)
    shows(tab, "#reviewed", "5")
    written(served, 5)


def test_two_windows_show_each_others_decisions_and_undo_only_their_own(served: Served, tab: Tab) -> None:
    tab.open(served.address)
    other = Tab(tab.page.context.new_page())
    other.open(served.address)
    tab.on("article", "node.focus()")
    tab.press("k")
    shows(other, "#reviewed", "1")
    assert other.on("#undo", "return node.disabled")
    other.on("article", "node.focus()")
    other.press("d")  # about the same image
    shows(tab, "#tally", "0 changed · 0 kept · 1 dropped")
    tab.press("u")
    assert tab.text("#tally") == "0 changed · 0 kept · 1 dropped"
    written(served, 1, "drop")


def test_a_new_class_is_named_in_the_picker_which_shows_likely_classes_first(served: Served, tab: Tab) -> None:
    tab.open(served.address)
    tab.on("article", "node.focus()")
    tab.press("o")
    assert tab.texts("#choices li") == ["bee", "cat"]
    taken = "[...document.querySelectorAll('#choose li button, #new-class')]"
    taken += ".map((node) => getComputedStyle(node).boxShadow !== 'none')"
    assert tab.evaluate(taken) == [False, False, False]  # Enter alone takes none
    tab.type("c")
    assert tab.evaluate(taken) == [True, False]
    tab.press("ArrowDown", "ArrowDown")
    assert tab.evaluate(taken) == [False, True]
    tab.page.fill("#choice-words", "")
    assert tab.page.locator("#choose-image img").count() == 1
    tab.page.fill("#choice-words", "../x")
    assert tab.on("#new-class", "return node.hidden")
    assert tab.on("#not-a-class", "return node.hidden") is False
    tab.page.fill("#choice-words", "<b>zebra")
    assert tab.text("#new-class") == "New class: <b>zebra"
    tab.press("Enter")  # alone it makes no class
    assert tab.on("#choose", "return node.open")
    tab.press("ArrowDown", "Enter")
    assert tab.on("#choose", "return node.open") is False
    written(served, 1)
    assert served.decided[0][1:] == ("change", "<b>zebra")
    tab.press("o")
    assert tab.texts("#choices li")[:2] == [tab.text("article.active .suggested"), "<b>zebra"]
    tab.press("Escape")
    tab.open(served.address)
    shows(tab, "#reviewed", "1")
    assert tab.text("article [data-action=other]") == "→ <b>zebra"
    tab.on("article", "node.focus()")
    tab.press("Space", "o")
    tab.type("ant" if tab.text("#focus-labels .given") != "ant" else "cat")
    tab.press("Enter")  # the large view stays open, at the next image
    assert tab.on("#focus", "return node.open")
    assert tab.text("#focus-place") == "3 of 30"


def test_a_server_that_has_ended_is_told_and_what_was_not_written_is_counted(served: Served, tab: Tab) -> None:
    tab.open(served.address)
    tab.page.route("**/decisions*", lambda route: route.abort())
    tab.on("article", "node.focus()")
    tab.press("k")
    tab.page.wait_for_selector("#not-stored:not([hidden])")
    assert "The server does not answer. Start labelaudit review again. 1 of your last steps" in tab.text("#not-stored")
    tab.page.unroute("**/decisions*")
    tab.page.wait_for_selector("#not-stored", state="hidden")
    assert len(served.decided) == 1
    tab._heard.clear()  # the browser's own lines about the requests that failed


def test_a_hostile_page_can_neither_read_nor_decide_even_with_the_token(served: Served, browser: Browser) -> None:
    attack = """async (address) => {
      const body = JSON.stringify({ steps: [[[0, "drop", ""]]], after: 0 });
      const tries = [
        fetch(address + "decisions").then((answer) => answer.text()),
        fetch(address + "decisions", { method: "POST", body, headers: { "Content-Type": "application/json" } }),
        fetch(address + "decisions", { method: "POST", body, mode: "no-cors" }).then((answer) => answer.text()),
        new Promise((onload, onerror) => Object.assign(new Image(), { onload, onerror, src: address + "image/0" })),
      ];
      return (await Promise.allSettled(tries)).map(({ status, value }) => (status === "rejected" ? "refused" : value));
    }"""
    with browser.new_context() as context:
        page = context.new_page()
        page.route("http://evil.example/", lambda route: route.fulfill(body="<p>evil", content_type="text/html"))
        page.goto("http://evil.example/")
        assert page.evaluate(attack, served.address) == ["refused"] * 4
        other = f"http://localhost:{served.address.split(':')[2]}"  # another origin that leads to the same server
        assert page.evaluate(attack, other) == ["refused"] * 4
    assert served.decided == []


def test_zoom_by_keys_and_wheel_stays_within_the_image(served: Served, tab: Tab) -> None:
    tab.open(served.address)
    tab.click("article .thumbnail")
    tab.press("+", "+")
    assert tab.text("#zoomed") == "156%"
    tab.page.mouse.move(400, 400)
    tab.page.mouse.wheel(0, -100)
    shows(tab, "#zoomed", "195%")
    tab.press(*"++++")
    tab.page.mouse.down()
    tab.page.mouse.move(4000, 4000)
    tab.page.mouse.up()
    stage, image = (
        tab.on(f"#{name}", "const box = node.getBoundingClientRect(); return [box.left, box.top];")
        for name in ("stage", "large")
    )
    assert image == pytest.approx(stage, abs=1)  # it cannot leave the stage
    tab.press("0")
    assert tab.on("#zoomed", "return node.hidden")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_everything_fits_and_is_large_enough_to_touch(served: Served, tab: Tab, scheme: str) -> None:
    tab.page.emulate_media(color_scheme=scheme)
    tab.open(served.address, width=390, height=844)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    tab.click("article .thumbnail")
    tab.frames(count=5)
    assert tab.on("#focus", "return node.scrollWidth <= node.clientWidth")
    for box in tab.page.locator("#focus-actions button").all():
        place = box.bounding_box()
        assert place is not None
        assert place["height"] >= 40
        assert place["y"] + place["height"] <= 844
    tab.click("#focus-actions [data-action=suggested]")
    assert tab.text("#focus-place") == "2 of 30"
    tab.press("Escape")
    tab.click("#tab-copies")
    tab.click(".copies [data-action=best]")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_finding_of_axe(served: Served, browser: Browser, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with browser.new_context(bypass_csp=True, color_scheme=scheme) as context:
        page = Tab(context.new_page())
        page.open(served.address)
        steps = ["h1", *(f"#tab-{tab}" for tab in ("overview", "found", "copies", "review")), "#pairs button"]
        for step in (*steps, "article [data-action=keep]", "article [data-action=other]"):
            page.click(step)
            page.frames(count=5)
            if step == "#pairs button":
                page.press("Enter")
            found = [one for one in axe.run(page.page).response["violations"] if one["impact"] in SERIOUS]
            assert [(one["id"], one["nodes"][0]["html"]) for one in found] == [], step


def test_examples_are_the_nearest_trusted_images(tmp_path: Path) -> None:
    made = make(tmp_path, each=12, wrong=2)
    catalogue, audit = made.catalogue, Audit(made.run)
    sample_S = audit.flagged_S
    typical = choose_examples(audit, sample_S, [1] * len(sample_S), most=1000)
    assert typical["rows"] == []
    assert not set(typical["samples"]) & set(sample_S.tolist())
    aul_N = audit.column("aul")
    bees = [typical["samples"][at] for at in typical["classes"][1]]
    assert sorted(aul_N[bees]) == sorted(aul_N[catalogue.label_N == 1])[:4]
    vectors = list(np.random.default_rng(0).normal(size=(len(catalogue), 32)).astype(np.float32))
    near = [catalogue.paths.index(f"bee/{number:03d}.png") for number in (5, 7, 9, 11)]
    for order, number in enumerate(near):
        vectors[number] = vectors[sample_S[0]] + 0.01 * (order + 1) * vectors[number]
    EmbeddingCache("key").add(catalogue.sha256, [Embedded(vector_D=one, reason="") for one in vectors])
    found = choose_examples(audit, sample_S, [1] * len(sample_S), most=1000)
    given, suggested = ([found["samples"][at] for at in found["rows"][0][side]] for side in (0, 1))
    assert suggested == near
    assert all(catalogue.label_N[one] == catalogue.label_N[sample_S[0]] for one in given)
    assert len(found["samples"]) == len(set(found["samples"]))


def test_the_file_shows_the_runs_decisions_and_takes_dropped_ones(tmp_path: Path, tab: Tab) -> None:
    made = make(tmp_path, each=12, wrong=2)
    catalogue = made.catalogue

    def decision(path: str, action: str, label: str = "", when: str = "2026-01-01T00:00:00+00:00") -> Decision:
        found = {"sha256": catalogue.sha256[catalogue.paths.index(path)], "given_label": path[:3], "action": action}
        return Decision(time=when, reviewer="bob", path="elsewhere.png", label=label, **found)

    append_decisions(made.run.decisions, [decision("ant/000.png", "keep"), decision("bee/000.png", "change", "wasp")])
    page_of(made.run)
    tab.open(made.run.page)
    assert tab.text("#tally") == "1 changed · 1 kept"
    tab.on("article", "node.focus()")
    tab.choose("#words", "ant/000")
    tab.on("article", "node.focus()")
    tab.press("d")
    tab.evaluate(STORED)
    append_decisions(tmp_path / "other.csv", [decision("cat/001.png", "drop")])
    tab.click("#finish")
    tab.page.set_input_files("#open", tmp_path / "other.csv")
    tab.frames(count=5)
    assert tab.text("#end-title") == "1 decision taken from other.csv."
    assert tab.text("#tally") == "1 changed · 0 kept · 2 dropped"
    tab.page.set_input_files("#open", made.run.suspicious)
    tab.frames(count=5)
    assert tab.text("#end-title") == "suspicious.csv is no decisions.csv."
    tab.evaluate(STORED)
    # The same decisions are found from a page of another folder; the later of two decisions counts.
    page_of(made.run)
    tab.open(made.run.page)
    assert tab.text("#tally") == "1 changed · 0 kept · 2 dropped"
    append_decisions(made.run.decisions, [decision("ant/000.png", "keep", when="2126-01-01T00:00:00+00:00")])
    page_of(made.run)
    tab.open(made.run.page)
    assert tab.text("#tally") == "1 changed · 1 kept · 1 dropped"
    assert "wasp" in download(tab, tmp_path / "out").read_text()


def test_a_drawn_sample_is_answered_by_keys_and_fit_takes_the_answers(tmp_path: Path, tab: Tab) -> None:
    made = make(tmp_path, each=25, wrong=10)
    rows = [made.catalogue.paths[number] for number in draw_sample(made.run, 40)]
    with reviewing(made.run.root, "--sample", 40, "--reviewer", "ann") as (address, told):
        tab.open(address)
        # Nothing on the page tells what to answer.
        assert tab.texts("article:first-child .actions button") == ["Right", "Wrong", "Other…", "Unsure"]
        assert tab.texts("article .numbers")[:3] == ["#1", "#2", "#3"]
        assert tab.texts("article .kind") == tab.texts("article svg") == tab.texts("#pairs li") == []
        assert tab.texts("article:first-child .what") == ["given"]
        assert not {"C", "D", "K", "X", "A"} & set(tab.texts("kbd"))
        tab.on("article", "node.focus()")
        tab.press(*"kcdrws")  # the first three mean nothing here
        assert tab.text("#tally") == "1 right · 1 wrong · 1 unsure"
        tab.press("o")
        given = tab.text("article.active .given")
        assert tab.texts("#choices li") == [name for name in CLASSES if name != given]
        tab.press("ArrowDown", "Enter", "Enter")
        assert tab.text("#focus-place") == "5 of 40"
        assert tab.texts("#focus .what") == ["given"]
        tab.press("r", "Escape")
        tab.open(address)
        shows(tab, "#tally", "2 right · 2 wrong · 1 unsure")
        tab.press("r")  # it goes on where it ended
        assert tab.text("#tally") == "3 right · 2 wrong · 1 unsure"
        tab.choose("#state", "change")
        assert tab.text("#found") == "2 of 40 shown"
        tab.choose("#state", "open")
        tab.on("article", "node.focus()")
        tab.press(*"r" * 33)
        assert tab.on("#end", "return node.open") is False
        tab.press("r")
        assert tab.text("#end-title") == "All 40 labels reviewed"
        assert tab.text("#command") == f"labelaudit fit {made.run.root}"
        assert tab.text("#relabel") == f"labelaudit relabel {made.run.root}"
        assert not tab.page.is_visible("#plan")
        tab.page.goto("about:blank")
    assert f"40 drawn labels to review. Answers go to {made.run.answers}" in "\n".join(told)
    then = f"labelaudit fit {made.run.root}"
    assert told[-1] == f"40 answers in {made.run.answers}. For the noise rate: {then}"
    answers = read_decisions(made.run.answers).values()
    assert [one.path for one in sorted(answers, key=lambda one: one.time)] == rows
    assert {one.reviewer for one in answers} == {"ann"}
    fitted = succeed(*then.split()[1:]).err
    assert "Reviewed by a person: 37 right, 2 wrong, 1 skipped of 40 labels drawn by chance" in fitted
    assert "reviewed noise rate" in fitted
    plan = succeed("relabel", made.run.root, "--dry-run").out
    assert "2 labels are changed, 0 images dropped, 37 kept\n" in plan  # a copy of the changed image too
    plan = succeed("relabel", made.catalogue.root, made.run.answers, "--dry-run").out
    assert "1 label is changed, 0 images dropped, 37 kept, 2 refused" in plan
    assert "is wrong, and nobody said what is right" in plan


def test_from_a_folder_to_a_green_gate_without_a_file_handled_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tab: Tab
) -> None:
    monkeypatch.chdir(tmp_path)
    photos = write_images(tmp_path / "photos", wrong=2)
    succeed("score", photos, *QUICK)
    runs = Path("labelaudit-runs/photos")
    limit = ("--max-suspicious", 0, "--no-html")
    assert run("report", runs, *limit).code == 1
    with reviewing(runs) as (address, told):
        tab.open(address)
        tab.page.wait_for_selector("article")
        suspicious = int(tab.text("#found").split()[0])
        assert suspicious >= 8
        # The plan waits for decisions that are not written yet.
        tab.page.route("**/decisions", lambda route: (time.sleep(0.1), route.continue_()))
        tab.on("article", "node.focus()")
        tab.press("Enter")
        for _ in range(suspicious):
            # The first images of each class show the next class; what else is suspicious is right.
            tab.press("c" if int(tab.text("#focus-details .whole-path").split("/")[1][:3]) < 2 else "k")
        tab.click("#plan")
        tab.page.wait_for_selector("#apply:not([hidden])")
        tab.click("#apply")
        shows(tab, "#applied-text", "Moved 8 files.")
        tab.page.goto("about:blank")
    assert told[-1].endswith(f"They are applied. To audit again: labelaudit score {photos}")
    assert "8 labels changed" in succeed("score", photos, *QUICK).err
    found = {path.name for path in (photos / "bee").iterdir()}
    assert {"000-2.png", "001-2.png"} <= found
    assert run("report", runs, *limit).code == 0
