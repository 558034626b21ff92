"""A conversation that is too long, made short by the model itself, so that it can go on in a new one.

What does not fit into the context is read in parts: each request gets the summary so far and the next part.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from app.chats.service import ChatService
from app.chats.types import Message
from app.settings import SettingsStore
from engine.client import EngineClient
from engine.types import ChatMessage, GenerationRequest, RequestId, Role, SamplingParams

_PART_SHARE = 0.5
_SUMMARY_SHARE = 0.2
"""Of the context. What is left is for the instructions, the summary so far, and text that takes more tokens."""

_TEMPERATURE = 0.3
_NAMES = {Role.USER: "User", Role.ASSISTANT: "Assistant"}
_INSTRUCTIONS = (
    "Summarise the conversation below, so that it can go on without its text. Keep names, numbers, decisions, "
    "open questions and what the user wants. Write only the summary."
)


class Summariser:
    """Thread: any."""

    def __init__(self, chats: ChatService, engine: EngineClient, settings: SettingsStore) -> None:
        self._chats = chats
        self._engine = engine
        self._settings = settings

    def parts(self, conversation_id: int, n_tokens: int, n_ctx: int) -> list[str]:
        """The conversation in pieces for :meth:`ask`, given that it has ``n_tokens``. Waits for the disk.

        Raises InvalidRequest, StorageError.
        """
        messages = [message for message in self._chats.thread(conversation_id).messages if message.content.strip()]
        n_chars = sum(len(message.content) for message in messages)
        return split(messages, max(1, int(n_chars / max(1, n_tokens) * n_ctx * _PART_SHARE)))

    def ask(self, part: str, so_far: str, n_ctx: int) -> RequestId:
        """Ask for a summary of ``so_far``, if anything, and ``part``. Its text comes as events of this request."""
        before = f"What came before, in short:\n\n{so_far}\n\n" if so_far else ""
        request = GenerationRequest(
            RequestId(f"summary-{uuid.uuid4().hex}"),
            (ChatMessage(Role.USER, f"{_INSTRUCTIONS}\n\n{before}The conversation:\n\n{part}"),),
            SamplingParams(temperature=min(_TEMPERATURE, self._settings.current.temperature)),
            max_tokens=max(1, int(n_ctx * _SUMMARY_SHARE)),
        )
        self._engine.submit(request)
        return request.id

    def cancel(self, request_id: RequestId) -> None:
        self._engine.cancel(request_id)


def split(messages: Iterable[Message], max_chars: int) -> list[str]:
    """As texts of at most ``max_chars``: cut between messages where that leaves no part half empty."""
    parts: list[str] = []
    for message in messages:
        text = f"{_NAMES.get(message.role, 'System')}: {message.content.strip()}"
        room = max_chars - len(parts[-1]) - 2 if parts else 0
        if len(text) <= room or room > max_chars // 2:
            parts[-1] += f"\n\n{text[:room]}"
            text = text[room:]
        parts += [text[start : start + max_chars] for start in range(0, len(text), max_chars)]
    return parts
