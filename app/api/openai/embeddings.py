"""``POST /v1/embeddings``: texts to vectors."""

from __future__ import annotations

import base64
import struct
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from starlette.types import Receive, Scope, Send

from app.api.engines import Engines
from app.api.errors import invalid
from app.api.exchange import Exchange
from app.api.fields import Name, check_can_embed
from app.api.openai.inputs import Inputs, check_inputs, inputs_of
from app.api.openai.messages import decoded
from app.api.openai.streaming import new_id
from engine.events import Embedded
from engine.types import EmbeddingRequest, ModelInfo

_FLOAT_BYTES = 4


class EmbeddingBody(msgspec.Struct, kw_only=True):
    input: Inputs
    model: Name | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None


class Embedding(msgspec.Struct):
    """``embedding`` in base64 is of 32-bit little-endian floats."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(msgspec.Struct):
    prompt_tokens: int
    total_tokens: int


class EmbeddingList(msgspec.Struct):
    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


_DECODER = msgspec.json.Decoder(EmbeddingBody)


class EmbeddingEndpoint:
    """An ASGI application."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises ApiError, before anything was sent."""
        exchange = Exchange(scope, receive, send)
        body = await exchange.body()
        if body is not None:
            await exchange.run(self._answer(decoded(body, _DECODER), exchange))

    async def _answer(self, asked: EmbeddingBody, exchange: Exchange) -> None:
        inputs = inputs_of(asked.input, "input")
        async with self._engines.ready(asked.model) as ready:
            check_can_embed(ready.info)
            check_inputs(inputs, ready.info, "input")
            _check_dimensions(asked.dimensions, ready.info)
            embedded = await ready.requests.embedded(EmbeddingRequest(new_id("embd-"), inputs))
            _check_dimensions(asked.dimensions, ready.requests.model.info)
            model = ready.model.id
        await exchange.respond(_answer(embedded, model, is_base64=asked.encoding_format == "base64"))


def _check_dimensions(asked: int | None, info: ModelInfo | None) -> None:
    """A model file does not say whether a part of its vectors means anything, so they are given whole or not at all."""
    if asked is not None and info is not None and asked != info.n_embd:
        raise invalid(f"The vectors of {info.name} have {info.n_embd:,} dimensions and cannot be cut.", "dimensions")


def _answer(embedded: Embedded, model: str, *, is_base64: bool) -> bytes:
    write = _base64 if is_base64 else _floats
    data = [Embedding("embedding", index, write(vector)) for index, vector in enumerate(embedded.vectors)]
    usage = EmbeddingUsage(embedded.n_tokens, embedded.n_tokens)
    return msgspec.json.encode(EmbeddingList("list", data, model, usage))


def _base64(vector: bytes) -> str:
    return base64.b64encode(vector).decode()


def _floats(vector: bytes) -> list[float]:
    return list(struct.unpack(f"<{len(vector) // _FLOAT_BYTES}f", vector))
