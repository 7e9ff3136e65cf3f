"""Serve the review of an audit to a browser on this machine, and write each decision to decisions.csv at once.

The server listens on 127.0.0.1 only. Every address begins with a random token, and every request is checked for its
Host and Origin, so that another page in the same browser can neither read nor decide (DNS rebinding, CSRF). A request
names an image by its sample number, never by a path, and a file whose content is no longer the audited one is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import shlex
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labelaudit.data.catalogue import READERS
from labelaudit.data.containers import read_file
from labelaudit.data.images import CHANGED, PREVIEW_SIDE, PREVIEW_TYPE, UnreadableImageError, for_browser, preview
from labelaudit.errors import LabelauditError, UsageError
from labelaudit.review.corrections import ReviewFile, read_decided
from labelaudit.review.decisions import Ledger, LedgerAction
from labelaudit.review.plan import RelabelingPlan
from labelaudit.review.relabel import plan_relabeling, relabel
from labelaudit.review.tree import RefusedError
from labelaudit.run.layout import RunFolder

MAX_BODY_BYTES = 8_000_000  # of a request: decisions about every row of the largest page take less


class Posted(msgspec.Struct, forbid_unknown_fields=True):
    """What the page posts: steps of decisions as (sample, action, label), and how many events it knows."""

    steps: list[list[tuple[int, LedgerAction, str]]]
    after: int = 0


class Site:
    """The pages and actions of a review: a page (HTML) with its Content-Security-Policy, and where decisions go.

    Images are read below ``root``. ``moves`` is False where labels are not those of class folders: no file is moved
    then. ``again`` is the command that audits the data again; ``is_applied``: the files were moved since the last
    decision.
    """

    def __init__(
        self, page: str, policy: str, ledger: Ledger, root: Path, *, split: tuple[str, ...] = (), moves: bool = True
    ) -> None:
        self._page, self._policy, self._ledger, self._root, self._split = page, policy, ledger, root, split
        self._moves, self._path_of = moves, dict(enumerate(ledger.catalogue.paths))
        data, name = shlex.quote(str(root)), ",".join(split)
        self.again = f"labelaudit score {data}" + (f" --split {shlex.quote(name)}" if name else "")
        self._undo = f"labelaudit relabel {data} --undo"
        self._busy = threading.BoundedSemaphore(READERS)
        self.is_applied = False

    def app(self, token: str) -> ASGIApp:
        """Return the application whose addresses begin with ``token``."""
        routes = [
            Route("/", self._get_page),
            Route("/preview/{sample}", lambda request: self._get_image(request, self._preview)),
            Route("/image/{sample}", lambda request: self._get_image(request, self._whole)),
            Route("/decisions", self._get_decisions),
            Route("/decisions", self._post_decisions, methods=["POST"]),
        ]
        if self._moves:
            routes += [Route("/plan", self._get_plan), Route("/plan", self._post_plan, methods=["POST"])]
        errors = (RefusedError, LabelauditError, msgspec.MsgspecError)
        handlers = dict.fromkeys(errors, lambda _, error: PlainTextResponse(str(error), 400))
        return _Guard(Starlette(routes=routes, exception_handlers=handlers), token)

    def _get_page(self, _request: Request) -> Response:
        headers = {"Content-Security-Policy": f"{self._policy}; frame-ancestors 'none'"}
        return Response(self._page.encode(), media_type="text/html; charset=utf-8", headers=headers)

    def _get_image(self, request: Request, read: Callable[[int], tuple[bytes, str]]) -> Response:
        if (sample := _number(request.path_params["sample"])) not in self._path_of:
            return PlainTextResponse("there is no such sample", 404)
        try:
            with self._busy:
                content, kind = read(sample)
        except UnreadableImageError as error:
            return PlainTextResponse(str(error), 410)
        return Response(content, media_type=kind, headers={"Cache-Control": "private, max-age=86400"})

    def _content(self, sample: int) -> bytes:
        content = read_file(self._root / self._path_of[sample])
        if hashlib.sha256(content).hexdigest() != self._ledger.catalogue.sha256[sample]:
            raise UnreadableImageError(CHANGED)
        return content

    def _whole(self, sample: int) -> tuple[bytes, str]:
        return for_browser(self._content(sample), self._ledger.catalogue.rendering)

    def _preview(self, sample: int) -> tuple[bytes, str]:
        rendering = self._ledger.catalogue.rendering
        return preview(self._content(sample), side=PREVIEW_SIDE, rendering=rendering), PREVIEW_TYPE

    def _get_decisions(self, request: Request) -> Response:
        return JSONResponse(self._ledger.after(_number(request.query_params.get("after", "0"))))

    async def _post_decisions(self, request: Request) -> Response:
        posted = msgspec.json.decode(await _body(request), type=Posted)
        await run_in_threadpool(self._ledger.add, posted.steps)
        self.is_applied = False
        return JSONResponse(await run_in_threadpool(self._ledger.after, posted.after), 201)

    def _review(self) -> ReviewFile:
        return read_decided(RunFolder(self._ledger.file.parent), self._ledger.catalogue)

    def _get_plan(self, _request: Request) -> Response:
        plan = plan_relabeling(self._root, self._review(), split=self._split)
        return JSONResponse({**plan.as_json(), "summary": plan.summary, "plan": _digest(plan)})

    async def _post_plan(self, request: Request) -> Response:
        posted = msgspec.json.decode(await _body(request), type=dict[str, str])
        return await run_in_threadpool(self._carry_out, posted.get("plan"))

    def _carry_out(self, digest: str | None) -> Response:
        """Move the files, if the plan is still the one with this digest, which the reviewer has seen."""
        target_of: dict[str, str] = {}

        def agree(plan: RelabelingPlan) -> bool:
            target_of.update({step.path: step.target for step in plan.steps})
            return _digest(plan) == digest

        outcome = relabel(self._root, self._review(), split=self._split, agree=agree)
        if outcome is None:
            return PlainTextResponse("the plan has changed since it was shown: look at it again", 409)
        self._path_of.update({sample: target_of.get(path, path) for sample, path in self._path_of.items()})
        self.is_applied = True
        told = {"dropped_to": f"{self._root.resolve()}-dropped", "undo": self._undo, "again": self.again}
        return JSONResponse({"moved": outcome.moved, **told})


def _number(text: str) -> int:
    """Return a number from 0; −1 for text that is none, or longer than any number of a sample."""
    return int(text) if text.isdecimal() and len(text) < 10 else -1


def _digest(plan: RelabelingPlan) -> str:
    return hashlib.sha256(json.dumps(plan.as_json(), sort_keys=True).encode()).hexdigest()


async def _body(request: Request) -> bytes:
    """Return the body of a request; refuse one that is too large or no JSON."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise RefusedError("the request is no JSON")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise RefusedError("the request is too large")
    return body


class _Guard:
    """Answer only requests that have the token, name this machine as Host, and come from no other page."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if scope["type"] != "http":
            return
        token, slash, _ = scope["path"].removeprefix("/").partition("/")
        known = secrets.compare_digest(token.encode(), self._token.encode())
        if not (known and slash and self._is_ours(scope)):
            answer = PlainTextResponse("open the address that labelaudit review has printed", 403)
            await answer(scope, receive, sealed)
            return
        await self._app({**scope, "root_path": f"/{token}"}, receive, sealed)

    @staticmethod
    def _is_ours(scope: Scope) -> bool:
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or hosts[0].rpartition(":")[0] not in ("127.0.0.1", "localhost"):
            return False
        return set(origins) == {f"http://{hosts[0]}"} or (not origins and scope["method"] in ("GET", "HEAD"))


_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""On every answer; an answer's own come first."""


@contextlib.contextmanager
def serving(site: Site, port: int = 0) -> Iterator[str]:
    """Serve a site from a thread, and yield its address; port 0 is any free one. A port in use is a UsageError."""
    token = secrets.token_urlsafe(24)
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen()  # from now on a browser waits until the server has started
        except (OSError, OverflowError) as error:
            fix = "give another --port, or none for a free one"
            raise UsageError(f"port {port} cannot be used: {error}", fix=fix) from error
        config = uvicorn.Config(
            site.app(token), ws="none", lifespan="off", log_level="critical", access_log=False, server_header=False
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/{token}/"
        finally:
            server.should_exit = True
            thread.join(timeout=5)
