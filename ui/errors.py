"""The one way from an exception to a sentence on the screen, and the hooks that let none vanish."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from types import TracebackType

from PySide6.QtCore import QMessageLogContext, QObject, Qt, QtMsgType, Signal, qInstallMessageHandler

from engine.errors import Cancelled, ErrorInfo, KnownError

_logger = logging.getLogger(__name__)
_qt_logger = logging.getLogger("qt")

_LEVELS = {
    QtMsgType.QtDebugMsg: logging.DEBUG,
    QtMsgType.QtInfoMsg: logging.INFO,
    QtMsgType.QtWarningMsg: logging.WARNING,
    QtMsgType.QtCriticalMsg: logging.ERROR,
    QtMsgType.QtFatalMsg: logging.CRITICAL,
}


class ErrorReporter(QObject):
    """Whoever shows errors listens to ``reported``. Thread: any; the signal arrives on the GUI thread."""

    reported = Signal(object)
    _present_later = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._present_later.connect(self.reported, Qt.ConnectionType.QueuedConnection)

    def present(self, error: BaseException) -> None:
        """Log an error and have it shown. A cancelled action is neither."""
        if not isinstance(error, Cancelled):
            log(error)
            self._present_later.emit(describe(error))

    def install_hooks(self) -> None:
        """Send what nobody caught, on any thread, here; and Qt's own messages to the log."""
        sys.excepthook = self._on_uncaught
        threading.excepthook = self._on_uncaught_in_thread
        sys.unraisablehook = self._on_unraisable
        qInstallMessageHandler(_log_qt_message)

    def _on_uncaught(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
        else:
            self.present(error)

    def _on_uncaught_in_thread(self, args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            self.present(args.exc_value)

    def _on_unraisable(self, args: sys.UnraisableHookArgs) -> None:
        """Raised where nobody can catch it, such as in ``__del__``: of interest to us, not to the user."""
        _logger.error("Unraisable error in %r: %s", args.object, args.err_msg, exc_info=args.exc_value)


def log(error: BaseException) -> None:
    """With a traceback where it is unexpected."""
    if isinstance(error, KnownError):
        _logger.warning("%s: %s", type(error).__name__, error)
    else:
        _logger.error("Unexpected error", exc_info=error)


def describe(error: BaseException) -> ErrorInfo:
    """An error as a value; an unexpected one brings its traceback as the detail."""
    if isinstance(error, KnownError):
        return ErrorInfo.of(error)
    return ErrorInfo.of(error, "".join(traceback.format_exception(error)))


def _log_qt_message(kind: QtMsgType, context: QMessageLogContext, text: str) -> None:
    _qt_logger.log(_LEVELS.get(kind, logging.WARNING), "%s", text)
