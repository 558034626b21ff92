"""The engine's thread: takes commands, lets the core step, sends events, and tidies up when there is nothing to do."""

from __future__ import annotations

import dataclasses
import logging
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from engine.admission import check_request
from engine.backend.base import Backend
from engine.cells import KvLayout
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
from engine.config import CacheConfig, LoadSpec
from engine.core import EngineCore
from engine.drafting import Drafting
from engine.errors import BugError, ErrorInfo, InvalidRequest, KnownError
from engine.events import CacheChanged, DevicesRead, Event, LoadFailed, ModelLoaded, ModelLoading, RequestFailed
from engine.fingerprint import model_sha256
from engine.gguf import check_loadable, read_header
from engine.kv import Costs, DiskTier, PagedKv
from engine.sched import Limits
from engine.types import AdapterUse, GenerationRequest, Overflow, RequestId
from engine.worker.drafts import KeptCosts, make_drafts
from engine.worker.embeddings import Embeddings
from engine.worker.mailbox import Mailbox
from engine.worker.meter import MemoryMeter
from engine.worker.threads import Threads
from engine.worker.tuning import KeptChoices
from engine.worker.turns import AdapterTurns, wanted

log = logging.getLogger(__name__)

IDLE_PAUSE_S = 0.5
CACHE_REPORT_S = 0.5
SAVE_S = 1.5

BackendFactory = Callable[[LoadSpec, Callable[[float], None]], Backend]


class WorkerLoop:
    """Thread: the worker's main thread, but for :meth:`hasten` and the two counters of the heartbeat."""

    def __init__(
        self,
        next_command: Callable[[float | None], Command | None],
        emit: Callable[[Event], None],
        load_backend: BackendFactory | None = None,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        """``next_command`` waits that many seconds at most (None: for ever) and returns None when they are over.

        ``wake`` makes it return at once; it is called on another thread when pages have come from the disk.
        """
        self.n_steps = 0
        self._next_command = next_command
        self._emit = emit
        self._mailbox = Mailbox(emit)
        self._load_backend = load_backend or _load_llama
        self._wake = wake
        self._backend: Backend | None = None
        self._core: EngineCore | None = None
        self._kv: PagedKv | None = None
        self._embeddings: Embeddings | None = None
        self._answers_s = 0.0
        self._reported: CacheChanged | None = None
        self._reported_s = 0.0
        self._threads: Threads | None = None
        self._draft_problem: str | None = None
        self._spec: LoadSpec | None = None
        self._turns = AdapterTurns()
        self._costs = Costs()
        self._drafting: Drafting | None = None
        self._cache = CacheConfig()
        self._pinned: set[str] = set()
        self._is_loading = False
        self._meter: MemoryMeter | None = None

    def devices(self) -> DevicesRead | None:
        """What the devices have left, where that has changed since the last time. Thread: one, any."""
        return None if self._meter is None else self._meter.read()

    @property
    def is_busy(self) -> bool:
        has_work = (self._core is not None and self._core.has_work) or self._is_embedding
        return self._is_loading or has_work or self._turns.has_waiting

    @property
    def _is_embedding(self) -> bool:
        return self._embeddings is not None and self._embeddings.has_work

    def hasten(self, command: Command) -> None:
        """Make the running batch end early where it should not keep this command waiting. Thread: any."""
        if self._backend is None or self._core is None or not (self._core.has_work or self._is_embedding):
            return
        self._backend.hurry()
        match command:
            case Cancel() | Shutdown():
                self._backend.interrupt()
            case Submit() if self._core.is_reading_ahead or not self._core.has_work:
                self._backend.interrupt()
            case Embed() if self._core.is_reading_ahead:
                self._backend.interrupt()

    def run(self) -> None:
        """Load, then serve until Shutdown. Returns also when the load failed: this process has no second try."""
        command = self._next_command(None)
        if isinstance(command, Shutdown):
            return
        if not isinstance(command, Load):
            raise BugError(f"the first command must be Load, not {type(command).__name__}")
        if not self._load(command.spec):
            return
        assert self._core is not None
        pause_s = 0.0
        while True:
            while (command := self._next_command(pause_s)) is not None:
                if isinstance(command, Shutdown):
                    self._save_memory()
                    return
                self._obey(self._core, command)
                pause_s = 0.0
            self._take_turns()
            pause_s = self._work(self._core)
            self._report_cache(is_calm=pause_s > 0)

    def _load(self, spec: LoadSpec) -> bool:
        self._is_loading = True
        try:
            self._spec = spec
            self._threads = Threads(spec.config.n_threads)
            self._backend = self._open(replace(spec, config=replace(spec.config, n_threads=self._threads.n_threads)))
            self._core = self._make_core(self._backend, spec, self._threads)
            self._embeddings = Embeddings(self._backend)
        except KnownError as error:
            self._emit(LoadFailed(spec.path, ErrorInfo.of(error)))
            return False
        except Exception as error:
            log.exception("the load failed")
            self._emit(LoadFailed(spec.path, ErrorInfo.of(error, traceback.format_exc())))
            return False
        finally:
            self._is_loading = False
        draft = self._backend.draft
        info = replace(
            self._core.info,
            n_threads=self._threads.n_threads,
            draft_name=None if draft is None or self._draft_problem else draft.name,
            draft_problem=self._draft_problem,
        )
        receipt = self._backend.receipt()
        self._emit(ModelLoaded(info, receipt))
        self._meter = MemoryMeter(self._backend.read_memory, receipt)
        return True

    def _open(self, spec: LoadSpec) -> Backend:
        """Our own reader sees the file first: llama.cpp ends the process over some headers that it turns down."""
        if problem := spec.config.problem():
            raise InvalidRequest(problem)
        check_loadable(read_header(Path(spec.path), spec.name or None))
        progress = _Progress(spec.path, self._emit)
        return self._load_backend(spec, progress)

    def _make_core(self, backend: Backend, spec: LoadSpec, threads: Threads) -> EngineCore:
        layout, key, kept = _layout(backend, spec, ()), "", None
        if spec.cache.folder is not None:
            folder = Path(spec.cache.folder)
            on_gpu = "" if spec.config.n_gpu_layers is None else f", {spec.config.n_gpu_layers} layers on a GPU"
            key = layout.fingerprint + on_gpu
            threads.tune(backend, key, KeptChoices(folder / "threads.json"))
            kept = KeptCosts(folder / "batches.json")
        threads.apply(backend)
        drafts = make_drafts(backend, spec, f"{key}, {threads.key}", kept)
        self._draft_problem = drafts.problem
        self._drafting, self._cache = drafts.drafting, spec.cache
        return self._fresh_core(backend, spec)

    def _fresh_core(self, backend: Backend, spec: LoadSpec) -> EngineCore:
        """One over empty cells, which remembers what was computed with the adapters that are in place."""
        layout, cache = _layout(backend, spec, self._turns.in_place), self._cache
        disk = None
        if cache.folder is not None:
            disk = DiskTier(Path(cache.folder), layout.fingerprint, cache.disk_bytes, self._wake)
        self._kv = PagedKv(layout, backend.cells, cache.ram_bytes, disk, self._costs)
        limits = Limits(spec.config.n_ubatch, spec.config.n_parallel)
        core = EngineCore(backend, self._kv, self._costs, limits, self._drafting)
        for conversation in self._pinned:
            core.pin(conversation, True)
        return core

    def _take_turns(self) -> None:
        """Go on with those who waited for other adapters, as far as they can be answered now."""
        assert self._core is not None
        while True:
            core = self._core
            is_answering = core.has_work and not core.is_reading_ahead
            request = self._turns.next(is_answering=is_answering)
            if request is None:
                return
            self._take(request.id, partial(self._submit_in_turn, request))

    def _submit_in_turn(self, request: GenerationRequest) -> list[Event]:
        assert self._core is not None
        try:
            if wanted(request) != self._turns.in_place:
                self._put_in_place(wanted(request))
        except KnownError as error:
            return [RequestFailed(request.id, ErrorInfo.of(error))]
        return self._core.submit(request, time.monotonic())

    def _put_in_place(self, uses: tuple[AdapterUse, ...]) -> None:
        """Compute with other adapters from now on. What was remembered of conversations waits on the disk.

        Raises ModelFileError where they do not fit; nothing has changed then.
        """
        assert self._core is not None
        assert self._kv is not None
        assert self._backend is not None
        assert self._spec is not None
        self._core.read_ahead(None, (), Overflow.STOP)
        self._backend.adapters.check(uses)
        self._kv.close_all(SAVE_S)
        self._backend.adapters.apply(uses)
        self._turns.in_place = uses
        self._core = self._fresh_core(self._backend, self._spec)

    def _obey(self, core: EngineCore, command: Command) -> None:
        assert self._kv is not None
        assert self._embeddings is not None
        embeddings = self._embeddings
        match command:
            case Submit(request=asked):
                self._take(asked.id, lambda: self._submit(core, asked))
            case Cancel(request_id):
                self._cancel(core, request_id)
            case Embed(request=texts):
                self._take(texts.id, lambda: embeddings.add(texts))
            case Count(request=counted):
                self._take(counted.id, lambda: core.count(counted, time.monotonic()))
            case ReadAhead():
                self._read_ahead(core, command)
            case PinConversation(conversation, is_pinned):
                (self._pinned.add if is_pinned else self._pinned.discard)(conversation)
                core.pin(conversation, is_pinned)
            case DropConversation(conversation):
                core.drop(conversation)
            case SetCacheBudgets(ram_bytes, disk_bytes):
                self._cache = replace(self._cache, ram_bytes=ram_bytes, disk_bytes=disk_bytes)
                self._kv.set_budgets(ram_bytes, disk_bytes)
            case other:
                log.warning("a command out of place: %s", type(other).__name__)

    def _work(self, core: EngineCore) -> float:
        """Do something useful. Returns how long to wait for a command before doing more."""
        if not core.has_work and not self._is_embedding:
            self._mailbox.flush()
            if self._embeddings is not None:
                self._embeddings.rest()
            return 0.0 if core.idle_work() else IDLE_PAUSE_S
        n_before = core.n_steps
        if core.has_work and not (self._is_embedding and core.is_reading_ahead):
            self._step(core)
        has_answers = core.n_steps > n_before
        if self._is_embedding:
            self._step_embeddings(has_answers=has_answers)
            return 0.0
        if has_answers or core.idle_work():
            return 0.0
        return IDLE_PAUSE_S  # pages are on their way from the disk, which wakes us

    def _step_embeddings(self, *, has_answers: bool) -> None:
        assert self._embeddings is not None
        try:
            self._choose_threads()
            self._send(self._embeddings.step(self._answers_s if has_answers else None))
        except Exception as error:
            log.exception("an embedding failed")
            self._send(self._embeddings.fail_all(ErrorInfo.of(error, traceback.format_exc())))
        self.n_steps += 1

    def _cancel(self, core: EngineCore, request_id: RequestId) -> None:
        assert self._embeddings is not None
        if (waiting := self._turns.take_out(request_id)) is not None:
            self._take(request_id, lambda: core.submit(waiting, time.monotonic()))
        self._send(core.cancel(request_id, time.monotonic()))
        self._send(self._embeddings.cancel(request_id))

    def _read_ahead(self, core: EngineCore, command: ReadAhead) -> None:
        if not self._can_chat:
            return
        try:
            self._send(core.read_ahead(command.conversation, command.messages, command.overflow))
        except KnownError as error:
            log.info("nothing is read ahead: %s", error)

    def _report_cache(self, *, is_calm: bool) -> None:
        now_s = time.monotonic()
        if self._kv is None or now_s - self._reported_s < CACHE_REPORT_S * (1 if is_calm else 4):
            return
        self._reported_s = now_s
        report = CacheChanged(self._kv.conversations(), self._kv.usage())
        if report != self._reported:
            self._reported = report
            self._emit(report)

    def _save_memory(self) -> None:
        """What is remembered of conversations, as far as the time allows."""
        if self._kv is not None:
            self._kv.close_all(SAVE_S)

    @property
    def _can_chat(self) -> bool:
        return self._backend is not None and self._backend.info.can_chat

    def _submit(self, core: EngineCore, request: GenerationRequest) -> list[Event]:
        if not self._can_chat:
            name = self._backend.info.name if self._backend is not None else "The model"
            problem = InvalidRequest(f"{name} makes embeddings, it cannot chat.", "Pick a model that can.")
            return [RequestFailed(request.id, ErrorInfo.of(problem))]
        if not self._turns.must_wait(request):
            return core.submit(request, time.monotonic())
        try:
            check_request(request)
            self._turns.add(request)
        except KnownError as error:
            return [RequestFailed(request.id, ErrorInfo.of(error))]
        return []

    def _take(self, request_id: RequestId, take: Callable[[], list[Event]]) -> None:
        try:
            self._send(take())
        except Exception as error:
            log.exception("a request could not be taken")
            self._emit(RequestFailed(request_id, ErrorInfo.of(error, traceback.format_exc())))

    def _step(self, core: EngineCore) -> None:
        try:
            self._choose_threads()
            began_s = time.monotonic()
            self._send(core.step(began_s))
            self._answers_s = time.monotonic() - began_s
        except Exception as error:
            log.exception("a step failed")
            self._send(core.fail_all(ErrorInfo.of(error, traceback.format_exc())))
        self.n_steps += 1

    def _choose_threads(self) -> None:
        if self._threads is not None and self._backend is not None:
            self._threads.apply(self._backend)

    def _send(self, events: list[Event]) -> None:
        self._mailbox.send(events, time.monotonic())


def _layout(backend: Backend, spec: LoadSpec, uses: tuple[AdapterUse, ...]) -> KvLayout:
    """The backend's, with everything in its fingerprint that changes what the cells hold."""
    layout, folder = backend.layout, spec.cache.folder
    if folder is None:
        adapters = "".join(f" + {use.scale:g} of {use.path}" for use in uses)
        return dataclasses.replace(layout, fingerprint=f"{layout.fingerprint}{adapters}")
    memo = Path(folder) / "hashes.json"
    adapters = "".join(f" + {use.scale!r} of {model_sha256(Path(use.path), memo)}" for use in uses)
    model_hash = model_sha256(Path(spec.path), memo)
    return dataclasses.replace(layout, fingerprint=f"{model_hash} {layout.fingerprint}{adapters}")


class _Progress:
    """Passes the loader's progress on in steps of a percent."""

    def __init__(self, path: str, emit: Callable[[Event], None]) -> None:
        self._path = path
        self._emit = emit
        self._percent = -1

    def __call__(self, progress: float) -> None:
        percent = int(progress * 100)
        if percent != self._percent:
            self._percent = percent
            self._emit(ModelLoading(self._path, min(max(progress, 0.0), 1.0)))


def _load_llama(spec: LoadSpec, on_progress: Callable[[float], None]) -> Backend:
    from engine.backend.llama import LlamaBackend  # here, so that the loop can be tested without llama.cpp

    return LlamaBackend(spec, on_progress)
