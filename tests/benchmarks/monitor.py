"""What the monitor page costs: the share of a core that the window's thread takes while it is shown, and while not.

By hand: ``QT_QPA_PLATFORM=offscreen python tests/benchmarks/monitor.py [SECONDS]``. Two GPUs and the machine's memory,
40 conversations, four answers that stream, the cache's and the devices' news at their highest rates. What the events
themselves cost the window is measured with the page hidden, and stands beside it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtWidgets import QApplication

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from app.jobs import IoPool
from app.services import Services
from engine.events import CacheChanged, DevicesRead, ModelLoaded, RequestStarted, TokensEmitted
from engine.plan.types import Device, DeviceKind
from engine.receipt import BufferKind, BufferUse, DeviceMemory, DeviceUse, PlannedShare, Receipt
from engine.reuse import ConversationCache, KvUsage
from engine.types import RequestId
from tests.doubles.engine import FakeEngineClient, make_model_info
from ui.bridge import EngineBridge
from ui.monitor.history import History
from ui.monitor.page import MonitorPage
from ui.monitor.view import MonitorView
from ui.theme import theme

N_CONVERSATIONS, N_ANSWERS = 40, 4
N_CELLS = 131_072
TOKENS_EVERY_MS, CACHE_EVERY_MS, DEVICES_EVERY_MS = 33, 500, 1000
GB = 10**9
GPUS = ("CUDA0", "CUDA1")


class Load:
    """An engine that is as busy as can be, as its events tell it."""

    def __init__(self, engine: FakeEngineClient) -> None:
        self._engine = engine
        self._n = 0
        self._timers = [
            self._every(TOKENS_EVERY_MS, self._write),
            self._every(CACHE_EVERY_MS, self._remember),
            self._every(DEVICES_EVERY_MS, self._read_devices),
        ]
        engine.emit(ModelLoaded(make_model_info(), _receipt()))
        for answer in range(N_ANSWERS):
            engine.emit(RequestStarted(RequestId(f"message-{answer}"), 100, 50))

    def stop(self) -> None:
        for timer in self._timers:
            timer.stop()

    def _every(self, interval_ms: int, action: Callable[[], None]) -> QTimer:
        timer = QTimer(interval=interval_ms)
        timer.timeout.connect(action)
        timer.start()
        return timer

    def _write(self) -> None:
        self._n += 3
        for answer in range(N_ANSWERS):
            self._engine.emit(TokensEmitted(RequestId(f"message-{answer}"), "some more words", self._n))

    def _remember(self) -> None:
        each = N_CELLS // N_CONVERSATIONS // 2 + self._n % 500
        caches = tuple(
            ConversationCache(f"c{n}", each, each, 0, 0, 0, each * 60_000, each * 60_000, 0, n == 3)
            for n in range(N_CONVERSATIONS)
        )
        usage = KvUsage(min(N_CELLS, each * N_CONVERSATIONS), N_CELLS, GB, 2 * GB, GB, 8 * GB, 400)
        self._engine.emit(CacheChanged(caches, usage))

    def _read_devices(self) -> None:
        memory = tuple(DeviceMemory(n, name, 12 * GB, 2 * GB + self._n * 10**5) for n, name in enumerate(GPUS))
        self._engine.emit(DevicesRead(memory, (8 * GB, 8 * GB)))


class NoChats:
    def conversations(self) -> list[object]:
        return []


class Devices:
    def devices(self) -> tuple[Device, ...]:
        gpus = (Device(n, name, "RTX 3060", "CUDA", DeviceKind.GPU, 12 * GB, 11 * GB) for n, name in enumerate(GPUS))
        return (*gpus, Device(2, "CPU", "A processor", "CPU", DeviceKind.CPU, 32 * GB, 24 * GB))


class NoSession:
    model = local_model = None


def _receipt() -> Receipt:
    buffers = tuple(
        BufferUse(name, name, kind, size)
        for name in GPUS
        for kind, size in ((BufferKind.WEIGHTS, 5 * GB), (BufferKind.KV, 2 * GB), (BufferKind.COMPUTE, GB // 2))
    )
    planned = (DeviceUse(name, 12 * GB, 11 * GB, 3 * GB, PlannedShare(name, 5 * GB, 2 * GB, GB // 2)) for name in GPUS)
    return Receipt(buffers, tuple(planned))


class _Parts:
    """As much of Services as the page asks for."""

    def __init__(self, engine: FakeEngineClient) -> None:
        self.engine = engine
        self.chats = NoChats()
        self.session = NoSession()
        self.planner = Devices()


def share(seconds: float) -> float:
    """Of a core, of this process: there are no other threads at work here."""
    start_s, cpu_s = time.perf_counter(), time.process_time()
    loop = QEventLoop()  # and not the application's quit, which closes the window
    QTimer.singleShot(round(seconds * 1000), loop.quit)
    loop.exec()
    return (time.process_time() - cpu_s) / (time.perf_counter() - start_s)


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    app = QApplication([])
    theme.install()
    engine = FakeEngineClient()
    bridge = EngineBridge(engine)
    view, io = MonitorView(), IoPool()
    MonitorPage(view, cast(Services, _Parts(engine)), bridge, History(bridge, view), io.serial("plans"))
    view.resize(1220, 820)
    load = Load(engine)
    share(1.0)
    hidden = share(seconds)
    view.show()
    share(1.0)
    shown = share(seconds)
    if len(sys.argv) > 2:
        view.grab().save(str(Path(sys.argv[2])))
    load.stop()
    quiet = share(seconds)
    sys.stdout.write(
        f"share of a core over {seconds:g} s: shown and busy {shown:.2%}, of that the events alone {hidden:.2%} "
        f"(hidden), the page {shown - hidden:.2%}; shown and idle {quiet:.2%}\n"
    )
    bridge.close()
    io.close()
    app.quit()


if __name__ == "__main__":
    main()
