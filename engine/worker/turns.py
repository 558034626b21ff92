"""Who is answered when, where not all can be answered together."""

from __future__ import annotations

from collections import deque

from engine.errors import EngineBusy
from engine.types import AdapterUse, GenerationRequest, RequestId

_MOST_WAITING = 64


class AdapterTurns:
    """A batch is computed with one set of adapters. Requests that want another one than is in place wait until those
    before them are done, and then nobody overtakes them. Thread: the engine's.
    """

    def __init__(self) -> None:
        self.in_place: tuple[AdapterUse, ...] = ()
        self._waiting: deque[GenerationRequest] = deque()

    @property
    def has_waiting(self) -> bool:
        return bool(self._waiting)

    def must_wait(self, request: GenerationRequest) -> bool:
        return bool(self._waiting) or wanted(request) != self.in_place

    def add(self, request: GenerationRequest) -> None:
        """Raises EngineBusy where too many wait."""
        if len(self._waiting) >= _MOST_WAITING:
            raise EngineBusy("Too many requests are waiting.", "Try again in a moment.")
        self._waiting.append(request)

    def next(self, *, is_answering: bool) -> GenerationRequest | None:
        """Whose turn it is now, if anybody's."""
        if not self._waiting or (is_answering and wanted(self._waiting[0]) != self.in_place):
            return None
        return self._waiting.popleft()

    def take_out(self, request_id: RequestId) -> GenerationRequest | None:
        """One that waits, and that nobody wants any more."""
        found = next((request for request in self._waiting if request.id == request_id), None)
        if found is not None:
            self._waiting.remove(found)
        return found


def wanted(request: GenerationRequest) -> tuple[AdapterUse, ...]:
    """Its adapters, those that do nothing left out, in an order of their own."""
    return tuple(sorted((use for use in request.adapters if use.scale), key=lambda use: (use.path, use.scale)))
