"""Engine events for widgets: on the GUI thread, typed, and with the tokens of a frame joined.

The only subscriber to the engine in the window. Everything else connects to its signals.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import singledispatchmethod
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt, QTimer, Signal

from engine import events
from engine.types import RequestId

if TYPE_CHECKING:
    from engine.client import EngineClient

FLUSH_INTERVAL_MS = 33
"""About 30 frames a second: faster than reading, slower than the layout of a paragraph."""

_N_ENDED_KEPT = 256


class EngineBridge(QObject):
    """Signals carry what the events carry, in the order of the events.

    ``text_arrived`` is the exception: text of one request that arrives within one frame comes as one signal, and
    never after that request's end. Close the bridge before the engine's client.
    """

    model_loading = Signal(str, float)  # path, progress from 0 to 1
    model_loaded = Signal(object)  # ModelInfo
    load_failed = Signal(str, object)  # path, ErrorInfo
    model_unloaded = Signal(str)  # path
    engine_failed = Signal(str, object, bool)  # path, ErrorInfo, whether it restarts by itself
    request_started = Signal(object)  # RequestStarted
    prefill_progressed = Signal(str, int, int)  # request, n_done, n_prompt
    text_arrived = Signal(str, str)  # request, text
    request_finished = Signal(object)  # RequestFinished
    request_failed = Signal(str, object)  # request, ErrorInfo
    prompt_measured = Signal(object)  # PromptMeasured
    cache_changed = Signal(object)  # CacheChanged, or None where no model is loaded that could remember anything

    _event_queued = Signal()

    def __init__(self, engine: EngineClient, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._queue: deque[events.Event] = deque()
        self._shown: dict[RequestId, str] = {}
        self._pending: dict[RequestId, str] = {}
        self._cache: events.CacheChanged | None = None
        self._ended: deque[RequestId] = deque(maxlen=_N_ENDED_KEPT)
        self._flush_timer = QTimer(self, singleShot=True, interval=FLUSH_INTERVAL_MS)
        self._flush_timer.timeout.connect(self._flush_all)
        self._event_queued.connect(self._drain, Qt.ConnectionType.QueuedConnection)
        self._unsubscribe: Callable[[], None] = engine.subscribe(self._on_event)

    def live_text(self, request_id: RequestId) -> str:
        """The text of a running request as far as ``text_arrived`` has told it; later signals continue it."""
        return self._shown.get(request_id, "")

    def is_live(self, request_id: RequestId) -> bool:
        """Whether the request has started and not ended, as far as signals have told it."""
        return request_id in self._shown

    def has_ended(self, request_id: RequestId) -> bool:
        """Whether the end of this request, one of the last few hundred, has been told."""
        return request_id in self._ended

    @property
    def cache(self) -> events.CacheChanged | None:
        """What ``cache_changed`` told last."""
        return self._cache

    def close(self) -> None:
        """Tell nothing more. A second time does nothing."""
        unsubscribe, self._unsubscribe = self._unsubscribe, _nothing
        unsubscribe()
        self._queue.clear()
        self._flush_timer.stop()

    def _on_event(self, event: events.Event) -> None:
        """Thread: the client's."""
        self._queue.append(event)
        self._event_queued.emit()

    def _drain(self) -> None:
        while self._queue:
            self._apply(self._queue.popleft())

    @singledispatchmethod
    def _apply(self, event: events.Event) -> None:
        """Heartbeats and whatever else no widget shows."""

    @_apply.register
    def _(self, event: events.TokensEmitted) -> None:
        self._shown.setdefault(event.request_id, "")
        self._pending[event.request_id] = self._pending.get(event.request_id, "") + event.text
        if not self._flush_timer.isActive():
            self._flush_timer.start()

    @_apply.register
    def _(self, event: events.RequestStarted) -> None:
        self._shown.setdefault(event.request_id, "")
        self.request_started.emit(event)

    @_apply.register
    def _(self, event: events.PrefillProgressed) -> None:
        self.prefill_progressed.emit(event.request_id, event.n_done, event.n_prompt)

    @_apply.register
    def _(self, event: events.RequestFinished) -> None:
        self._end(event.request_id)
        self.request_finished.emit(event)

    @_apply.register
    def _(self, event: events.RequestFailed) -> None:
        self._end(event.request_id)
        self.request_failed.emit(event.request_id, event.error)

    @_apply.register
    def _(self, event: events.PromptMeasured) -> None:
        self.prompt_measured.emit(event)

    @_apply.register
    def _(self, event: events.CacheChanged) -> None:
        self._set_cache(event)

    @_apply.register
    def _(self, event: events.ModelLoading) -> None:
        self._set_cache(None)
        self.model_loading.emit(event.path, event.progress)

    @_apply.register
    def _(self, event: events.ModelLoaded) -> None:
        self.model_loaded.emit(event.info)

    @_apply.register
    def _(self, event: events.LoadFailed) -> None:
        self.load_failed.emit(event.path, event.error)

    @_apply.register
    def _(self, event: events.ModelUnloaded) -> None:
        self._set_cache(None)
        self.model_unloaded.emit(event.path)

    @_apply.register
    def _(self, event: events.EngineFailed) -> None:
        self._set_cache(None)
        self.engine_failed.emit(event.path, event.error, event.restarting)

    def _set_cache(self, cache: events.CacheChanged | None) -> None:
        if cache != self._cache:
            self._cache = cache
            self.cache_changed.emit(cache)

    def _flush_all(self) -> None:
        for request_id in list(self._pending):
            self._flush(request_id)

    def _flush(self, request_id: RequestId) -> None:
        text = self._pending.pop(request_id, "")
        if text:
            self._shown[request_id] += text
            self.text_arrived.emit(request_id, text)

    def _end(self, request_id: RequestId) -> None:
        self._flush(request_id)
        self._shown.pop(request_id, None)
        self._ended.append(request_id)


def _nothing() -> None:
    pass
