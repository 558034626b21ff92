"""Puts the endpoints together."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.api.chat import ChatEndpoint
from app.api.engines import Engines
from app.api.errors import ApiError, from_http, internal
from app.api.guard import Access, Guard
from engine.types import SamplingParams

_log = logging.getLogger(__name__)


def build_app(engines: Engines, access: Access, defaults: SamplingParams) -> Starlette:
    """An ASGI application. ``defaults`` are used for what a client leaves open."""
    views = _Views(engines)
    return Starlette(
        routes=[
            Route("/health", views.health, methods=["GET"]),
            Route("/v1/models", views.models, methods=["GET"]),
            Route("/v1/models/{model_id:path}", views.model, methods=["GET"]),
            Route("/v1/chat/completions", ChatEndpoint(engines, defaults), methods=["POST"]),
        ],
        middleware=[Middleware(Guard, access=access)],
        exception_handlers={ApiError: _api_error, HTTPException: _http_error, Exception: _bug},
    )


class _Views:
    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def health(self, request: Request) -> Response:
        """200 when an answer can be given now, 503 with the reason otherwise."""
        try:
            self._engines.check()
        except ApiError as error:
            return error.response()
        return _json({"status": "ok"})

    async def models(self, request: Request) -> Response:
        return _json({"object": "list", "data": [model.card(info) for model, info in self._engines.served()]})

    async def model(self, request: Request) -> Response:
        model, info = self._engines.find(request.path_params["model_id"])
        return _json(model.card(info))


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error.response()


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return from_http(error).response()


async def _bug(request: Request, error: Exception) -> Response:
    _log.error("a request to the API failed", exc_info=error)
    return internal().response()
