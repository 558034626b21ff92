"""Decides what the page of the API does: the switch, and what there is to paste into programs."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

from PySide6.QtCore import QObject

from app.api.service import ApiState
from app.services import Services
from ui.api.access import AccessControl
from ui.api.activity import ActivityControl
from ui.api.snippets import HIDDEN_KEY, Connection, chapters
from ui.api.view import ApiView
from ui.bridge import ApiBridge, EngineBridge
from ui.errors import describe
from ui.tasks import Operation
from ui.widgets.banner import BannerText, details_action

_PROBLEM = "problem"
_NO_MODEL = "your-model"
_MODEL_HINT = "Any model of the picker can be named in place of this one; GET /v1/models lists them all."
_NO_MODEL_HINT = "There is no model yet: pick one in the chat."


@dataclass(frozen=True, slots=True)
class _Named:
    """``n_ctx`` is None while it is not loaded."""

    id: str
    n_ctx: int | None


class ApiPage(QObject):
    """Work that waits for the disk runs in order on ``queue``."""

    def __init__(
        self, view: ApiView, services: Services, bridge: EngineBridge, api: ApiBridge, queue: Executor
    ) -> None:
        super().__init__(view)
        self._view = view
        self._services = services
        self._engine = bridge
        self._api = api
        self._queue = queue
        self._shown_key: str | None = None
        self._model: _Named | None = None
        self._access = AccessControl(view.connect_view, api, services.settings, queue)
        self._activity = ActivityControl(view, api)
        self._access.key_shown.connect(self._on_key_shown)
        self._access.failed.connect(self._show_error)
        view.switch.clicked.connect(self._turn)
        view.connect_view.server.act.clicked.connect(lambda: self._turn(True))
        view.shown.connect(self._on_shown)
        api.state_changed.connect(self._show_state)
        for signal in (bridge.model_loaded, bridge.model_unloaded):
            signal.connect(lambda _what: self._name_model())
        services.settings.subscribe(self._access.on_settings)
        self._show_state(api.state)

    def _turn(self, is_wanted: bool) -> None:
        if is_wanted:
            self._api.service.start()
        else:
            self._api.service.stop()
        self._view.show_state(self._api.state)  # the switch shows what is, not what was clicked

    def _show_state(self, state: ApiState) -> None:
        self._view.show_state(state)
        self._view.banners.clear(_PROBLEM)
        self._show_snippets()

    def _on_shown(self, is_shown: bool) -> None:
        if is_shown:
            self._name_model()
        else:
            self._access.hide_key()

    def _on_key_shown(self, key: str | None) -> None:
        self._shown_key = key
        self._show_snippets()

    def _name_model(self) -> None:
        """Snippets name what is loaded, else the first model that could be."""
        loaded = self._services.session.local_model
        n_ctx = self._engine.model.n_ctx if self._engine.model is not None else None
        library = self._services.library

        def find() -> _Named | None:
            from app.api.models import make_catalogue

            usable = [entry for entry in library.entries() if entry.problem is None]
            catalogue = make_catalogue(usable)
            found = catalogue.of(loaded) if loaded is not None else None
            if found is not None:
                return _Named(found[0].id, n_ctx)
            return _Named(catalogue.models[0][0].id, None) if catalogue.models else None

        Operation(find, owner=self).success(self._on_named).failure(self._show_error).run(self._queue)

    def _on_named(self, model: _Named | None) -> None:
        self._model = model
        self._show_snippets()

    def _show_snippets(self) -> None:
        settings = self._services.settings.current
        url = self._api.state.url or f"http://127.0.0.1:{settings.api_port}"
        key = (self._shown_key or HIDDEN_KEY) if self._api.state.requires_key else None
        model_id = self._model.id if self._model is not None else _NO_MODEL
        n_ctx = self._model.n_ctx if self._model is not None else None
        parts = [_MODEL_HINT if self._model is not None else _NO_MODEL_HINT]
        if key == HIDDEN_KEY:
            parts.append(f"{HIDDEN_KEY} stands for the key: show it below, and it stands here as well.")
        self._view.connect_view.snippets.show_chapters(chapters(Connection(url, key, model_id, n_ctx)), " ".join(parts))

    def _show_error(self, error: BaseException) -> None:
        info = describe(error)
        content = BannerText(info.text, info.hint)
        self._view.banners.show_banner(_PROBLEM, content, *details_action(self._view.window(), info))
