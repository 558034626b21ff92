"""A thread with an event loop, for everything that waits for servers."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

_JOIN_S = 5.0


class LoopThread:
    """Starts with its first task. Thread: any."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: _Loop | None = None
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def run(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin with it; cancelling the future cancels the work. After :meth:`close` it is cancelled already."""
        with self._lock:
            if not self._is_closed:
                return asyncio.run_coroutine_threadsafe(work, self._started())
        work.close()
        refused: Future[T] = Future()
        refused.cancel()
        return refused

    def post(self, call: Callable[[], None]) -> None:
        """Call it on the thread, in the order of these calls. After :meth:`close` nothing happens."""
        with self._lock:
            if not self._is_closed:
                self._started().call_soon_threadsafe(call)

    def close(self) -> None:
        """Cancel all that is under way and return when the thread is gone."""
        with self._lock:
            self._is_closed = True
            loop, thread = self._loop, self._thread
        if loop is not None and thread is not None and thread.is_alive():
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_JOIN_S)

    def _started(self) -> _Loop:
        if self._loop is None:
            self._loop = _Loop()
            self._thread = threading.Thread(target=_run, args=(self._loop,), name=self._name, daemon=True)
            self._thread.start()
        return self._loop


class _Loop(asyncio.SelectorEventLoop):
    """Looks names up on threads that nobody has to wait for: a look-up cannot be stopped and may take half a minute."""

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        return await in_thread(lambda: socket.getaddrinfo(host, port, **options))


async def in_thread(fn: Callable[[], T]) -> T:
    """Call something that blocks, on a thread of its own that does not hold up the program's end."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def tell(call: Callable[[], None]) -> None:
        if not outcome.done():
            call()

    def work() -> None:
        try:
            result = fn()
        except BaseException as error:  # noqa: BLE001 - whoever awaits it gets it
            call = _failing(outcome, error)
        else:
            call = _succeeding(outcome, result)
        try:
            loop.call_soon_threadsafe(tell, call)
        except RuntimeError:
            return  # the loop is closed: nobody waits for it any more

    threading.Thread(target=work, name="remote-blocking", daemon=True).start()
    return await outcome


def _succeeding(outcome: asyncio.Future[T], result: T) -> Callable[[], None]:
    return lambda: outcome.set_result(result)


def _failing(outcome: asyncio.Future[T], error: BaseException) -> Callable[[], None]:
    return lambda: outcome.set_exception(error)


def _run(loop: _Loop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        asyncio.set_event_loop(None)
        loop.close()
