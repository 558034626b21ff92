"""From a stored message to what the transcript shows of it."""

from __future__ import annotations

from app.chats.types import AnswerStats, Message, MessageState
from engine.errors import ErrorInfo
from engine.events import RequestStarted
from engine.types import FinishReason, Role
from ui.bridge import LiveText
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
_EXPLAIN = "Why did this take that long?"


def view_of(message: Message, live: LiveText | None = None, *, is_first_seen: bool = False) -> MessageView:
    """``live`` is what has been shown of an answer that streams, where that is known better than stored.

    ``is_first_seen``: the model does not see what is above.
    """
    reasoning = message.reasoning
    return MessageView(
        id=message.id,
        is_user=message.role is Role.USER,
        text=message.content if live is None else live.text,
        status=_STATUS[message.state],
        facts=facts(message.stats),
        facts_tooltip=_EXPLAIN if message.stats is not None else "",
        error=error_text(message.error),
        sibling_number=message.sibling_number,
        n_siblings=message.n_siblings,
        is_first_seen=is_first_seen,
        thought=live.reasoning if live is not None else reasoning.text if reasoning is not None else "",
        thought_s=reasoning.duration_s if reasoning is not None else None,
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
        f"{speed_text(stats.tokens_per_s)} tok/s" if stats.tokens_per_s else "",
        f"first token {stats.first_token_s:.2f} s" if stats.first_token_s is not None else "",
        _memory(stats),
        _CUT_SHORT.get(stats.finish_reason, ""),
    ]
    return "  ·  ".join(part for part in parts if part)


def reading_text(event: RequestStarted) -> str:
    """What is waited for before the first word. A server does not tell how long the prompt is."""
    return f"Reading {event.n_prompt - event.n_cached:,} tokens" if event.n_prompt else "Waiting for the server"


def context_used(stats: AnswerStats) -> int:
    """Tokens of the context that the conversation fills up to and with this answer.

    The last token of an answer that fills it is written but never read, so it takes no room.
    """
    n_tokens = stats.n_prompt + stats.n_output
    return min(n_tokens, stats.n_ctx) if stats.n_ctx else n_tokens


def _memory(stats: AnswerStats) -> str:
    if stats.is_remote:
        return f"{stats.n_prompt:,} tokens sent" if stats.n_prompt else ""
    reuse = stats.reuse
    n_remembered = stats.n_cached if reuse is None else reuse.n_cells + reuse.n_ram + reuse.n_disk
    if n_remembered:
        return f"{n_remembered:,} of {stats.n_prompt:,} tokens remembered"
    return f"{stats.n_prompt:,} tokens read"


def speed_text(tokens_per_s: float | None) -> str:
    """Tokens a second with as many figures as mean something."""
    value = tokens_per_s or 0.0
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"
