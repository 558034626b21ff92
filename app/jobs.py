"""Work off the caller's thread: a small pool for the disk, queues that keep order, and tokens to cancel with."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from engine.errors import Cancelled

P = ParamSpec("P")
T = TypeVar("T")


class CancelToken:
    """Handed to a job by whoever may want to stop it. Thread: any."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._calls: list[Callable[[], None]] = []

    def cancel(self) -> None:
        with self._lock:
            self._event.set()
            calls, self._calls = self._calls, []
        for call in calls:
            call()

    def on_cancel(self, call: Callable[[], None]) -> Callable[[], None]:
        """Call it, once, on the thread that cancels; at once where that has happened. Returns what ends that."""
        with self._lock:
            is_cancelled = self._event.is_set()
            if not is_cancelled:
                self._calls.append(call)
        if is_cancelled:
            call()

        def forget() -> None:
            with self._lock:
                if call in self._calls:
                    self._calls.remove(call)

        return forget

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()

    def raise_if_cancelled(self) -> None:
        if self.cancelled:
            raise Cancelled


class SerialExecutor(Executor):
    """Runs what it is given one at a time and in order, on the threads of another executor. Thread: any.

    It is done when that executor is: shutting it down waits for what is queued here.
    """

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._queue: deque[Callable[[], None]] = deque()
        self._draining = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Raises RuntimeError once the executor below is shut down and nothing is left to run."""
        future: Future[T] = Future()

        def run() -> None:
            _run_into(future, lambda: fn(*args, **kwargs))

        with self._lock:
            if not self._draining:
                self._pool.submit(self._drain)
                self._draining = True
            self._queue.append(run)
        return future

    def _drain(self) -> None:
        while (item := self._next()) is not None:
            item()

    def _next(self) -> Callable[[], None] | None:
        with self._lock:
            if self._queue:
                return self._queue.popleft()
            self._draining = False
            return None


class IoPool:
    """A few threads for work that waits for the disk. Thread: any."""

    def __init__(self, n_threads: int = 2) -> None:
        self._pool = ThreadPoolExecutor(n_threads, thread_name_prefix="io")
        self._lock = threading.Lock()
        self._serial: dict[str, SerialExecutor] = {}

    def run(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Raises RuntimeError after :meth:`close`."""
        return self._pool.submit(fn, *args, **kwargs)

    def serial(self, name: str) -> Executor:
        """The queue of that name: the same one for every caller."""
        with self._lock:
            if name not in self._serial:
                self._serial[name] = SerialExecutor(self._pool)
            return self._serial[name]

    def close(self) -> None:
        """Take no more work and wait until all that was accepted is done, queued work included."""
        self._pool.shutdown(wait=True)


def _run_into(future: Future[T], work: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - as in ThreadPoolExecutor: whoever holds the future gets it
        future.set_exception(error)
    else:
        future.set_result(result)
