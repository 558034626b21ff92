"""Decides about the model: what the chip and the banner say of it, and what the picker does."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from enum import StrEnum
from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QFileDialog

from app.library import Library, ModelEntry
from app.remote import RemoteModel, RemoteServer, is_remote
from app.session import EngineSession
from engine.errors import ErrorInfo
from engine.types import ModelInfo
from ui.bridge import EngineBridge
from ui.chat.model_picker import ModelPicker
from ui.chat.servers import ServersControl
from ui.chat.view import ChatView
from ui.errors import describe
from ui.plan.control import LoadControl
from ui.tasks import Operation
from ui.widgets.banner import BannerAction, BannerText, Tone, details_action
from ui.widgets.chip import ChipState, ChipText
from ui.widgets.overlay import Popup

_TOPIC = "model"
_PLAN_TOPIC = "plan"


class ModelState(StrEnum):
    UNKNOWN = "unknown"  # until the library was read for the first time
    NONE = "none"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


_REASONS = {
    ModelState.UNKNOWN: "",  # for a moment only
    ModelState.NONE: "No model is loaded. You can write already; sending needs a model.",
    ModelState.LOADING: None,
    ModelState.READY: None,
    ModelState.FAILED: "The model is not loaded. Load it again, or choose another one.",
}
_NOT_CONNECTED = "The server is not connected. Try again, or choose another model."


class ModelControl(QObject):
    """``changed`` comes with every new state. Work on the library runs in order on ``queue``."""

    changed = Signal()

    def __init__(
        self,
        view: ChatView,
        session: EngineSession,
        library: Library,
        bridge: EngineBridge,
        loads: LoadControl,
        queue: Executor,
    ) -> None:
        super().__init__(view)
        self._view = view
        self._session = session
        self._library = library
        self._loads = loads
        self._queue = queue
        self._state = ModelState.UNKNOWN
        self._entry: ModelEntry | RemoteModel | None = None
        self._has_models = True
        self._death: ErrorInfo | None = None
        self._picker = ModelPicker()
        self._popup = Popup(view.window(), view.chip, self._picker)
        self._servers = ServersControl(view, session, queue)
        self._connect_view()
        self._connect_engine(bridge)

    @property
    def state(self) -> ModelState:
        return self._state

    @property
    def name(self) -> str | None:
        """What answers will be signed with."""
        return self._entry.name if self._entry is not None else None

    @property
    def server_name(self) -> str | None:
        """Where what is written goes to; None while it stays on this machine."""
        return self._entry.server.name if isinstance(self._entry, RemoteModel) else None

    @property
    def is_bare(self) -> bool:
        """Whether there is no model on this machine that could be loaded."""
        return self._state is ModelState.NONE and not self._has_models

    @property
    def blocks_sending(self) -> str | None:
        """Why nothing can be sent now, or None where it can. A model that loads takes messages already."""
        if self._state is ModelState.FAILED and self.server_name is not None:
            return _NOT_CONNECTED
        return _REASONS[self._state]

    def start(self) -> None:
        """Load the model of the last time, or the first there is."""
        self._list_models()
        self._run(self._session.autoload, self._on_autoloaded)

    def open_picker(self) -> None:
        self._list_models()
        self._picker.set_can_unload(self._state is ModelState.READY, self.server_name is not None)
        self._popup.open()

    def open_file(self) -> None:
        """Ask for a model file, and load it where it lies."""
        self._popup.dismiss()
        dialog = QFileDialog(self._view.window(), "Open a model file", "", "Models (*.gguf)")
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(lambda name: self.add_file(Path(name)))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def add_file(self, path: Path) -> None:
        self._run(lambda: self._library.add(path), self._pick)

    def load(self, model_id: str) -> None:
        self._popup.dismiss()
        self._view.banners.clear(_PLAN_TOPIC)
        self._run(lambda: self._session.load(model_id), self._on_load_asked)

    def _pick(self, entry: ModelEntry | RemoteModel) -> None:
        """Load it, after a question where its memory is short."""
        self._popup.dismiss()
        if isinstance(entry, RemoteModel):
            self.load(entry.id)
        else:
            self._loads.ask_before(entry, lambda: self.load(entry.id))

    def load_again(self) -> None:
        self._run(self._session.reload, lambda _nothing: None)

    def acknowledge(self) -> None:
        """The user goes on: what is over need not be said any longer."""
        if self._state is ModelState.READY:
            self._view.banners.clear(_TOPIC)

    def _connect_view(self) -> None:
        self._view.chip.clicked.connect(self.open_picker)
        self._view.welcome.file_wanted.connect(self.open_file)
        self._view.composer.model_wanted.connect(self.open_picker)
        self._picker.picked.connect(lambda model_id: self._pick(self._picker.models.entry(model_id)))
        self._picker.how_wanted.connect(self._show_how)
        self._loads.load_wanted.connect(self.load)
        self._picker.removed.connect(self._remove)
        self._picker.file_wanted.connect(self.open_file)
        self._picker.unload_wanted.connect(self._unload)
        self._picker.server_wanted.connect(self._add_server)
        self._picker.edit_wanted.connect(self._edit_server)
        self._servers.saved.connect(self._on_server_saved)
        self._servers.removed.connect(self._on_server_removed)
        self._servers.failed.connect(self._on_action_failed)

    def _connect_engine(self, bridge: EngineBridge) -> None:
        bridge.model_loading.connect(self._on_loading)
        bridge.model_loaded.connect(self._on_loaded)
        bridge.load_failed.connect(self._on_load_failed)
        bridge.model_unloaded.connect(self._on_unloaded)
        bridge.engine_failed.connect(self._on_engine_failed)
        bridge.plan_reduced.connect(lambda _path, sentence: self._tell_of_plan(sentence))

    def _on_autoloaded(self, entry: ModelEntry | RemoteModel | None) -> None:
        if entry is None:
            self._set_state(ModelState.NONE, ChipText(ChipState.EMPTY, "No model"))
        else:
            self._on_load_asked(entry)
            if not isinstance(entry, RemoteModel):
                self._loads.check(entry, self._tell_of_plan)

    def _show_how(self, entry: ModelEntry) -> None:
        self._popup.dismiss()
        self._loads.open(entry)

    def _tell_of_plan(self, sentence: str) -> None:
        """What memory forced on a load, or will; it stands until another model is asked for."""
        if sentence:
            self._view.banners.show_banner(_PLAN_TOPIC, BannerText(sentence, "", Tone.WARN))

    def _on_load_asked(self, entry: ModelEntry | RemoteModel) -> None:
        """The engine's first word comes later; the chip answers the click at once."""
        self._entry = entry
        if self._state not in (ModelState.READY, ModelState.LOADING):
            self._on_loading(str(entry.path), 0.0)

    def _on_loading(self, path: str, progress: float) -> None:
        if self._death is None:
            self._view.banners.clear(_TOPIC)
        is_remote = isinstance(self._entry_of(path), RemoteModel)
        words = "connecting" if is_remote else f"loading {progress:.0%}"
        chip = ChipText(ChipState.LOADING, self._name_of(path), words, progress)
        self._set_state(ModelState.LOADING, chip)

    def _on_loaded(self, info: ModelInfo) -> None:
        entry = self._entry_of(info.path)
        detail = entry.server.name if isinstance(entry, RemoteModel) else entry.quantization if entry else ""
        chip = ChipText(ChipState.READY, self._name_of(info.path), detail, is_remote=info.is_remote)
        self._set_state(ModelState.READY, chip)
        if self._death is not None:
            self._tell_of_death(self._death, "The model is loaded again, and what was written is kept.")
            self._death = None
        elif info.template_problem is not None:
            hint = "Try another file of this model, or another model."
            self._view.banners.show_banner(_TOPIC, BannerText(info.template_problem, hint, Tone.WARN))

    def _on_load_failed(self, path: str, error: ErrorInfo) -> None:
        self._death = None
        words = "not connected" if isinstance(self._entry_of(path), RemoteModel) else "not loaded"
        self._set_state(ModelState.FAILED, ChipText(ChipState.FAILED, self._name_of(path), words))
        self._show_problem(error, BannerAction("Try again", self.load_again))

    def _on_unloaded(self, path: str) -> None:
        self._entry = None
        self._set_state(ModelState.NONE, ChipText(ChipState.EMPTY, "No model"))

    def _on_engine_failed(self, path: str, error: ErrorInfo, restarting: bool) -> None:
        self._death = error if restarting else None
        if restarting:
            self._tell_of_death(error, "Hearth loads the model again.")
        else:
            self._set_state(ModelState.FAILED, ChipText(ChipState.FAILED, self._name_of(path), "stopped"))
            self._show_problem(error, BannerAction("Load again", self.load_again))

    def _on_action_failed(self, error: BaseException) -> None:
        """The library or the session said no; the engine has not heard of it."""
        if self._state is ModelState.UNKNOWN:
            self._set_state(ModelState.NONE, ChipText(ChipState.EMPTY, "No model"))
        self._show_problem(describe(error), BannerAction("Choose a model", self.open_picker))

    def _show_problem(self, error: ErrorInfo, action: BannerAction) -> None:
        self._view.banners.show_banner(_TOPIC, BannerText(error.text, error.hint), action, *self._details(error))

    def _tell_of_death(self, error: ErrorInfo, hint: str) -> None:
        """The engine died and comes back by itself: the same banner says how far that is."""
        content = BannerText(error.text, hint, Tone.WARN)
        self._view.banners.show_banner(_TOPIC, content, *self._details(error))

    def _details(self, error: ErrorInfo) -> tuple[BannerAction, ...]:
        return details_action(self._view.window(), error)

    def _list_models(self) -> None:
        self._run(self._session.models, self._on_listed)

    def _on_listed(self, entries: list[ModelEntry | RemoteModel]) -> None:
        self._has_models = any(entry.problem is None for entry in entries)
        shown = self._state in (ModelState.READY, ModelState.LOADING)
        self._picker.models.show_entries(entries, self._entry.id if shown and self._entry else None)
        self.changed.emit()

    def _remove(self, model_id: str) -> None:
        if is_remote(model_id):
            self._popup.dismiss()
            self._servers.confirm_removal(model_id)
            return
        self._run(lambda: self._library.remove(model_id), lambda _nothing: self._list_models())

    def _add_server(self) -> None:
        self._popup.dismiss()
        self._servers.add()

    def _edit_server(self, model_id: str) -> None:
        self._popup.dismiss()
        self._servers.edit(model_id)

    def _on_server_saved(self, server: RemoteServer) -> None:
        """What is used already is connected anew, with what has changed; a new server is used at once."""
        self._list_models()
        current = self._entry
        ids = [RemoteModel(server, name).id for name in server.models]
        is_same = isinstance(current, RemoteModel) and current.server.id == server.id
        self.load(current.id if current is not None and is_same and current.id in ids else ids[0])

    def _on_server_removed(self, server_id: str) -> None:
        self._list_models()
        if isinstance(self._entry, RemoteModel) and self._entry.server.id == server_id:
            self._view.banners.clear(_TOPIC)
            self._session.unload()

    def _unload(self) -> None:
        self._popup.dismiss()
        self._session.unload()

    def _set_state(self, state: ModelState, chip: ChipText) -> None:
        self._state = state
        self._view.chip.show_content(chip)
        self.changed.emit()

    def _entry_of(self, path: str) -> ModelEntry | RemoteModel | None:
        known = (self._session.model, self._entry)
        return next((entry for entry in known if entry is not None and str(entry.path) == path), None)

    def _name_of(self, path: str) -> str:
        entry = self._entry_of(path)
        return entry.name if entry is not None else Path(path).stem

    def _run(self, fn: Callable[[], object], done: Callable[..., None]) -> None:
        Operation(fn, owner=self).success(done).failure(self._on_action_failed).run(self._queue)
