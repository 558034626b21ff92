"""``GET /v1/models`` and one model."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from app.api.anthropic.models import is_for_anthropic, model_card, model_page
from app.api.engines import Engines


class ModelMeta(msgspec.Struct):
    """What llama-server tells of a loaded model, by its names."""

    n_ctx: int
    n_ctx_train: int
    n_vocab: int
    n_params: int
    size: int


class ModelCard(msgspec.Struct):
    """``meta`` is there while the model is loaded."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    meta: ModelMeta | UnsetType = UNSET


class ModelList(msgspec.Struct):
    object: Literal["list"]
    data: list[ModelCard]


class ModelViews:
    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def all(self, request: Request) -> Response:
        await self._engines.refresh()
        if is_for_anthropic(request.headers):
            return _json(model_page(self._engines.served()))
        return _json({"object": "list", "data": [model.card(info) for model, info in self._engines.served()]})

    async def one(self, request: Request) -> Response:
        await self._engines.refresh()
        model, info = self._engines.find(request.path_params["model_id"])
        return _json(model_card(model, info) if is_for_anthropic(request.headers) else model.card(info))


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
