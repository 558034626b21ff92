"""Several tokens a step: the same answers as one at a time, in fewer steps."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.backend.fake import FakeBackend, FakeVocab
from engine.core import EngineCore
from engine.events import Event, RequestFinished, TokensEmitted
from engine.kv import Costs, PagedKv
from engine.sched import Limits
from engine.types import ChatMessage, FinishReason, GenerationRequest, RequestId, Role, TokenId, Usage
from tests.doubles.cells import FakeCells

SLOW_S, QUICK_S = 1.0, 0.001


@dataclass(frozen=True)
class Asked:
    text: str
    stop: tuple[str, ...]
    max_tokens: int | None


@dataclass(frozen=True)
class Told:
    text: str
    reason: FinishReason
    usage: Usage


def answers_of(answer: str, asked: list[Asked], step_s: float, n_ctx: int = 512) -> tuple[dict[RequestId, Told], int]:
    """What each request was told, asked one after the other's first step, and how many steps it took in all."""
    tokens = [TokenId(token) for token in FakeVocab().tokenize(answer, special=False)]
    backend = FakeBackend(tokens, n_ctx, cells=FakeCells(n_ctx), step_s=step_s)
    costs = Costs()
    kv = PagedKv(backend.layout, backend.cells, ram_budget_bytes=1 << 20, disk=None, costs=costs)
    core = EngineCore(backend, kv, costs, Limits(chunk_tokens=64, max_running=4))
    events: list[Event] = []
    for number, each in enumerate(asked):
        message = ChatMessage(Role.USER, each.text)
        request = GenerationRequest(RequestId(str(number)), (message,), max_tokens=each.max_tokens, stop=each.stop)
        events += core.submit(request, 0.0)
        events += core.step(0.0)
        core.check()
    while core.has_work:
        events += core.step(0.0)
        core.check()
        assert core.n_steps < 2000
    texts = {RequestId(str(number)): "" for number in range(len(asked))}
    for event in events:
        if isinstance(event, TokensEmitted):
            texts[event.request_id] += event.text
    ended = [event for event in events if isinstance(event, RequestFinished)]
    assert len(ended) == len(asked)
    return {end.request_id: Told(texts[end.request_id], end.reason, end.usage) for end in ended}, core.n_steps


QUESTIONS = st.builds(
    Asked,
    st.text("ab ", min_size=1, max_size=30),
    st.lists(st.text("xyz", min_size=1, max_size=3), max_size=2, unique=True).map(tuple),
    st.none() | st.integers(1, 60),
)


@settings(max_examples=150, deadline=None)
@given(answer=st.text("xyz", max_size=80), asked=st.lists(QUESTIONS, min_size=1, max_size=4))
def test_quick_steps_give_the_answers_that_slow_ones_give(answer: str, asked: list[Asked]) -> None:
    slow, n_slow = answers_of(answer, asked, SLOW_S)
    quick, n_quick = answers_of(answer, asked, QUICK_S)
    assert {key: (told.text, told.reason, told.usage.n_output) for key, told in quick.items()} == {
        key: (told.text, told.reason, told.usage.n_output) for key, told in slow.items()
    }
    assert n_quick <= n_slow


def test_a_long_answer_takes_few_steps() -> None:
    asked = [Asked("Hello", (), None)]
    _, n_slow = answers_of("x" * 200, asked, SLOW_S)
    _, n_quick = answers_of("x" * 200, asked, QUICK_S)
    assert n_slow > 200
    assert n_quick < 20


def test_a_full_context_ends_a_quick_answer_where_it_ends_a_slow_one() -> None:
    asked = [Asked("Hello", (), None)]
    slow, _ = answers_of("x" * 400, asked, SLOW_S, n_ctx=128)
    quick, _ = answers_of("x" * 400, asked, QUICK_S, n_ctx=128)
    assert quick == slow
    assert quick[RequestId("0")].reason is FinishReason.CONTEXT_FULL


def test_what_was_computed_beyond_a_stop_string_is_not_remembered() -> None:
    """The next question goes on from what was said."""
    asked = [Asked("Hello", ("yy",), None)]
    told, _ = answers_of("x" * 30 + "yy" + "x" * 60, asked, QUICK_S)
    assert told[RequestId("0")].text == "x" * 30
    assert told[RequestId("0")].usage.n_output == 32
