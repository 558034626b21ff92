"""The shapes of answers and errors, field by field."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import httpx
import pytest
from msgspec.json import decode

from engine.events import TokensEmitted
from engine.types import FinishReason, GenerationRequest, TokenLogprob
from tests.doubles.http_api import Api, with_api
from tests.doubles.scripted_engine import ScriptedEngine, says
from tests.doubles.vendors import Embedding, ask_at, breaks, get_at, reply, said, thinks_and_calls

HELLO: dict[str, Any] = {"model": "tiny:latest", "messages": [{"role": "user", "content": "Hello"}]}
PROMPT: dict[str, Any] = {"model": "TINY", "prompt": "Hello"}
MEASURED = {"prompt_eval_count": 20, "prompt_eval_duration": 50_000_000, "eval_count": 2, "eval_duration": 500_000_000}
CALLS = [
    {"id": "call_a", "function": {"index": 0, "name": "weather", "arguments": {"city": "Rome"}}},
    {"id": "call_b", "function": {"index": 1, "name": "clock", "arguments": {}}},
]


def timed(part: dict[str, Any]) -> dict[str, Any]:
    """Without what differs from call to call."""
    assert datetime.fromisoformat(part.pop("created_at")).tzinfo is not None
    if "total_duration" in part:
        assert 0 <= part.pop("load_duration") <= part.pop("total_duration")
    return part


def lines(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.headers["content-type"] == "application/x-ndjson"
    return [timed(decode(line)) for line in response.text.splitlines()]


def message(content: str, **more: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": content, **more}}


def test_a_whole_chat() -> None:
    response = ask_at("/api/chat", {**HELLO, "stream": False}, ScriptedEngine(says("Good morning")))
    assert response.headers["content-type"] == "application/json"
    assert timed(response.json()) == {
        "model": "tiny:latest",
        "done": True,
        "done_reason": "stop",
        **message("Good morning"),
        **MEASURED,
    }


def test_a_chat_is_streamed_line_by_line() -> None:
    asked = {**HELLO, "options": {"num_ctx": 32_768}}
    assert lines(ask_at("/api/chat", asked, ScriptedEngine(says("Good morning")))) == [
        {"model": "tiny:latest", "done": False, **message("Good")},
        {"model": "tiny:latest", "done": False, **message(" morning")},
        {"model": "tiny:latest", "done": True, "done_reason": "stop", **message(""), **MEASURED, "num_ctx": 4096},
    ]


def test_generate_has_a_response_in_place_of_a_message() -> None:
    whole = ask_at("/api/generate", {**PROMPT, "stream": False}, ScriptedEngine(says("Good morning"))).json()
    assert timed(whole) == {
        "model": "TINY",
        "done": True,
        "done_reason": "stop",
        "response": "Good morning",
        **MEASURED,
    }
    streamed = lines(ask_at("/api/generate", PROMPT, ScriptedEngine(reply(said(reasoning="Hm."), said("Hi")))))
    assert [(part["response"], part.get("thinking"), part["done"]) for part in streamed] == [
        ("", "Hm.", False),
        ("Hi", None, False),
        ("", None, True),
    ]


def test_thoughts_and_calls_of_a_whole_chat() -> None:
    answer = ask_at("/api/chat", {**HELLO, "stream": False}, ScriptedEngine(thinks_and_calls())).json()
    assert answer["message"] == message("Let me look.", thinking="Hmm.", tool_calls=CALLS)["message"]
    assert answer["done_reason"] == "stop"


def test_a_call_is_streamed_when_it_is_complete() -> None:
    *parts, end = lines(ask_at("/api/chat", HELLO, ScriptedEngine(thinks_and_calls())))
    assert [part["message"] for part in parts] == [
        message("", thinking="Hm")["message"],
        message("", thinking="m.")["message"],
        message("Let me")["message"],
        message(" look.")["message"],
        message("", tool_calls=CALLS[:1])["message"],
        message("", tool_calls=CALLS[1:])["message"],
    ]
    assert end["done"]


@pytest.mark.parametrize("reason", list(FinishReason))
def test_why_it_ended(reason: FinishReason) -> None:
    answer = ask_at("/api/chat", {**HELLO, "stream": False}, ScriptedEngine(reply(said("Hi"), reason=reason))).json()
    expected = "length" if reason in (FinishReason.MAX_TOKENS, FinishReason.CONTEXT_FULL) else "stop"
    assert answer["done_reason"] == expected


@pytest.mark.parametrize("stream", [False, True])
def test_log_probabilities(stream: bool) -> None:
    token = TokenLogprob(b"\xc3", -0.5, ((b"a", -1.5),))

    def answers(engine: ScriptedEngine, request: GenerationRequest) -> None:
        engine.emit(TokensEmitted(request.id, "é", 1, (token,)))
        engine.finish(request.id, 1)

    engine = ScriptedEngine(answers)
    response = ask_at("/api/chat", {**HELLO, "stream": stream, "logprobs": True, "top_logprobs": 1}, engine)
    assert engine.submitted[0].sampling.n_logprobs == 1
    likely = {"token": "a", "logprob": -1.5, "bytes": [97]}
    part = lines(response)[0] if stream else response.json()
    assert part["logprobs"] == [{"token": "�", "logprob": -0.5, "bytes": [195], "top_logprobs": [likely]}]


@pytest.mark.parametrize(("path", "shape"), [("/api/chat", message("")), ("/api/generate", {"response": ""})])
def test_a_question_that_is_none_loads_or_gives_back(path: str, shape: dict[str, Any]) -> None:
    engine = ScriptedEngine()
    loaded = ask_at(path, {"model": "tiny"}, engine).json()
    assert timed(loaded) == {"model": "tiny", "done": True, "done_reason": "load", **shape}
    assert ask_at(path, {"model": "tiny", "keep_alive": 0}, engine).json()["done_reason"] == "unload"
    assert engine.submitted == []


@pytest.mark.parametrize(("kind", "status"), [("ContextTooLong", 400), ("EngineBusy", 503), ("EngineStopped", 500)])
@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_before_the_first_word_has_a_status(kind: str, status: int, stream: bool) -> None:
    response = ask_at("/api/chat", {**HELLO, "stream": stream}, ScriptedEngine(breaks(kind)))
    assert (response.status_code, response.json()) == (status, {"error": "It failed."})


def test_a_failure_in_the_middle_of_a_stream_is_its_last_line() -> None:
    engine = ScriptedEngine(breaks("EngineStopped", "It died.", said("Hi")))
    first, last = ask_at("/api/chat", HELLO, engine).text.splitlines()
    assert decode(first)["message"]["content"] == "Hi"
    assert decode(last) == {"error": "It died."}


def test_a_model_that_does_not_reason_says_so() -> None:
    response = ask_at("/api/chat", {**HELLO, "think": True}, ScriptedEngine())
    assert (response.status_code, response.json()) == (400, {"error": "Tiny does not support thinking."})


def test_errors_of_the_server_have_ollamas_shape_too() -> None:
    async def scenario(api: Api) -> list[httpx.Response]:
        return [
            await api.client.post("/api/chat", json=HELLO, headers={"authorization": "Bearer no"}),
            await api.client.post("/api/chat", json={**HELLO, "model": "other"}),
            await api.client.post("/api/chat", content=b"{", headers={"content-type": "application/json"}),
            await api.client.get("/api/chat"),
        ]

    responses = with_api(scenario, ScriptedEngine())
    assert [response.status_code for response in responses] == [401, 404, 400, 405]
    assert all(list(response.json()) == ["error"] and response.json()["error"] for response in responses)


def test_embeddings() -> None:
    answer = ask_at("/api/embed", {"model": "tiny", "input": ["a", "b"]}, Embedding()).json()
    assert 0 <= answer.pop("load_duration") <= answer.pop("total_duration")
    (one, two) = answer.pop("embeddings")
    assert one == two == pytest.approx([0.6, 0.8, 0.0])
    assert answer == {"model": "tiny", "prompt_eval_count": 10}


def test_a_part_of_an_embedding_has_length_1_again() -> None:
    answer = ask_at("/api/embed", {"model": "tiny", "input": "a", "dimensions": 1}, Embedding()).json()
    assert answer["embeddings"] == [pytest.approx([1.0])]


def test_embeddings_as_they_were_asked_for_before() -> None:
    assert ask_at("/api/embeddings", {"model": "tiny", "prompt": "a"}, Embedding()).json() == {
        "embedding": pytest.approx([0.6, 0.8, 0.0])
    }
    engine = Embedding()
    assert ask_at("/api/embeddings", {"model": "tiny"}, engine).json() == {"embedding": []}
    assert ask_at("/api/embed", {"model": "tiny", "input": [""]}, engine).status_code == 400
    assert engine.embeddings == []


DETAILS = {
    "parent_model": "",
    "format": "gguf",
    "family": "",
    "families": [""],
    "parameter_size": "0.00M",
    "quantization_level": "",
}


def test_models_are_listed_with_a_tag() -> None:
    (tag,) = get_at("/api/tags", ScriptedEngine()).json()["models"]
    assert len(tag.pop("digest")) == 64
    assert tag == {
        "name": "tiny:latest",
        "model": "tiny:latest",
        "modified_at": "2023-11-14T22:13:20Z",
        "size": 0,
        "details": DETAILS,
    }


def test_what_is_loaded_and_for_how_long() -> None:
    (running,) = get_at("/api/ps", ScriptedEngine()).json()["models"]
    assert running["name"] == "tiny:latest"
    assert (running["context_length"], running["expires_at"], running["size"]) == (
        4096,
        "9999-12-31T00:00:00Z",
        1_000_000,
    )


@pytest.mark.parametrize("wanted", [{"model": "tiny"}, {"name": "Tiny:latest"}, {"model": "tiny model"}])
def test_a_model_is_described(wanted: dict[str, str]) -> None:
    shown = ask_at("/api/show", wanted, ScriptedEngine()).json()
    assert shown["capabilities"] == ["completion", "tools"]
    assert shown["model_info"]["general.name"] == "Tiny Model"
    assert shown["details"] == DETAILS


@pytest.mark.parametrize(("wanted", "status"), [({"model": "other"}, 404), ({}, 400)])
def test_a_model_that_is_not_there_cannot_be_described(wanted: dict[str, str], status: int) -> None:
    response = ask_at("/api/show", wanted, ScriptedEngine())
    assert response.status_code == status
    assert isinstance(response.json()["error"], str)


def test_clients_find_that_somebody_is_there() -> None:
    assert get_at("/", ScriptedEngine()).text == "Hearth is running"
    assert get_at("/api/version", ScriptedEngine()).json()["version"].count(".") == 2

    async def scenario(api: Api) -> int:
        return (await api.client.head("/")).status_code

    assert with_api(scenario, ScriptedEngine()) == 200


@pytest.mark.parametrize("name", ["pull", "push", "create", "copy", "delete"])
def test_models_are_managed_elsewhere(name: str) -> None:
    async def scenario(api: Api) -> httpx.Response:
        return await api.client.request("DELETE" if name == "delete" else "POST", f"/api/{name}", json={})

    response = with_api(scenario, ScriptedEngine())
    assert (response.status_code, response.json()) == (501, {"error": "Models are managed in Hearth's window."})
