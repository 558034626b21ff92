"""The window: a rail of places, the place that is open, and what concerns all of them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QByteArray, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QKeySequence, QPaintEvent, QShortcut, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QMainWindow, QStackedWidget, QWidget

from ui.chat.view import ChatView
from ui.tasks import Operation
from ui.theme import theme
from ui.widgets.banner import BannerAction, BannerArea, BannerText, details_action
from ui.widgets.rail import Rail, SignButton

if TYPE_CHECKING:
    from app.api.service import ApiState
    from app.services import Services
    from app.settings import Settings
    from engine.errors import ErrorInfo
    from ui.api.view import ApiView
    from ui.bridge import ApiBridge, EngineBridge
    from ui.chat.conversations import ConversationsControl
    from ui.chat.model_control import ModelControl
    from ui.library.place import LibraryPlace
    from ui.monitor.history import History
    from ui.monitor.view import MonitorView
    from ui.plan.control import LoadControl
    from ui.preferences.view import PreferencesView

_PRELOAD_DELAY_MS = 300
"""What the first formula and the first code block need is imported when the window has nothing else to do."""

_FIRST_PAINT_PATIENCE_MS = 1500
"""A window that starts minimised or on another desktop is not painted; it works all the same."""


class MainWindow(QMainWindow):
    """Shown as a skeleton first; :meth:`attach` fills it when the services are there."""

    first_painted = Signal()

    def __init__(self, settings: Settings, version: str = "") -> None:
        super().__init__()
        self.setWindowTitle("Hearth")
        self._version = version
        self._waits_for_paint = True
        self._services: Services | None = None
        self._bridge: EngineBridge | None = None
        self._api: ApiBridge | None = None
        self._conversations: ConversationsControl | None = None
        self._models: ModelControl | None = None
        self._chat = ChatView()
        self._preferences: PreferencesView | None = None
        self._api_view: ApiView | None = None
        self._library: LibraryPlace | None = None
        self._monitor: MonitorView | None = None
        self._history: History | None = None
        self._loads: LoadControl | None = None
        self._preload_timer = QTimer(self, singleShot=True, interval=_PRELOAD_DELAY_MS)
        self._pages = QStackedWidget()
        self._pages.addWidget(self._chat)
        self._rail = Rail()
        self._rail.chat.clicked.connect(self._show_chat)
        self._rail.library.clicked.connect(self._show_library)
        self._rail.monitor.clicked.connect(self._show_monitor)
        self._rail.api.clicked.connect(self._show_api)
        self._rail.preferences.clicked.connect(self._show_preferences)
        self._build()
        self._restore(settings)
        self._add_shortcuts()
        self._chat.composer.focus()

    def attach(self, services: Services, bridge: EngineBridge, api: ApiBridge) -> None:
        """Bring the window to life. What this imports is slow to import, so it happens after the first paint."""
        from ui.chat.conversations import ConversationsControl
        from ui.chat.model_control import ModelControl
        from ui.chat.page import ChatPage
        from ui.library.place import LibraryPlace
        from ui.monitor.history import History
        from ui.plan.control import LoadControl
        from ui.widgets.transcript import Transcript, preload

        queue = services.io.serial("window")
        self._services = services
        self._bridge = bridge
        self._api = api
        api.state_changed.connect(partial(_show_api_state, self._rail.api))
        _show_api_state(self._rail.api, api.state)
        self._history = History(bridge, self)
        self._library = LibraryPlace(services, self._rail.library, self)
        self._library.load_wanted.connect(self._chat_with)
        self._conversations = ConversationsControl(self._chat.sidebar, services.chats, services.settings, bridge, queue)
        models = services.io.serial("models")
        self._loads = LoadControl(self, services.planner, services.settings, bridge, services.io.serial("plans"))
        self._models = ModelControl(self._chat, services.session, services.library, bridge, self._loads, models)
        ChatPage(self._chat, Transcript(), services, bridge, self._conversations, self._models, queue)
        self._conversations.start()
        self._models.start()
        self._preload_timer.timeout.connect(lambda: Operation(preload, owner=self).run(services.io.serial("preload")))
        self._preload_timer.start()

    def show_error(self, topic: str, error: ErrorInfo, *actions: BannerAction) -> None:
        """Say on the page that is open what concerns no page alone."""
        content = BannerText(error.text, error.hint)
        self._banners().show_banner(topic, content, *actions, *details_action(self, error))

    def clear_error(self, topic: str) -> None:
        self._chat.banners.clear(topic)

    def come_forward(self) -> None:
        """Somebody started Hearth again: this is the window they look for."""
        self.setWindowState(self.windowState() & ~Qt.WindowState.WindowMinimized)
        self.show()
        self.raise_()
        self.activateWindow()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if self._waits_for_paint:
            QTimer.singleShot(0, self._tell_first_paint)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        QTimer.singleShot(_FIRST_PAINT_PATIENCE_MS, self._tell_first_paint)

    def closeEvent(self, event: QCloseEvent) -> None:
        self._preload_timer.stop()
        if self._services is not None:
            geometry = base64.b64encode(self.saveGeometry().data()).decode()
            width = self._chat.sidebar.width()
            self._services.settings.update(window_geometry=geometry, sidebar_width=width)
        super().closeEvent(event)

    def _tell_first_paint(self) -> None:
        if self._waits_for_paint:
            self._waits_for_paint = False
            self.first_painted.emit()

    def _build(self) -> None:
        central = QWidget()
        layout = QHBoxLayout(central)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._rail)
        layout.addWidget(self._pages, stretch=1)
        self.setCentralWidget(central)
        self.setMinimumSize(theme.size("window-min-width"), theme.size("window-min-height"))

    def _restore(self, settings: Settings) -> None:
        room = self.screen().availableSize() - QSize(0, theme.size("window-title-height"))
        self.resize(QSize(theme.size("window-width"), theme.size("window-height")).boundedTo(room))
        if settings.window_geometry:
            with suppress(binascii.Error):  # somebody edited the file; the default size will do
                self.restoreGeometry(QByteArray(base64.b64decode(settings.window_geometry, validate=True)))
        if settings.sidebar_width:
            self._chat.set_sidebar_width(settings.sidebar_width)

    def _add_shortcuts(self) -> None:
        for keys, action in (
            ("Ctrl+N", self._new_conversation),
            ("Ctrl+F", lambda: self._on_chat(self._chat.sidebar.search.setFocus)),
            ("Ctrl+K", self._open_picker),
            ("Ctrl+1", lambda: self._on_chat(self._chat.composer.focus)),
            ("Ctrl+2", self._show_library),
            ("Ctrl+3", self._show_monitor),
            ("Ctrl+4", self._show_api),
            ("Ctrl+,", self._show_preferences),
            ("Ctrl+L", lambda: self._on_chat(self._chat.composer.focus)),
            ("F2", lambda: self._on_chat(self._chat.rename)),
        ):
            QShortcut(QKeySequence(keys), self, action)

    def _on_chat(self, action: Callable[[], None]) -> None:
        self._show_chat()
        action()

    def _new_conversation(self) -> None:
        if self._conversations is not None:
            self._show_chat()
            self._conversations.open(None)
            self._chat.composer.focus()

    def _open_picker(self) -> None:
        if self._models is not None:
            self._show_chat()
            self._models.open_picker()

    def _show_chat(self) -> None:
        self._pages.setCurrentWidget(self._chat)
        self._rail.check(self._rail.chat)

    def _show_preferences(self) -> None:
        if self._preferences is None and self._services is not None:
            self._preferences = self._make_preferences(self._services)
            self._pages.addWidget(self._preferences)
        if self._preferences is not None:
            self._pages.setCurrentWidget(self._preferences)
            self._rail.check(self._rail.preferences)

    def _make_preferences(self, services: Services) -> PreferencesView:
        from ui.preferences.memory import MemoryControl
        from ui.preferences.page import PreferencesPage
        from ui.preferences.view import PreferencesView

        view = PreferencesView(self._version)
        PreferencesPage(view, services.settings, services.session, services.paths, services.io.serial("models"))
        if self._bridge is not None:
            MemoryControl(view, services, self._bridge)
        return view

    def _show_library(self) -> None:
        if self._library is not None:
            view = self._library.view
            self._pages.addWidget(view)
            self._pages.setCurrentWidget(view)
            self._rail.check(self._rail.library)
            view.focus()

    def _chat_with(self, model_id: str) -> None:
        if self._models is not None:
            self._on_chat(self._chat.composer.focus)
            self._models.load(model_id)

    def _show_monitor(self) -> None:
        if self._monitor is None and self._services and self._bridge and self._history:
            self._monitor = _make_monitor(self._services, self._bridge, self._history)
            self._monitor.how.clicked.connect(self._show_how)
            self._pages.addWidget(self._monitor)
        if self._monitor is not None:
            self._pages.setCurrentWidget(self._monitor)
            self._rail.check(self._rail.monitor)

    def _show_how(self) -> None:
        model = self._services.session.local_model if self._services is not None else None
        if model is not None and self._loads is not None:
            self._loads.open(model)

    def _show_api(self) -> None:
        if self._api_view is None and self._services is not None and self._bridge is not None and self._api is not None:
            self._api_view = _make_api(self._services, self._bridge, self._api)
            self._pages.addWidget(self._api_view)
        if self._api_view is not None:
            self._pages.setCurrentWidget(self._api_view)
            self._rail.check(self._rail.api)

    def _banners(self) -> BannerArea:
        library = self._library.known_view if self._library is not None else None
        for view in (self._preferences, self._api_view, self._monitor, library):
            if view is not None and self._pages.currentWidget() is view:
                return view.banners
        return self._chat.banners


def _make_monitor(services: Services, bridge: EngineBridge, history: History) -> MonitorView:
    from ui.monitor.page import MonitorPage
    from ui.monitor.view import MonitorView

    view = MonitorView()
    MonitorPage(view, services, bridge, history, services.io.serial("plans"))
    return view


def _make_api(services: Services, bridge: EngineBridge, api: ApiBridge) -> ApiView:
    from ui.api.page import ApiPage
    from ui.api.view import ApiView

    view = ApiView()
    ApiPage(view, services, bridge, api, services.io.serial("models"))
    return view


def _show_api_state(sign: SignButton, state: ApiState) -> None:
    """Seen from every page: that others may be using this machine."""
    if state.url is not None:
        sign.show_sign("accent", f"The API is on at {state.lan_url or state.url}")
    elif state.error is not None:
        sign.show_sign("bad", "The API is not running")
    else:
        sign.show_sign(None)
