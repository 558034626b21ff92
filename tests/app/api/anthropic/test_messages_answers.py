"""The shapes of answers and errors, field by field."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from msgspec.json import decode

from engine.types import FinishReason
from tests.doubles.http_api import Api, with_api
from tests.doubles.scripted_engine import ScriptedEngine, says
from tests.doubles.vendors import Embedding, ask_at, breaks, get_at, reply, said, thinks_and_calls

PATH = "/v1/messages"
HELLO: dict[str, Any] = {"model": "tiny", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}
USAGE = {
    "input_tokens": 16,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 4,
    "output_tokens": 2,
}
CALLS = [
    {"type": "tool_use", "id": "call_a", "name": "weather", "input": {"city": "Rome"}},
    {"type": "tool_use", "id": "call_b", "name": "clock", "input": {}},
]


def events(response: httpx.Response) -> list[tuple[str, Any]]:
    found = []
    for block in response.text.split("\n\n")[:-1]:
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), decode(data.removeprefix("data: "))))
    assert all(name == data["type"] for name, data in found)
    return found


def test_a_whole_answer() -> None:
    response = ask_at(PATH, HELLO, ScriptedEngine(says("Good morning")))
    assert response.status_code == 200
    answer = response.json()
    assert answer.pop("id").startswith("msg_")
    assert answer == {
        "type": "message",
        "role": "assistant",
        "model": "tiny",
        "content": [{"type": "text", "text": "Good morning"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": USAGE,
    }


def test_a_streamed_answer() -> None:
    response = ask_at(PATH, {**HELLO, "stream": True}, ScriptedEngine(says("Good morning")))
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    (_, start), *rest = events(response)
    message = start["message"]
    assert message.pop("id").startswith("msg_")
    assert message == {
        "type": "message",
        "role": "assistant",
        "model": "tiny",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**USAGE, "output_tokens": 0},
    }
    block = {"index": 0}
    assert [data for _, data in rest] == [
        {"type": "ping"},
        {"type": "content_block_start", **block, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", **block, "delta": {"type": "text_delta", "text": "Good"}},
        {"type": "content_block_delta", **block, "delta": {"type": "text_delta", "text": " morning"}},
        {"type": "content_block_stop", **block},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": USAGE,
        },
        {"type": "message_stop"},
    ]


def test_thoughts_text_and_calls_are_blocks_in_their_order() -> None:
    answer = ask_at(PATH, HELLO, ScriptedEngine(thinks_and_calls())).json()
    thought = {"type": "thinking", "thinking": "Hmm.", "signature": ""}
    assert answer["content"] == [thought, {"type": "text", "text": "Let me look."}, *CALLS]
    assert answer["stop_reason"] == "tool_use"


def test_streamed_blocks_come_one_after_another() -> None:
    found = events(ask_at(PATH, {**HELLO, "stream": True}, ScriptedEngine(thinks_and_calls())))
    order = [(name, data["index"]) for name, data in found if "index" in data and "delta" not in name]
    kinds = ["content_block_start", "content_block_stop"]
    assert order == [(kind, index) for index in range(4) for kind in kinds]
    starts = [data["content_block"] for name, data in found if name == "content_block_start"]
    assert starts[2:] == [{**call, "input": {}} for call in CALLS]
    pieces = [
        (data["index"], data["delta"]["partial_json"])
        for name, data in found
        if name == "content_block_delta" and data["delta"]["type"] == "input_json_delta"
    ]
    assert pieces == [(2, '{"city":'), (2, '"Rome"}'), (3, "{}")]


@pytest.mark.parametrize("written", ["{broken", "[1]", '"text"'])
def test_arguments_that_are_no_object_are_handed_on_as_text(written: str) -> None:
    from engine.types import ToolCallPart

    engine = ScriptedEngine(reply(said(calls=(ToolCallPart(0, "c", "f", written),)), reason=FinishReason.TOOL_CALLS))
    (call,) = ask_at(PATH, HELLO, engine).json()["content"]
    assert call["input"] == {"INVALID_JSON": written}


@pytest.mark.parametrize(
    ("reason", "stop", "expected"),
    [
        (FinishReason.MAX_TOKENS, None, ("max_tokens", None)),
        (FinishReason.CONTEXT_FULL, None, ("model_context_window_exceeded", None)),
        (FinishReason.CANCELLED, None, ("end_turn", None)),
        (FinishReason.STOP_STRING, "END", ("stop_sequence", "END")),
        (FinishReason.STOP_STRING, "<|the template's own|>", ("end_turn", None)),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_why_it_ended(reason: FinishReason, stop: str | None, expected: tuple[str, str | None], stream: bool) -> None:
    engine = ScriptedEngine(reply(said("Hi"), reason=reason, stop=stop))
    response = ask_at(PATH, {**HELLO, "stop_sequences": ["X", "END"], "stream": stream}, engine)
    end = events(response)[-2][1]["delta"] if stream else response.json()
    assert (end["stop_reason"], end["stop_sequence"]) == expected


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_says_nothing_has_an_empty_text(stream: bool) -> None:
    response = ask_at(PATH, {**HELLO, "stream": stream}, ScriptedEngine(reply()))
    if stream:
        assert [name for name, _ in events(response)][2:4] == ["content_block_start", "content_block_stop"]
    else:
        assert response.json()["content"] == [{"type": "text", "text": ""}]


@pytest.mark.parametrize(
    ("kind", "status", "shown"),
    [
        ("ContextTooLong", 400, "invalid_request_error"),
        ("EngineBusy", 503, "overloaded_error"),
        ("EngineStopped", 500, "api_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_before_the_first_word_has_a_status(kind: str, status: int, shown: str, stream: bool) -> None:
    response = ask_at(PATH, {**HELLO, "stream": stream}, ScriptedEngine(breaks(kind)))
    assert response.status_code == status
    assert response.json() == {"type": "error", "error": {"type": shown, "message": "It failed."}}


def test_a_failure_in_the_middle_of_a_stream_is_an_event() -> None:
    engine = ScriptedEngine(breaks("EngineStopped", "It died.", said("Hi")))
    name, data = events(ask_at(PATH, {**HELLO, "stream": True}, engine))[-1]
    assert (name, data["error"]) == ("error", {"type": "api_error", "message": "It died."})


def test_a_prompt_is_counted() -> None:
    body = {name: value for name, value in HELLO.items() if name != "max_tokens"}
    engine = Embedding()
    assert ask_at(f"{PATH}/count_tokens", body, engine).json() == {"input_tokens": 12}
    assert engine.submitted == []


def test_errors_of_the_server_have_anthropics_shape_too() -> None:
    async def scenario(api: Api) -> list[httpx.Response]:
        return [
            await api.client.post(PATH, json=HELLO, headers={"authorization": "", "x-api-key": "no"}),
            await api.client.post(PATH, json={**HELLO, "model": "other"}),
            await api.client.post(PATH, content=b"{", headers={"content-type": "application/json"}),
            await api.client.get(PATH),
        ]

    responses = with_api(scenario, ScriptedEngine())
    assert [response.status_code for response in responses] == [401, 404, 400, 405]
    assert {response.json()["type"] for response in responses} == {"error"}
    assert responses[0].json()["error"]["type"] == "authentication_error"
    assert responses[1].json()["error"]["type"] == "not_found_error"


def test_models_are_listed_in_anthropics_shape_for_its_clients() -> None:
    headers = {"anthropic-version": "2023-06-01"}
    page = get_at("/v1/models", ScriptedEngine(), headers).json()
    card = {
        "type": "model",
        "id": "tiny",
        "display_name": "Tiny Model",
        "created_at": "2023-11-14T22:13:20Z",
        "lifecycle": "active",
        "max_input_tokens": 4096,
    }
    assert page == {"data": [card], "has_more": False, "first_id": "tiny", "last_id": "tiny"}
    assert get_at("/v1/models/tiny", ScriptedEngine(), headers).json() == card
    assert get_at("/v1/models", ScriptedEngine()).json()["object"] == "list"
