"""An engine client that loads at once and answers each request as the test's script says."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from engine.config import LoadSpec
from engine.errors import ErrorInfo
from engine.events import Event, RequestFailed, TokensEmitted
from engine.types import GenerationRequest, RequestId
from tests.doubles.engine import FakeEngineClient

Reply = Callable[["ScriptedEngine", GenerationRequest], None]


def says(text: str) -> Reply:
    return lambda engine, request: engine.answer(request.id, text)


def starts_with(text: str, *then: Callable[[], None]) -> Reply:
    """Say something, do something, and leave the request unfinished."""

    def reply(engine: ScriptedEngine, request: GenerationRequest) -> None:
        engine.emit(TokensEmitted(request.id, text, 1))
        for action in then:
            action()

    return reply


def fails(text: str, *before: Event) -> Reply:
    def reply(engine: ScriptedEngine, request: GenerationRequest) -> None:
        for event in before:
            engine.emit(event)
        engine.emit(RequestFailed(request.id, ErrorInfo("EngineStopped", text)))

    return reply


class ScriptedEngine(FakeEngineClient):
    """``load_events`` replace the usual ModelLoaded; ``on_cancel`` is called with what is cancelled."""

    def __init__(self, *replies: Reply, load_events: Iterable[Event] | None = None) -> None:
        super().__init__()
        self._replies = iter(replies)
        self._load_events = load_events
        self.on_cancel: Callable[[RequestId], None] = lambda request_id: None

    def load(self, spec: LoadSpec) -> None:
        super().load(spec)
        if self._load_events is None:
            self.finish_loading(spec.path)
        else:
            for event in self._load_events:
                self.emit(event)

    def submit(self, request: GenerationRequest) -> None:
        super().submit(request)
        next(self._replies)(self, request)

    def cancel(self, request_id: RequestId) -> None:
        super().cancel(request_id)
        self.on_cancel(request_id)
