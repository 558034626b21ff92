"""A request on its way, as a sequence of lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.errors import BugError
from engine.reuse import ReuseReport
from engine.types import GenerationRequest, RequestId, SeqId, TokenId

_NO_LIMIT = 2**31


@dataclass(slots=True)
class ActiveRequest:
    """Tokens of a request: the prompt, then the output. The first ``n_computed`` of them are in the KV cache.

    ::

        0            n_cached      n_computed   n_prompt      len(tokens)
        |--reused-----|--computed---|--to prefill--|--output----|

    A request waits while ``seq_id`` is None, prefills while ``n_computed < n_prompt`` and decodes after that, when
    exactly its newest token is not computed yet. One that is put back into the queue to make room keeps its output
    and prefills that too when it comes back.
    """

    request: GenerationRequest
    tokens: list[TokenId]
    submitted_s: float
    n_dropped: int = 0
    n_prompt: int = field(init=False)
    n_cached: int = 0
    n_computed: int = 0
    seq_id: SeqId | None = None
    started_s: float | None = None
    first_token_s: float | None = None
    report: ReuseReport | None = None

    def __post_init__(self) -> None:
        if not self.tokens:
            raise BugError("a request needs at least one token")
        self.n_prompt = len(self.tokens)

    @property
    def id(self) -> RequestId:
        return self.request.id

    @property
    def n_output(self) -> int:
        return len(self.tokens) - self.n_prompt

    @property
    def n_left(self) -> int:
        """How many tokens it may still say; without a limit of its own, more than any step yields."""
        most = self.request.max_tokens
        return _NO_LIMIT if most is None else most - self.n_output

    @property
    def n_due(self) -> int:
        """How many tokens are there and not computed."""
        return len(self.tokens) - self.n_computed

    @property
    def is_prefilling(self) -> bool:
        return self.n_computed < self.n_prompt or self.n_due > 1

    def due(self, n_most: int) -> Sequence[TokenId]:
        """At most ``n_most`` tokens that are to be computed next."""
        return self.tokens[self.n_computed : self.n_computed + n_most]

    def seat(self, seq_id: SeqId, n_ready: int, report: ReuseReport) -> None:
        """It has a sequence now, with its first ``n_ready`` tokens in it. Only the first report counts."""
        self.seq_id, self.n_computed = seq_id, n_ready
        if self.report is None:
            self.report, self.n_cached = report, n_ready

    def unseat(self) -> None:
        """It gave its sequence back."""
        self.seq_id, self.n_computed = None, 0

    def lose(self, n_computed: int) -> None:
        """Only so many of its tokens are in the cells, after a step that ended early."""
        self.n_computed = n_computed
        self.n_cached = min(self.n_cached, n_computed)

    def check(self) -> None:
        """Raises BugError where the lengths contradict each other."""
        if not 0 <= self.n_computed <= len(self.tokens) or not 0 <= self.n_cached <= self.n_prompt:
            raise BugError(f"{self.id}: {self.n_cached=} {self.n_computed=} of {len(self.tokens)}")
