"""The local API as a switch: a server in a thread of its own, over the engine that the window uses.

Nothing of what the server is made of is imported before it is turned on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from app.api.keys import load_or_create_key, renew_key
from app.api.traffic import Traffic, TrafficSnapshot
from app.settings import Settings, SettingsStore
from engine.errors import ErrorInfo, KnownError
from engine.types import SamplingParams

if TYPE_CHECKING:
    from app.api.metrics import Metrics
    from app.api.serving import OpenEngines, Serving

_log = logging.getLogger(__name__)


class ApiPhase(StrEnum):
    OFF = "off"
    STARTING = "starting"
    ON = "on"
    STOPPING = "stopping"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ApiState:
    """``url`` and ``lan_url`` are set while it is on, and end before the path: ``http://127.0.0.1:8080``.

    OpenAI's clients want ``url + "/v1"`` for their base, Anthropic's and Ollama's ``url`` itself. ``lan_url`` is what
    other machines use, None where they may not. ``error`` is set when the phase is FAILED.
    """

    phase: ApiPhase = ApiPhase.OFF
    url: str | None = None
    lan_url: str | None = None
    requires_key: bool = True
    error: ErrorInfo | None = None


@dataclass(eq=False)
class _Run:
    """One run of the server. ``serving`` is there as soon as it has its port."""

    settings: Settings
    thread: threading.Thread | None = None
    serving: Serving | None = None
    is_stopping: bool = False

    def stop(self) -> None:
        self.is_stopping = True
        if self.serving is not None:
            self.serving.stop()


class ApiService:
    """Thread: any. Every method returns at once, but for the three that say that they block.

    Who may come in (key, origins) is changed while it runs. Another port, or the network in place of this machine
    alone, makes it end and start again by itself. Other settings count from the next start on.
    """

    def __init__(self, settings: SettingsStore, key_file: Path, open_engines: OpenEngines) -> None:
        """``open_engines`` is entered on the server's event loop for each run. End the service with :meth:`close`."""
        self._settings = settings
        self._key_file = key_file
        self._open_engines = open_engines
        self._lock = threading.Lock()
        self._key_lock = threading.Lock()  # around the file; taken before the other one, and never by who must not wait
        self._telling = threading.Lock()
        self._callbacks: tuple[Callable[[ApiState], None], ...] = ()
        self._traffic = Traffic()
        self._metrics: Metrics | None = None
        self._key: str | None = None
        self._run: _Run | None = None
        self._failed: Settings | None = None
        self._is_wanted = False
        self._is_closed = False
        self._state = self._told = ApiState(requires_key=_requires_key(settings.current))
        self._unsubscribe = settings.subscribe(self._on_settings)

    @property
    def state(self) -> ApiState:
        """What it is doing now. Changes are told to subscribers."""
        return self._state

    def start(self) -> None:
        """Turn it on, now and at the next start of the program. Ignored where it is on."""
        self._settings.update(api_enabled=True)
        with self._lock:
            if self._is_closed:
                return
            self._is_wanted = True
            if self._run is None:
                self._begin()
        self._tell()

    def stop(self) -> None:
        """Turn it off, now and at the next start. Requests that are under way end with an error."""
        self._settings.update(api_enabled=False)
        with self._lock:
            self._is_wanted = False
            self._end_run()
            if self._run is None:
                self._become(ApiPhase.OFF)
        self._tell()

    def subscribe(self, callback: Callable[[ApiState], None]) -> Callable[[], None]:
        """Call ``callback`` after each change of the state, on any thread. Returns what ends that.

        It must be quick, and ask nothing of this service but :attr:`state`.
        """
        with self._lock:
            self._callbacks = (*self._callbacks, callback)

        def unsubscribe() -> None:
            with self._lock:
                self._callbacks = tuple(known for known in self._callbacks if known is not callback)

        return unsubscribe

    def key(self) -> str:
        """The key that clients show; made where there is none. Blocks on the disk. Raises StorageError."""
        with self._key_lock:
            return load_or_create_key(self._key_file)

    def renew_key(self) -> str:
        """A new key. The old one opens nothing when this returns, and requests that it had opened are ended.

        Blocks on the disk. Raises StorageError.
        """
        with self._key_lock:
            key = renew_key(self._key_file)
            with self._lock:
                self._key = key
                self._admit()
        if self._state.requires_key:
            self._traffic.stop_all()
        return key

    def traffic(self) -> TrafficSnapshot:
        """What is under way and what was lately. Cheap: may be asked some times a second."""
        return self._traffic.snapshot()

    def cancel(self, request_id: int) -> None:
        """End a live request; its client gets an error. One that is over is ignored."""
        self._traffic.stop(request_id)

    def keep_bodies(self, keeps: bool) -> None:
        """Whether the log keeps what is asked and answered from now on. False forgets what it kept.

        They are in memory only, and this is off at every start: nobody finds out later that everything was kept.
        """
        self._traffic.keep_bodies(keeps)

    def close(self) -> None:
        """End it for good and leave the setting as it is. Blocks until its thread is gone, some seconds at most."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed, self._is_wanted = True, False
            self._end_run()
            thread = None if self._run is None else self._run.thread
        self._unsubscribe()
        self._tell()
        if thread is not None:
            thread.join()

    # Called with the lock held.

    def _begin(self) -> None:
        run = self._run = _Run(self._settings.current)
        self._become(ApiPhase.STARTING)
        run.thread = threading.Thread(target=self._work, args=(run,), name="api")
        run.thread.start()

    def _end_run(self) -> None:
        if self._run is not None:
            self._run.stop()
            self._become(ApiPhase.STOPPING)

    def _become(self, phase: ApiPhase, error: ErrorInfo | None = None) -> None:
        self._state = ApiState(phase, requires_key=_requires_key(self._settings.current), error=error)

    def _admit(self) -> None:
        if self._run is not None and self._run.serving is not None and self._key is not None:
            self._run.serving.admit(self._settings.current, self._key)

    # The thread of whoever changes a setting.

    def _on_settings(self, _: Settings) -> None:
        with self._lock:
            settings = self._settings.current
            self._state = replace(self._state, requires_key=_requires_key(settings))
            self._admit()
            if self._run is not None and _is_moved(self._run.settings, settings):
                self._end_run()
            elif self._run is None and self._is_wanted and _is_moved(self._failed or settings, settings):
                self._begin()
        self._tell()

    def _tell(self) -> None:
        """One thread at a time, and always of the latest state."""
        with self._telling:
            with self._lock:
                state, callbacks = self._state, self._callbacks
            if state == self._told:
                return
            self._told = state
            for callback in callbacks:
                callback(state)

    # The server's thread.

    def _work(self, run: _Run) -> None:
        error = None
        try:
            self._serve(run)
        except KnownError as failure:
            error = ErrorInfo.of(failure)
        except Exception as failure:  # noqa: BLE001 - the edge of the thread: the state says it
            _log.error("the API server failed", exc_info=failure)
            error = ErrorInfo.of(failure)
        with self._lock:
            self._run, self._failed = None, None
            if run.is_stopping and self._is_wanted:
                self._begin()
            elif error is not None and not run.is_stopping:
                self._failed = run.settings
                self._become(ApiPhase.FAILED, error)
            else:
                self._become(ApiPhase.OFF)
        self._tell()

    def _serve(self, run: _Run) -> None:
        """Raises KnownError where it cannot."""
        from app.api.metrics import Metrics
        from app.api.serving import Serving

        self._metrics = self._metrics or Metrics(self._traffic)
        with self._key_lock:
            key = load_or_create_key(self._key_file)
            serving = Serving(run.settings, key)
            with self._lock:
                self._key, run.serving = key, serving
                self._admit()
                if run.is_stopping:
                    serving.stop()
        defaults = SamplingParams(temperature=run.settings.temperature)
        serving.run(self._open_engines, defaults, self._traffic, self._metrics, partial(self._has_started, run))

    def _has_started(self, run: _Run) -> None:
        serving = run.serving
        with self._lock:
            if serving is not None and not run.is_stopping:
                self._state = replace(
                    self._state, phase=ApiPhase.ON, url=serving.url, lan_url=serving.lan_url, error=None
                )
        self._tell()


def _requires_key(settings: Settings) -> bool:
    """Other machines always need it."""
    return settings.api_requires_key or settings.api_on_network


def _is_moved(old: Settings, new: Settings) -> bool:
    return (old.api_port, old.api_on_network) != (new.api_port, new.api_on_network)
