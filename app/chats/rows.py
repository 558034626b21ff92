"""Rows of the database as values. Of a row that makes no sense everything is shown that does, and nothing raised."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from enum import StrEnum
from typing import TypeVar

import msgspec

from app.chats.types import AnswerStats, AnswerUpdate, ConversationSummary, Message, MessageState, Reasoning
from engine.errors import ErrorInfo
from engine.types import Role

MESSAGE_COLUMNS = "id, conversation_id, parent_id, role, state, created_at_s, stats, error, content, reasoning"
CONVERSATION_COLUMNS = "id, title, updated_at_s"

UNTITLED = "Untitled"

_logger = logging.getLogger(__name__)
_T = TypeVar("_T")
_E = TypeVar("_E", bound=StrEnum)
_UNREADABLE = ErrorInfo(
    "StorageError",
    "This message cannot be read: its place in the file is damaged.",
    "The rest of the conversation is not affected.",
)


def conversation_of(row: Sequence[object]) -> ConversationSummary:
    conversation_id, title, updated_at_s = row
    return ConversationSummary(
        _int(conversation_id), title if isinstance(title, str) else UNTITLED, _time(updated_at_s)
    )


def message_of(row: Sequence[object], conversation_id: int, parent_id: int | None, siblings: Sequence[int]) -> Message:
    """``row`` has the MESSAGE_COLUMNS; what the tree knows already is not taken from it."""
    message_id, _, _, role, state, created_at_s, stats, error, content, reasoning = row
    return Message(
        _int(message_id),
        conversation_id,
        parent_id,
        _member(role, Role.ASSISTANT),
        content if isinstance(content, str) else str(content or ""),
        _member(state, MessageState.INTERRUPTED),
        _time(created_at_s),
        siblings.index(_int(message_id)) + 1,
        len(siblings),
        _decoded(stats, AnswerStats),
        _decoded(error, ErrorInfo),
        reasoning_of(reasoning),
    )


def reasoning_of(column: object) -> Reasoning | None:
    return _decoded(column, Reasoning)


def unreadable_message(
    message_id: int, conversation_id: int, parent_id: int | None, siblings: Sequence[int]
) -> Message:
    """A stand-in, so that the messages after it keep their place."""
    return Message(
        message_id,
        conversation_id,
        parent_id,
        Role.ASSISTANT,
        "",
        MessageState.FAILED,
        0.0,
        siblings.index(message_id) + 1,
        len(siblings),
        error=_UNREADABLE,
    )


def columns_of(update: AnswerUpdate) -> dict[str, str | None]:
    """The columns that an answer changes while it is written."""
    return {
        "content": update.content,
        "state": update.state.value,
        "stats": _encoded(update.stats),
        "error": _encoded(update.error),
        "reasoning": _encoded(update.reasoning),
    }


def _member(value: object, otherwise: _E) -> _E:
    """The text is worth showing even where its role or state is lost."""
    try:
        return type(otherwise)(str(value))
    except ValueError:
        _logger.warning("a message has a %s that does not exist", type(otherwise).__name__)
        return otherwise


def _encoded(value: AnswerStats | ErrorInfo | Reasoning | None) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _decoded(text: object, kind: type[_T]) -> _T | None:
    """None where there is nothing and where it cannot be understood: the message itself matters more."""
    if not isinstance(text, str):
        return None
    try:
        return msgspec.json.decode(text, type=kind)
    except (ValueError, RecursionError) as error:
        _logger.warning("%s of a message cannot be read: %s", kind.__name__, error)
        return None


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


def _time(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
