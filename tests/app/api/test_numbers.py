"""Every number of every body, beyond its range or no number at all: refused, and never an error of ours."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest
from msgspec import inspect

from app.api.anthropic.request import MessagesBody
from app.api.ollama.request import GenerateBody, OllamaChatBody
from app.api.openai.chat_request import ChatBody
from app.api.openai.completions_request import CompletionBody
from app.api.openai.embeddings import EmbeddingBody
from app.api.openai.responses_request import ResponseBody
from engine.types import GenerationRequest
from tests.doubles.http_api import Api, with_api
from tests.doubles.vendors import Embedding

Number = inspect.IntType | inspect.FloatType

_MESSAGES: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}]}
BODIES: dict[str, tuple[type[msgspec.Struct], dict[str, Any]]] = {
    "/v1/chat/completions": (ChatBody, _MESSAGES),
    "/v1/completions": (CompletionBody, {"prompt": "Hello"}),
    "/v1/embeddings": (EmbeddingBody, {"input": "Hello"}),
    "/v1/responses": (ResponseBody, {"input": "Hello"}),
    "/v1/messages": (MessagesBody, {**_MESSAGES, "max_tokens": 4}),
    "/api/chat": (OllamaChatBody, {**_MESSAGES, "stream": False}),
    "/api/generate": (GenerateBody, {"model": "tiny", "prompt": "Hello", "stream": False}),
}
NEVER_NUMBERS: tuple[Any, ...] = (math.nan, math.inf, -math.inf, "1", [], {}, True)


class Answering(Embedding):
    def submit(self, request: GenerationRequest) -> None:
        self.submitted.append(request)
        self.answer(request.id, "Good morning")


def numbers(kind: type[msgspec.Struct]) -> Iterator[tuple[tuple[str, ...], Number]]:
    """The fields that are a number or null, and those of the structs below: where they stand, and their range."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    for field in info.fields:
        members = field.type.types if isinstance(field.type, inspect.UnionType) else (field.type,)
        rest = [member for member in members if not isinstance(member, inspect.NoneType)]
        if len(rest) == 1 and isinstance(rest[0], inspect.IntType | inspect.FloatType):
            yield (field.encode_name,), rest[0]
        elif len(rest) == 1 and isinstance(rest[0], inspect.StructType):
            yield from (((field.encode_name, *path), number) for path, number in numbers(rest[0].cls))


FIELDS = [(path, field, number) for path, (kind, _) in BODIES.items() for field, number in numbers(kind)]
NAMES = [f"{path} {'.'.join(field)}" for path, field, _ in FIELDS]


def edges(number: Number) -> tuple[float, float]:
    """The least and the greatest value that the field's type allows."""
    assert number.ge is not None
    assert number.le is not None
    return number.ge, number.le


def out_of_range(number: Number) -> list[Any]:
    least, greatest = edges(number)
    beyond = [value for value in (2**31, 2**63, 2**64, 10**400) if value > greatest]
    return [least - 1, greatest + 1, *beyond]


def body_with(path: str, field: tuple[str, ...], value: Any) -> bytes:
    """``value`` may be one that JSON does not know: it is written as JavaScript would."""
    for name in reversed(field):
        value = {name: value}
    return json.dumps({**BODIES[path][1], **value}).encode()


def statuses(path: str, field: tuple[str, ...], values: list[Any]) -> list[int]:
    async def scenario(api: Api) -> list[httpx.Response]:
        headers = {"content-type": "application/json"}
        bodies = [body_with(path, field, value) for value in values]
        return [await api.client.post(path, content=body, headers=headers) for body in bodies]

    return [response.status_code for response in with_api(scenario, Answering())]


@pytest.mark.parametrize("path", BODIES)
def test_bodies_have_numbers(path: str) -> None:
    assert list(numbers(BODIES[path][0]))


@pytest.mark.parametrize(("path", "field", "number"), FIELDS, ids=NAMES)
def test_what_is_no_number_of_the_range_is_refused(path: str, field: tuple[str, ...], number: Number) -> None:
    values = [*out_of_range(number), *NEVER_NUMBERS]
    found = dict(zip(map(repr, values), statuses(path, field, values), strict=True))
    assert found == dict.fromkeys(found, 400)


@pytest.mark.parametrize(("path", "field", "number"), FIELDS, ids=NAMES)
def test_the_ends_of_the_range_are_no_error_of_ours(path: str, field: tuple[str, ...], number: Number) -> None:
    values = [*edges(number), None]
    assert set(statuses(path, field, values)) <= {200, 400}
