"""A server as an engine: what is asked, what comes back, and what goes wrong on the way."""

from __future__ import annotations

from typing import Any

import pytest

from engine.config import LoadSpec
from engine.errors import ErrorInfo
from engine.events import (
    Embedded,
    LoadFailed,
    ModelUnloaded,
    PromptCounted,
    RequestFailed,
    RequestFinished,
    RequestStarted,
    TokensEmitted,
)
from engine.types import (
    ChatMessage,
    EmbeddingRequest,
    FinishReason,
    GenerationRequest,
    Overflow,
    RequestId,
    Role,
    SamplingParams,
    Tool,
    ToolCall,
    ToolCallPart,
    ToolChoice,
    ToolMode,
)
from tests.app.remote.conftest import KEY, Remote
from tests.doubles.openai_server import Exchange, FakeServer, Reply, delta, ending, says, unused_port, usage

ID = RequestId("message-1")


def question(text: str = "Hello", **fields: Any) -> GenerationRequest:
    return GenerationRequest(ID, (ChatMessage(Role.USER, text),), **fields)


def ask(remote: Remote, server: FakeServer, *replies: Reply, **fields: Any) -> RequestFinished | RequestFailed:
    server.replies += replies
    remote.connect(server)
    remote.client.submit(question(**fields))
    return remote.events.outcome(ID)


def failure(remote: Remote, server: FakeServer, *replies: Reply, **fields: Any) -> ErrorInfo:
    outcome = ask(remote, server, *replies, **fields)
    assert isinstance(outcome, RequestFailed)
    return outcome.error


def finish(remote: Remote, server: FakeServer, *replies: Reply, **fields: Any) -> RequestFinished:
    outcome = ask(remote, server, *replies, **fields)
    assert isinstance(outcome, RequestFinished), outcome
    return outcome


def refuses(status: int, **error: Any) -> Reply:
    return lambda to: to.json({"error": error}, status)


# -- loading


def test_what_the_server_tells_of_a_model_is_known_and_the_rest_is_not_made_up(
    remote: Remote, server: FakeServer
) -> None:
    info = remote.connect(server, key=KEY).info

    assert (info.name, info.description, info.n_ctx, info.n_params, info.is_remote) == (
        "org/big",
        "Cluster",
        4096,
        0,
        True,
    )
    assert server.heard[0].headers["authorization"] == f"Bearer {KEY}"


def test_llama_server_tells_its_context_on_another_page(remote: Remote, server: FakeServer) -> None:
    def models(to: Exchange) -> None:
        to.json({"data": [{"id": "org/big", "owned_by": "llamacpp", "meta": {"n_ctx_train": 8192}}]})

    server.models = models
    info = remote.connect(server).info

    assert [heard.path for heard in server.heard] == ["/v1/models", "/props"]
    assert (info.n_ctx, info.n_ctx_train) == (0, 8192)


@pytest.mark.parametrize(
    ("models", "words"),
    [
        (lambda to: to.json({"data": []}), "Cluster has no model org/big any more."),
        (lambda to: to.json({"error": "no"}, 401), "Cluster asks for a key."),
        (lambda to: to.json({}, 404), "There is no list of models at"),
        (lambda to: to.raw(b"<html>", kind="text/html"), "does not answer as OpenAI's protocol has it"),
        (lambda to: to.json({"data": 7}), "does not answer as OpenAI's protocol has it"),
        (lambda to: to.json({}, 302, location="https://evil.example/v1"), "sends callers on to another address"),
        (lambda to: to.json({"error": {"message": "Loading model"}}, 503), "is not ready. It says: Loading model."),
        (lambda to: to.raw(b"x" * 9_000_000), "does not answer as OpenAI's protocol has it"),
    ],
)
def test_a_server_that_cannot_be_used_says_why(remote: Remote, server: FakeServer, models: Reply, words: str) -> None:
    server.models = models
    remote.client.load(LoadSpec(remote.add(server.address)))

    assert words in remote.events.wait(LoadFailed).error.sentence
    assert len(server.heard) == 1


def test_a_key_that_is_not_accepted_is_repeated_nowhere(remote: Remote, server: FakeServer) -> None:
    server.models = lambda to: to.json({"error": {"message": f"Incorrect key: {KEY}"}}, 401)
    remote.client.load(LoadSpec(remote.add(server.address, key=KEY)))

    error = remote.events.wait(LoadFailed).error
    assert error.text == "Cluster does not accept the key."
    assert KEY not in str(error)


def test_nobody_there_is_told_apart_from_no_such_machine(remote: Remote) -> None:
    remote.client.load(LoadSpec(remote.add(f"http://127.0.0.1:{unused_port()}/v1")))
    assert "no server listens at 127.0.0.1" in remote.events.wait(LoadFailed).error.text

    remote.events.events.clear()
    remote.client.load(LoadSpec(remote.add("http://no-such-host.invalid/v1")))
    assert remote.events.wait(LoadFailed).error.text == "There is no machine called no-such-host.invalid."


def test_a_server_that_does_not_speak_tls_is_named_as_such(remote: Remote, server: FakeServer) -> None:
    remote.client.load(LoadSpec(remote.add(server.address.replace("http:", "https:"))))

    assert "does not speak TLS" in remote.events.wait(LoadFailed).error.text


def test_what_is_asked_while_it_connects_waits(remote: Remote, server: FakeServer) -> None:
    server.replies.append(says("Hi"))
    remote.client.load(LoadSpec(remote.add(server.address)))
    remote.client.submit(question())

    assert isinstance(remote.events.outcome(ID), RequestFinished)


def test_this_machine_is_never_asked_through_a_proxy(
    remote: Remote, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_port()}")

    assert remote.connect(server).info.name == "org/big"


def test_unloading_is_told_and_a_request_after_it_fails(remote: Remote, server: FakeServer) -> None:
    remote.connect(server)
    remote.client.unload()
    remote.client.submit(question())

    remote.events.wait(ModelUnloaded)
    outcome = remote.events.outcome(ID)
    assert isinstance(outcome, RequestFailed)
    assert outcome.error.kind == "NoModel"


# -- answers


def test_an_answer_streams_with_its_usage(remote: Remote, server: FakeServer) -> None:
    finished = finish(remote, server, says("The ", "sky"))

    assert remote.events.text(ID) == "The sky"
    assert [event.n_tokens for event in remote.events.of(TokensEmitted)] == [1, 2]
    assert (finished.usage.n_prompt, finished.usage.n_cached, finished.usage.n_output) == (12, 8, 2)
    assert finished.usage.n_ctx == 4096
    assert finished.reason is FinishReason.END_OF_TURN
    assert finished.timings.first_token_s is not None
    assert finished.reuse is None


def test_reasoning_and_calls_are_kept_apart_from_the_text(remote: Remote, server: FakeServer) -> None:
    calls = [
        {"index": 0, "id": "c1", "function": {"name": "add", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"a":1}'}},
    ]

    def reply(to: Exchange) -> None:
        to.stream(
            delta(reasoning_content="Hm"),
            delta(reasoning=" so"),
            *(delta(tool_calls=[call]) for call in calls),
            ending("tool_calls"),
        )

    finished = finish(remote, server, reply)
    events = remote.events.of(TokensEmitted)

    assert "".join(event.reasoning for event in events) == "Hm so"
    assert [part for event in events for part in event.calls] == [
        ToolCallPart(0, "c1", "add", ""),
        ToolCallPart(0, "", "", '{"a":1}'),
    ]
    assert finished.reason is FinishReason.TOOL_CALLS


@pytest.mark.parametrize(("max_tokens", "reason"), [(2, FinishReason.MAX_TOKENS), (None, FinishReason.CONTEXT_FULL)])
def test_an_answer_that_is_cut_says_by_what(
    remote: Remote, server: FakeServer, max_tokens: int | None, reason: FinishReason
) -> None:
    def reply(to: Exchange) -> None:
        to.stream(delta(content="a"), delta(content="b"), ending("length"), usage(5, 2))

    assert finish(remote, server, reply, max_tokens=max_tokens).reason is reason


def test_a_server_that_does_not_stream_will_do(remote: Remote, server: FakeServer) -> None:
    def reply(to: Exchange) -> None:
        message = {"role": "assistant", "content": "All at once"}
        to.json({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": None})

    finish(remote, server, reply)
    assert remote.events.text(ID) == "All at once"


def test_numbers_that_make_no_sense_do_no_harm(remote: Remote, server: FakeServer) -> None:
    finished = finish(
        remote, server, lambda to: to.stream(delta(content="a"), ending(), usage(-5, 10**15, n_cached=99))
    )
    assert (finished.usage.n_prompt, finished.usage.n_cached) == (0, 0)


def test_everything_that_was_asked_for_is_sent(remote: Remote, server: FakeServer) -> None:
    sampling = SamplingParams(temperature=0.2, top_k=7, seed=3, json_schema='{"type":"object"}')
    messages = (
        ChatMessage(Role.USER, "2+2?"),
        ChatMessage(Role.ASSISTANT, "", tool_calls=(ToolCall("c1", "add", "{}"),)),
        ChatMessage(Role.TOOL, "4", tool_call_id="c1"),
    )
    server.replies.append(says("4"))
    remote.connect(server)
    choice = ToolChoice(ToolMode.NAMED, "add", at_most_one=True)
    remote.client.submit(
        GenerationRequest(ID, messages, sampling, 99, ("END",), tools=(Tool("add"),), tool_choice=choice)
    )
    remote.events.outcome(ID)

    body = server.questions[0]
    assert body["model"] == "org/big"
    assert body["stream_options"] == {"include_usage": True}
    assert (body["temperature"], body["top_k"], body["seed"], body["max_tokens"]) == (0.2, 7, 3, 99)
    assert body["stop"] == ["END"]
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert body["messages"][1]["tool_calls"][0]["function"] == {"name": "add", "arguments": "{}"}
    assert body["messages"][2] == {"role": "tool", "content": "4", "tool_call_id": "c1"}
    assert body["tool_choice"] == {"type": "function", "function": {"name": "add"}}
    assert body["parallel_tool_calls"] is False
    assert "repeat_penalty" not in body


def test_a_server_that_refuses_our_extras_is_asked_without_and_never_again_with_them(
    remote: Remote, server: FakeServer
) -> None:
    complaint = refuses(400, message="Unrecognized request argument supplied: top_k", type="invalid_request_error")
    finish(remote, server, complaint, says("Hi"))
    server.replies.append(says("Again"))
    remote.client.submit(GenerationRequest(RequestId("2"), (ChatMessage(Role.USER, "More"),)))
    remote.events.outcome(RequestId("2"))

    assert ["top_k" in body for body in server.questions] == [True, False, False]
    assert ["min_p" in body for body in server.questions] == [True, False, False]
    assert all("temperature" in body for body in server.questions)


def test_a_limit_goes_by_its_newer_name_where_the_old_one_is_refused(remote: Remote, server: FakeServer) -> None:
    complaint = refuses(400, message="Use 'max_completion_tokens' instead.", param="max_tokens")
    finish(remote, server, complaint, says("Hi"), max_tokens=5)

    assert "max_tokens" not in server.questions[1]
    assert server.questions[1]["max_completion_tokens"] == 5


def test_a_refusal_of_what_cannot_be_left_out_is_told(remote: Remote, server: FakeServer) -> None:
    error = failure(remote, server, refuses(400, message="Images are not supported."))

    assert error.text == "Cluster refused the request. It says: Images are not supported."


def test_a_conversation_that_is_too_long_is_rolled_as_here(remote: Remote, server: FakeServer) -> None:
    too_long = refuses(
        400, message="This model's maximum context length is 100 tokens. However, you requested 160 tokens.", code=400
    )
    turns = [ChatMessage(Role.USER if n % 2 == 0 else Role.ASSISTANT, f"{n}" * 50) for n in range(9)]
    server.replies += [too_long, says("Yes")]
    remote.connect(server)
    remote.client.submit(GenerationRequest(ID, (ChatMessage(Role.SYSTEM, "Be brief"), *turns), overflow=Overflow.ROLL))
    remote.events.outcome(ID)

    kept = server.questions[1]["messages"]
    assert kept[0] == {"role": "system", "content": "Be brief"}
    assert kept[1]["role"] == "user"
    assert kept[-1]["content"] == "8" * 50
    assert remote.events.wait(RequestStarted).n_dropped == 10 - len(kept) > 0


def test_a_conversation_that_is_too_long_fails_where_nothing_may_be_left_out(
    remote: Remote, server: FakeServer
) -> None:
    error = failure(
        remote,
        server,
        refuses(400, message="too long", type="exceed_context_size_error", n_prompt_tokens=9000, n_ctx=4096),
    )

    assert error.kind == "ContextTooLong"
    assert error.text == "This conversation is 9,000 tokens long, but the context holds 4,096."


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (refuses(401, message="no"), "RemoteError", "Cluster asks for a key."),
        (refuses(403, message="no"), "RemoteError", "does not allow this. It says: no."),
        (refuses(404, message="no such model"), "RemoteError", "Cluster has no model org/big."),
        (lambda to: to.json({}, 429, retry_after="7"), "EngineBusy", "Try again in 7 seconds."),
        (refuses(429, message="Pay", code="insufficient_quota"), "EngineBusy", "no more requests from this account"),
        (refuses(500, message="CUDA"), "RemoteError", "Cluster failed. It says: CUDA."),
        (lambda to: to.raw(b"<html>oops</html>", 502), "RemoteError", "Cluster failed. Try again."),
        (refuses(503, message="busy"), "EngineBusy", "is not ready"),
        (lambda to: to.json({"detail": [{"loc": ["body", "x"], "msg": "bad"}]}, 422), "RemoteError", "bad (body.x)"),
        (lambda to: to.json({}, 307, location="http://other/"), "RemoteError", "enter that address: http://other/"),
        (lambda to: to.stream({"error": {"message": "lost", "code": 500}}), "RemoteError", "It says: lost."),
        (lambda to: to.stream("nonsense"), "RemoteError", "does not answer as OpenAI's protocol has it"),
        (lambda to: to.stream(delta(content="a"), ending("content_filter")), "RemoteError", "held the rest"),
    ],
)
def test_each_failure_is_a_sentence(remote: Remote, server: FakeServer, reply: Reply, kind: str, words: str) -> None:
    error = failure(remote, server, reply)

    assert error.kind == kind
    assert words in error.sentence


def test_what_came_before_a_break_is_kept(remote: Remote, server: FakeServer) -> None:
    error = failure(remote, server, lambda to: to.stream(delta(content="Half"), done=False))

    assert remote.events.text(ID) == "Half"
    assert error.text == "Cluster broke off in the middle of its answer."


def test_a_break_after_the_last_word_takes_nothing_with_it(remote: Remote, server: FakeServer) -> None:
    finish(remote, server, lambda to: to.stream(delta(content="All"), ending(), done=False))

    assert remote.events.text(ID) == "All"


def test_an_event_without_an_end_does_not_fill_the_memory(
    remote: Remote, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.remote.link.MAX_EVENT_BYTES", 10_000)

    def reply(to: Exchange) -> None:
        to.open_stream()
        to.write(b"data: " + b"x" * 20_000)
        to.wait_for_hang_up()

    assert "does not answer as" in failure(remote, server, reply).text


def test_stopping_ends_the_answer_and_hangs_up(remote: Remote, server: FakeServer) -> None:
    def reply(to: Exchange) -> None:
        to.open_stream()
        to.event(delta(content="On and"))
        to.wait_for_hang_up()

    server.replies.append(reply)
    remote.connect(server)
    remote.client.submit(question())
    remote.events.wait(TokensEmitted)
    remote.client.cancel(ID)
    remote.client.cancel(ID)

    finished = remote.events.wait(RequestFinished)
    assert finished.reason is FinishReason.CANCELLED
    assert finished.usage.n_output == 1
    assert server.gone.wait(10)


def test_a_server_that_falls_silent_is_given_up(
    remote: Remote, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.remote.link.BETWEEN_BYTES_S", 0.05)

    def reply(to: Exchange) -> None:
        to.open_stream()
        to.event(delta(content="Wait"))
        to.wait_for_hang_up()

    assert "broke off" in failure(remote, server, reply).text
    assert server.gone.wait(10)


def test_another_model_ends_what_is_under_way(remote: Remote, server: FakeServer) -> None:
    def reply(to: Exchange) -> None:
        to.open_stream()
        to.event(delta(content="On and"))
        to.wait_for_hang_up()

    server.replies.append(reply)
    path = remote.connect(server).info.path
    remote.client.submit(question())
    remote.events.wait(TokensEmitted)
    remote.client.load(LoadSpec(path))

    outcome = remote.events.outcome(ID)
    assert isinstance(outcome, RequestFailed)
    assert outcome.error.text == "The model was replaced by another one."
    assert server.gone.wait(10)


# -- the rest


def test_vectors_have_length_one(remote: Remote, server: FakeServer) -> None:
    import array

    data = [{"index": 1, "embedding": [0, 2]}, {"index": 0, "embedding": [3, 4]}]
    server.replies.append(lambda to: to.json({"data": data, "usage": {"prompt_tokens": 4}}))
    remote.connect(server)
    remote.client.embed(EmbeddingRequest(ID, ("a", "b")))

    embedded = remote.events.wait(Embedded)
    vectors = [array.array("f", vector).tolist() for vector in embedded.vectors]
    assert vectors == [pytest.approx([0.6, 0.8]), pytest.approx([0, 1])]
    assert embedded.n_tokens == 4


def test_what_a_server_cannot_tell_is_not_made_up(remote: Remote, server: FakeServer) -> None:
    remote.connect(server)
    remote.client.read_ahead("7", (ChatMessage(Role.USER, "Hel"),))
    remote.client.count(question())

    assert isinstance(remote.events.outcome(ID), RequestFailed)
    assert remote.events.of(PromptCounted) == []
    assert server.questions == []  # nothing is sent before the user sends it


def test_a_grammar_is_refused_where_the_server_would_ignore_it(remote: Remote, server: FakeServer) -> None:
    error = failure(remote, server, sampling=SamplingParams(grammar='root ::= "a"'))

    assert error.kind == "InvalidRequest"
    assert server.questions == []


def test_a_bare_prompt_goes_where_prompts_go(remote: Remote, server: FakeServer) -> None:
    def reply(to: Exchange) -> None:
        to.stream({"choices": [{"index": 0, "text": " time", "finish_reason": "stop"}]})

    server.replies.append(reply)
    remote.connect(server)
    remote.client.submit(GenerationRequest(ID, (), prompt="Once upon a"))
    remote.events.outcome(ID)

    assert server.heard[-1].path == "/v1/completions"
    assert server.questions[0]["prompt"] == "Once upon a"
    assert remote.events.text(ID) == " time"
