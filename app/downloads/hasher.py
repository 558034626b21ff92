"""Hashing a file in order while its bytes arrive out of order."""

from __future__ import annotations

import hashlib
import threading

from app.downloads.part import PartFile
from app.downloads.ranges import RangeSet

CHUNK_BYTES = 4 << 20
"""Large enough that the interpreter's lock hardly matters, small enough for a processor's cache."""


class Hasher:
    """Follows the bytes that are here without a gap, from the start. It has a thread of its own.

    ``changed`` guards ``done`` and is notified when some more of it is there.
    """

    def __init__(self, part: PartFile, done: RangeSet, changed: threading.Condition) -> None:
        self._part = part
        self._done = done
        self._changed = changed
        self._is_stopped = False
        self._hashed = 0
        self._hash = hashlib.sha256()
        self.problem: BaseException | None = None
        self.digest: str | None = None
        self._thread = threading.Thread(target=self._run, name="download-hash", daemon=True)

    @property
    def n_bytes(self) -> int:
        return self._hashed

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when it has ended."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        view = memoryview(bytearray(CHUNK_BYTES))
        try:
            while (end := self._next_end()) is not None:
                n_bytes = self._part.read(view[: end - self._hashed], self._hashed)
                if n_bytes == 0:
                    raise OSError("the file became shorter while it was downloaded")
                self._hash.update(view[:n_bytes])
                self._hashed += n_bytes
        except BaseException as error:  # noqa: BLE001 - whoever waits for the digest gets it
            self.problem = error
        with self._changed:
            if self._hashed == self._part.size_bytes and self.problem is None:
                self.digest = self._hash.hexdigest()
            self._changed.notify_all()

    def _next_end(self) -> int | None:
        """Where to hash to next; None at the end. Waits until there is enough to be worth it."""
        total = self._part.size_bytes
        with self._changed:
            while not self._is_stopped and self._hashed < total:
                end = self._done.end_of(self._hashed)
                if end - self._hashed >= CHUNK_BYTES or end == total:
                    return min(end, self._hashed + CHUNK_BYTES)
                self._changed.wait()
        return None
