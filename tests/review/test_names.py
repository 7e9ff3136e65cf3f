import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelaudit.review.names import RefusedError, checked_class, checked_path, checked_sample, free_path, parents


@pytest.mark.parametrize(
    ("path", "clean"),
    [("cat/1.png", "cat/1.png"), ("./cat//1.png", "cat/1.png"), ("cat/..x", "cat/..x"), ("a\\..\\b", "a\\..\\b")],
)
def test_paths_lose_superfluous_parts_only(path, clean):
    assert checked_path(path) == clean


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "no path"),
        ("/etc/passwd", "leads out"),
        ("//cat/1.png", "leads out"),
        ("..", "leads out"),
        ("cat/../../x", "leads out"),
        ("cat/../cat/1.png", "leads out"),
        ("cat/\0", "is not a file name"),
        (".", "is not a file name"),
        ("cat/\ud800.png", "is not a file name"),
        (f"cat/{chr(0xDCFF)}.png", "is not a file name"),
    ],
)
def test_paths_that_lead_out_or_nowhere_are_refused(path, reason):
    with pytest.raises(RefusedError, match=reason):
        checked_path(path)


@given(st.text("./a\\\0", max_size=12))
def test_whatever_is_let_through_stays_in_the_folder(path):
    try:
        clean = checked_path(path)
    except RefusedError:
        return
    assert not clean.startswith("/")
    assert not {"", ".", ".."} & set(clean.split("/"))


def test_the_class_is_the_first_folder():
    assert checked_sample("cat/sub/1.png") == ("", "cat", "sub/1.png")
    assert checked_sample("a/cat/sub/1.png", ["b", "a"]) == ("a/", "cat", "sub/1.png")
    with pytest.raises(RefusedError, match="outside the folders of --split"):
        checked_sample("c/cat/1.png", ["b", "a"])


@pytest.mark.parametrize("path", ["1.png", ".hidden/1.png", "cat/.hidden.png", ".labelaudit-dropped/cat/1.png"])
def test_what_is_no_sample_is_refused(path):
    with pytest.raises(RefusedError):
        checked_sample(path)


@pytest.mark.parametrize("name", ["cat", " odd ", ".x", "-x", "a\nb"])
def test_a_class_that_is_there_may_have_any_name(name):
    assert checked_class(name, ("dog", name)) == name


@pytest.mark.parametrize("name", ["bird", "été", "a b", "x.y", "100%", "=x", "'tis"])
def test_new_classes_may_have_ordinary_names(name):
    assert checked_class(name, ("cat",)) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        " x",
        "x ",
        ".x",
        "..",
        "-rf",
        "~root",
        "a/b",
        "../x",
        "/x",
        "a\\b",
        "a\nb",
        "a\0b",
        "\u202ex",
        "x" * 201,
    ],
)
def test_new_classes_with_unsafe_names_are_refused(name):
    with pytest.raises(RefusedError, match="no safe name"):
        checked_class(name, ("cat",))


@pytest.mark.parametrize(("name", "there"), [("Cat", "cat"), ("STRASSE", "straße"), ("e\u0301", "\u00e9")])
def test_a_new_class_that_some_file_systems_take_for_an_old_one_is_refused(name, there):
    with pytest.raises(RefusedError, match="there is no class"):
        checked_class(name, (there,))


def test_a_taken_name_gets_the_first_free_number_before_its_suffix():
    assert free_path("dog/1.png", set().__contains__) == "dog/1.png"
    assert free_path("dog/1.png", {"dog/1.png"}.__contains__) == "dog/1-2.png"
    assert free_path("dog/1.png", {"dog/1.png", "dog/1-2.png"}.__contains__) == "dog/1-3.png"
    assert free_path("a.b/c", {"a.b/c"}.__contains__) == "a.b/c-2"


@pytest.mark.parametrize("name", ["é" * 125 + ".png", "x" * 255, "." + "x" * 254, "a." + "x" * 253, "x" * 251 + ".png"])
def test_a_long_name_is_cut_to_what_a_file_system_takes(name):
    free = free_path(f"dog/{name}", {f"dog/{name}"}.__contains__)
    assert len(free.removeprefix("dog/").encode()) <= 255
    assert "-2" in free


def test_parents_are_the_folders_above():
    assert parents("a/b/c.png") == ["a", "a/b"]
    assert parents("c.png") == []
