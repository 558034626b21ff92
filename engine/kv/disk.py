"""The disk tier: page files behind a thread of their own, so that the engine never waits for a disk."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from engine.cells import Blob
from engine.errors import StorageError
from engine.kv.container import DamagedPage, PageContent, file_bytes
from engine.kv.folder import Listing, PageFolder

_log = logging.getLogger(__name__)

LEAVE_S = 1.0
"""How long closing waits for the operation that runs just then."""


@dataclass(frozen=True, slots=True)
class PageRead:
    key: bytes
    payload: bytes
    seconds: float


@dataclass(frozen=True, slots=True)
class PageLost:
    """There is no such page on disk (any more)."""

    key: bytes
    is_damaged: bool


@dataclass(frozen=True, slots=True)
class PageWritten:
    key: bytes
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PageNotWritten:
    key: bytes


@dataclass(frozen=True, slots=True)
class ForeignPurged:
    """``n_bytes`` of foreign files are left."""

    n_bytes: int


DiskEvent: TypeAlias = PageRead | PageLost | PageWritten | PageNotWritten | ForeignPurged | Listing


@dataclass(slots=True, eq=False)
class _Job:
    """``run`` does the work on the tier's thread; ``failed`` is what there is to say where that was not possible.

    ``writes`` is the key of the page that it would write, where that can still be withdrawn.
    """

    run: Callable[[], DiskEvent | None]
    failed: DiskEvent | None = None
    writes: bytes | None = None
    is_withdrawn: bool = False


class DiskTier:
    """Page files of one fingerprint below ``root``, and the foreign ones beside them.

    Owns one daemon thread. Methods are the engine thread's and return at once. What they ask for is carried out in
    order, but reads go first; what came of it is in :meth:`poll`. Nothing here raises for what a disk can do:
    ``problem`` says why nothing is written at present, and the next :meth:`look` tries again.
    """

    def __init__(
        self,
        root: Path,
        fingerprint: str,
        budget_bytes: int,
        on_news: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``on_news`` is called on the tier's thread when :meth:`poll` has something; it must be quick."""
        self.budget_bytes = budget_bytes
        self.foreign_bytes = 0
        self.purgeable_bytes = 0  # of foreign files, those that nobody has tried to delete since the last look
        self.foreign_conversations: dict[str, int] = {}
        self.problem: StorageError | None = None
        self._folder = PageFolder(root, fingerprint)
        self._on_news = on_news
        self._clock = clock
        self._events: deque[DiskEvent] = deque()
        self._reads: deque[_Job] = deque()
        self._others: deque[_Job] = deque()
        self._writes: dict[bytes, _Job] = {}  # those that have not begun
        self._is_busy = self._is_closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="kv-disk", daemon=True)
        self._thread.start()
        self.look()

    def look(self) -> None:
        """Find out what is on disk: a :class:`Listing` follows. Ends a problem."""
        self._add(_Job(self._look))

    def read(self, key: bytes) -> None:
        """:class:`PageRead` or :class:`PageLost` follows."""
        self._add(_Job(partial(self._read, key), PageLost(key, is_damaged=True)), is_read=True)

    def write(self, page: PageContent, payload: Blob) -> int:
        """:class:`PageWritten` or :class:`PageNotWritten` follows. Returns the size that the file will have."""
        self._add(_Job(partial(self._write, page, payload), PageNotWritten(page.key), writes=page.key))
        return file_bytes(page, len(payload))

    def withdraw(self, key: bytes) -> bool:
        """Do not write that page. False: there is no such write, or it has begun or ended."""
        with self._changed:
            job = self._writes.pop(key, None)
            if job is not None:
                job.is_withdrawn = True
            return job is not None

    def delete(self, key: bytes) -> None:
        self.withdraw(key)
        self._add(_Job(partial(self._folder.delete, key)))

    def relabel(self, key: bytes, conversation: str) -> None:
        """Name another conversation in the file. :class:`PageWritten` or :class:`PageLost` follows."""
        self._add(_Job(partial(self._relabel, key, conversation), PageLost(key, is_damaged=True)))

    def purge_foreign(self, n_bytes: int) -> None:
        """Delete foreign files, the oldest first, until so much is free. They count as gone from now on."""
        self.foreign_bytes = max(0, self.foreign_bytes - n_bytes)
        self.purgeable_bytes = max(0, self.purgeable_bytes - n_bytes)
        self._add(_Job(lambda: ForeignPurged(self._folder.purge_foreign(n_bytes))))

    def forget_foreign(self, conversation: str) -> None:
        """Delete what is saved of a conversation under other fingerprints."""
        self.foreign_conversations.pop(conversation, None)
        self._add(_Job(lambda: ForeignPurged(self._folder.forget_foreign(conversation))))

    def poll(self) -> DiskEvent | None:
        """The oldest thing that happened and was not told yet."""
        if not self._events:
            return None
        event = self._events.popleft()
        if isinstance(event, Listing):
            self.foreign_bytes = self.purgeable_bytes = event.foreign_bytes
            self.foreign_conversations = dict(event.foreign_conversations)
        elif isinstance(event, ForeignPurged):
            self.foreign_bytes = event.n_bytes
        return event

    def settle(self, timeout_s: float) -> bool:
        """Wait until everything that was asked for is done. False: it takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._is_busy or self._reads or self._others), timeout_s)

    def close(self, timeout_s: float) -> None:
        """Finish what was asked for, within this time, and end the thread. What is asked for afterwards is ignored."""
        self.settle(timeout_s)
        with self._changed:
            self._is_closing = True
            self._reads.clear()
            self._others.clear()
            self._changed.notify_all()
        self._thread.join(LEAVE_S)

    def _add(self, job: _Job, *, is_read: bool = False) -> None:
        with self._changed:
            if self._is_closing:
                return
            (self._reads if is_read else self._others).append(job)
            if job.writes is not None:
                self._writes[job.writes] = job
            self._changed.notify_all()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            event = self._outcome(job)
            with self._changed:
                if event is not None:
                    self._events.append(event)
                self._is_busy = False
                self._changed.notify_all()
            if event is not None:
                self._on_news()

    def _next(self) -> _Job | None:
        """The job that is due, marked as begun. None: the tier closes."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closing or self._reads or self._others)
            if self._is_closing:
                return None
            job = self._reads.popleft() if self._reads else self._others.popleft()
            if job.writes is not None and self._writes.get(job.writes) is job:
                del self._writes[job.writes]
            self._is_busy = True
            return job

    def _outcome(self, job: _Job) -> DiskEvent | None:
        if job.is_withdrawn:
            return None
        try:
            return job.run()
        except (OSError, DamagedPage) as error:
            problem: Exception = error
        except Exception as error:  # noqa: BLE001 - the thread's edge: who waits must hear of it, the next job must run
            _log.exception("a disk operation of the KV cache failed")
            problem = error
        if job.writes is not None:
            self._stop_writing(problem)
        return job.failed

    def _stop_writing(self, error: Exception) -> None:
        reason = getattr(error, "strerror", None) or str(error)
        _log.warning("saving conversations to disk stopped: %s", reason)
        self.problem = StorageError(
            f"Conversations cannot be kept on disk ({reason}).", "Free some space, or choose a smaller budget."
        )
        with self._changed:
            for key, job in self._writes.items():
                job.is_withdrawn = True
                self._events.append(PageNotWritten(key))
            self._writes.clear()

    def _look(self) -> DiskEvent:
        listing = self._folder.look()
        self.problem = None
        return listing

    def _read(self, key: bytes) -> DiskEvent:
        begin_s = self._clock()
        try:
            payload = self._folder.read(key)
        except FileNotFoundError:
            return PageLost(key, is_damaged=False)
        except DamagedPage:
            self._folder.delete(key)
            return PageLost(key, is_damaged=True)
        return PageRead(key, payload, self._clock() - begin_s)

    def _write(self, page: PageContent, payload: Blob) -> DiskEvent:
        return PageWritten(page.key, self._folder.write(page, payload))

    def _relabel(self, key: bytes, conversation: str) -> DiskEvent:
        try:
            return PageWritten(key, self._folder.relabel(key, conversation))
        except FileNotFoundError:
            return PageLost(key, is_damaged=False)
