"""Answers in the shapes of OpenAI's chat completions, with llama-server's ``timings`` beside them.

A stream's chunks differ in a few bytes only, so everything else of them is encoded once per request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from app.api.errors import ApiError
from app.api.openai.answers import Answer
from app.api.openai.shapes import (
    DONE,
    FINISH_REASONS,
    FinishWord,
    Logprob,
    Timings,
    Usage,
    encode,
    logprobs_of,
    timings,
    usage_of,
)
from engine.events import RequestFinished, TokensEmitted
from engine.types import ToolCallPart


class Logprobs(msgspec.Struct):
    content: list[Logprob]
    refusal: None = None


class CalledFunction(msgspec.Struct):
    name: str
    arguments: str


class Call(msgspec.Struct):
    id: str
    type: Literal["function"]
    function: CalledFunction


class AnswerMessage(msgspec.Struct):
    role: Literal["assistant"]
    content: str | None
    refusal: None = None
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[Call] | UnsetType = UNSET


class ChatChoice(msgspec.Struct):
    index: int
    message: AnswerMessage
    logprobs: Logprobs | None
    finish_reason: FinishWord


class ChatCompletion(msgspec.Struct):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage
    timings: Timings


class CalledFunctionDelta(msgspec.Struct):
    name: str | UnsetType = UNSET
    arguments: str | UnsetType = UNSET


class CallDelta(msgspec.Struct):
    """``id``, ``type`` and the function's name come once, with the first piece of a call."""

    index: int
    id: str | UnsetType = UNSET
    type: Literal["function"] | UnsetType = UNSET
    function: CalledFunctionDelta | UnsetType = UNSET


class Delta(msgspec.Struct):
    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType | None = UNSET
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[CallDelta] | UnsetType = UNSET


class ChunkChoice(msgspec.Struct):
    index: int
    delta: Delta
    logprobs: Logprobs | None
    finish_reason: FinishWord | None


class ChatChunk(msgspec.Struct):
    """``usage`` and ``timings`` come with the last chunk."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | UnsetType | None = UNSET
    timings: Timings | UnsetType = UNSET


class ChatWriter:
    """Writes the answers to one question, whole or as a stream of server-sent events."""

    def __init__(
        self, completion_id: str, created_s: int, model: str, n: int, *, wants_usage: bool, has_logprobs: bool
    ) -> None:
        self._id = completion_id
        self._created_s = created_s
        self._model = model
        self._wants_usage = wants_usage
        self._has_logprobs = has_logprobs
        self._answers = [Answer() for _ in range(n)]
        self._n_ended = 0
        head = {"id": completion_id, "object": "chat.completion.chunk", "created": created_s, "model": model}
        self._prefix = b"data: " + encode(head)[:-1] + b',"choices":['
        self._tail = b"]" + (b',"usage":null' if wants_usage else b"") + b"}\n\n"
        self._deltas = [self._prefix + b'{"index":%d,"delta":{"content":' % number for number in range(n)]
        self._plain_end = b'},"logprobs":null,"finish_reason":null}' + self._tail

    @property
    def is_ended(self) -> bool:
        return self._n_ended == len(self._answers)

    def completion(self, answers: Sequence[Answer]) -> bytes:
        """All answers as one JSON object."""
        choices = [self._choice(number, answer) for number, answer in enumerate(answers)]
        finished = _finished(answers[0])
        usage = usage_of(answers, len(answers))
        return encode(
            ChatCompletion(self._id, "chat.completion", self._created_s, self._model, choices, usage, timings(finished))
        )

    def _choice(self, number: int, answer: Answer) -> ChatChoice:
        calls = [Call(call.id, "function", CalledFunction(call.name, call.arguments)) for call in answer.calls]
        text = answer.text
        message = AnswerMessage(
            "assistant",
            text if text or not calls else None,
            reasoning_content=answer.reasoning or UNSET,
            tool_calls=calls or UNSET,
        )
        logprobs = Logprobs(logprobs_of(answer.logprobs)) if self._has_logprobs else None
        return ChatChoice(number, message, logprobs, FINISH_REASONS[_finished(answer).reason])

    def opening(self) -> bytes:
        """The chunks that name the role; they go out together with the first token."""
        delta = Delta("assistant", None)
        return b"".join(self._chunk(number, delta) for number in range(len(self._answers)))

    def tokens(self, number: int, event: TokensEmitted) -> bytes:
        if not (event.logprobs or event.reasoning or event.calls):
            return self._deltas[number] + encode(event.text) + self._plain_end
        if event.reasoning:
            self._answers[number].n_reasoning = event.n_tokens
        return self._pieces(number, event)

    def _pieces(self, number: int, event: TokensEmitted) -> bytes:
        """Each kind of thing that is said in a chunk of its own; the log-probabilities go with the first of them."""
        deltas = [Delta(reasoning_content=event.reasoning)] if event.reasoning else []
        if event.text:
            deltas.append(Delta(content=event.text))
        for part in event.calls:
            deltas += _call_deltas(part)
        logprobs = Logprobs(logprobs_of(event.logprobs)) if event.logprobs else None
        first = self._chunk(number, deltas[0] if deltas else Delta(content=""), logprobs)
        return first + b"".join(self._chunk(number, delta) for delta in deltas[1:])

    def _chunk(self, number: int, delta: Delta, logprobs: Logprobs | None = None) -> bytes:
        return self._prefix + encode(ChunkChoice(number, delta, logprobs, None)) + self._tail

    def ending(self, number: int, finished: RequestFinished) -> bytes:
        """Why an answer ended; after the last one what they took, and the mark after which nothing comes."""
        self._answers[number].finished = finished
        self._n_ended += 1
        last = self._prefix + encode(ChunkChoice(number, Delta(), None, FINISH_REASONS[finished.reason]))
        measured = b',"timings":' + encode(timings(finished)) + b"}\n\n"
        done = DONE if self.is_ended else b""
        if not self._wants_usage:
            return last + b"]" + measured + done
        if not self.is_ended:
            return last + self._tail
        usage = encode(usage_of(self._answers, len(self._answers)))
        return last + self._tail + self._prefix + b'],"usage":' + usage + measured + done

    def failing(self, error: ApiError) -> bytes:
        return b"data: " + error.body() + b"\n\n"


def _call_deltas(part: ToolCallPart) -> list[Delta]:
    """As OpenAI sends them: first which function is called, then its arguments."""
    deltas = []
    if part.name:
        named = CalledFunctionDelta(part.name, "")
        deltas.append(Delta(tool_calls=[CallDelta(part.index, part.id, "function", named)]))
    if part.arguments:
        deltas.append(Delta(tool_calls=[CallDelta(part.index, function=CalledFunctionDelta(arguments=part.arguments))]))
    return deltas


def _finished(answer: Answer) -> RequestFinished:
    assert answer.finished is not None
    return answer.finished
