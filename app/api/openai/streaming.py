"""Server-sent events of what is said, as it is said."""

from __future__ import annotations

import uuid
from typing import Protocol

from app.api.errors import ApiError, from_engine
from app.api.exchange import Exchange
from app.api.openai.answers import Feeds
from app.api.requests import Heard
from engine.events import RequestFailed, RequestFinished, TokensEmitted
from engine.types import RequestId


class Writer(Protocol):
    """Bytes for what happened to each of the answers that a client gets in one stream."""

    @property
    def is_ended(self) -> bool:
        """Whether all answers have ended."""

    def opening(self) -> bytes: ...

    def tokens(self, number: int, event: TokensEmitted) -> bytes: ...

    def ending(self, number: int, finished: RequestFinished) -> bytes: ...

    def failing(self, error: ApiError) -> bytes: ...


def new_id(prefix: str) -> RequestId:
    return RequestId(prefix + uuid.uuid4().hex)


async def stream(feeds: Feeds, writer: Writer, exchange: Exchange) -> None:
    """Nothing is sent before the first event, so that what fails before it has an HTTP status of its own.

    Raises ApiError then.
    """
    events = await feeds.take()
    failure = events[0][1]
    if isinstance(failure, RequestFailed):
        raise from_engine(failure.error)
    await exchange.start()
    parts = [writer.opening()]
    while True:
        parts += [_part(number, event, writer) for number, event in events]
        is_last = writer.is_ended or isinstance(events[-1][1], RequestFailed)
        await exchange.write(b"".join(parts), is_last=is_last)
        if is_last:
            return
        parts = []
        events = await feeds.take()


def _part(number: int, event: Heard, writer: Writer) -> bytes:
    match event:
        case TokensEmitted():
            return writer.tokens(number, event)
        case RequestFinished():
            return writer.ending(number, event)
        case RequestFailed(error=error):
            return writer.failing(from_engine(error))
