from __future__ import annotations

import logging
import threading

import pytest
from pytestqt.qtbot import QtBot

from ui.widgets.markdown.background import Background


def test_work_is_done_in_order_beside_the_window_and_told_in_it(qtbot: QtBot) -> None:
    background = Background()
    worked: list[str] = []
    told: list[tuple[int, str]] = []

    def work(n: int) -> int:
        worked.append(threading.current_thread().name)
        return n

    for n in range(3):
        background.submit(lambda n=n: work(n), lambda n: told.append((n, threading.current_thread().name)))
    qtbot.waitUntil(lambda: len(told) == 3)

    here = threading.current_thread().name
    assert told == [(0, here), (1, here), (2, here)]
    assert here not in worked


def test_work_that_fails_is_logged_and_the_next_is_done(qtbot: QtBot, caplog: pytest.LogCaptureFixture) -> None:
    background = Background()
    told: list[int] = []
    with caplog.at_level(logging.ERROR):
        background.submit(lambda: 1 // 0, told.append)
        background.submit(lambda: 2, told.append)
        qtbot.waitUntil(lambda: told == [2])

    assert "ZeroDivisionError" in caplog.text


def test_stopping_drops_what_waits(qtbot: QtBot) -> None:
    background = Background()
    started, go_on = threading.Event(), threading.Event()
    told: list[int] = []

    def work() -> int:
        started.set()
        go_on.wait(10)
        return 1

    background.submit(work, told.append)
    background.submit(lambda: 2, told.append)
    started.wait(10)
    threading.Timer(0.01, go_on.set).start()
    background.stop()
    background.submit(lambda: 3, told.append)

    qtbot.waitUntil(lambda: told == [1, 3])


def test_no_thread_stays_when_nothing_is_to_do(qtbot: QtBot) -> None:
    background = Background()
    told: list[int] = []
    background.submit(lambda: 1, told.append)
    qtbot.waitUntil(lambda: told == [1])

    qtbot.waitUntil(lambda: not any(thread.name == "markdown" for thread in threading.enumerate()))
