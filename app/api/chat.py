"""``POST /v1/chat/completions``: one request of the engine for each of a client's."""

from __future__ import annotations

import time
import uuid

from starlette.types import Receive, Scope, Send

from app.api.chat_request import ChatCall, parse_chat
from app.api.chat_response import ChatWriter
from app.api.engines import Engines
from app.api.errors import from_engine, invalid
from app.api.exchange import Exchange
from app.api.requests import Feed
from engine.events import RequestFailed, RequestFinished, TokensEmitted
from engine.types import ModelInfo, RequestId, SamplingParams


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
            request_id = RequestId(f"chatcmpl-{uuid.uuid4().hex}")
            await exchange.run(self._answer(parse_chat(body, request_id, self._defaults), exchange))

    async def _answer(self, call: ChatCall, exchange: Exchange) -> None:
        async with self._engines.ready(call.model) as ready:
            _check_tokens(call, ready.info)
            writer = ChatWriter(call.request.id, int(time.time()), ready.model.id, wants_usage=call.wants_usage)
            with ready.requests.opened(call.request, exchange.overrun) as feed:
                if call.is_streamed:
                    await _stream(feed, writer, exchange)
                else:
                    has_logprobs = call.request.sampling.n_logprobs is not None
                    await _answer(feed, writer, has_logprobs, exchange)


def _check_tokens(call: ChatCall, info: ModelInfo | None) -> None:
    biased = call.request.sampling.logit_bias
    if info is not None and any(token >= info.n_vocab for token, _ in biased):
        raise invalid(f"logit_bias names a token that the model does not have: it has {info.n_vocab:,}.")


async def _answer(feed: Feed, writer: ChatWriter, has_logprobs: bool, exchange: Exchange) -> None:
    said: list[TokensEmitted] = []
    while True:
        for event in await feed.take():
            match event:
                case TokensEmitted():
                    said.append(event)
                case RequestFinished():
                    await exchange.respond(writer.completion(said, event, has_logprobs))
                    return
                case RequestFailed(error=error):
                    raise from_engine(error)


async def _stream(feed: Feed, writer: ChatWriter, exchange: Exchange) -> None:
    """Nothing is sent before the first event, so that what fails before it has an HTTP status of its own."""
    events = await feed.take()
    if isinstance(events[0], RequestFailed):
        raise from_engine(events[0].error)
    await exchange.start()
    parts = [writer.opening()]
    while True:
        parts += [_part(event, writer) for event in events]
        is_last = not isinstance(events[-1], TokensEmitted)
        await exchange.write(b"".join(parts), is_last=is_last)
        if is_last:
            return
        parts = []
        events = await feed.take()


def _part(event: TokensEmitted | RequestFinished | RequestFailed, writer: ChatWriter) -> bytes:
    match event:
        case TokensEmitted():
            return writer.tokens(event)
        case RequestFinished():
            return writer.ending(event)
        case RequestFailed(error=error):
            return b"data: " + from_engine(error).body() + b"\n\n"
