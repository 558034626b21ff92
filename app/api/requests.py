"""Requests that are under way: events of the engine's thread, handed to the tasks of the API's event loop."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from app.api.errors import busy, from_engine
from engine.client import EngineClient
from engine.errors import ErrorInfo
from engine.events import (
    EngineFailed,
    Event,
    LoadFailed,
    ModelLoaded,
    ModelLoading,
    ModelUnloaded,
    RequestFailed,
    RequestFinished,
    TokensEmitted,
)
from engine.types import GenerationRequest, ModelInfo, RequestId

_log = logging.getLogger(__name__)

MAX_REQUESTS = 256
MAX_WAITING_EVENTS = 2048
"""How many tokens a client may be behind before it counts as gone."""

Heard: TypeAlias = TokensEmitted | RequestFinished | RequestFailed


@dataclass(frozen=True, slots=True)
class ModelState:
    """What is loaded. Neither ``info`` nor ``error``: it loads, or nothing was asked for yet."""

    info: ModelInfo | None = None
    error: ErrorInfo | None = None


class Feed:
    """The events of one request, in order. Thread: the event loop's."""

    def __init__(self, request_id: RequestId) -> None:
        self.request_id = request_id
        self.is_ended = False
        """Whether the engine has said its last word about the request."""

        self.overrun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the reader fell too far behind; it gets no more events then."""

        self._waiting: deque[Heard] = deque()
        self._more = asyncio.Event()

    def put(self, event: Heard) -> None:
        if self.is_ended:
            return
        if isinstance(event, RequestFinished | RequestFailed):
            self.is_ended = True
        elif len(self._waiting) >= MAX_WAITING_EVENTS:
            if not self.overrun.done():
                self.overrun.set_result(None)
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

    def __init__(self, engine: EngineClient) -> None:
        """Thread: the event loop's, which must be running. End it with :meth:`close`."""
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._feeds: dict[RequestId, Feed] = {}
        self._arrived: deque[Heard] = deque()
        self._is_woken = False
        self._is_closed = False
        self._model = ModelState()
        self._unsubscribe = engine.subscribe(self._hear)

    @property
    def model(self) -> ModelState:
        return self._model

    @contextmanager
    def opened(self, request: GenerationRequest) -> Iterator[Feed]:
        """Submit a request. If the engine is not done with it at the end, it is cancelled.

        Raises ApiError where there are too many.
        """
        if self._is_closed:
            raise from_engine(_CLOSING)
        if len(self._feeds) >= MAX_REQUESTS:
            raise busy("There are too many requests. Try again later.")
        feed = Feed(request.id)
        self._feeds[request.id] = feed
        self._engine.submit(request)
        try:
            yield feed
        finally:
            del self._feeds[request.id]
            if not feed.is_ended:
                self._engine.cancel(request.id)

    def close(self) -> None:
        """Listen no longer; every request that is under way ends with an error."""
        if self._is_closed:
            return
        self._is_closed = True
        self._unsubscribe()
        for feed in self._feeds.values():
            if not feed.is_ended:
                self._engine.cancel(feed.request_id)
                feed.put(RequestFailed(feed.request_id, _CLOSING))

    def _hear(self, event: Event) -> None:
        """Thread: the engine client's."""
        if isinstance(event, TokensEmitted | RequestFinished | RequestFailed):
            if event.request_id not in self._feeds:
                return
            self._arrived.append(event)
            if not self._is_woken:  # set again by _deliver before it empties the queue, so nothing is left lying
                self._is_woken = True
                self._wake()
        else:
            self._model = _after(event, self._model)

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:
            _log.info("an event came after the server's loop was closed")

    def _deliver(self) -> None:
        self._is_woken = False
        while self._arrived:
            event = self._arrived.popleft()
            feed = self._feeds.get(event.request_id)
            if feed is not None:
                feed.put(event)


_CLOSING = ErrorInfo("EngineBusy", "Hearth is being closed.")


def _after(event: Event, state: ModelState) -> ModelState:
    match event:
        case ModelLoaded(info):
            return ModelState(info=info)
        case LoadFailed(error=error) | EngineFailed(error=error, restarting=False):
            return ModelState(error=error)
        case ModelLoading() | ModelUnloaded() | EngineFailed():
            return ModelState()
    return state
