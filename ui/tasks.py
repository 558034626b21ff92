"""A background action as a value: what to do off the GUI thread, and what to do with the outcome on it.

::

    Operation(lambda: chats.search(text), owner=self).success(self._show_results).run(queue)
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from functools import cache
from typing import Generic, TypeVar

from PySide6.QtCore import QObject, Qt, Signal
from shiboken6 import isValid

from engine.errors import Cancelled

T = TypeVar("T")

log = logging.getLogger(__name__)


class Operation(Generic[T]):
    """``fn`` must not touch a widget. Callbacks run on the GUI thread, and not at all once ``owner`` is gone.

    A failure that nobody takes goes to ``sys.excepthook``, where unexpected errors of slots end as well; a
    cancelled operation calls nobody.
    """

    def __init__(self, fn: Callable[[], T], owner: QObject) -> None:
        self._fn = fn
        self._owner = owner
        self._on_success: Callable[[T], None] = _ignore
        self._on_failure: Callable[[BaseException], None] = _raise_to_hook

    def success(self, callback: Callable[[T], None]) -> Operation[T]:
        self._on_success = callback
        return self

    def failure(self, callback: Callable[[BaseException], None]) -> Operation[T]:
        self._on_failure = callback
        return self

    def run(self, executor: Executor) -> None:
        """Start it; operations of one serial executor run and report in the order of these calls. Thread: GUI.

        An executor that was shut down, as all are while the application closes, cancels it: outcomes that were under
        way still arrive then, and what they ask for next has nobody left to see it.
        """
        try:
            future = executor.submit(self._fn)
        except RuntimeError:
            log.info("Not begun, because its executor was shut down: %r", self._fn)
            return
        self._watch(future)

    def _watch(self, future: Future[T]) -> None:
        postbox = _postbox()
        future.add_done_callback(lambda done: postbox.post.emit(lambda: self._deliver(done)))

    def _deliver(self, future: Future[T]) -> None:
        if not isValid(self._owner):
            return
        try:
            result = future.result()
        except (CancelledError, Cancelled):
            return
        except BaseException as error:  # noqa: BLE001 - this is where any outcome of a background action arrives
            self._on_failure(error)
        else:
            self._on_success(result)


def follow(
    future: Future[T],
    owner: QObject,
    success: Callable[[T], None],
    failure: Callable[[BaseException], None],
) -> None:
    """Report on work that runs elsewhere already, as an Operation does. A cancelled one calls nobody. Thread: GUI."""
    Operation(future.result, owner).success(success).failure(failure)._watch(future)


class _Postbox(QObject):
    """Carries calls from any thread to the GUI thread. It outlives every owner, so posting never fails."""

    post = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.post.connect(self._open, Qt.ConnectionType.QueuedConnection)

    def _open(self, call: Callable[[], None]) -> None:
        call()


@cache
def _postbox() -> _Postbox:
    return _Postbox()


def _ignore(_result: object) -> None:
    pass


def _raise_to_hook(error: BaseException) -> None:
    sys.excepthook(type(error), error, error.__traceback__)
