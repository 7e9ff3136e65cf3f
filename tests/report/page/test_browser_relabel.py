"""From the page in a real browser back into the data: reviewed by keys, downloaded, relabelled, undone."""

from pathlib import Path

from labelaudit.report.page.write import write_page
from labelaudit.review.relabel import Corrections, relabel, undo
from tests.report.page.browser import Tab
from tests.report.page.helpers import make_run, write_pictures
from tests.review.helpers import HOSTILE_CLASSES, HOSTILE_NAMES, snapshot


def test_a_review_by_keys_goes_into_the_folder_and_out_again(tmp_path: Path, tab: Tab, downloads: Path) -> None:
    kinds = [name for name in HOSTILE_NAMES if Path(name).suffix.lower() == ".png"]
    paths = [f"{label}/{name.format(number)}" for label in HOSTILE_CLASSES for number, name in enumerate(kinds)]
    root = write_pictures(tmp_path / "photos", paths)
    before = snapshot(root)
    content_of = {path: (root / path).read_bytes() for path in paths}
    wrong = [path for number, path in enumerate(paths) if number % 3 == 0]
    made = make_run(tmp_path / "run", root, wrong=wrong)
    write_page(made.run)

    tab.open(made.run.page)
    tab.evaluate("localStorage.clear()")
    tab.open(made.run.page)
    assert tab.text("#found") == f"{len(wrong)} shown"
    tab.evaluate("document.getElementById('cards').scrollIntoView()")
    tab.frames()
    for number in range(len(wrong)):
        tab.press("ckcd"[number % 4])
    kept, dropped = (sum(number % 4 == at for number in range(len(wrong))) for at in (1, 3))
    changed = len(wrong) - kept - dropped
    assert tab.text("#tally") == f"{kept} kept · {changed} changed · {dropped} dropped"
    file = tab.download(downloads, "#download")
    assert tab.complaints() == []

    outcome = relabel(root, Corrections(file=file))
    assert outcome is not None
    assert outcome.moved == changed + dropped
    assert not outcome.gone
    moved = [path for path in paths if not (root / path).exists()]
    assert len(moved) == changed + dropped
    assert set(moved) <= set(wrong)
    for path in moved:
        # The suggested label is always the next class as the catalogue has them.
        classes = made.catalogue.classes
        target = classes[(classes.index(path.partition("/")[0]) + 1) % len(classes)]
        places = [*(root / target).rglob("*"), *(root / ".labelaudit-dropped").rglob("*")]
        assert content_of[path] in [place.read_bytes() for place in places if place.is_file()]
    undo(root)
    assert snapshot(root) == before
