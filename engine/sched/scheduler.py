"""Decides each step: which requests run, and how many tokens of each go into the batch.

Today one request runs and the others wait in order. The scheduler owns the requests' places and the KV leases; it
knows no text, no thread and no clock.
"""

from __future__ import annotations

from collections import deque

from engine.errors import EngineBusy
from engine.kv import KvManager
from engine.sched.request import ActiveRequest
from engine.step import Chunk, StepPlan, StepResult, StepStatus
from engine.types import RequestId


class Scheduler:
    """``chunk_tokens`` bounds a prefill chunk, and with it how long a step can keep others waiting."""

    def __init__(self, kv: KvManager, chunk_tokens: int, max_queued: int = 64) -> None:
        self._kv = kv
        self._chunk_tokens = chunk_tokens
        self._max_queued = max_queued
        self._queue: deque[ActiveRequest] = deque()
        self._running: dict[RequestId, ActiveRequest] = {}

    @property
    def has_work(self) -> bool:
        return bool(self._queue or self._running)

    def running(self, request_id: RequestId) -> ActiveRequest | None:
        return self._running.get(request_id)

    def requests(self) -> tuple[ActiveRequest, ...]:
        """All of them, the running ones first."""
        return (*self._running.values(), *self._queue)

    def add(self, request: ActiveRequest) -> None:
        """Raises EngineBusy when the queue is full."""
        if len(self._queue) >= self._max_queued:
            raise EngineBusy("Too many requests are waiting.", "Try again in a moment.")
        self._queue.append(request)

    def remove(self, request_id: RequestId) -> ActiveRequest | None:
        """Take a request out, wherever it is, and give its lease back. None where there is no such request."""
        if (running := self._running.pop(request_id, None)) is not None:
            self._kv.close(request_id)
            return running
        for waiting in self._queue:
            if waiting.id == request_id:
                self._queue.remove(waiting)
                return waiting
        return None

    def admit(self) -> list[ActiveRequest]:
        """Move requests out of the queue while there is room. Those returned have their lease."""
        admitted = []
        while self._queue and self._kv.can_open():
            request = self._queue.popleft()
            lease = self._kv.open(request.id, request.tokens)
            request.seq_id = lease.seq_id
            request.n_cached = request.n_computed = lease.n_cached
            self._running[request.id] = request
            admitted.append(request)
        return admitted

    def schedule(self) -> StepPlan | None:
        """The next step, or None when nothing runs. Changes nothing."""
        chunks = tuple(self._chunk(request) for request in self._running.values())
        return StepPlan(self._kv.trims(), chunks) if chunks else None

    def update(self, plan: StepPlan, result: StepResult) -> None:
        """Book what a step computed. After an early end the same tokens are simply due again."""
        if result.status is StepStatus.KV_REFUSED:
            self._start_over(plan)
            return
        self._kv.trimmed(plan.trims)
        for chunk in plan.chunks:
            if result.status is StepStatus.DONE:
                self._kv.extend(chunk.seq_id, chunk.start, chunk.tokens)
                self._running[chunk.request_id].n_computed = chunk.end
            else:
                self._kv.spoil(chunk.seq_id)

    def check(self) -> None:
        self._kv.check()
        for request in self._running.values():
            request.check()

    def _chunk(self, request: ActiveRequest) -> Chunk:
        assert request.seq_id is not None  # only admitted requests run
        tokens = tuple(request.pending(self._chunk_tokens))
        sample = request.n_computed + len(tokens) == len(request.tokens)
        return Chunk(request.id, request.seq_id, request.n_computed, tokens, sample)

    def _start_over(self, plan: StepPlan) -> None:
        emptied = {trim.seq_id for trim in plan.trims}
        for seq_id in emptied:
            self._kv.empty(seq_id)
        for request in self._running.values():
            if request.seq_id in emptied:
                request.n_cached = request.n_computed = 0
