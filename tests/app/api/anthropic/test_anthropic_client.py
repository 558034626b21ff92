"""The API as Anthropic's own client uses it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anthropic
import pytest

from tests.doubles.http_api import KEY
from tests.doubles.loopback import on_loopback
from tests.doubles.scripted_engine import ScriptedEngine, says
from tests.doubles.vendors import Abandoned, Embedding, breaks, reply, said, thinks_and_calls

HELLO: dict[str, Any] = {"model": "tiny", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}
WEATHER: Any = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


@contextmanager
def client_of(engine: ScriptedEngine, key: str = KEY) -> Iterator[anthropic.Anthropic]:
    with (
        on_loopback(engine) as address,
        anthropic.Anthropic(base_url=address, api_key=key, max_retries=0, timeout=20) as client,
    ):
        yield client


def test_a_plain_question() -> None:
    with client_of(ScriptedEngine(says("Good morning"))) as client:
        message = client.messages.create(**HELLO)
    assert message.content[0].text == "Good morning"
    assert (message.stop_reason, message.usage.input_tokens, message.usage.output_tokens) == ("end_turn", 16, 2)


def test_a_stream() -> None:
    with client_of(ScriptedEngine(says("Good morning"))) as client, client.messages.stream(**HELLO) as stream:
        assert list(stream.text_stream) == ["Good", " morning"]
        final = stream.get_final_message()
    assert (final.content[0].text, final.stop_reason) == ("Good morning", "end_turn")
    assert (final.usage.input_tokens, final.usage.cache_read_input_tokens, final.usage.output_tokens) == (16, 4, 2)


@pytest.mark.parametrize("stream", [False, True])
def test_a_round_trip_of_a_tool(stream: bool) -> None:
    engine = ScriptedEngine(thinks_and_calls(), says("It is sunny."))
    with client_of(engine) as client:
        asked = {**HELLO, "tools": [WEATHER], "thinking": {"type": "enabled", "budget_tokens": 1024}}
        if stream:
            with client.messages.stream(**asked) as streamed:
                first = streamed.get_final_message()
        else:
            first = client.messages.create(**asked)
        assert [block.type for block in first.content] == ["thinking", "text", "tool_use", "tool_use"]
        assert [block.input for block in first.content[2:]] == [{"city": "Rome"}, {}]
        results = [{"type": "tool_result", "tool_use_id": b.id, "content": "Sunny"} for b in first.content[2:]]
        turns = [*HELLO["messages"], first.to_param(), {"role": "user", "content": results}]
        second = client.messages.create(**{**asked, "messages": turns})
    assert second.content[0].text == "It is sunny."
    _, answer, one, two = engine.submitted[1].messages
    assert (answer.reasoning, [call.id for call in answer.tool_calls]) == ("Hmm.", ["call_a", "call_b"])
    assert [(result.tool_call_id, result.name) for result in (one, two)] == [("call_a", "weather"), ("call_b", "clock")]


def test_the_shape_of_the_output_is_asked_for() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False}
    engine = ScriptedEngine(reply(said('{"n":1}')))
    with client_of(engine) as client:
        client.messages.create(**HELLO, output_config={"format": {"type": "json_schema", "schema": schema}})
    assert '"integer"' in (engine.submitted[0].sampling.json_schema or "")


def test_tokens_are_counted_and_models_are_listed() -> None:
    with client_of(Embedding()) as client:
        counted = client.messages.count_tokens(model="tiny", messages=HELLO["messages"])
        assert counted.input_tokens == 12
        assert [model.id for model in client.models.list()] == ["tiny"]
        assert client.models.retrieve("tiny").display_name == "Tiny Model"


def test_leaving_a_stream_stops_the_answer() -> None:
    engine = Abandoned()
    with client_of(engine) as client:
        with client.messages.stream(**HELLO) as stream:
            assert next(iter(stream.text_stream)) == "Once"
        assert engine.is_cancelled.wait(10)


def test_a_wrong_key_a_wrong_model_and_a_failure_raise_their_own_errors() -> None:
    with client_of(ScriptedEngine(), key="wrong") as client, pytest.raises(anthropic.AuthenticationError):
        client.messages.create(**HELLO)
    with client_of(ScriptedEngine()) as client, pytest.raises(anthropic.NotFoundError, match="other"):
        client.messages.create(**{**HELLO, "model": "other"})
    engine = ScriptedEngine(breaks("ContextTooLong", "Too long."))
    with client_of(engine) as client, pytest.raises(anthropic.BadRequestError, match="Too long"):
        client.messages.create(**HELLO)


def test_a_failure_in_the_middle_of_a_stream_raises() -> None:
    engine = ScriptedEngine(breaks("EngineStopped", "It died.", said("Hi")))
    with (
        client_of(engine) as client,
        client.messages.stream(**HELLO) as stream,
        pytest.raises(anthropic.APIStatusError, match="It died"),
    ):
        stream.until_done()
