"""``POST /v1/chat/completions``: one request of the engine for each of a client's."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Coroutine
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.body import read_body
from app.api.chat_request import ChatCall, parse_chat
from app.api.chat_response import ChatWriter
from app.api.errors import from_engine, invalid
from app.api.models import ServedModel
from app.api.requests import Feed, Requests
from engine.events import RequestFailed, RequestFinished, TokensEmitted
from engine.types import RequestId, SamplingParams

_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
]


class ChatEndpoint:
    """An ASGI application: a stream is written with nothing between the engine's event and the socket."""

    def __init__(self, requests: Requests, model: ServedModel, defaults: SamplingParams) -> None:
        self._requests = requests
        self._model = model
        self._defaults = defaults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises ApiError, before anything was sent."""
        request_id = RequestId(f"chatcmpl-{uuid.uuid4().hex}")
        try:
            body = await read_body(Request(scope, receive))
        except ClientDisconnect:
            return
        call = parse_chat(body, request_id, self._defaults)
        self._model.check_name(call.model)
        self._check_tokens(call)
        writer = ChatWriter(request_id, int(time.time()), self._model.id, wants_usage=call.wants_usage)
        with self._requests.opened(call.request) as feed:
            if call.is_streamed:
                await _attend(_stream(feed, writer, send), feed, receive)
            else:
                has_logprobs = call.request.sampling.n_logprobs is not None
                await _attend(_answer(feed, writer, has_logprobs, scope, receive, send), feed, receive)

    def _check_tokens(self, call: ChatCall) -> None:
        info = self._requests.model.info
        biased = call.request.sampling.logit_bias
        if info is not None and any(token >= info.n_vocab for token, _ in biased):
            raise invalid(f"logit_bias names a token that the model does not have: it has {info.n_vocab:,}.")


async def _attend(work: Coroutine[Any, Any, None], feed: Feed, receive: Receive) -> None:
    """Do the work until it is done, the client goes away, or it has stopped reading."""
    writing = asyncio.ensure_future(work)
    listening = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({writing, listening, feed.overrun}, return_when=asyncio.FIRST_COMPLETED)
        if writing.done():
            writing.result()
    finally:
        writing.cancel()
        listening.cancel()
        await asyncio.gather(writing, listening, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _answer(
    feed: Feed, writer: ChatWriter, has_logprobs: bool, scope: Scope, receive: Receive, send: Send
) -> None:
    said: list[TokensEmitted] = []
    while True:
        for event in await feed.take():
            match event:
                case TokensEmitted():
                    said.append(event)
                case RequestFinished():
                    body = writer.completion(said, event, has_logprobs)
                    await Response(body, media_type="application/json")(scope, receive, send)
                    return
                case RequestFailed(error=error):
                    raise from_engine(error)


async def _stream(feed: Feed, writer: ChatWriter, send: Send) -> None:
    """Nothing is sent before the first event, so that what fails before it has an HTTP status of its own."""
    events = await feed.take()
    if isinstance(events[0], RequestFailed):
        raise from_engine(events[0].error)
    await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
    parts = [writer.opening()]
    while True:
        parts += [_part(event, writer) for event in events]
        is_last = not isinstance(events[-1], TokensEmitted)
        await send({"type": "http.response.body", "body": b"".join(parts), "more_body": not is_last})
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
