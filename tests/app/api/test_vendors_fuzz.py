"""Whatever is sent to the paths of Anthropic and Ollama: an answer comes, or an error of the client's."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.types import EmbeddingRequest, GenerationRequest
from tests.doubles.http_api import Api, with_api
from tests.doubles.vendors import Embedding

_WORDS = """
user assistant system tool text thinking tool_use tool_result image enabled auto any none custom json json_schema
function 5m -1 tiny tiny:latest
"""
_FIELDS = """
model messages max_tokens system tools tool_choice thinking output_config stop_sequences temperature top_p top_k stream
prompt input options format keep_alive think raw context template suffix images logprobs top_logprobs truncate
dimensions role content type text id name input_schema tool_use_id function arguments tool_calls num_predict num_ctx
stop seed repeat_last_n mirostat effort schema is_error budget_tokens
"""
NUMBERS = st.sampled_from([-1, 0, 1, 2, 5.1, 1e308, 2**31, 2**63, 2**64, -(2**63) - 1])
SCALARS = st.none() | st.booleans() | NUMBERS | st.floats() | st.text(max_size=8) | st.just("\0")
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
WORDS = st.sampled_from(_WORDS.split())
FIELDS = st.sampled_from(_FIELDS.split())
NESTED = st.recursive(
    VALUES | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=5),
    max_leaves=12,
)
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": WORDS | VALUES, "content": st.text(max_size=5) | NESTED}), min_size=1, max_size=3
)
BODIES = st.fixed_dictionaries(
    {"model": st.just("tiny") | VALUES},
    optional={"max_tokens": st.just(5) | VALUES, "messages": MESSAGES | NESTED, "prompt": st.text(max_size=5) | VALUES},
).flatmap(lambda body: st.dictionaries(FIELDS, NESTED, max_size=4).map(lambda more: {**more, **body}))
PATHS = (
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/api/chat",
    "/api/generate",
    "/api/embed",
    "/api/embeddings",
    "/api/show",
)


class Answering(Embedding):
    """Answers every request."""

    def submit(self, request: GenerationRequest) -> None:
        self.submitted.append(request)
        self.answer(request.id, "Good morning")

    def embed(self, request: EmbeddingRequest) -> None:
        assert all(request.inputs)
        super().embed(request)


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(bodies=st.lists(BODIES | NESTED, min_size=1, max_size=8))
def test_no_body_is_an_error_of_ours(path: str, bodies: list[Any]) -> None:
    async def scenario(api: Api) -> list[httpx.Response]:
        headers = {"content-type": "application/json"}
        texts = [json.dumps(body).encode(errors="replace") for body in bodies]
        return [await api.client.post(path, content=text, headers=headers) for text in texts]

    for body, response in zip(bodies, with_api(scenario, Answering()), strict=True):
        assert response.status_code < 500, body
        if response.status_code >= 400:
            assert response.json()["error"], body
