"""What Ollama tells about models: ``/api/tags``, ``/api/show``, ``/api/ps``, and that it is there at all."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from app.api.body import decode
from app.api.engines import Engines, LoadedModel
from app.api.errors import ApiError, invalid
from app.api.exchange import Exchange
from app.api.fields import Name
from app.api.models import ServedModel
from app.api.ollama.names import asked_name, shown_name
from engine.types import ModelInfo

_API_VERSION = "0.13.0"
"""Of the Ollama whose API this follows: clients look for it to know what they may ask for."""

_NEVER = datetime(9999, 12, 31, tzinfo=UTC)
_NO_PLACE = "Models are managed in Hearth's window."
_BILLION, _MILLION = 1_000_000_000, 1_000_000


class ModelDetails(msgspec.Struct):
    family: str
    families: list[str]
    parameter_size: str
    quantization_level: str
    parent_model: str = ""
    format: str = "gguf"


class Tag(msgspec.Struct):
    """``digest`` stands for the file, but is not that of its content, which would have to be read for it."""

    name: str
    model: str
    modified_at: datetime
    size: int
    digest: str
    details: ModelDetails


class Tags(msgspec.Struct):
    models: list[Tag]


class RunningModel(msgspec.Struct):
    """``size`` is an estimate. A model that stays has a date far away."""

    name: str
    model: str
    size: int
    digest: str
    details: ModelDetails
    expires_at: datetime
    size_vram: int
    context_length: int


class RunningModels(msgspec.Struct):
    models: list[RunningModel]


class ShowBody(msgspec.Struct, kw_only=True):
    """``name`` is from the past."""

    model: Name | None = None
    name: Name | None = None


ShowRequest = Annotated[
    ShowBody, msgspec.Meta(extra_json_schema={"anyOf": [{"required": ["model"]}, {"required": ["name"]}]})
]
"""As the document states it: one of the names must be there."""


class Shown(msgspec.Struct):
    """A model has no Modelfile here, and its template is not in Ollama's language."""

    details: ModelDetails
    model_info: dict[str, Any]
    capabilities: list[str]
    modified_at: datetime
    modelfile: str = ""
    parameters: str = ""
    template: str = ""


class Version(msgspec.Struct):
    version: str


_SHOW = msgspec.json.Decoder(ShowBody)


class ModelViews:
    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def root(self, request: Request) -> Response:
        """What clients ask to see whether anybody is there."""
        return PlainTextResponse("Hearth is running")

    async def version(self, request: Request) -> Response:
        return _json(Version(_API_VERSION))

    async def tags(self, request: Request) -> Response:
        await self._engines.refresh()
        return _json(Tags([_tag(model) for model, _ in self._engines.served()]))

    async def running(self, request: Request) -> Response:
        return _json(RunningModels([_running(loaded) for loaded in self._engines.loaded()]))

    async def elsewhere(self, request: Request) -> Response:
        """Raises ApiError for everything that would change which models there are."""
        raise ApiError(501, "not_implemented", _NO_PLACE)


class ShowEndpoint:
    """An ASGI application."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises ApiError, before anything was sent."""
        exchange = Exchange(scope, receive, send)
        body = await exchange.body()
        if body is not None:
            await exchange.run(self._show(decode(body, _SHOW), exchange))

    async def _show(self, asked: ShowBody, exchange: Exchange) -> None:
        wanted = asked.model or asked.name
        if wanted is None:
            raise invalid("model is missing.", "model")
        await self._engines.refresh()
        model, info = self._engines.find(asked_name(self._engines, wanted))
        await exchange.respond(msgspec.json.encode(_shown(model, info)))


def _shown(model: ServedModel, info: ModelInfo | None) -> Shown:
    return Shown(_details(model), _facts(model, info), _capabilities(model, info), _date(model))


def _facts(model: ServedModel, info: ModelInfo | None) -> dict[str, Any]:
    """By the names that GGUF files have for them."""
    facts: dict[str, Any] = {
        "general.architecture": model.architecture,
        "general.name": model.name,
        "general.parameter_count": model.n_params,
        f"{model.architecture}.context_length": model.n_ctx_train,
    }
    return facts if info is None else facts | {f"{model.architecture}.embedding_length": info.n_embd}


def _capabilities(model: ServedModel, info: ModelInfo | None) -> list[str]:
    """Ollama's words. Whoever writes text can be told about tools, in plain words if need be."""
    writes = "bert" not in model.architecture if info is None else info.can_chat
    if not writes:
        return ["embedding"]
    return ["completion", "tools", "thinking"] if info is not None and info.can_reason else ["completion", "tools"]


def _tag(model: ServedModel) -> Tag:
    name = shown_name(model)
    return Tag(name, name, _date(model), model.size_bytes, _digest(model), _details(model))


def _running(loaded: LoadedModel) -> RunningModel:
    model, until_s = loaded.model, loaded.expires_at_s
    return RunningModel(
        name=shown_name(model),
        model=shown_name(model),
        size=loaded.size_bytes,
        digest=_digest(model),
        details=_details(model),
        expires_at=_NEVER if until_s is None else datetime.fromtimestamp(until_s, UTC),
        size_vram=0,
        context_length=0 if loaded.info is None else loaded.info.n_ctx,
    )


def _details(model: ServedModel) -> ModelDetails:
    return ModelDetails(model.architecture, [model.architecture], _size(model.n_params), model.quantization)


def _size(n_params: int) -> str:
    if n_params >= _BILLION:
        return f"{n_params / _BILLION:.1f}B"
    return f"{n_params / _MILLION:.2f}M"


def _digest(model: ServedModel) -> str:
    return hashlib.sha256(f"{model.id}\0{model.size_bytes}\0{model.created_s}".encode()).hexdigest()


def _date(model: ServedModel) -> datetime:
    return datetime.fromtimestamp(model.created_s, UTC)


def _json(value: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
