"""Decides how much is drafted: from what batches cost here, and from how often drafts have held.

The promise is that drafting never costs. Three things keep it: a length must promise clearly more than none; what was
lost all the same is a debt that pauses drafting until plain steps have paid it off, a hundredth at a time; and reading
what a draft model has missed must be worth it within the rest of the answer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from engine.spec.costs import CostCurve
from engine.spec.estimate import MOST_DRAFTED, Estimate, Overall
from engine.spec.lengths import Candidate, Choice, choose

MODEL = "model"
_FIRST_DRAFT = 3
"""Until it is known how drafts fare, they are short."""

_MOST_CONVERSATIONS = 256
_LEAST_EXPECTED = 64
_MOST_ROWS_WHILE_READING = 4
"""Beside more answers than that, drafts win less than reading everybody's prompt costs."""

_DEBT_STEPS = 4.0
_MOST_LOST_STEPS = 2.0
_PAID_PART = 0.01
_PROBED_PART = 0.01
"""Trying again while drafting is off may take this part of the time, what the draft model has to read included."""


class Key(NamedTuple):
    """What estimates are kept for: a conversation, and who guesses in it (the model, or n-grams of some length)."""

    conversation: str
    kind: str


@dataclass(frozen=True, slots=True)
class Asker:
    """An answer for which up to ``n_most`` tokens could be drafted. The draft model has ``n_behind`` yet to read."""

    key: Key
    n_most: int
    needs_model: bool
    n_behind: int = 0
    n_output: int = 0
    n_left: int | None = None

    @property
    def n_expected(self) -> int:
        """How many tokens are still to come, probably: as many as there were."""
        expected = max(_LEAST_EXPECTED, self.n_output)
        return expected if self.n_left is None else min(expected, self.n_left)


@dataclass(slots=True)
class Controller:
    """``fixed`` is a length that is used whatever it costs; None lets what is measured decide."""

    target: CostCurve
    draft: CostCurve | None = None
    n_most_rows: int = MOST_DRAFTED + 1
    fixed: int | None = None
    _overall: dict[str, Overall] = field(default_factory=dict)
    _estimates: OrderedDict[Key, Estimate] = field(default_factory=OrderedDict)
    _debt_s: float = 0.0
    _is_paused: bool = False
    _credit_s: float = 0.0

    def begin(self, conversation: str) -> None:
        """A new answer: what was learned counts, but less."""
        for key, estimate in self._estimates.items():
            if key.conversation == conversation:
                estimate.fade()
        for overall in self._overall.values():
            overall.hope()

    def lengths(self, askers: Sequence[Asker], n_rows: int) -> Choice:
        """How many tokens to draft for each, in a batch that has ``n_rows`` without drafts."""
        if self.fixed is not None:
            return self._as_fixed(askers, n_rows)
        if self._is_paused:
            rate = n_rows / self.target.seconds(n_rows)
            return Choice((0,) * len(askers), rate, rate)
        candidates = [self._candidate(asker) for asker in askers]
        choice = choose(candidates, self.target, self.draft, n_rows, self.n_most_rows)
        if not choice.drafts and (probed := self._probed(askers, n_rows)) is not None:
            lengths = (_FIRST_DRAFT if asker is probed else 0 for asker in askers)
            return replace(choice, lengths=tuple(lengths))
        return replace(choice, lengths=tuple(map(self._capped, askers, choice.lengths)))

    def is_worth_reading(self, asker: Asker, n_rows: int) -> bool:
        """Whether the draft model should read what it has missed: what is hoped for must be more than that costs."""
        if self.fixed is not None:
            return True
        if self._is_paused or self.draft is None or n_rows > _MOST_ROWS_WHILE_READING:
            return False
        if self._can_probe(asker, n_rows):
            return True
        choice = choose([self._candidate(asker)], self.target, self.draft, n_rows, self.n_most_rows)
        gain_s = 1 / choice.plain_tokens_per_s - 1 / choice.tokens_per_s
        return gain_s * asker.n_expected > self.draft.seconds(asker.n_behind)

    def observe_target(self, n_rows: int, seconds: float, *, is_plain: bool) -> None:
        """A batch of answers was computed, without any prompts in it."""
        self.target.observe(n_rows, seconds)
        if is_plain:
            self._owe(-seconds * _PAID_PART)
            self._credit_s += seconds * _PROBED_PART

    def observe_draft(self, n_rows: int, seconds: float) -> None:
        if self.draft is not None:
            self.draft.observe(n_rows, seconds)

    def observe_gain(self, n_rows: int, n_tokens: int, seconds: float) -> None:
        """With drafts, ``n_tokens`` came from a step that took so long, the drafting included.

        One step alone does not pause drafting: the first of its shape is slow.
        """
        lost_s = seconds - n_tokens / n_rows * self.target.seconds(n_rows)
        self._owe(min(lost_s, _MOST_LOST_STEPS * self.target.seconds(1)))

    def observe_run(self, key: Key, n_drafted: int, n_accepted: int) -> None:
        self._estimate(key).observe(n_drafted, n_accepted)
        self._credit_s = 0.0

    def rate(self, key: Key) -> float:
        """How probably a drafted token holds there."""
        return self._estimate(key).rate

    def forget(self, conversation: str) -> None:
        for key in [key for key in self._estimates if key.conversation == conversation]:
            del self._estimates[key]

    def _probed(self, askers: Sequence[Asker], n_rows: int) -> Asker | None:
        """One for which a short draft is tried though little is hoped for: times may have changed."""
        return next((asker for asker in askers if self._can_probe(asker, n_rows)), None)

    def _can_probe(self, asker: Asker, n_rows: int) -> bool:
        if asker.n_most < _FIRST_DRAFT or n_rows + _FIRST_DRAFT > self.n_most_rows:
            return False
        cost_s = self.target.seconds(n_rows + _FIRST_DRAFT) - self.target.seconds(n_rows)
        if asker.needs_model and self.draft is not None:
            cost_s += _FIRST_DRAFT * self.draft.seconds(1) + self.draft.seconds(asker.n_behind)
        if self._credit_s < cost_s:
            return False
        hoped = Candidate([1.0] * asker.n_most, asker.needs_model)
        return choose([hoped], self.target, self.draft, n_rows, self.n_most_rows).drafts

    def _candidate(self, asker: Asker) -> Candidate:
        """While nothing is known, it is hoped that every token holds: what could pay is tried."""
        estimate = self._estimate(asker.key)
        survival = estimate.survival(asker.n_most) if estimate.is_known else [1.0] * asker.n_most
        return Candidate(survival, asker.needs_model)

    def _capped(self, asker: Asker, length: int) -> int:
        return length if self._estimate(asker.key).is_known else min(length, _FIRST_DRAFT)

    def _as_fixed(self, askers: Sequence[Asker], n_rows: int) -> Choice:
        n_free = max(0, self.n_most_rows - n_rows) // max(1, len(askers))
        rate = n_rows / self.target.seconds(n_rows)
        return Choice(tuple(min(self.fixed or 0, asker.n_most, n_free) for asker in askers), rate, rate)

    def _estimate(self, key: Key) -> Estimate:
        estimate = self._estimates.get(key)
        if estimate is None:
            overall = self._overall.setdefault(key.kind, Overall())
            estimate = self._estimates[key] = Estimate(overall)
            if len(self._estimates) > _MOST_CONVERSATIONS:
                self._estimates.popitem(last=False)
        self._estimates.move_to_end(key)
        return estimate

    def _owe(self, seconds: float) -> None:
        allowance_s = _DEBT_STEPS * self.target.seconds(1)
        self._debt_s = min(max(0.0, self._debt_s + seconds), 2 * allowance_s)
        if self._debt_s > allowance_s:
            self._is_paused = True
        elif self._debt_s < allowance_s / 2:
            self._is_paused = False
