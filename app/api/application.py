"""Puts the endpoints of all vendors together.

To add a vendor: a package with ``routes(engines, defaults) -> list[Endpoint]`` (see :mod:`app.api.endpoint`), and its
name in ``_endpoints`` below. Its paths are then routed and documented, and every error on them, also one of the guard
or of the router, is written by its own ``error_body``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app import VERSION
from app.api import anthropic, ollama, openai
from app.api.endpoint import Endpoint
from app.api.engines import Engines
from app.api.errors import ERROR_BODY, ApiError, ErrorBody, from_http, internal
from app.api.guard import Access, Door, Guard
from app.api.openapi import document
from engine.types import SamplingParams

_log = logging.getLogger(__name__)


class Health(msgspec.Struct):
    status: str


def build_app(
    engines: Engines, access: Access | Door, defaults: SamplingParams, more: Sequence[Endpoint] = ()
) -> Starlette:
    """An ASGI application. ``defaults`` are used for what a client leaves open; ``more`` come besides the vendors'."""
    endpoints = [*_endpoints(engines, defaults), *more]
    documented = document(endpoints, VERSION)
    routes = [
        Route(path, endpoint.view, methods=[endpoint.method])
        for endpoint in endpoints
        for path in (endpoint.path, *endpoint.aliases)
    ]
    return Starlette(
        routes=[*routes, Route("/openapi.json", _Document(documented), methods=["GET"])],
        middleware=[Middleware(_ErrorShapes, endpoints=endpoints), Middleware(Guard, access=access)],
        exception_handlers={ApiError: _api_error, HTTPException: _http_error, Exception: _bug},
    )


def _endpoints(engines: Engines, defaults: SamplingParams) -> list[Endpoint]:
    """A path with a parameter comes after those that it would swallow."""
    health = Endpoint(
        "GET",
        "/health",
        _Health(engines),
        "Whether an answer can be given now.",
        "Hearth",
        answer=Health,
        statuses=(503,),
    )
    return [health, *(one for vendor in (openai, anthropic, ollama) for one in vendor.routes(engines, defaults))]


class _ErrorShapes:
    """ASGI middleware, the outermost: notes for each request how its client wants to be told of errors."""

    def __init__(self, app: ASGIApp, endpoints: list[Endpoint]) -> None:
        self._app = app
        shapes = {path: one.error_body for one in endpoints for path in (one.path, *one.aliases)}
        self._exact = {path: shape for path, shape in shapes.items() if "{" not in path}
        self._prefixes = [(path.partition("{")[0], shape) for path, shape in shapes.items() if "{" in path]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (shape := self._shape(scope["path"])) is not None:
            scope[ERROR_BODY] = shape
        await self._app(scope, receive, send)

    def _shape(self, path: str) -> ErrorBody | None:
        exact = self._exact.get(path)
        return exact or next((shape for prefix, shape in self._prefixes if path.startswith(prefix)), None)


class _Health:
    """200 when an answer can be given now, 503 with the reason otherwise."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._engines.check()
        await Response(msgspec.json.encode(Health("ok")), media_type="application/json")(scope, receive, send)


class _Document:
    def __init__(self, document: bytes) -> None:
        self._response = Response(document, media_type="application/json")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._response(scope, receive, send)


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error.response()


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return from_http(error).response()


async def _bug(request: Request, error: Exception) -> Response:
    _log.error("a request to the API failed", exc_info=error)
    return internal().response()
