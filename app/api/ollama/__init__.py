"""Ollama's API, for the programs that know a local model by it. Models are not managed through it."""

from __future__ import annotations

from functools import partial

from app.api.endpoint import Endpoint
from app.api.engines import Engines
from app.api.ollama.embeddings import (
    EmbedBody,
    Embeddings,
    EmbedEndpoint,
    OldEmbedBody,
    OldEmbedding,
    OldEmbedEndpoint,
)
from app.api.ollama.errors import OllamaErrorBody, error_body
from app.api.ollama.generation import GenerationEndpoint
from app.api.ollama.models import ModelViews, RunningModels, ShowEndpoint, Shown, ShowRequest, Tags, Version
from app.api.ollama.request import GenerateBody, OllamaChatBody, parse_chat, parse_generate
from app.api.ollama.response import ChatAnswer, ChatAnswerWriter, GenerateAnswer, GenerateAnswerWriter
from engine.types import SamplingParams

__all__ = ["routes"]

_endpoint = partial(Endpoint, tag="Ollama", error_body=error_body, error=OllamaErrorBody)
_stream = partial(_endpoint, "POST", event_type="application/x-ndjson", statuses=(404,))
_MANAGEMENT = (
    ("POST", "/api/pull"),
    ("POST", "/api/push"),
    ("POST", "/api/create"),
    ("POST", "/api/copy"),
    ("DELETE", "/api/delete"),
    ("POST", "/api/blobs/{digest}"),
)


def routes(engines: Engines, defaults: SamplingParams) -> list[Endpoint]:
    """``defaults`` are used for what a client leaves open."""
    views = ModelViews(engines)
    chat = GenerationEndpoint(engines, defaults, parse_chat, ChatAnswerWriter)
    generate = GenerationEndpoint(engines, defaults, parse_generate, GenerateAnswerWriter)
    embed, old_embed = EmbedEndpoint(engines), OldEmbedEndpoint(engines)
    return [
        _stream("/api/chat", chat, "Answer a conversation", body=OllamaChatBody, answer=ChatAnswer, event=ChatAnswer),
        _stream(
            "/api/generate",
            generate,
            "Go on from a prompt",
            body=GenerateBody,
            answer=GenerateAnswer,
            event=GenerateAnswer,
        ),
        _endpoint("POST", "/api/embed", embed, "Embed texts", body=EmbedBody, answer=Embeddings, statuses=(404,)),
        _endpoint(
            "POST",
            "/api/embeddings",
            old_embed,
            "Embed a text",
            body=OldEmbedBody,
            answer=OldEmbedding,
            statuses=(404,),
        ),
        _endpoint("GET", "/api/tags", views.tags, "List the models", answer=Tags),
        _endpoint("GET", "/api/ps", views.running, "List the models that are loaded", answer=RunningModels),
        _endpoint(
            "POST",
            "/api/show",
            ShowEndpoint(engines),
            "Describe a model",
            body=ShowRequest,
            answer=Shown,
            statuses=(404,),
        ),
        _endpoint("GET", "/api/version", views.version, "The version of Ollama's API", answer=Version),
        _endpoint("GET", "/", views.root, "Say that somebody is there", answer=str, answer_type="text/plain"),
        *(
            _endpoint(method, path, views.elsewhere, "Models are managed in the window", statuses=(501,))
            for method, path in _MANAGEMENT
        ),
    ]
