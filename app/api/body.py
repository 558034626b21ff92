"""The body of a request: bounded in size, time and depth before anything is made of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request

from app.api.errors import ApiError, invalid

MAX_BODY_BYTES = 2_000_000
MAX_DEPTH = 64
BODY_TIMEOUT_S = 30.0
_AT = re.compile(r" - at (?:`key` in )?`\$\.?(?P<path>[^`]*)`$")
_CLOSE = {"connection": "close"}

T = TypeVar("T")


def _nothing_to_add(path: str) -> str | None:
    return None


async def read_body(request: Request) -> bytes:
    """Raises ApiError, and ClientDisconnect when the client goes in the middle."""
    _check_headers(request)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise _too_large()
    except TimeoutError:
        raise ApiError(408, "timeout", "The body of the request did not arrive in time.", headers=_CLOSE) from None
    return bytes(body)


def decode(body: bytes, decoder: msgspec.json.Decoder[T], explain: Callable[[str], str | None] = _nothing_to_add) -> T:
    """The body as a typed value, within the ranges its type states. Raises ApiError.

    ``explain`` may have a better sentence for what is wrong at a path, such as ``messages[0].content``.
    """
    try:
        body.decode()  # also what the decoder skips
        return decoder.decode(body)
    except RecursionError:
        raise invalid("The JSON is nested too deeply.") from None
    except msgspec.ValidationError as error:
        raise _wrong_value(str(error), explain) from None
    except ValueError:
        raise ApiError(400, "invalid_json", "The body is not valid JSON in UTF-8.") from None


def check_depth(value: Any, param: str) -> None:
    """Raises ApiError where a value that is passed on as it is nests more than MAX_DEPTH deep."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return
    raise invalid(f"{param} is nested more than {MAX_DEPTH} deep.", param)


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _check_headers(request: Request) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise ApiError(415, "unsupported_media_type", "The Content-Type must be application/json.", headers=_CLOSE)
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ApiError(415, "unsupported_encoding", "A compressed body is not accepted.", headers=_CLOSE)
    length = request.headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit():
        raise invalid("The Content-Length is not a number.")
    if len(length) > 12 or int(length) > MAX_BODY_BYTES:
        raise _too_large()


def _too_large() -> ApiError:
    return ApiError(413, "too_large", f"The body is longer than {MAX_BODY_BYTES:,} bytes.", headers=_CLOSE)


def _wrong_value(text: str, explain: Callable[[str], str | None]) -> ApiError:
    found = _AT.search(text)
    if found is None or not found["path"]:
        return invalid(f"{text}.")
    path = found["path"]
    return invalid(explain(path) or f"{path}: {text[: found.start()].replace('`', '')}.", path)
