"""``POST /api/chat`` and ``POST /api/generate``."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import TypeAlias

from starlette.types import Receive, Scope, Send

from app.api.answering import stream, whole
from app.api.engines import Engines
from app.api.errors import ApiError
from app.api.exchange import NDJSON, Exchange
from app.api.fields import check_can_chat
from app.api.ollama.names import asked_name
from app.api.ollama.request import OllamaCall
from app.api.ollama.response import ChatAnswerWriter, Clock
from engine.types import GenerationRequest, ModelInfo, RequestId, SamplingParams

Parse: TypeAlias = Callable[[bytes, RequestId, SamplingParams], OllamaCall]


class GenerationEndpoint:
    """An ASGI application."""

    def __init__(
        self, engines: Engines, defaults: SamplingParams, parse: Parse, writer: type[ChatAnswerWriter]
    ) -> None:
        self._engines = engines
        self._defaults = defaults
        self._parse = parse
        self._writer = writer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises ApiError, before anything was sent."""
        clock = Clock(time.monotonic_ns())
        exchange = Exchange(scope, receive, send)
        body = await exchange.body()
        if body is None:
            return
        call = self._parse(body, RequestId(f"ollama-{uuid.uuid4().hex}"), self._defaults)
        writer = self._writer(call.model, clock, tells_n_ctx=call.n_ctx is not None)
        if call.request is not None:
            await exchange.run(self._answer(call, call.request, writer, clock, exchange))
        else:
            await exchange.run(self._prepare(call, writer, exchange))

    async def _answer(
        self,
        call: OllamaCall,
        request: GenerationRequest,
        writer: ChatAnswerWriter,
        clock: Clock,
        exchange: Exchange,
    ) -> None:
        asked_ns = time.monotonic_ns()
        async with self._engines.ready(asked_name(self._engines, call.model), call.keep_alive_s) as ready:
            clock.load_ns = time.monotonic_ns() - asked_ns
            _check(request, ready.info)
            with ready.requests.opened(request, exchange.overrun) as feed:
                if call.is_streamed:
                    await stream(feed, writer, exchange, NDJSON)
                else:
                    await exchange.respond(writer.answer(*await whole(feed)))

    async def _prepare(self, call: OllamaCall, writer: ChatAnswerWriter, exchange: Exchange) -> None:
        """Load the model ahead, or give it back."""
        name = asked_name(self._engines, call.model)
        if call.keep_alive_s == 0:
            self._engines.give_back(name)
            await exchange.respond(writer.nothing("unload"))
            return
        async with self._engines.ready(name, call.keep_alive_s):
            await exchange.respond(writer.nothing("load"))


def _check(request: GenerationRequest, info: ModelInfo | None) -> None:
    """Raises ApiError."""
    check_can_chat(info)
    if request.thinking and info is not None and not info.can_reason:
        raise ApiError(400, "unsupported_parameter", f"{info.name} does not support thinking.", param="think")
