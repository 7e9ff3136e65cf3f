"""The server of a review over real connections: who is let in, what is served, what is written, what is refused."""

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from labelaudit.data.catalogue import Catalogue
from labelaudit.data.folder import scan
from labelaudit.data.images import CHANGED
from labelaudit.errors import StorageError
from labelaudit.review.decisions import Ledger, append_decisions, read_decisions
from labelaudit.review.server import MAX_BODY_BYTES, Site, serving
from labelaudit.run.layout import RunFolder
from tests.data.helpers import encoded, noise_image, write_files
from tests.review.test_decisions import decided

NAMES = ("ant/0.png", "ant/1.png", "ant/copy.png", "bee/0.png", "bee/wide.tif", "<b>cat/0.png", "<b>cat/1.png")


@dataclass
class Client:
    """Sends requests as a browser does that has the page open."""

    address: str
    catalogue: Catalogue
    ledger: Path
    site: Site

    def __post_init__(self) -> None:
        self.host, self.base = urlsplit(self.address).netloc, urlsplit(self.address).path
        self.port = int(self.host.partition(":")[2])

    def ask(self, path: str, body: Any = None, *, raw: bytes | None = None, base: str | None = None, **headers: Any):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        content = json.dumps(body).encode() if raw is None and body is not None else raw
        sent = {"Host": self.host, "Origin": f"http://{self.host}"}
        if content is not None:
            sent |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
        connection.putrequest("GET" if content is None else "POST", (base or self.base) + path, skip_host=True)
        for name, value in (sent | headers).items():
            if value is not None:
                connection.putheader(name, value)
        connection.endheaders(content)
        answer = connection.getresponse()
        found = answer.read()
        connection.close()
        return answer.status, found, dict(answer.getheaders())

    def decide(self, *decisions: tuple[int, str, str], after: int = 0) -> tuple[int, Any]:
        status, found, _ = self.ask("decisions", {"steps": [decisions], "after": after})
        return status, json.loads(found) if status == 201 else found.decode()

    def sample(self, path: str) -> int:
        return self.catalogue.paths.index(path)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    images = {
        name: encoded(noise_image(number, (12, 10)), "TIFF" if name.endswith("tif") else "PNG")
        for number, name in enumerate(NAMES)
    }
    images["ant/copy.png"] = images["ant/1.png"]
    catalogue = scan(write_files(tmp_path / "zoo", images))
    ledger = Ledger(file=RunFolder(tmp_path).decisions, catalogue=catalogue, reviewer="ann")
    site = Site("<h1>page</h1>", "default-src 'none'", ledger, catalogue.root)
    with serving(site) as address:
        yield Client(address, catalogue, ledger.file, site)


def test_the_page_is_served_to_who_has_its_address(client: Client) -> None:
    status, content, headers = client.ask("", Origin=None)
    assert (status, content) == (200, b"<h1>page</h1>")
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert (headers["cache-control"], headers["referrer-policy"]) == ("no-store", "no-referrer")
    assert "access-control-allow-origin" not in headers
    assert client.address.startswith("http://127.0.0.1:")
    assert len(client.base) > 30


@pytest.mark.parametrize("path", ["", "decisions", "image/0", "preview/0", "plan"])
def test_without_the_token_nothing_is_served(client: Client, path: str) -> None:
    near = (client.base[:-2] + "/", client.base.upper(), client.base.rstrip("/"))
    for base in ("/", "//", "/wrong/", "/%00/", "/%C3%A9/", *near):
        status, content, headers = client.ask(path if base.endswith("/") else "", base=base)
        assert (status, content) == (403, b"open the address that labelaudit review has printed")
        assert headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},  # DNS rebinding
        {"Host": "127.0.0.1.evil.example:80"},
        {"Host": "evil.example:127.0.0.1"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},  # a page of another server on this machine
        {"Origin": "null"},
        {"Origin": "https://{host}"},
    ],
)
def test_other_hosts_and_pages_can_neither_read_nor_decide(client: Client, headers: dict[str, str]) -> None:
    headers = {name: value.format(host=client.host) for name, value in headers.items()}
    for path, body in (("", None), ("decisions", None), ("image/0", None), ("decisions", {"steps": []})):
        assert client.ask(path, body, **headers)[0] == 403
    assert read_decisions(client.ledger) == {}


def test_what_changes_something_needs_an_origin_and_json(client: Client) -> None:
    body = json.dumps({"steps": [[[0, "keep", ""]]]}).encode()
    assert client.ask("decisions", raw=body, Origin=None)[0] == 403
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):  # what a form can send
        assert client.ask("decisions", raw=body, **{"Content-Type": kind})[:2] == (400, b"the request is no JSON")
    assert read_decisions(client.ledger) == {}
    assert client.ask("decisions", raw=body)[0] == 201
    local = f"localhost:{client.port}"  # as through a tunnel
    assert client.ask("decisions", raw=body, Host=local, Origin=f"http://{local}")[0] == 201


def test_images_are_named_by_their_number_only(client: Client) -> None:
    for path in ("image/7", "image/-1", "image/1e1", "image/" + "9" * 5000, "preview/x"):
        assert client.ask(path)[0] == 404
    for path in ("image/../decisions.csv", "image/..%2f..%2fetc%2fpasswd", "image//etc/passwd", "image/ant/0.png"):
        status, content, _ = client.ask(path)
        assert status in (403, 404), path
        assert b"root" not in content
    status, content, headers = client.ask(f"image/{client.sample('ant/0.png')}")
    assert (status, headers["content-type"]) == (200, "image/png")
    assert content == (client.catalogue.root / "ant/0.png").read_bytes()
    assert headers["x-content-type-options"] == "nosniff"
    status, content, headers = client.ask(f"image/{client.sample('bee/wide.tif')}")  # no browser shows a TIFF
    assert (status, headers["content-type"], content[:4]) == (200, "image/png", b"\x89PNG")
    status, content, headers = client.ask(f"preview/{client.sample('bee/wide.tif')}")
    assert (status, headers["content-type"]) == (200, "image/webp")


def test_a_file_that_changed_is_refused_with_the_reason(client: Client, tmp_path: Path) -> None:
    root = client.catalogue.root
    write_files(root, {"ant/0.png": b"secret"})
    (root / "bee/0.png").unlink()
    (root / "bee/0.png").symlink_to("/etc/passwd")
    (root / "ant/1.png").unlink()
    for path, reason in (("ant/0.png", CHANGED), ("bee/0.png", CHANGED), ("ant/1.png", "no such file or directory")):
        for kind in ("image", "preview"):
            assert client.ask(f"{kind}/{client.sample(path)}")[:2] == (410, reason.encode())


def test_a_decision_is_on_the_disk_before_it_is_answered(client: Client) -> None:
    ant, cat = client.sample("ant/0.png"), client.sample("<b>cat/0.png")
    status, found = client.decide((ant, "change", "bee"), (cat, "change", "new <i>class"))
    assert status == 201
    assert [event[1:] for event in found["events"]] == [[ant, "change", "bee"], [cat, "change", "new <i>class"]]
    first, second = read_decisions(client.ledger).values()
    assert (first.path, first.given_label, first.label, first.reviewer) == ("ant/0.png", "ant", "bee", "ann")
    assert (second.label, second.sha256) == ("new <i>class", client.catalogue.sha256[cat])
    status, found = client.decide((ant, "undo", ""), after=2)
    assert (found["start"], [event[1:] for event in found["events"]]) == (2, [[ant, "undo", ""]])
    assert len(read_decisions(client.ledger)) == 1
    steps = [[[client.sample("ant/1.png"), "keep", ""]], [[ant, "keep", ""]]]
    events = json.loads(client.ask("decisions", {"steps": steps, "after": 3})[1])["events"]
    assert [event[1] for event in events] == [client.sample("ant/1.png"), client.sample("ant/copy.png"), ant]
    assert events[0][0] == events[1][0] < events[2][0]  # a time for each step


def test_what_others_append_is_told_and_a_new_file_is_read_anew(client: Client) -> None:
    client.decide((0, "keep", ""))
    ant = client.sample("ant/1.png")
    dropped = decided("drop", sha=client.catalogue.sha256[ant], given="ant")
    append_decisions(client.ledger, [dropped, decided(sha="f" * 64)])
    found = json.loads(client.ask("decisions?after=1")[1])
    assert [event[1:3] for event in found["events"]] == [[ant, "drop"], [client.sample("ant/copy.png"), "drop"]]
    assert json.loads(client.ask("decisions?after=3")[1]) == {"start": 3, "events": []}
    for nonsense in ("99", "-1", "x", ""):
        assert json.loads(client.ask(f"decisions?after={nonsense}")[1])["start"] == 0
    client.ledger.unlink()
    append_decisions(client.ledger, [])
    assert json.loads(client.ask("decisions?after=3")[1]) == {"start": 0, "events": []}


@pytest.mark.parametrize(
    ("decision", "reason"),
    [
        ((7, "keep", ""), "there is no sample 7 in this audit"),
        ((-1, "keep", ""), "there is no sample -1"),
        ((0, "change", "../../etc"), "is no safe name for a new class folder"),
        ((0, "change", ".hidden"), "is no safe name"),
        ((0, "change", ""), "is no safe name"),
        ((0, "change", "BEE"), "there is no class 'BEE', but 'bee'"),
        ((0, "keep", "bee"), "a label has no meaning for 'keep'"),
        ((0, "explode", ""), "Invalid enum value 'explode'"),
        ((True, "keep", ""), "Expected `int`"),
        (("0", "keep", ""), "Expected `int`"),
        ((0, "keep"), "Expected `array` of length 3"),
    ],
)
def test_a_decision_that_makes_no_sense_is_refused_and_none_is_written(
    client: Client, decision: Any, reason: str
) -> None:
    number = client.sample("bee/0.png")
    status, found = client.decide((number, "keep", ""), decision)
    assert status == 400
    assert reason in found
    assert read_decisions(client.ledger) == {}


def test_bodies_are_bounded_and_checked(client: Client) -> None:
    assert client.ask("decisions", raw=b" " * (MAX_BODY_BYTES + 1))[:2] == (400, b"the request is too large")
    for raw in (b"", b"[", b"{}", b'{"steps": [], "more": 1}', b"\xff"):
        assert client.ask("decisions", raw=raw)[0] == 400
    assert client.ask("nothing")[0] == 404
    assert client.ask("image/0", {})[0] == 405


def test_the_plan_is_shown_and_carried_out_as_it_was_shown(client: Client) -> None:
    root = client.catalogue.root
    client.decide((client.sample("ant/1.png"), "change", "bee"))
    assert not client.site.is_applied
    plan = json.loads(client.ask("plan")[1])
    assert (plan["change"], plan["summary"]) == (2, "2 labels are changed, 0 images dropped, 0 kept")  # the copy too
    client.decide((client.sample("bee/0.png"), "drop", ""))
    status, content, _ = client.ask("plan", {"plan": plan["plan"]})
    assert (status, content) == (409, b"the plan has changed since it was shown: look at it again")
    assert (root / "bee/0.png").exists()
    plan = json.loads(client.ask("plan")[1])
    status, content, _ = client.ask("plan", {"plan": plan["plan"]})
    told = {"dropped_to": f"{root}-dropped", "undo": f"labelaudit relabel {root} --undo"}
    assert (status, json.loads(content)) == (200, {"moved": 3, **told, "again": f"labelaudit score {root}"})
    assert Path(told["dropped_to"], "bee/0.png").exists()
    assert client.site.is_applied
    assert (root / "bee/1.png").exists()
    assert client.ask(f"image/{client.sample('ant/1.png')}")[0] == 200  # it is still shown
    client.decide((client.sample("<b>cat/0.png"), "drop", ""))
    assert not client.site.is_applied


def test_a_folder_that_cannot_be_written_is_refused(client: Client, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write"):
        Ledger(file=RunFolder(tmp_path / "gone").decisions, catalogue=client.catalogue, reviewer="")
