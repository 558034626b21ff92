"""The endpoints that clients of OpenAI expect."""

from __future__ import annotations

from functools import partial

from app.api.endpoint import Endpoint
from app.api.engines import Engines
from app.api.openai.chat import ChatEndpoint, ChatTokensEndpoint, InputTokens
from app.api.openai.chat_request import ChatBody
from app.api.openai.chat_response import ChatChunk, ChatCompletion
from app.api.openai.completions import CompletionEndpoint
from app.api.openai.completions_request import CompletionBody
from app.api.openai.completions_response import Completion
from app.api.openai.embeddings import EmbeddingBody, EmbeddingEndpoint, EmbeddingList
from app.api.openai.models import ModelCard, ModelList, ModelViews
from app.api.openai.responses import ResponseEndpoint, ResponseTokensEndpoint, ResponseViews
from app.api.openai.responses_request import ResponseBody
from app.api.openai.responses_shapes import Deleted, ResponseEvent, ResponseObject
from app.api.openai.responses_store import ResponseStore
from engine.types import SamplingParams

_get = partial(Endpoint, "GET", tag="OpenAI")
_post = partial(Endpoint, "POST", tag="OpenAI")


def routes(engines: Engines, defaults: SamplingParams) -> list[Endpoint]:
    """``defaults`` are used for what a client leaves open.

    Paths without /v1 are there for clients whose base address lacks it, and for those of llama-server.
    """
    models = ModelViews(engines)
    return [
        _get("/v1/models", models.all, "List the models that can be asked for.", answer=ModelList),
        _get("/v1/models/{model_id:path}", models.one, "Describe a model.", answer=ModelCard),
        *_chat(engines, defaults),
        _post(
            "/v1/completions",
            CompletionEndpoint(engines, defaults),
            "Go on from prompts as they stand.",
            body=CompletionBody,
            answer=Completion,
            event=Completion,
            aliases=("/completions",),
        ),
        _post(
            "/v1/embeddings",
            EmbeddingEndpoint(engines),
            "Turn texts into vectors.",
            body=EmbeddingBody,
            answer=EmbeddingList,
            aliases=("/embeddings",),
        ),
        *_responses(engines, defaults),
    ]


def _chat(engines: Engines, defaults: SamplingParams) -> list[Endpoint]:
    return [
        _post(
            "/v1/chat/completions",
            ChatEndpoint(engines, defaults),
            "Answer a conversation.",
            body=ChatBody,
            answer=ChatCompletion,
            event=ChatChunk,
            aliases=("/chat/completions",),
        ),
        _post(
            "/v1/chat/completions/input_tokens",
            ChatTokensEndpoint(engines, defaults),
            "Count the tokens of a conversation's prompt.",
            body=ChatBody,
            answer=InputTokens,
            aliases=("/chat/completions/input_tokens",),
        ),
    ]


def _responses(engines: Engines, defaults: SamplingParams) -> list[Endpoint]:
    store = ResponseStore()
    views = ResponseViews(store)
    return [
        _post(
            "/v1/responses",
            ResponseEndpoint(engines, defaults, store),
            "Answer with a list of items. The last responses are kept in memory, unless store is false.",
            body=ResponseBody,
            answer=ResponseObject,
            event=ResponseEvent,
            aliases=("/responses",),
        ),
        _post(
            "/v1/responses/input_tokens",
            ResponseTokensEndpoint(engines, defaults, store),
            "Count the tokens of a response's prompt.",
            body=ResponseBody,
            answer=InputTokens,
        ),
        _get("/v1/responses/{response_id}", views.get, "Show a response that was given before.", answer=ResponseObject),
        Endpoint(
            "DELETE",
            "/v1/responses/{response_id}",
            views.delete,
            "Forget a response.",
            "OpenAI",
            answer=Deleted,
        ),
    ]
