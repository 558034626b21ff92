"""From a stored message to what the transcript shows of it."""

from __future__ import annotations

from app.chats.types import AnswerStats, Message, MessageState
from engine.errors import ErrorInfo
from engine.types import FinishReason, Role
from ui.widgets.transcript import MessageStatus, MessageView

_STATUS = {
    MessageState.COMPLETE: MessageStatus.COMPLETE,
    MessageState.STREAMING: MessageStatus.STREAMING,
    MessageState.STOPPED: MessageStatus.STOPPED,
    MessageState.INTERRUPTED: MessageStatus.INTERRUPTED,
    MessageState.FAILED: MessageStatus.FAILED,
}
_CUT_SHORT = {
    FinishReason.MAX_TOKENS: "cut at the length limit",
    FinishReason.CONTEXT_FULL: "cut because the context is full",
}


def view_of(message: Message, live_text: str | None = None) -> MessageView:
    """``live_text`` is what has been shown of an answer that streams, where that is known better than stored."""
    return MessageView(
        id=message.id,
        is_user=message.role is Role.USER,
        text=message.content if live_text is None else live_text,
        status=_STATUS[message.state],
        facts=facts(message.stats),
        facts_tooltip=facts_explained(message.stats),
        error=error_text(message.error),
        sibling_number=message.sibling_number,
        n_siblings=message.n_siblings,
    )


def error_text(error: ErrorInfo | None) -> str | None:
    """In the transcript; a dead engine is explained once, by the page's banner, and only marked here."""
    if error is None:
        return None
    return "The engine stopped here." if error.kind == "EngineStopped" else error.sentence


def facts(stats: AnswerStats | None) -> str:
    """The quiet line: ``61 tok/s · first token 0.05 s · 1,204 of 1,230 tokens remembered``."""
    if stats is None:
        return ""
    parts = [
        f"{_speed(stats.tokens_per_s)} tok/s" if stats.tokens_per_s else "",
        f"first token {stats.first_token_s:.2f} s" if stats.first_token_s is not None else "",
        _memory(stats),
        _CUT_SHORT.get(stats.finish_reason, ""),
    ]
    return "  ·  ".join(part for part in parts if part)


def facts_explained(stats: AnswerStats | None) -> str:
    """The same in sentences, one a line."""
    if stats is None:
        return ""
    speed = f" at {_speed(stats.tokens_per_s)} tokens a second" if stats.tokens_per_s else ""
    lines = [
        f"Answered by {stats.model_name}." if stats.model_name else "",
        f"{stats.n_output:,} tokens were written{speed}.",
        f"The first came after {stats.first_token_s:.2f} s." if stats.first_token_s is not None else "",
        f"Of {stats.n_prompt:,} tokens before it, {stats.n_cached:,} were remembered and not read again.",
        f"{context_used(stats):,} of the {stats.n_ctx:,} tokens of context are used.",
    ]
    return "\n".join(line for line in lines if line)


def context_used(stats: AnswerStats) -> int:
    """Tokens of the context that the conversation fills up to and with this answer."""
    return stats.n_prompt + stats.n_output


def _memory(stats: AnswerStats) -> str:
    if stats.n_cached:
        return f"{stats.n_cached:,} of {stats.n_prompt:,} tokens remembered"
    return f"{stats.n_prompt:,} tokens read"


def _speed(tokens_per_s: float | None) -> str:
    value = tokens_per_s or 0.0
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"
