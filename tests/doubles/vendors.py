"""Replies of a scripted engine that every vendor's endpoints are tested with, and questions to any path."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import httpx

from engine.errors import ErrorInfo
from engine.events import Embedded, PromptCounted, RequestFailed, RequestFinished, RequestStarted, TokensEmitted
from engine.types import (
    EmbeddingRequest,
    FinishReason,
    GenerationRequest,
    RequestId,
    Timings,
    ToolCallPart,
    Usage,
)
from tests.doubles.engine import FakeEngineClient
from tests.doubles.http_api import Api, with_api
from tests.doubles.scripted_engine import Reply, ScriptedEngine

TIMES = Timings(queued_s=0.0, first_token_s=0.05, decode_s=0.5)


def reply(*events: TokensEmitted, reason: FinishReason = FinishReason.END_OF_TURN, stop: str | None = None) -> Reply:
    """The events with the request's id put in, between its start and its end."""

    def answer(engine: ScriptedEngine, request: GenerationRequest) -> None:
        engine.emit(RequestStarted(request.id, n_prompt=20, n_cached=4))
        for event in events:
            engine.emit(
                TokensEmitted(request.id, event.text, event.n_tokens, event.logprobs, event.reasoning, event.calls)
            )
        usage = Usage(n_prompt=20, n_cached=4, n_output=len(events), n_ctx=4096)
        engine.emit(RequestFinished(request.id, reason, usage, TIMES, stop_string=stop))

    return answer


def said(text: str = "", *, reasoning: str = "", calls: tuple[ToolCallPart, ...] = ()) -> TokensEmitted:
    return TokensEmitted(RequestId(""), text, 1, reasoning=reasoning, calls=calls)


def thinks_and_calls() -> Reply:
    """Reasoning, text, and two calls whose arguments come in pieces."""
    return reply(
        said(reasoning="Hm"),
        said(reasoning="m."),
        said("Let me"),
        said(" look."),
        said(calls=(ToolCallPart(0, "call_a", "weather", '{"city":'),)),
        said(calls=(ToolCallPart(0, arguments='"Rome"}'), ToolCallPart(1, "call_b", "clock"))),
        said(calls=(ToolCallPart(1, arguments="{}"),)),
        reason=FinishReason.TOOL_CALLS,
    )


def breaks(kind: str, text: str = "It failed.", *before: TokensEmitted) -> Reply:
    def answer(engine: ScriptedEngine, request: GenerationRequest) -> None:
        for event in before:
            engine.emit(TokensEmitted(request.id, event.text, event.n_tokens))
        engine.emit(RequestFailed(request.id, ErrorInfo(kind, text, "", "secret detail")))

    return answer


class Embedding(ScriptedEngine):
    """Also counts 12 tokens for every prompt, and embeds every text as (0.6, 0.8, 0)."""

    VECTOR = bytes.fromhex("9a99193fcdcc4c3f00000000")

    def embed(self, request: EmbeddingRequest) -> None:
        super().embed(request)
        self.emit(Embedded(request.id, (self.VECTOR,) * len(request.inputs), 5 * len(request.inputs)))

    def count(self, request: GenerationRequest) -> None:
        super().count(request)
        self.emit(PromptCounted(request.id, 12, 4096))


class Abandoned(ScriptedEngine):
    """Begins to answer and goes on for ever; tells when it is cancelled."""

    def __init__(self) -> None:
        super().__init__(_begins)
        self.is_cancelled = threading.Event()
        self.on_cancel = lambda request_id: self.is_cancelled.set()


def _begins(engine: ScriptedEngine, request: GenerationRequest) -> None:
    engine.emit(RequestStarted(request.id, n_prompt=20, n_cached=4))
    engine.emit(TokensEmitted(request.id, "Once", 1))


def ask_at(path: str, body: Any, engine: FakeEngineClient, headers: Mapping[str, str] | None = None) -> httpx.Response:
    """One question at a path."""

    async def scenario(api: Api) -> httpx.Response:
        return await api.client.post(path, json=body, headers=headers)

    return with_api(scenario, engine)


def get_at(path: str, engine: FakeEngineClient, headers: Mapping[str, str] | None = None) -> httpx.Response:
    async def scenario(api: Api) -> httpx.Response:
        return await api.client.get(path, headers=headers)

    return with_api(scenario, engine)
