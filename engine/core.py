"""The engine's heart: requests in, events out, one step at a time.

``step`` decides (scheduler), runs (backend) and applies (here). The core knows no thread, no clock and no pipe: time
comes in as a number, and everything that happens goes out as events.
"""

from __future__ import annotations

from engine.backend.base import Backend
from engine.errors import BugError, ContextTooLong, ErrorInfo, InvalidRequest, KnownError
from engine.events import (
    Event,
    PrefillProgressed,
    RequestFailed,
    RequestFinished,
    RequestStarted,
    TokensEmitted,
)
from engine.kv import KvManager
from engine.prompter import Prompter
from engine.sched import ActiveRequest, Scheduler
from engine.step import Sample, StepPlan, StepResult, StepStatus
from engine.text import TextStream
from engine.types import FinishReason, GenerationRequest, RequestId, Timings, TokenId, Usage

MAX_PROMPT_CHARS = 16_000_000
MAX_STOP_STRINGS = 16
MAX_STOP_CHARS = 1_000


class EngineCore:
    """Thread: the engine's. Every submitted request ends in exactly one RequestFinished or RequestFailed."""

    def __init__(self, backend: Backend, chunk_tokens: int) -> None:
        self._backend = backend
        self._n_ctx = backend.info.n_ctx
        self._prompter = Prompter(backend.chat_template, backend.vocab)
        self._kv = KvManager(self._n_ctx)
        self._scheduler = Scheduler(self._kv, chunk_tokens)
        self._streams: dict[RequestId, TextStream] = {}
        self._events: list[Event] = []

    @property
    def has_work(self) -> bool:
        return self._scheduler.has_work

    def submit(self, request: GenerationRequest, now_s: float) -> list[Event]:
        """Take a request on; nothing is computed yet. A request that cannot be served fails here."""
        try:
            _check(request)
            tokens = self._prompter.tokens(request.messages)
            if len(tokens) >= self._n_ctx:
                raise ContextTooLong(len(tokens), self._n_ctx)
            self._scheduler.add(ActiveRequest(request, tokens, submitted_s=now_s))
        except KnownError as error:
            return [RequestFailed(request.id, ErrorInfo.of(error))]
        self._streams[request.id] = TextStream((*request.stop, *self._prompter.stop))
        return []

    def cancel(self, request_id: RequestId, now_s: float) -> list[Event]:
        """End a request, keeping what it said. Unknown and finished ones are ignored."""
        request = self._find(request_id)
        if request is None:
            return []
        self._finish(request, FinishReason.CANCELLED, now_s)
        return self._taken()

    def fail_all(self, error: ErrorInfo) -> list[Event]:
        """End every request with ``error``: after a bug nothing may be left waiting."""
        for request in self._scheduler.requests():
            self._fail(request, error)
        return self._taken()

    def step(self, now_s: float) -> list[Event]:
        """Compute one batch, if there is anything to compute, and report what came of it."""
        self._admit(now_s)
        plan = self._scheduler.schedule()
        if plan is not None:
            result = self._backend.decode(plan)
            self._scheduler.update(plan, result)
            self._apply(plan, result)
        return self._taken()

    def check(self) -> None:
        """Raises BugError where an invariant is broken."""
        self._scheduler.check()
        if {request.id for request in self._scheduler.requests()} != set(self._streams):
            raise BugError("text streams and requests differ")

    def _admit(self, now_s: float) -> None:
        for request in self._scheduler.admit():
            request.started_s = now_s
            params = request.request.sampling
            history = request.tokens[-params.repeat_last_n :] if params.repeat_last_n else []
            self._backend.open_sampler(request.id, params, history)
            self._events.append(RequestStarted(request.id, request.n_prompt, request.n_cached))

    def _apply(self, plan: StepPlan, result: StepResult) -> None:
        match result.status:
            case StepStatus.DONE:
                self._report_prefill(plan)
                for sample in result.samples:
                    self._take_sample(sample, result.ended_s)
            case StepStatus.NO_SPACE | StepStatus.FAILED:
                for chunk in plan.chunks:
                    self._give_up(self._running(chunk.request_id), result)
            case StepStatus.INTERRUPTED | StepStatus.KV_REFUSED:
                pass  # the same tokens are due again in the next step

    def _report_prefill(self, plan: StepPlan) -> None:
        for chunk in plan.chunks:
            request = self._running(chunk.request_id)
            if request.is_prefilling:
                self._events.append(PrefillProgressed(request.id, request.n_computed, request.n_prompt))

    def _take_sample(self, sample: Sample, now_s: float) -> None:
        request = self._running(sample.request_id)
        if not sample.is_finite:
            self._fail(request, _invalid_numbers(self._backend.info.name))
            return
        if request.first_token_s is None:
            request.first_token_s = now_s
        if self._backend.vocab.ends_turn(sample.token):
            self._finish(request, FinishReason.END_OF_TURN, now_s)
            return
        self._append(request, sample.token, now_s)

    def _append(self, request: ActiveRequest, token: TokenId, now_s: float) -> None:
        request.tokens.append(token)
        stream = self._streams[request.id]
        self._emit(request, stream.push(self._backend.vocab.piece(token)))
        if stream.stopped is not None:
            self._finish(request, FinishReason.STOP_STRING, now_s)
        elif request.n_output == request.request.max_tokens:
            self._finish(request, FinishReason.MAX_TOKENS, now_s)
        elif len(request.tokens) > self._n_ctx:  # the newest token has no cell to be computed in
            self._finish(request, FinishReason.CONTEXT_FULL, now_s)

    def _give_up(self, request: ActiveRequest, result: StepResult) -> None:
        if result.status is StepStatus.NO_SPACE:
            self._fail(request, ErrorInfo.of(ContextTooLong(len(request.tokens), self._n_ctx)))
            return
        text = "The model could not compute this answer."
        hint = "Try again; if it happens every time, the model file may be damaged."
        self._fail(request, ErrorInfo("EngineStopped", text, hint, result.detail))

    def _finish(self, request: ActiveRequest, reason: FinishReason, now_s: float) -> None:
        self._emit(request, self._streams[request.id].finish())
        self._drop(request)
        usage = Usage(request.n_prompt, request.n_cached, request.n_output, self._n_ctx)
        self._events.append(RequestFinished(request.id, reason, usage, _timings(request, now_s)))

    def _fail(self, request: ActiveRequest, error: ErrorInfo) -> None:
        self._drop(request)
        self._events.append(RequestFailed(request.id, error))

    def _drop(self, request: ActiveRequest) -> None:
        self._scheduler.remove(request.id)
        self._backend.close_sampler(request.id)
        del self._streams[request.id]

    def _emit(self, request: ActiveRequest, text: str) -> None:
        if text:
            self._events.append(TokensEmitted(request.id, text, request.n_output))

    def _running(self, request_id: RequestId) -> ActiveRequest:
        request = self._scheduler.running(request_id)
        if request is None:
            raise BugError(f"{request_id} was computed but does not run")
        return request

    def _find(self, request_id: RequestId) -> ActiveRequest | None:
        return next((request for request in self._scheduler.requests() if request.id == request_id), None)

    def _taken(self) -> list[Event]:
        events, self._events = self._events, []
        return events


def _check(request: GenerationRequest) -> None:
    problem = request.sampling.problem()
    if not request.messages:
        problem = "There is no message to answer."
    elif request.max_tokens is not None and request.max_tokens < 1:
        problem = "max_tokens must be at least 1."
    elif sum(len(message.content) for message in request.messages) > MAX_PROMPT_CHARS:
        problem = f"The conversation is longer than {MAX_PROMPT_CHARS:,} characters."
    elif len(request.stop) > MAX_STOP_STRINGS or any(not 0 < len(stop) <= MAX_STOP_CHARS for stop in request.stop):
        problem = f"There may be {MAX_STOP_STRINGS} stop strings of 1 to {MAX_STOP_CHARS} characters."
    if problem:
        raise InvalidRequest(problem)


def _timings(request: ActiveRequest, now_s: float) -> Timings:
    started_s = now_s if request.started_s is None else request.started_s
    first_s = request.first_token_s
    return Timings(
        queued_s=started_s - request.submitted_s,
        first_token_s=None if first_s is None else first_s - request.submitted_s,
        decode_s=0.0 if first_s is None else now_s - first_s,
    )


def _invalid_numbers(model_name: str) -> ErrorInfo:
    return ErrorInfo(
        "ModelFileError",
        f"{model_name} produced numbers that are not numbers, so its file is probably damaged.",
        "Get the model again, or pick another one.",
    )
