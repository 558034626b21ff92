"""What ends a request with an HTTP status, and how each vendor's clients are told.

An error is raised without knowing whose client asked. It is written when it is sent: by the ``ErrorBody`` that the
application put into the request's scope by its path (see :mod:`app.api.application`), or else as OpenAI's clients
expect it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from engine.errors import ErrorInfo

RETRY_AFTER_S = 1
ERROR_BODY = "hearth.error_body"
"""Where a scope keeps the ErrorBody of its path."""

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

    @property
    def kind(self) -> str:
        """What OpenAI calls the type of an error."""
        return _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")

    def body(self) -> bytes:
        """As OpenAI's clients expect it, which is also what a stream of theirs says when it fails half-way."""
        return openai_body(self)

    def response(self) -> Response:
        return _ErrorResponse(self)


ErrorBody: TypeAlias = Callable[[ApiError], bytes]


class _ErrorResponse(Response):
    """Knows what to say when it is sent, because only the scope knows in whose shape."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(error.body(), error.status, error.headers, media_type=_JSON)
        self._error = error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        write: ErrorBody = scope.get(ERROR_BODY, openai_body)
        error = self._error
        await Response(write(error), error.status, error.headers, media_type=_JSON)(scope, receive, send)


class OpenAIError(msgspec.Struct):
    message: str
    type: str
    param: str | None
    code: str


class OpenAIErrorBody(msgspec.Struct):
    error: OpenAIError


def openai_body(error: ApiError) -> bytes:
    """``{"error": {...}}``."""
    return msgspec.json.encode(OpenAIErrorBody(OpenAIError(error.message, error.kind, error.param, error.code)))


_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 503: "unavailable_error"}
_KINDS = {
    "ContextTooLong": (400, "context_length_exceeded"),
    "InvalidRequest": (400, "invalid_value"),
    "TemplateError": (400, "template_error"),
    "EngineBusy": (503, "busy"),
    "NoModel": (503, "model_not_loaded"),
    "ModelFileError": (503, "model_not_loaded"),
    "ModelNotSupported": (503, "model_not_loaded"),
    "OutOfMemory": (503, "out_of_memory"),
    "EngineStopped": (500, "engine_stopped"),
    "RequestStopped": (400, "request_stopped"),
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
