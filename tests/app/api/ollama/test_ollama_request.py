"""What becomes of the bodies of chat and generate."""

from __future__ import annotations

import math
from typing import Any

import pytest
from msgspec.json import encode

from app.api.errors import ApiError
from app.api.ollama.options import keep_alive_s
from app.api.ollama.request import OllamaCall, parse_chat, parse_generate
from engine.types import (
    ChatMessage,
    GenerationRequest,
    Overflow,
    RequestId,
    Role,
    SamplingParams,
    Tool,
    ToolCall,
)

ID = RequestId("ollama-1")
HELLO: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}]}
PROMPT: dict[str, Any] = {"model": "tiny", "prompt": "Hello"}
CALL = {"function": {"name": "weather", "arguments": {"city": "Rome"}}}


def chat(body: dict[str, Any], defaults: SamplingParams | None = None) -> OllamaCall:
    return parse_chat(encode(body), ID, defaults or SamplingParams())


def request(body: dict[str, Any]) -> GenerationRequest:
    found = chat(body).request
    assert found is not None
    return found


def generate(**fields: Any) -> GenerationRequest | None:
    return parse_generate(encode({**PROMPT, **fields}), ID, SamplingParams()).request


def test_a_plain_question_is_streamed_unless_it_says_otherwise() -> None:
    call = chat(HELLO)
    assert call.request == GenerationRequest(ID, (ChatMessage(Role.USER, "Hello"),))
    assert (call.model, call.is_streamed, call.keep_alive_s, call.n_ctx) == ("tiny", True, None, None)
    assert not chat({**HELLO, "stream": False}).is_streamed


def test_options_take_the_place_of_the_defaults() -> None:
    options = {
        "temperature": 0.1,
        "top_k": -1,
        "repeat_last_n": -1,
        "mirostat": 2,
        "seed": 2**40,
        "num_predict": 12,
        "stop": ["END"],
        "num_ctx": 1024,
        "num_gpu": 99,
        "unheard_of": "x",
    }
    call = chat({**HELLO, "options": options}, SamplingParams(min_p=0.2))
    asked = call.request
    assert asked is not None
    expected = SamplingParams(
        temperature=0.1, top_k=0, repeat_last_n=65_536, mirostat=2, min_p=0.2, seed=2**40 % (2**32 - 1)
    )
    assert (asked.sampling, asked.max_tokens, asked.stop) == (expected, 12, ("END",))
    assert call.n_ctx == 1024


@pytest.mark.parametrize("n_predict", [-2, -1, 0, None])
def test_without_a_number_of_tokens_it_goes_on_until_it_ends(n_predict: int | None) -> None:
    assert request({**HELLO, "options": {"num_predict": n_predict}}).max_tokens is None


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        (None, None),
        (0, 0.0),
        (90, 90.0),
        (-1, math.inf),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("1.5s", 1.5),
        ("250ms", 0.25),
        ("-1m", math.inf),
        ("-1", math.inf),
        ("60", 60.0),
        ("0", 0.0),
        (1e11, math.inf),
    ],
)
def test_how_long_a_model_is_kept(asked: Any, seconds: float | None) -> None:
    assert chat({**HELLO, "keep_alive": asked}).keep_alive_s == seconds
    assert keep_alive_s(None) is None


def test_a_round_trip_of_tools_by_name_by_order_and_by_id() -> None:
    two = {"function": {"name": "clock", "arguments": {}}, "id": "c9"}
    turns = [
        {"role": "user", "content": "Weather and time?"},
        {"role": "assistant", "content": "", "thinking": "Hm.", "tool_calls": [CALL, CALL, two]},
        {"role": "tool", "content": "12:00", "tool_call_id": "c9"},
        {"role": "tool", "content": "Sunny", "tool_name": "weather"},
        {"role": "tool", "content": "Rain"},
        {"role": "tool", "content": "Nobody asked"},
    ]
    tool = {"type": "function", "function": {"name": "weather", "description": "Tells it", "parameters": {"a": 1}}}
    asked = request({**HELLO, "messages": turns, "tools": [tool]})
    rome = '{"city":"Rome"}'
    calls = (
        ToolCall("call_1_0", "weather", rome),
        ToolCall("call_1_1", "weather", rome),
        ToolCall("c9", "clock", "{}"),
    )
    assert asked.messages[1:] == (
        ChatMessage(Role.ASSISTANT, "", "Hm.", calls),
        ChatMessage(Role.TOOL, "12:00", tool_call_id="c9", name="clock"),
        ChatMessage(Role.TOOL, "Sunny", tool_call_id="call_1_0", name="weather"),
        ChatMessage(Role.TOOL, "Rain", tool_call_id="call_1_1", name="weather"),
        ChatMessage(Role.TOOL, "Nobody asked"),
    )
    assert asked.tools == (Tool("weather", "Tells it", '{"a":1}'),)


@pytest.mark.parametrize(
    ("format_", "schema"),
    [(None, None), ("", None), ("json", '{"type":"object"}'), ({"type": "array"}, '{"type":"array"}'), ({}, "{}")],
)
def test_the_format_is_a_schema(format_: Any, schema: str | None) -> None:
    assert request({**HELLO, "format": format_}).sampling.json_schema == schema


@pytest.mark.parametrize(
    ("think", "thinking", "effort"),
    [(None, None, None), (True, True, None), (False, False, None), ("low", True, "low")],
)
def test_thinking_is_asked_for(think: Any, thinking: bool | None, effort: str | None) -> None:
    asked = request({**HELLO, "think": think})
    assert (asked.thinking, asked.reasoning_effort) == (thinking, effort)


def test_old_messages_are_left_out_only_where_that_is_asked_for() -> None:
    assert request(HELLO).overflow is Overflow.STOP
    assert request({**HELLO, "truncate": True}).overflow is Overflow.ROLL


def test_the_answer_goes_on_from_an_assistants_message_at_the_end() -> None:
    assert request({**HELLO, "messages": [{"role": "assistant", "content": "1, 2,"}]}).continues


def test_a_prompt_with_and_without_a_template() -> None:
    made = generate(system="Be brief.")
    assert made is not None
    assert made.messages == (ChatMessage(Role.SYSTEM, "Be brief."), ChatMessage(Role.USER, "Hello"))
    raw = generate(raw=True)
    assert raw is not None
    assert (raw.messages, raw.prompt) == ((), "Hello")


def test_a_question_that_is_none_only_loads() -> None:
    assert chat({"model": "tiny"}).request is None
    assert chat({"model": "tiny", "messages": []}).request is None
    assert generate(prompt="") is None
    assert generate(prompt=None, keep_alive=0) is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model": ""}, "model"),
        ({"model": None}, "model"),
        ({"messages": [{"role": "user", "content": "x", "images": ["AA=="]}]}, "image input is not supported"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "role"),
        ({"messages": [{"role": "user", "content": "a\0"}]}, "NUL"),
        ({"messages": [{"role": "assistant", "tool_calls": [CALL]}]}, "no result"),
        ({"options": {"temperature": -1}}, "options.temperature"),
        ({"options": {"stop": ["x"] * 17}}, "options.stop"),
        ({"format": "yaml"}, 'format must be "json"'),
        ({"think": "often"}, "think"),
        ({"keep_alive": "5 minutes"}, "keep_alive is a time"),
        ({"keep_alive": "5y"}, "keep_alive is a time"),
        ({"top_logprobs": 21}, "top_logprobs"),
    ],
)
def test_what_is_refused_is_named(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ApiError, match=said) as caught:
        chat({**HELLO, **fields})
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"suffix": "x"}, "suffix is not supported"),
        ({"template": "x"}, "template is not supported"),
        ({"context": [1]}, "context is of the past"),
        ({"images": ["AA=="]}, "image input is not supported"),
        ({"raw": True, "system": "x"}, "there is no system prompt"),
    ],
)
def test_what_generate_refuses_is_named(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ApiError, match=said):
        generate(**fields)
