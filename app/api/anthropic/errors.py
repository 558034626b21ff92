"""Errors as Anthropic's clients expect them."""

from __future__ import annotations

import msgspec

from app.api.errors import ApiError

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


class MessagesError(msgspec.Struct):
    type: str
    message: str


class MessagesErrorBody(msgspec.Struct, tag_field="type", tag="error"):
    error: MessagesError


def error_body(error: ApiError) -> bytes:
    """``{"type": "error", "error": {...}}``, which is also what a stream says when it fails half-way."""
    kind = _TYPES.get(error.status, "api_error" if error.status >= 500 else "invalid_request_error")
    return msgspec.json.encode(MessagesErrorBody(MessagesError(kind, error.message)))
