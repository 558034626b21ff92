"""The core with answers that hold more than text: reasoning, calls, and prompts of other kinds."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from engine.backend.fake import FakeBackend, FakeVocab
from engine.core import EngineCore
from engine.events import Event, PromptCounted, RequestFailed, RequestFinished, TokensEmitted
from engine.kv import Costs, PagedKv
from engine.sched import Limits
from engine.types import (
    ChatMessage,
    FinishReason,
    GenerationRequest,
    RequestId,
    Role,
    SamplingParams,
    TokenId,
    ToolCall,
    ToolChoice,
    ToolMode,
)
from tests.doubles import templates
from tests.doubles.cells import FakeCells
from tests.doubles.families import NOW, WEATHER

A = RequestId("a")
USER = ChatMessage(Role.USER, "Weather?")
REQUEST = GenerationRequest(A, (USER,), tools=(WEATHER, NOW))
CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'


def make_core(answer: str, template: str = templates.QWEN3, vocab: FakeVocab | None = None) -> EngineCore:
    vocab = vocab or FakeVocab()
    tokens = [TokenId(token) for token in vocab.tokenize(answer, special=True)]
    backend = FakeBackend(tokens, 4096, template, cells=FakeCells(4096), vocab=vocab)
    costs = Costs()
    kv = PagedKv(backend.layout, backend.cells, ram_budget_bytes=1 << 20, disk=None, costs=costs)
    return EngineCore(backend, kv, costs, Limits(512, 4))


def run(core: EngineCore, request: GenerationRequest) -> list[Event]:
    events = core.submit(request, 0.0)
    while core.has_work:
        events += core.step(0.0)
        core.check()
    return events


def said(events: list[Event]) -> tuple[str, str, list[ToolCall]]:
    tokens = [event for event in events if isinstance(event, TokensEmitted)]
    calls: dict[int, ToolCall] = {}
    for part in (part for event in tokens for part in event.calls):
        known = calls.get(part.index, ToolCall("", "", ""))
        calls[part.index] = ToolCall(known.id + part.id, known.name + part.name, known.arguments + part.arguments)
    return "".join(e.reasoning for e in tokens), "".join(e.text for e in tokens), list(calls.values())


def reason(events: list[Event]) -> FinishReason:
    (finish,) = [event for event in events if isinstance(event, RequestFinished)]
    return finish.reason


def test_reasoning_text_and_calls_arrive_apart() -> None:
    events = run(make_core(f"<think>\nHm.\n</think>\n\nI look.\n{CALL}"), REQUEST)

    thought, text, (call,) = said(events)
    assert (thought, text) == ("Hm.", "I look.")
    assert (call.name, call.arguments) == ("get_weather", '{"city": "Paris"}')
    assert call.id
    assert reason(events) is FinishReason.TOOL_CALLS


def test_an_answer_without_a_call_ends_its_turn() -> None:
    events = run(make_core("It is <b>fine</b>."), REQUEST)

    assert said(events) == ("", "It is <b>fine</b>.", [])
    assert reason(events) is FinishReason.END_OF_TURN


def test_a_call_that_breaks_off_is_none() -> None:
    events = run(make_core(CALL[:60]), REQUEST)

    assert reason(events) is FinishReason.END_OF_TURN


def test_a_call_after_which_no_tokens_are_left_is_not_the_end_of_the_turn() -> None:
    assert reason(run(make_core(CALL), replace(REQUEST, max_tokens=len(CALL)))) is FinishReason.MAX_TOKENS


@pytest.mark.parametrize("template", [templates.QWEN3, templates.CHATML])
def test_where_no_tool_may_be_called_a_call_is_text(template: str) -> None:
    request = replace(REQUEST, tool_choice=ToolChoice(ToolMode.NONE))

    assert said(run(make_core(CALL, template), request)) == ("", CALL, [])


def test_a_model_that_knows_no_tools_calls_in_the_simple_form() -> None:
    thought, text, (call,) = said(run(make_core(f"{CALL}", templates.CHATML), REQUEST))

    assert (thought, text, call.name) == ("", "", "get_weather")


def test_at_most_one_call_ends_the_answer() -> None:
    request = replace(REQUEST, tool_choice=ToolChoice(at_most_one=True))
    events = run(make_core(f"{CALL}\n{CALL}"), request)

    assert len(said(events)[2]) == 1
    assert reason(events) is FinishReason.TOOL_CALLS


def test_a_stop_string_counts_in_the_text_alone() -> None:
    request = replace(REQUEST, stop=("stop",))
    events = run(make_core("<think>stop</think>Don't stop here."), request)

    assert said(events)[:2] == ("stop", "Don't ")
    assert reason(events) is FinishReason.STOP_STRING


class ChannelVocab(FakeVocab):
    """The markers of harmony are control tokens, as in gpt-oss: they have no text of their own."""

    _MARKERS = ("<|channel|>", "<|message|>", "<|constrain|>", "<|start|>", "<|end|>", "<|call|>")
    special_texts = frozenset(_MARKERS)

    def tokenize(self, text: str, special: bool) -> list[int]:
        for number, marker in enumerate(self._MARKERS if special else ()):
            before, found, after = text.partition(marker)
            if found:
                return [*self.tokenize(before, special), number + 2, *self.tokenize(after, special)]
        return [ord(letter) + 16 for letter in text]


def test_markers_that_are_control_tokens_are_seen_and_not_shown() -> None:
    answer = (
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary to=functions.now "
        "<|constrain|>json<|message|>{}"
    )
    thought, text, (call,) = said(run(make_core(answer, templates.HARMONY, ChannelVocab()), REQUEST))

    assert (thought, text, call.name, call.arguments) == ("Hm.", "", "now", "{}")


def test_log_probabilities_go_with_what_was_said() -> None:
    request = replace(REQUEST, sampling=SamplingParams(n_logprobs=1))

    assert said(run(make_core("Hi."), request))[1] == "Hi."


def test_a_template_that_reasons_from_the_start() -> None:
    assert said(run(make_core("Hm.\n</think>\nYes.", templates.DEEPSEEK), REQUEST))[:2] == ("Hm.", "Yes.")


def test_a_message_is_continued() -> None:
    request = GenerationRequest(A, (USER, ChatMessage(Role.ASSISTANT, "It is")), continues=True)

    assert said(run(make_core(" fine."), request))[1] == " fine."


def test_a_prompt_without_messages_is_answered_with_text_as_it_is() -> None:
    request = GenerationRequest(A, (), prompt="Once upon")

    assert said(run(make_core("<think>a</think>"), request)) == ("", "<think>a</think>", [])


def test_prompts_of_every_kind_are_counted() -> None:
    core = make_core("")
    (plain,) = core.count(GenerationRequest(A, (USER,)), 0.0)
    (with_tools,) = core.count(REQUEST, 0.0)
    (raw,) = core.count(GenerationRequest(A, (), prompt="abc"), 0.0)
    (long,) = core.count(GenerationRequest(A, (), prompt="x" * 10_000), 0.0)
    (none,) = core.count(GenerationRequest(A, ()), 0.0)

    assert isinstance(plain, PromptCounted)
    assert isinstance(with_tools, PromptCounted)
    assert with_tools.n_tokens > plain.n_tokens
    assert raw == PromptCounted(A, 3, 4096)
    assert long == PromptCounted(A, 10_000, 4096)
    assert isinstance(none, RequestFailed)


def test_the_model_is_described_with_what_its_template_tells() -> None:
    reasoner, plain, broken = (make_core("", source).info for source in (templates.QWEN3, templates.CHATML, "{% if %}"))

    assert (reasoner.can_call_tools, reasoner.can_reason, reasoner.template_problem) == (True, True, None)
    assert (plain.can_call_tools, plain.can_reason, plain.template_problem) == (False, False, None)
    assert broken.template_problem is not None


REQUIRED = ToolChoice(ToolMode.REQUIRED)


@pytest.mark.parametrize(
    "request_",
    [
        GenerationRequest(A, (USER,), prompt="x"),
        GenerationRequest(A, (), prompt="x", tools=(NOW,)),
        GenerationRequest(A, (USER,), continues=True),
        GenerationRequest(A, (USER,), tool_choice=REQUIRED),
        GenerationRequest(A, (USER,), tools=(NOW,), tool_choice=ToolChoice(ToolMode.NAMED, "other")),
        GenerationRequest(A, (USER,), SamplingParams(json_schema="{}"), tools=(NOW,), tool_choice=REQUIRED),
        GenerationRequest(A, (replace(USER, tool_calls=(ToolCall("a", "b", "{}"),)),)),
        GenerationRequest(A, (USER,), tools=(NOW, NOW)),
        GenerationRequest(A, (USER,), tools=(replace(NOW, parameters="["),)),
    ],
)
def test_a_request_that_contradicts_itself_is_refused(request_: GenerationRequest) -> None:
    (event,) = make_core("").submit(request_, 0.0)

    assert isinstance(event, RequestFailed)
    assert event.error.kind == "InvalidRequest"
