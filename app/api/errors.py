"""Errors as OpenAI's clients expect them, and the one place where ours become theirs."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from engine.errors import ErrorInfo

RETRY_AFTER_S = 1
_JSON = "application/json"


class ApiError(Exception):
    """Ends a request with an HTTP status. ``code`` is for programs, ``message`` for people."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.headers = dict(headers or {})

    def body(self) -> bytes:
        """``{"error": {...}}``, which is also what a stream says when it fails half-way."""
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return msgspec.json.encode(_Envelope(_Body(self.message, kind, self.param, self.code)))

    def response(self) -> Response:
        return Response(self.body(), self.status, self.headers, media_type=_JSON)


class _Body(msgspec.Struct):
    message: str
    type: str
    param: str | None
    code: str


class _Envelope(msgspec.Struct):
    error: _Body


_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 503: "unavailable_error"}
_KINDS = {
    "ContextTooLong": (400, "context_length_exceeded"),
    "InvalidRequest": (400, "invalid_value"),
    "TemplateError": (400, "template_error"),
    "EngineBusy": (503, "busy"),
    "NoModel": (503, "model_not_loaded"),
    "ModelFileError": (503, "model_not_loaded"),
    "OutOfMemory": (503, "out_of_memory"),
    "EngineStopped": (500, "engine_stopped"),
}
_CODES = {404: "not_found", 405: "method_not_allowed"}


def invalid(message: str, param: str | None = None) -> ApiError:
    return ApiError(400, "invalid_value", message, param=param)


def busy(message: str) -> ApiError:
    return ApiError(503, "busy", message, headers={"retry-after": str(RETRY_AFTER_S)})


def from_engine(error: ErrorInfo) -> ApiError:
    """What the engine said about a request. Its ``detail`` stays in the log."""
    status, code = _KINDS.get(error.kind, (500, "internal_error"))
    if code == "busy":
        return busy(error.sentence)
    return ApiError(status, code, error.sentence)


def from_http(error: HTTPException) -> ApiError:
    """What Starlette's router says: no such path, or not with this method."""
    code = _CODES.get(error.status_code, "invalid_request")
    return ApiError(error.status_code, code, f"{error.detail}.", headers=error.headers)


def internal() -> ApiError:
    return ApiError(500, "internal_error", "Something went wrong inside Hearth. The log has the details.")
