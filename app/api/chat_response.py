"""Answers in the shapes of OpenAI's chat completions, with llama-server's ``timings`` beside them.

A stream's chunks differ in a few bytes only, so everything else of them is encoded once per request.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from engine.events import RequestFinished, TokensEmitted
from engine.reuse import ReuseReport
from engine.types import FinishReason, TokenLogprob

FINISH_REASONS = {
    FinishReason.END_OF_TURN: "stop",
    FinishReason.STOP_STRING: "stop",
    FinishReason.MAX_TOKENS: "length",
    FinishReason.CONTEXT_FULL: "length",
    FinishReason.CANCELLED: "stop",
}
DONE = b"data: [DONE]\n\n"
_encode = msgspec.json.Encoder().encode


class _Details(msgspec.Struct):
    cached_tokens: int


class _Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: _Details


class _Likely(msgspec.Struct):
    token: str
    logprob: float
    bytes: list[int]


class _Logprob(_Likely):
    top_logprobs: list[_Likely]


class _Logprobs(msgspec.Struct):
    content: list[_Logprob]
    refusal: None = None


class _Text(msgspec.Struct):
    role: Literal["assistant"]
    content: str
    refusal: None = None


class _Choice(msgspec.Struct):
    index: int
    message: _Text
    logprobs: _Logprobs | None
    finish_reason: str


class _Completion(msgspec.Struct):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[_Choice]
    usage: _Usage
    timings: dict[str, Any]


class ChatWriter:
    """Writes one answer, whole or as a stream of server-sent events."""

    def __init__(self, completion_id: str, created_s: int, model: str, *, wants_usage: bool = False) -> None:
        self._id = completion_id
        self._created_s = created_s
        self._model = model
        self._wants_usage = wants_usage
        head = {"id": completion_id, "object": "chat.completion.chunk", "created": created_s, "model": model}
        self._prefix = b"data: " + _encode(head)[:-1] + b',"choices":['
        self._delta = self._prefix + b'{"index":0,"delta":{"content":'
        usage = b',"usage":null' if wants_usage else b""
        self._tail = b"]" + usage + b"}\n\n"
        self._plain_end = b'},"logprobs":null,"finish_reason":null}' + self._tail

    def completion(self, events: Iterable[TokensEmitted], finished: RequestFinished, has_logprobs: bool) -> bytes:
        """The whole answer as one JSON object."""
        text = []
        logprobs: list[TokenLogprob] = []
        for event in events:
            text.append(event.text)
            logprobs += event.logprobs
        choice = _Choice(
            0,
            _Text("assistant", "".join(text)),
            _logprobs(logprobs) if has_logprobs else None,
            FINISH_REASONS[finished.reason],
        )
        return _encode(
            _Completion(
                self._id,
                "chat.completion",
                self._created_s,
                self._model,
                [choice],
                _usage(finished),
                timings(finished),
            )
        )

    def opening(self) -> bytes:
        """The chunk that names the role; it goes out together with the first token."""
        opening = b'{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}'
        return self._prefix + opening + self._tail

    def tokens(self, event: TokensEmitted) -> bytes:
        text = _encode(event.text)
        if not event.logprobs:
            return self._delta + text + self._plain_end
        end = b'},"logprobs":' + _encode(_logprobs(event.logprobs)) + b',"finish_reason":null}'
        return self._delta + text + end + self._tail

    def ending(self, finished: RequestFinished) -> bytes:
        """Why it ended, what it took, and the mark after which nothing comes."""
        reason = FINISH_REASONS[finished.reason].encode()
        last = self._prefix + b'{"index":0,"delta":{},"logprobs":null,"finish_reason":"' + reason + b'"}'
        measured = b',"timings":' + _encode(timings(finished)) + b"}\n\n"
        if not self._wants_usage:
            return last + b"]" + measured + DONE
        return last + self._tail + self._prefix + b'],"usage":' + _encode(_usage(finished)) + measured + DONE


def timings(finished: RequestFinished) -> dict[str, Any]:
    """llama-server's names. Rates leave the first token out, whose time is the prompt's; null where nothing was timed.

    ``prompt_n`` counts the tokens that were computed, ``cache_n`` those that were there already.
    """
    usage, times = finished.usage, finished.timings
    n_computed = usage.n_prompt - usage.n_cached
    prompt_s = None if times.first_token_s is None else times.first_token_s - times.queued_s
    rate = times.decode_tokens_per_s(usage.n_output)
    return {
        "cache_n": usage.n_cached,
        "prompt_n": n_computed,
        "prompt_ms": None if prompt_s is None else prompt_s * 1e3,
        "prompt_per_second": n_computed / prompt_s if prompt_s else None,
        "predicted_n": usage.n_output,
        "predicted_ms": times.decode_s * 1e3,
        "predicted_per_second": rate,
        "queued_ms": times.queued_s * 1e3,
        "reuse": None if finished.reuse is None else _reuse(finished.reuse),
    }


def _reuse(report: ReuseReport) -> dict[str, Any]:
    return {
        "cells_n": report.n_cells,
        "ram_n": report.n_ram,
        "disk_n": report.n_disk,
        "new_n": report.n_new,
        "restore_ms": report.restore_s * 1e3,
        "reasons": dict(report.reasons),
    }


def _usage(finished: RequestFinished) -> _Usage:
    usage = finished.usage
    return _Usage(usage.n_prompt, usage.n_output, usage.n_context_used, _Details(usage.n_cached))


def _logprobs(tokens: Iterable[TokenLogprob]) -> _Logprobs:
    return _Logprobs([_logprob(token) for token in tokens])


def _logprob(token: TokenLogprob) -> _Logprob:
    best = [_Likely(_shown(piece), logprob, list(piece)) for piece, logprob in token.best]
    return _Logprob(_shown(token.piece), token.logprob, list(token.piece), best)


def _shown(piece: bytes) -> str:
    return piece.decode(errors="replace")
