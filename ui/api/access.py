"""Decides who may use the API: the key, the network, the port, web pages; and what is loaded for them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QGuiApplication

from app.settings import Settings, SettingsStore
from engine.errors import ErrorInfo, InvalidRequest
from ui.api.connect_view import ConnectView
from ui.bridge import ApiBridge
from ui.tasks import Operation
from ui.widgets.overlay import Sheet

_RENEW_WORDS = (
    "The key of now stops working at once. Every program that uses it is refused until you give it the new one."
)
_NETWORK_WORDS = (
    "Every machine in your network will be able to reach the API, and whoever has the key can use your models. "
    "What is sent is not encrypted. Do this only in a network that you trust."
)


class AccessControl(QObject):
    """``key_shown`` carries the key, or None when it is hidden again; ``failed`` an exception."""

    key_shown = Signal(object)
    failed = Signal(object)

    _changed = Signal(object)

    def __init__(self, view: ConnectView, api: ApiBridge, settings: SettingsStore, queue: Executor) -> None:
        super().__init__(view)
        self._view = view
        self._access = view.access
        self._service = api.service
        self._settings = settings
        self._queue = queue
        self._is_shown = False
        self._show_settings(settings.current)
        self._connect()

    def on_settings(self, settings: Settings) -> None:
        """Thread: any."""
        self._changed.emit(settings)

    def hide_key(self) -> None:
        if self._is_shown:
            self._is_shown = False
            self._access.key.show_key(None)
            self.key_shown.emit(None)

    def _connect(self) -> None:
        access, models = self._access, self._view.models
        self._changed.connect(self._show_settings, Qt.ConnectionType.QueuedConnection)
        access.key.show_or_hide.clicked.connect(self._show_or_hide)
        access.key.copy.clicked.connect(lambda: self._with_key(self._service.key, self._copy))
        access.key.renew.clicked.connect(self._ask_to_renew)
        access.requires_key.clicked.connect(lambda wanted: self._settings.update(api_requires_key=wanted))
        access.on_network.clicked.connect(self._choose_network)
        access.port.valueChanged.connect(lambda port: self._settings.update(api_port=port))
        access.origins.added.connect(self._add_origin)
        access.origins.removed.connect(self._remove_origin)
        models.n_models.valueChanged.connect(lambda n: self._settings.update(api_n_models=n))
        models.idle_minutes.valueChanged.connect(lambda minutes: self._settings.update(api_idle_minutes=minutes))

    def _show_settings(self, settings: Settings) -> None:
        access, models = self._access, self._view.models
        access.show_asking(is_on_network=settings.api_on_network, requires_key=settings.api_requires_key)
        access.origins.show_origins(settings.api_origins)
        for field, value in (
            (access.port, settings.api_port),
            (models.n_models, settings.api_n_models),
            (models.idle_minutes, settings.api_idle_minutes),
        ):
            if field.value() != value:
                field.blockSignals(True)
                field.setValue(value)
                field.blockSignals(False)

    # -- the key

    def _show_or_hide(self) -> None:
        if self._is_shown:
            self.hide_key()
        else:
            self._with_key(self._service.key, self._show_key)

    def _show_key(self, key: str) -> None:
        self._is_shown = True
        self._access.key.show_key(key)
        self.key_shown.emit(key)

    def _copy(self, key: str) -> None:
        QGuiApplication.clipboard().setText(key)
        self._access.key.copy.confirm()

    def _ask_to_renew(self) -> None:
        sheet = Sheet(self._view.window(), "Make a new key?", _RENEW_WORDS)
        sheet.add_button("Cancel")
        sheet.add_button("Make a new key", lambda: self._with_key(self._service.renew_key, self._on_renewed), "primary")
        sheet.open()

    def _on_renewed(self, key: str) -> None:
        if self._is_shown:
            self._show_key(key)

    def _with_key(self, ask: Callable[[], str], then: Callable[[str], None]) -> None:
        Operation(ask, owner=self).success(then).failure(self.failed.emit).run(self._queue)

    # -- the rest

    def _choose_network(self, is_wanted: bool) -> None:
        """Closing the door needs no question; opening it does."""
        self._show_settings(self._settings.current)
        if not is_wanted:
            self._settings.update(api_on_network=False)
            return
        sheet = Sheet(self._view.window(), "Let other machines connect?", _NETWORK_WORDS)
        sheet.add_button("Cancel")
        sheet.add_button("Let them connect", lambda: self._settings.update(api_on_network=True), "primary")
        sheet.open()

    def _add_origin(self, text: str) -> None:
        origin = text.lower().rstrip("/")
        origins = self._settings.current.api_origins
        if origin not in origins:
            try:
                self._settings.update(api_origins=(*origins, origin))
            except InvalidRequest as error:
                self._access.origins.refuse(ErrorInfo.of(error).sentence)
                return
        self._access.origins.accept()

    def _remove_origin(self, origin: str) -> None:
        origins = self._settings.current.api_origins
        self._settings.update(api_origins=tuple(known for known in origins if known != origin))
