"""A subscriber that keeps every event and can be waited on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from engine.events import Event, RequestFailed, RequestFinished, TokensEmitted
from engine.types import RequestId

T = TypeVar("T")


class Recorder:
    """Thread: any. ``wait`` fails the test instead of waiting for ever."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = threading.Condition()

    def __call__(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]

    def wait(self, kind: type[T], matches: Callable[[T], bool] = lambda _: True, *, timeout_s: float = 30.0) -> T:
        """The first event of this kind that matches, also one that came before."""

        def found() -> T | None:
            return next((event for event in self.of(kind) if matches(event)), None)

        with self._changed:
            event = self._changed.wait_for(found, timeout_s)
        assert event is not None, f"no such {kind.__name__} among {self.events}"
        return event

    def outcome(self, request_id: RequestId, *, timeout_s: float = 30.0) -> RequestFinished | RequestFailed:
        both = (RequestFinished, RequestFailed)
        with self._changed:
            self._changed.wait_for(lambda: self._outcomes(request_id, both), timeout_s)
        outcomes = self._outcomes(request_id, both)
        assert len(outcomes) == 1, f"{request_id} has {len(outcomes)} outcomes"
        return outcomes[0]

    def text(self, request_id: RequestId) -> str:
        return "".join(event.text for event in self.of(TokensEmitted) if event.request_id == request_id)

    def _outcomes(
        self, request_id: RequestId, kinds: tuple[type[RequestFinished], type[RequestFailed]]
    ) -> list[RequestFinished | RequestFailed]:
        return [event for event in self.events if isinstance(event, kinds) and event.request_id == request_id]
