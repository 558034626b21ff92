"""The engine that is not the pool's: the window's own, or that of ``serve --model``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from app.library import ModelEntry
from engine.client import EngineClient
from engine.errors import ErrorInfo
from engine.events import EngineFailed, Event, LoadFailed, ModelLoaded, ModelLoading, ModelUnloaded
from engine.types import ModelInfo


@dataclass(frozen=True, slots=True)
class PrimaryState:
    """What the engine has. Neither ``info`` nor ``error``: it is loading."""

    entry: ModelEntry
    info: ModelInfo | None = None
    error: ErrorInfo | None = None

    @property
    def is_loading(self) -> bool:
        return self.info is None and self.error is None


@dataclass(frozen=True, slots=True)
class _Heard:
    path: str
    info: ModelInfo | None = None
    error: ErrorInfo | None = None


class Primary:
    """Knows what the engine has loaded, for whoever comes later. Nothing is ever loaded or unloaded from here.

    Made before the first load, because an engine does not tell what was before, and after whatever ``model`` asks:
    an EngineSession hears of an unloaded model first then. Thread: any.
    """

    def __init__(self, engine: EngineClient, model: Callable[[], ModelEntry | None]) -> None:
        """``model`` tells what is loaded, is being loaded or failed to."""
        self.engine = engine
        self._model = model
        self._heard: _Heard | None = None
        self._lock = threading.Lock()
        self._callbacks: tuple[Callable[[], None], ...] = ()
        self._unsubscribe = engine.subscribe(self._hear)

    @property
    def state(self) -> PrimaryState | None:
        """None where nothing is loaded, nor going to be."""
        entry, heard = self._model(), self._heard
        if entry is None:
            return None
        if heard is None or heard.path != str(entry.path):  # it was asked for, and the engine has not begun
            return PrimaryState(entry)
        return PrimaryState(entry, heard.info, heard.error)

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` after each change, on the engine's thread. Returns what ends that."""

        def unsubscribe() -> None:
            with self._lock:
                self._callbacks = tuple(known for known in self._callbacks if known is not callback)

        with self._lock:
            self._callbacks = (*self._callbacks, callback)
        return unsubscribe

    def close(self) -> None:
        """Listen no longer."""
        self._unsubscribe()

    def _hear(self, event: Event) -> None:
        match event:
            case ModelLoading(path=path):
                if self._heard == _Heard(path):
                    return  # one of many that tell of the progress
                self._heard = _Heard(path)
            case ModelLoaded(info):
                self._heard = _Heard(info.path, info=info)
            case LoadFailed(path, error) | EngineFailed(path, error, restarting=False):
                self._heard = _Heard(path, error=error)
            case EngineFailed(path=path):
                self._heard = _Heard(path)
            case ModelUnloaded():
                self._heard = None
            case _:
                return
        for callback in self._callbacks:
            callback()
