"""What OpenAI's other endpoints answer, field by field, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from app.api.errors import ApiError
from app.api.openai.responses_store import ResponseStore
from engine.events import RequestFinished, TokensEmitted
from engine.types import (
    ChatMessage,
    FinishReason,
    GenerationRequest,
    Overflow,
    Role,
    TokenLogprob,
    ToolChoice,
    ToolMode,
    Usage,
)
from tests.doubles.http_api import sse
from tests.doubles.scripted_engine import ScriptedEngine, says
from tests.doubles.vendors import TIMES, Embedding, ask_at, get_at

COMPLETIONS = "/v1/completions"
RESPONSES = "/v1/responses"


def with_logprobs(engine: ScriptedEngine, request: GenerationRequest) -> None:
    best = ((b"Hi", -0.5), (b"Ho", -1.5))
    engine.emit(TokensEmitted(request.id, "Hi", 1, (TokenLogprob(b"Hi", -0.5, best),)))
    engine.emit(TokensEmitted(request.id, " you", 2, (TokenLogprob(b" you", -0.1),)))
    engine.emit(RequestFinished(request.id, FinishReason.MAX_TOKENS, Usage(20, 4, 2, 4096), TIMES))


def test_a_completion() -> None:
    body = ask_at(COMPLETIONS, {"prompt": "Say"}, ScriptedEngine(says("Good morning"))).json()
    assert body["id"].startswith("cmpl-")
    assert (body["object"], body["model"], body["usage"]["total_tokens"]) == ("text_completion", "tiny", 22)
    assert body["choices"] == [{"text": "Good morning", "index": 0, "logprobs": None, "finish_reason": "stop"}]


@pytest.mark.parametrize("stream", [False, True])
def test_log_probabilities_of_a_completion_are_side_by_side(stream: bool) -> None:
    response = ask_at(COMPLETIONS, {"prompt": "Say", "logprobs": 2, "stream": stream}, ScriptedEngine(with_logprobs))
    answers = sse(response.text)[:-1] if stream else [response.json()]
    found = [answer["choices"][0]["logprobs"] for answer in answers if answer["choices"][0]["logprobs"]]
    joined = {name: [value for part in found for value in part[name]] for name in found[0]}
    assert joined == {
        "tokens": ["Hi", " you"],
        "token_logprobs": [-0.5, -0.1],
        "top_logprobs": [{"Hi": -0.5, "Ho": -1.5}, {}],
        "text_offset": [0, 2],
    }


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        (COMPLETIONS, {"prompt": "x", "suffix": "y"}, "suffix"),
        (COMPLETIONS, {"prompt": "x", "best_of": 2}, "best_of"),
        (COMPLETIONS, {"prompt": [1], "echo": True}, "echo"),
        (COMPLETIONS, {"prompt": "x", "echo": True, "logprobs": 1}, "echo"),
        (COMPLETIONS, {"prompt": [1, "x"]}, "prompt"),
        (COMPLETIONS, {"prompt": []}, "prompt"),
        (COMPLETIONS, {"prompt": ["x"] * 65}, "prompt"),
        (COMPLETIONS, {"prompt": [[1000]]}, "prompt"),
        ("/v1/embeddings", {"input": []}, "input"),
        ("/v1/embeddings", {"input": [1000]}, "input"),
        ("/v1/embeddings", {"input": "x", "dimensions": 7}, "dimensions"),
        ("/v1/embeddings", {"input": "x", "encoding_format": "hex"}, "encoding_format"),
        (RESPONSES, {"input": "x", "background": True}, "background"),
        (RESPONSES, {"input": "x", "conversation": "c"}, "conversation"),
        (RESPONSES, {"input": "x", "tools": [{"type": "web_search"}]}, "tools[0].type"),
        (RESPONSES, {"input": "x", "tool_choice": {"type": "function", "name": "f"}}, "tool_choice"),
        (RESPONSES, {"input": [{"role": "user"}]}, "input[0].content"),
        (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].type"),
        (RESPONSES, {"input": [{"type": "function_call", "name": "f"}]}, "input[0].call_id"),
        (RESPONSES, {"input": [{"type": "function_call_output", "call_id": "f"}]}, "input[0].output"),
    ],
)
def test_a_wrong_field_is_named(path: str, fields: dict[str, Any], param: str) -> None:
    response = ask_at(path, fields, ScriptedEngine())
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


def test_a_response_shows_how_it_was_asked_for() -> None:
    tool = {"type": "function", "name": "f", "description": None, "parameters": {"type": "object"}, "strict": True}
    wanted = {"type": "json_schema", "name": "n", "schema": {"const": 1}, "description": None, "strict": True}
    asked = {
        "input": [{"role": "developer", "content": "Be kind."}, {"role": "user", "content": "Hello"}],
        "instructions": "Be brief.",
        "tools": [tool],
        "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
        "text": {"format": wanted},
        "reasoning": {"effort": "high"},
        "metadata": {"a": "b"},
        "truncation": "auto",
        "max_output_tokens": 9,
        "temperature": 0.5,
    }
    engine = ScriptedEngine(says("1"))
    body = ask_at(RESPONSES, asked, engine).json()
    for name in ("instructions", "tools", "tool_choice", "metadata", "truncation", "max_output_tokens", "temperature"):
        assert body[name] == asked[name]
    assert body["text"] == {"format": wanted}
    assert (body["object"], body["status"], body["error"], body["store"]) == ("response", "completed", None, True)
    assert [(item["type"], item["status"], item["role"]) for item in body["output"]] == [
        ("message", "completed", "assistant")
    ]
    assert body["usage"] == {
        "input_tokens": 20,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 16},
        "output_tokens": 1,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 21,
    }
    (request,) = engine.submitted
    assert request.messages == (ChatMessage(Role.SYSTEM, "Be brief.\n\nBe kind."), ChatMessage(Role.USER, "Hello"))
    assert (request.overflow, request.reasoning_effort, request.max_tokens) == (Overflow.ROLL, "high", 9)
    assert request.tool_choice == ToolChoice(ToolMode.REQUIRED)
    assert request.sampling.json_schema == '{"const":1}'


def test_a_response_without_a_word_is_an_empty_message() -> None:
    body = ask_at(
        RESPONSES, {"input": "x"}, ScriptedEngine(lambda engine, request: engine.finish(request.id, 0))
    ).json()
    assert body["output"][0]["content"] == [{"type": "output_text", "text": "", "annotations": [], "logprobs": []}]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions/input_tokens", {"messages": [{"role": "user", "content": "x"}]}),
        ("/v1/responses/input_tokens", {"input": "x"}),
    ],
)
def test_the_tokens_of_a_prompt_are_counted(path: str, body: dict[str, Any]) -> None:
    assert ask_at(path, body, Embedding()).json() == {"object": "response.input_tokens", "input_tokens": 12}


def test_the_oldest_responses_go_first() -> None:
    store = ResponseStore(max_responses=2, max_bytes=100)
    store.keep("a", b"1", ())
    store.keep("b", b"2", ())
    assert store.messages("a") == ()
    store.keep("c", b"3", (ChatMessage(Role.USER, "x" * 10),))
    assert (store.body("a"), store.body("c")) == (b"1", b"3")
    with pytest.raises(ApiError):
        store.body("b")
    store.keep("d", b"4", (ChatMessage(Role.USER, "x" * 95),))
    assert store.body("d") == b"4"
    with pytest.raises(ApiError):
        store.body("c")
    store.keep("e", b"5" * 101, ())
    with pytest.raises(ApiError):
        store.body("e")


def test_the_document_describes_every_path_and_body() -> None:
    document = get_at("/openapi.json", ScriptedEngine()).json()
    chat = document["paths"]["/v1/chat/completions"]["post"]
    assert chat["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/ChatBody")
    assert set(chat["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    assert {"200", "400", "401", "403", "404", "413", "415", "503"} <= set(chat["responses"])
    assert {"get", "delete"} == set(document["paths"]["/v1/responses/{response_id}"])
    show = document["paths"]["/api/show"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert show["anyOf"] == [{"required": ["model"]}, {"required": ["name"]}]
    assert document["paths"]["/health"]["get"]["security"] == []
    references = _references(document)
    assert references
    assert references <= {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}


def _references(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(_references, value))
    if not isinstance(value, dict):
        return set()
    own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
    return own.union(*map(_references, value.values()))
