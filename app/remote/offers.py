"""What a server has: its list of models, and what it tells of one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx

from app.remote.address import root_of
from app.remote.errors import RemoteError, not_understood
from app.remote.http import get_json, open_client
from app.remote.types import Connection, OfferedModel

_MAX_MODELS = 10_000
_MAX_NAME_CHARS = 500
_MAX_COUNT = 2**53
_LLAMA_CPP = "llamacpp"


async def offered_models(to: Connection) -> tuple[OfferedModel, ...]:
    """All models of a server, in its order. Raises RemoteError."""
    async with open_client(to) as client:
        return await list_models(client, to)


async def list_models(client: httpx.AsyncClient, to: Connection) -> tuple[OfferedModel, ...]:
    """Raises RemoteError."""
    answer = await get_json(client, f"{to.address}/models", to)
    listed = answer.get("data") if isinstance(answer, dict) else answer
    if not isinstance(listed, list):
        raise not_understood(to, "Its list of models is none.")
    found = [_offered(item) for item in listed[:_MAX_MODELS] if isinstance(item, dict)]
    return tuple({model.name: model for model in found if _is_name(model.name)}.values())


async def describe(client: httpx.AsyncClient, to: Connection, name: str) -> OfferedModel:
    """What is known of one model. Raises RemoteError where the server does not have it."""
    offered = {model.name: model for model in await list_models(client, to)}
    model = offered.get(name)
    if model is None:
        text = f"{to.server_name} has no model {name} any more."
        raise RemoteError(text, "Edit the server to see which models it has.")
    if model.n_ctx == 0 and model.owner == _LLAMA_CPP:
        return replace(model, n_ctx=await _n_ctx_of_llama_server(client, to))
    return model


async def _n_ctx_of_llama_server(client: httpx.AsyncClient, to: Connection) -> int:
    """How much of its context one conversation may take. Some have this page switched off."""
    try:
        props = await get_json(client, f"{root_of(to.address)}/props", to)
    except RemoteError:
        return 0
    settings = props.get("default_generation_settings") if isinstance(props, dict) else None
    return _count(settings.get("n_ctx")) if isinstance(settings, dict) else 0


def _offered(item: dict[str, Any]) -> OfferedModel:
    meta = item.get("meta")
    facts: dict[str, Any] = meta if isinstance(meta, dict) else {}
    return OfferedModel(
        name=item["id"] if isinstance(item.get("id"), str) else "",
        n_ctx=_count(facts.get("n_ctx")) or _count(item.get("max_model_len")) or _count(item.get("context_length")),
        n_ctx_train=_count(facts.get("n_ctx_train")),
        n_params=_count(facts.get("n_params")),
        size_bytes=_count(facts.get("size")),
        n_vocab=_count(facts.get("n_vocab")),
        owner=item["owned_by"] if isinstance(item.get("owned_by"), str) else "",
    )


def _is_name(name: str) -> bool:
    return 0 < len(name) <= _MAX_NAME_CHARS and name.isprintable()


def _count(value: Any) -> int:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and 0 < value <= _MAX_COUNT else 0
