"""The shapes of answers, field by field."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import ErrorInfo
from engine.events import RequestFailed, RequestFinished, TokensEmitted
from engine.reuse import Reason, ReuseReport
from engine.types import FinishReason, GenerationRequest, Timings, TokenLogprob, Usage
from tests.doubles.http_api import HELLO, Api, ask, sse, with_api
from tests.doubles.scripted_engine import Reply, ScriptedEngine, says

TIMINGS = {
    "cache_n": 4,
    "prompt_n": 16,
    "prompt_ms": 50.0,
    "prompt_per_second": 320.0,
    "predicted_n": 2,
    "predicted_ms": 500.0,
    "predicted_per_second": 2.0,
    "queued_ms": 0.0,
    "reuse": None,
}
USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 2,
    "total_tokens": 22,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
REUSE = ReuseReport(20, n_cells=4, n_ram=8, n_disk=0, n_new=8, restore_s=0.25, reasons=((Reason.NEW, 8),))


def ends(reason: FinishReason, reuse: ReuseReport | None = None) -> Reply:
    def reply(engine: ScriptedEngine, request: GenerationRequest) -> None:
        engine.emit(TokensEmitted(request.id, "Hi", 1))
        times = Timings(queued_s=0.0, first_token_s=0.05, decode_s=0.5)
        engine.emit(RequestFinished(request.id, reason, Usage(20, 4, 1, 4096), times, reuse))

    return reply


def with_logprobs(engine: ScriptedEngine, request: GenerationRequest) -> None:
    token = TokenLogprob(b"\xc3", -0.5, ((b"\xc3", -0.5), (b"a", -1.5)))
    engine.emit(TokensEmitted(request.id, "é", 2, (token,)))
    engine.finish(request.id, 2)


def fails(kind: str, text: str = "It failed.", hint: str = "") -> Reply:
    return lambda engine, request: engine.emit(RequestFailed(request.id, ErrorInfo(kind, text, hint, "secret detail")))


def named(value: dict[str, Any]) -> dict[str, Any]:
    """Without what differs from call to call."""
    assert value["id"].startswith("chatcmpl-")
    assert value["created"] > 1_700_000_000
    return {key: part for key, part in value.items() if key not in ("id", "created")}


def chunk(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return {"object": "chat.completion.chunk", "model": "tiny", "choices": [choice], **more}


def test_a_whole_answer() -> None:
    response = ask(HELLO, ScriptedEngine(says("Good morning")))
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert named(response.json()) == {
        "object": "chat.completion",
        "model": "tiny",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Good morning", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE,
        "timings": TIMINGS,
    }


def test_a_streamed_answer() -> None:
    response = ask({**HELLO, "stream": True}, ScriptedEngine(says("Good morning")))
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    *chunks, done = sse(response.text)
    assert done == "[DONE]"
    assert len({(part["id"], part["created"]) for part in chunks}) == 1
    assert [named(part) for part in chunks] == [
        chunk({"role": "assistant", "content": None}),
        chunk({"content": "Good"}),
        chunk({"content": " morning"}),
        chunk({}, "stop", timings=TIMINGS),
    ]


def test_a_stream_ends_with_its_usage_where_that_is_asked_for() -> None:
    body = {**HELLO, "stream": True, "stream_options": {"include_usage": True}}
    *chunks, done = sse(ask(body, ScriptedEngine(says("Good morning"))).text)
    assert done == "[DONE]"
    assert [part["usage"] for part in chunks] == [None, None, None, None, USAGE]
    last = named(chunks[-1])
    assert (last["choices"], last["timings"]) == ([], TIMINGS)


@pytest.mark.parametrize("stream", [False, True])
def test_log_probabilities_come_with_their_tokens(stream: bool) -> None:
    body = {**HELLO, "stream": stream, "logprobs": True, "top_logprobs": 2}
    response = ask(body, ScriptedEngine(with_logprobs))
    answer = sse(response.text)[1] if stream else response.json()
    assert answer["choices"][0]["logprobs"] == {
        "content": [
            {
                "token": "�",
                "logprob": -0.5,
                "bytes": [195],
                "top_logprobs": [
                    {"token": "�", "logprob": -0.5, "bytes": [195]},
                    {"token": "a", "logprob": -1.5, "bytes": [97]},
                ],
            }
        ],
        "refusal": None,
    }


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (FinishReason.END_OF_TURN, "stop"),
        (FinishReason.STOP_STRING, "stop"),
        (FinishReason.CANCELLED, "stop"),
        (FinishReason.MAX_TOKENS, "length"),
        (FinishReason.CONTEXT_FULL, "length"),
    ],
)
def test_every_end_has_its_reason(reason: FinishReason, said: str) -> None:
    answer = ask(HELLO, ScriptedEngine(ends(reason))).json()
    assert answer["choices"][0]["finish_reason"] == said


def test_timings_tell_where_the_prompt_came_from() -> None:
    answer = ask(HELLO, ScriptedEngine(ends(FinishReason.END_OF_TURN, REUSE))).json()
    assert answer["timings"]["reuse"] == {
        "cells_n": 4,
        "ram_n": 8,
        "disk_n": 0,
        "new_n": 8,
        "restore_ms": 250.0,
        "reasons": {"new": 8},
    }
    assert answer["timings"]["predicted_per_second"] is None  # one token: nothing to divide


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("ContextTooLong", 400, "context_length_exceeded"),
        ("InvalidRequest", 400, "invalid_value"),
        ("TemplateError", 400, "template_error"),
        ("EngineBusy", 503, "busy"),
        ("NoModel", 503, "model_not_loaded"),
        ("ModelFileError", 503, "model_not_loaded"),
        ("OutOfMemory", 503, "out_of_memory"),
        ("EngineStopped", 500, "engine_stopped"),
        ("BugError", 500, "internal_error"),
    ],
)
def test_what_the_engine_refuses_has_a_status(kind: str, status: int, code: str, stream: bool) -> None:
    response = ask({**HELLO, "stream": stream}, ScriptedEngine(fails(kind, "It failed.", "Try less.")))
    assert response.status_code == status
    error = response.json()["error"]
    assert (error["code"], error["message"], error["param"]) == (code, "It failed. Try less.", None)
    assert response.headers.get("retry-after") == ("1" if code == "busy" else None)
    assert "secret" not in response.text


def test_a_stream_that_fails_half_way_says_so() -> None:
    def reply(engine: ScriptedEngine, request: GenerationRequest) -> None:
        engine.emit(TokensEmitted(request.id, "Good", 1))
        fails("EngineStopped", "The engine stopped.")(engine, request)

    response = ask({**HELLO, "stream": True}, ScriptedEngine(reply))
    last = sse(response.text)[-1]
    assert response.status_code == 200
    assert last == {
        "error": {"message": "The engine stopped.", "type": "server_error", "param": None, "code": "engine_stopped"}
    }


def test_an_answer_without_a_word_is_an_answer() -> None:
    def reply(engine: ScriptedEngine, request: GenerationRequest) -> None:
        engine.finish(request.id, 0)

    assert ask(HELLO, ScriptedEngine(reply)).json()["choices"][0]["message"]["content"] == ""
    chunks = sse(ask({**HELLO, "stream": True}, ScriptedEngine(reply)).text)
    assert [part["choices"][0]["finish_reason"] for part in chunks[:-1]] == [None, "stop"]


def test_requests_do_not_hear_each_other() -> None:
    async def scenario(api: Api) -> None:
        first, second = await api.chat(), await api.chat()
        assert first.json()["choices"][0]["message"]["content"] == "one"
        assert second.json()["choices"][0]["message"]["content"] == "two"
        assert first.json()["id"] != second.json()["id"]

    with_api(scenario, ScriptedEngine(says("one"), says("two")))
