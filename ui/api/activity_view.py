"""What programs ask: what is under way, what was lately, and one request in full."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QScrollArea, QSplitter, QVBoxLayout, QWidget

from app.api.traffic import LoggedRequest, TrafficSnapshot
from ui.api.details import DetailsCard
from ui.api.live_list import LiveList
from ui.api.request_log import RequestLog
from ui.api.words import figures, totals
from ui.models.requests import RequestLogModel
from ui.theme import theme
from ui.widgets.labels import label
from ui.widgets.switch import Switch

_LIST_SHARE = 0.6


class ActivityView(QScrollArea):
    """Fills the window where that is high enough, and scrolls where it is not."""

    def __init__(self) -> None:
        super().__init__()
        self.live = LiveList()
        self.requests = RequestLogModel()
        self.log = RequestLog(self.requests)
        self.details = DetailsCard()
        self.keeps_bodies = Switch("Keep what is asked and answered")
        self._figures = label("", "figures", "dim")
        self._totals = label("", "figures", "dim")
        self._nothing = label("", "ui", "dim", wrap=True)
        self._split = QSplitter(Qt.Orientation.Horizontal)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(self._make_page())
        self.details.hide()

    def show_traffic(self, traffic: TrafficSnapshot, *, is_on: bool) -> None:
        """Cheap where nothing has changed."""
        self.live.show_requests(traffic.live, is_on=is_on)
        _say(self._figures, figures(traffic))
        self.requests.show_requests(traffic.recent)
        _say(self._totals, totals(traffic))
        has_any = bool(traffic.recent)
        if self.log.isHidden() is has_any:
            self.log.setVisible(has_any)
            self._nothing.setVisible(not has_any)
        off = "" if is_on else " The API is off."
        _say(self._nothing, f"Nothing was asked yet.{off} The snippets under Connect are made for a first try.")
        if self.keeps_bodies.isChecked() is not traffic.keeps_bodies:
            self.keeps_bodies.setChecked(traffic.keeps_bodies)

    def show_details(self, request: LoggedRequest | None) -> None:
        """None closes them."""
        if request is not None:
            self.details.show_request(request)
        if self.details.isHidden() is (request is not None):
            self.details.setVisible(request is not None)
            self._share_room()

    def _share_room(self) -> None:
        is_wide = self._split.orientation() is Qt.Orientation.Horizontal
        room = self._split.width() if is_wide else self._split.height()
        self._split.setSizes([round(room * _LIST_SHARE), round(room * (1 - _LIST_SHARE))])

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Where there is little room, the details stand below the list."""
        super().resizeEvent(event)
        is_wide = event.size().width() >= theme.size("board-split-width")
        wanted = Qt.Orientation.Horizontal if is_wide else Qt.Orientation.Vertical
        if self._split.orientation() is not wanted:
            self._split.setOrientation(wanted)
            self._share_room()

    def _make_page(self) -> QWidget:
        page = QWidget()
        page.setProperty("role", "page")
        layout = QVBoxLayout(page)
        layout.setContentsMargins(theme.space(6), theme.space(5), theme.space(6), theme.space(5))
        layout.setSpacing(theme.space(4))
        layout.addWidget(_card("Now", self._figures, self.live))
        self._split.addWidget(_card("Lately", self._totals, self._nothing, self.log))
        self._split.addWidget(self.details)
        self._split.setChildrenCollapsible(False)
        self._split.setHandleWidth(theme.space(4))
        self._split.setProperty("role", "gap")
        self._split.setStretchFactor(0, 3)
        self._split.setStretchFactor(1, 2)
        layout.addWidget(self._split, stretch=1)
        layout.addWidget(self._make_bodies_row())
        return page

    def _make_bodies_row(self) -> QWidget:
        row = QWidget()
        words = QVBoxLayout()
        words.setSpacing(0)
        words.addWidget(label("Keep what is asked and answered", "strong"))
        privacy = (
            "For looking into a problem. What programs send may be private: it stays in memory, is never written to "
            "the disk, and is forgotten when you turn this off or close Hearth."
        )
        words.addWidget(label(privacy, "small", "dim", wrap=True))
        layout = QHBoxLayout(row)
        layout.setContentsMargins(theme.space(5), 0, theme.space(4), 0)
        layout.setSpacing(theme.space(5))
        layout.addLayout(words, stretch=1)
        layout.addWidget(self.keeps_bodies, alignment=Qt.AlignmentFlag.AlignVCenter)
        return row


def _card(title: str, note: QLabel, *contents: QWidget) -> QFrame:
    card = QFrame()
    card.setProperty("role", "card")
    head = QHBoxLayout()
    head.setContentsMargins(theme.space(5), 0, theme.space(5), 0)
    head.addWidget(label(title, "heading"), stretch=1)
    head.addWidget(note)
    layout = QVBoxLayout(card)
    layout.setContentsMargins(0, theme.space(3), 0, theme.space(2))
    layout.setSpacing(theme.space(1))
    layout.addLayout(head)
    for content in contents:
        if isinstance(content, QLabel):
            content.setContentsMargins(theme.space(5), 0, theme.space(5), theme.space(2))
            content.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        layout.addWidget(content, stretch=1)
    return card


def _say(words: QLabel, text: str) -> None:
    if words.text() != text:
        words.setText(text)
