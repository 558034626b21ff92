"""``POST /v1/chat/completions``: one request of the engine for each answer that a client wants."""

from __future__ import annotations

import time

import msgspec
from starlette.types import Receive, Scope, Send

from app.api.engines import Engines, Ready
from app.api.exchange import Exchange
from app.api.fields import check_can_chat, check_tokens
from app.api.openai.answers import completed, opened
from app.api.openai.chat_request import ChatCall, parse_chat
from app.api.openai.chat_response import ChatWriter
from app.api.openai.streaming import new_id, stream
from engine.types import SamplingParams


class ChatEndpoint:
    """An ASGI application: a stream is written with nothing between the engine's event and the socket."""

    def __init__(self, engines: Engines, defaults: SamplingParams) -> None:
        self._engines = engines
        self._defaults = defaults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises ApiError, before anything was sent."""
        exchange = Exchange(scope, receive, send)
        body = await exchange.body()
        if body is not None:
            await exchange.run(self._answer(parse_chat(body, new_id("chatcmpl-"), self._defaults), exchange))

    async def _answer(self, call: ChatCall, exchange: Exchange) -> None:
        async with self._engines.ready(call.model) as ready:
            check(call, ready)
            writer = ChatWriter(
                call.requests[0].id,
                int(time.time()),
                ready.model.id,
                len(call.requests),
                wants_usage=call.wants_usage,
                has_logprobs=call.has_logprobs,
            )
            async with opened(ready.requests, call.requests, exchange.overrun, are_alike=True) as feeds:
                if call.is_streamed:
                    await stream(feeds, writer, exchange)
                else:
                    await exchange.respond(writer.completion(await completed(feeds, len(call.requests))))


class ChatTokensEndpoint:
    """``POST /v1/chat/completions/input_tokens``, as llama-server has it: how long a prompt is."""

    def __init__(self, engines: Engines, defaults: SamplingParams) -> None:
        self._engines = engines
        self._defaults = defaults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        body = await exchange.body()
        if body is not None:
            await exchange.run(self._answer(parse_chat(body, new_id("count-"), self._defaults), exchange))

    async def _answer(self, call: ChatCall, exchange: Exchange) -> None:
        async with self._engines.ready(call.model) as ready:
            check(call, ready)
            counted = await ready.requests.counted(call.requests[0])
        await exchange.respond(msgspec.json.encode(InputTokens("response.input_tokens", counted.n_tokens)))


class InputTokens(msgspec.Struct):
    object: str
    input_tokens: int


def check(call: ChatCall, ready: Ready) -> None:
    """Raises ApiError for what this model cannot do."""
    check_can_chat(ready.info)
    check_tokens([token for token, _ in call.requests[0].sampling.logit_bias], ready.info, "logit_bias")
