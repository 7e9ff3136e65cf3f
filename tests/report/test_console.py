import io

from rich.console import Console

from labelaudit.report.console import show_outcome, show_summary, show_suspicious
from labelaudit.report.sentences import kinds_sentences, more_reviews, review_sentences, splits_sentences, suggestion
from tests.report.helpers import KINDS, LEFT_OUT, class_noise, noise, row


def printed(show, *args, width=200):
    console = Console(file=io.StringIO(), width=width, highlight=False)
    show(console, *args)
    return console.file.getvalue()


COUNTS = {"suspicious": 1234, "readable": 20000, "noise_rate_interval": [0.08, 0.15], "unreadable": 2}
SHARES = [{"top": 300, "caught": 0.25}, {"top": 1200, "caught": 0.9}, {"top": 2400, "caught": 1.0}]
AUDIT = {**COUNTS, "review": SHARES, "kinds": KINDS, "left_out": LEFT_OUT, "warnings": ["The two groups overlap."]}


def test_the_summary():
    text = printed(show_summary, noise(**AUDIT, confusion=[{"given": "bee", "suggested": "ant", "count": 1100}]))
    for part in (
        "1,234 of 20,000 labels are suspicious; estimated noise rate 10.0% (8.0% to 15.0%), by gmm on aul over 4",
        "Most frequent given → suggested: bee → ant (1,100)",
        "Estimated errors: 500 in the top 300 (25%), 1,800 in the top 1,200 (90%)\n",
        "5 mislabeled, 1 corrupted",
        "Unreadable: 2 images of 300 cannot be read",
        "\n  2 .txt: no image by its name (ant/a.txt)\n",
        "Warning: The two groups overlap.",
    ):
        assert part in text
    assert text.index("bee  ") < text.index("ant  ")  # the noisiest class is first
    bare = printed(show_summary, noise(noise_rate=None))
    assert "estimated noise rate unknown, by gmm" in bare
    for absent in ("on purpose", "Estimated errors", "by kind", "Warning", "cannot be read"):
        assert absent not in bare


def test_a_review_is_said_beside_what_the_losses_say():
    own = [{"class": "bee", "noise_rate": 0.2, "noise_rate_interval": [0.1, 0.35], "reviews": 31}]
    review = {"noise_rate": 0.12, "noise_rate_interval": [0.09, 0.16], "right": 170, "wrong": 28, "skipped": 2}
    found = noise(noise_rate_interval=[0.08, 0.15], reviewed={**review, "reviews_left": 123, "classes": own})
    text = printed(show_summary, found)
    for part in (
        "suspicious; reviewed noise rate 12.0% (9.0% to 16.0%), from 200 reviews; ranked by gmm on aul over 4 epochs",
        "Reviewed by a person: 170 right, 28 wrong, 2 skipped of 200 labels drawn by chance; 95% interval.",
        "The losses alone say 10.0% (8.0% to 15.0%).",
        f"So about {0.12 * found.readable:,.0f} of {found.readable:,} labels are wrong",
        "Skipped labels count as right in the low end",
        "About 130 more reviews (330 in all) would bring ±2.0%.",
        "20.0% (10.0% to 35.0%)",
    ):
        assert part in text
    enough = noise(noise_rate=None, reviewed={**review, "skipped": 0, "reviews_left": 0, "classes": own})
    lines = review_sentences(enough)
    assert len(lines) == 2
    assert lines[0].endswith("The losses alone have no rate.")
    assert review_sentences(noise()) == []


def test_skipped_labels_and_classes_with_few_reviews_are_said_instead_of_a_number_that_nobody_reviews():
    review = {"noise_rate": 0.12, "noise_rate_interval": [0.09, 0.2], "right": 130, "wrong": 26, "skipped": 8}
    for left in (16_180, None):
        found = noise(reviewed={**review, "reviews_left": left})
        *_, skipped, classes = review_sentences(found)
        assert skipped.endswith("as wrong in its high end. They keep it wide: decide on them first.")
        assert classes.endswith("interval of its own: figures of classes are from the losses alone.")
        assert more_reviews(found) == 0
    found = noise(reviewed={**review, "reviews_left": 1640})
    assert "About 1,640 more reviews" in " ".join(review_sentences(found))
    assert "decide on them first" not in " ".join(review_sentences(found))


def test_of_many_classes_the_noisiest_are_shown_and_long_names_are_whole():
    text = printed(show_summary, noise(classes=[class_noise(f"class{k:02d}", k / 100) for k in range(20)]))
    assert ["class19" in text, "class08" in text, "class07" in text] == [True, True, False]
    assert "and 8 classes with less noise" in text
    narrow = printed(show_summary, noise(classes=[class_noise(f"{'long name ' * 9}right")], kinds=KINDS), width=80)
    assert "right" in narrow
    assert "…" not in narrow


def test_the_outcome_is_the_headline_the_first_labels_and_how_many_to_look_at():
    found = noise(**AUDIT)
    text = printed(show_outcome, found, [row()])
    for part in (
        "1,234 of 20,000 labels are suspicious; estimated noise rate 10.0% (8.0% to 15.0%)\n",
        "Look at the first 1,200: about 90% of the estimated errors are among them.\nUnreadable: 2 images of 300",
        "files in the folder are not in the audit; --verbose says which\nWarning: The two groups overlap.",
    ):
        assert part in text
    assert "by kind" not in text
    everything = printed(lambda *args: show_outcome(*args, everything=True), found, [row()])
    assert "mislabeled, 1 corrupted" in everything
    assert "Look at" not in printed(show_outcome, noise(suspicious=0, review=[]), [])


def test_a_terminal_with_links_gets_one_for_each_image(tmp_path):
    console = Console(file=io.StringIO(), width=200, force_terminal=True)
    show_suspicious(console, [row(path="ant/a b[1].png")], tmp_path)
    assert f"file://{tmp_path}/ant/a%20b%5B1%5D.png" in console.file.getvalue()


def test_suspicious_labels_are_a_table_or_whole_paths():
    (cells,) = [line.split() for line in printed(show_suspicious, [row()]).splitlines() if "ant/1.png" in line]
    assert cells == ["1", "ant/1.png", "ant", "→", "bee", "0.988"]
    assert "corrupted" in printed(show_suspicious, [row(kind="corrupted")])
    path = f"a long path/{'x' * 60}.png"
    narrow = printed(show_suspicious, [row(path=path)], width=40)
    for part in (path, "ant → bee", "0.988"):
        assert part in narrow


def test_names_cannot_steer_the_terminal_or_the_markup():
    text = printed(show_suspicious, [row(path="[red]a[/red]\x1b[2J/1.png", given_label="x\ny", suggested_label="[/]")])
    text += printed(show_summary, noise(classes=[class_noise("\x1b]0;t")]))
    for part in ("[red]a[/red]\\x1b[2J/1.png", "x\\x0ay", "[/]", "\\x1b]0;t"):
        assert part in text
    assert "\x1b" not in text


def test_sentences_on_kinds_by_hand():
    assert kinds_sentences(noise(kinds=KINDS, readable=12000)) == [
        "Suspicious labels by kind: 5 mislabeled, 1 corrupted, 1 ambiguous.",
        "Corrupted images, suspicious or not: 1,200 of 12,000; see LA002 in findings.csv.",
        "Self-test: of images corrupted in memory these are called corrupted: 1,499 of 1,500 shuffled, 900 of 1,500 "
        "part noise.",
        "Equal images with different labels: 3; see the column kind of scores.parquet.",
    ]
    assert kinds_sentences(noise()) == []
    none = noise(kinds={**KINDS, "samples": {**KINDS["samples"], "corrupted": 0}})
    assert not any("orrupted images" in text or "Self-test" in text for text in kinds_sentences(none))


def test_sentences_on_splits_by_hand():
    assert splits_sentences(noise()) == []
    quiet = {"split": "train", "samples": 9, "noise_rate": 0.02, "suspicious": 1, "leaked": 0, "contradicting": 0}
    other = {"split": "test", "samples": 3, "noise_rate": None, "suspicious": 0, "leaked": 0, "contradicting": 0}
    rates = "Estimated noise rate by split: train 2.0% (1 suspicious), test unknown (0 suspicious)."
    assert splits_sentences(noise(splits=[quiet, other])) == [rates]
    found = splits_sentences(noise(splits=[quiet | {"leaked": 1200}, other | {"leaked": 2, "contradicting": 1}]))
    assert found == [
        rates,
        "Images with a copy in another split: 1,200 of train, 2 of test (1 with another label); "
        "findings.csv lists them (LA007).",
    ]


def test_an_image_of_no_class_has_words_in_the_place_of_a_suggestion():
    assert suggestion(row(suggested_label="", kind="no-class")) == "none of the classes"
    assert [suggestion(row(kind=kind)) for kind in ("no-class", "mislabeled")] == ["bee", "bee"]
    kinds = {**KINDS, "samples": {**KINDS["samples"], "no-class": 1}}
    said = "1 image seems to belong to none of the classes, suspicious or not; findings.csv lists them (LA008)."
    assert said in kinds_sentences(noise(kinds=kinds))
    assert "ant → none of the classes" in printed(show_suspicious, [row(suggested_label="", kind="no-class")])
