"""Answers in the shapes of Ollama's chat and generate: JSON objects, one a line where they are streamed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from app.api.answering import arguments_of
from app.api.errors import ApiError
from app.api.ollama.errors import error_body
from engine.events import RequestFinished, RequestStarted, TokensEmitted
from engine.types import FinishReason, TokenLogprob, ToolCallPart

_TOO_LONG = frozenset({FinishReason.MAX_TOKENS, FinishReason.CONTEXT_FULL})
_NS = 1_000_000_000
_encode = msgspec.json.Encoder().encode


class LikelyToken(msgspec.Struct):
    token: str
    logprob: float
    bytes: list[int]


class WrittenToken(LikelyToken):
    top_logprobs: list[LikelyToken]


class AnswerFunction(msgspec.Struct):
    index: int
    name: str
    arguments: dict[str, Any]


class AnswerCall(msgspec.Struct):
    id: str
    function: AnswerFunction


class AnsweredTurn(msgspec.Struct):
    content: str
    role: Literal["assistant"] = "assistant"
    thinking: str | UnsetType = UNSET
    tool_calls: list[AnswerCall] | UnsetType = UNSET


class Answered(msgspec.Struct, kw_only=True):
    """Durations are in nanoseconds. Those and the counts come when it is done, and only where something was computed.

    ``num_ctx`` is the context that the model has, where the client wished for one.
    """

    model: str
    created_at: datetime
    done: bool
    done_reason: Literal["stop", "length", "load", "unload"] | UnsetType = UNSET
    logprobs: list[WrittenToken] | UnsetType = UNSET
    total_duration: int | UnsetType = UNSET
    load_duration: int | UnsetType = UNSET
    prompt_eval_count: int | UnsetType = UNSET
    prompt_eval_duration: int | UnsetType = UNSET
    eval_count: int | UnsetType = UNSET
    eval_duration: int | UnsetType = UNSET
    num_ctx: int | UnsetType = UNSET


class ChatAnswer(Answered, kw_only=True):
    message: AnsweredTurn


class GenerateAnswer(Answered, kw_only=True):
    response: str
    thinking: str | UnsetType = UNSET


@dataclass(slots=True)
class Clock:
    """``arrived_ns`` is on the monotonic clock; ``load_ns`` is how long the request waited for its model."""

    arrived_ns: int
    load_ns: int = 0


class ChatAnswerWriter:
    """Writes one answer: a whole one, or a stream. ``model`` is what the client called it."""

    def __init__(self, model: str, clock: Clock, *, tells_n_ctx: bool = False) -> None:
        self._model = model
        self._clock = clock
        self._tells_n_ctx = tells_n_ctx
        self._calls = _Calls()

    def nothing(self, reason: Literal["load", "unload"]) -> bytes:
        """The answer to a question that was none."""
        return _encode(self._answer("", done=True, done_reason=reason))

    def answer(self, said: Iterable[TokensEmitted], finished: RequestFinished) -> bytes:
        """The whole answer as one JSON object."""
        text, thinking = [], []
        logprobs: list[TokenLogprob] = []
        calls: list[AnswerCall] = []
        for event in said:
            text.append(event.text)
            thinking.append(event.reasoning)
            logprobs += event.logprobs
            calls += self._calls.add(event.calls)
        calls += self._calls.rest()
        measured = self._measured(finished)
        if logprobs:
            measured["logprobs"] = _written(logprobs)
        return _encode(self._answer("".join(text), "".join(thinking), calls, done=True, **measured))

    def opening(self, started: RequestStarted | None) -> bytes:
        return b""

    def tokens(self, event: TokensEmitted) -> bytes:
        """A call of a tool goes out when it is complete."""
        calls = self._calls.add(event.calls)
        if not (event.text or event.reasoning or calls):
            return b""
        logprobs = _written(event.logprobs) if event.logprobs else UNSET
        return _encode(self._answer(event.text, event.reasoning, calls, done=False, logprobs=logprobs)) + b"\n"

    def ending(self, finished: RequestFinished) -> bytes:
        calls = self._calls.rest()
        last_calls = _encode(self._answer("", "", calls, done=False)) + b"\n" if calls else b""
        return last_calls + _encode(self._answer("", done=True, **self._measured(finished))) + b"\n"

    def failure(self, error: ApiError) -> bytes:
        return error_body(error) + b"\n"

    def _answer(self, text: str, thinking: str = "", calls: Sequence[AnswerCall] = (), **fields: Any) -> Answered:
        message = AnsweredTurn(text, thinking=thinking or UNSET, tool_calls=list(calls) or UNSET)
        return ChatAnswer(model=self._model, created_at=datetime.now(UTC), message=message, **fields)

    def _measured(self, finished: RequestFinished) -> dict[str, Any]:
        usage, times = finished.usage, finished.timings
        prompt_s = 0.0 if times.first_token_s is None else times.first_token_s - times.queued_s
        measured = {
            "done_reason": "length" if finished.reason in _TOO_LONG else "stop",
            "total_duration": time.monotonic_ns() - self._clock.arrived_ns,
            "load_duration": self._clock.load_ns,
            "prompt_eval_count": usage.n_prompt,
            "prompt_eval_duration": int(prompt_s * _NS),
            "eval_count": usage.n_output,
            "eval_duration": int(times.decode_s * _NS),
        }
        return measured | {"num_ctx": usage.n_ctx} if self._tells_n_ctx else measured


class GenerateAnswerWriter(ChatAnswerWriter):
    """The same without messages, where there are no tools."""

    def _answer(self, text: str, thinking: str = "", calls: Sequence[AnswerCall] = (), **fields: Any) -> Answered:
        shown = thinking or UNSET
        return GenerateAnswer(model=self._model, created_at=datetime.now(UTC), response=text, thinking=shown, **fields)


class _Calls:
    """Puts calls of tools together. One is complete when the next one begins, or the answer ends."""

    def __init__(self) -> None:
        self._parts: list[ToolCallPart] = []

    def add(self, parts: Iterable[ToolCallPart]) -> list[AnswerCall]:
        """What is complete now."""
        complete: list[AnswerCall] = []
        for part in parts:
            if self._parts and part.index != self._parts[0].index:
                complete += self.rest()
            self._parts.append(part)
        return complete

    def rest(self) -> list[AnswerCall]:
        if not self._parts:
            return []
        (first, *_), text = self._parts, "".join(part.arguments for part in self._parts)
        self._parts = []
        return [AnswerCall(first.id, AnswerFunction(first.index, first.name, arguments_of(text)))]


def _written(tokens: Iterable[TokenLogprob]) -> list[WrittenToken]:
    return [
        WrittenToken(*_shown(token.piece, token.logprob), [LikelyToken(*_shown(*likely)) for likely in token.best])
        for token in tokens
    ]


def _shown(piece: bytes, logprob: float) -> tuple[str, float, list[int]]:
    return piece.decode(errors="replace"), logprob, list(piece)
