"""All of one file: attempts until it is here and its hash is right, with its state kept."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Sequence

from app.downloads.attempt import Attempt, Changed, NoRanges, Options, Pause
from app.downloads.hasher import Hasher
from app.downloads.pace import Limiter
from app.downloads.part import PartFile
from app.downloads.ranges import RangeSet
from app.downloads.types import DownloadError, NoRoom
from app.hub.errors import HubError
from app.hub.resolve import Origin
from app.jobs import CancelToken
from engine.errors import Cancelled, KnownError

_log = logging.getLogger(__name__)

_TICK_S = 0.25
"""Also how often the state is kept, without waiting for the disk: so much is lost when the process is killed."""

_SYNC_BYTES = 512 << 20
_SYNC_S = 30.0
_MAX_CHANGES = 2


class WrongHash(DownloadError):
    """What arrived is not what the hub's record describes."""


class FileFetch:
    """Thread: ``run`` the owner's; the properties any."""

    def __init__(
        self, part: PartFile, origins: Sequence[Origin], options: Options, limiter: Limiter, stop: CancelToken
    ) -> None:
        """``origins`` are the same file in several places, in the order in which to try them."""
        self._part = part
        self._origins = list(origins)
        self._options = options
        self._limiter = limiter
        self._stop = stop
        self._lock = threading.Lock()
        self._attempt: Attempt | None = None
        self._n_received = 0
        self._synced_bytes = part.done.n_bytes
        self._synced_s = time.monotonic()

    @property
    def done_bytes(self) -> int:
        attempt = self._attempt
        if attempt is None:
            return self._part.done.n_bytes
        with attempt.changed:
            return attempt.done.n_bytes

    @property
    def n_received(self) -> int:
        """Bytes of the file that came over the network in this run, those that were fetched twice included."""
        attempt = self._attempt
        return self._n_received + (attempt.n_received if attempt is not None else 0)

    @property
    def pause(self) -> Pause | None:
        attempt = self._attempt
        return attempt.pause if attempt is not None else None

    def run(self) -> None:
        """Raises KnownError for what does not pass by itself, and Cancelled; what is here is then kept."""
        n_changes, n_wrong, whole = 0, 0, False
        while True:
            try:
                self._try(self._origins[0], whole=whole)
            except Changed:
                n_changes += 1
                _log.warning("%s has changed where it comes from; it is fetched anew", self._part.final.name)
                if n_changes > _MAX_CHANGES:
                    text = f"{self._part.final.name} keeps changing while it is downloaded."
                    raise DownloadError(text, "Try again later, or from another mirror.") from None
                self._part.start_again()
            except NoRanges:
                _log.info("%s comes from a server without ranges", self._part.final.name)
                whole = True
            except WrongHash:
                n_wrong += 1
                self._part.start_again()
                if n_wrong > 1:
                    raise
                self._origins.append(self._origins.pop(0))
            except HubError as error:
                if len(self._origins) == 1:
                    raise
                dropped = self._origins.pop(0)
                _log.info("%s is left for a mirror: %s", dropped.endpoint, error)
                whole = False
            else:
                return

    def _try(self, origin: Origin, *, whole: bool) -> None:
        is_last = len(self._origins) == 1
        attempt = Attempt(self._part, origin, self._options, self._limiter, self._stop, whole=whole, is_patient=is_last)
        hasher = Hasher(self._part, attempt.done, attempt.changed) if self._part.sha256 is not None else None
        self._attempt = attempt
        if hasher is not None:
            hasher.start()
        try:
            self._watch(attempt, hasher)
        finally:
            attempt.end()
            if hasher is not None:
                hasher.stop()
            self._part.done = attempt.done
            self._n_received += attempt.n_received
            self._attempt = None
            self._save_at_end(attempt)
        if self._stop.cancelled:
            raise Cancelled
        if attempt.failure is not None:
            raise attempt.failure
        if hasher is not None:
            self._compare(hasher)

    def _watch(self, attempt: Attempt, hasher: Hasher | None) -> None:
        """Add connections, keep the state and look at the disk until nothing more comes."""
        began_s, n_connections = time.monotonic(), 0
        while True:
            passed = time.monotonic() - began_s
            if n_connections == 0 or attempt.n_received < passed * self._options.enough_bytes_per_s * n_connections:
                n_connections += attempt.add_connection()
            with attempt.changed:
                if attempt.changed.wait_for(lambda: self._is_finished(attempt, hasher), _TICK_S):
                    return
                done = RangeSet(attempt.done)
            self._save(done)
            self._check_room(done)

    def _is_finished(self, attempt: Attempt, hasher: Hasher | None) -> bool:
        if attempt.failure is not None or self._stop.cancelled:
            return True
        if hasher is None:
            return attempt.board.is_done
        return hasher.problem is not None or (attempt.board.is_done and hasher.digest is not None)

    def _save(self, done: RangeSet) -> None:
        """So that it outlives the process, and now and then so that it outlives the machine."""
        now = time.monotonic()
        n_bytes = done.n_bytes
        is_due = n_bytes - self._synced_bytes >= _SYNC_BYTES or now - self._synced_s >= _SYNC_S
        if is_due and n_bytes > self._synced_bytes:
            self._part.save(done, durably=True)
            self._synced_bytes, self._synced_s = n_bytes, time.monotonic()
        else:
            self._part.save(done)

    def _save_at_end(self, attempt: Attempt) -> None:
        """First quickly, in case the program cannot wait for the disk. Where that is full the state before remains,
        which is true as well."""
        if attempt.board.is_done:
            return
        try:
            self._part.save(attempt.done)
            self._part.save(attempt.done, durably=True)
        except KnownError as error:
            _log.info("the state of %s is not kept: %s", self._part.final.name, error)

    def _check_room(self, done: RangeSet) -> None:
        """Raises NoRoom while there is still enough for others to go on."""
        left = self._part.size_bytes - done.n_bytes
        free = shutil.disk_usage(self._part.path.parent).free
        if left and free < min(left, self._options.reserve_bytes // 2):
            text = f"The disk that holds {self._part.path.parent} is nearly full."
            raise NoRoom(text, "Free some space and continue; what is here already is kept.")

    def _compare(self, hasher: Hasher) -> None:
        if hasher.problem is not None:
            raise hasher.problem
        if hasher.digest != self._part.sha256:
            text = f"{self._part.final.name} did not arrive as the hub describes it: its hash is another one."
            hint = "Something on the way changes what is sent. Try again, or use another network or mirror."
            raise WrongHash(text, hint)
