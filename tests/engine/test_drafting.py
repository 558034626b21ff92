"""Drafts in the core, with a scripted target and a scripted draft model: what is said, what stays in which cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.backend.fake import FakeBackend, FakeVocab
from engine.cells import Blob
from engine.core import EngineCore
from engine.drafting import Drafting
from engine.events import Event, RequestFinished, TokensEmitted
from engine.kv import Costs, PagedKv
from engine.sched import Limits
from engine.spec.controller import Controller
from engine.spec.costs import CostCurve
from engine.step import StepStatus
from engine.types import (
    ChatMessage,
    DraftReport,
    DraftVerdict,
    FinishReason,
    GenerationRequest,
    RequestId,
    Role,
    SamplingParams,
    TokenId,
)
from tests.doubles.cells import FakeCells
from tests.doubles.draft import ScriptedDraft

A, B = RequestId("a"), RequestId("b")
TEXT = "In a hole in the ground there lived a hobbit. Not a nasty, dirty, wet hole, nor yet a dry, bare, sandy hole."
CHEAP_ROWS = {1: 1.0, 16: 1.5}
DEAR_ROWS = {1: 1.0, 16: 20.0}


def tokens(text: str) -> list[TokenId]:
    return [TokenId(token) for token in FakeVocab().tokenize(text, special=False)]


@dataclass
class WatchedCells(FakeCells):
    """Keeps the tokens of every range that is saved."""

    saved: list[tuple[int, list[int]]] = field(default_factory=list)

    def save(self, seq: int, begin: int, end: int) -> Blob | None:  # type: ignore[override]  # any int is a sequence here
        self.saved.append((begin, self.tokens(seq)[begin:end]))  # type: ignore[arg-type]
        return super().save(seq, begin, end)  # type: ignore[arg-type]


class Engine:
    """A core that drafts, and what it said."""

    def __init__(
        self,
        answer: str = TEXT,
        draft: ScriptedDraft | None = None,
        rows: dict[int, float] = CHEAP_ROWS,
        draft_s: float = 0.01,
        fixed: int | None = None,
        ram_bytes: int = 1 << 20,
    ) -> None:
        self.cells = WatchedCells(4096)
        self.backend = FakeBackend(tokens(answer), cells=self.cells)
        costs, self.draft = Costs(), draft
        self.kv = PagedKv(self.backend.layout, self.cells, ram_bytes, None, costs)
        self.draft_kv = None if draft is None else PagedKv(draft.layout, draft.cells, 1 << 20, None, Costs())
        curve = None if draft is None else CostCurve({1: draft_s, 32: 2 * draft_s})
        controller = Controller(CostCurve(rows), curve, fixed=fixed)
        self.core = EngineCore(
            self.backend, self.kv, costs, Limits(64, 4), Drafting(controller, 4096, draft, self.draft_kv)
        )
        self.events: list[Event] = []

    def ask(self, name: RequestId = A, question: str = "Once?", *, n_most: int | None = None, stop: str = "") -> None:
        messages = (ChatMessage(Role.USER, question),)
        stops = (stop,) if stop else ()
        self.events += self.core.submit(
            GenerationRequest(name, messages, SamplingParams(), n_most, stops, conversation="talk"), 0.0
        )

    def run(self, n_steps: int = 10_000) -> None:
        for _ in range(n_steps):
            if not self.core.has_work:
                return
            self.events += self.core.step(0.0)
            self.core.check()

    def tidy(self) -> None:
        while self.core.idle_work():
            pass

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TokensEmitted))

    @property
    def finished(self) -> RequestFinished:
        return next(event for event in self.events if isinstance(event, RequestFinished))

    @property
    def report(self) -> DraftReport:
        assert self.finished.drafting is not None
        return self.finished.drafting

    @property
    def n_batches(self) -> int:
        return len(self.backend.plans)


def test_a_draft_that_is_right_takes_few_batches_and_changes_nothing() -> None:
    engine = Engine(draft=ScriptedDraft(tokens(TEXT)))
    engine.ask()
    engine.run()

    assert engine.text == TEXT
    assert engine.finished.reason is FinishReason.END_OF_TURN
    assert engine.n_batches < len(TEXT) / 5
    assert engine.report.verdict is DraftVerdict.DRAFTED
    assert engine.report.n_accepted > 0.8 * len(TEXT)


@settings(deadline=None, max_examples=60)
@given(st.sets(st.integers(0, len(TEXT))), st.integers(1, 15))
def test_whatever_is_drafted_the_answer_is_the_same_and_only_it_is_kept(wrong: set[int], length: int) -> None:
    draft = ScriptedDraft(tokens(TEXT), frozenset(wrong))
    engine = Engine(draft=draft, fixed=length)
    engine.ask()
    engine.run()
    engine.tidy()
    engine.core.check()

    assert engine.text == TEXT
    assert engine.report.n_accepted <= engine.report.n_drafted
    prompt = [token for plan in engine.backend.plans for chunk in plan.chunks for token in chunk.known]
    said = prompt[: len(prompt) - prompt[::-1].index(tokens("\n")[0])] + tokens(TEXT)
    assert engine.cells.saved
    assert all(saved == said[begin : begin + len(saved)] for begin, saved in engine.cells.saved)


def test_a_hostile_draft_is_off_within_64_tokens() -> None:
    draft = ScriptedDraft(tokens(TEXT * 4), frozenset(range(4 * len(TEXT))))
    engine = Engine(TEXT * 4, draft, rows={1: 1.0, 16: 4.0}, draft_s=0.2)
    engine.ask(n_most=64)
    engine.run()
    n_guesses = draft.n_guesses
    engine.ask(B)
    engine.run()

    assert n_guesses <= 4
    assert draft.n_guesses <= n_guesses + 4


def test_nothing_is_drafted_where_rows_are_dear() -> None:
    engine = Engine(draft=ScriptedDraft(tokens(TEXT)), rows=DEAR_ROWS)
    engine.ask()
    engine.run()

    assert engine.text == TEXT
    assert engine.report.n_drafted == 0
    assert engine.report.verdict is DraftVerdict.NOT_WORTH_IT


def test_text_that_repeats_the_question_is_looked_up_without_a_model() -> None:
    engine = Engine()
    engine.ask(question=f"Repeat: {TEXT}")
    engine.run()

    assert engine.text == TEXT
    assert engine.report.n_accepted > 0.6 * len(TEXT)
    assert engine.report.n_from_model == 0
    assert engine.n_batches < len(TEXT) / 2


def test_a_stop_string_in_an_accepted_run_ends_the_answer_there() -> None:
    engine = Engine(draft=ScriptedDraft(tokens(TEXT)), fixed=15)
    engine.ask(stop="ground")
    engine.run()
    engine.tidy()
    saved = [token for _, found in engine.cells.saved for token in found]

    assert engine.text == "In a hole in the "
    assert engine.finished.reason is FinishReason.STOP_STRING
    assert tokens("Q")[0] not in saved
    assert "lived" not in "".join(chr(token - 16) for token in saved if token > 16)


def test_the_limit_of_tokens_holds_in_an_accepted_run() -> None:
    engine = Engine(draft=ScriptedDraft(tokens(TEXT)), fixed=15)
    engine.ask(n_most=20)
    engine.run()

    assert engine.text == TEXT[:20]
    assert engine.finished.usage.n_output == 20
    assert engine.finished.reason is FinishReason.MAX_TOKENS


def test_cancelling_between_runs_leaves_both_caches_sound() -> None:
    engine = Engine(draft=ScriptedDraft(tokens(TEXT)), fixed=5)
    engine.ask()
    engine.run(4)
    engine.events += engine.core.cancel(A, 0.0)
    engine.core.check()

    assert TEXT.startswith(engine.text)
    assert engine.finished.reason is FinishReason.CANCELLED
    assert not engine.core.has_work


@pytest.mark.parametrize("status", [StepStatus.INTERRUPTED, StepStatus.FAILED])
def test_a_draft_that_cannot_be_computed_is_done_without(status: StepStatus) -> None:
    draft = ScriptedDraft(tokens(TEXT), statuses=[status] * 3)
    engine = Engine(draft=draft, fixed=4)
    engine.ask()
    engine.run()

    assert engine.text == TEXT
    assert draft.n_guesses > 0


def test_a_verification_that_is_interrupted_is_done_again() -> None:
    engine = Engine(draft=ScriptedDraft(tokens(TEXT)), fixed=4)
    engine.ask()
    engine.run(3)
    engine.backend.statuses = [StepStatus.INTERRUPTED]
    engine.run()

    assert engine.text == TEXT


def test_several_answers_draft_in_one_batch() -> None:
    engine = Engine(draft=ScriptedDraft(tokens(TEXT)), fixed=5)
    engine.ask(A)
    engine.ask(B, "And then?")
    engine.run()
    shared = [plan for plan in engine.backend.plans if sum(chunk.n_drafted > 0 for chunk in plan.chunks) == 2]

    assert shared
    assert sum(isinstance(event, RequestFinished) for event in engine.events) == 2


def test_the_draft_goes_on_from_what_it_has_read_in_the_conversation() -> None:
    draft = ScriptedDraft(tokens(TEXT))
    engine = Engine(draft=draft, fixed=4)
    engine.ask()
    engine.run()
    read: list[Sequence[TokenId]] = []
    compute = draft.cells.compute

    def watched(seq: int, found: Sequence[TokenId]) -> None:
        read.append(found)
        compute(seq, found)  # type: ignore[arg-type]

    draft.cells.compute = watched  # type: ignore[method-assign]
    engine.ask(B)
    engine.run()

    assert len(read[0]) < 10


def test_a_dropped_conversation_is_forgotten_by_the_draft_model_too() -> None:
    engine = Engine(draft=ScriptedDraft(tokens(TEXT)), fixed=4)
    engine.ask()
    engine.run()
    engine.core.drop("talk")
    engine.core.check()

    assert engine.draft is not None
    assert engine.draft.cells.n_used == 0
