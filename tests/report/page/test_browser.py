"""The page in a real browser: filters, keys, what is stored, what is downloaded, hostile names, many samples."""

import csv
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labelaudit.auditing.model import Audit
from labelaudit.report.page.write import write_page
from labelaudit.review.corrections import read_review
from labelaudit.review.decisions import Decision
from labelaudit.run.layout import RunFolder
from labelaudit.run.lists import Listed
from labelaudit.text import csv_lines
from tests.cli.helpers import edit
from tests.data.helpers import catalogue_of, write_files
from tests.report.helpers import KINDS
from tests.report.page.browser import Tab
from tests.report.page.helpers import MadeUp, make_run, noise_png, page_of, record, write_noise_images

CLASSES = ("ant", "bee", "cat")
WRONG = ("ant/000.png", "ant/001.png", "ant/002.png", "bee/000.png", "bee/001.png", "cat/000.png")
"""The suggested label is always the next class."""

ACTIVE = "article.active .path"
STORED = "new Promise((done) => setTimeout(done, 400))"
"""Decisions are stored a moment later."""

TALL = 3000
"""Height of a window in which charts and cards are in sight together."""

LABELS = (
    "</script><script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    'it\'s "quoted" & {{7*7}} ]]> -->',
    "=HYPERLINK(1)",
    "\u05e9\u05dc\u05d5\u05dd",
)
NAMES = (
    *("<img src=x onerror=window.hacked=1>.png", '"><svg onload=window.hacked=1>.png', "<!--<script>.png"),
    *("</script><script>window.hacked=1</script>.png", "' onfocus='window.hacked=1' autofocus='.png", "a,b.png"),
    *("two\nlines.png", "carriage\rreturn.png", "\ttab.png", "javascript:window.hacked=1.png", "\u2028line.png"),
    *("=cmd|' /C calc'!A0.png", "+1.png", "-1.png", "@sum.png", "'=quoted.png", "''.png", "''=1.png", "＝wide.png"),
    *("semi;=1;;+2.png", "end\r\n=1.png", "evil\u202egnp.exe.png", "\u05e7\u05d5\u05d1\u05e5.png"),
    *("\u732b \U0001f431.png", "&lt;b&gt;.png", "\\u003cscript\\u003e.png"),
)
FORMULA = re.compile(r"(?<![^;\r\n])[=+\-@\t\r\n＝＋－＠]")
"""What makes a spreadsheet run a cell."""


def read_corrections(path: Path) -> dict[str, Decision]:
    """Read a decisions.csv as relabel does; no cell of it may be a formula."""
    with open(path, encoding="utf-8", newline="") as handle:
        assert not [cell for row in csv.reader(handle, strict=True) for cell in row if FORMULA.search(cell)]
    return {one.path: one for one in read_review(path).corrections}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    folder = tmp_path_factory.mktemp("page")
    root = write_noise_images(folder / "zoo", [f"{name}/{number:03d}.png" for name in CLASSES for number in range(12)])
    made = make_run(folder / "run", root, wrong=WRONG)
    scores = pq.read_table(made.run.scores)
    kind = ["duplicate" if path == "cat/000.png" else "mislabeled" for path in made.catalogue.paths]
    pq.write_table(scores.drop_columns(["kind"]).append_column("kind", pa.array(kind)), made.run.scores)
    page_of(made.run)
    return made


def show_cards(tab: Tab) -> None:
    """Only the cards near the window are in the document."""
    tab.on("#cards", "node.scrollIntoView()")
    tab.frames()


def download(tab: Tab, folder: Path) -> Path:
    """Take the corrections from the end of the review."""
    if not tab.on("#end", "return node.open"):  # it opens by itself after the last decision
        tab.click("#finish")
    file = tab.download(folder, "#download")
    tab.press("Escape")
    return file


@pytest.fixture(autouse=True)
def no_complaints(tab: Tab) -> Iterator[None]:
    yield
    assert tab.complaints() == []


def test_everything_is_there_and_nothing_is_fetched(made: MadeUp, tab: Tab) -> None:
    tab.open(made.run.page, height=TALL)
    assert tab.text("h1") == "zoo"
    assert tab.text("#found") == "6 shown"
    assert sorted(tab.texts("article .path")) == sorted(WRONG)
    assert tab.texts("#pairs li")[0] == "ant → bee (3)"
    for part, chart in (("overview", "confusion"), ("found", "histogram"), ("found", "losses")):
        tab.click(f"#tab-{part}")
        tab.frames(count=4)
        assert tab.on("#review", "return node.hidden")
        assert len(tab.texts(f"#{chart} svg *")) > 10
    assert len(tab.texts("#classes li")) == 3
    tab.press("ArrowRight")
    assert not tab.on("#review", "return node.hidden")


def test_filters_and_sorting(made: MadeUp, tab: Tab) -> None:
    tab.open(made.run.page, height=TALL)
    tab.click("#filters summary")
    for choices, found in (
        ({"#given": "0"}, ["ant/000.png", "ant/001.png", "ant/002.png"]),
        ({"#given": "0", "#suggested": "2"}, []),
        ({"#kind": "0"}, ["cat/000.png"]),
        ({"#low": "1.01"}, []),
        ({"#low": "0.5", "#high": "1"}, sorted(WRONG)),
        ({"#words": "BEE/"}, ["bee/000.png", "bee/001.png"]),
    ):
        for selector, value in choices.items():
            tab.choose(selector, value)
        assert sorted(tab.texts("article .path")) == found
        assert tab.text("#found") == (f"{len(found)} of 6 shown" if len(found) < 6 else "6 shown")
        assert tab.on("#nothing", "return node.hidden") is bool(found)
        tab.click("#clear")
        tab.frames()
    orders = {}
    for order in ("path", "rank", "least"):
        tab.choose("#sort", order)
        orders[order] = tab.texts("article .path")
    assert (orders["path"], orders["least"]) == (sorted(WRONG), orders["rank"][::-1])
    tab.click("#clear")
    tab.click("#pairs li:first-child button")
    tab.frames()
    assert tab.text("#found") == "3 of 6 shown"


def test_what_is_new_since_the_last_audit_is_a_filter(tab: Tab, tmp_path: Path) -> None:
    names = [f"{name}/{number:03d}.png" for name in CLASSES for number in range(8)]
    root = write_noise_images(tmp_path / "zoo", names)
    make_run(tmp_path / "runs/1", root, wrong=WRONG[:4])
    later = make_run(tmp_path / "runs/2", root, wrong=WRONG[1:])
    page_of(later.run)
    tab.open(later.run.page, height=TALL)
    assert tab.texts("#pairs li")[0] == "New since audit 1 (2)"
    tab.click("#pairs li:first-child button")
    tab.frames()
    assert sorted(tab.texts("article .path")) == ["bee/001.png", "cat/000.png"]
    assert tab.text("#fresh option:checked") == "new since audit 1 (2)"
    tab.click("#pairs li:nth-child(2) button")  # a pair is one of all again
    tab.frames()
    assert tab.text("#found") == "2 of 5 shown"
    page_of(RunFolder(tmp_path / "runs/1"))
    tab.open(tmp_path / "runs/1/report.html")
    assert tab.on("#fresh", "return node.closest('label').hidden")
    (tmp_path / "runs/1/suspicious.csv").unlink()
    page_of(later.run)  # an earlier audit that is damaged is no reason for having no page
    empty = write_page(Audit(later.run), Listed(rows=[], total=0), tmp_path / "empty.html")
    tab.open(empty.path, height=TALL)
    assert tab.texts("#pairs li") == []


def test_review_with_keys_reload_and_download(made: MadeUp, tab: Tab, tmp_path: Path) -> None:
    tab.open(made.run.page)
    tab.choose("#sort", "path")
    tab.evaluate("document.body.style.paddingTop = '2000px'")
    tab.press("k")  # the cards are out of sight: they are scrolled to, and nothing is decided
    tab.evaluate("document.body.style.paddingTop = ''")
    assert tab.text("#reviewed") == "0"
    assert tab.text(ACTIVE) == "ant/000.png"
    tab.press(*"kcd")
    assert tab.text(ACTIVE) == "bee/000.png"
    tab.press("o")
    tab.type("ca")
    tab.press("Enter")
    assert tab.text(ACTIVE) == "bee/001.png"
    tab.press("ArrowRight", "d")
    assert tab.text("#tally") == "2 changed · 1 kept · 2 dropped"
    for key, path, reviewed in (("u", "cat/000.png", "4"), ("Control+z", "bee/000.png", "3")):
        tab.press(key)
        assert (tab.text(ACTIVE), tab.text("#reviewed")) == (path, reviewed)
    tab.press("c")
    tab.evaluate(STORED)
    tab.open(made.run.page)
    assert tab.text("#reviewed") == "4"
    tab.press("u", "u")  # also what was done before the reload
    assert tab.text("#tally") == "1 changed · 1 kept"
    tab.choose("#sort", "path")
    show_cards(tab)
    tab.on("article.active", "node.focus()")
    tab.press("ArrowRight", "ArrowRight", "d", "c")
    tab.choose("#state", "open")
    show_cards(tab)
    assert sorted(tab.texts("article .path")) == ["bee/001.png", "cat/000.png"]
    for key, shown in (("k", 1), ("u", 2)):  # a decision takes a card out of the list, and undo brings it back
        tab.press(key)
        tab.frames()
        assert tab.text("#found") == f"{shown} of 6 shown"
    file = download(tab, tmp_path)
    assert file.name == "decisions.csv"
    digest = dict(zip(made.catalogue.paths, made.catalogue.sha256, strict=True))
    expected = [("ant/000.png", "ant", "keep", ""), ("ant/001.png", "ant", "change", "bee")]
    expected += [("ant/002.png", "ant", "drop", ""), ("bee/000.png", "bee", "change", "cat")]
    found = sorted(read_corrections(file).values(), key=lambda one: one.path)
    assert [(one.path, one.given_label, one.action, one.label) for one in found] == expected
    assert [one.sha256 for one in found] == [digest[path] for path, *_ in expected]


def test_the_mouse_decides_too_and_takes_back(made: MadeUp, tab: Tab) -> None:
    tab.open(made.run.page, height=TALL)
    tab.choose("#words", "cat/000.png")
    tab.click("[data-action=suggested]")
    assert tab.text("#tally") == "1 changed · 0 kept"
    assert tab.on("[data-action=suggested]", "return node.getAttribute('aria-pressed')") == "true"
    tab.click("[data-action=other]")
    tab.frames()
    assert tab.texts("#choices li") == ["ant", "bee"]
    tab.type("zebra")
    assert tab.texts("#choices li") == []
    tab.press("Enter", "Escape")
    tab.click("[data-action=other]")
    tab.frames()
    tab.click("#choices li:last-child button")
    assert tab.text("[data-action=other]") == "→ bee"
    where = "rop: the image moves to zoo-dropped"
    assert tab.on("[data-action=drop]", "return node.title") == f"D{where} (D)"
    assert f"d{where}" in tab.texts("#keys dd")
    tab.click("[data-action=drop]")
    tab.click("[data-action=drop]")
    assert tab.text("#reviewed") == "0"
    tab.frames()
    tab.click("#undo")
    assert tab.text("#tally") == "0 changed · 0 kept · 1 dropped"


def test_without_storage_the_page_says_so_and_works(made: MadeUp, tab: Tab) -> None:
    script = "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no'); }});"
    tab.page.add_init_script(script)
    tab.open(made.run.page)
    assert tab.on("#not-stored", "return node.hidden") is False
    show_cards(tab)
    tab.click("article [data-action=keep]")
    assert tab.text("#reviewed") == "1"


def test_rubbish_in_the_storage_is_left_out(made: MadeUp, tab: Tab) -> None:
    tab.open(made.run.page)
    key, name = "labelaudit:decisions", f"{made.catalogue.sha256[made.catalogue.paths.index(WRONG[0])][:16]}:ant"
    rubbish = {name: ["change", 99], "1": ["explode"], "x": 3, "0123456789abcdef:owl": ["keep", "", 5]}
    for text in ("[", "null", "7", json.dumps({name: ["explode", "", 7]}), json.dumps(rubbish)):
        tab.evaluate(f"localStorage.setItem({json.dumps(key)}, {json.dumps(text)})")
        tab.evaluate(f"localStorage.setItem('labelaudit:steps:{made.catalogue.fingerprint}', {json.dumps(text)})")
        tab.open(made.run.page)
        assert tab.text("#reviewed") == "0"
        assert tab.complaints() == []
    show_cards(tab)
    tab.click("article [data-action=keep]")
    tab.evaluate(STORED)
    kept = json.loads(tab.evaluate(f"localStorage.getItem({json.dumps(key)})"))
    assert kept["0123456789abcdef:owl"] == ["keep", "", 5]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1440, 2400])
def test_nothing_is_wider_than_the_window(made: MadeUp, tab: Tab, scheme: str, width: int) -> None:
    tab.page.emulate_media(color_scheme=scheme)
    tab.open(made.run.page, width=width, height=800)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    colours = tab.evaluate("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]")
    dark = [sum(int(part) for part in colour.strip("rgb()").split(",")) < 380 for colour in colours]
    assert dark == ([True, False] if scheme == "dark" else [False, True])
    assert tab.on("#cards", "return node.clientWidth") == width - (24 if width < 641 else 48)
    assert tab.on("#review > .soft", "return node.clientWidth") < 1200  # text stays readable


def test_hostile_names_do_not_run_and_come_back_as_they_were(tmp_path: Path, tab: Tab) -> None:
    paths = [*NAMES, *(f"plain{number}.png" for number in range(60))]
    root = write_noise_images(tmp_path / "<b>zoo", paths)
    labels = {path: LABELS[number % len(LABELS)] for number, path in enumerate(paths)}
    labels_file = tmp_path / "labels.csv"
    with open(labels_file, "w", encoding="utf-8", newline="") as handle:
        handle.writelines(csv_lines(("path", "label"), labels.items()))
    made = make_run(tmp_path / "run", root, wrong=paths[: len(NAMES)], labels_file=labels_file)
    page_of(made.run)

    tab.open(made.run.page, height=2 * TALL)
    assert tab.evaluate("window.hacked") is None
    assert tab.text("h1") == "<b>zoo"
    assert "drop the image from the data" in tab.texts("#keys dd")  # its row in the labels file
    assert (len(tab.texts("script")), len(tab.texts("article"))) == (1, len(NAMES))
    assert tab.texts("img:not(#large, [src^='data:image/']), article script, article svg[onload], [onerror]") == []
    assert {"<img src=x onerror=window.hacked=1>.png", "evil\\x202egnp.exe.png"} <= set(tab.texts("article .path"))
    tab.press(*"k" * (len(NAMES) - 1))
    given = tab.text("article.active .given")
    tab.press("o", "Enter")
    tab.type("</SCRIPT" if given == LABELS[1] else "<IMG")
    tab.press("Enter")
    tab.choose("#given", "1")
    tab.choose("#given", "")
    assert tab.evaluate("window.hacked") is None
    found = read_corrections(download(tab, tmp_path / "out"))
    assert {path: one.given_label for path, one in found.items()} == {path: labels[path] for path in NAMES}
    assert {one.label for one in found.values()} <= {*LABELS, ""}
    assert [one.action for one in found.values()].count("change") == 1


def test_ten_thousand_samples_need_few_cards(tmp_path: Path, tab: Tab) -> None:
    contents, samples = [noise_png(number, (28, 28)) for number in range(1000)], 30_000
    paths = tuple(f"{number:05d}.png" for number in range(samples))
    hashed = [*contents, *(path.encode() for path in paths[1000:])]
    catalogue = catalogue_of(
        np.arange(samples) % 10,
        classes=[f"class {number}" for number in range(10)],
        root=write_files(tmp_path / "images", dict(zip(paths, contents, strict=False))),
        paths=paths,
        sha256=tuple(hashlib.sha256(content).hexdigest() for content in hashed),
    )
    page = page_of(record(tmp_path / "run", catalogue, range(10_000)).run, thumbnails=1000)
    assert page.size_bytes < 15_000_000
    tab.open(page.path)
    assert tab.text("#found") == "10,000 shown"
    show_cards(tab)
    tab.frames("scrollBy({top: frame % 20 === 19 ? 100000 : 300, behavior: 'instant'})", count=60)
    for at in range(60):
        tab.evaluate(f"document.dispatchEvent(new KeyboardEvent('keydown', {{key: '{'kcd'[at % 3]}', bubbles: true}}))")
    assert int(tab.text("#reviewed")) >= 59
    tab.choose("#given", "3")
    assert tab.text("#found") == "1,000 of 10,000 shown"
    assert len(tab.texts("article")) < 100


SIMILAR = ("watch_vertical_quartz_gold_strap", "watch_vertical_quartz_silver_strap")

CUT = """[...document.querySelectorAll('.thumbnail img')].filter((image) => {
  const [one, box] = [image, image.parentElement].map((node) => node.getBoundingClientRect());
  return one.width > box.width + 1 || one.height > box.height + 1; }).length"""
PATH_ENDS = """[...document.querySelectorAll('article .path')].filter((node) => {
  const [box, range] = [node.getBoundingClientRect(), document.createRange()];
  const text = node.querySelector('bdi').firstChild;
  range.setStart(text, text.length - 5);
  range.setEnd(text, text.length);
  const end = range.getBoundingClientRect();
  return node.scrollWidth > node.clientWidth && end.left >= box.left && end.right <= box.right + 1; }).length"""
HIDDEN = """[...document.querySelectorAll('article .label bdi, article .actions, article .foot')]
  .filter((node) => node.scrollHeight > node.clientHeight + 1
    || node.getBoundingClientRect().bottom > node.closest('article').getBoundingClientRect().bottom).length"""


def test_images_are_whole_and_similar_names_differ(tmp_path: Path, tab: Tab) -> None:
    sizes = ((30, 200), (200, 30), (160, 284), (12, 10), (3, 3))
    names = [f"{label}/{k}.png" for label in SIMILAR for k in range(10)]
    images = {name: noise_png(number, sizes[number % len(sizes)]) for number, name in enumerate(names)}
    made = make_run(tmp_path / "run", write_files(tmp_path / "zoo", images), wrong=names[::2])
    edit(made.run.noise, kinds=KINDS)
    page_of(made.run)
    for width in (1280, 390):
        tab.open(made.run.page, width=width, height=2 * TALL)
        decoded = "Promise.all([...document.querySelectorAll('.thumbnail img')].map((image) => image.decode()))"
        assert tab.evaluate(f"{decoded}.then((all) => all.length)") == 10
        assert tab.evaluate(CUT) == 0
        smooth = (
            "[...document.querySelectorAll('.thumbnail img')].map((image) => getComputedStyle(image).imageRendering)"
        )
        assert set(tab.evaluate(smooth)) == {"auto"}
        assert tab.evaluate(HIDDEN) == 0
        assert tab.evaluate(PATH_ENDS) == 10  # of a long path the start is cut, and only that
        assert set(tab.texts("article .given")) == set(SIMILAR)
        assert set(tab.texts("article .given span")) == {"watch_vertical_quartz_", "_strap"}  # all but the bold part
        tab.click("#tab-overview")
        tab.frames(count=4)
        shown = tab.texts("#confusion svg text.tick > title")
        cut = [text.removesuffix(full) for text, full in zip(tab.texts("#confusion svg text.tick"), shown, strict=True)]
        assert len(set(cut)) == 2
        tab.click("#tab-review")
        tab.frames(count=4)
        # In the button, which is narrow, the end by which the names differ stays whole.
        ends = "[...document.querySelectorAll('[data-action=\"suggested\"] .parted span:last-child')]"
        assert set(tab.texts('[data-action="suggested"] .parted span:last-child')) == {"gold_strap", "silver_strap"}
        assert tab.evaluate(f"{ends}.filter((end) => end.scrollWidth > end.clientWidth + 1).length") == 0
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
