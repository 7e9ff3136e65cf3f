import io
import json
import zipfile
from dataclasses import replace

import pytest

from labelaudit.errors import DataError
from labelaudit.review.corrections import read_review
from tests.review.helpers import change, drop, keep


def read(folder, content, **options):
    file = folder / "corrections"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_review(file, **options)


def without_places(review):
    return [replace(correction, where="", prefixed=False) for correction in review.corrections]


# A CSV of corrections


def test_each_row_is_a_decision(tmp_path):
    rows = "cat/1.png,cat,change,dog,AB12,7\r\ncat/2.png,cat,drop,,,8\r\ncat/3.png,cat,keep,cat,,9\r\n"
    review = read(tmp_path, f"path,given_label,action,label,sha256,sample\r\n{rows}")
    assert list(review.corrections) == [
        change("cat/1.png", "dog", given_label="cat", sha256="ab12", where="line 2"),
        drop("cat/2.png", given_label="cat", where="line 3"),
        keep("cat/3.png", given_label="cat", where="line 4"),
    ]
    assert (review.unreviewed, review.unclear) == (0, ())
    # Fewer columns, more, and in another order; a label without an action, and neither.
    review = read(tmp_path, "\ufeffnote,label,path,action\nx,dog,cat/1.png, Change \nx,=a,2.png,\nx,,3.png,\n")
    assert (without_places(review), review.unreviewed) == ([change("cat/1.png", "dog"), change("2.png", "=a")], 1)


# Label Studio


def task(image="/data/local-files/?d=cat%2F1.jpg", *chosen, **data):
    """Return a task with an annotation for each list of choices; None stands for a skipped one."""
    annotations = [
        {"was_cancelled": choices is None, "result": [{"from_name": "label", "value": {"choices": choices}}]}
        for choices in chosen
    ]
    prediction = {"score": 0.9, "result": [{"from_name": "label", "value": {"choices": ["bird"]}}]}
    return {"id": 5, "data": {"image": image, **data}, "annotations": annotations, "predictions": [prediction]}


def test_a_choice_of_label_studio_is_a_label(tmp_path):
    review = read(tmp_path, json.dumps([task("x", ["dog"], path="cat/1.jpg", given_label="cat", sha256="AB")]))
    assert list(review.corrections) == [change("cat/1.jpg", "dog", given_label="cat", sha256="ab", where="task 5")]


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("/data/local-files/?d=cat/1.jpg", "cat/1.jpg"),
        ("/data/local-files/?d=photos/a%20%26%3Db/1.jpg", "photos/a &=b/1.jpg"),
        ("https://host:8080/photos/cat/1%2C2.jpg?token=x#y", "photos/cat/1,2.jpg"),
        ("s3://bucket/photos/cat/1.jpg", "photos/cat/1.jpg"),
        ("cat/1.jpg", "cat/1.jpg"),
        ("http://[broken", "http://[broken"),
    ],
)
def test_the_address_names_the_image_where_there_is_no_path(tmp_path, address, path):
    (correction,) = read(tmp_path, json.dumps([task(address, ["dog"])])).corrections
    assert (correction.path, correction.prefixed) == (path, True)


def test_annotations_are_decisions_unclear_or_missing(tmp_path):
    tasks = [task("a", ["dog"], ["dog"]), task("b", ["dog"], ["cat"]), task("c", ["dog", "cat"]), task("d", [])]
    tasks += [task("e"), task("f", None), task("g", None, ["dog"])]  # predicted, skipped, skipped by one
    review = read(tmp_path, json.dumps(tasks))
    assert without_places(review) == [change("a", "dog"), change("g", "dog")]
    assert [(refusal.path, refusal.reason) for refusal in review.unclear] == [
        ("b", "its annotations disagree"),
        ("c", "more than one label is chosen"),
        ("d", "no label is chosen"),
    ]
    assert review.unreviewed == 2


# CVAT


def cvat(*images):
    head = "<?xml version='1.0' encoding='utf-8'?><annotations><version>1.1</version><meta><task/></meta>"
    return f"{head}<track><image id='9'/></track>{''.join(images)}</annotations>"


def image(name, *tags, number=0):
    inner = "".join(
        f'<tag label="{label}" source="{source}">{"".join(attributes)}</tag>' for label, source, *attributes in tags
    )
    box = '<box label="z"><attribute name="given_label">owl</attribute></box>'
    return f'<image id="{number}" name="{name}" width="8" height="8">{inner}{box}</image>'


def packed(**members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name.replace("__", "."), text)
    return content.getvalue()


def test_a_tag_of_cvat_is_a_label(tmp_path):
    text = cvat(
        image("cat/1.jpg", ("dog", "manual", '<attribute name="given_label">cat</attribute>')),
        image("cat/&quot;2&#10;&amp;.jpg", ("b&lt;", "semi-auto"), number=4),
    )
    for content in (text, packed(annotations__xml=text, x__jpg="pixels")):
        review = read(tmp_path, content)
        assert without_places(review) == [change("cat/1.jpg", "dog", given_label="cat"), change('cat/"2\n&.jpg', "b<")]
        assert review.corrections[1].where == "image 4"
        assert review.corrections[0].prefixed


def test_uploaded_tags_are_not_reviewed_unless_they_are_accepted(tmp_path):
    both = image("c", ("dog", "auto"), ("cat", "manual"))
    text = cvat(image("a", ("dog", "auto")), image("b", ("dog", "file")), both, image("d"))
    uploaded, reviewed = [change("a", "dog"), change("b", "dog")], [change("c", "cat")]
    for accept, expected, left in ((False, reviewed, 3), (True, uploaded + reviewed, 1)):
        review = read(tmp_path, text, accept_suggestions=accept)
        assert (without_places(review), review.unreviewed) == (expected, left)


def test_several_tags_are_unclear_unless_they_say_the_same(tmp_path):
    twice = [image("a", ("dog", "manual"), ("cat", "manual")), image("e", ("dog", "manual"), ("dog", "manual"))]
    review = read(tmp_path, cvat(*twice))
    assert [(refusal.path, refusal.reason) for refusal in review.unclear] == [("a", "it has more than one tag")]
    assert without_places(review) == [change("e", "dog")]


BOMB = '<!DOCTYPE annotations [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><annotations>&b;</annotations>'
XML_UTF_16 = "<?xml version='1.0' encoding='utf-16-le'?>"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no column path and action and label; give a decisions.csv, an unreadable.csv"),
        ("path,action,label\ncat/1.png,rename,dog\n", " line 2: 'rename' is no action; write one of keep, change"),
        ("path,action,label\ncat/1.png,change,\n", " line 2: no label to change 'cat/1.png' to"),
        ('path,action,label\n"cat/1.png,keep,\n', "is not a readable CSV"),
        (b"path,action,label\n\xff,keep,\n", "is not UTF-8 text"),
        ("[1", "is not readable JSON"),
        ("[" * 100_000, "is not readable JSON"),
        ("{}", "no list of tasks"),
        ('[{"image": "x"}]', "no data in task 1); export the annotations as JSON (not JSON-MIN)"),
        ("<annotations><image", "is not a readable XML file"),
        (BOMB, "it has a document type"),
        (BOMB.encode("utf-16"), "is not UTF-8 text"),
        (packed(annotations__xml=(XML_UTF_16 + BOMB).encode("utf-16")), "it has a document type"),
        ("<html/>", "it begins with 'html'"),
        ("<annotations><image id='0'/></annotations>", "an image or tag without name"),
        ("<annotations><image id='0' name='a'><tag/></image></annotations>", "an image or tag without label"),
        (packed(other__xml="x"), "has no annotations.xml in it"),
        (b"PK\x03\x04", "is a damaged archive"),
        (packed(annotations__xml="<annotations>" + " " * 2000 + "</annotations>"), "unpacks to more than"),
    ],
)
def test_an_unusable_file_is_refused_with_the_place(tmp_path, monkeypatch, content, message):
    monkeypatch.setattr("labelaudit.review.corrections.MAX_BYTES", 1000)
    with pytest.raises(DataError) as caught:
        read(tmp_path, content)
    assert message in str(caught.value)
    assert str(tmp_path / "corrections") in str(caught.value)
