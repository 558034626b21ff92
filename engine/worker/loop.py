"""The engine's thread: takes commands, lets the core step, sends events, and tidies up when there is nothing to do."""

from __future__ import annotations

import dataclasses
import logging
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from engine.backend.base import Backend
from engine.commands import (
    Cancel,
    Command,
    DropConversation,
    Load,
    PinConversation,
    ReadAhead,
    SetCacheBudgets,
    Shutdown,
    Submit,
)
from engine.config import LoadSpec
from engine.core import EngineCore
from engine.errors import BugError, ErrorInfo, InvalidRequest, KnownError
from engine.events import CacheChanged, Event, LoadFailed, ModelLoaded, ModelLoading, RequestFailed
from engine.fingerprint import model_sha256
from engine.gguf import check_loadable, read_header
from engine.kv import Costs, DiskTier, PagedKv
from engine.sched import Limits
from engine.types import GenerationRequest
from engine.worker.governor import ThreadGovernor, default_n_threads
from engine.worker.mailbox import Mailbox

log = logging.getLogger(__name__)

IDLE_PAUSE_S = 0.5
FETCH_PAUSE_S = 0.002
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
    ) -> None:
        """``next_command`` waits that many seconds at most (None: for ever) and returns None when they are over."""
        self.n_steps = 0
        self._next_command = next_command
        self._emit = emit
        self._mailbox = Mailbox(emit)
        self._load_backend = load_backend or _load_llama
        self._backend: Backend | None = None
        self._core: EngineCore | None = None
        self._kv: PagedKv | None = None
        self._reported: CacheChanged | None = None
        self._reported_s = 0.0
        self._governor: ThreadGovernor | None = None
        self._is_loading = False

    @property
    def is_busy(self) -> bool:
        return self._is_loading or (self._core is not None and self._core.has_work)

    def hasten(self, command: Command) -> None:
        """Make the running batch end early where it should not keep this command waiting. Thread: any."""
        if self._backend is None or self._core is None or not self._core.has_work:
            return
        is_urgent = isinstance(command, Cancel | Shutdown)
        if is_urgent or (isinstance(command, Submit) and self._core.is_reading_ahead):
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
            pause_s = self._work(self._core)
            self._report_cache(is_calm=pause_s > 0)

    def _load(self, spec: LoadSpec) -> bool:
        self._is_loading = True
        try:
            self._backend = self._open(self._with_threads(spec))
            self._core = self._make_core(self._backend, spec)
        except KnownError as error:
            self._emit(LoadFailed(spec.path, ErrorInfo.of(error)))
            return False
        except Exception as error:
            log.exception("the load failed")
            self._emit(LoadFailed(spec.path, ErrorInfo.of(error, traceback.format_exc())))
            return False
        finally:
            self._is_loading = False
        self._emit(ModelLoaded(self._backend.info))
        return True

    def _open(self, spec: LoadSpec) -> Backend:
        """Our own reader sees the file first: llama.cpp ends the process over some headers that it turns down."""
        if problem := spec.config.problem():
            raise InvalidRequest(problem)
        check_loadable(read_header(Path(spec.path)))
        progress = _Progress(spec.path, self._emit)
        return self._load_backend(spec, progress)

    def _with_threads(self, spec: LoadSpec) -> LoadSpec:
        """Where nobody chose a number of threads, the governor does, now and from step to step."""
        if spec.config.n_threads is not None:
            return spec
        self._governor = ThreadGovernor(default_n_threads(), time.monotonic())
        return replace(spec, config=replace(spec.config, n_threads=self._governor.n_threads))

    def _make_core(self, backend: Backend, spec: LoadSpec) -> EngineCore:
        costs, cache, layout = Costs(), spec.cache, backend.layout
        disk = None
        if cache.folder is not None:
            folder = Path(cache.folder)
            model_hash = model_sha256(Path(spec.path), folder / "hashes.json")
            layout = dataclasses.replace(layout, fingerprint=f"{model_hash} {layout.fingerprint}")
            disk = DiskTier(folder, layout.fingerprint, cache.disk_bytes)
        self._kv = PagedKv(layout, backend.cells, cache.ram_bytes, disk, costs)
        return EngineCore(backend, self._kv, costs, Limits(spec.config.n_ubatch, spec.config.n_parallel))

    def _obey(self, core: EngineCore, command: Command) -> None:
        assert self._kv is not None
        match command:
            case Submit(request):
                self._submit(core, request)
            case Cancel(request_id):
                self._send(core.cancel(request_id, time.monotonic()))
            case ReadAhead():
                self._read_ahead(core, command)
            case PinConversation(conversation, is_pinned):
                self._kv.pin(conversation, is_pinned)
            case DropConversation(conversation):
                self._kv.drop(conversation)
            case SetCacheBudgets(ram_bytes, disk_bytes):
                self._kv.set_budgets(ram_bytes, disk_bytes)
            case other:
                log.warning("a command out of place: %s", type(other).__name__)

    def _work(self, core: EngineCore) -> float:
        """Do something useful. Returns how long to wait for a command before doing more."""
        if not core.has_work:
            self._mailbox.flush()
            return 0.0 if core.idle_work() else IDLE_PAUSE_S
        n_before = core.n_steps
        self._step(core)
        return 0.0 if core.n_steps > n_before else FETCH_PAUSE_S  # pages are on their way from the disk

    def _read_ahead(self, core: EngineCore, command: ReadAhead) -> None:
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

    def _submit(self, core: EngineCore, request: GenerationRequest) -> None:
        try:
            self._send(core.submit(request, time.monotonic()))
        except Exception as error:
            log.exception("a request could not be taken")
            self._emit(RequestFailed(request.id, ErrorInfo.of(error, traceback.format_exc())))

    def _step(self, core: EngineCore) -> None:
        try:
            self._choose_threads()
            self._send(core.step(time.monotonic()))
        except Exception as error:
            log.exception("a step failed")
            self._send(core.fail_all(ErrorInfo.of(error, traceback.format_exc())))
        self.n_steps += 1

    def _choose_threads(self) -> None:
        if self._governor is not None and self._backend is not None:
            self._backend.set_threads(self._governor.update(time.monotonic()))

    def _send(self, events: list[Event]) -> None:
        self._mailbox.send(events, time.monotonic())


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
