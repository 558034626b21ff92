"""Decides each step: which requests run, and how many tokens of each go into the batch.

Every running answer gets its next token in every step; what the pace allows beside that is prefill, shared evenly
among the prompts that are being read. The scheduler owns the requests' places and their KV leases; it knows no text,
no thread and no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from engine.errors import EngineBusy
from engine.kv import PagedKv
from engine.kv.costs import Costs
from engine.sched.pace import Pace
from engine.sched.request import ActiveRequest
from engine.step import Chunk, StepPlan, StepResult, StepStatus
from engine.types import RequestId, TokenId

_NO_DRAFTS: Mapping[RequestId, Sequence[TokenId]] = MappingProxyType({})
_ROUNDS_PER_PARKING = 16
"""A page that is saved between two rounds makes the second one some milliseconds later."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``chunk_tokens`` is what one batch may hold, ``max_running`` how many requests share it."""

    chunk_tokens: int
    max_running: int = 8
    max_queued: int = 64


class Scheduler:
    def __init__(self, kv: PagedKv, costs: Costs, limits: Limits) -> None:
        self._kv = kv
        self._costs = costs
        self._limits = limits
        self._pace = Pace(limits.chunk_tokens)
        self._queue: deque[ActiveRequest] = deque()
        self._running: dict[RequestId, ActiveRequest] = {}
        self._ahead: ActiveRequest | None = None
        self._n_rounds_done = 0

    @property
    def has_work(self) -> bool:
        return bool(self._queue or self._running or self._ahead)

    @property
    def is_reading_ahead(self) -> bool:
        return self._ahead is not None and not self._running

    def running(self, request_id: RequestId) -> ActiveRequest | None:
        return self._running.get(request_id)

    def requests(self) -> tuple[ActiveRequest, ...]:
        """All of them, the running ones first, without what is read ahead."""
        return (*self._running.values(), *self._queue)

    def add(self, request: ActiveRequest) -> None:
        """Raises EngineBusy when the queue is full. Reading ahead ends: somebody waits now."""
        if len(self._queue) >= self._limits.max_queued:
            raise EngineBusy("Too many requests are waiting.", "Try again in a moment.")
        self.read_ahead(None)
        self._queue.append(request)

    def read_ahead(self, request: ActiveRequest | None) -> None:
        """Prefill this prompt while nothing else is to be done, instead of the one before it."""
        before, self._ahead = self._ahead, request
        if before is not None and before.seq_id is not None:
            self._kv.close(before.id)

    def remove(self, request_id: RequestId, *, is_sound: bool = True) -> ActiveRequest | None:
        """Take a request out, wherever it is, and give its lease back. None where there is no such request.

        What it computed is kept for whoever begins alike, unless that is not sound.
        """
        if (running := self._running.pop(request_id, None)) is not None:
            if is_sound:
                self._kv.close(request_id, len(running.tokens))
            else:
                self._kv.abandon(request_id)
            return running
        for waiting in self._queue:
            if waiting.id == request_id:
                self._queue.remove(waiting)
                return waiting
        return None

    def admit(self) -> list[ActiveRequest]:
        """Let requests run while there is room, in order. Those returned run for the first time."""
        admitted = []
        while self._queue and len(self._running) < self._limits.max_running:
            request = self._queue[0]
            if not self._seat(request):
                break
            self._queue.popleft()
            self._running[request.id] = request
            if request.started_s is None:
                admitted.append(request)
        if not self._running and not self._queue and self._ahead is not None and self._ahead.seq_id is None:
            self._seat(self._ahead)
        return admitted

    def decoding(self) -> list[ActiveRequest]:
        """The running requests, if each of them has one token to compute; none while somebody's prompt is read."""
        running = list(self._running.values())
        return running if self._kv.can_cut and not any(request.is_prefilling for request in running) else []

    def schedule(self, drafts: Mapping[RequestId, Sequence[TokenId]] = _NO_DRAFTS) -> StepPlan | None:
        """The next step, with the cells for it free; None when nothing can run now.

        ``drafts`` are guesses of what follows, to be verified in the same batch as far as there is room for them.
        Where the running requests together need more cells than there are, the youngest goes back into the queue.
        """
        if drafts:
            plan = StepPlan(tuple(_with_draft(chunk, drafts.get(chunk.request_id, ())) for chunk in self._chunks()))
            if plan.n_tokens <= self._limits.chunk_tokens and self._kv.reserve(plan.n_tokens):
                return plan
        while chunks := tuple(self._chunks()):
            n_rounds = self._n_rounds(chunks)
            if n_rounds > 1 and self._kv.reserve(n_rounds * len(chunks)):
                return StepPlan(chunks, n_rounds)
            plan = StepPlan(chunks)
            if self._kv.reserve(plan.n_tokens) or len(self._running) < 2:
                return plan
            self._put_back_youngest()
        return None

    def update(self, plan: StepPlan, result: StepResult) -> None:
        """Book what a step computed. After an early end the same tokens are simply due again."""
        n_before = self._n_rounds_done
        self._n_rounds_done += result.n_rounds
        if result.status is StepStatus.DONE:
            self._learn(plan, result.seconds / result.n_rounds)
        drawn = _drawn(result)
        for chunk in plan.chunks:
            request = self._request(chunk.request_id)
            if result.status is StepStatus.DONE:
                tokens = (*chunk.known, *drawn.get(chunk.request_id, ())[:-1])
                self._kv.extend(chunk.seq_id, chunk.start, tokens)
                request.n_computed = chunk.start + len(tokens)
            else:
                request.lose(self._kv.spoil(chunk.seq_id, chunk.start))
        if self._ahead is not None and self._ahead.n_due == 0:
            self.read_ahead(None)
        if self._n_rounds_done // _ROUNDS_PER_PARKING > n_before // _ROUNDS_PER_PARKING and self._running:
            self._kv.park(may_save=True)

    def check(self) -> None:
        self._kv.check()
        for request in self._running.values():
            request.check()

    def _seat(self, request: ActiveRequest) -> bool:
        if not self._kv.fetch(request.tokens):
            return False  # pages are on their way from the disk
        lease = self._kv.open(request.id, request.request.conversation, request.tokens)
        if lease is None:
            return False
        request.seat(lease.seq_id, lease.n_ready, lease.report)
        self._kv.park()
        return True

    def _put_back_youngest(self) -> None:
        request = self._running.popitem()[1]
        self._kv.close(request.id)
        request.unseat()
        self._queue.appendleft(request)

    def _chunks(self) -> Iterator[Chunk]:
        decoding = [request for request in self._running.values() if not request.is_prefilling]
        for request in decoding:
            yield self._chunk(request, 1)
        prefilling = [request for request in self._running.values() if request.is_prefilling]
        if not self._running and self._ahead is not None and self._ahead.seq_id is not None:
            prefilling = [self._ahead]
        n_left = min(self._pace.prefill_tokens(len(decoding)), self._limits.chunk_tokens - len(decoding))
        for request, n_tokens in self._shares(prefilling, n_left):
            yield self._chunk(request, n_tokens)

    def _n_rounds(self, chunks: tuple[Chunk, ...]) -> int:
        """More than one where nothing but answers is computed, and no more than the shortest of them may still take.

        What is computed beyond the end of an answer that its text brings about is cut off again, and not every model's
        cells can be cut.
        """
        running = [self._running.get(chunk.request_id) for chunk in chunks]
        if not self._kv.can_cut or any(request is None or request.is_prefilling for request in running):
            return 1
        n_left = [request.n_left for request in running if request is not None]
        return max(1, min(self._pace.rounds(), *n_left))

    def _shares(self, prefilling: list[ActiveRequest], n_left: int) -> Iterator[tuple[ActiveRequest, int]]:
        """Even shares, the shortest rests first, so that what they leave over goes to the longer ones."""
        waiting = sorted(prefilling, key=lambda request: request.n_due)
        for n_done, request in enumerate(waiting):
            n_tokens = min(request.n_due, n_left // (len(waiting) - n_done))
            n_left -= n_tokens
            if n_tokens:
                yield request, n_tokens

    def _chunk(self, request: ActiveRequest, n_tokens: int) -> Chunk:
        assert request.seq_id is not None  # only those with a sequence are computed
        tokens = tuple(request.due(n_tokens))
        sample = request is not self._ahead and len(tokens) == request.n_due
        return Chunk(request.id, request.seq_id, request.n_computed, tokens, sample)

    def _request(self, request_id: RequestId) -> ActiveRequest:
        if self._ahead is not None and request_id == self._ahead.id:
            return self._ahead
        return self._running[request_id]

    def _learn(self, plan: StepPlan, seconds: float) -> None:
        if plan.n_drafted:
            return  # it is neither what a token costs nor what a prompt does
        prefills = [chunk for chunk in plan.chunks if self._request(chunk.request_id).is_prefilling]
        n_prefill = sum(len(chunk.tokens) for chunk in prefills)
        self._pace.observe(len(plan.chunks) - len(prefills), n_prefill, seconds)
        if len(plan.chunks) == 1 and prefills:
            self._costs.observe_prefill(prefills[0].start, n_prefill, seconds)


def _with_draft(chunk: Chunk, draft: Sequence[TokenId]) -> Chunk:
    return replace(chunk, tokens=(*chunk.tokens, *draft), n_drafted=len(draft)) if draft else chunk


def _drawn(result: StepResult) -> dict[RequestId, list[TokenId]]:
    """Each request's tokens, round by round."""
    drawn: dict[RequestId, list[TokenId]] = {}
    for sample in result.samples:
        drawn.setdefault(sample.request_id, []).append(sample.token)
    return drawn
