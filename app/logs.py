"""The log: what it holds, where it goes, and what happens to an exception nobody caught.

Message text is never logged, nor anything else that a person typed or a model wrote: only ids, counts and names.
"""

from __future__ import annotations

import faulthandler
import logging
import logging.handlers
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol

_MAX_BYTES = 1_000_000
_N_BACKUPS = 2  # with the current one: three files
_FORMAT = "%(asctime)s %(levelname)-7s %(process)d %(threadName)s %(name)s: %(message)s"

_logger = logging.getLogger(__name__)


class LogFiles(Protocol):
    """What is needed of ``app.paths.Paths``."""

    @property
    def log_file(self) -> Path: ...

    @property
    def crash_file(self) -> Path: ...


class _QuietFileHandler(logging.handlers.RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """A full disk must not fill the terminal too, nor stop anything."""


def setup_logging(paths: LogFiles, *, to_stderr: bool) -> Callable[[], None]:
    """Log to the log file (and to stderr if asked), and catch what nobody else catches. Never raises.

    Tracebacks of a crash inside native code go to the crash file. Returns a function that undoes all of it.
    """
    handlers = _handlers(paths, to_stderr)
    root = logging.getLogger()
    old_level = root.level
    root.setLevel(logging.INFO)
    for handler in handlers:
        handler.setFormatter(logging.Formatter(_FORMAT))
        root.addHandler(handler)
    crash_file = _enable_faulthandler(paths.crash_file)
    remove_hooks = _install_hooks(chain=not to_stderr)

    def undo() -> None:
        remove_hooks()
        if crash_file is not None:
            faulthandler.disable()
            crash_file.close()
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()
        root.setLevel(old_level)

    return undo


def _handlers(paths: LogFiles, to_stderr: bool) -> list[logging.Handler]:
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)] if to_stderr else []
    try:
        handlers.append(
            _QuietFileHandler(paths.log_file, maxBytes=_MAX_BYTES, backupCount=_N_BACKUPS, encoding="utf-8")
        )
    except OSError as error:
        _logger.warning("there is no log file: %s", error)
    return handlers


def _enable_faulthandler(path: Path) -> IO[bytes] | None:
    """faulthandler writes to the descriptor from a signal handler, so the file stays open.

    Where somebody has enabled it already (a debugger, a test runner), it stays theirs.
    """
    if faulthandler.is_enabled():
        return None
    try:
        file = path.open("ab", buffering=0)
    except OSError as error:
        _logger.warning("there is no crash file: %s", error)
        return None
    faulthandler.enable(file)
    return file


def _install_hooks(*, chain: bool) -> Callable[[], None]:
    """Log uncaught exceptions of every thread. ``chain`` calls the former hooks too."""
    old_hook, old_thread_hook = sys.excepthook, threading.excepthook

    def log(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            _logger.critical("uncaught exception", exc_info=(kind, error, traceback))
        if chain or issubclass(kind, KeyboardInterrupt):
            old_hook(kind, error, traceback)

    def log_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            name = args.thread.name if args.thread else "a thread that is gone"
            info = (args.exc_type, args.exc_value, args.exc_traceback)
            _logger.critical("uncaught exception in %s", name, exc_info=info)
        if chain:
            old_thread_hook(args)

    sys.excepthook, threading.excepthook = log, log_thread

    def remove() -> None:
        sys.excepthook, threading.excepthook = old_hook, old_thread_hook

    return remove
