"""The engine's heart: requests in, events out, one step at a time.

``step`` decides (scheduler), runs (backend) and applies (here). The core knows no thread, no clock and no pipe: time
comes in as a number, and everything that happens goes out as events.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from msgspec.structs import replace

from engine.admission import check_request
from engine.backend.base import Backend
from engine.drafting import Drafting
from engine.errors import BugError, ContextTooLong, ErrorInfo, KnownError
from engine.events import (
    Event,
    PrefillProgressed,
    PromptCounted,
    PromptMeasured,
    RequestFailed,
    RequestFinished,
    RequestStarted,
)
from engine.formats import Offered, call_grammar, open_stream
from engine.kv import Costs, PagedKv
from engine.output import FormedOutput, Output, marker_tokens
from engine.prompter import Prompt, Prompter
from engine.sched import ActiveRequest, Limits, Scheduler
from engine.step import Sample, StepPlan, StepResult, StepStatus
from engine.types import (
    ChatMessage,
    DraftReport,
    FinishReason,
    GenerationRequest,
    ModelInfo,
    Overflow,
    RequestId,
    SamplingParams,
    Timings,
    ToolMode,
    Usage,
)

_AHEAD = RequestId("read-ahead")
_STEPS_PER_IDLE_WORK = 256


class EngineCore:
    """Thread: the engine's. Every submitted request ends in exactly one RequestFinished or RequestFailed."""

    def __init__(
        self, backend: Backend, kv: PagedKv, costs: Costs, limits: Limits, drafting: Drafting | None = None
    ) -> None:
        """Without ``drafting`` every token is computed on its own."""
        self._backend = backend
        self._drafting = drafting
        self._n_ctx = backend.info.n_ctx
        self._prompter = Prompter(backend.chat_template, backend.vocab)
        self._marker_tokens = marker_tokens(backend.vocab, self._prompter.format)
        self._kv = kv
        self._scheduler = Scheduler(kv, costs, limits)
        self._outputs: dict[RequestId, Output] = {}
        self._events: list[Event] = []
        self._n_steps = 0

    @property
    def info(self) -> ModelInfo:
        """The model, with what its chat template tells of it."""
        return replace(
            self._backend.info,
            can_call_tools=self._prompter.can_call_tools,
            can_reason=self._prompter.format.can_reason,
            template_problem=self._prompter.template_problem,
        )

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

    def count(self, request: GenerationRequest, now_s: float) -> list[Event]:
        """Say how long a request's prompt is; nothing is computed, and it need not fit."""
        try:
            check_request(request)
            n_tokens = self._prompter.count(request)
        except KnownError as error:
            return [RequestFailed(request.id, ErrorInfo.of(error))]
        return [PromptCounted(request.id, n_tokens, self._n_ctx)]

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

    def pin(self, conversation: str, is_pinned: bool) -> None:
        """As ``PagedKv.pin``, in the caches of all models."""
        self._kv.pin(conversation, is_pinned)
        if self._drafting is not None:
            self._drafting.pin(conversation, is_pinned)

    def drop(self, conversation: str) -> None:
        """As ``PagedKv.drop``, in the caches of all models."""
        self._kv.drop(conversation)
        if self._drafting is not None:
            self._drafting.drop(conversation)

    def step(self, now_s: float) -> list[Event]:
        """Compute one batch, if there is anything to compute, and report what came of it."""
        for request in self._scheduler.admit():
            request.started_s = now_s
            self._events.append(RequestStarted(request.id, request.n_prompt, request.n_cached, request.n_dropped))
        plan = self._schedule()
        if plan is not None:
            result = self._backend.decode(plan)
            if self._drafting is not None:
                self._drafting.learn(plan, result)
            self._scheduler.update(plan, result)
            self._apply(plan, result)
            if self._drafting is not None:
                self._drafting.settle(self._scheduler.requests())
            self._n_steps += 1
        if plan is None or self._n_steps % _STEPS_PER_IDLE_WORK == 0:
            self._kv.idle_work()
        return self._taken()

    def idle_work(self) -> bool:
        """With nothing to compute: one small step of what makes later ones faster. False: there is none."""
        return self._kv.idle_work() or (self._drafting is not None and self._drafting.idle_work())

    def check(self) -> None:
        """Raises BugError where an invariant is broken."""
        self._scheduler.check()
        if self._drafting is not None:
            self._drafting.check()
        if {request.id for request in self._scheduler.requests()} != set(self._outputs):
            raise BugError("outputs and requests differ")

    def _take(self, request: GenerationRequest, now_s: float) -> None:
        check_request(request)
        tools = Offered(() if request.tool_choice.mode is ToolMode.NONE else request.tools)
        prompt = self._prompter.prompt(request, self._n_ctx)
        tokens, sampling = prompt.tokens, self._constrained(request, tools, prompt)
        last_n = max(sampling.repeat_last_n, sampling.dry_last_n)
        self._backend.open_sampler(request.id, sampling, tokens[-last_n:] if last_n else [])
        self._scheduler.add(ActiveRequest(request, tokens, now_s, n_dropped=prompt.n_dropped))
        self._outputs[request.id] = self._open_output(request, tools, prompt)

    def _constrained(self, request: GenerationRequest, tools: Offered, prompt: Prompt) -> SamplingParams:
        """Where the model must call a tool, its grammar leaves it nothing else."""
        choice = request.tool_choice
        if choice.mode not in {ToolMode.REQUIRED, ToolMode.NAMED}:
            return request.sampling
        form = self._prompter.format
        if request.thinking is False:
            form = dataclasses.replace(form, reasoning=None)
        wanted = tools if choice.name is None or choice.mode is ToolMode.REQUIRED else tools.only(choice.name)
        grammar = call_grammar(form, wanted, at_most_one=choice.at_most_one, in_reasoning=prompt.in_reasoning)
        return replace(request.sampling, grammar=grammar)

    def _open_output(self, request: GenerationRequest, tools: Offered, prompt: Prompt) -> Output:
        """A plain one wherever the model's form has nothing to find: it costs the least for each token."""
        vocab, form = self._backend.vocab, self._prompter.format
        if request.prompt is not None:
            return Output(request.stop, vocab)
        stop = (*request.stop, *self._prompter.stop)
        answer = open_stream(form, tools, in_reasoning=prompt.in_reasoning)
        if answer is None:
            return Output(stop, vocab)
        at_most_one = request.tool_choice.at_most_one
        return FormedOutput(stop, vocab, answer, self._marker_tokens, at_most_one=at_most_one)

    def _schedule(self) -> StepPlan | None:
        if self._drafting is None:
            return self._scheduler.schedule()
        return self._scheduler.schedule(self._drafting.propose(self._scheduler.decoding()))

    def _apply(self, plan: StepPlan, result: StepResult) -> None:
        match result.status:
            case StepStatus.DONE:
                self._report_prefill(plan)
                is_run = result.n_rounds > 1 or plan.n_drafted > 0
                for sample in result.samples:
                    self._take_sample(sample, result.ended_s, is_run=is_run)
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

    def _take_sample(self, sample: Sample, now_s: float, *, is_run: bool) -> None:
        """``is_run``: a request may have several samples in this step."""
        request = self._scheduler.running(sample.request_id)
        if request is None:
            if is_run:
                return  # its text ended with an earlier one
            raise BugError(f"{sample.request_id} was computed but does not run")
        if sample.problem is not None:
            self._fail(request, sample.problem)
            return
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
        ended_by = output.ended_by
        if ended_by is not None:
            self._finish(request, ended_by, now_s)
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
        output = self._outputs[request.id]
        self._events += output.finish(request.id, request.n_output)
        if reason is FinishReason.END_OF_TURN and output.n_complete_calls:
            reason = FinishReason.TOOL_CALLS
        self._drop(request)
        usage = Usage(request.n_prompt, request.n_cached, request.n_output, self._n_ctx)
        timings = _timings(request, now_s)
        drafting = self._close_draft(request)
        stop = output.stop_string if reason is FinishReason.STOP_STRING else None
        self._events.append(RequestFinished(request.id, reason, usage, timings, request.report, stop, drafting))

    def _fail(self, request: ActiveRequest, error: ErrorInfo, *, is_sound: bool = True) -> None:
        self._drop(request, is_sound=is_sound)
        self._close_draft(request)
        self._events.append(RequestFailed(request.id, error))

    def _drop(self, request: ActiveRequest, *, is_sound: bool = True) -> None:
        self._scheduler.remove(request.id, is_sound=is_sound)
        self._backend.close_sampler(request.id)
        del self._outputs[request.id]

    def _close_draft(self, request: ActiveRequest) -> DraftReport | None:
        return None if self._drafting is None else self._drafting.close(request)

    def _taken(self) -> list[Event]:
        events, self._events = self._events, []
        return events


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
