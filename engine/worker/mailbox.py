"""What a worker sends, with the tokens of a moment joined.

Every frame wakes two threads of the client's process. On a machine whose cores all compute, each wake-up is taken from
the model: at 200 tokens a second it costs some percent of the speed. So text that follows within a few milliseconds
goes out together; the first text of an answer, and everything that is not text, never waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from engine.events import Event, TokensEmitted
from engine.types import RequestId

JOIN_S = 0.03


class Mailbox:
    """Thread: the engine's. Events of one request keep their order."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._held: dict[RequestId, TokensEmitted] = {}
        self._sent_s: dict[RequestId, float] = {}

    def send(self, events: Iterable[Event], now_s: float) -> None:
        for event in events:
            if isinstance(event, TokensEmitted):
                self._take(event, now_s)
            else:
                self._send_now(event)

    def flush(self) -> None:
        """Nothing more comes soon."""
        for request_id in list(self._held):
            self._release(request_id)

    def _take(self, event: TokensEmitted, now_s: float) -> None:
        request_id, held = event.request_id, self._held.get(event.request_id)
        if held is not None and _may_join(held, event):
            event = _joined(held, event)
        else:
            self._release(request_id)
        self._held[request_id] = event
        if now_s - self._sent_s.get(request_id, float("-inf")) >= JOIN_S:
            self._sent_s[request_id] = now_s
            self._release(request_id)

    def _send_now(self, event: Event) -> None:
        request_id = getattr(event, "request_id", None)
        if request_id is not None:
            self._release(request_id)
            self._sent_s.pop(request_id, None)
        self._emit(event)

    def _release(self, request_id: RequestId) -> None:
        held = self._held.pop(request_id, None)
        if held is not None:
            self._emit(held)


def _joined(first: TokensEmitted, second: TokensEmitted) -> TokensEmitted:
    return TokensEmitted(
        first.request_id,
        first.text + second.text,
        second.n_tokens,
        first.logprobs + second.logprobs,
        first.reasoning + second.reasoning,
        first.calls + second.calls,
    )


def _may_join(first: TokensEmitted, then: TokensEmitted) -> bool:
    """Whether one event says both: it has reasoning before text, and text before calls."""
    return not (first.calls and (then.text or then.reasoning)) and not (first.text and then.reasoning)
