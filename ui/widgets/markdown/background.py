"""Small jobs for one thread beside the GUI's, one after another.

The thread lives while there is work and not longer.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import cache
from typing import TypeVar

from PySide6.QtCore import QCoreApplication, QObject, Qt, Signal

T = TypeVar("T")

_log = logging.getLogger(__name__)
_STOP_TIMEOUT_S = 2.0


class Background(QObject):
    """Thread: GUI, but for the work itself."""

    _done = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._jobs: deque[Callable[[], Callable[[], None]]] = deque()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._done.connect(self._deliver, Qt.ConnectionType.QueuedConnection)
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.stop)

    def submit(self, work: Callable[[], T], deliver: Callable[[T], None]) -> None:
        """Call ``work`` on the thread, which must not raise, then ``deliver`` with its result on the GUI thread."""

        def job() -> Callable[[], None]:
            result = work()
            return lambda: deliver(result)

        with self._lock:
            self._jobs.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="markdown", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Drop what waits, and wait a moment for what runs."""
        with self._lock:
            self._jobs.clear()
            thread = self._thread
        if thread is not None:
            thread.join(_STOP_TIMEOUT_S)

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._jobs:
                    self._thread = None
                    return
                job = self._jobs.popleft()
            try:
                self._done.emit(job())
            except Exception:  # noqa: BLE001 - the edge of a thread; the next job still gets its turn
                _log.exception("A job in the background failed.")

    def _deliver(self, call: Callable[[], None]) -> None:
        call()


@cache
def background() -> Background:
    """The one of this process. Thread: GUI."""
    return Background()
