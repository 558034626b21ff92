"""The list of models as Anthropic's clients read it, at the path that OpenAI's has too."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import Headers

from app.api.models import ServedModel
from engine.types import ModelInfo

_VERSION_HEADER = "anthropic-version"


def is_for_anthropic(headers: Headers) -> bool:
    """Whether a client of Anthropic's asks: they all name the version of its API that they speak."""
    return _VERSION_HEADER in headers


def model_page(served: Iterable[tuple[ServedModel, ModelInfo | None]]) -> dict[str, Any]:
    """All of them on one page."""
    cards = [model_card(model, info) for model, info in served]
    return {
        "data": cards,
        "has_more": False,
        "first_id": cards[0]["id"] if cards else None,
        "last_id": cards[-1]["id"] if cards else None,
    }


def model_card(model: ServedModel, info: ModelInfo | None) -> dict[str, Any]:
    """``info`` None while it is not loaded."""
    created = datetime.fromtimestamp(model.created_s, UTC)
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.name,
        "created_at": created.isoformat().replace("+00:00", "Z"),
        "lifecycle": "active",
        "max_input_tokens": info.n_ctx if info is not None else model.n_ctx_train or None,
    }
