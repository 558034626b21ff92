"""Anthropic's messages, as its clients and the agents that are built on them ask for them."""

from __future__ import annotations

from functools import partial

from app.api.anthropic.errors import MessagesErrorBody, error_body
from app.api.anthropic.messages import CountEndpoint, MessagesEndpoint, TokenCount
from app.api.anthropic.models import is_for_anthropic, model_card, model_page
from app.api.anthropic.request import CountBody, MessagesBody
from app.api.anthropic.response import MessagesAnswer, MessagesEvent
from app.api.endpoint import Endpoint
from app.api.engines import Engines
from engine.types import SamplingParams

__all__ = ["is_for_anthropic", "model_card", "model_page", "routes"]

_endpoint = partial(Endpoint, "POST", tag="Anthropic", error_body=error_body, error=MessagesErrorBody)


def routes(engines: Engines, defaults: SamplingParams) -> list[Endpoint]:
    """``defaults`` are used for what a client leaves open."""
    return [
        _endpoint(
            "/v1/messages",
            MessagesEndpoint(engines, defaults),
            "Answer a conversation, whole or as a stream",
            body=MessagesBody,
            answer=MessagesAnswer,
            event=MessagesEvent,
            statuses=(404,),
        ),
        _endpoint(
            "/v1/messages/count_tokens",
            CountEndpoint(engines),
            "Count the tokens of a conversation's prompt",
            body=CountBody,
            answer=TokenCount,
            statuses=(404,),
        ),
    ]
