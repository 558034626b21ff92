"""The engine's heart: requests in, events out, one step at a time.

``step`` decides (scheduler), runs (backend) and applies (here). The core knows no thread, no clock and no pipe: time
comes in as a number, and everything that happens goes out as events.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.backend.base import Backend
from engine.errors import BugError, ContextTooLong, ErrorInfo, InvalidRequest, KnownError
from engine.events import Event, PrefillProgressed, PromptMeasured, RequestFailed, RequestFinished, RequestStarted
from engine.kv import Costs, PagedKv
from engine.output import Output
from engine.prompter import Prompter
from engine.sched import ActiveRequest, Limits, Scheduler
from engine.step import Sample, StepPlan, StepResult, StepStatus
from engine.types import ChatMessage, FinishReason, GenerationRequest, Overflow, RequestId, Timings, Usage

MAX_PROMPT_CHARS = 16_000_000
MAX_STOP_STRINGS = 16
MAX_STOP_CHARS = 1_000
_AHEAD = RequestId("read-ahead")
_STEPS_PER_IDLE_WORK = 256


class EngineCore:
    """Thread: the engine's. Every submitted request ends in exactly one RequestFinished or RequestFailed."""

    def __init__(self, backend: Backend, kv: PagedKv, costs: Costs, limits: Limits) -> None:
        self._backend = backend
        self._n_ctx = backend.info.n_ctx
        self._prompter = Prompter(backend.chat_template, backend.vocab)
        self._kv = kv
        self._scheduler = Scheduler(kv, costs, limits)
        self._outputs: dict[RequestId, Output] = {}
        self._events: list[Event] = []
        self._n_steps = 0

    @property
    def n_steps(self) -> int:
        """How many batches were computed."""
        return self._n_steps

    @property
    def has_work(self) -> bool:
        return self._scheduler.has_work

    @property
    def is_reading_ahead(self) -> bool:
        """Whether nobody waits for what is computed now. Thread: any."""
        return self._scheduler.is_reading_ahead

    def submit(self, request: GenerationRequest, now_s: float) -> list[Event]:
        """Take a request on; nothing is computed yet. A request that cannot be served fails here."""
        try:
            self._take(request, now_s)
        except KnownError as error:
            self._backend.close_sampler(request.id)
            return [RequestFailed(request.id, ErrorInfo.of(error))]
        return []

    def read_ahead(self, conversation: str | None, messages: Sequence[ChatMessage], overflow: Overflow) -> list[Event]:
        """Prefill what will probably be asked next, while there is nothing else to do. No messages: stop that."""
        if not messages:
            self._scheduler.read_ahead(None)
            return []
        request = GenerationRequest(_AHEAD, tuple(messages), conversation=conversation)
        try:
            prompt = self._prompter.fit(messages, self._n_ctx, overflow)
        except ContextTooLong as error:
            self._scheduler.read_ahead(None)
            return [PromptMeasured(conversation, error.n_prompt, self._n_ctx, 0)]
        self._scheduler.read_ahead(ActiveRequest(request, prompt.tokens, submitted_s=0.0))
        return [PromptMeasured(conversation, len(prompt.tokens), self._n_ctx, prompt.n_dropped)]

    def cancel(self, request_id: RequestId, now_s: float) -> list[Event]:
        """End a request, keeping what it said. Unknown and finished ones are ignored."""
        request = next((known for known in self._scheduler.requests() if known.id == request_id), None)
        if request is not None:
            self._finish(request, FinishReason.CANCELLED, now_s)
        return self._taken()

    def fail_all(self, error: ErrorInfo) -> list[Event]:
        """End every request with ``error``: after a bug nothing may be left waiting."""
        for request in self._scheduler.requests():
            self._fail(request, error, is_sound=False)
        self._scheduler.read_ahead(None)
        return self._taken()

    def step(self, now_s: float) -> list[Event]:
        """Compute one batch, if there is anything to compute, and report what came of it."""
        for request in self._scheduler.admit():
            request.started_s = now_s
            self._events.append(RequestStarted(request.id, request.n_prompt, request.n_cached, request.n_dropped))
        plan = self._scheduler.schedule()
        if plan is not None:
            result = self._backend.decode(plan)
            self._scheduler.update(plan, result)
            self._apply(plan, result)
            self._n_steps += 1
        if plan is None or self._n_steps % _STEPS_PER_IDLE_WORK == 0:
            self._kv.idle_work()
        return self._taken()

    def idle_work(self) -> bool:
        """With nothing to compute: one small step of what makes later ones faster. False: there is none."""
        return self._kv.idle_work()

    def check(self) -> None:
        """Raises BugError where an invariant is broken."""
        self._scheduler.check()
        if {request.id for request in self._scheduler.requests()} != set(self._outputs):
            raise BugError("outputs and requests differ")

    def _take(self, request: GenerationRequest, now_s: float) -> None:
        _check(request)
        prompt = self._prompter.fit(request.messages, self._n_ctx, request.overflow)
        tokens = prompt.tokens
        last_n = max(request.sampling.repeat_last_n, request.sampling.dry_last_n)
        self._backend.open_sampler(request.id, request.sampling, tokens[-last_n:] if last_n else [])
        self._scheduler.add(ActiveRequest(request, tokens, now_s, n_dropped=prompt.n_dropped))
        self._outputs[request.id] = Output((*request.stop, *self._prompter.stop), self._backend.vocab)

    def _apply(self, plan: StepPlan, result: StepResult) -> None:
        match result.status:
            case StepStatus.DONE:
                self._report_prefill(plan)
                for sample in result.samples:
                    self._take_sample(sample, result.ended_s)
            case StepStatus.NO_SPACE | StepStatus.FAILED:
                for chunk in plan.chunks:
                    self._give_up(chunk.request_id, result)
            case StepStatus.INTERRUPTED:
                pass  # the same tokens are due again in the next step

    def _report_prefill(self, plan: StepPlan) -> None:
        for chunk in plan.chunks:
            request = self._scheduler.running(chunk.request_id)
            if request is not None and request.n_computed < request.n_prompt:
                self._events.append(PrefillProgressed(request.id, request.n_computed, request.n_prompt))

    def _take_sample(self, sample: Sample, now_s: float) -> None:
        request = self._scheduler.running(sample.request_id)
        if request is None:
            raise BugError(f"{sample.request_id} was computed but does not run")
        if not sample.is_finite:
            self._fail(request, _invalid_numbers(self._backend.info.name), is_sound=False)
            return
        if request.first_token_s is None:
            request.first_token_s = now_s
        if self._backend.vocab.ends_turn(sample.token):
            self._finish(request, FinishReason.END_OF_TURN, now_s)
            return
        self._append(request, sample, now_s)

    def _append(self, request: ActiveRequest, sample: Sample, now_s: float) -> None:
        request.tokens.append(sample.token)
        output = self._outputs[request.id]
        self._events += output.push(request.id, sample, request.n_output)
        if output.is_stopped:
            self._finish(request, FinishReason.STOP_STRING, now_s)
        elif request.n_output == request.request.max_tokens:
            self._finish(request, FinishReason.MAX_TOKENS, now_s)
        elif len(request.tokens) > self._n_ctx:  # the newest token has no cell to be computed in
            self._finish(request, FinishReason.CONTEXT_FULL, now_s)

    def _give_up(self, request_id: RequestId, result: StepResult) -> None:
        request = self._scheduler.running(request_id)
        if request is None:  # what was read ahead
            self._scheduler.read_ahead(None)
        elif result.status is StepStatus.NO_SPACE:
            self._fail(request, ErrorInfo.of(ContextTooLong(len(request.tokens), self._n_ctx)))
        else:
            text = "The model could not compute this answer."
            hint = "Try again; if it happens every time, the model file may be damaged."
            self._fail(request, ErrorInfo("EngineStopped", text, hint, result.detail), is_sound=False)

    def _finish(self, request: ActiveRequest, reason: FinishReason, now_s: float) -> None:
        self._events += self._outputs[request.id].finish(request.id, request.n_output)
        self._drop(request)
        usage = Usage(request.n_prompt, request.n_cached, request.n_output, self._n_ctx)
        self._events.append(RequestFinished(request.id, reason, usage, _timings(request, now_s), request.report))

    def _fail(self, request: ActiveRequest, error: ErrorInfo, *, is_sound: bool = True) -> None:
        self._drop(request, is_sound=is_sound)
        self._events.append(RequestFailed(request.id, error))

    def _drop(self, request: ActiveRequest, *, is_sound: bool = True) -> None:
        self._scheduler.remove(request.id, is_sound=is_sound)
        self._backend.close_sampler(request.id)
        del self._outputs[request.id]

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
