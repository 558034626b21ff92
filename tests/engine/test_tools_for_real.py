"""A round trip with the starter model: it must call a tool, does, and goes on from what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.backend.llama import LlamaBackend
from engine.config import EngineConfig, LoadSpec
from engine.core import EngineCore
from engine.events import Event, RequestFailed, RequestFinished, TokensEmitted
from engine.kv import Costs, PagedKv
from engine.sched import Limits
from engine.types import (
    ChatMessage,
    FinishReason,
    GenerationRequest,
    RequestId,
    Role,
    SamplingParams,
    Tool,
    ToolCall,
    ToolChoice,
    ToolMode,
)
from tests.doubles.families import NOW, WEATHER

QUESTION = ChatMessage(Role.USER, "What is the weather like in Paris?")
GREEDY = SamplingParams(temperature=0)
ONE = ToolChoice(ToolMode.REQUIRED, at_most_one=True)


@pytest.fixture(scope="module")
def core(starter_model: Path) -> Iterator[EngineCore]:
    backend = LlamaBackend(LoadSpec(str(starter_model), EngineConfig(n_ctx=2048, n_threads=2)), lambda _: None)
    costs = Costs()
    kv = PagedKv(backend.layout, backend.cells, 1 << 24, disk=None, costs=costs)
    yield EngineCore(backend, kv, costs, Limits(512, 4))
    backend.close()


def run(core: EngineCore, request: GenerationRequest) -> tuple[str, ToolCall | None, FinishReason]:
    events: list[Event] = core.submit(request, 0.0)
    while core.has_work:
        events += core.step(0.0)
    tokens = [event for event in events if isinstance(event, TokensEmitted)]
    parts = [part for event in tokens for part in event.calls if part.index == 0]
    fields = ("".join(getattr(part, name) for part in parts) for name in ("id", "name", "arguments"))
    finish = events[-1]
    assert isinstance(finish, RequestFinished)
    return "".join(event.text for event in tokens), ToolCall(*fields) if parts else None, finish.reason


@pytest.mark.slow
def test_a_tool_is_called_and_its_result_is_used(core: EngineCore) -> None:
    request = GenerationRequest(RequestId("a"), (QUESTION,), GREEDY, 100, tools=(WEATHER, NOW), tool_choice=ONE)
    text, call, reason = run(core, request)

    assert (text, reason) == ("", FinishReason.TOOL_CALLS)
    assert call is not None
    assert call.name in {"get_weather", "now"}
    assert "city" in json.loads(call.arguments) or call.name == "now"

    history = (
        QUESTION,
        ChatMessage(Role.ASSISTANT, "", tool_calls=(call,)),
        ChatMessage(Role.TOOL, '{"temperature_celsius": 21, "sky": "clear"}', tool_call_id=call.id),
    )
    text, call, _ = run(core, GenerationRequest(RequestId("b"), history, GREEDY, 40, tools=(WEATHER, NOW)))
    assert "21" in text
    assert call is None


@pytest.mark.slow
def test_the_tool_that_is_named_is_called(core: EngineCore) -> None:
    choice = ToolChoice(ToolMode.NAMED, "now", at_most_one=True)
    request = GenerationRequest(RequestId("c"), (QUESTION,), GREEDY, 100, tools=(WEATHER, NOW), tool_choice=choice)

    _, call, reason = run(core, request)

    assert (call and (call.name, call.arguments), reason) == (("now", "{}"), FinishReason.TOOL_CALLS)


def test_a_schema_that_no_grammar_can_follow_is_refused_with_the_reason(core: EngineCore) -> None:
    tool = Tool("f", "", '{"properties": {"a": {"$ref": "https://example.org/schema"}}}')
    (event,) = core.submit(GenerationRequest(RequestId("d"), (QUESTION,), tools=(tool,), tool_choice=ONE), 0.0)

    assert isinstance(event, RequestFailed)
    assert (event.error.kind, "itself" in event.error.text) == ("InvalidRequest", True)
