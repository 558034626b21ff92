"""Engine events for widgets: on the GUI thread, typed, and with the tokens of a frame joined; and the API's state.

The only subscribers in the window. Everything else connects to their signals.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatchmethod
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt, QTimer, Signal

from engine import events
from engine.receipt import Receipt
from engine.types import ModelInfo, RequestId

if TYPE_CHECKING:
    from app.api.service import ApiService, ApiState
    from engine.client import EngineClient

FLUSH_INTERVAL_MS = 33
"""About 30 frames a second: faster than reading, slower than the layout of a paragraph."""

_N_ENDED_KEPT = 256


@dataclass(frozen=True, slots=True)
class LiveText:
    """What a model wrote, and what it thought before."""

    text: str = ""
    reasoning: str = ""

    def __add__(self, more: LiveText) -> LiveText:
        return LiveText(self.text + more.text, self.reasoning + more.reasoning)


class EngineBridge(QObject):
    """Signals carry what the events carry, in the order of the events.

    ``text_arrived`` and ``reasoning_arrived`` are the exception: text of one request that arrives within one frame
    comes as one signal, and never after that request's end. Close the bridge before the engine's client.
    """

    model_loading = Signal(str, float)  # path, progress from 0 to 1
    model_loaded = Signal(object)  # ModelInfo
    load_failed = Signal(str, object)  # path, ErrorInfo
    model_unloaded = Signal(str)  # path
    engine_failed = Signal(str, object, bool)  # path, ErrorInfo, whether it restarts by itself
    request_started = Signal(object)  # RequestStarted
    prefill_progressed = Signal(str, int, int)  # request, n_done, n_prompt
    text_arrived = Signal(str, str)  # request, text
    reasoning_arrived = Signal(str, str)  # request, what the model thinks
    request_finished = Signal(object)  # RequestFinished
    request_failed = Signal(str, object)  # request, ErrorInfo
    prompt_measured = Signal(object)  # PromptMeasured
    tokens_counted = Signal(str, int)  # request, output tokens so far
    cache_changed = Signal(object)  # CacheChanged, or None where no model is loaded that could remember anything
    plan_reduced = Signal(str, str)  # path, what changed
    devices_read = Signal(object)  # DevicesRead

    _event_queued = Signal()

    def __init__(self, engine: EngineClient, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._queue: deque[events.Event] = deque()
        self._shown: dict[RequestId, LiveText] = {}
        self._pending: dict[RequestId, LiveText] = {}
        self._model: ModelInfo | None = None
        self._receipt: Receipt | None = None
        self._cache: events.CacheChanged | None = None
        self._devices: events.DevicesRead | None = None
        self._ended: deque[RequestId] = deque(maxlen=_N_ENDED_KEPT)
        self._flush_timer = QTimer(self, singleShot=True, interval=FLUSH_INTERVAL_MS)
        self._flush_timer.timeout.connect(self._flush_all)
        self._event_queued.connect(self._drain, Qt.ConnectionType.QueuedConnection)
        self._unsubscribe: Callable[[], None] = engine.subscribe(self._on_event)

    def live_text(self, request_id: RequestId) -> LiveText:
        """The text of a running request as far as signals have told it; later ones continue it."""
        return self._shown.get(request_id, LiveText())

    def is_live(self, request_id: RequestId) -> bool:
        """Whether the request has started and not ended, as far as signals have told it."""
        return request_id in self._shown

    def has_ended(self, request_id: RequestId) -> bool:
        """Whether the end of this request, one of the last few hundred, has been told."""
        return request_id in self._ended

    @property
    def model(self) -> ModelInfo | None:
        """What is loaded, as far as signals have told it."""
        return self._model

    @property
    def receipt(self) -> Receipt | None:
        """What the loaded model takes; None while none is loaded, and for a server's."""
        return self._receipt

    @property
    def cache(self) -> events.CacheChanged | None:
        """What ``cache_changed`` told last."""
        return self._cache

    @property
    def devices(self) -> events.DevicesRead | None:
        """What ``devices_read`` told last of the model that is loaded."""
        return self._devices

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
        self._shown.setdefault(event.request_id, LiveText())
        self.tokens_counted.emit(event.request_id, event.n_tokens)
        arrived = LiveText(event.text, event.reasoning)
        self._pending[event.request_id] = self._pending.get(event.request_id, LiveText()) + arrived
        if not self._flush_timer.isActive():
            self._flush_timer.start()

    @_apply.register
    def _(self, event: events.RequestStarted) -> None:
        self._shown.setdefault(event.request_id, LiveText())
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
    def _(self, event: events.DevicesRead) -> None:
        self._devices = event
        self.devices_read.emit(event)

    @_apply.register
    def _(self, event: events.PlanReduced) -> None:
        self.plan_reduced.emit(event.path, event.sentence)

    @_apply.register
    def _(self, event: events.ModelLoading) -> None:
        self._forget_model()
        self.model_loading.emit(event.path, event.progress)

    @_apply.register
    def _(self, event: events.ModelLoaded) -> None:
        self._model, self._receipt = event.info, event.receipt
        self.model_loaded.emit(event.info)

    @_apply.register
    def _(self, event: events.LoadFailed) -> None:
        self._forget_model()
        self.load_failed.emit(event.path, event.error)

    @_apply.register
    def _(self, event: events.ModelUnloaded) -> None:
        self._forget_model()
        self.model_unloaded.emit(event.path)

    @_apply.register
    def _(self, event: events.EngineFailed) -> None:
        self._forget_model()
        self.engine_failed.emit(event.path, event.error, event.restarting)

    def _forget_model(self) -> None:
        self._model = self._receipt = self._devices = None
        self._set_cache(None)

    def _set_cache(self, cache: events.CacheChanged | None) -> None:
        if cache != self._cache:
            self._cache = cache
            self.cache_changed.emit(cache)

    def _flush_all(self) -> None:
        for request_id in list(self._pending):
            self._flush(request_id)

    def _flush(self, request_id: RequestId) -> None:
        arrived = self._pending.pop(request_id, LiveText())
        if arrived == LiveText():
            return
        self._shown[request_id] += arrived
        if arrived.reasoning:
            self.reasoning_arrived.emit(request_id, arrived.reasoning)
        if arrived.text:
            self.text_arrived.emit(request_id, arrived.text)

    def _end(self, request_id: RequestId) -> None:
        self._flush(request_id)
        self._shown.pop(request_id, None)
        self._ended.append(request_id)


class ApiBridge(QObject):
    """What the local API is doing, on the GUI thread. Close it before the service."""

    state_changed = Signal(object)  # ApiState

    _told = Signal(object)

    def __init__(self, service: ApiService, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.service = service
        self._told.connect(self._apply, Qt.ConnectionType.QueuedConnection)
        self._unsubscribe: Callable[[], None] = service.subscribe(self._told.emit)
        self._state = service.state

    @property
    def state(self) -> ApiState:
        """What ``state_changed`` told last."""
        return self._state

    def close(self) -> None:
        """Tell nothing more. A second time does nothing."""
        unsubscribe, self._unsubscribe = self._unsubscribe, _nothing
        unsubscribe()

    def _apply(self, state: ApiState) -> None:
        if state != self._state:
            self._state = state
            self.state_changed.emit(state)


def _nothing() -> None:
    pass
