"""One engine in front of two: models of this machine go to its worker, models of servers go there."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from app.remote.errors import MODEL_REPLACED
from app.remote.types import is_remote
from engine.client import EngineClient, EventSink
from engine.config import LoadSpec
from engine.errors import NoModel
from engine.events import (
    Embedded,
    Event,
    ModelUnloaded,
    PrefillProgressed,
    PromptCounted,
    RequestFailed,
    RequestFinished,
    RequestStarted,
    TokensEmitted,
)
from engine.types import ChatMessage, EmbeddingRequest, GenerationRequest, Overflow, RequestId

log = logging.getLogger(__name__)

_OF_REQUESTS = (
    RequestStarted | PrefillProgressed | TokensEmitted | RequestFinished | RequestFailed | Embedded | PromptCounted
)


@dataclass(eq=False, slots=True)
class _Side:
    """``unloads`` are those that it has still to tell of; True where nobody but the switch asked for it."""

    client: EngineClient
    has_model: bool = False
    unloads: deque[bool] = field(default_factory=deque)


class RoutedClient:
    """Implements ``EngineClient``; only one side has a model at a time.

    Choosing a model of the other side gives this side's memory back first. Events of a model come from its side
    alone; what is still to be said of requests is passed on from both. Sinks are called by one thread at a time.
    """

    def __init__(self, local: EngineClient, remote: EngineClient) -> None:
        """Owns both, and closes them."""
        self._local, self._remote = _Side(local), _Side(remote)
        self._active = self._local
        self._lock = threading.RLock()
        self._sinks: tuple[EventSink, ...] = ()
        for side in (self._local, self._remote):
            side.client.subscribe(self._listener(side))

    @property
    def is_remote(self) -> bool:
        """Whether the model that is chosen is a server's."""
        return self._active is self._remote

    def load(self, spec: LoadSpec) -> None:
        with self._lock:
            chosen = self._remote if is_remote(spec.path) else self._local
            if chosen is not self._active:
                self._unload(self._active, by_switch=True)
            self._active = chosen
            chosen.has_model = True
            chosen.client.load(spec)

    def unload(self) -> None:
        with self._lock:
            self._unload(self._active, by_switch=False)

    def submit(self, request: GenerationRequest) -> None:
        with self._lock:
            self._active.client.submit(request)

    def embed(self, request: EmbeddingRequest) -> None:
        with self._lock:
            self._active.client.embed(request)

    def count(self, request: GenerationRequest) -> None:
        with self._lock:
            self._active.client.count(request)

    def cancel(self, request_id: RequestId) -> None:
        """Whichever side has it; the other one does not know it and does nothing."""
        self._local.client.cancel(request_id)
        self._remote.client.cancel(request_id)

    def read_ahead(
        self, conversation: str | None, messages: tuple[ChatMessage, ...], overflow: Overflow = Overflow.STOP
    ) -> None:
        self._active.client.read_ahead(conversation, messages, overflow)

    def pin(self, conversation: str, is_pinned: bool) -> None:
        """Counts for the models of this machine, now or when one is loaded again."""
        self._local.client.pin(conversation, is_pinned)

    def drop(self, conversation: str) -> None:
        self._local.client.drop(conversation)

    def set_cache_budgets(self, ram_bytes: int, disk_bytes: int) -> None:
        self._local.client.set_cache_budgets(ram_bytes, disk_bytes)

    def subscribe(self, sink: EventSink) -> Callable[[], None]:
        def unsubscribe() -> None:
            with self._lock:
                self._sinks = tuple(known for known in self._sinks if known is not sink)

        with self._lock:
            self._sinks = (*self._sinks, sink)
        return unsubscribe

    def close(self) -> None:
        self._remote.client.close()
        self._local.client.close()

    def _unload(self, side: _Side, *, by_switch: bool) -> None:
        if side.has_model:
            side.has_model = False
            side.unloads.append(by_switch)
        elif by_switch:
            return
        side.client.unload()

    def _listener(self, side: _Side) -> EventSink:
        return lambda event: self._hear(side, event)

    def _hear(self, side: _Side, event: Event) -> None:
        """Thread: the side's own. The other one waits meanwhile, so that every sink gets one event after the other."""
        with self._lock:
            is_by_switch = bool(side.unloads) and side.unloads[0]
            if isinstance(event, ModelUnloaded):
                if side.unloads:
                    side.unloads.popleft()
                if is_by_switch:
                    return
            if is_by_switch and isinstance(event, RequestFailed) and event.error.kind == NoModel.__name__:
                event = RequestFailed(event.request_id, MODEL_REPLACED)
            if side is self._active or isinstance(event, _OF_REQUESTS):
                self._tell(event)

    def _tell(self, event: Event) -> None:
        for sink in self._sinks:
            try:
                sink(event)
            except Exception:
                log.exception("a subscriber failed on %s", type(event).__name__)
