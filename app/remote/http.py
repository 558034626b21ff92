"""HTTP as it is spoken with servers: no redirects, nothing compressed, everything with a limit in bytes and seconds."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import certifi
import httpx
import msgspec

from app.remote.address import is_loopback
from app.remote.errors import from_answer, from_transport, not_understood, silent
from app.remote.types import Connection

CONNECT_S = 5.0
FIRST_BYTE_S = 600.0
"""A server may have to load the model first, or to read a long prompt on a slow machine."""

BETWEEN_BYTES_S = 120.0
LIST_S = 15.0
MAX_LIST_BYTES = 8 << 20
MAX_ERROR_BYTES = 64 << 10
_MAX_CONNECTIONS = 256
_MAX_IDLE = 4


def open_client(to: Connection) -> httpx.AsyncClient:
    """Proxies are taken from the environment, but this machine's own servers are never asked through one."""
    headers = {"accept-encoding": "identity", "user-agent": "Hearth"}
    if to.key is not None:
        headers["authorization"] = f"Bearer {to.key}"
    return httpx.AsyncClient(
        headers=headers,
        timeout=httpx.Timeout(None, connect=CONNECT_S),
        limits=httpx.Limits(max_connections=_MAX_CONNECTIONS, max_keepalive_connections=_MAX_IDLE),
        follow_redirects=False,
        trust_env=not is_loopback(to.address),
        verify=_tls() if to.address.startswith("https:") else False,
    )


async def get_json(client: httpx.AsyncClient, url: str, to: Connection, timeout_s: float = LIST_S) -> Any:
    """Raises RemoteError."""
    body = await _whole(client, client.build_request("GET", url), to, None, MAX_LIST_BYTES, timeout_s)
    return decoded(body, to)


async def post_json(
    client: httpx.AsyncClient, url: str, to: Connection, model: str, body: bytes, max_bytes: int
) -> Any:
    """Raises RemoteError."""
    request = client.build_request("POST", url, content=body, headers=_JSON)
    return decoded(await _whole(client, request, to, model, max_bytes, FIRST_BYTE_S), to)


@asynccontextmanager
async def streamed(
    client: httpx.AsyncClient, url: str, to: Connection, model: str, body: bytes
) -> AsyncIterator[httpx.Response]:
    """An answer with status 200, whose body is read by :func:`next_piece`. Raises RemoteError."""
    request = client.build_request("POST", url, content=body, headers=_JSON)
    async with _sent(client, request, to, model, FIRST_BYTE_S) as response:
        yield response


async def next_piece(pieces: AsyncIterator[bytes], to: Connection, timeout_s: float) -> bytes | None:
    """The next bytes of an answer; None at its end. Raises RemoteError."""
    try:
        async with asyncio.timeout(timeout_s):
            return await anext(pieces)
    except StopAsyncIteration:
        return None
    except TimeoutError as error:
        raise silent(to, timeout_s) from error
    except httpx.HTTPError as error:
        raise from_transport(error, to) from error


def decoded(body: bytes, to: Connection) -> Any:
    """Raises RemoteError."""
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:
        raise not_understood(to, f"{error}: {body[:200].decode(errors='replace')}") from error


_JSON: Mapping[str, str] = {"content-type": "application/json"}


@asynccontextmanager
async def _sent(
    client: httpx.AsyncClient, request: httpx.Request, to: Connection, model: str | None, timeout_s: float
) -> AsyncIterator[httpx.Response]:
    """A response whose body is still to be read. Raises RemoteError for any status but 200."""
    try:
        async with asyncio.timeout(timeout_s):
            response = await client.send(request, stream=True)
    except TimeoutError as error:
        raise silent(to, timeout_s) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise from_transport(error, to) from error
    try:
        if response.status_code != httpx.codes.OK:
            body = await _read(response, to, MAX_ERROR_BYTES, is_cut=True)
            raise from_answer(response.status_code, response.headers, body, to, model)
        if response.headers.get("content-encoding", "identity") != "identity":
            raise not_understood(to, "It compresses its answers, which it was asked not to do.")
        yield response
    finally:
        await response.aclose()


async def _whole(
    client: httpx.AsyncClient,
    request: httpx.Request,
    to: Connection,
    model: str | None,
    max_bytes: int,
    timeout_s: float,
) -> bytes:
    async with _sent(client, request, to, model, timeout_s) as response:
        return await _read(response, to, max_bytes)


async def _read(response: httpx.Response, to: Connection, max_bytes: int, *, is_cut: bool = False) -> bytes:
    """The body as it was sent. One that is too long is cut or refused. Raises RemoteError."""
    body = bytearray()
    pieces = response.aiter_raw()
    while (piece := await next_piece(pieces, to, LIST_S)) is not None:
        body += piece
        if len(body) > max_bytes:
            if is_cut:
                break
            raise not_understood(to, f"Its answer is longer than {max_bytes:,} bytes.")
    return bytes(body[:max_bytes])


def _tls() -> ssl.SSLContext:
    """Trusts what this system trusts, and what Mozilla does where the system has no list of its own."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context
