"""Builds the page of the API: its head with the switch, and two places under it. ``page`` decides what happens."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from app.api.service import ApiPhase, ApiState
from ui.api.activity_view import ActivityView
from ui.api.connect_view import ConnectView
from ui.api.words import STATE_COLORS, STATE_WORDS
from ui.theme import theme
from ui.widgets.banner import BannerArea
from ui.widgets.dots import Dot
from ui.widgets.labels import label
from ui.widgets.switch import Switch
from ui.widgets.tabs import Tabs

CONNECT, ACTIVITY = range(2)
_ACTIVITY_TITLE = "Activity"


class ApiView(QWidget):
    """``shown`` tells whether it can be seen, which is when its figures are worth asking for."""

    shown = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "page")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.banners = BannerArea()
        self.tabs = Tabs(("Connect", _ACTIVITY_TITLE), "Places of the API page")
        self.switch = Switch("Local API")
        self.connect_view = ConnectView()
        self.activity = ActivityView()
        self._dot = Dot(None)
        self._words = label("", "ui", "dim")
        self._places = QStackedWidget()
        self._places.addWidget(self.connect_view)
        self._places.addWidget(self.activity)
        self.tabs.chosen.connect(self._places.setCurrentIndex)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._make_head())
        layout.addWidget(self.banners)
        layout.addWidget(self._places, stretch=1)

    def open_place(self, place: int) -> None:
        self.tabs.choose(place)
        self._places.setCurrentIndex(place)

    def show_state(self, state: ApiState) -> None:
        self._dot.set_color(STATE_COLORS[state.phase])
        self._words.setText(STATE_WORDS[state.phase])
        self.switch.setChecked(state.phase in (ApiPhase.STARTING, ApiPhase.ON))
        self.switch.setEnabled(state.phase is not ApiPhase.STOPPING)
        is_on = state.phase is ApiPhase.ON
        self.switch.setToolTip("Turn the API off" if is_on else "Turn the API on")
        self.connect_view.server.show_state(state)

    def show_n_live(self, n_live: int) -> None:
        self.tabs.rename(ACTIVITY, f"{_ACTIVITY_TITLE} · {n_live:,}" if n_live else _ACTIVITY_TITLE)

    def showEvent(self, event: object) -> None:
        self.shown.emit(True)

    def hideEvent(self, event: object) -> None:
        self.shown.emit(False)

    def _make_head(self) -> QWidget:
        head = QWidget()
        head.setProperty("role", "head")
        head.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        head.setFixedHeight(theme.size("head-height"))
        layout = QHBoxLayout(head)
        layout.setContentsMargins(theme.space(5), 0, theme.space(5), 0)
        layout.setSpacing(theme.space(2))
        layout.addWidget(label("Local API", "heading"))
        layout.addSpacing(theme.space(4))
        layout.addWidget(self.tabs)
        layout.addStretch()
        layout.addWidget(self._dot)
        layout.addWidget(self._words)
        layout.addSpacing(theme.space(1))
        layout.addWidget(self.switch)
        return head
