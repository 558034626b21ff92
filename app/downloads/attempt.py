"""One attempt at the missing bytes of one file from one place: connections that take pieces and write them."""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from app.downloads.pace import Limiter
from app.downloads.part import PartFile
from app.downloads.ranges import Board, Claim, RangeSet
from app.downloads.types import DownloadError
from app.hub.errors import HubError, HubProblem, from_transport
from app.hub.resolve import Location, Origin, fetch, locate
from app.hub.wire import STALL_S, Reply, Wire
from app.jobs import CancelToken
from engine.errors import Cancelled, ErrorInfo

_log = logging.getLogger(__name__)

BUFFER_BYTES = 1 << 20
_ENOUGH_TO_WRITE = 256 << 10
_MAX_HELD_S = 0.1
_NOTIFY_BYTES = 4 << 20
_NOTABLE_BYTES = 256 << 10
"""Whoever gets this far before a fault is getting on, and need not wait long."""

_LEAST_SHARED_BYTES = 4 << 20
"""What is on its way already when a piece is shared comes twice; this is more than connections usually hold."""

_MAX_STRIKES = 3
_MAX_REFUSED = 2
_MAX_DELAY_S = 30.0
_EXPIRED = frozenset({HubProblem.FORBIDDEN, HubProblem.SIGN_IN, HubProblem.BAD_TOKEN, HubProblem.NOT_FOUND})


class Changed(Exception):
    """The file elsewhere is not the one whose beginning is here."""


class NoRanges(Exception):
    """The server gives the whole file whatever is asked for."""


@dataclass(frozen=True, slots=True)
class Options:
    """``n_tries`` without getting on are allowed; being offline does not count. ``reserve_bytes`` stay free on the
    disk. ``piece_bytes`` None chooses by the file's size."""

    n_connections: int = 4
    n_tries: int = 8
    backoff_s: float = 1.0
    stall_s: float = STALL_S
    reserve_bytes: int = 256 << 20
    piece_bytes: int | None = None
    enough_bytes_per_s: float = 150e6
    """A single connection this fast gets no company: more would only compete for the processor."""


@dataclass(frozen=True, slots=True)
class Pause:
    """What all connections are waiting after, and until when on the monotonic clock."""

    problem: ErrorInfo
    until_s: float


class Attempt:
    """Ends when all bytes are here, or with an exception in :attr:`failure`. Thread: the owner's, and its workers."""

    def __init__(
        self,
        part: PartFile,
        origin: Origin,
        options: Options,
        limiter: Limiter,
        stop: CancelToken,
        *,
        whole: bool = False,
        is_patient: bool = True,
    ) -> None:
        """``whole`` is for a server that knows no ranges; who ``is_patient`` waits for as long as it is offline."""
        self.changed = threading.Condition()
        self.failure: BaseException | None = None
        self.n_received = 0
        self._part = part
        self._origin = origin
        self._options = options
        self._limiter = limiter
        self._stop = stop
        self._whole = whole
        self._is_patient = is_patient
        piece = options.piece_bytes or min(max(part.size_bytes // 32, 4 << 20), 64 << 20)
        self.board = Board(part.size_bytes, part.done, piece, _LEAST_SHARED_BYTES)
        self._locating = threading.Lock()
        self._location: Location | None = None
        self._n_refused = 0
        self._n_allowed = 1 if whole else options.n_connections
        self._wires: list[Wire] = []
        self._threads: list[threading.Thread] = []
        self._pauses: dict[int, Pause] = {}
        self._n_running = 0
        self._n_tries = 0
        self._n_strikes = 0
        self._n_since_fault = 0
        self._is_over = False
        stop.on_cancel(self._wake)

    @property
    def done(self) -> RangeSet:
        return self.board.done

    @property
    def is_over(self) -> bool:
        """Under ``changed``: nothing more will come."""
        return self.failure is not None or self.board.is_done or self._stop.cancelled

    @property
    def pause(self) -> Pause | None:
        """Set while every connection waits after a fault."""
        with self.changed:
            if not self._pauses or len(self._pauses) < self._n_running:
                return None
            return min(self._pauses.values(), key=lambda pause: pause.until_s)

    def add_connection(self) -> bool:
        """One more, where that is allowed."""
        with self.changed:
            if self.is_over or self._n_running >= self._n_allowed:
                return False
            self._n_running += 1
            wire = Wire(self._stop, self._options.stall_s)
            self._wires.append(wire)
        thread = threading.Thread(target=self._work, args=(wire,), name="download", daemon=True)
        self._threads.append(thread)
        thread.start()
        return True

    def end(self) -> None:
        """Stop all connections and wait for them."""
        with self.changed:
            self._is_over = True
            self.changed.notify_all()
        for wire in self._wires:
            wire.abort()
        for thread in self._threads:
            thread.join()

    def _wake(self) -> None:
        for wire in tuple(self._wires):
            wire.abort()
        with self.changed:
            self.changed.notify_all()

    def _work(self, wire: Wire) -> None:
        buffer = memoryview(bytearray(BUFFER_BYTES))
        try:
            while (claim := self._next_claim()) is not None:
                try:
                    self._fetch(wire, claim, buffer)
                except HubError as error:
                    wire.close()
                    if self._ends(error):
                        return
                finally:
                    with self.changed:
                        self.board.release(claim)
                        self.changed.notify_all()
        except Cancelled:
            return
        except BaseException as error:  # noqa: BLE001 - the owner gets it
            self._fail(error)
        finally:
            wire.close()
            with self.changed:
                self._n_running -= 1
                self.changed.notify_all()

    def _next_claim(self) -> Claim | None:
        with self.changed:
            while not (self._is_over or self.is_over or self._n_running > self._n_allowed):
                claim = self.board.claim_all() if self._whole else self.board.claim()
                if claim is not None:
                    return claim
                self.changed.wait()
        return None

    def _fetch(self, wire: Wire, claim: Claim, buffer: memoryview) -> None:
        location = self._locate(wire)
        host = urlsplit(location.url).netloc
        headers = {} if self._whole else {"Range": f"bytes={claim.position}-{claim.end - 1}"}
        with self.changed:
            etag = self._part.etags.get(host)
        if etag is not None and not self._whole:
            headers["If-Range"] = etag
        reply = self._ask(wire, location, headers)
        self._check(reply, claim, host)
        try:
            while claim.position < claim.end:
                self._take(reply, claim, buffer)
        except OSError as error:
            raise from_transport(error, reply.url) from error

    def _ask(self, wire: Wire, location: Location, headers: dict[str, str]) -> Reply:
        """Raises HubError; an address that the hub handed out a while ago may only have expired."""
        try:
            return fetch(wire, self._origin, location.url, headers)
        except HubError as error:
            if not location.is_elsewhere or error.problem not in _EXPIRED:
                raise
            with self._locating:
                if self._location is location:
                    self._location = None
                    self._n_refused += 1
                may_have_expired = self._n_refused < _MAX_REFUSED
            if may_have_expired:
                raise HubError(HubProblem.BROKEN_OFF, error.text, error.hint, detail=error.detail) from error
            raise

    def _locate(self, wire: Wire) -> Location:
        """Where the bytes are; the hub is asked once for all connections. Raises HubError, DownloadError."""
        with self._locating:
            if self._location is None:
                location = locate(wire, self._origin)
                if location.size_bytes not in (None, self._part.size_bytes):
                    raise _another_file(self._part)
                linked = location.linked_etag
                if self._part.sha256 and linked and len(linked) == 64 and linked != self._part.sha256:
                    raise _another_file(self._part)
                self._location = location
            return self._location

    def _check(self, reply: Reply, claim: Claim, host: str) -> None:
        """Whether these are the bytes that were asked for. Raises Changed, NoRanges, HubError, DownloadError."""
        span = reply.span
        with self.changed:
            known = self._part.etags.get(host)
            if reply.etag is not None:
                if known is not None and known != reply.etag:
                    raise Changed
                self._part.etags[host] = reply.etag
        if span is not None and span.total != self._part.size_bytes:
            raise _another_file(self._part)
        if span is not None and span.start == claim.position and span.end >= claim.end:
            self._n_strikes = 0
            self._n_refused = 0
            return
        with self.changed:
            self._n_strikes += 1
            if self._n_strikes >= _MAX_STRIKES:
                raise NoRanges
        text = f"{host} did not give the part of the file that it was asked for."
        raise HubError(HubProblem.BROKEN_OFF, text, "Try again.", detail=f"{reply.status} {span}")

    def _take(self, reply: Reply, claim: Claim, buffer: memoryview) -> None:
        """Read some, and write it. What has come is kept, also when the connection breaks meanwhile."""
        wanted = min(len(buffer), claim.end - claim.position, self._limiter.chunk_bytes or len(buffer))
        n_bytes, began_s = 0, time.monotonic()
        try:
            while n_bytes < wanted:
                n_read = reply.readinto(buffer[n_bytes:wanted])
                if n_read == 0:
                    raise ConnectionResetError("closed before all was sent")
                n_bytes += n_read
                if n_bytes >= _ENOUGH_TO_WRITE or time.monotonic() - began_s > _MAX_HELD_S:
                    break
        finally:
            if n_bytes:
                self._keep(claim, buffer[:n_bytes])
        delay_s = self._limiter.spend(n_bytes)
        if self._stop.cancelled or self._is_over:
            raise Cancelled
        if delay_s > 0:
            self._wait(delay_s)

    def _keep(self, claim: Claim, view: memoryview) -> None:
        self._part.write(view, claim.position)
        with self.changed:
            before = claim.position // _NOTIFY_BYTES
            self.board.advance(claim, len(view))
            self.n_received += len(view)
            self._n_since_fault += len(view)
            if claim.position // _NOTIFY_BYTES != before or claim.position >= claim.end:
                self.changed.notify_all()

    def _ends(self, problem: HubError) -> bool:
        """Wait after a fault that may pass. Returns whether this connection is not to go on."""
        if self._stop.cancelled or self._is_over:
            return True
        if not problem.is_passing:
            self._fail(problem)
            return True
        with self.changed:
            if self._n_since_fault >= min(_NOTABLE_BYTES, self._part.size_bytes // 64):
                self._n_tries = 0
            self._n_since_fault = 0
            is_waiting = self._is_patient and problem.problem is HubProblem.OFFLINE
            self._n_tries = min(self._n_tries + 1, self._options.n_tries) if is_waiting else self._n_tries + 1
            n_tries = self._n_tries
            if problem.problem is HubProblem.RATE_LIMIT:
                self._n_allowed = max(1, self._n_allowed - 1)
        _log.info("%s: %s (%s)", self._part.final.name, problem.text, problem.detail)
        if n_tries > self._options.n_tries:
            self._fail(problem)
            return True
        delay_s = min(self._options.backoff_s * 2 ** min(n_tries - 1, 10), _MAX_DELAY_S)
        self._wait(problem.retry_after_s or delay_s * random.uniform(0.5, 1.0), problem)
        return False

    def _wait(self, seconds: float, problem: HubError | None = None) -> None:
        until_s = time.monotonic() + seconds
        me = threading.get_ident()
        with self.changed:
            if problem is not None:
                self._pauses[me] = Pause(problem.info, until_s)
            while (left_s := until_s - time.monotonic()) > 0 and not (self._is_over or self._stop.cancelled):
                if self.failure is not None:
                    break
                self.changed.wait(left_s)
            self._pauses.pop(me, None)

    def _fail(self, error: BaseException) -> None:
        with self.changed:
            if self.failure is None and not self._stop.cancelled and not self._is_over:
                self.failure = error
            self.changed.notify_all()


def _another_file(part: PartFile) -> DownloadError:
    text = f"{part.final.name} is not the same file any more on the hub."
    return DownloadError(text, "Open the model's page again, and download what is there now.")
