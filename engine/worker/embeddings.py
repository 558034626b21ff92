"""Embedding requests on their way: tokenized, gathered into batches, computed a little at a time.

Inputs of several requests share a batch and take turns, so that a short request does not wait for a long one. Nothing
here takes long at once: the loop steps the running answers in between.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from engine.backend.base import Backend
from engine.errors import EngineBusy, ErrorInfo, InvalidRequest, KnownError
from engine.events import Embedded, Event, RequestFailed
from engine.types import EmbeddingRequest, ModelInfo, RequestId
from engine.wire import MAX_FRAME_BYTES

MAX_INPUTS = 2048
MAX_QUEUED = 64
KEEP_S = 120.0
"""How long the memory for embeddings is kept after the last one; to take it again costs some hundredths of a second."""

_SHARE = 1.0
"""Beside answers that are being written, embeddings get so many times the time that those get."""

_LEAST_TOKENS = 16
_READ_TOKENS = 4096
_MAX_CHARS_PER_TOKEN = 64
_FRAME_RESERVE_BYTES = 1 << 20
_WEIGHT = 0.3


@dataclass(slots=True, eq=False)
class _Job:
    """``tokens`` grows to all inputs; then they go into batches in order, and their ``vectors`` come in that order."""

    request: EmbeddingRequest
    tokens: list[list[int]] = field(default_factory=list)
    n_batched: int = 0
    vectors: list[bytes] = field(default_factory=list)

    @property
    def is_read(self) -> bool:
        return len(self.tokens) == len(self.request.inputs)

    @property
    def is_waiting(self) -> bool:
        """Whether it has inputs that are in no batch yet."""
        return self.is_read and self.n_batched < len(self.tokens)


class Embeddings:
    """Thread: the engine's. Every request ends in exactly one Embedded or RequestFailed."""

    def __init__(self, backend: Backend, clock: Callable[[], float] = time.monotonic) -> None:
        self._embedder = backend.embedder
        self._vocab = backend.vocab
        self._info: ModelInfo = backend.info
        self._clock = clock
        self._jobs: deque[_Job] = deque()
        self._batch: list[_Job] = []  # whose input it is, for every input of the open batch
        self._tokens_per_s: float | None = None
        self._credit_s = 0.0
        self._released_s: float | None = None

    @property
    def has_work(self) -> bool:
        return bool(self._jobs)

    def add(self, request: EmbeddingRequest) -> list[Event]:
        """Take a request on; nothing is computed yet."""
        try:
            self._check(request)
        except KnownError as error:
            return [RequestFailed(request.id, ErrorInfo.of(error))]
        self._jobs.append(_Job(request))
        return []

    def cancel(self, request_id: RequestId) -> list[Event]:
        """End a request. Unknown and finished ones are ignored."""
        gone = [job for job in self._jobs if job.request.id == request_id]
        return self._fail(gone, ErrorInfo("Cancelled", "The request was cancelled."))

    def fail_all(self, error: ErrorInfo) -> list[Event]:
        self._batch = []
        return self._fail(list(self._jobs), error)

    def step(self, beside_s: float | None = None) -> list[Event]:
        """Do one small thing. ``beside_s`` is what the step took of answers that are being written and wait now."""
        self._released_s = None
        if not self._has_time(beside_s):
            return []
        if not self._batch and (unread := next((job for job in self._jobs if not job.is_read), None)):
            return self._read(unread)
        try:
            if not self._batch:
                self._open()
            return self._compute(beside_s)
        except KnownError as error:
            failed, self._batch = self._batch, []
            return self._fail([job for job in self._jobs if job in failed], ErrorInfo.of(error))

    def rest(self) -> None:
        """There is nothing to do. After a while of that the memory is given back."""
        now_s = self._clock()
        if self._released_s is None:
            self._released_s = now_s + KEEP_S
        elif now_s >= self._released_s:
            self._embedder.release()
            self._released_s = float("inf")

    def _check(self, request: EmbeddingRequest) -> None:
        n_inputs = len(request.inputs)
        n_fitting = (MAX_FRAME_BYTES - _FRAME_RESERVE_BYTES) // (4 * max(1, self._info.n_embd))
        if not self._info.can_embed:
            raise InvalidRequest(f"{self._info.name} ranks texts, it makes no embeddings.", "Pick another model.")
        if n_inputs == 0:
            raise InvalidRequest("There is nothing to make embeddings of.")
        if n_inputs > min(MAX_INPUTS, n_fitting):
            raise InvalidRequest(
                f"A request may have {min(MAX_INPUTS, n_fitting):,} inputs, and this one has {n_inputs:,}."
            )
        if len(self._jobs) >= MAX_QUEUED:
            raise EngineBusy("Too many requests are waiting.", "Try again in a moment.")

    def _read(self, job: _Job) -> list[Event]:
        """Tokenize some inputs. A request of which one is not right is not computed at all."""
        n_read = 0
        try:
            while not job.is_read and n_read < _READ_TOKENS:
                tokens = self._tokens(job.request.inputs[len(job.tokens)], len(job.tokens) + 1)
                job.tokens.append(tokens)
                n_read += len(tokens)
        except KnownError as error:
            return self._fail([job], ErrorInfo.of(error))
        return []

    def _tokens(self, given: str | tuple[int, ...], number: int) -> list[int]:
        most, name = self._embedder.max_tokens, f"Input {number}"
        if isinstance(given, str):
            if len(given) > most * _MAX_CHARS_PER_TOKEN:  # not worth tokenizing
                raise _too_long(f"{name} is {len(given):,} characters long", self._info.name, most)
            tokens = self._vocab.tokenize_alone(given) if given else []
        else:
            tokens = list(given)
            wrong = next((token for token in tokens if not 0 <= token < self._info.n_vocab), None)
            if wrong is not None:
                raise InvalidRequest(
                    f"{name} has the token {wrong}, which is not in the vocabulary of {self._info.n_vocab:,}."
                )
        if not tokens:
            raise InvalidRequest(f"{name} is empty.")
        if len(tokens) > most:
            raise _too_long(f"{name} is {len(tokens):,} tokens long", self._info.name, most)
        return tokens

    def _open(self) -> None:
        """Gather inputs, one of each request in turn, until the batch is full."""
        inputs: list[list[int]] = []
        n_tokens = 0
        while (job := next((job for job in self._jobs if job.is_waiting), None)) is not None:
            tokens = job.tokens[job.n_batched]
            n_tokens += len(tokens)
            if inputs and (n_tokens > self._embedder.batch_tokens or len(inputs) == self._embedder.batch_inputs):
                break
            inputs.append(tokens)
            job.n_batched += 1
            self._batch.append(job)
            self._jobs.remove(job)
            self._jobs.append(job)
        self._embedder.open(inputs)

    def _compute(self, beside_s: float | None) -> list[Event]:
        n_most = self._embedder.batch_tokens
        if beside_s is not None:
            n_most = max(_LEAST_TOKENS, min(n_most, int((self._tokens_per_s or 0.0) * _SHARE * beside_s)))
        began_s = self._clock()
        done = self._embedder.step(n_most)
        seconds = self._clock() - began_s
        self._learn(done.n_tokens, seconds)
        self._credit_s -= 0.0 if beside_s is None else seconds
        if done.vectors is None:
            return []
        batch, self._batch = self._batch, []
        for job, vector in zip(batch, done.vectors, strict=True):
            job.vectors.append(vector)
        return [self._finish(job) for job in list(self._jobs) if len(job.vectors) == len(job.request.inputs)]

    def _has_time(self, beside_s: float | None) -> bool:
        """A piece is often longer than a step of the answers: then those get some steps before the next one."""
        self._credit_s = 0.0 if beside_s is None else min(self._credit_s, 0.0) + _SHARE * beside_s
        return beside_s is None or self._credit_s >= 0

    def _learn(self, n_tokens: int, seconds: float) -> None:
        if n_tokens and seconds > 0:
            rate = n_tokens / seconds
            old = self._tokens_per_s
            self._tokens_per_s = rate if old is None else old + _WEIGHT * (rate - old)

    def _finish(self, job: _Job) -> Event:
        self._jobs.remove(job)
        return Embedded(job.request.id, tuple(job.vectors), sum(map(len, job.tokens)))

    def _fail(self, jobs: list[_Job], error: ErrorInfo) -> list[Event]:
        for job in jobs:
            self._jobs.remove(job)
        if self._batch and not any(job in self._jobs for job in self._batch):
            self._batch = []  # nobody waits for it any more
        return [RequestFailed(job.request.id, error) for job in jobs]


def _too_long(what: str, model_name: str, most: int) -> InvalidRequest:
    return InvalidRequest(f"{what}, and {model_name} reads {most:,} tokens at a time.", "Split it into shorter texts.")
