"""The list of requests that are over: a line each."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QPainter
from PySide6.QtWidgets import QAbstractItemView, QListView, QStyle, QStyledItemDelegate, QStyleOptionViewItem

from app.api.traffic import LoggedRequest
from ui.api.words import clock, duration, is_trouble, logged_tokens, program, status
from ui.models.requests import RequestLogModel, RequestRole
from ui.theme import theme

_Index = QModelIndex | QPersistentModelIndex


class RequestLog(QListView):
    """``picked`` carries a LoggedRequest, or None when nothing is selected any more."""

    picked = Signal(object)

    def __init__(self, requests: RequestLogModel) -> None:
        super().__init__()
        self._requests = requests
        self.setModel(requests)
        self.setItemDelegate(_LineDelegate(self))
        self.setAccessibleName("Requests that are over")
        self.setMouseTracking(True)
        self.setMinimumHeight(theme.size("log-height"))
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setUniformItemSizes(True)
        self.selectionModel().currentChanged.connect(lambda current: self._tell(current))
        requests.dataChanged.connect(self._on_changed)
        requests.modelReset.connect(lambda: self.picked.emit(None))

    def unpick(self) -> None:
        self.selectionModel().clear()
        self.picked.emit(None)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self.currentIndex().isValid():
            self.unpick()
        else:
            super().keyPressEvent(event)

    def _on_changed(self, first: QModelIndex, last: QModelIndex) -> None:
        if first.row() <= self.currentIndex().row() <= last.row():
            self._tell(self.currentIndex())

    def _tell(self, index: QModelIndex) -> None:
        self.picked.emit(self._requests.request_at(index))


class _LineDelegate(QStyledItemDelegate):
    """Time, status, who asked for what, tokens, and how long it took; narrow, what is in between is cut."""

    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:
        return QSize(0, theme.size("log-row-height"))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        request: LoggedRequest | None = index.data(RequestRole.REQUEST)
        if request is None:
            return
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        row = option.rect.adjusted(theme.space(3), 0, -theme.space(3), 0)
        self._paint_ground(painter, option, row)
        inner = row.adjusted(theme.space(2), 0, -theme.space(2), 0)
        left = _text(painter, inner, clock(request.started_s), "figures", "dim", theme.size("clock-width"))
        tone = "bad" if is_trouble(request) else "ok"
        left = _text(painter, left, status(request), "figures", tone, theme.size("status-width"))
        right = _text_right(painter, left, duration(request.duration_s), "text", theme.size("duration-width"))
        right = _text_right(painter, right, logged_tokens(request), "dim", theme.size("tokens-width"))
        who = program(request.agent, request.client)
        where = "  ·  ".join(part for part in (request.endpoint, request.model or "") if part)
        width = min(right.width() // 2, QFontMetrics(theme.font("ui")).horizontalAdvance(who) + theme.space(3))
        rest = _text(painter, right, who, "ui", "text", width)
        _text(painter, rest, where, "ui", "dim", rest.width())
        painter.restore()

    def _paint_ground(self, painter: QPainter, option: QStyleOptionViewItem, row: QRect) -> None:
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        hovered = bool(option.state & QStyle.StateFlag.State_MouseOver)
        focused = selected and bool(option.state & QStyle.StateFlag.State_HasFocus)
        if selected or hovered:
            painter.setBrush(theme.color("raise" if selected else "hover"))
            painter.setPen(theme.color("line") if focused else Qt.PenStyle.NoPen)
            radius = theme.size("radius-control")
            painter.drawRoundedRect(row.toRectF().adjusted(0.5, 1.5, -0.5, -1.5), radius, radius)


def _text(painter: QPainter, room: QRect, text: str, role: str, color: str, width: int) -> QRect:
    """Write at the left of ``room`` and return what is left of it."""
    font = theme.font(role)
    painter.setFont(font)
    painter.setPen(theme.color(color))
    place = QRect(room.left(), room.top(), min(width, room.width()), room.height())
    shown = QFontMetrics(font).elidedText(text, Qt.TextElideMode.ElideRight, place.width() - theme.space(1))
    painter.drawText(place, Qt.AlignmentFlag.AlignVCenter, shown)
    return room.adjusted(place.width(), 0, 0, 0)


def _text_right(painter: QPainter, room: QRect, text: str, color: str, width: int) -> QRect:
    """The same at the right."""
    painter.setFont(theme.font("figures"))
    painter.setPen(theme.color(color))
    place = QRect(room.right() + 1 - width, room.top(), width, room.height())
    painter.drawText(place, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, text)
    return room.adjusted(0, 0, -width, 0)
