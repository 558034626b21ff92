"""Whatever a client sends, it is answered or refused: never a bug."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.api.openai.chat_request import ChatBody
from app.api.openai.completions_request import CompletionBody
from app.api.openai.embeddings import EmbeddingBody
from app.api.openai.responses_request import ResponseBody
from engine.types import GenerationRequest
from tests.doubles.http_api import Api, with_api
from tests.doubles.vendors import Embedding

ENDPOINTS: dict[str, tuple[type[msgspec.Struct], dict[str, Any]]] = {
    "/v1/chat/completions": (ChatBody, {"messages": [{"role": "user", "content": "x"}]}),
    "/v1/completions": (CompletionBody, {"prompt": "x"}),
    "/v1/embeddings": (EmbeddingBody, {"input": "x"}),
    "/v1/responses": (ResponseBody, {"input": "x"}),
}
WORDS = ("type", "text", "json_schema", "schema", "function", "name", "role", "user", "content", "auto", "required")
numbers = st.integers(-(2**65), 2**65) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.sampled_from(WORDS) | st.text(max_size=4)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(texts, children, max_size=3),
    max_leaves=8,
)


class Answering(Embedding):
    """Answers everything with a word."""

    def submit(self, request: GenerationRequest) -> None:
        self.submitted.append(request)
        assert request.sampling.problem() is None
        self.answer(request.id, "word")


def posted(path: str, bodies: list[bytes]) -> list[httpx.Response]:
    async def scenario(api: Api) -> list[httpx.Response]:
        headers = {"content-type": "application/json"}
        return [await api.client.post(path, content=body, headers=headers) for body in bodies]

    return with_api(scenario, Answering())


@pytest.mark.parametrize("path", ENDPOINTS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_body_is_a_bug(path: str, data: st.DataObject) -> None:
    body_type, least = ENDPOINTS[path]
    changes = st.dictionaries(st.sampled_from(body_type.__struct_fields__), values, max_size=4)
    bodies = [msgspec.json.encode({**least, **data.draw(changes)}) for _ in range(4)]
    for response in posted(path, bodies):
        assert response.status_code in (200, 400, 404), response.text


@pytest.mark.parametrize("path", ENDPOINTS)
def test_odd_values_of_every_field_are_refused_or_fine(path: str) -> None:
    body_type, least = ENDPOINTS[path]
    odd = [
        "NaN",
        "1e999",
        "-1",
        str(2**31),
        str(2**63),
        "9" * 400,
        '"1"',
        "null",
        "[]",
        "{}",
        "[[]]",
        '"\\u0000"',
        "1.5",
    ]
    base = msgspec.json.encode(least)[:-1]
    bodies = [base + f',"{field}":{value}}}'.encode() for field in body_type.__struct_fields__ for value in odd]
    for body, response in zip(bodies, posted(path, bodies), strict=True):
        assert response.status_code in (200, 400, 404), (body, response.text)


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize("body", [b"", b"\xff", b"[" * 20_000, b'{"a":' * 20_000, b"null", b"[]", b'"x"', b"{}"])
def test_what_is_no_question_is_refused(path: str, body: bytes) -> None:
    assert posted(path, [body])[0].status_code == 400
