"""Write the page of an audit: one file of a bounded size.

Shapes: N samples, S samples in the gallery.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from labelaudit import __version__
from labelaudit.auditing.model import Audit, Data, RowArray, recorded_data
from labelaudit.data.catalogue import Catalogue, each_in_parallel
from labelaudit.data.containers import read_file
from labelaudit.data.images import CHANGED, PREVIEW_SIDE, PREVIEW_TYPE, UnreadableImageError, preview
from labelaudit.errors import DataError, LabelauditError
from labelaudit.progress import QUIET, Reporter
from labelaudit.report import sentences
from labelaudit.report.page import charts
from labelaudit.report.page.examples import choose_examples
from labelaudit.review.decisions import Decision, Key, decisions_in, group_of, read_decisions
from labelaudit.run.documents import OWN_EMBEDDINGS, PREDICTIONS
from labelaudit.run.files import behind_links, write_text
from labelaudit.run.layout import judged_before
from labelaudit.run.lists import Listed, read_baseline, unreadable_rows
from labelaudit.run.losses import read_epochs
from labelaudit.text import plural, printable

SCRIPTS = (
    "base csv stores review copies charts cards gallery filters focus finish page"  # parts of the one script, in order
)
MAX_BYTES = 14_500_000  # of a page: thumbnails fill it up to this
MAX_ROW_BYTES = 6_000_000  # of the gallery's rows in it, without thumbnails

_SIDES = ((1000, 160), (3000, 128), (np.inf, 96))  # up to so many samples, a thumbnail fits into so many pixels
_LARGE_ROWS, _LARGE_SHARE = 300, 0.45
"""So many of the first have previews instead, as far as this share of the room for thumbnails allows."""
_EXAMPLE_SIDE, _EXAMPLES, _SERVED_EXAMPLES, _EXAMPLE_SHARE = 128, 600, 20_000, 0.15
"""Pixels that an example of a class fits into, about how many there are to choose from in a file and from a server,
and their share of a file."""
_EMPTY_BYTES = 8  # of a sample in the list of thumbnails, at most, beside the thumbnail's content
_BYTES_A_ROW = 140  # of a sample in a page beside its path: numbers, content hash and curve
_MOST_FILES = 200  # unreadable ones in a page
_SHA256 = re.compile(r"[0-9a-f]{64}")

_ESTIMATORS = {
    "transition": "the noise transition model, fitted to the labels",
    "gmm": "splits the AULs into two groups, as the AUL paper does; too high where few labels are wrong",
}
_COMMON_NAMES = {"data", "dataset", "images", "test", "train", "training", "val", "valid", "validation"}

_MOST_GROUPS, _COPY_SIDE, _COPY_SHARE = 300, 160, 0.15
"""Groups of copies in a page, pixels that a copy fits into, and their share of a file."""

Thumbnail = tuple[str | None, str]  # Base64 of an image, or None and the reason why there is none


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page with ``rows`` suspicious samples; of ``looked_at`` images that were looked for, some are missing.

    ``command`` puts what was decided on the page into the data.
    """

    path: Path
    size_bytes: int
    rows: int
    looked_at: int
    missing: int
    command: str


def write_page(
    audit: Audit,
    listed: Listed,
    path: Path | None = None,
    reporter: Reporter = QUIET,
    *,
    thumbnails: int = 10_000,
    data: Path | None = None,
    decisions: Path | None = None,
) -> Page:
    """Write the page of a finished audit.

    ``path`` is by default report.html in the run folder; ``thumbnails`` is how many images are read at most, below
    ``data`` or where they were audited. Images that have moved or changed get a placeholder.

    ``decisions`` is another decisions.csv that the page shows, by default the run's, with the answers to its sample.

    Raises a DataError where the decisions cannot be read, a RunError where the run is unfinished, damaged or in use,
    and a StorageError where the file cannot be written.
    """
    run, catalogue = audit.run, audit.catalogue
    groups, recorded = _groups(audit, listed), recorded_data(run)
    root = recorded.root if data is None else data.resolve()
    recorded = replace(recorded, root=root)
    content = _content(audit, listed, groups, recorded, reporter, sampled=False, examples=_EXAMPLES)
    sample_S, rows = np.array(content["rows"]["sample"], dtype=np.int64), len(content["rows"]["sample"])
    content["command"] = recorded.relabel_command(run.decisions.name)
    if decisions is not None and not decisions.exists():
        raise DataError(f"there is no file {decisions}", fix="give a decisions.csv")
    decided = read_decisions(decisions) if decisions else decisions_in(run)
    content["decisions"] = _decided(decided, catalogue, sample_S.tolist(), groups)
    read = partial(read_thumbnails, root, catalogue, reporter=reporter)
    example_S = np.array(content["examples"]["samples"], dtype=np.int64)
    examples = read(example_S, side=_EXAMPLE_SIDE, most_bytes=int(_EXAMPLE_SHARE * MAX_BYTES), title="Examples")
    content["examples"]["content"] = [text for text, _ in examples]
    copy_S = np.array([copy.sample for group in groups for copy in group.copies], dtype=np.int64)
    shown = read(copy_S, side=_COPY_SIDE, most_bytes=int(_COPY_SHARE * MAX_BYTES), title="Copies")
    sources = (f"data:{PREVIEW_TYPE};base64,{text}" if text else "" for text, _ in shown)
    groups = [group.showing(lambda _: next(sources, "")) for group in groups]
    room = MAX_BYTES - len(_render(audit, listed.new, content, groups).encode()) - _EMPTY_BYTES * rows
    wanted_S = sample_S[:thumbnails]
    found = read(wanted_S[:_LARGE_ROWS], side=PREVIEW_SIDE, most_bytes=int(_LARGE_SHARE * room))
    side = next(side for most, side in _SIDES if rows <= most)
    room -= sum(len(text or "") for text, _ in found)
    found += read(wanted_S[len(found) :], side=side, most_bytes=room)
    reasons = list(dict.fromkeys(reason for _, reason in found if reason))
    content["thumbnails"] = {
        "kind": PREVIEW_TYPE,
        "content": [reasons.index(reason) if text is None else text for text, reason in found],
        "reasons": reasons,
    }
    missing = sum(text is None for text, _ in found)
    text = _render(audit, listed.new, content, groups, missing_root=str(root) if 0 < len(found) == missing else "")
    if path is None:
        with run.writing():
            write_text(run.page, text)
    else:
        write_text(behind_links(path), text)
    size = len(text.encode())
    place, command = path or run.page, content["command"]
    return Page(path=place, size_bytes=size, rows=rows, looked_at=len(found), missing=missing, command=command)


def served_page(
    audit: Audit, listed: Listed, command: str, data: Data, reporter: Reporter = QUIET, *, relabel: str = ""
) -> tuple[str, str]:
    """Return the page of an audit for `labelaudit.review.server`, which it asks for images and tells the decisions.

    It is HTML, and comes with its Content-Security-Policy.

    ``command`` puts the decisions into the ``data``; where these are class folders, the server can do so too.

    With ``relabel`` the page is of a sample, in the order of its review. It has no suggestions, probabilities, curves
    and kinds, which would tell the reviewer what to answer. Its ``command`` gives the noise rate, and ``relabel`` puts
    the right labels into the data.
    """
    groups = [] if relabel else _groups(audit, listed)
    content = _content(audit, listed, groups, data, reporter, sampled=bool(relabel), examples=_SERVED_EXAMPLES)
    content |= {"command": command, "relabel": relabel, "server": {"moves": data.moves and not relabel}}
    answers = {} if relabel else read_decisions(audit.run.answers)
    content["decisions"] = _decided(answers, audit.catalogue, content["rows"]["sample"], groups)
    shown = [group.showing(lambda copy: f"preview/{copy.sample}") for group in groups]
    return _render(audit, listed.new, content, shown), _policy(*_parts(), served=True)


class Copy(NamedTuple):
    """One of a group of copies; ``source`` is the address of its image, empty where there is none."""

    sample: int
    path: str
    label: str
    pixels: str
    source: str = ""


class Group(NamedTuple):
    """A group of copies, the best first, and what it is called in decisions.csv."""

    name: str
    copies: list[Copy]

    def showing(self, source: Callable[[Copy], str]) -> Group:
        """Return the group with the addresses of its images."""
        return self._replace(copies=[copy._replace(source=source(copy)) for copy in self.copies])


def _groups(audit: Audit, listed: Listed) -> list[Group]:
    """Return the first groups of copies, of which at least two count: those with different labels come first."""
    catalogue, by_group = audit.catalogue, defaultdict[str, list[Copy]](list)
    for row in listed.copies:
        sample = int(row["sample"])
        pixels = f"{catalogue.width_N[sample]} × {catalogue.height_N[sample]}"
        by_group[row["group"]].append(Copy(sample, row["path"], row["given_label"], pixels))
    groups = [copies for copies in by_group.values() if len(copies) > 1]
    groups.sort(key=lambda copies: len({one.label for one in copies}) == 1)
    digests, shown = catalogue.sha256, groups[:_MOST_GROUPS]
    return [Group(group_of((digests[one.sample], one.label) for one in each), each) for each in shown]


def _decided(
    decisions: Mapping[Key, Decision], catalogue: Catalogue, samples: Sequence[int], groups: Sequence[Group]
) -> list[tuple[int, str, str, int]]:
    """Return the decisions about shown samples and then about copies: row, action, label, and milliseconds."""
    shown: list[tuple[int, tuple[str, ...]]] = [(sample, ()) for sample in samples]
    shown += [(copy.sample, (group.name, copy.path)) for group in groups for copy in group.copies]
    found: list[tuple[int, str, str, int]] = []
    for row, (sample, more) in enumerate(shown):
        key = catalogue.sha256[sample], catalogue.classes[catalogue.label_N[sample]], *more
        one = decisions.get(key)
        if one and one.action not in ("wrong", "skip"):  # answers to a sample that decide nothing
            seconds = 0.0
            with contextlib.suppress(ValueError):
                seconds = datetime.fromisoformat(one.time).timestamp()
            found.append((row, one.action, one.label, round(1000 * seconds)))
    return found


def read_thumbnails(
    root: Path,
    catalogue: Catalogue,
    sample_S: RowArray,
    *,
    side: int,
    most_bytes: int,
    reporter: Reporter = QUIET,
    title: str = "Thumbnails",
) -> list[Thumbnail]:
    """Read the images of samples in order, until the next thumbnail would not fit into ``most_bytes`` of Base64."""
    found: list[Thumbnail] = []
    left = most_bytes

    def read(sample: int) -> Thumbnail:
        try:
            content = read_file(root / catalogue.paths[sample])
            if hashlib.sha256(content).hexdigest() != catalogue.sha256[sample]:
                return None, CHANGED
            return _base64(preview(content, side=side, rendering=catalogue.rendering)), ""
        except UnreadableImageError as error:
            return None, str(error)

    for thumbnail in each_in_parallel(sample_S.tolist(), read, reporter.bar(title, len(sample_S), "images")):
        left -= len(thumbnail[0] or "")
        if left < 0:
            break
        found.append(thumbnail)
    return found


def _render(
    audit: Audit, new: int | None, content: Mapping[str, Any], groups: Sequence[Group], *, missing_root: str = ""
) -> str:
    """Return the whole page; ``missing_root`` is the image folder where none of the images was found in it."""
    noise = audit.summary
    style, script = _parts()
    served = content["server"] is not None
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    return environment.from_string(_asset("page.html.jinja")).render(
        noise=noise,
        sentences=sentences,
        title=title_of(audit.catalogue.root),
        facts=facts_of(audit),
        rate_sentence=rate_sentence(noise.best_rate),
        new=new,
        unreadable_files=list(islice(unreadable_rows(audit.catalogue), _MOST_FILES)),
        estimators=_ESTIMATORS,
        rows=len(content["rows"]["sample"]),
        sampled=content["sampled"],
        groups=groups,
        dropped=content["dropped"],
        drop_unreadable=content["drop_unreadable"],
        thumbnails=len(content["thumbnails"]["content"]),
        missing_root=missing_root,
        version=__version__,
        served=served,
        policy=_policy(style, script, served=served),
        style=Markup(style),
        script=Markup(script),
        data=Markup(embedded_json(content)),
    )


def title_of(root: Path) -> str:
    """Return the name of the image folder, after its parent's where it is as common as "train"."""
    if root.name.lower() in _COMMON_NAMES and root.parent.name:
        return f"{root.parent.name}/{root.name}"
    return root.name or "labelaudit"


def facts_of(audit: Audit) -> list[str]:
    """Return what was audited, and how, in a few words each."""
    settings, finished = audit.description.settings, audit.description.finished
    facts = [plural(len(audit.catalogue), "image"), plural(len(audit.catalogue.classes), "class", "classes")]
    facts.append(plural(audit.summary.epochs, "epoch"))
    model = settings.get("model")
    if settings.get("kind") == PREDICTIONS:
        facts.append("predictions of your own")
    elif model == OWN_EMBEDDINGS:
        facts.append("heads on embeddings of your own")
    elif isinstance(model, str):
        facts.append(f"head on frozen {model}" if settings.get("kind") == "frozen" else model)
    if finished:
        facts.append(f"audited {finished[:10]}")
    return facts


def rate_sentence(rate: float | None) -> str:
    """Return what a noise rate means."""
    if rate is None:
        return "The share of wrong labels could not be estimated; the ranking below is still valid."
    of_hundred = round(100 * rate)
    if of_hundred == 0:
        return "Fewer than one label in a hundred looks wrong."
    return f"About {plural(of_hundred, 'label')} in a hundred look{'s' * (of_hundred == 1)} wrong."


def embedded_json(value: object) -> str:
    """Return JSON in which ``<`` and whatever else could end a script element is escaped."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    # A lone surrogate has no UTF-8; its escape is JSON's own.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _parts() -> tuple[str, str]:
    """Return the page's style and script."""
    parts = [_asset(f"{name}.js") for name in SCRIPTS.split()]
    return _asset("page.css"), "\n".join(["", '"use strict";', "(() => {", *parts, "})();", ""])


def _policy(style: str, script: str, *, served: bool = False) -> str:
    """Return a Content-Security-Policy that allows this style and this script, and requests only to a page's server."""
    style_hash, script_hash = (_base64(hashlib.sha256(text.encode()).digest()) for text in (style, script))
    sources = "img-src 'self' data:; connect-src 'self'" if served else "img-src data:"
    return (
        f"default-src 'none'; {sources}; style-src 'sha256-{style_hash}'; script-src 'sha256-{script_hash}'; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _asset(name: str) -> str:
    return (resources.files("labelaudit.report.page") / "assets" / name).read_text(encoding="utf-8")


def _content(
    audit: Audit,
    listed: Listed,
    groups: Sequence[Group],
    data: Data,
    reporter: Reporter,
    *,
    sampled: bool,
    examples: int,
) -> dict[str, Any]:
    """Return the data of a page, ready for JSON, still without images."""
    run, catalogue = audit.run, audit.catalogue
    listed_rows = listed.rows if sampled or listed.new is not None else [*listed.rows, *listed.of_no_class]
    sizes = [len(row["path"].encode("utf-8", "backslashreplace")) + _BYTES_A_ROW for row in listed_rows]
    shown = listed_rows[: int((np.cumsum(sizes) <= MAX_ROW_BYTES).sum())]
    samples, rows = [int(row["sample"]) for row in shown], len(shown)
    sample_S = np.array(samples, dtype=np.int64)
    p_N = audit.column("p_mislabeled")
    suspicious_N = p_N > audit.summary.flag_above
    epochs = read_epochs(run.losses, reporter, samples=np.flatnonzero(catalogue.used_N))
    classes = len(catalogue.classes)
    curves = charts.gather_curves(epochs, sample_S, catalogue.label_N, suspicious_N, classes=classes)
    statistic = audit.summary.fit.rank_by
    copies = [copy.sample for group in groups for copy in group.copies]
    digests = [catalogue.sha256[i] for i in (*samples, *copies)]
    sample_SP, class_KP = charts.thin(curves.sample_SE), charts.thin(curves.class_KE)
    top = charts.top_loss(sample_SP, class_KP)
    kind_of = audit.scores.column("kind").to_pylist()
    kinds = sorted({kind for kind in kind_of if kind})
    texts = audit.scores.column("suggested_label").take(sample_S).to_pylist()
    suggested = [-1] * rows if sampled else _positions(texts, catalogue.classes)
    content: dict[str, Any] = {
        "version": __version__,
        "fingerprint": catalogue.fingerprint,
        "classes": catalogue.classes,
        "kinds": kinds,
        "statistic": statistic,
        **charts.charts(audit, suspicious_N, curves),
        "rows": {
            "sample": samples,
            "path": [catalogue.paths[i] for i in samples],
            "given": catalogue.label_N[samples].tolist(),
            "suggested": suggested,
            "kind": _positions([kind_of[i] for i in samples], kinds),
            "p": charts.rounded(p_N[samples], digits=5),
            "value": charts.rounded(audit.column(statistic)[samples]),
            "rank": None if listed.new is None else [int(row["rank"]) for row in shown],
            "sha256": _base64(b"".join(bytes.fromhex(one) if _SHA256.fullmatch(one) else bytes(32) for one in digests)),
        },
        "copies": {
            "sample": copies,
            "path": [catalogue.paths[i] for i in copies],
            "given": catalogue.label_N[copies].tolist(),
            "group": [group.name for group in groups for _ in group.copies],
        },
        "curves": {
            "points": sample_SP.shape[1],
            "samples": _base64(charts.quantise(sample_SP, top).tobytes()),
            "classes": _base64(charts.quantise(class_KP, top).tobytes()),
        },
        "thumbnails": {"kind": "", "content": [], "reasons": []},
        "examples": {**choose_examples(audit, sample_S, suggested, most=examples), "content": []},
        "sampled": sampled,
        "decisions": [],
        "command": "",
        "dropped": f"{data.root.name}-dropped" if data.moves else "",
        "drop_unreadable": data.relabel_command(str(run.unreadable))
        if audit.summary.unreadable and not sampled
        else "",
        "server": None,
        "since": None,
    }
    if not sampled and (before := judged_before(run)):
        try:
            known = read_baseline(before.suspicious).findings
            findings = zip(digests, catalogue.label_N[samples], strict=False)
            new = np.array([(sha256, catalogue.classes[label]) not in known for sha256, label in findings], dtype=bool)
            content["since"] = {"name": before.root.name, "new": (suspicious_N[samples] & new).tolist()}
        except LabelauditError as error:
            reporter.warn(f"{before.root} cannot be compared with: {error}")
    if sampled:
        content["rows"] |= {"p": [None] * rows, "value": [None] * rows, "kind": [-1] * rows}
        content |= {"kinds": [], "curves": {"points": 0, "samples": "", "classes": ""}}
    return content


def _positions(texts: Sequence[str | None], names: Sequence[str]) -> list[int]:
    """Return where each text stands in ``names``; −1 for None and for others."""
    number_of = {name: number for number, name in enumerate(names)}
    return [-1 if text is None else number_of.get(text, -1) for text in texts]


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
