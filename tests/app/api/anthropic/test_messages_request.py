"""What becomes of the body of a message."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.json import encode

from app.api.anthropic.request import parse_count, parse_messages
from app.api.errors import ApiError
from engine.types import (
    ChatMessage,
    GenerationRequest,
    RequestId,
    Role,
    SamplingParams,
    Tool,
    ToolCall,
    ToolChoice,
    ToolMode,
)

ID = RequestId("msg_1")
HELLO: dict[str, Any] = {"max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}
WEATHER = {"name": "weather", "description": "Tells it", "input_schema": {"type": "object"}}
CALL = {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Rome"}}


def parsed(body: dict[str, Any], defaults: SamplingParams | None = None) -> GenerationRequest:
    return parse_messages(encode(body), ID, defaults or SamplingParams()).request


def messages(*turns: dict[str, Any], **fields: Any) -> tuple[ChatMessage, ...]:
    return parsed({"max_tokens": 9, "messages": list(turns), **fields}).messages


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def test_a_plain_question() -> None:
    call = parse_messages(encode({**HELLO, "model": "tiny", "metadata": {"user_id": "u"}}), ID, SamplingParams())
    assert call.request == GenerationRequest(ID, (ChatMessage(Role.USER, "Hello"),), max_tokens=9)
    assert (call.model, call.is_streamed) == ("tiny", False)


def test_the_system_prompt_is_text_or_paragraphs() -> None:
    assert messages(user(text("Hi")), system="Be brief.")[0] == ChatMessage(Role.SYSTEM, "Be brief.")
    blocks = [text("Be brief.") | {"cache_control": {"type": "ephemeral"}}, text("Be kind.")]
    assert messages(user(text("Hi")), system=blocks)[0] == ChatMessage(Role.SYSTEM, "Be brief.\n\nBe kind.")


def test_sampling_takes_the_place_of_the_defaults() -> None:
    asked = parsed(
        {**HELLO, "temperature": 0.3, "top_p": 0.8, "top_k": 7, "stop_sequences": ["END", "\n"]},
        SamplingParams(temperature=1.5, min_p=0.2),
    )
    assert asked.sampling == SamplingParams(temperature=0.3, top_p=0.8, top_k=7, min_p=0.2)
    assert asked.stop == ("END", "\n")


def test_a_round_trip_of_a_tool() -> None:
    thought = {"type": "thinking", "thinking": "Rome, then.", "signature": ""}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [text("Sunny"), text(", 25 C")]}
    found = messages(
        user(text("Weather?")),
        {"role": "assistant", "content": [thought, {"type": "redacted_thinking", "data": "x"}, text("I look."), CALL]},
        user(text("Here"), result),
    )
    assert found == (
        ChatMessage(Role.USER, "Weather?"),
        ChatMessage(Role.ASSISTANT, "I look.", "Rome, then.", (ToolCall("t1", "weather", '{"city":"Rome"}'),)),
        ChatMessage(Role.TOOL, "Sunny, 25 C", tool_call_id="t1", name="weather"),
        ChatMessage(Role.USER, "Here"),
    )


def test_a_failed_tool_says_so() -> None:
    result = {"type": "tool_result", "tool_use_id": "t1", "is_error": True, "content": "No such city"}
    found = messages(user(text("Weather?")), {"role": "assistant", "content": [CALL]}, user(result))
    assert found[-1].content == "Error: No such city"


def test_the_answer_goes_on_from_an_assistants_message_at_the_end() -> None:
    turns = [{"role": "user", "content": "Count"}, {"role": "assistant", "content": "1, 2,"}]
    asked = parsed({**HELLO, "messages": turns})
    assert asked.continues
    assert asked.messages[-1] == ChatMessage(Role.ASSISTANT, "1, 2,")
    turns[1]["content"] = ""
    asked = parsed({**HELLO, "messages": turns})
    assert (asked.continues, len(asked.messages)) == (False, 1)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ToolChoice()),
        ({"type": "auto"}, ToolChoice()),
        ({"type": "auto", "disable_parallel_tool_use": True}, ToolChoice(at_most_one=True)),
        ({"type": "any"}, ToolChoice(ToolMode.REQUIRED)),
        ({"type": "tool", "name": "weather"}, ToolChoice(ToolMode.NAMED, "weather")),
        ({"type": "none"}, ToolChoice(ToolMode.NONE)),
    ],
)
def test_tools_and_how_they_may_be_called(choice: Any, expected: ToolChoice) -> None:
    asked = parsed({**HELLO, "tools": [WEATHER], "tool_choice": choice})
    assert asked.tools == (Tool("weather", "Tells it", '{"type":"object"}'),)
    assert asked.tool_choice == expected


@pytest.mark.parametrize(
    ("thinking", "expected"),
    [
        (None, None),
        ({"type": "enabled", "budget_tokens": 50}, True),
        ({"type": "disabled"}, False),
        ({"type": "adaptive"}, None),
    ],
)
def test_thinking_is_asked_for(thinking: Any, expected: bool | None) -> None:
    assert parsed({**HELLO, "thinking": thinking}).thinking is expected


def test_the_shape_of_the_output_and_the_effort() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    asked = parsed({**HELLO, "output_config": {"effort": "max", "format": {"type": "json_schema", "schema": schema}}})
    assert asked.sampling.json_schema == encode(schema).decode()
    assert asked.reasoning_effort == "high"


def test_counting_needs_no_max_tokens() -> None:
    call = parse_count(encode({"messages": HELLO["messages"], "system": "S", "tools": [WEATHER]}), ID)
    assert [message.role for message in call.request.messages] == [Role.SYSTEM, Role.USER]
    assert call.request.tools[0].name == "weather"


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
DEEP: Any = 1
for _ in range(70):
    DEEP = {"a": DEEP}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 2**31}, "max_tokens"),
        ({"temperature": 5.1}, "temperature"),
        ({"messages": [user(IMAGE)]}, "image input is not supported"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "role"),
        ({"messages": [user({"type": "text", "text": "a\0"})]}, "NUL"),
        ({"messages": [user({"type": "tool_result", "tool_use_id": "t9"})]}, "no tool_use before it"),
        ({"messages": [user(text("x")), {"role": "assistant", "content": [CALL]}]}, "no tool_result"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools of your own"),
        ({"tools": [{"name": "x", "input_schema": DEEP}]}, "nested more than"),
        ({"tools": [{"name": "a b", "input_schema": {}}]}, "name"),
        ({"tool_choice": {"type": "any"}}, "there are no tools"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "x"}}, "none of the tools"),
        ({"stop_sequences": ["x"] * 17}, "stop_sequences"),
        ({"output_config": {"format": {"type": "json_schema", "schema": DEEP}}}, "nested more than"),
    ],
)
def test_what_is_refused_is_named(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ApiError, match=said) as caught:
        parsed({**HELLO, **fields})
    assert caught.value.status == 400
