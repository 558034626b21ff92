"""Starts the window: shown first, filled afterwards, and only once per data folder."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from PySide6.QtCore import QLockFile, QObject, QSocketNotifier, QTimer, Signal
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QApplication

import resources
from app.paths import Paths
from app.settings import SettingsStore
from engine.errors import ErrorInfo
from ui.errors import ErrorReporter, describe, log
from ui.main_window import MainWindow
from ui.theme import theme
from ui.widgets.banner import BannerAction

if TYPE_CHECKING:
    from PySide6.QtNetwork import QLocalServer

    from app.services import Services
    from ui.bridge import ApiBridge, EngineBridge

FIRST_PAINT_VARIABLE = "HEARTH_FIRST_PAINT_REPORT"
"""Names a file that gets the seconds from the process's start to the first paint, and the modules loaded by then."""

_PATIENCE_MS = 5000
_RETRY_MS = 50


def run_gui(services_factory: Callable[[], Services], version: str = "") -> int:
    """Show the window and stay until it is closed; returns the exit code.

    ``services_factory`` is called once the window is painted. A second start on the same data folder brings the
    first one's window forward and returns 0, or 1 where that window does not answer.
    """
    app = QApplication.instance() or QApplication(sys.argv)
    QApplication.setApplicationName("hearth")
    QApplication.setApplicationDisplayName("Hearth")
    QApplication.setDesktopFileName("hearth")
    QApplication.setWindowIcon(QIcon(str(resources.app_icon_file())))
    paths = Paths.from_environment()
    instance = SingleInstance(paths.data)
    if not instance.is_first():
        return 0 if instance.call_first() else 1
    early = SettingsStore(paths.settings_file)
    theme.install(early.current.theme)
    window = MainWindow(early.current, version)
    start = Start(window, services_factory, early.problem)
    instance.called.connect(window.come_forward)
    window.first_painted.connect(report_first_paint)
    window.first_painted.connect(instance.listen)
    window.first_painted.connect(start.run)
    window.show()
    signals = CloseOnSignals()
    try:
        return app.exec()
    finally:
        signals.close()
        start.close()
        instance.close()


class Start(QObject):
    """What happens after the first paint, as often as it takes."""

    def __init__(
        self, window: MainWindow, services_factory: Callable[[], Services], settings_problem: ErrorInfo | None
    ) -> None:
        super().__init__(window)
        self._window = window
        self._services_factory = services_factory
        self._settings_problem = settings_problem
        self._services: Services | None = None
        self._bridge: EngineBridge | None = None
        self._api: ApiBridge | None = None
        self._errors = ErrorReporter()
        self._errors.reported.connect(partial(window.show_error, "unexpected"))

    def run(self) -> None:
        """Build the services. Where that fails, the window says why and offers to try again."""
        from ui.bridge import ApiBridge, EngineBridge

        self._window.clear_error("start")
        try:
            self._services = self._services_factory()
        except Exception as error:  # noqa: BLE001 - the edge: a window that says why is better than none
            log(error)
            self._window.show_error("start", describe(error), BannerAction("Try again", self.run))
            return
        self._errors.install_hooks()
        self._bridge = EngineBridge(self._services.engine)
        self._api = ApiBridge(self._services.api)
        self._window.attach(self._services, self._bridge, self._api)
        self._services.downloads.start()  # what the last run left
        problem = self._settings_problem or self._services.settings.problem
        if problem is not None:
            self._window.show_error("settings", problem)

    def close(self) -> None:
        """The bridges first, so that no event reaches a window that is going."""
        if self._api is not None:
            self._api.close()
        if self._bridge is not None:
            self._bridge.close()
        if self._services is not None:
            self._services.close()


class SingleInstance(QObject):
    """One window per data folder: a lock says who is first, a local socket carries the call of the others."""

    called = Signal()

    def __init__(self, data_folder: Path) -> None:
        super().__init__()
        self._folder = data_folder
        self._name = "hearth-" + hashlib.sha256(str(data_folder).encode()).hexdigest()[:16]
        self._lock = QLockFile(str(data_folder / "window.lock"))
        self._lock.setStaleLockTime(0)  # held for hours by a living process; one of a dead process is stale at once
        self._server: QLocalServer | None = None

    def is_first(self) -> bool:
        """Where no lock can be made, as on a read-only disk, everybody is first."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            return True
        return self._lock.tryLock(0) or self._lock.error() is not QLockFile.LockError.LockFailedError

    def listen(self) -> None:
        """Take calls from now on."""
        from PySide6.QtNetwork import QLocalServer

        self._server = QLocalServer(self)
        self._server.setSocketOptions(QLocalServer.SocketOption.UserAccessOption)
        QLocalServer.removeServer(self._name)  # left by a process that was killed; the lock says that it is gone
        self._server.newConnection.connect(self._on_call)
        self._server.listen(self._name)

    def call_first(self) -> bool:
        """Bring the first window forward. It may be starting still, so this waits some seconds for it."""
        from PySide6.QtCore import QEventLoop
        from PySide6.QtNetwork import QLocalSocket

        loop, caller, retry = QEventLoop(), QLocalSocket(), QTimer(interval=_RETRY_MS, singleShot=True)
        retry.timeout.connect(lambda: caller.connectToServer(self._name))
        caller.connected.connect(lambda: loop.exit(0))
        caller.errorOccurred.connect(lambda _error: retry.start())
        QTimer.singleShot(_PATIENCE_MS, loop, lambda: loop.exit(1))
        retry.start()
        return loop.exec() == 0

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self._lock.unlock()

    def _on_call(self) -> None:
        if self._server is not None:
            while (caller := self._server.nextPendingConnection()) is not None:
                caller.disconnected.connect(caller.deleteLater)
                caller.disconnectFromServer()
        self.called.emit()


class CloseOnSignals(QObject):
    """Ctrl+C in the terminal and the end of the session close the window as its own button does.

    Python handles a signal between two of its own instructions, and Qt's loop may wait for long before the next one;
    the byte that Python writes for each signal wakes the loop.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ours, self._pythons = socket.socketpair()
        self._pythons.setblocking(False)
        self._old_descriptor = signal.set_wakeup_fd(self._pythons.fileno(), warn_on_full_buffer=False)
        self._old = {number: signal.signal(number, _nothing) for number in (signal.SIGINT, signal.SIGTERM)}
        self._notifier = QSocketNotifier(self._ours.fileno(), QSocketNotifier.Type.Read, self)
        self._notifier.activated.connect(self._on_signal)

    def close(self) -> None:
        self._notifier.setEnabled(False)
        for number, handler in self._old.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_descriptor)
        self._ours.close()
        self._pythons.close()

    def _on_signal(self) -> None:
        self._ours.recv(64)
        QApplication.closeAllWindows()


def _nothing(_number: int, _frame: FrameType | None) -> None:
    pass


def report_first_paint() -> None:
    """For the test that watches the start: see FIRST_PAINT_VARIABLE."""
    target = os.environ.get(FIRST_PAINT_VARIABLE)
    if target:
        told = {"seconds": _age_s(), "modules": sorted(sys.modules)}
        Path(target).write_text(json.dumps(told), encoding="utf-8")


def _age_s() -> float:
    """How long this process exists, to a hundredth of a second."""
    status = Path("/proc/self/stat")
    if status.exists():  # psutil adds the time of the boot here, which Linux tells in whole seconds
        n_ticks = int(status.read_text(encoding="ascii").rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - n_ticks / os.sysconf("SC_CLK_TCK")
    import psutil

    return time.time() - psutil.Process().create_time()
