"""Builds the page of the library: a head with three places, and what is under it."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from ui.library.discover_view import DiscoverView
from ui.library.downloads_view import DownloadsView
from ui.library.models_view import ModelsView
from ui.theme import theme
from ui.widgets.banner import BannerArea
from ui.widgets.labels import label
from ui.widgets.tabs import Tabs

DISCOVER, MODELS, DOWNLOADS = range(3)
_TITLES = ("Discover", "On this machine", "Downloads")


class LibraryView(QWidget):
    """``shown`` tells whether it can be seen, ``place_opened`` which of its places is open."""

    shown = Signal(bool)
    place_opened = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "page")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.banners = BannerArea()
        self.tabs = Tabs(_TITLES, "Places of the library")
        self.discover = DiscoverView()
        self.models = ModelsView()
        self.downloads = DownloadsView()
        self._places = QStackedWidget()
        for place in (self.discover, self.models, self.downloads):
            self._places.addWidget(place)
        self.tabs.chosen.connect(self.open_place)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._make_head())
        layout.addWidget(self.banners)
        layout.addWidget(self._places, stretch=1)
        search = QShortcut(QKeySequence("/"), self, self.focus)
        search.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)

    @property
    def place(self) -> int:
        return self._places.currentIndex()

    def open_place(self, place: int) -> None:
        self.tabs.choose(place)
        self._places.setCurrentIndex(place)
        self.place_opened.emit(place)

    def show_n_models(self, n_models: int) -> None:
        self.tabs.rename(MODELS, f"{_TITLES[MODELS]} · {n_models:,}" if n_models else _TITLES[MODELS])

    def show_n_downloads(self, n_left: int) -> None:
        self.tabs.rename(DOWNLOADS, f"{_TITLES[DOWNLOADS]} · {n_left:,}" if n_left else _TITLES[DOWNLOADS])

    def focus(self) -> None:
        """To the search of the open place."""
        if self.place == DISCOVER:
            self.discover.finder.search.setFocus()
        elif self.place == MODELS:
            self.models.search.setFocus()

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
        layout.addWidget(label("Library", "heading"))
        layout.addSpacing(theme.space(4))
        layout.addWidget(self.tabs)
        layout.addStretch()
        return head
