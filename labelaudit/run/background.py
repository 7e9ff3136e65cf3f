"""Writing while the training goes on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType


class BackgroundWriter:
    """Writes one thing after the other in a thread of its own; at most one waits while another is written.

    A failure is raised by the next `submit`, or at the end of the context. Leaving the context waits for what was
    submitted, whatever the reason for leaving.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="labelaudit-writer")
        self._pending: Future[None] | None = None

    def __enter__(self) -> BackgroundWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True)
        if kind is None:
            self._settle()

    def submit(self, write: Callable[[], None]) -> None:
        """Write after what was submitted before.

        Raises:
            Exception: the one that the write before this one met.
        """
        self._settle()
        self._pending = self._pool.submit(write)

    def _settle(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()
