"""The API as Ollama's own client uses it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import ollama
import pytest

from tests.doubles.http_api import KEY
from tests.doubles.loopback import on_loopback
from tests.doubles.scripted_engine import ScriptedEngine, says
from tests.doubles.vendors import Abandoned, Embedding, breaks, reply, said, thinks_and_calls

HELLO = [{"role": "user", "content": "Hello"}]


@contextmanager
def client_of(engine: ScriptedEngine, key: str = KEY) -> Iterator[ollama.Client]:
    headers = {"authorization": f"Bearer {key}"}
    with on_loopback(engine) as address, ollama.Client(address, headers=headers, timeout=20) as client:
        yield client


def weather(city: str) -> str:
    """Tells the weather.

    Args:
      city: where
    """
    return f"Sunny in {city}"


def test_a_plain_question() -> None:
    with client_of(ScriptedEngine(says("Good morning"), says("Good evening"))) as client:
        chat = client.chat("tiny", HELLO)
        generated = client.generate("tiny:latest", "Hello")
    assert (chat.message.content, chat.done_reason, chat.eval_count) == ("Good morning", "stop", 2)
    assert (generated.response, generated.prompt_eval_count) == ("Good evening", 20)


def test_streams() -> None:
    with client_of(ScriptedEngine(says("Good morning"), says("Good evening"))) as client:
        chat = list(client.chat("tiny", HELLO, stream=True))
        generated = list(client.generate("tiny", "Hello", stream=True))
    assert [part.message.content for part in chat] == ["Good", " morning", ""]
    assert [part.response for part in generated] == ["Good", " evening", ""]
    assert chat[-1].done
    assert (chat[-1].eval_duration, chat[-1].prompt_eval_count) == (500_000_000, 20)


def test_a_round_trip_of_a_tool() -> None:
    engine = ScriptedEngine(thinks_and_calls(), says("It is sunny."))
    with client_of(engine) as client:
        first = client.chat("tiny", HELLO, tools=[weather])
        assert first.message.thinking == "Hmm."
        calls = first.message.tool_calls
        assert calls is not None
        assert [(call.function.name, call.function.arguments) for call in calls] == [
            ("weather", {"city": "Rome"}),
            ("clock", {}),
        ]
        results = [{"role": "tool", "tool_name": call.function.name, "content": "Sunny"} for call in calls]
        second = client.chat("tiny", [*HELLO, first.message, *results], tools=[weather])
    assert second.message.content == "It is sunny."
    assert "city" in engine.submitted[0].tools[0].parameters
    assert [message.name for message in engine.submitted[1].messages[2:]] == ["weather", "clock"]


def test_the_shape_of_the_output_and_options_are_asked_for() -> None:
    engine = ScriptedEngine(reply(said('{"n":1}')))
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    with client_of(engine) as client:
        client.chat("tiny", HELLO, format=schema, options={"temperature": 0, "num_predict": 5}, keep_alive="5m")
    (request,) = engine.submitted
    assert '"integer"' in (request.sampling.json_schema or "")
    assert (request.sampling.temperature, request.max_tokens) == (0.0, 5)


def test_embeddings() -> None:
    with client_of(Embedding()) as client:
        assert client.embed("tiny", ["a", "b"]).embeddings[1] == pytest.approx([0.6, 0.8, 0.0])
        assert client.embeddings("tiny", "a").embedding == pytest.approx([0.6, 0.8, 0.0])


def test_models_are_listed_and_described() -> None:
    with client_of(ScriptedEngine()) as client:
        assert [model.model for model in client.list().models] == ["tiny:latest"]
        assert [model.context_length for model in client.ps().models] == [4096]
        assert client.show("tiny").capabilities == ["completion", "tools"]
        with pytest.raises(ollama.ResponseError, match="managed in Hearth's window") as caught:
            client.pull("llama3.2")
    assert caught.value.status_code == 501


def test_leaving_a_stream_stops_the_answer() -> None:
    engine = Abandoned()
    with client_of(engine) as client:
        parts = client.chat("tiny", HELLO, stream=True)
        assert next(iter(parts)).message.content == "Once"
        parts.close()  # type: ignore[attr-defined]  # it is a generator
        assert engine.is_cancelled.wait(10)


@pytest.mark.parametrize(("key", "model", "status"), [("wrong", "tiny", 401), (KEY, "other", 404)])
@pytest.mark.parametrize("stream", [False, True])
def test_a_wrong_key_and_a_wrong_model_raise(key: str, model: str, status: int, stream: bool) -> None:
    with client_of(ScriptedEngine(), key) as client, pytest.raises(ollama.ResponseError) as caught:
        list(client.chat(model, HELLO, stream=stream))
    assert caught.value.status_code == status


def test_a_failure_in_the_middle_of_a_stream_raises() -> None:
    engine = ScriptedEngine(breaks("EngineStopped", "It died.", said("Hi")))
    with client_of(engine) as client, pytest.raises(ollama.ResponseError, match="It died"):
        list(client.chat("tiny", HELLO, stream=True))
