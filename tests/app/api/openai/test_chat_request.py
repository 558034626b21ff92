"""What a client may ask, and what becomes of it."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.api.body import MAX_DEPTH
from app.api.errors import ApiError
from app.api.openai.chat_request import parse_chat
from engine.types import (
    ChatMessage,
    GenerationRequest,
    RequestId,
    Role,
    SamplingParams,
    ToolCall,
    ToolChoice,
    ToolMode,
)
from tests.doubles.http_api import HELLO, ask
from tests.doubles.scripted_engine import ScriptedEngine, says

DEFAULTS = SamplingParams(temperature=0.3)


def parsed(**fields: Any) -> GenerationRequest:
    return parse_chat(msgspec.json.encode({**HELLO, **fields}), RequestId("r"), DEFAULTS).requests[0]


def refused(**fields: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        parsed(**fields)
    assert caught.value.status == 400
    return caught.value


def message(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **more}}


def test_what_is_left_open_is_as_the_user_set_it() -> None:
    assert parsed() == GenerationRequest(RequestId("r"), (ChatMessage(Role.USER, "Hello"),), DEFAULTS)


def test_null_is_the_same_as_nothing() -> None:
    fields = ("model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "stop", "temperature")
    fields += ("top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty", "repeat_penalty", "seed", "tools")
    fields += ("tool_choice", "parallel_tool_calls", "reasoning_effort", "chat_template_kwargs", "functions", "grammar")
    fields += ("continue_final_message", "add_generation_prompt", "json_schema", "mirostat", "typical_p", "audio")
    fields += ("logit_bias", "logprobs", "top_logprobs", "response_format", "conversation", "unheard_of")
    assert parsed(**dict.fromkeys(fields)) == parsed()


def test_every_sampler_is_passed_on() -> None:
    numbers = {"temperature": 0, "top_p": 0.5, "top_k": 3, "min_p": 0.1, "repeat_penalty": 1.5, "repeat_last_n": 8}
    numbers |= {"frequency_penalty": -1.0, "presence_penalty": 2}
    sampling = parsed(**numbers, seed=7, logit_bias={"5": -100}, logprobs=True, top_logprobs=3).sampling
    assert sampling == SamplingParams(**numbers, seed=7, logit_bias=((5, -100.0),), n_logprobs=3)


@pytest.mark.parametrize(
    ("seed", "used"),
    [(0, 0), (-1, None), (2**32 - 2, 2**32 - 2), (2**32 - 1, 0), (2**63 - 1, 2**31 - 1), (-2, 2**32 - 3)],
)
def test_long_seeds_are_folded_and_minus_one_is_random(seed: int, used: int | None) -> None:
    assert parsed(seed=seed).sampling.seed == used
    assert parsed(seed=seed).sampling.problem() is None


def test_the_roles_and_their_texts() -> None:
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    asked = [message("developer", "Be brief."), message("user", parts), message("assistant", "x"), message("user", "y")]
    assert parsed(messages=asked).messages == (
        ChatMessage(Role.SYSTEM, "Be brief."),
        ChatMessage(Role.USER, "one two"),
        ChatMessage(Role.ASSISTANT, "x"),
        ChatMessage(Role.USER, "y"),
    )


@pytest.mark.parametrize("given_as", ["max_tokens", "max_completion_tokens"])
def test_the_length_of_an_answer_has_two_names(given_as: str) -> None:
    assert parsed(**{given_as: 5}).max_tokens == 5


def test_stop_strings_may_be_one_or_several() -> None:
    assert parsed(stop="end").stop == ("end",)
    assert parsed(stop=["a", "b"]).stop == ("a", "b")
    assert parsed(stop=[]).stop == ()


def test_a_conversation_of_a_client_is_none_of_the_windows() -> None:
    assert parsed(conversation="12").conversation == "api:12"


@pytest.mark.parametrize(
    ("wanted", "schema"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"type": "object"}),
        ({"type": "json_object", "schema": {"type": "array"}}, {"type": "array"}),
        ({"type": "json_schema", "json_schema": {"name": "n", "schema": {"const": 1}}}, {"const": 1}),
    ],
)
def test_json_is_asked_for_in_openais_ways(wanted: Any, schema: Any) -> None:
    found = parsed(response_format=wanted).sampling.json_schema
    assert (None if found is None else json.loads(found)) == schema


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": "Hello"}, "messages"),
        ({"messages": [message("function", "x")]}, "messages[0].role"),
        ({"messages": [{"content": "x"}]}, "messages[0]"),
        ({"messages": [message("user", None)]}, "messages[0].content"),
        ({"messages": [message("user", [{"type": "image_url", "image_url": {}}])]}, "messages[0].content[0].type"),
        ({"messages": [{**message("assistant", "x"), "function_call": {}}]}, "messages[0].function_call"),
        ({"messages": [message("user", "a\0b")]}, "messages[0].content"),
        ({"stop": "\0"}, "stop"),
        ({"stop": ""}, "stop"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"stop": "x" * 1001}, "stop"),
        ({"n": 9}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": "1"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"logit_bias": {"-1": 1}}, "logit_bias"),
        ({"logit_bias": {str(2**31): 1}}, "logit_bias"),
        ({"logit_bias": {str(n): 1 for n in range(1025)}}, "logit_bias"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"response_format": {"type": "json_object"}, "grammar": "root ::= x"}, "grammar"),
        ({"tools": [{"type": "function"}]}, "tools[0]"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"tools": [tool("a")] * 129}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": "sometimes"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "b"}}, "tools": [tool("a")]}, "tool_choice"),
        ({"functions": [{"name": "a"}]}, "functions"),
        ({"function_call": "auto"}, "function_call"),
        ({"audio": {"voice": "x"}}, "audio"),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"continue_final_message": True}, "continue_final_message"),
        ({"continue_final_message": True, "add_generation_prompt": True}, "continue_final_message"),
        ({"add_generation_prompt": False}, "add_generation_prompt"),
        ({"conversation": ""}, "conversation"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], param: str) -> None:
    error = refused(**fields)
    assert error.param == param
    assert error.message.endswith(".")


def test_tools_and_how_they_may_be_called() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    tools = [tool("weather", description="Looks out.", parameters=schema, strict=True), tool("time")]
    asked = parsed(tools=tools)
    weather, time = asked.tools
    assert (weather.name, weather.description, json.loads(weather.parameters)) == ("weather", "Looks out.", schema)
    assert json.loads(time.parameters) == {"type": "object", "properties": {}}
    assert asked.tool_choice == ToolChoice()
    assert parsed(tools=tools, tool_choice="none").tool_choice == ToolChoice(ToolMode.NONE)
    assert parsed(tools=tools, tool_choice="required").tool_choice == ToolChoice(ToolMode.REQUIRED)
    assert parsed(tools=tools, parallel_tool_calls=False).tool_choice == ToolChoice(at_most_one=True)
    named = parsed(tools=tools, tool_choice=tool("time")).tool_choice
    assert named == ToolChoice(ToolMode.NAMED, "time", at_most_one=True)


def test_of_many_tools_only_some_may_be_allowed() -> None:
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [tool("b")]}}
    asked = parsed(tools=[tool("a"), tool("b")], tool_choice=allowed)
    assert [one.name for one in asked.tools] == ["b"]
    assert asked.tool_choice == ToolChoice(ToolMode.REQUIRED)


def test_a_round_of_tools_comes_back_in_the_history() -> None:
    call = {"id": "call_7", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
    asked = parsed(
        messages=[
            message("user", "Weather?"),
            {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "Look."},
            {"role": "tool", "tool_call_id": "call_7", "content": [{"type": "text", "text": "Rain"}]},
        ]
    )
    assert asked.messages == (
        ChatMessage(Role.USER, "Weather?"),
        ChatMessage(Role.ASSISTANT, "", "Look.", (ToolCall("call_7", "weather", '{"city":"Oslo"}'),)),
        ChatMessage(Role.TOOL, "Rain", tool_call_id="call_7", name="weather"),
    )


def test_arguments_that_are_no_text_are_made_one() -> None:
    call = {"function": {"name": "f", "arguments": {"a": 1}}}
    asked = parsed(messages=[{"role": "assistant", "tool_calls": [call]}])
    assert asked.messages[0].tool_calls == (ToolCall("call_0", "f", '{"a":1}'),)


@pytest.mark.parametrize(
    ("fields", "thinking", "effort"),
    [
        ({}, None, None),
        ({"reasoning_effort": "none"}, False, None),
        ({"reasoning_effort": "minimal"}, None, "low"),
        ({"reasoning_effort": "medium"}, None, "medium"),
        ({"reasoning_effort": "xhigh"}, None, "high"),
        ({"chat_template_kwargs": {"enable_thinking": False}}, False, None),
        ({"chat_template_kwargs": {"thinking": True}, "reasoning_effort": "none"}, True, None),
    ],
)
def test_how_much_is_thought(fields: dict[str, Any], thinking: bool | None, effort: str | None) -> None:
    asked = parsed(**fields)
    assert (asked.thinking, asked.reasoning_effort) == (thinking, effort)


def test_an_answer_may_be_begun_by_the_client() -> None:
    begun = [message("user", "Count"), message("assistant", "One, ")]
    assert parsed(messages=begun, continue_final_message=True, add_generation_prompt=False).continues
    assert parsed(messages=begun, continue_final_message=True).continues
    assert parsed(messages=begun, add_generation_prompt=False).continues
    assert not parsed(messages=begun).continues


def test_two_answers_at_the_end_are_no_question() -> None:
    messages = [message("user", "a"), message("assistant", "b"), message("assistant", "c")]

    assert refused(messages=messages).param == "messages"


def test_several_answers_have_seeds_of_their_own() -> None:
    body = msgspec.json.encode({**HELLO, "n": 3, "seed": 2**32 - 2})
    asked = parse_chat(body, RequestId("r"), DEFAULTS).requests
    assert [request.id for request in asked] == ["r", "r-1", "r-2"]
    assert [request.sampling.seed for request in asked] == [2**32 - 2, 0, 1]
    assert {request.messages for request in asked} == {asked[0].messages}


@pytest.mark.parametrize("part", ["image_url", "input_audio", "file", "video_url"])
def test_pictures_and_sounds_are_refused_in_words(part: str) -> None:
    error = refused(messages=[message("user", [{"type": "text", "text": "What is this?"}, {"type": part, part: {}}])])
    assert "reads text only" in error.message


def test_a_schema_may_nest_so_deep_and_no_deeper() -> None:
    def nested(depth: int) -> dict[str, Any]:
        schema: dict[str, Any] = {}
        for _ in range(depth - 1):
            schema = {"items": schema}
        return {"type": "json_object", "schema": {"items": schema}}

    assert parsed(response_format=nested(MAX_DEPTH - 1)).sampling.json_schema
    assert refused(response_format=nested(MAX_DEPTH + 1)).param == "response_format"


def test_a_token_that_the_model_does_not_have_cannot_be_biased() -> None:
    assert ask({**HELLO, "logit_bias": {"1000": 1}}, ScriptedEngine()).status_code == 400
    assert ask({**HELLO, "logit_bias": {"999": 1}}, ScriptedEngine(says("x"))).status_code == 200


RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0, 5),
    "top_p": (0, 1),
    "top_k": (0, 1_000_000),
    "min_p": (0, 1),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
    "repeat_penalty": (0.1, 5),
    "repeat_last_n": (0, 65_536),
    "typical_p": (0, 1),
    "dry_multiplier": (0, 10),
    "dry_base": (1, 10),
    "dry_allowed_length": (1, 1024),
    "xtc_probability": (0, 1),
    "xtc_threshold": (0, 1),
    "mirostat": (0, 2),
    "mirostat_tau": (0, 20),
    "mirostat_eta": (0, 1),
    "seed": (-(2**63), 2**63 - 1),
    "max_tokens": (1, 2**31 - 1),
    "max_completion_tokens": (1, 2**31 - 1),
    "n": (1, 8),
    "top_logprobs": (0, 20),
}
OTHER_FIELDS = ("messages", "model", "stream", "stream_options", "stop", "logit_bias", "logprobs", "response_format")
OTHER_FIELDS += ("tools", "conversation", "user", "tool_choice", "parallel_tool_calls", "functions", "grammar")
OTHER_FIELDS += ("reasoning_effort", "chat_template_kwargs", "continue_final_message", "add_generation_prompt")
ODD = ["NaN", "Infinity", "-Infinity", "1e999", str(2**31), str(2**63), "9" * 400, "-1", "1.5", '"1"', "null", "true"]
ODD += ["[]", "{}", "[[]]", '{"type": null}', '"\\u0000"', '"\\ud800"', "-9223372036854775809"]


@pytest.mark.parametrize("field", [*RANGES, *OTHER_FIELDS])
def test_odd_values_are_refused_or_fine(field: str) -> None:
    low, high = RANGES.get(field, (0, 0))
    for value in [*ODD, repr(low - 1), repr(high + 1)]:
        check_never_a_bug(f'{{"messages":[{{"role":"user","content":"x"}}],"{field}":{value}}}'.encode())


@pytest.mark.parametrize("field", RANGES)
def test_ranges_include_their_ends_and_nothing_beyond(field: str) -> None:
    low, high = RANGES[field]
    more = {"logprobs": True} if field == "top_logprobs" else {}
    assert parsed(**{field: low}, **more).sampling.problem() is None
    assert parsed(**{field: high}, **more).sampling.problem() is None
    for beyond in (low - 1, high + 1):
        assert refused(**{field: beyond}, **more).param in (field, None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from([*RANGES, *OTHER_FIELDS]), json_values, max_size=4))
def test_no_body_is_a_bug(fields: dict[str, Any]) -> None:
    check_never_a_bug(json.dumps({**HELLO, **fields}).encode())


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=40))
def test_no_bytes_are_a_bug(body: bytes) -> None:
    check_never_a_bug(body)


def check_never_a_bug(body: bytes) -> None:
    """Refused with 400, or a request that the engine's own check lets through."""
    with contextlib.suppress(Refused400):
        for request in parsed_or_refused(body):
            assert request.sampling.problem() is None
            assert request.messages
            assert request.max_tokens is None or request.max_tokens >= 1


class Refused400(Exception):
    pass


def parsed_or_refused(body: bytes) -> tuple[GenerationRequest, ...]:
    try:
        return parse_chat(body, RequestId("r"), DEFAULTS).requests
    except ApiError as error:
        if error.status == 400:
            raise Refused400 from error
        raise
