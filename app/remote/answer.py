"""Answers as they stream, read as OpenAI, vLLM, SGLang, llama-server and Hearth write them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from app.remote.errors import from_told, not_understood, told_in
from app.remote.sse import ServerEvent
from app.remote.types import Connection
from engine.events import TokensEmitted
from engine.types import FinishReason, GenerationRequest, RequestId, TokenLogprob, ToolCallPart, Usage

_DONE = "[DONE]"
_MAX_COUNT = 2**31 - 1
_MAX_CALLS = 128
_SERVER_ERROR = 500


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    index: int | None = 0
    delta: _Delta | None = None
    message: _Delta | None = None  # in an answer that comes as a whole
    text: str | None = None  # in a completion of a bare prompt
    finish_reason: str | None = None
    stop_reason: Any = None  # vLLM's: the stop string that was met
    logprobs: Any = None


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode


class AnswerReader:
    """Reads one answer: its text as events, and in the end why it ended and what it took."""

    def __init__(self, request: GenerationRequest, to: Connection, model: str, n_ctx: int) -> None:
        self._request = request
        self._to = to
        self._model = model
        self._n_ctx = n_ctx
        self._n_pieces = 0
        self._usage: _Usage | None = None
        self._finish_reason: str | None = None
        self._stop_reason: Any = None
        self.is_done = False
        """Whether the server has said that nothing follows."""

    @property
    def is_ended(self) -> bool:
        """Whether the answer is whole."""
        return self.is_done or self._finish_reason is not None

    @property
    def has_begun(self) -> bool:
        return self._n_pieces > 0

    @property
    def is_filtered(self) -> bool:
        return self._finish_reason == "content_filter"

    def read(self, event: ServerEvent) -> TokensEmitted | None:
        """The text in an event, if there is any. Raises RemoteError."""
        if event.data.strip() == _DONE:
            self.is_done = True
            return None
        return self.read_chunk(event.data, is_error=event.name == "error")

    def read_chunk(self, data: str | bytes, *, is_error: bool = False) -> TokensEmitted | None:
        """The same for JSON without an event around it."""
        try:
            chunk = _decode(data)
        except (ValueError, RecursionError) as error:
            shown = data if isinstance(data, str) else data.decode(errors="replace")
            raise not_understood(self._to, f"{error}: {shown[:500]}") from error
        if chunk.error is not None or is_error:
            raise self._error(data)
        if chunk.usage is not None:
            self._usage = chunk.usage
        for choice in chunk.choices or ():
            if not choice.index:
                return self._emitted(choice)
        return None

    def finish_reason(self) -> FinishReason:
        match self._finish_reason:
            case "tool_calls" | "function_call":
                return FinishReason.TOOL_CALLS
            case "length":
                limit = self._request.max_tokens
                is_limit = limit is not None and self.usage().n_output >= limit
                return FinishReason.MAX_TOKENS if is_limit else FinishReason.CONTEXT_FULL
            case "stop" if isinstance(self._stop_reason, str) and self._stop_reason in self._request.stop:
                return FinishReason.STOP_STRING
        return FinishReason.END_OF_TURN

    def usage(self) -> Usage:
        """What the server told, else what was counted here: most servers send a token at a time."""
        told = self._usage or _Usage()
        n_prompt = _count(told.prompt_tokens)
        details = told.prompt_tokens_details
        n_cached = min(n_prompt, _count(details.cached_tokens) if details is not None else 0)
        n_output = self._n_pieces if told.completion_tokens is None else _count(told.completion_tokens)
        return Usage(n_prompt, n_cached, n_output, self._n_ctx)

    def _emitted(self, choice: _Choice) -> TokensEmitted | None:
        if choice.finish_reason is not None:
            self._finish_reason, self._stop_reason = choice.finish_reason, choice.stop_reason
        delta = choice.delta or choice.message or _Delta()
        text = choice.text or delta.content or delta.refusal or ""
        reasoning = delta.reasoning_content or delta.reasoning or ""
        calls = tuple(_calls(delta.tool_calls or ()))
        if not (text or reasoning or calls):
            return None
        self._n_pieces += 1
        return TokensEmitted(
            RequestId(self._request.id), text, self._n_pieces, tuple(_logprobs(choice.logprobs)), reasoning, calls
        )

    def _error(self, data: str | bytes) -> Exception:
        told = told_in(msgspec.json.decode(data))
        detail = data if isinstance(data, str) else data.decode(errors="replace")
        return from_told(told.status or _SERVER_ERROR, told, detail[:4000], self._to, self._model)


def _calls(calls: list[_Call] | tuple[_Call, ...]) -> Iterator[ToolCallPart]:
    for place, call in enumerate(calls):
        function = call.function or _Function()
        arguments = function.arguments or ""
        if isinstance(arguments, dict):
            arguments = msgspec.json.encode(arguments).decode()
        index = place if call.index is None else call.index
        if 0 <= index < _MAX_CALLS:
            yield ToolCallPart(index, call.id or "", function.name or "", arguments)


def _logprobs(told: Any) -> Iterator[TokenLogprob]:
    """Those of a chat. What is not as it should be is left out: nobody's answer hangs on it."""
    content = told.get("content") if isinstance(told, dict) else None
    for token in content if isinstance(content, list) else ():
        pair = _pair(token)
        if pair is not None:
            best = token.get("top_logprobs")
            others = [_pair(other) for other in best] if isinstance(best, list) else []
            yield TokenLogprob(*pair, tuple(other for other in others if other is not None))


def _pair(token: Any) -> tuple[bytes, float] | None:
    if not isinstance(token, dict) or not isinstance(token.get("logprob"), int | float):
        return None
    try:
        logprob = float(token["logprob"])
        piece = bytes(token["bytes"]) if isinstance(token.get("bytes"), list) else str(token.get("token", "")).encode()
    except (ValueError, TypeError, OverflowError):
        return None
    return None if math.isnan(logprob) else (piece, logprob)


def _count(value: int | None) -> int:
    return 0 if value is None else max(0, min(value, _MAX_COUNT))
