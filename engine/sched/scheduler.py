"""Decides each step: which requests run, and how many tokens of each go into the batch.

Every running answer gets its next token in every step; what the pace allows beside that is prefill, shared evenly
among the prompts that are being read. The scheduler owns the requests' places and their KV leases; it knows no text,
no thread and no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from engine.errors import EngineBusy
from engine.kv import PagedKv
from engine.kv.costs import Costs
from engine.sched.pace import Pace
from engine.sched.request import ActiveRequest
from engine.step import Chunk, StepPlan, StepResult, StepStatus
from engine.types import RequestId

_STEPS_PER_PARKING = 16
"""A page that is saved in a step makes it some milliseconds longer."""


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
        self._n_steps = 0

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
                self._kv.close(request_id)
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

    def schedule(self) -> StepPlan | None:
        """The next step, with the cells for it free; None when nothing can run now.

        Where the running requests together need more cells than there are, the youngest goes back into the queue.
        """
        while chunks := tuple(self._chunks()):
            plan = StepPlan(chunks)
            if self._kv.reserve(plan.n_tokens) or len(self._running) < 2:
                return plan
            self._put_back_youngest()
        return None

    def update(self, plan: StepPlan, result: StepResult) -> None:
        """Book what a step computed. After an early end the same tokens are simply due again."""
        self._n_steps += 1
        if result.status is StepStatus.DONE:
            self._learn(plan, result.seconds)
        for chunk in plan.chunks:
            request = self._request(chunk.request_id)
            if result.status is StepStatus.DONE:
                self._kv.extend(chunk.seq_id, chunk.start, chunk.tokens)
                request.n_computed = chunk.end
            else:
                request.lose(self._kv.spoil(chunk.seq_id, chunk.start))
        if self._ahead is not None and self._ahead.n_due == 0:
            self.read_ahead(None)
        if self._n_steps % _STEPS_PER_PARKING == 0 and self._running:
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
        prefills = [chunk for chunk in plan.chunks if self._request(chunk.request_id).is_prefilling]
        n_prefill = sum(len(chunk.tokens) for chunk in prefills)
        self._pace.observe(len(plan.chunks) - len(prefills), n_prefill, seconds)
        if len(plan.chunks) == 1 and prefills:
            self._costs.observe_prefill(prefills[0].start, n_prefill, seconds)
