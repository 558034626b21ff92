"""Runs a stranger's program in this thread with a limit on its time and on the memory it takes."""

from __future__ import annotations

import ctypes
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

import psutil

T = TypeVar("T")

_POLL_S = 0.02
_REPEAT_S = 0.25
"""Where Python cannot raise, as in a finalizer, it drops the exception; then it is sent again."""


@dataclass(frozen=True, slots=True)
class Budget:
    """``max_chars`` bounds the output and every text on the way; ``memory_bytes`` is growth of this process."""

    time_s: float = 2.0
    memory_bytes: int = 512 * 2**20
    max_chars: int = 4_000_000


class Limit(Enum):
    TIME = "time"
    MEMORY = "memory"


class BudgetExceeded(Exception):
    def __init__(self, limit: Limit) -> None:
        super().__init__(limit)
        self.limit = limit


class _Overrun(BaseException):
    """Raised by the watchdog in the watched thread. Not an Exception, so that no template can swallow it."""


def run_bounded(work: Callable[[], T], budget: Budget) -> T:
    """Call ``work`` in this thread; raise BudgetExceeded where it takes too much.

    It is stopped between two bytecodes, so ``work`` must not call anything in C that takes long by itself. Where the
    stop was sent but not raised before ``work`` returned, it is taken back, and the result stands.
    """
    watchdog = _Watchdog(threading.get_ident(), budget)
    watchdog.start()
    try:
        try:
            watchdog.unleash()
            return work()
        finally:
            watchdog.stop()
    except _Overrun:
        _stop_despite_overruns(watchdog)
        raise BudgetExceeded(watchdog.limit or Limit.TIME) from None


def _stop_despite_overruns(watchdog: _Watchdog) -> None:
    while True:
        try:
            watchdog.stop()
        except _Overrun:  # sent a second time just now
            continue
        return


class _Watchdog(threading.Thread):
    """Raises in the watched thread, and only while it holds ``_leash``.

    The watched thread has the leash at the start and takes it back at the end. Only with it may it use anything in
    Python that must not be left half done, such as an Event or a Thread. The leash itself is safe: taking a reentrant
    lock is one call in C, and taking it twice does no harm.
    """

    def __init__(self, thread_id: int, budget: Budget) -> None:
        super().__init__(name="template-watchdog", daemon=True)
        self.limit: Limit | None = None
        self._thread_id = thread_id
        self._budget = budget
        self._process = psutil.Process()
        self._memory_before_bytes = self._process.memory_info().rss
        self._deadline_s = math.inf
        self._leash = threading.RLock()
        self._done = threading.Event()

    def start(self) -> None:
        self._leash.acquire()
        super().start()

    def unleash(self) -> None:
        """Thread: the watched one. From here on time counts, and the watchdog may raise."""
        self._deadline_s = time.monotonic() + self._budget.time_s
        self._leash.release()

    def stop(self) -> None:
        """Thread: the watched one. When this returns, nothing will be raised in it any more. May be called again."""
        self._leash.acquire()
        _raise_in(self._thread_id, None)
        self._done.set()
        self.join()

    def run(self) -> None:
        pause_s = _POLL_S
        while not self._done.wait(pause_s):
            limit = self._exceeded_limit()
            if limit is not None and self._leash.acquire(blocking=False):
                self.limit = self.limit or limit
                _raise_in(self._thread_id, _Overrun)
                self._leash.release()
                pause_s = _REPEAT_S

    def _exceeded_limit(self) -> Limit | None:
        if self._process.memory_info().rss - self._memory_before_bytes > self._budget.memory_bytes:
            return Limit.MEMORY
        return Limit.TIME if time.monotonic() > self._deadline_s else None


def _raise_in(thread_id: int, exception: type[BaseException] | None) -> None:
    """Raise in another thread at its next bytecode; None takes back what has not been raised yet."""
    argument = None if exception is None else ctypes.py_object(exception)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), argument)
