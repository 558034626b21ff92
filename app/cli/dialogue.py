"""A conversation held from one thread: it asks the engine, and waits for each answer while the text streams out."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from queue import SimpleQueue
from typing import Protocol

from engine.client import EngineClient
from engine.config import LoadSpec
from engine.errors import ErrorInfo, KnownError
from engine.events import (
    EngineFailed,
    Event,
    LoadFailed,
    ModelLoaded,
    ModelLoading,
    RequestFailed,
    RequestFinished,
    TokensEmitted,
)
from engine.types import ChatMessage, GenerationRequest, RequestId, Role, SamplingParams


class EngineError(KnownError):
    """What the engine said about a load or a request, to be shown as it is."""

    def __init__(self, info: ErrorInfo) -> None:
        super().__init__(info.text, info.hint)


class Watcher(Protocol):
    """Sees what happens while a dialogue waits."""

    def loading(self, progress: float) -> None:
        """``progress`` is between 0 and 1."""

    def loaded(self) -> None: ...

    def text(self, text: str) -> None: ...


class _Signal(Enum):
    INTERRUPT = auto()


@dataclass
class Dialogue:
    """The messages so far and the engine that continues them. Thread: the main one, for Ctrl+C."""

    engine: EngineClient
    spec: LoadSpec
    sampling: SamplingParams
    watcher: Watcher
    messages: list[ChatMessage] = field(default_factory=list)
    _events: SimpleQueue[Event | _Signal] = field(default_factory=SimpleQueue)
    _n_requests: int = 0
    _is_loaded: bool = False

    @contextmanager
    def opened(self) -> Iterator[Dialogue]:
        """Listen to the engine, and load the model. Raises EngineError where that fails."""
        unsubscribe = self.engine.subscribe(self._events.put)
        try:
            self._load()
            yield self
        finally:
            unsubscribe()

    def ask(self, question: str) -> RequestFinished:
        """Returns when the answer is complete, or was stopped with Ctrl+C; what was said stays in the conversation.

        Raises:
            EngineError: there is no answer; the question is forgotten.
            KeyboardInterrupt: Ctrl+C was pressed twice.
        """
        if not self._is_loaded:
            self._load()
        asked = ChatMessage(Role.USER, question)
        self._n_requests += 1
        request_id = RequestId(f"terminal-{self._n_requests}")
        with _interrupts_into(self._events):
            self.engine.submit(GenerationRequest(request_id, (*self.messages, asked), self.sampling))
            answer, finished = self._wait_for_answer(request_id)
        self.messages += [asked, ChatMessage(Role.ASSISTANT, answer)]
        return finished

    def _load(self) -> None:
        with _interrupts_into(self._events):
            self.engine.load(self.spec)
            while True:
                match self._next():
                    case ModelLoading(progress=progress):
                        self.watcher.loading(progress)
                    case ModelLoaded():
                        self.watcher.loaded()
                        return
                    case LoadFailed(error=error):
                        raise EngineError(error)
                    case _Signal.INTERRUPT:
                        raise KeyboardInterrupt

    def _wait_for_answer(self, request_id: RequestId) -> tuple[str, RequestFinished]:
        pieces: list[str] = []
        is_cancelled = False
        while True:
            match self._next():
                case TokensEmitted(request_id=of, text=text) if of == request_id:
                    pieces.append(text)
                    self.watcher.text(text)
                case RequestFinished(request_id=of) as finished if of == request_id:
                    return "".join(pieces), finished
                case RequestFailed(request_id=of, error=error) if of == request_id:
                    raise EngineError(error)
                case _Signal.INTERRUPT:
                    if is_cancelled:
                        raise KeyboardInterrupt
                    is_cancelled = True
                    self.engine.cancel(request_id)

    def _next(self) -> Event | _Signal:
        event = self._events.get()
        match event:
            case ModelLoaded():
                self._is_loaded = True
            case EngineFailed(restarting=restarting):
                self._is_loaded = restarting
        return event


@contextmanager
def _interrupts_into(queue: SimpleQueue[Event | _Signal]) -> Iterator[None]:
    """Ctrl+C becomes an entry of the queue. As an exception between two lines it could lose an event."""
    former = signal.signal(signal.SIGINT, lambda *_: queue.put(_Signal.INTERRUPT))  # put may interrupt itself
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)
