"""``POST /v1/messages`` and ``POST /v1/messages/count_tokens``."""

from __future__ import annotations

import uuid

import msgspec
from starlette.types import Receive, Scope, Send

from app.api.answering import stream, whole
from app.api.anthropic.request import MessagesCall, parse_count, parse_messages
from app.api.anthropic.response import MessagesWriter
from app.api.engines import Engines
from app.api.exchange import Exchange
from app.api.fields import check_can_chat
from engine.types import RequestId, SamplingParams


class TokenCount(msgspec.Struct):
    input_tokens: int


class MessagesEndpoint:
    """An ASGI application."""

    def __init__(self, engines: Engines, defaults: SamplingParams) -> None:
        self._engines = engines
        self._defaults = defaults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises ApiError, before anything was sent."""
        exchange = Exchange(scope, receive, send)
        body = await exchange.body()
        if body is not None:
            call = parse_messages(body, _new_id(), self._defaults)
            await exchange.run(self._answer(call, exchange))

    async def _answer(self, call: MessagesCall, exchange: Exchange) -> None:
        async with self._engines.ready(call.model) as ready:
            check_can_chat(ready.info)
            writer = MessagesWriter(call.request.id, ready.model.id, call.request.stop)
            with ready.requests.opened(call.request, exchange.overrun) as feed:
                if call.is_streamed:
                    await stream(feed, writer, exchange)
                else:
                    await exchange.respond(writer.answer(*await whole(feed)))


class CountEndpoint:
    """An ASGI application. Nothing is computed but the prompt's tokens."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises ApiError, before anything was sent."""
        exchange = Exchange(scope, receive, send)
        body = await exchange.body()
        if body is not None:
            await exchange.run(self._count(parse_count(body, _new_id()), exchange))

    async def _count(self, call: MessagesCall, exchange: Exchange) -> None:
        async with self._engines.ready(call.model) as ready:
            counted = await ready.requests.counted(call.request)
            await exchange.respond(msgspec.json.encode(TokenCount(counted.n_tokens)))


def _new_id() -> RequestId:
    return RequestId(f"msg_{uuid.uuid4().hex}")
