"""Answers in the shapes of Anthropic's messages, whole or as a stream of server-sent events.

Pieces of text differ in a few bytes only, so everything else of them is encoded once for each content block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Literal, TypeAlias

import msgspec

from app.api.answering import arguments_of
from app.api.anthropic.blocks import TextBlock, ThinkingBlock, ToolUseBlock, Written
from app.api.anthropic.errors import MessagesErrorBody, error_body
from app.api.errors import ApiError
from engine.events import RequestFinished, RequestStarted, TokensEmitted
from engine.types import FinishReason, ToolCallPart

_STOP_REASONS = {
    FinishReason.END_OF_TURN: "end_turn",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.MAX_TOKENS: "max_tokens",
    FinishReason.CONTEXT_FULL: "model_context_window_exceeded",
    FinishReason.CANCELLED: "end_turn",
}
_encode = msgspec.json.Encoder().encode


class MessagesUsage(msgspec.Struct):
    """``input_tokens`` leaves out those that were in the KV cache already, which are ``cache_read_input_tokens``."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int


class MessagesAnswer(msgspec.Struct):
    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[Written]
    stop_reason: str | None
    stop_sequence: str | None
    usage: MessagesUsage


class MessageStart(msgspec.Struct, tag_field="type", tag="message_start"):
    message: MessagesAnswer


class BlockStart(msgspec.Struct, tag_field="type", tag="content_block_start"):
    index: int
    content_block: Written


class TextDelta(msgspec.Struct, tag_field="type", tag="text_delta"):
    text: str


class ThinkingDelta(msgspec.Struct, tag_field="type", tag="thinking_delta"):
    thinking: str


class InputJsonDelta(msgspec.Struct, tag_field="type", tag="input_json_delta"):
    partial_json: str


class BlockDelta(msgspec.Struct, tag_field="type", tag="content_block_delta"):
    index: int
    delta: TextDelta | ThinkingDelta | InputJsonDelta


class BlockStop(msgspec.Struct, tag_field="type", tag="content_block_stop"):
    index: int


class Stopped(msgspec.Struct):
    stop_reason: str
    stop_sequence: str | None


class MessageDelta(msgspec.Struct, tag_field="type", tag="message_delta"):
    delta: Stopped
    usage: MessagesUsage


class MessageStop(msgspec.Struct, tag_field="type", tag="message_stop"):
    pass


class Ping(msgspec.Struct, tag_field="type", tag="ping"):
    pass


MessagesEvent: TypeAlias = (
    MessageStart | BlockStart | BlockDelta | BlockStop | MessageDelta | MessageStop | Ping | MessagesErrorBody
)


class _Kind(Enum):
    TEXT = "text"
    THINKING = "thinking"
    TOOL_USE = "tool_use"


_Piece: TypeAlias = tuple[_Kind, str, ToolCallPart | None]


class MessagesWriter:
    """Writes one answer: a whole one, or a stream."""

    def __init__(self, message_id: str, model: str, stop: tuple[str, ...]) -> None:
        """``stop`` are the strings that the client named; a template may have some of its own."""
        self._id = message_id
        self._model = model
        self._stop = stop
        self._n_blocks = 0
        self._open: _Kind | None = None
        self._before, self._after = b"", b""

    def answer(self, said: Iterable[TokensEmitted], finished: RequestFinished) -> bytes:
        """The whole message as one JSON object."""
        message = self._message(_content(said), _usage(finished))
        message.stop_reason, message.stop_sequence = self._reason(finished)
        return _encode(message)

    def opening(self, started: RequestStarted | None) -> bytes:
        n_prompt, n_cached = (started.n_prompt, started.n_cached) if started else (0, 0)
        start = MessageStart(self._message([], MessagesUsage(n_prompt - n_cached, 0, n_cached, 0)))
        return _event("message_start", start) + _event("ping", Ping())

    def tokens(self, event: TokensEmitted) -> bytes:
        return b"".join(self._piece(*piece) for piece in _pieces(event))

    def ending(self, finished: RequestFinished) -> bytes:
        """An answer that says nothing has an empty text, because clients look for one."""
        nothing = b"" if self._n_blocks else self._started(_Kind.TEXT, None)
        last = MessageDelta(Stopped(*self._reason(finished)), _usage(finished))
        return nothing + self._closed() + _event("message_delta", last) + _event("message_stop", MessageStop())

    def failure(self, error: ApiError) -> bytes:
        return b"event: error\ndata: " + error_body(error) + b"\n\n"

    def _message(self, content: list[Written], usage: MessagesUsage) -> MessagesAnswer:
        return MessagesAnswer(self._id, "message", "assistant", self._model, content, None, None, usage)

    def _reason(self, finished: RequestFinished) -> tuple[str, str | None]:
        if finished.reason is not FinishReason.STOP_STRING:
            return _STOP_REASONS[finished.reason], None
        if finished.stop_string in self._stop:
            return "stop_sequence", finished.stop_string
        return "end_turn", None

    def _piece(self, kind: _Kind, text: str, call: ToolCallPart | None) -> bytes:
        opened = self._started(kind, call) if _begins(self._open, kind, call) else b""
        return opened + self._before + _encode(text) + self._after if text else opened

    def _started(self, kind: _Kind, call: ToolCallPart | None) -> bytes:
        """Ends the block before, and makes ready for the pieces of this one."""
        start = self._closed() + _event("content_block_start", BlockStart(self._n_blocks, _block(kind, call, "")))
        piece = _event("content_block_delta", BlockDelta(self._n_blocks, _DELTAS[kind]))
        self._before, _, self._after = piece.rpartition(b'""')
        self._open = kind
        self._n_blocks += 1
        return start

    def _closed(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        return _event("content_block_stop", BlockStop(self._n_blocks - 1))


_DELTAS: dict[_Kind, TextDelta | ThinkingDelta | InputJsonDelta] = {
    _Kind.TEXT: TextDelta(""),
    _Kind.THINKING: ThinkingDelta(""),
    _Kind.TOOL_USE: InputJsonDelta(""),
}


@dataclass(slots=True)
class _Growing:
    kind: _Kind
    call: ToolCallPart | None
    pieces: list[str]


def _content(said: Iterable[TokensEmitted]) -> list[Written]:
    """The pieces put together, in the order in which they came; an empty text where there are none."""
    blocks: list[_Growing] = []
    for event in said:
        for kind, text, call in _pieces(event):
            if _begins(blocks[-1].kind if blocks else None, kind, call):
                blocks.append(_Growing(kind, call, []))
            blocks[-1].pieces.append(text)
    return [_block(block.kind, block.call, "".join(block.pieces)) for block in blocks] or [TextBlock("")]


def _pieces(event: TokensEmitted) -> Iterator[_Piece]:
    if event.reasoning:
        yield _Kind.THINKING, event.reasoning, None
    if event.text:
        yield _Kind.TEXT, event.text, None
    for call in event.calls:
        yield _Kind.TOOL_USE, call.arguments, call


def _begins(before: _Kind | None, kind: _Kind, call: ToolCallPart | None) -> bool:
    """Whether a piece begins a block; ``before`` is the kind of the one that is open."""
    return before is not kind or (call is not None and call.id != "")


def _block(kind: _Kind, call: ToolCallPart | None, text: str) -> Written:
    if call is not None:
        return ToolUseBlock(call.id, call.name, arguments_of(text))
    return TextBlock(text) if kind is _Kind.TEXT else ThinkingBlock(text)


def _usage(finished: RequestFinished) -> MessagesUsage:
    usage = finished.usage
    return MessagesUsage(usage.n_prompt - usage.n_cached, 0, usage.n_cached, usage.n_output)


def _event(name: str, value: msgspec.Struct) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + _encode(value) + b"\n\n"
