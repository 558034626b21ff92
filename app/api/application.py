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
from app.api.errors import ApiError, from_engine, from_http, internal
from app.api.guard import Access, Guard
from app.api.models import ServedModel
from app.api.requests import Requests
from engine.types import SamplingParams

_log = logging.getLogger(__name__)


def build_app(requests: Requests, model: ServedModel, access: Access, defaults: SamplingParams) -> Starlette:
    """An ASGI application that answers for one model. ``defaults`` are used for what a client leaves open."""
    views = _Views(requests, model)
    return Starlette(
        routes=[
            Route("/health", views.health, methods=["GET"]),
            Route("/v1/models", views.models, methods=["GET"]),
            Route("/v1/models/{model_id:path}", views.model, methods=["GET"]),
            Route("/v1/chat/completions", ChatEndpoint(requests, model, defaults), methods=["POST"]),
        ],
        middleware=[Middleware(Guard, access=access)],
        exception_handlers={ApiError: _api_error, HTTPException: _http_error, Exception: _bug},
    )


class _Views:
    def __init__(self, requests: Requests, model: ServedModel) -> None:
        self._requests = requests
        self._model = model

    async def health(self, request: Request) -> Response:
        """200 when an answer can be given now, 503 with the reason otherwise."""
        state = self._requests.model
        if state.info is not None:
            return _json({"status": "ok"})
        if state.error is not None:
            return ApiError(503, "model_not_loaded", from_engine(state.error).message).response()
        return ApiError(503, "model_loading", "The model is being loaded.").response()

    async def models(self, request: Request) -> Response:
        return _json({"object": "list", "data": [self._model.card(self._requests.model.info)]})

    async def model(self, request: Request) -> Response:
        self._model.check_name(request.path_params["model_id"])
        return _json(self._model.card(self._requests.model.info))


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
