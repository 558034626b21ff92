"""Runs a stranger's program in this thread with a limit on its time and on the memory it takes."""

from __future__ import annotations

import ctypes
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

    It is stopped between two bytecodes, so ``work`` must not call anything in C that takes long by itself. An overrun
    that is noticed only after ``work`` has returned is forgotten: its result stands.
    """
    watchdog = _Watchdog(threading.get_ident(), budget)
    watchdog.start()
    try:
        try:
            return work()
        finally:
            watchdog.stop()
    except _Overrun:
        _stop_despite_overruns(watchdog)
        raise BudgetExceeded(watchdog.limit) from None


def _stop_despite_overruns(watchdog: _Watchdog) -> None:
    while True:
        try:
            watchdog.stop()
        except _Overrun:  # sent a second time just now
            continue
        return


class _Watchdog(threading.Thread):
    def __init__(self, thread_id: int, budget: Budget) -> None:
        super().__init__(name="template-watchdog", daemon=True)
        self.limit = Limit.TIME
        self._thread_id = thread_id
        self._budget = budget
        self._process = psutil.Process()
        self._memory_before_bytes = self._process.memory_info().rss
        self._done = threading.Event()

    def run(self) -> None:
        deadline_s = time.monotonic() + self._budget.time_s
        while not self._done.wait(_POLL_S):
            if self._process.memory_info().rss - self._memory_before_bytes > self._budget.memory_bytes:
                self.limit = Limit.MEMORY
            elif time.monotonic() <= deadline_s:
                continue
            self._interrupt()
            return

    def stop(self) -> None:
        """Thread: the watched one. When this returns, nothing will be raised in it any more. May be called again."""
        self._done.set()
        self.join()
        _raise_in(self._thread_id, None)

    def _interrupt(self) -> None:
        _raise_in(self._thread_id, _Overrun)
        while not self._done.wait(_REPEAT_S):
            _raise_in(self._thread_id, _Overrun)


def _raise_in(thread_id: int, exception: type[BaseException] | None) -> None:
    """Raise in another thread at its next bytecode; None takes back what has not been raised yet."""
    argument = None if exception is None else ctypes.py_object(exception)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), argument)
