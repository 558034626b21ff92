"""How many tokens to draft for whom, so that all answers together get the most tokens a second. Zero is a length."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from engine.spec.costs import CostCurve

WORTH = 1.03
"""What drafting must promise: measured costs are not that exact, and a tie is a loss."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One answer's possible draft: how probably its first 1, 2, 3... tokens hold, and who makes them.

    Without ``needs_model`` the tokens are there already and cost nothing.
    """

    survival: Sequence[float]
    needs_model: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """A length for each candidate, and tokens a second with these lengths and with none."""

    lengths: tuple[int, ...]
    tokens_per_s: float
    plain_tokens_per_s: float

    @property
    def drafts(self) -> bool:
        return any(self.lengths)


def choose(
    candidates: Sequence[Candidate], target: CostCurve, draft: CostCurve | None, n_rows: int, n_most_rows: int
) -> Choice:
    """``n_rows`` is how many rows the batch has without drafts, one for each answer; ``n_most_rows`` what it may have.

    Tokens are added one by one, the likeliest first; of all these batches the one with the best rate is taken.
    """
    plain = n_rows / target.seconds(n_rows)
    lengths, best, best_rate = [0] * len(candidates), [0] * len(candidates), plain * WORTH
    waiting = [(-item.survival[0], number) for number, item in enumerate(candidates) if item.survival]
    heapq.heapify(waiting)
    n_expected, drafting_s = float(n_rows), 0.0
    for n_batch in range(n_rows + 1, n_most_rows + 1):
        if not waiting:
            break
        chance, number = heapq.heappop(waiting)
        candidate = candidates[number]
        n_expected -= chance
        if candidate.needs_model and draft is not None:
            drafting_s += _added_s(candidates, lengths, lengths[number], draft)
        lengths[number] += 1
        if lengths[number] < len(candidate.survival):
            heapq.heappush(waiting, (-candidate.survival[lengths[number]], number))
        rate = n_expected / (target.seconds(n_batch) + drafting_s)
        if rate > best_rate:
            best, best_rate = list(lengths), rate
    return Choice(tuple(best), best_rate if any(best) else plain, plain)


def _added_s(candidates: Sequence[Candidate], lengths: Sequence[int], round_number: int, draft: CostCurve) -> float:
    """What one row more costs the draft model in a round that may already have some."""
    pairs = zip(candidates, lengths, strict=True)
    n_there = sum(item.needs_model and length > round_number for item, length in pairs)
    return draft.seconds(n_there + 1) - draft.seconds(n_there)
