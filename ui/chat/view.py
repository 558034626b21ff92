"""Builds the chat page. What happens on it is decided in ``page``, ``conversations`` and ``model_control``."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from ui.chat.composer import Composer, ComposerArea
from ui.chat.sidebar import Sidebar
from ui.chat.welcome import Welcome
from ui.theme import theme
from ui.widgets.banner import BannerArea
from ui.widgets.chip import Chip, ChipState, ChipText
from ui.widgets.fields import EditableTitle


class ChatView(QSplitter):
    """The sidebar and the page. The transcript joins later, because what it needs is slow to import."""

    escape_pressed = Signal()

    def __init__(self) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self.sidebar = Sidebar()
        self.title = EditableTitle("Title of the conversation")
        self.chip = Chip(ChipText(ChipState.EMPTY, "Starting"))
        self.banners = BannerArea()
        self.welcome = Welcome()
        self.composer = Composer()
        self._content = QStackedWidget()
        self._content.setMinimumHeight(theme.space(10))  # or the tallest page would press the composer together
        self._content.addWidget(self.welcome)
        self.addWidget(self.sidebar)
        self.addWidget(self._make_page())
        self.setChildrenCollapsible(False)
        self.setHandleWidth(theme.size("line-width"))
        self.setStretchFactor(1, 1)
        self._sidebar_width = theme.size("sidebar-width")
        self.splitterMoved.connect(self._remember_width)

    def set_sidebar_width(self, width: int) -> None:
        """Until the view has its size for the first time, this only remembers."""
        self._sidebar_width = width
        if self.isVisible():
            self.setSizes([width, max(1, self.width() - width)])

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if not event.spontaneous():
            self.set_sidebar_width(self._sidebar_width)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.composer.set_room(event.size().height())

    def add_transcript(self, transcript: QWidget) -> None:
        self._content.addWidget(transcript)

    def show_welcome(self) -> None:
        self._content.setCurrentWidget(self.welcome)

    def show_transcript(self) -> None:
        self._content.setCurrentIndex(self._content.count() - 1)

    def rename(self) -> None:
        """Edit the title where the user is: in the list, else in the header."""
        if self.sidebar.list.hasFocus():
            self.sidebar.list.rename_current()
        else:
            self.title.start_editing()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape that nothing on the page took for itself."""
        if event.key() == Qt.Key.Key_Escape:
            self.escape_pressed.emit()
        else:
            super().keyPressEvent(event)

    def _remember_width(self) -> None:
        self._sidebar_width = self.sidebar.width()

    def _make_page(self) -> QWidget:
        page = QWidget()
        page.setProperty("role", "page")
        page.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        layout = QVBoxLayout(page)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._make_head())
        layout.addWidget(self.banners)
        layout.addWidget(self._content, stretch=1)
        layout.addWidget(ComposerArea(self.composer))
        return page

    def _make_head(self) -> QWidget:
        head = QWidget()
        head.setProperty("role", "head")
        head.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        head.setFixedHeight(theme.size("head-height"))
        layout = QHBoxLayout(head)
        layout.setContentsMargins(theme.space(5), 0, theme.space(5), 0)
        layout.setSpacing(theme.space(3))
        layout.addWidget(self.title, stretch=1)
        layout.addWidget(self.chip)
        return head
