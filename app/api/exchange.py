"""One HTTP request that is being answered: watched for a client that goes away or stops reading."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from app.api.body import read_body

JSON = "application/json"
EVENT_STREAM = "text/event-stream; charset=utf-8"
NDJSON = "application/x-ndjson"


class Exchange:
    """Made in an ASGI endpoint; what it is to do goes through :meth:`run`, after :meth:`body` was read."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.overrun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the client fell too far behind. Feeds that are opened for this exchange complete it."""

        self._receive = receive
        self._send = send

    async def body(self) -> bytes | None:
        """The body; None when the client went away before its end. Raises ApiError."""
        try:
            return await read_body(Request(self.scope, self._receive))
        except ClientDisconnect:
            return None

    async def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work until it is done, the client goes away, or it has stopped reading. Raises what it raises."""
        working = asyncio.ensure_future(work)
        listening = asyncio.ensure_future(self._disconnected())
        try:
            await asyncio.wait({working, listening, self.overrun}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
        finally:
            working.cancel()
            listening.cancel()
            await asyncio.gather(working, listening, return_exceptions=True)

    async def respond(self, body: bytes, media_type: str = JSON) -> None:
        """The whole answer, with status 200."""
        length = str(len(body)).encode()
        headers = [(b"content-type", media_type.encode()), (b"content-length", length)]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def start(self, media_type: str = EVENT_STREAM) -> None:
        """Begin a stream. Until then a failure has an HTTP status of its own."""
        headers = [(b"content-type", media_type.encode()), (b"cache-control", b"no-cache")]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def write(self, data: bytes, *, is_last: bool = False) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": not is_last})

    async def _disconnected(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
