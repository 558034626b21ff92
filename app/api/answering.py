"""From the events of one request to what its client reads, whole or piece by piece; a vendor's writer has the words."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from app.api.errors import ApiError, from_engine
from app.api.exchange import EVENT_STREAM, Exchange
from app.api.requests import Feed, Heard
from engine.events import RequestFailed, RequestFinished, RequestStarted, TokensEmitted

_BROKEN = "INVALID_JSON"
"""What Anthropic's documentation puts around arguments that are no JSON object."""


class StreamWriter(Protocol):
    """Writes one answer piece by piece. Every piece may be empty."""

    def opening(self, started: RequestStarted | None) -> bytes:
        """What goes out together with the first tokens."""

    def tokens(self, event: TokensEmitted) -> bytes: ...

    def ending(self, finished: RequestFinished) -> bytes: ...

    def failure(self, error: ApiError) -> bytes:
        """The end of a stream that has begun and cannot go on."""


async def whole(feed: Feed) -> tuple[list[TokensEmitted], RequestFinished]:
    """Everything that is said, and how it ended. Raises ApiError."""
    said: list[TokensEmitted] = []
    while True:
        for event in await feed.take():
            match event:
                case TokensEmitted():
                    said.append(event)
                case RequestFinished():
                    return said, event
                case RequestFailed(error=error):
                    raise from_engine(error)


async def stream(feed: Feed, writer: StreamWriter, exchange: Exchange, media_type: str = EVENT_STREAM) -> None:
    """Nothing is sent before the first event, so that what fails before it has an HTTP status of its own.

    Raises ApiError then, and never later.
    """
    events = await feed.take()
    if isinstance(events[0], RequestFailed):
        raise from_engine(events[0].error)
    await exchange.start(media_type)
    parts = [writer.opening(feed.started)]
    while True:
        parts += [_piece(event, writer) for event in events]
        is_last = not isinstance(events[-1], TokensEmitted)
        data = b"".join(parts)
        if data or is_last:
            await exchange.write(data, is_last=is_last)
        if is_last:
            return
        parts = []
        events = await feed.take()


def _piece(event: Heard, writer: StreamWriter) -> bytes:
    match event:
        case TokensEmitted():
            return writer.tokens(event)
        case RequestFinished():
            return writer.ending(event)
        case RequestFailed(error=error):
            return writer.failure(from_engine(error))


def arguments_of(text: str) -> dict[str, Any]:
    """The arguments of a tool's call as an object, whatever the model wrote."""
    try:
        found = msgspec.json.decode(text or "{}")
    except (ValueError, RecursionError):
        return {_BROKEN: text}
    return found if isinstance(found, dict) else {_BROKEN: text}
