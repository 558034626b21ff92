from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QObject
from pytestqt.qtbot import QtBot

from app.jobs import IoPool
from engine.errors import Cancelled, StorageError
from ui.tasks import Operation


@pytest.fixture
def pool() -> Iterator[IoPool]:
    made = IoPool()
    yield made
    made.close()


def test_work_runs_elsewhere_and_its_result_arrives_on_the_gui_thread(qtbot: QtBot, pool: IoPool) -> None:
    seen: list[tuple[threading.Thread, threading.Thread]] = []

    owner = QObject()
    Operation(threading.current_thread, owner).success(
        lambda worker: seen.append((worker, threading.current_thread()))
    ).run(pool.serial("test"))

    qtbot.waitUntil(lambda: bool(seen))
    worker, receiver = seen[0]
    assert worker is not threading.main_thread()
    assert receiver is threading.main_thread()


def test_results_of_one_queue_arrive_in_order(qtbot: QtBot, pool: IoPool) -> None:
    owner, seen = QObject(), []

    for n in range(20):
        Operation(lambda n=n: n, owner).success(seen.append).run(pool.serial("test"))

    qtbot.waitUntil(lambda: len(seen) == 20)
    assert seen == list(range(20))


def test_a_failure_is_given_to_who_takes_it(qtbot: QtBot, pool: IoPool) -> None:
    owner, errors = QObject(), []

    Operation(lambda: 1 / 0, owner).failure(errors.append).run(pool.serial("test"))

    qtbot.waitUntil(lambda: bool(errors))
    assert isinstance(errors[0], ZeroDivisionError)


def test_a_failure_that_nobody_takes_reaches_the_hook(
    qtbot: QtBot, pool: IoPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, hooked = QObject(), []
    monkeypatch.setattr(sys, "excepthook", lambda _kind, error, _trace: hooked.append(error))

    def refuse() -> None:
        raise StorageError("The disk is full.")

    Operation(refuse, owner).run(pool.serial("test"))

    qtbot.waitUntil(lambda: bool(hooked))
    assert isinstance(hooked[0], StorageError)


def test_a_cancelled_operation_calls_nobody(qtbot: QtBot, pool: IoPool) -> None:
    owner, called = QObject(), []

    def cancelled() -> None:
        raise Cancelled

    queue = pool.serial("test")
    Operation(cancelled, owner).success(called.append).failure(called.append).run(queue)
    Operation(lambda: "next", owner).success(called.append).run(queue)

    qtbot.waitUntil(lambda: bool(called))
    assert called == ["next"]


def test_nothing_arrives_once_the_owner_is_gone(qtbot: QtBot, pool: IoPool) -> None:
    gone, other, called = QObject(), QObject(), []
    release = threading.Event()

    queue = pool.serial("test")
    Operation(release.wait, gone).success(called.append).run(queue)
    Operation(lambda: "other", other).success(called.append).run(queue)
    gone.deleteLater()
    QCoreApplication.sendPostedEvents(gone, QEvent.Type.DeferredDelete)
    release.set()

    qtbot.waitUntil(lambda: bool(called))
    assert called == ["other"]


def test_what_an_outcome_asks_for_after_the_executors_are_shut_down_is_cancelled(qtbot: QtBot, pool: IoPool) -> None:
    owner, seen = QObject(), []
    queue = pool.serial("test")

    def goes_on(result: int) -> None:
        seen.append(result)
        Operation(lambda: 2, owner).success(seen.append).failure(seen.append).run(queue)

    Operation(lambda: 1, owner).success(goes_on).run(queue)
    pool.close()  # its outcome is on the way to this thread

    qtbot.waitUntil(lambda: bool(seen))
    QCoreApplication.processEvents()
    assert seen == [1]
