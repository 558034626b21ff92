"""A draft model that follows a script, with cells of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.backend.fake import END_OF_TURN
from engine.cells import KvLayout
from engine.step import Sample, StepPlan, StepResult, StepStatus
from engine.types import TokenId
from tests.doubles.cells import FakeCells


@dataclass
class ScriptedDraft:
    """Implements ``base.Draft``: guesses ``answer`` token by token, but another token at the places in ``wrong``.

    Where it is in the answer it finds out from what is in its cells, so these must be right.
    """

    answer: Sequence[TokenId]
    wrong: frozenset[int] = frozenset()
    n_ctx: int = 4096
    n_vocab: int = 0x200100
    name: str = "Small"
    n_guesses: int = 0
    statuses: list[StepStatus] = field(default_factory=list)
    cells: FakeCells = field(init=False)

    def __post_init__(self) -> None:
        self.cells = FakeCells(self.n_ctx)

    @property
    def layout(self) -> KvLayout:
        return KvLayout(
            self.n_ctx, n_sequences=8, bytes_per_token=16, can_cut=True, fingerprint="small", page_tokens=16
        )

    def read(self, plan: StepPlan) -> StepResult:
        for chunk in plan.chunks:
            self.cells.compute(chunk.seq_id, chunk.tokens)
        return StepResult(StepStatus.DONE, 0.0, 0.0)

    def guess(self, plan: StepPlan) -> StepResult:
        status = self.statuses.pop(0) if self.statuses else StepStatus.DONE
        if status is not StepStatus.DONE:
            return StepResult(status, 0.0, 0.0)
        self.n_guesses += 1
        due = {chunk: list(chunk.tokens) for chunk in plan.chunks}
        samples: list[Sample] = []
        for _ in range(plan.n_rounds):
            for chunk in plan.chunks:
                self.cells.compute(chunk.seq_id, due[chunk])
                due[chunk] = [self._next(self.cells.tokens(chunk.seq_id))]
                samples.append(Sample(chunk.request_id, due[chunk][0]))
        return StepResult(StepStatus.DONE, 0.0, 0.0, tuple(samples), n_rounds=plan.n_rounds)

    def time_rows(self, n_rows: int) -> float:
        return 0.01

    def _next(self, tokens: Sequence[int]) -> TokenId:
        """After a guess of its own that was wrong it is lost, and guesses the end."""
        lengths = range(min(len(self.answer), len(tokens)), -1, -1)
        place = next(n for n in lengths if list(tokens[len(tokens) - n :]) == list(self.answer[:n]))
        if place in self.wrong:
            return TokenId(ord("#") + 16)
        return self.answer[place] if place < len(self.answer) else END_OF_TURN
