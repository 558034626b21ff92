"""Answers in the shapes of OpenAI's completions. A stream's chunks have the shape of the whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from app.api.errors import ApiError
from app.api.openai.answers import Answer
from app.api.openai.completions_request import CompletionCall
from app.api.openai.shapes import (
    DONE,
    FINISH_REASONS,
    FinishWord,
    Timings,
    Usage,
    encode,
    shown,
    timings,
    usage_of,
)
from engine.events import RequestFinished, TokensEmitted
from engine.types import TokenLogprob


class TokenLogprobs(msgspec.Struct):
    """Tokens side by side; ``text_offset`` is where each begins, in characters."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class CompletionChoice(msgspec.Struct):
    text: str
    index: int
    logprobs: TokenLogprobs | None
    finish_reason: FinishWord | None


class Completion(msgspec.Struct):
    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage | UnsetType | None = UNSET
    timings: Timings | UnsetType = UNSET


class CompletionWriter:
    """Writes the answers to one call, whole or as a stream of server-sent events."""

    def __init__(self, call: CompletionCall, created_s: int, model: str) -> None:
        self._call = call
        self._created_s = created_s
        self._model = model
        n = len(call.requests)
        self._answers = [Answer() for _ in range(n)]
        self._offsets = [0] * n
        self._n_ended = 0
        head = {"id": call.requests[0].id, "object": "text_completion", "created": created_s, "model": model}
        self._prefix = b"data: " + encode(head)[:-1] + b',"choices":['
        self._tail = b"]" + (b',"usage":null' if call.wants_usage else b"") + b"}\n\n"
        self._plain_ends = [b',"index":%d,"logprobs":null,"finish_reason":null}' % k + self._tail for k in range(n)]
        self._plain_start = self._prefix + b'{"text":'

    @property
    def is_ended(self) -> bool:
        return self._n_ended == len(self._answers)

    def completion(self, answers: Sequence[Answer]) -> bytes:
        """All answers as one JSON object."""
        choices = [self._choice(number, answer) for number, answer in enumerate(answers)]
        first = answers[0].finished
        assert first is not None
        return encode(
            Completion(
                self._call.requests[0].id,
                "text_completion",
                self._created_s,
                self._model,
                choices,
                usage_of(answers, self._call.n_each),
                timings(first),
            )
        )

    def _choice(self, number: int, answer: Answer) -> CompletionChoice:
        assert answer.finished is not None
        logprobs = token_logprobs(answer.logprobs, 0) if self._call.has_logprobs else None
        text = self._call.echo(number) + answer.text
        return CompletionChoice(text, number, logprobs, FINISH_REASONS[answer.finished.reason])

    def opening(self) -> bytes:
        """The prompts, where they are wanted."""
        if not self._call.has_echo:
            return b""
        echoes = [self._call.echo(number) for number in range(len(self._answers))]
        return b"".join(self._chunk(CompletionChoice(text, n, None, None)) for n, text in enumerate(echoes))

    def tokens(self, number: int, event: TokensEmitted) -> bytes:
        if not event.logprobs:
            return self._plain_start + encode(event.text) + self._plain_ends[number]
        logprobs = token_logprobs(event.logprobs, self._offsets[number])
        self._offsets[number] += sum(len(token) for token in logprobs.tokens)
        return self._chunk(CompletionChoice(event.text, number, logprobs, None))

    def _chunk(self, choice: CompletionChoice) -> bytes:
        return self._prefix + encode(choice) + self._tail

    def ending(self, number: int, finished: RequestFinished) -> bytes:
        """Why an answer ended; after the last one what they took, and the mark after which nothing comes."""
        self._answers[number].finished = finished
        self._n_ended += 1
        last = self._prefix + encode(CompletionChoice("", number, None, FINISH_REASONS[finished.reason]))
        measured = b',"timings":' + encode(timings(finished)) + b"}\n\n"
        done = DONE if self.is_ended else b""
        if not self._call.wants_usage:
            return last + b"]" + measured + done
        if not self.is_ended:
            return last + self._tail
        usage = encode(usage_of(self._answers, self._call.n_each))
        return last + self._tail + self._prefix + b'],"usage":' + usage + measured + done

    def failing(self, error: ApiError) -> bytes:
        return b"data: " + error.body() + b"\n\n"


def token_logprobs(tokens: Iterable[TokenLogprob], offset: int) -> TokenLogprobs:
    """``offset`` is where the first of them begins."""
    found = TokenLogprobs([], [], [], [])
    for token in tokens:
        text = shown(token.piece)
        found.tokens.append(text)
        found.token_logprobs.append(token.logprob)
        found.top_logprobs.append({shown(piece): logprob for piece, logprob in token.best})
        found.text_offset.append(offset)
        offset += len(text)
    return found
