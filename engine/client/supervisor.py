"""The client of a worker process: starts it, watches it, outlives it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from queue import Empty, SimpleQueue

from engine.client.api import EventSink
from engine.client.health import Pulse, RestartBudget
from engine.client.memory import Shrink, Shrunk, ran_out_of_memory
from engine.client.obituary import obituary
from engine.client.process import WorkerEnded, WorkerProcess, WorkerSaid
from engine.commands import (
    Cancel,
    Command,
    Count,
    DropConversation,
    Embed,
    Load,
    PinConversation,
    ReadAhead,
    SetCacheBudgets,
    Shutdown,
    Submit,
)
from engine.config import LoadSpec
from engine.errors import EngineStopped, ErrorInfo, NoModel
from engine.events import (
    DevicesRead,
    Embedded,
    EngineFailed,
    Event,
    Heartbeat,
    LoadFailed,
    ModelLoaded,
    ModelLoading,
    ModelUnloaded,
    PlanReduced,
    PromptCounted,
    RequestFailed,
    RequestFinished,
    TokensEmitted,
)
from engine.types import (
    ChatMessage,
    EmbeddingRequest,
    FinishReason,
    GenerationRequest,
    Overflow,
    RequestId,
    Timings,
    Usage,
)

log = logging.getLogger(__name__)

TICK_S = 0.5
GOODBYE_S = 3.0


class _Phase(Enum):
    EMPTY = auto()
    LOADING = auto()
    READY = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class _Do:
    """Something that a caller wants done on the supervisor's thread."""

    action: Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Close:
    pass


class WorkerClient:
    """Implements ``EngineClient`` over one worker process at a time.

    One thread, the supervisor's, owns all state and calls all sinks; everybody else only puts something into its
    inbox. A worker that died is remembered by its process object, so that late words of a dead one are told apart.
    """

    def __init__(self, shrink: Shrink | None = None) -> None:
        """``shrink`` finds a smaller way to load a model that ran out of memory, on a thread of its own."""
        self._shrink = shrink
        self._inbox: SimpleQueue[_Do | _Close | WorkerSaid | WorkerEnded] = SimpleQueue()
        self._sinks: tuple[EventSink, ...] = ()
        self._sinks_lock = threading.Lock()
        self._phase = _Phase.EMPTY
        self._spec: LoadSpec | None = None
        self._worker: WorkerProcess | None = None
        self._hang: str | None = None
        self._last_error: ErrorInfo | None = None
        self._waiting: dict[RequestId, Submit | Embed | Count] = {}
        self._in_flight: dict[RequestId, Submit | Embed | Count] = {}
        self._begun: set[RequestId] = set()
        self._pinned: set[str] = set()
        self._budget = RestartBudget()
        self._pulse = Pulse(TICK_S)
        self._thread = threading.Thread(target=self._run, name="engine-supervisor", daemon=True)
        self._thread.start()

    # Verbs. Thread: any.

    def load(self, spec: LoadSpec) -> None:
        self._inbox.put(_Do(lambda: self._load(spec)))

    def unload(self) -> None:
        self._inbox.put(_Do(self._unload))

    def submit(self, request: GenerationRequest) -> None:
        self._inbox.put(_Do(lambda: self._submit(Submit(request))))

    def embed(self, request: EmbeddingRequest) -> None:
        self._inbox.put(_Do(lambda: self._submit(Embed(request))))

    def count(self, request: GenerationRequest) -> None:
        self._inbox.put(_Do(lambda: self._submit(Count(request))))

    def cancel(self, request_id: RequestId) -> None:
        self._inbox.put(_Do(lambda: self._cancel(request_id)))

    def read_ahead(
        self, conversation: str | None, messages: tuple[ChatMessage, ...], overflow: Overflow = Overflow.STOP
    ) -> None:
        self._inbox.put(_Do(lambda: self._tell(ReadAhead(conversation, messages, overflow))))

    def pin(self, conversation: str, is_pinned: bool) -> None:
        self._inbox.put(_Do(lambda: self._pin(conversation, is_pinned)))

    def drop(self, conversation: str) -> None:
        self._inbox.put(_Do(lambda: self._tell(DropConversation(conversation))))

    def set_cache_budgets(self, ram_bytes: int, disk_bytes: int) -> None:
        self._inbox.put(_Do(lambda: self._tell(SetCacheBudgets(ram_bytes, disk_bytes))))

    def subscribe(self, sink: EventSink) -> Callable[[], None]:
        def unsubscribe() -> None:
            with self._sinks_lock:
                self._sinks = tuple(known for known in self._sinks if known is not sink)

        with self._sinks_lock:
            self._sinks = (*self._sinks, sink)
        return unsubscribe

    def close(self) -> None:
        self._inbox.put(_Close())
        self._thread.join()

    @property
    def worker_pid(self) -> int | None:
        """For diagnosis: the process id of the worker, while there is one."""
        worker = self._worker
        return worker.pid if worker is not None else None

    # The supervisor's thread.

    def _run(self) -> None:
        next_tick_s = time.monotonic() + TICK_S
        while True:
            try:
                message = self._inbox.get(timeout=max(0.0, next_tick_s - time.monotonic()))
            except Empty:
                next_tick_s = time.monotonic() + TICK_S
                self._tick()
                continue
            if isinstance(message, _Close):
                self._end_worker()
                return
            self._handle(message)

    def _handle(self, message: _Do | WorkerSaid | WorkerEnded) -> None:
        match message:
            case _Do(action):
                action()
            case WorkerSaid(worker, event) if worker is self._worker:
                self._hear(event)
            case WorkerEnded(worker, exit_code) if worker is self._worker:
                self._mourn(worker, exit_code)
            case _:
                pass  # last words of a worker that was replaced

    def _load(self, spec: LoadSpec) -> None:
        self._fail_requests(_replaced())
        self._end_worker()
        self._budget.refill()
        self._spec = spec
        self._start()

    def _start(self) -> None:
        assert self._spec is not None
        self._phase = _Phase.LOADING
        self._hang = None
        self._pulse = Pulse(TICK_S)
        self._emit(ModelLoading(self._spec.path, 0.0))
        try:
            self._worker = WorkerProcess(self._inbox.put)
        except OSError as error:
            text = f"The engine's process cannot be started: {error.strerror}."
            self._load_failed(ErrorInfo("EngineStopped", text, "Close other programs and try again."))
            return
        self._worker.send(Load(self._spec))

    def _unload(self) -> None:
        self._fail_requests(ErrorInfo.of(NoModel()))
        self._end_worker()
        self._phase = _Phase.EMPTY
        if self._spec is not None:
            self._emit(ModelUnloaded(self._spec.path))
        self._spec = None

    def _submit(self, command: Submit | Embed | Count) -> None:
        request_id = command.request.id
        if self._phase is _Phase.LOADING:
            self._waiting[request_id] = command
        elif self._phase is _Phase.READY and self._worker is not None:
            self._in_flight[request_id] = command
            self._worker.send(command)
        else:
            self._emit(RequestFailed(request_id, self._why_not_ready()))

    def _tell(self, command: Command) -> None:
        """For commands that nobody waits for: without a ready worker there is nothing they could change."""
        if self._phase is _Phase.READY and self._worker is not None:
            self._worker.send(command)

    def _pin(self, conversation: str, is_pinned: bool) -> None:
        if is_pinned:
            self._pinned.add(conversation)
        else:
            self._pinned.discard(conversation)
        self._tell(PinConversation(conversation, is_pinned))

    def _why_not_ready(self) -> ErrorInfo:
        if self._phase is not _Phase.FAILED or self._last_error is None:
            return ErrorInfo.of(NoModel())
        error = self._last_error
        return ErrorInfo(error.kind, error.text, "Load the model again, or pick another one.", error.detail)

    def _cancel(self, request_id: RequestId) -> None:
        waiting = self._waiting.pop(request_id, None)
        if isinstance(waiting, Embed | Count):
            self._emit(RequestFailed(request_id, ErrorInfo("Cancelled", "The request was cancelled.")))
        elif waiting is not None:
            usage = Usage(n_prompt=0, n_cached=0, n_output=0, n_ctx=0)
            timings = Timings(queued_s=0.0, first_token_s=None, decode_s=0.0)
            self._emit(RequestFinished(request_id, FinishReason.CANCELLED, usage, timings))
        elif request_id in self._in_flight and self._worker is not None:
            self._worker.send(Cancel(request_id))

    def _hear(self, event: Event) -> None:
        if isinstance(event, Heartbeat):
            self._pulse.beat(event.n_steps, event.busy)
            return
        if isinstance(event, DevicesRead):  # the heartbeat's thread sends it: no sign of progress
            self._emit(event)
            return
        self._pulse.progressed()
        match event:
            case ModelLoaded():
                self._phase = _Phase.READY
                self._emit(event)
                for conversation in sorted(self._pinned):
                    self._tell(PinConversation(conversation, is_pinned=True))
                self._submit_waiting()
                return
            case LoadFailed(error=error):
                self._end_worker()
                if error.kind != "OutOfMemory" or not self._try_smaller(error):
                    self._load_failed(error)
                return
            case TokensEmitted(request_id):
                self._begun.add(request_id)
            case (
                RequestFinished(request_id)
                | RequestFailed(request_id)
                | Embedded(request_id)
                | PromptCounted(request_id)
            ):
                self._in_flight.pop(request_id, None)
                self._begun.discard(request_id)
        self._emit(event)

    def _submit_waiting(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for command in waiting.values():
            self._submit(command)

    def _mourn(self, worker: WorkerProcess, exit_code: int) -> None:
        """The worker is dead. Nobody waits for it, and it is started again unless it died while it loaded."""
        assert self._spec is not None
        was_loading = self._phase is _Phase.LOADING
        error = obituary(
            self._spec.path,
            exit_code=exit_code,
            stderr_tail=worker.stderr_tail,
            hang=self._hang,
            was_loading=was_loading,
        )
        log.error("the engine stopped: %s\n%s", error.text, error.detail)
        self._worker = None
        worker.join()
        if ran_out_of_memory(worker.stderr_tail) and self._try_smaller(error):
            return
        if was_loading:
            self._load_failed(error)
            return
        restarting = self._budget.take(time.monotonic())
        self._phase = _Phase.LOADING if restarting else _Phase.FAILED
        self._last_error = error
        self._fail_requests(error)
        self._emit(EngineFailed(self._spec.path, error, restarting))
        if restarting:
            self._start()

    def _try_smaller(self, error: ErrorInfo) -> bool:
        """Whether the model may be loaded anew with less. Requests that had no answer yet wait for that."""
        shrink, spec = self._shrink, self._spec
        if shrink is None or spec is None:
            return False
        self._phase = _Phase.LOADING
        for request_id in [request_id for request_id in self._in_flight if request_id in self._begun]:
            del self._in_flight[request_id]
            self._emit(RequestFailed(request_id, error))
        self._waiting = {**self._in_flight, **self._waiting}
        self._in_flight.clear()
        self._begun.clear()

        def find() -> None:
            try:
                found = shrink(spec)
            except Exception:
                log.exception("no smaller plan")
                found = None
            self._inbox.put(_Do(lambda: self._start_smaller(spec, found, error)))

        threading.Thread(target=find, name="engine-shrink", daemon=True).start()
        return True

    def _start_smaller(self, failed: LoadSpec, found: Shrunk | None, error: ErrorInfo) -> None:
        if self._spec is not failed or self._worker is not None:
            return  # another model was asked for meanwhile
        if found is None:
            self._load_failed(error)
            return
        self._spec = found.spec
        self._emit(PlanReduced(failed.path, found.sentence))
        self._start()

    def _load_failed(self, error: ErrorInfo) -> None:
        assert self._spec is not None
        self._phase = _Phase.FAILED
        self._last_error = error
        self._fail_requests(error)
        self._emit(LoadFailed(self._spec.path, error))

    def _fail_requests(self, error: ErrorInfo) -> None:
        lost = [*self._in_flight, *self._waiting]
        self._in_flight.clear()
        self._begun.clear()
        self._waiting.clear()
        for request_id in lost:
            self._emit(RequestFailed(request_id, error))

    def _end_worker(self) -> None:
        """Let it save what it remembers, but not for long. One that still loads remembers nothing."""
        worker, self._worker = self._worker, None
        if worker is not None:
            if self._phase is not _Phase.LOADING:
                worker.send(Shutdown())
                worker.join(GOODBYE_S)
            worker.kill()
            worker.join()

    def _tick(self) -> None:
        if self._worker is None:
            return
        hang = self._pulse.tick(self._worker.is_stopped(), self._phase is _Phase.LOADING)
        if hang is not None:
            self._hang = hang
            self._worker.kill()

    def _emit(self, event: Event) -> None:
        for sink in self._sinks:
            try:
                sink(event)
            except Exception:
                log.exception("a subscriber failed on %s", type(event).__name__)


def _replaced() -> ErrorInfo:
    return ErrorInfo.of(EngineStopped("The model was replaced by another one.", "Ask again to use the new one."))
