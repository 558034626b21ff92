"""The engine's thread: takes commands, lets the core step, sends events."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from engine.backend.base import Backend
from engine.commands import Cancel, Command, Load, Submit
from engine.config import LoadSpec
from engine.core import EngineCore
from engine.errors import BugError, ErrorInfo, InvalidRequest, KnownError
from engine.events import Event, LoadFailed, ModelLoaded, ModelLoading, RequestFailed
from engine.gguf import check_loadable, read_header
from engine.types import GenerationRequest, RequestId
from engine.worker.governor import ThreadGovernor, default_n_threads

log = logging.getLogger(__name__)

BackendFactory = Callable[[LoadSpec, Callable[[float], None]], Backend]


class WorkerLoop:
    """Thread: the worker's main thread, but for :meth:`interrupt` and the two counters of the heartbeat."""

    def __init__(
        self,
        next_command: Callable[[], Command],
        is_idle: Callable[[], bool],
        emit: Callable[[Event], None],
        load_backend: BackendFactory | None = None,
    ) -> None:
        """``next_command`` blocks; ``is_idle`` tells whether it would."""
        self.n_steps = 0
        self._next_command = next_command
        self._is_idle = is_idle
        self._emit = emit
        self._load_backend = load_backend or _load_llama
        self._backend: Backend | None = None
        self._core: EngineCore | None = None
        self._governor: ThreadGovernor | None = None
        self._is_loading = False

    @property
    def is_busy(self) -> bool:
        return self._is_loading or (self._core is not None and self._core.has_work)

    def interrupt(self, request_id: RequestId) -> None:
        """Make the running batch end early, so that a cancel takes effect now. Thread: any."""
        if self._backend is not None and self._core is not None and self._core.has_work:
            self._backend.interrupt()

    def run(self) -> None:
        """Load, then serve. Returns only when the load failed: this process has no second try."""
        command = self._next_command()
        if not isinstance(command, Load):
            raise BugError(f"the first command must be Load, not {type(command).__name__}")
        if not self._load(command.spec):
            return
        assert self._core is not None
        while True:
            self._take_commands()
            self._step(self._core)

    def _load(self, spec: LoadSpec) -> bool:
        self._is_loading = True
        try:
            self._backend = self._open(self._with_threads(spec))
            self._core = EngineCore(self._backend, spec.config.n_ubatch)
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

    def _take_commands(self) -> None:
        assert self._core is not None
        while not self._core.has_work or not self._is_idle():
            match self._next_command():
                case Submit(request):
                    self._submit(self._core, request)
                case Cancel(request_id):
                    self._send(self._core.cancel(request_id, time.monotonic()))
                case other:
                    log.warning("a command out of place: %s", type(other).__name__)

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
        for event in events:
            self._emit(event)


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
