"""Conversations and messages as values. Times are seconds since 1970; order never depends on them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from engine.errors import ErrorInfo
from engine.reuse import ReuseReport
from engine.types import DraftReport, FinishReason, RequestId, Role

_REQUEST_PREFIX = "message-"


@dataclass(frozen=True, slots=True)
class ConversationSummary:
    """``snippet`` is the place in a message that a search found; None where only the title matched."""

    id: int
    title: str
    updated_at_s: float
    snippet: str | None = None


class MessageState(StrEnum):
    """STOPPED by the user; INTERRUPTED because Hearth or the engine ended; FAILED for a reason in ``Message.error``."""

    COMPLETE = "complete"
    STREAMING = "streaming"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class AnswerStats:
    """What an answer cost. ``model_name`` is None where the sender did not say.

    ``n_dropped`` messages after the system prompt were left out, counted as the engine got them. ``first_token_s``
    contains ``queued_s``. What has a default is not in answers that older versions saved.
    """

    model_name: str | None
    n_prompt: int
    n_cached: int
    n_output: int
    n_ctx: int
    first_token_s: float | None
    tokens_per_s: float | None
    finish_reason: FinishReason
    n_dropped: int = 0
    reuse: ReuseReport | None = None
    queued_s: float | None = None
    is_remote: bool = False
    drafting: DraftReport | None = None


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What a model thought before it answered. ``duration_s`` runs from its first thought to its answer."""

    text: str
    duration_s: float


@dataclass(frozen=True, slots=True)
class Message:
    """``sibling_number`` counts from 1 among the ``n_siblings`` messages with the same parent, oldest first."""

    id: int
    conversation_id: int
    parent_id: int | None
    role: Role
    content: str
    state: MessageState
    created_at_s: float
    sibling_number: int
    n_siblings: int
    stats: AnswerStats | None = None
    error: ErrorInfo | None = None
    reasoning: Reasoning | None = None


@dataclass(frozen=True, slots=True)
class Thread:
    """A conversation and the messages on its active path, root to leaf.

    The model did not see the first ``n_unseen`` of them when it answered last, because its context was full.
    """

    conversation: ConversationSummary
    messages: tuple[Message, ...]
    n_unseen: int = 0


@dataclass(frozen=True, slots=True)
class AnswerUpdate:
    """What is known of an answer now: all its text so far, and how it stands.

    ``n_dropped`` as in AnswerStats; None while the engine has not begun with it.
    """

    message_id: int
    content: str
    state: MessageState
    stats: AnswerStats | None = None
    error: ErrorInfo | None = None
    n_dropped: int | None = None
    reasoning: Reasoning | None = None


def request_id_of(message_id: int) -> RequestId:
    return RequestId(f"{_REQUEST_PREFIX}{message_id}")


def message_id_of(request_id: RequestId) -> int | None:
    """None for a request that is not an answer in a conversation."""
    number = request_id.removeprefix(_REQUEST_PREFIX)
    if number == request_id or not (number.isascii() and number.isdigit()):
        return None
    return int(number)
