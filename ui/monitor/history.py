"""What happened to the model and how fast it was, kept also while nobody looks at the page."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from PySide6.QtCore import QObject, Signal

from engine.errors import ErrorInfo
from engine.events import RequestFinished, RequestStarted
from engine.types import ModelInfo
from ui.bridge import EngineBridge
from ui.models.throughput import Drafts, Throughput


class Phase(Enum):
    NONE = "none"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"
    DIED = "died"


@dataclass(frozen=True, slots=True)
class ModelPhase:
    """``progress`` counts from 0 to 1 while loading; ``reduced`` says what a smaller plan changed."""

    phase: Phase
    path: str = ""
    progress: float = 0.0
    error: ErrorInfo | None = None
    reduced: str = ""


class History(QObject):
    """Made with the window, and so cheap that it may always listen."""

    changed = Signal()

    def __init__(self, bridge: EngineBridge, parent: QObject) -> None:
        super().__init__(parent)
        self.throughput = Throughput()
        self.drafts = Drafts()
        self._phase = ModelPhase(Phase.READY, bridge.model.path) if bridge.model is not None else ModelPhase(Phase.NONE)
        bridge.model_loading.connect(self._on_loading)
        bridge.model_loaded.connect(self._on_loaded)
        bridge.load_failed.connect(lambda path, error: self._set(ModelPhase(Phase.FAILED, path, error=error)))
        bridge.model_unloaded.connect(lambda path: self._set(ModelPhase(Phase.NONE, path)))
        bridge.engine_failed.connect(lambda path, error, _again: self._set(ModelPhase(Phase.DIED, path, error=error)))
        bridge.plan_reduced.connect(self._on_reduced)
        bridge.request_started.connect(self._on_started)
        bridge.prefill_progressed.connect(lambda request, n_done, _n: self.throughput.read(request, n_done))
        bridge.tokens_counted.connect(self.throughput.written)
        bridge.request_finished.connect(self._on_finished)
        bridge.request_failed.connect(lambda request, _error: self.throughput.ended(request))

    @property
    def phase(self) -> ModelPhase:
        return self._phase

    def _on_loading(self, path: str, progress: float) -> None:
        if path != self._phase.path:
            self.throughput.forget()
            self.drafts.answers.clear()
        reduced = self._phase.reduced if path == self._phase.path else ""
        self._set(ModelPhase(Phase.LOADING, path, progress, reduced=reduced))

    def _on_loaded(self, info: ModelInfo) -> None:
        reduced = self._phase.reduced if info.path == self._phase.path else ""
        self._set(ModelPhase(Phase.READY, info.path, reduced=reduced))

    def _on_reduced(self, path: str, text: str) -> None:
        self._set(ModelPhase(Phase.LOADING, path, reduced=text))

    def _on_started(self, event: RequestStarted) -> None:
        self.throughput.started(event.request_id, event.n_prompt, event.n_cached)

    def _on_finished(self, event: RequestFinished) -> None:
        self.throughput.ended(event.request_id)
        if event.drafting is not None:
            self.drafts.add(event.drafting.n_drafted, event.drafting.n_accepted)

    def _set(self, phase: ModelPhase) -> None:
        if phase.phase in (Phase.FAILED, Phase.DIED, Phase.NONE):
            self.throughput.stop()
        self._phase = phase
        self.changed.emit()
