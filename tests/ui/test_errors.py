from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator

import pytest
from PySide6.QtCore import qInstallMessageHandler, qWarning
from pytestqt.qtbot import QtBot

from engine.errors import Cancelled, ErrorInfo, StorageError
from ui.errors import ErrorReporter, describe


@pytest.fixture
def reporter(qapp: object) -> ErrorReporter:
    return ErrorReporter()


@pytest.fixture
def hooked(reporter: ErrorReporter, monkeypatch: pytest.MonkeyPatch) -> Iterator[ErrorReporter]:
    """A reporter with its hooks in place, and the old ones put back afterwards."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    old = qInstallMessageHandler(None)
    reporter.install_hooks()
    yield reporter
    qInstallMessageHandler(old)


def test_a_known_error_is_shown_in_its_own_words(qtbot: QtBot, reporter: ErrorReporter) -> None:
    with qtbot.waitSignal(reporter.reported) as shown:
        reporter.present(StorageError("The disk is full.", "Free some space."))

    assert shown.args == [ErrorInfo("StorageError", "The disk is full.", "Free some space.")]


def test_an_unexpected_error_brings_its_traceback(qtbot: QtBot, reporter: ErrorReporter) -> None:
    try:
        raise ZeroDivisionError("oh")
    except ZeroDivisionError as error:
        info = describe(error)

    assert info.kind == "BugError"
    assert "test_errors.py" in info.detail
    assert "ZeroDivisionError: oh" in info.detail


def test_a_cancelled_action_is_shown_to_nobody(qtbot: QtBot, reporter: ErrorReporter) -> None:
    with qtbot.assertNotEmitted(reporter.reported, wait=20):
        reporter.present(Cancelled())


def test_an_uncaught_exception_is_logged_and_shown(
    qtbot: QtBot, hooked: ErrorReporter, caplog: pytest.LogCaptureFixture
) -> None:
    error = RuntimeError("in a slot")

    with qtbot.waitSignal(hooked.reported) as shown:
        sys.excepthook(RuntimeError, error, None)

    assert shown.args is not None
    assert shown.args[0].kind == "BugError"
    assert any(record.exc_info and record.exc_info[1] is error for record in caplog.records)


def test_an_exception_on_another_thread_is_shown_as_well(qtbot: QtBot, hooked: ErrorReporter) -> None:
    def fail() -> None:
        raise RuntimeError("elsewhere")

    with qtbot.waitSignal(hooked.reported) as shown:
        threading.Thread(target=fail).start()

    assert shown.args is not None
    assert "elsewhere" in shown.args[0].detail


def test_what_qt_says_goes_to_the_log(hooked: ErrorReporter, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="qt"):
        qWarning("a widget is unhappy")

    assert [(record.name, record.getMessage()) for record in caplog.records] == [("qt", "a widget is unhappy")]
