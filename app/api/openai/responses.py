"""``/v1/responses``: OpenAI's newer way to ask, in which an answer is a list of items."""

from __future__ import annotations

import time
from functools import partial

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.engines import Engines, Ready
from app.api.exchange import Exchange
from app.api.fields import check_can_chat, check_tokens
from app.api.openai.answers import opened, whole
from app.api.openai.chat import InputTokens
from app.api.openai.responses_request import ResponseCall, parse_response
from app.api.openai.responses_shapes import Deleted, ResponseObject
from app.api.openai.responses_store import ResponseStore
from app.api.openai.responses_writer import ResponseWriter
from app.api.openai.streaming import new_id, stream
from engine.types import ChatMessage, SamplingParams


class ResponseEndpoint:
    """An ASGI application."""

    def __init__(self, engines: Engines, defaults: SamplingParams, store: ResponseStore) -> None:
        self._engines = engines
        self._defaults = defaults
        self._store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises ApiError, before anything was sent."""
        exchange = Exchange(scope, receive, send)
        body = await exchange.body()
        if body is not None:
            call = parse_response(body, new_id("resp_"), self._defaults, self._store.messages)
            await exchange.run(self._answer(call, exchange))

    async def _answer(self, call: ResponseCall, exchange: Exchange) -> None:
        async with self._engines.ready(call.asked.model) as ready:
            _check(call, ready)
            writer = ResponseWriter(call, int(time.time()), ready.model.id, partial(self._keep, call))
            async with opened(ready.requests, [call.request], exchange.overrun) as feeds:
                if call.asked.stream:
                    await stream(feeds, writer, exchange)
                else:
                    await exchange.respond(writer.whole(*await whole(feeds)))

    def _keep(self, call: ResponseCall, response: ResponseObject, answer: ChatMessage) -> None:
        if call.is_kept:
            self._store.keep(response.id, msgspec.json.encode(response), (*call.history, answer))


class ResponseTokensEndpoint:
    """``POST /v1/responses/input_tokens``: how long a prompt is."""

    def __init__(self, engines: Engines, defaults: SamplingParams, store: ResponseStore) -> None:
        self._engines = engines
        self._defaults = defaults
        self._store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises ApiError, before anything was sent."""
        exchange = Exchange(scope, receive, send)
        body = await exchange.body()
        if body is not None:
            call = parse_response(body, new_id("count-"), self._defaults, self._store.messages)
            await exchange.run(self._answer(call, exchange))

    async def _answer(self, call: ResponseCall, exchange: Exchange) -> None:
        async with self._engines.ready(call.asked.model) as ready:
            _check(call, ready)
            counted = await ready.requests.counted(call.request)
        await exchange.respond(msgspec.json.encode(InputTokens("response.input_tokens", counted.n_tokens)))


class ResponseViews:
    """Responses that were given before."""

    def __init__(self, store: ResponseStore) -> None:
        self._store = store

    async def get(self, request: Request) -> Response:
        return Response(self._store.body(request.path_params["response_id"]), media_type="application/json")

    async def delete(self, request: Request) -> Response:
        response_id = request.path_params["response_id"]
        self._store.delete(response_id)
        return Response(msgspec.json.encode(Deleted(response_id, "response", True)), media_type="application/json")


def _check(call: ResponseCall, ready: Ready) -> None:
    """Raises ApiError for what this model cannot do."""
    check_can_chat(ready.info)
    check_tokens([token for token, _ in call.request.sampling.logit_bias], ready.info, "logit_bias")
