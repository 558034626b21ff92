"""A model of a server that answers: one open HTTP client, and what has been learnt about the server so far."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec

from app.remote.answer import AnswerReader
from app.remote.errors import FieldRefused, RemoteError, TooLongForServer, broken_off, not_understood
from app.remote.http import BETWEEN_BYTES_S, FIRST_BYTE_S, next_piece, post_json, streamed
from app.remote.question import Manners, question_body
from app.remote.rolling import without_oldest
from app.remote.sse import EventTooLong, SseParser
from app.remote.types import Connection, OfferedModel
from engine.events import Embedded, Event, RequestFinished, RequestStarted, TokensEmitted
from engine.types import ChatMessage, EmbeddingRequest, FinishReason, GenerationRequest, Overflow, Timings

MAX_EVENT_BYTES = 4 << 20
MAX_ANSWER_BYTES = 256 << 20
_MAX_VECTORS_BYTES = 256 << 20
_MAX_ATTEMPTS = 8
"""Of one request that the server refuses for what can be left out of it: fields, and old turns."""


@dataclass(slots=True)
class Watch:
    """When what happened to a request. ``asked_s`` is when it was submitted, the others follow."""

    asked_s: float
    begun_s: float | None = None
    first_s: float | None = None
    last_s: float | None = None

    def saw_text(self) -> None:
        self.last_s = time.monotonic()
        self.first_s = self.first_s or self.last_s

    def timings(self) -> Timings:
        queued_s = 0.0 if self.begun_s is None else self.begun_s - self.asked_s
        if self.first_s is None or self.last_s is None:
            return Timings(queued_s, None, 0.0)
        return Timings(queued_s, self.first_s - self.asked_s, self.last_s - self.first_s)


@dataclass(slots=True)
class Running:
    """An answer that is being made, as far as it is known from outside: enough to end it in good order."""

    request: GenerationRequest
    watch: Watch
    reader: AnswerReader | None = None

    def finished(self, reason: FinishReason, n_ctx: int) -> RequestFinished:
        reader = self.reader or AnswerReader(self.request, _NOWHERE, "", n_ctx)
        return RequestFinished(self.request.id, reason, reader.usage(), self.watch.timings())


@dataclass(slots=True)
class Link:
    """Thread: the loop's. ``emit`` hands events on. Every method raises RemoteError or InvalidRequest."""

    client: httpx.AsyncClient
    to: Connection
    model: OfferedModel
    emit: Callable[[Event], None]
    _manners: Manners = field(default_factory=Manners)

    async def answer(self, running: Running) -> None:
        """Ask, with less where the server wants less, and pass on what comes until the answer has ended."""
        request = running.request
        running.watch.begun_s = time.monotonic()
        messages = request.messages
        for _ in range(_MAX_ATTEMPTS):
            body = self._manners.applied(question_body(request, messages, self.model))
            reader = AnswerReader(request, self.to, self.model.name, self.model.n_ctx)
            running.reader = reader
            try:
                await self._stream(running, reader, body, len(request.messages) - len(messages))
            except FieldRefused as error:
                if not self._manners.learn(body, error.told):
                    raise
            except TooLongForServer as error:
                messages = _shortened(request, messages, error, reader)
            else:
                self._finish(running, reader)
                return
        raise RemoteError(f"{self.to.server_name} refuses whatever it is asked.", "Its own log may say why.")

    async def embed(self, request: EmbeddingRequest) -> Embedded:
        body = {"model": self.model.name, "input": list(request.inputs), "encoding_format": "float"}
        url = f"{self.to.address}/embeddings"
        answer = await post_json(
            self.client, url, self.to, self.model.name, msgspec.json.encode(body), _MAX_VECTORS_BYTES
        )
        try:
            told = msgspec.convert(answer, _Embeddings)
        except msgspec.ValidationError as error:
            raise not_understood(self.to, str(error)) from error
        if len(told.data) != len(request.inputs):
            raise not_understood(self.to, f"{len(told.data)} vectors came for {len(request.inputs)} texts.")
        vectors = tuple(_unit_vector(item.embedding) for item in sorted(told.data, key=lambda item: item.index))
        return Embedded(request.id, vectors, max(0, told.usage.prompt_tokens))

    async def _stream(self, running: Running, reader: AnswerReader, body: dict[str, Any], n_dropped: int) -> None:
        path = "completions" if running.request.prompt is not None else "chat/completions"
        url, data = f"{self.to.address}/{path}", msgspec.json.encode(body)
        async with streamed(self.client, url, self.to, self.model.name, data) as response:
            self.emit(RequestStarted(running.request.id, 0, 0, n_dropped))
            if "application/json" in response.headers.get("content-type", ""):
                await self._read_whole(response, running, reader)
            else:
                await self._read_events(response, running, reader)

    async def _read_events(self, response: httpx.Response, running: Running, reader: AnswerReader) -> None:
        """Until the server says that it is done, or closes the connection."""
        parser = SseParser(MAX_EVENT_BYTES)
        pieces = response.aiter_raw()
        n_bytes = 0
        while not reader.is_done:
            wait_s = BETWEEN_BYTES_S if reader.has_begun else FIRST_BYTE_S
            piece = await self._next_piece(pieces, reader, wait_s)
            if piece is None:
                break
            n_bytes += len(piece)
            if n_bytes > MAX_ANSWER_BYTES:
                raise not_understood(self.to, "Its answer does not end.")
            try:
                events = parser.feed(piece)
            except EventTooLong as error:
                raise not_understood(self.to, "It sends a piece that does not end.") from error
            for event in events:
                self._pass_on(reader.read(event), running)
        if not reader.is_ended:
            raise broken_off(self.to)

    async def _next_piece(self, pieces: Any, reader: AnswerReader, wait_s: float) -> bytes | None:
        """A connection that breaks after the last word has taken nothing with it."""
        try:
            return await next_piece(pieces, self.to, wait_s)
        except RemoteError:
            if reader.is_ended:
                return None
            if reader.has_begun:
                raise broken_off(self.to) from None
            raise

    async def _read_whole(self, response: httpx.Response, running: Running, reader: AnswerReader) -> None:
        """From a server that does not stream, although it was asked to."""
        body = bytearray()
        pieces = response.aiter_raw()
        while (piece := await next_piece(pieces, self.to, FIRST_BYTE_S)) is not None:
            body += piece
            if len(body) > MAX_EVENT_BYTES:
                raise not_understood(self.to, "Its answer is too long.")
        self._pass_on(reader.read_chunk(bytes(body)), running)
        if not reader.is_ended:
            raise broken_off(self.to)

    def _pass_on(self, event: TokensEmitted | None, running: Running) -> None:
        if event is not None:
            running.watch.saw_text()
            self.emit(event)

    def _finish(self, running: Running, reader: AnswerReader) -> None:
        if reader.is_filtered:
            text = f"{self.to.server_name} held the rest of this answer back."
            raise RemoteError(text, "Its operator has a filter for what it may say.")
        self.emit(running.finished(reader.finish_reason(), self.model.n_ctx))


class _Vector(msgspec.Struct):
    embedding: list[float]
    index: int = 0


class _EmbeddingUsage(msgspec.Struct):
    prompt_tokens: int = 0


class _Embeddings(msgspec.Struct):
    data: list[_Vector]
    usage: _EmbeddingUsage = msgspec.field(default_factory=_EmbeddingUsage)


_NOWHERE = Connection("", "")


def _shortened(
    request: GenerationRequest, messages: tuple[ChatMessage, ...], error: TooLongForServer, reader: AnswerReader
) -> tuple[ChatMessage, ...]:
    """Raises ``error`` where nothing may or can be left out."""
    shorter = None if request.overflow is Overflow.STOP or reader.has_begun else without_oldest(messages, error)
    if shorter is None:
        raise error
    return shorter


def _unit_vector(values: list[float]) -> bytes:
    """Of length 1, as ours are; a vector of zeros has no direction and stays one."""
    import array
    import sys

    length = math.sqrt(sum(value * value for value in values)) or 1.0
    floats = array.array("f", (value / length for value in values))
    if sys.byteorder == "big":
        floats.byteswap()
    return floats.tobytes()
