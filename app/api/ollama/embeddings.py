"""``POST /api/embed``, and ``POST /api/embeddings`` from before it."""

from __future__ import annotations

import math
import struct
import time
import uuid
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.types import Receive, Scope, Send

from app.api.body import decode
from app.api.engines import Engines
from app.api.errors import invalid
from app.api.exchange import Exchange
from app.api.fields import Name, check_can_embed, clean
from app.api.ollama.names import asked_name
from app.api.ollama.options import KeepAlive, keep_alive_s
from app.api.ollama.request import explained
from engine.types import EmbeddingRequest, RequestId


class EmbedBody(msgspec.Struct, kw_only=True):
    """A text that does not fit into the context is an error: nothing is cut off. Other fields are ignored."""

    model: Name
    input: str | Annotated[list[str], Meta(max_length=2048)] = ""
    dimensions: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    keep_alive: KeepAlive | None = None


class Embeddings(msgspec.Struct):
    """Every vector has length 1. Durations are in nanoseconds."""

    model: str
    embeddings: list[list[float]]
    total_duration: int
    load_duration: int
    prompt_eval_count: int


class OldEmbedBody(msgspec.Struct, kw_only=True):
    model: Name
    prompt: str = ""
    keep_alive: KeepAlive | None = None


class OldEmbedding(msgspec.Struct):
    embedding: list[float]


_EMBED = msgspec.json.Decoder(EmbedBody)
_OLD_EMBED = msgspec.json.Decoder(OldEmbedBody)


class EmbedEndpoint:
    """An ASGI application."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises ApiError, before anything was sent."""
        exchange = Exchange(scope, receive, send)
        body = await exchange.body()
        if body is not None:
            await exchange.run(self._embed(decode(body, _EMBED, explained), exchange))

    async def _embed(self, asked: EmbedBody, exchange: Exchange) -> None:
        await exchange.respond(msgspec.json.encode(await embedded(self._engines, asked)))


class OldEmbedEndpoint:
    """An ASGI application."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises ApiError, before anything was sent."""
        exchange = Exchange(scope, receive, send)
        body = await exchange.body()
        if body is not None:
            await exchange.run(self._embed(decode(body, _OLD_EMBED, explained), exchange))

    async def _embed(self, asked: OldEmbedBody, exchange: Exchange) -> None:
        new = EmbedBody(model=asked.model, input=asked.prompt, keep_alive=asked.keep_alive)
        vectors = (await embedded(self._engines, new)).embeddings
        await exchange.respond(msgspec.json.encode(OldEmbedding(vectors[0] if vectors else [])))


async def embedded(engines: Engines, asked: EmbedBody) -> Embeddings:
    """Raises ApiError. No text at all loads the model."""
    arrived_ns = time.monotonic_ns()
    texts = [asked.input] if isinstance(asked.input, str) and asked.input else list(asked.input)
    inputs = tuple(clean(text, "input") for text in texts)
    if "" in inputs:
        raise invalid("input holds an empty text.", "input")
    async with engines.ready(asked_name(engines, asked.model), keep_alive_s(asked.keep_alive)) as ready:
        load_ns = time.monotonic_ns() - arrived_ns
        check_can_embed(ready.info)
        n_tokens = 0
        vectors: tuple[bytes, ...] = ()
        if inputs:
            request = EmbeddingRequest(RequestId(f"ollama-{uuid.uuid4().hex}"), inputs)
            found = await ready.requests.embedded(request)
            n_tokens, vectors = found.n_tokens, found.vectors
    numbers = [_numbers(vector, asked.dimensions) for vector in vectors]
    return Embeddings(asked.model, numbers, time.monotonic_ns() - arrived_ns, load_ns, n_tokens)


def _numbers(vector: bytes, n_wanted: int | None) -> list[float]:
    """The first ``n_wanted`` of them, which for models that are made for it are a vector of their own."""
    numbers = list(struct.unpack(f"<{len(vector) // 4}f", vector))
    if not n_wanted or n_wanted >= len(numbers):
        return numbers
    length = math.hypot(*numbers[:n_wanted]) or 1.0
    return [number / length for number in numbers[:n_wanted]]
