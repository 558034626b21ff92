"""Errors as Ollama's clients expect them."""

from __future__ import annotations

import msgspec

from app.api.errors import ApiError


class OllamaErrorBody(msgspec.Struct):
    error: str


def error_body(error: ApiError) -> bytes:
    """``{"error": "..."}``, which is also the last line of a stream that fails half-way."""
    return msgspec.json.encode(OllamaErrorBody(error.message))
