"""The API as OpenAI's own client uses it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from engine.events import TokensEmitted
from engine.types import FinishReason, GenerationRequest, RequestId, Role, ToolCall, ToolMode
from tests.doubles.http_api import KEY
from tests.doubles.loopback import on_loopback
from tests.doubles.scripted_engine import ScriptedEngine, says
from tests.doubles.vendors import Abandoned, Embedding, breaks, reply, said, thinks_and_calls

HELLO: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}]}
PARAMETERS: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS: Any = [
    {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}},
    {"type": "function", "function": {"name": "clock"}},
]
RESPONSE_TOOLS: Any = [{"type": "function", "name": "weather", "parameters": PARAMETERS, "strict": True}]


class City(BaseModel):
    name: str
    people: int


@contextmanager
def client_of(engine: ScriptedEngine, key: str = KEY) -> Iterator[openai.OpenAI]:
    with (
        on_loopback(engine) as address,
        openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0, timeout=20) as client,
    ):
        yield client


def test_a_plain_question() -> None:
    with client_of(ScriptedEngine(says("Good morning"))) as client:
        answer = client.chat.completions.create(**HELLO)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("Good morning", "stop")
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 4


def test_a_stream_with_its_usage() -> None:
    with client_of(ScriptedEngine(says("Good morning"))) as client:
        options: Any = {"include_usage": True}
        chunks = list(client.chat.completions.create(**HELLO, stream=True, stream_options=options))
    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert [text for text in texts if text] == ["Good", " morning"]
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == [22]


def test_several_answers_count_their_prompt_once() -> None:
    with client_of(ScriptedEngine(says("One"), says("Two two"), says("Three"))) as client:
        answer = client.chat.completions.create(**HELLO, n=3)
    assert [choice.message.content for choice in answer.choices] == ["One", "Two two", "Three"]
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (20, 4)


def test_several_answers_stream_beside_each_other() -> None:
    with client_of(ScriptedEngine(says("One"), says("Two two"))) as client:
        options: Any = {"include_usage": True}
        chunks = list(client.chat.completions.create(**HELLO, n=2, stream=True, stream_options=options))
    texts = {0: "", 1: ""}
    for choice in (choice for chunk in chunks for choice in chunk.choices):
        texts[choice.index] += choice.delta.content or ""
    assert texts == {0: "One", 1: "Two two"}
    assert [chunk.usage.completion_tokens for chunk in chunks if chunk.usage] == [3]


def test_an_answer_in_a_shape_is_parsed() -> None:
    engine = ScriptedEngine(says('{"name":"Oslo","people":700000}'))
    with client_of(engine) as client:
        answer = client.chat.completions.parse(**HELLO, response_format=City)
    assert answer.choices[0].message.parsed == City(name="Oslo", people=700_000)
    assert '"people"' in (engine.submitted[0].sampling.json_schema or "")


@pytest.mark.parametrize("stream", [False, True])
def test_a_round_trip_of_tools(stream: bool) -> None:
    engine = ScriptedEngine(thinks_and_calls(), says("It is sunny."))
    with client_of(engine) as client:
        asked = {**HELLO, "tools": TOOLS, "tool_choice": "required"}
        if stream:
            with client.chat.completions.stream(**asked) as streamed:
                choice = streamed.get_final_completion().choices[0]
        else:
            choice = client.chat.completions.create(**asked).choices[0]
        calls: Any = choice.message.tool_calls
        assert choice.finish_reason == "tool_calls"
        assert choice.message.content == "Let me look."
        assert choice.message.model_extra == {"reasoning_content": "Hmm."} or stream
        assert [(call.id, call.function.name, call.function.arguments) for call in calls] == [
            ("call_a", "weather", '{"city":"Rome"}'),
            ("call_b", "clock", "{}"),
        ]
        results = [{"role": "tool", "tool_call_id": call.id, "content": "Sunny"} for call in calls]
        turns = [*HELLO["messages"], choice.message.model_dump(exclude_none=True), *results]
        second = client.chat.completions.create(**{**HELLO, "messages": turns})
    assert second.choices[0].message.content == "It is sunny."
    assert engine.submitted[0].tool_choice.mode is ToolMode.REQUIRED
    assert engine.submitted[1].messages[1].tool_calls == (
        ToolCall("call_a", "weather", '{"city":"Rome"}'),
        ToolCall("call_b", "clock", "{}"),
    )
    assert [message.name for message in engine.submitted[1].messages[2:]] == ["weather", "clock"]


def test_a_streamed_call_names_its_function_first() -> None:
    with client_of(ScriptedEngine(thinks_and_calls())) as client:
        chunks = list(client.chat.completions.create(**HELLO, tools=TOOLS, stream=True))
    deltas: list[Any] = [chunk.choices[0].delta for chunk in chunks]
    pieces = [call.model_dump(exclude_unset=True) for delta in deltas for call in delta.tool_calls or ()]
    assert pieces == [
        {"index": 0, "id": "call_a", "type": "function", "function": {"name": "weather", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"city":'}},
        {"index": 0, "function": {"arguments": '"Rome"}'}},
        {"index": 1, "id": "call_b", "type": "function", "function": {"name": "clock", "arguments": ""}},
        {"index": 1, "function": {"arguments": "{}"}},
    ]
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == "Hmm."


def test_a_prompt_is_gone_on_from() -> None:
    engine = ScriptedEngine(says("upon a"), says("more"), says("x"), says("y"))
    with client_of(engine) as client:
        answer = client.completions.create(model="tiny", prompt=["Once ", "Twice "], echo=True, n=1)
        streamed = client.completions.create(model="tiny", prompt=[5, 6], n=2, stream=True)
        texts = ["", ""]
        for chunk in streamed:
            texts[chunk.choices[0].index] += chunk.choices[0].text
    assert [choice.text for choice in answer.choices] == ["Once upon a", "Twice more"]
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (40, 3)
    assert texts == ["x", "y"]
    assert [request.prompt for request in engine.submitted] == ["Once ", "Twice ", (5, 6), (5, 6)]
    assert [request.max_tokens for request in engine.submitted] == [16] * 4


@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_embeddings(encoding: Any) -> None:
    options = {} if encoding is None else {"encoding_format": encoding}
    with client_of(Embedding()) as client:
        answer = client.embeddings.create(model="tiny", input=["a", "b"], **options)
    vector: Any = answer.data[1].embedding
    assert vector == "mpkZP83MTD8AAAAA" if encoding == "base64" else vector == pytest.approx([0.6, 0.8, 0.0])
    assert answer.usage.prompt_tokens == 10


def test_a_response_and_the_next_one() -> None:
    engine = ScriptedEngine(says("Blue"), says("Dark blue"))
    with client_of(engine) as client:
        first = client.responses.create(model="tiny", input="A colour?", instructions="Be brief.")
        second = client.responses.create(model="tiny", input="Darker?", previous_response_id=first.id)
        assert client.responses.retrieve(second.id).output_text == "Dark blue"
        client.responses.delete(first.id)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(first.id)
    assert (first.output_text, first.status) == ("Blue", "completed")
    assert first.usage is not None
    assert first.usage.input_tokens_details.cached_tokens == 4
    assert [(message.role, message.content) for message in engine.submitted[1].messages] == [
        (Role.USER, "A colour?"),
        (Role.ASSISTANT, "Blue"),
        (Role.USER, "Darker?"),
    ]


def test_a_response_that_is_not_to_be_kept_is_gone() -> None:
    with client_of(ScriptedEngine(says("Blue"))) as client:
        first = client.responses.create(model="tiny", input="A colour?", store=False)
        with pytest.raises(openai.NotFoundError):
            client.responses.create(model="tiny", input="Darker?", previous_response_id=first.id)


def test_a_streamed_response_has_its_events_in_order() -> None:
    with client_of(ScriptedEngine(thinks_and_calls())) as client:
        events = list(client.responses.create(model="tiny", input="Weather?", tools=RESPONSE_TOOLS, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    begins = ["response.output_item.added", "response.content_part.added"]
    ends = ["response.content_part.done", "response.output_item.done"]
    call = "response.function_call_arguments"
    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        *begins,
        "response.reasoning_text.delta",
        "response.reasoning_text.delta",
        "response.reasoning_text.done",
        *ends,
        *begins,
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        *ends,
        "response.output_item.added",
        f"{call}.delta",
        f"{call}.delta",
        f"{call}.done",
        "response.output_item.done",
        "response.output_item.added",
        f"{call}.delta",
        f"{call}.done",
        "response.output_item.done",
        "response.completed",
    ]
    last: Any = events[-1]
    assert [item.type for item in last.response.output] == ["reasoning", "message", "function_call", "function_call"]
    assert last.response.output_text == "Let me look."


def test_the_helper_for_streamed_responses_and_a_round_trip_of_a_tool() -> None:
    engine = ScriptedEngine(thinks_and_calls(), says("Sunny."))
    with client_of(engine) as client:
        with client.responses.stream(model="tiny", input="Weather?", tools=RESPONSE_TOOLS) as streamed:
            for _ in streamed:
                pass
            first = streamed.get_final_response()
        turns: list[Any] = [{"role": "user", "content": "Weather?"}]
        turns += [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in first.output]
        calls = [item for item in first.output if item.type == "function_call"]
        turns += [{"type": "function_call_output", "call_id": call.call_id, "output": "Sunny"} for call in calls]
        second = client.responses.create(model="tiny", input=turns)
    assert second.output_text == "Sunny."
    _, assistant, *results = engine.submitted[1].messages
    assert (assistant.content, assistant.reasoning) == ("Let me look.", "Hmm.")
    assert [call.name for call in assistant.tool_calls] == ["weather", "clock"]
    assert [(result.role, result.name) for result in results] == [(Role.TOOL, "weather"), (Role.TOOL, "clock")]


def test_a_response_in_a_shape_is_parsed() -> None:
    with client_of(ScriptedEngine(says('{"name":"Oslo","people":7}'))) as client:
        answer = client.responses.parse(model="tiny", input="A city", text_format=City)
    assert answer.output_parsed == City(name="Oslo", people=7)


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_that_is_cut_is_incomplete(stream: bool) -> None:
    with client_of(ScriptedEngine(reply(said("Once"), reason=FinishReason.MAX_TOKENS))) as client:
        if stream:
            last: Any = list(client.responses.create(model="tiny", input="x", stream=True))[-1]
            assert last.type == "response.incomplete"
            answer = last.response
        else:
            answer = client.responses.create(model="tiny", input="x")
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert answer.output[0].status == "incomplete"


def test_a_response_that_breaks_half_way_says_so() -> None:
    with client_of(ScriptedEngine(breaks("EngineStopped", "It stopped.", said("Once")))) as client:
        last: Any = list(client.responses.create(model="tiny", input="x", stream=True))[-1]
    assert (last.type, last.response.status, last.response.error.message) == (
        "response.failed",
        "failed",
        "It stopped.",
    )


def test_a_client_that_leaves_in_mid_stream_stops_the_work() -> None:
    engine = Abandoned()
    with client_of(engine) as client:
        stream = client.chat.completions.create(**HELLO, stream=True)
        assert next(iter(stream)).choices[0].delta.role == "assistant"
        stream.close()
        assert engine.is_cancelled.wait(10)


def test_a_wrong_key_and_a_wrong_model() -> None:
    with client_of(ScriptedEngine(), "wrong") as client, pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(**HELLO)
    with client_of(ScriptedEngine()) as client, pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(**{**HELLO, "model": "gpt-9"})
    assert caught.value.code == "model_not_found"


def test_a_prompt_that_is_too_long() -> None:
    text = "This conversation is 5,000 tokens long, but the context holds 4,096."
    engine = ScriptedEngine(breaks("ContextTooLong", text))
    with client_of(engine) as client, pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**HELLO)
    assert caught.value.code == "context_length_exceeded"
    assert "5,000" in caught.value.message
    assert "4,096" in caught.value.message


def test_the_models() -> None:
    with client_of(ScriptedEngine()) as client:
        assert [model.id for model in client.models.list()] == ["tiny"]
        assert client.models.retrieve("tiny").owned_by == "hearth"


def test_one_of_several_answers_that_fails_ends_them_all() -> None:
    def fails_late(engine: ScriptedEngine, request: GenerationRequest) -> None:
        breaks("EngineStopped", "It stopped.", said("x"))(engine, request)

    engine = ScriptedEngine(_begins, fails_late)
    with client_of(engine) as client, pytest.raises(openai.InternalServerError):
        client.chat.completions.create(**HELLO, n=2)
    assert engine.cancelled == [engine.submitted[0].id]


def _begins(engine: ScriptedEngine, request: GenerationRequest) -> None:
    engine.emit(TokensEmitted(RequestId(request.id), "Once", 1))
