"""The last responses, in memory, so that a client may go on from one of them or look at it again.

Nothing is written to disk: OpenAI keeps responses for 30 days, this server until it ends or newer ones need the room.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from app.api.errors import ApiError
from engine.types import ChatMessage

MAX_RESPONSES = 256
MAX_BYTES = 32_000_000


@dataclass(frozen=True, slots=True)
class _Kept:
    body: bytes
    messages: tuple[ChatMessage, ...]
    size_bytes: int


class ResponseStore:
    """Thread: the event loop's."""

    def __init__(self, max_responses: int = MAX_RESPONSES, max_bytes: int = MAX_BYTES) -> None:
        self._max_responses = max_responses
        self._max_bytes = max_bytes
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._size_bytes = 0

    def keep(self, response_id: str, body: bytes, messages: tuple[ChatMessage, ...]) -> None:
        """``messages`` are the whole conversation with its answer. Older responses go where there is no room."""
        size_bytes = len(body) + sum(_size_bytes(message) for message in messages)
        self._kept[response_id] = _Kept(body, messages, size_bytes)
        self._size_bytes += size_bytes
        while len(self._kept) > self._max_responses or self._size_bytes > self._max_bytes:
            self._size_bytes -= self._kept.popitem(last=False)[1].size_bytes

    def body(self, response_id: str) -> bytes:
        """Raises ApiError."""
        return self._find(response_id, "response_id").body

    def messages(self, response_id: str) -> tuple[ChatMessage, ...]:
        """Raises ApiError. The response counts as just used."""
        found = self._find(response_id, "previous_response_id").messages
        self._kept.move_to_end(response_id)
        return found

    def delete(self, response_id: str) -> None:
        """Raises ApiError."""
        self._size_bytes -= self._find(response_id, "response_id").size_bytes
        del self._kept[response_id]

    def _find(self, response_id: str, param: str) -> _Kept:
        found = self._kept.get(response_id)
        if found is None:
            text = f"There is no response {response_id!r}. Only the last ones are kept, and only while the server runs."
            raise ApiError(404, "response_not_found", text, param=param)
        return found


def _size_bytes(message: ChatMessage) -> int:
    """Roughly: shared between turns, and counted for each, so that the bound holds whatever is shared."""
    arguments = sum(len(call.arguments) for call in message.tool_calls)
    return len(message.content) + len(message.reasoning) + arguments
