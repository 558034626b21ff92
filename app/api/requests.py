"""Requests that are under way: events of the engine's thread, handed to the tasks of the API's event loop."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from app.api.errors import busy, from_engine
from app.api.tracked import STOPPED, Tracked, current
from app.api.traffic import LivePhase
from engine.client import EngineClient
from engine.errors import ErrorInfo
from engine.events import (
    CacheChanged,
    Embedded,
    EngineFailed,
    Event,
    LoadFailed,
    ModelLoaded,
    ModelLoading,
    ModelUnloaded,
    PromptCounted,
    RequestFailed,
    RequestFinished,
    RequestStarted,
    TokensEmitted,
)
from engine.reuse import KvUsage
from engine.types import EmbeddingRequest, GenerationRequest, ModelInfo, RequestId

_log = logging.getLogger(__name__)

MAX_REQUESTS = 256
MAX_WAITING_EVENTS = 2048
"""How many tokens a client may be behind before it counts as gone."""

Heard: TypeAlias = TokensEmitted | RequestFinished | RequestFailed
Single: TypeAlias = Embedded | PromptCounted | RequestFailed
_Arrived: TypeAlias = RequestStarted | TokensEmitted | RequestFinished | Single


@dataclass(frozen=True, slots=True)
class ModelState:
    """What is loaded. Neither ``info`` nor ``error``: it loads, or nothing was asked for yet."""

    info: ModelInfo | None = None
    error: ErrorInfo | None = None


class Feed:
    """The events of one request, in order. Thread: the event loop's."""

    def __init__(self, request_id: RequestId, overrun: asyncio.Future[None], tracked: Tracked | None) -> None:
        """``overrun`` is completed when the reader fell too far behind; it gets no more events then.

        ``tracked`` is the HTTP request for which all this is.
        """
        self.request_id = request_id
        self.is_ended = False
        """Whether the engine has said its last word about the request."""

        self.started: RequestStarted | None = None
        """How long the prompt is, once that is known; always before the first token."""

        self._overrun = overrun
        self._tracked = tracked
        self._waiting: deque[Heard] = deque()
        self._more = asyncio.Event()

    def start(self, event: RequestStarted) -> None:
        self.started = event
        if self._tracked is not None:
            self._tracked.heard(event)

    def put(self, event: Heard) -> None:
        if self.is_ended:
            return
        if self._tracked is not None:
            self._tracked.heard(event)
        if isinstance(event, RequestFinished | RequestFailed):
            self.is_ended = True
        elif len(self._waiting) >= MAX_WAITING_EVENTS:
            if not self._overrun.done():
                self._overrun.set_result(None)
            return
        self._waiting.append(event)
        self._more.set()

    async def take(self) -> list[Heard]:
        """Everything that has come since the last call, at least one event. The last one ends the request."""
        await self._more.wait()
        self._more.clear()
        events = list(self._waiting)
        self._waiting.clear()
        return events


class Requests:
    """Submits requests and hands each one's events to its feed.

    The engine's thread only appends to a list and wakes the loop, once for however many events come together.
    """

    def __init__(self, engine: EngineClient, model: ModelState | None = None) -> None:
        """Thread: the event loop's, which must be running. End it with :meth:`close`.

        ``model`` is what the engine has loaded already.
        """
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._feeds: dict[RequestId, Feed] = {}
        self._singles: dict[RequestId, asyncio.Future[Single]] = {}
        self._arrived: deque[_Arrived] = deque()
        self._is_woken = False
        self._is_closed = False
        self._model = model or ModelState()
        self._kv: KvUsage | None = None
        self._unsubscribe = engine.subscribe(self._hear)

    @property
    def model(self) -> ModelState:
        return self._model

    @property
    def kv(self) -> KvUsage | None:
        """What the loaded model's KV cache takes, once that is known. None when there is none, or nobody listens."""
        return self._kv

    @contextmanager
    def opened(self, request: GenerationRequest, overrun: asyncio.Future[None]) -> Iterator[Feed]:
        """Submit a request. If the engine is not done with it at the end, it is cancelled.

        ``overrun`` is the exchange's. Raises ApiError where there are too many.
        """
        self._check_room()
        tracked = current()
        feed = Feed(request.id, overrun, tracked)
        if tracked is not None:
            tracked.opened(request.id, lambda: self._fail(feed, STOPPED))
        self._feeds[request.id] = feed
        self._engine.submit(request)
        try:
            yield feed
        finally:
            del self._feeds[request.id]
            if not feed.is_ended:
                self._engine.cancel(request.id)

    async def embedded(self, request: EmbeddingRequest) -> Embedded:
        """The vectors. Raises ApiError."""
        event = await self._single(request.id, lambda: self._engine.embed(request))
        assert isinstance(event, Embedded)
        return event

    async def counted(self, request: GenerationRequest) -> PromptCounted:
        """How long the request's prompt is. Raises ApiError."""
        event = await self._single(request.id, lambda: self._engine.count(request))
        assert isinstance(event, PromptCounted)
        return event

    async def _single(self, request_id: RequestId, ask: Callable[[], None]) -> Embedded | PromptCounted:
        self._check_room()
        answer: asyncio.Future[Single] = self._loop.create_future()
        tracked = current()
        if tracked is not None:
            tracked.opened(request_id, lambda: self._fail_single(request_id, answer, STOPPED), LivePhase.PREFILL)
        self._singles[request_id] = answer
        try:
            ask()
            event = await answer
        finally:
            del self._singles[request_id]
            if not answer.done() or answer.cancelled():
                self._engine.cancel(request_id)
        if tracked is not None and not isinstance(event, PromptCounted):
            tracked.heard(event)
        if isinstance(event, RequestFailed):
            raise from_engine(event.error)
        return event

    def _check_room(self) -> None:
        if self._is_closed:
            raise from_engine(_CLOSING)
        if len(self._feeds) + len(self._singles) >= MAX_REQUESTS:
            raise busy("There are too many requests. Try again later.")

    def close(self) -> None:
        """Listen no longer; every request that is under way ends with an error."""
        if self._is_closed:
            return
        self._is_closed = True
        self._unsubscribe()
        self._kv = None
        for feed in self._feeds.values():
            self._fail(feed, _CLOSING)
        for request_id, answer in self._singles.items():
            self._fail_single(request_id, answer, _CLOSING)

    def _fail(self, feed: Feed, error: ErrorInfo) -> None:
        if not feed.is_ended:
            self._engine.cancel(feed.request_id)
            feed.put(RequestFailed(feed.request_id, error))

    def _fail_single(self, request_id: RequestId, answer: asyncio.Future[Single], error: ErrorInfo) -> None:
        if not answer.done():
            self._engine.cancel(request_id)
            answer.set_result(RequestFailed(request_id, error))

    def _hear(self, event: Event) -> None:
        """Thread: the engine client's."""
        if isinstance(event, _Arrived):
            if event.request_id not in self._feeds and event.request_id not in self._singles:
                return
            self._arrived.append(event)
            if not self._is_woken:  # set again by _deliver before it empties the queue, so nothing is left lying
                self._is_woken = True
                self._wake()
        elif isinstance(event, CacheChanged):
            self._kv = event.usage
        else:
            self._model, former = _after(event, self._model), self._model
            if self._model is not former:
                self._kv = None

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:
            _log.info("an event came after the server's loop was closed")

    def _deliver(self) -> None:
        self._is_woken = False
        while self._arrived:
            self._hand_over(self._arrived.popleft())

    def _hand_over(self, event: _Arrived) -> None:
        feed, answer = self._feeds.get(event.request_id), self._singles.get(event.request_id)
        if answer is not None and isinstance(event, Single):
            if not answer.done():
                answer.set_result(event)
        elif feed is None:
            return
        elif isinstance(event, RequestStarted):
            feed.start(event)
        elif isinstance(event, Heard):
            feed.put(event)


_CLOSING = ErrorInfo("EngineBusy", "The server is being turned off.")


def _after(event: Event, state: ModelState) -> ModelState:
    match event:
        case ModelLoaded(info):
            return ModelState(info=info)
        case LoadFailed(error=error) | EngineFailed(error=error, restarting=False):
            return ModelState(error=error)
        case ModelLoading() | ModelUnloaded() | EngineFailed():
            return ModelState()
    return state
